/* SPDX-License-Identifier: MIT */
#include "source/wire.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SLICE_MS 100 /* how late a stop is noticed */

struct sg_wire {
    int fd;
    SSL_CTX *tls_ctx;
    SSL *tls;
    const char *name;
    int timeout_ms;
    const atomic_bool *stop;
};

static int64_t
now_ms(void)
{
    return (int64_t)(sg_mono_ns(sg_clock_system()) / SG_NS_PER_MS);
}

/* Waits for the socket until a time of now_ms(). */
static int
wait_for(struct sg_wire *w, short events, int64_t until, struct sg_err *err)
{
    struct pollfd p = {.fd = w->fd, .events = events};
    int64_t left;

    for (;;) {
        if (w->stop != NULL && atomic_load_explicit(w->stop, memory_order_relaxed))
            return sg_fail(err, SG_E_CANCELLED, w->name, "stopped");
        left = until - now_ms();
        if (poll(&p, 1, left < 0 ? 0 : left < SLICE_MS ? (int)left : SLICE_MS) > 0)
            return 0;
        if (left <= 0)
            return sg_fail(err, SG_E_TIMEOUT, w->name, "no answer in time");
    }
}

static int
lost(struct sg_wire *w, const char *what, int error, struct sg_err *err)
{
    return sg_fail(err, SG_E_UNAVAILABLE, w->name, "%s: %s", what,
                   error != 0 ? strerror(error) : "the server closed the connection");
}

/* ---- connecting ---- */

static int
connect_to(struct sg_wire *w, const struct sockaddr *address, socklen_t len, int64_t until,
           struct sg_err *err)
{
    int error = 0, on = 1;
    socklen_t size = sizeof error;

    w->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (w->fd < 0)
        return lost(w, "could not make a socket", errno, err);
    if (connect(w->fd, address, len) != 0) {
        error = errno;
        if (error == EINPROGRESS) {
            if (wait_for(w, POLLOUT, until, err) != 0)
                goto fail;
            getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        }
        if (error != 0) {
            lost(w, "could not connect", error, err);
            goto fail;
        }
    }
    if (address->sa_family != AF_UNIX)
        setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return 0;
fail:
    close(w->fd);
    w->fd = -1;
    return -1;
}

static int
connect_unix(struct sg_wire *w, const char *path, int64_t until, struct sg_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof address.sun_path)
        return sg_fail(err, SG_E_INVALID, w->name, "the socket's path is longer than %zu bytes",
                       sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    return connect_to(w, (struct sockaddr *)&address, sizeof address, until, err);
}

static int
connect_tcp(struct sg_wire *w, const struct sg_wire_options *o, int64_t until, struct sg_err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found, *a;
    char port[8];
    int rc;

    snprintf(port, sizeof port, "%d", o->port);
    rc = getaddrinfo(o->host, port, &hints, &found);
    if (rc != 0)
        return sg_fail(err, SG_E_UNAVAILABLE, w->name, "could not look up the host: %s",
                       gai_strerror(rc));
    for (a = found, rc = -1; a != NULL && rc != 0; a = a->ai_next)
        rc = connect_to(w, a->ai_addr, a->ai_addrlen, until, err);
    freeaddrinfo(found);
    return rc;
}

/* ---- TLS ---- */

/* What OpenSSL says of the failure: of certificates and protocols, never of data. */
static int
tls_failed(struct sg_wire *w, const char *what, struct sg_err *err)
{
    unsigned long code = ERR_get_error();
    long verdict = w->tls != NULL ? SSL_get_verify_result(w->tls) : X509_V_OK;
    char text[160] = "the server closed the connection";

    if (verdict != X509_V_OK)
        snprintf(text, sizeof text, "certificate: %s", X509_verify_cert_error_string(verdict));
    else if (code != 0)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return sg_fail(err, SG_E_UNAVAILABLE, w->name, "%s: %s", what, text);
}

/* After an SSL call that did not succeed: waits for what it wants. */
static int
tls_wait(struct sg_wire *w, int rc, int64_t until, const char *what, struct sg_err *err)
{
    switch (SSL_get_error(w->tls, rc)) {
    case SSL_ERROR_WANT_READ:
        return wait_for(w, POLLIN, until, err);
    case SSL_ERROR_WANT_WRITE:
        return wait_for(w, POLLOUT, until, err);
    default:
        return tls_failed(w, what, err);
    }
}

static int
check_host(struct sg_wire *w, const char *host)
{
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(w->tls), host) == 1)
        return 0;
    return SSL_set1_host(w->tls, host) == 1 && SSL_set_tlsext_host_name(w->tls, host) == 1 ? 0 : -1;
}

static int
start_tls(struct sg_wire *w, const struct sg_wire_options *o, int64_t until, struct sg_err *err)
{
    int rc;

    w->tls_ctx = SSL_CTX_new(TLS_client_method());
    if (w->tls_ctx == NULL || SSL_CTX_set_min_proto_version(w->tls_ctx, TLS1_2_VERSION) != 1)
        return tls_failed(w, "TLS", err);
    SSL_CTX_set_verify(w->tls_ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(w->tls_ctx,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (o->ca_file != NULL ? SSL_CTX_load_verify_locations(w->tls_ctx, o->ca_file, NULL) != 1
                           : SSL_CTX_set_default_verify_paths(w->tls_ctx) != 1) {
        ERR_clear_error();
        return sg_fail(err, SG_E_INVALID, w->name, "could not read the CA certificates%s%s",
                       o->ca_file != NULL ? " of " : "", o->ca_file != NULL ? o->ca_file : "");
    }
    w->tls = SSL_new(w->tls_ctx);
    if (w->tls == NULL || check_host(w, o->host) != 0 || SSL_set_fd(w->tls, w->fd) != 1)
        return tls_failed(w, "TLS", err);
    while ((rc = SSL_connect(w->tls)) != 1)
        if (tls_wait(w, rc, until, "TLS handshake", err) != 0)
            return -1;
    return 0;
}

/* ---- the wire ---- */

int
sg_wire_open(const struct sg_wire_options *o, struct sg_wire **out, struct sg_err *err)
{
    struct sg_wire *w = calloc(1, sizeof *w);
    int64_t until = now_ms() + o->timeout_ms;
    int rc;

    if (w == NULL)
        return sg_fail(err, SG_E_INTERNAL, o->name, "out of memory");
    *w = (struct sg_wire){.fd = -1, .name = o->name, .timeout_ms = o->timeout_ms, .stop = o->stop};
    rc = o->host[0] == '/' ? connect_unix(w, o->host, until, err) : connect_tcp(w, o, until, err);
    if (rc == 0 && o->tls)
        rc = start_tls(w, o, until, err);
    if (rc != 0) {
        sg_wire_close(w);
        return -1;
    }
    *out = w;
    return 0;
}

void
sg_wire_close(struct sg_wire *w)
{
    if (w == NULL)
        return;
    SSL_free(w->tls);
    SSL_CTX_free(w->tls_ctx);
    if (w->fd >= 0)
        close(w->fd);
    free(w);
}

/* *n = bytes moved, 0 = wait for *events first; -1 = lost. */
static int
plain_step(struct sg_wire *w, ssize_t moved, const char *what, size_t *n, struct sg_err *err)
{
    *n = moved > 0 ? (size_t)moved : 0;
    if (moved > 0 || (moved < 0 && (errno == EAGAIN || errno == EINTR)))
        return 0;
    return lost(w, what, moved < 0 ? errno : 0, err);
}

int
sg_wire_write(struct sg_wire *w, struct sg_slice bytes, struct sg_err *err)
{
    size_t n;
    int rc;

    while (bytes.len != 0) {
        int64_t until = now_ms() + w->timeout_ms;

        n = 0;
        if (w->tls != NULL) {
            if ((rc = SSL_write_ex(w->tls, bytes.ptr, bytes.len, &n)) != 1 &&
                tls_wait(w, rc, until, "could not write", err) != 0)
                return -1;
        } else if (plain_step(w, send(w->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL), "could not write",
                              &n, err) != 0 ||
                   (n == 0 && wait_for(w, POLLOUT, until, err) != 0)) {
            return -1;
        }
        bytes.ptr += n;
        bytes.len -= n;
    }
    return 0;
}

int
sg_wire_read(struct sg_wire *w, char *out, size_t cap, int wait_ms, size_t *n, struct sg_err *err)
{
    int64_t until = now_ms() + (wait_ms >= 0 ? wait_ms : w->timeout_ms);
    size_t got = 0;
    int rc;

    if (w->stop != NULL && atomic_load_explicit(w->stop, memory_order_relaxed))
        return sg_fail(err, SG_E_CANCELLED, w->name, "stopped");
    while (got == 0) {
        if (w->tls != NULL) {
            if ((rc = SSL_read_ex(w->tls, out, cap, &got)) != 1 &&
                tls_wait(w, rc, until, "could not read", err) != 0)
                return -1;
        } else if (plain_step(w, recv(w->fd, out, cap, 0), "could not read", &got, err) != 0 ||
                   (got == 0 && wait_for(w, POLLIN, until, err) != 0)) {
            return -1;
        }
    }
    *n = got;
    return 0;
}
