/* SPDX-License-Identifier: MIT */
#include "redis/wire.h"

#include "base/clock.h"

#include <arpa/inet.h>
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

#define SLICE_MS 100 /* how soon `stop` is seen */

struct sg_wire {
    struct sg_wire_options options;
    int fd;
    SSL_CTX *context;
    SSL *tls;
};

static bool
stopped(const struct sg_wire *w)
{
    return w->options.stop != NULL && atomic_load(w->options.stop);
}

static int
cancelled(const struct sg_wire *w, struct sg_err *err)
{
    return sg_fail(err, SG_E_CANCELLED, w->options.name, "stopped");
}

/* 1: ready; 0: the deadline passed; -1 with *err. */
static int
wait_for(const struct sg_wire *w, short events, uint64_t deadline_ns, struct sg_err *err)
{
    struct pollfd p = {.fd = w->fd, .events = events};
    uint64_t now;
    int64_t left;
    int n;

    for (;;) {
        if (stopped(w))
            return cancelled(w, err);
        now = sg_mono_ns(sg_clock_system());
        left = now < deadline_ns ? (int64_t)((deadline_ns - now + SG_NS_PER_MS - 1) / SG_NS_PER_MS)
                                 : 0;
        n = poll(&p, 1, left < SLICE_MS ? (int)left : SLICE_MS);
        if (n > 0)
            return 1;
        if (n < 0 && errno != EINTR)
            return sg_fail(err, SG_E_INTERNAL, w->options.name, "poll: %s", strerror(errno));
        if (n == 0 && left <= SLICE_MS && sg_mono_ns(sg_clock_system()) >= deadline_ns)
            return 0;
    }
}

static uint64_t
deadline_of(int timeout_ms)
{
    return sg_mono_ns(sg_clock_system()) + (uint64_t)timeout_ms * SG_NS_PER_MS;
}

/* ---- connecting ---- */

static int
connect_to(struct sg_wire *w, int family, const struct sockaddr *address, socklen_t len,
           struct sg_err *err)
{
    int rc, one = 1, failure = 0;
    socklen_t size = sizeof failure;

    w->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (w->fd < 0)
        return sg_fail(err, SG_E_INTERNAL, w->options.name, "socket: %s", strerror(errno));
    if (family != AF_UNIX)
        setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    rc = connect(w->fd, address, len);
    if (rc != 0 && errno != EINPROGRESS)
        return sg_fail(err, SG_E_UNAVAILABLE, w->options.name, "could not connect: %s",
                       strerror(errno));
    rc = rc == 0 ? 1 : wait_for(w, POLLOUT, deadline_of(w->options.timeout_ms), err);
    if (rc < 0)
        return -1;
    if (rc == 0)
        return sg_fail(err, SG_E_TIMEOUT, w->options.name, "no answer while connecting");
    getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &failure, &size);
    return failure == 0 ? 0
                        : sg_fail(err, SG_E_UNAVAILABLE, w->options.name, "could not connect: %s",
                                  strerror(failure));
}

static int
connect_unix(struct sg_wire *w, struct sg_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(w->options.host) >= sizeof address.sun_path)
        return sg_fail(err, SG_E_INVALID, w->options.name, "the socket's path is above %zu bytes",
                       sizeof address.sun_path - 1);
    strcpy(address.sun_path, w->options.host);
    return connect_to(w, AF_UNIX, (struct sockaddr *)&address, sizeof address, err);
}

/* Each address in turn, until one answers. */
static int
connect_tcp(struct sg_wire *w, struct sg_err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found, *a;
    char port[16];
    int rc;

    snprintf(port, sizeof port, "%d", w->options.port);
    rc = getaddrinfo(w->options.host, port, &hints, &found);
    if (rc != 0)
        return sg_fail(err, SG_E_UNAVAILABLE, w->options.name, "could not look it up: %s",
                       gai_strerror(rc));
    rc = -1;
    for (a = found; a != NULL && rc != 0; a = a->ai_next) {
        if (w->fd >= 0)
            close(w->fd);
        w->fd = -1;
        rc = connect_to(w, a->ai_family, a->ai_addr, a->ai_addrlen, err);
    }
    freeaddrinfo(found);
    return rc;
}

/* ---- TLS ---- */

static int
tls_failed(struct sg_wire *w, const char *what, struct sg_err *err)
{
    unsigned long code = ERR_get_error();
    long verified = w->tls != NULL ? SSL_get_verify_result(w->tls) : X509_V_OK;

    ERR_clear_error();
    if (verified != X509_V_OK)
        return sg_fail(err, SG_E_DENIED, w->options.name, "%s: its certificate: %s", what,
                       X509_verify_cert_error_string(verified));
    return sg_fail(err, SG_E_UNAVAILABLE, w->options.name, "%s: %s", what,
                   code != 0 && ERR_reason_error_string(code) != NULL
                       ? ERR_reason_error_string(code)
                       : "the connection was lost");
}

/* After an SSL call: 1 = do it again, the socket is ready; 0 = the deadline passed. */
static int
tls_wait(struct sg_wire *w, int rc, uint64_t deadline_ns, const char *what, struct sg_err *err)
{
    switch (SSL_get_error(w->tls, rc)) {
    case SSL_ERROR_WANT_READ:
        return wait_for(w, POLLIN, deadline_ns, err);
    case SSL_ERROR_WANT_WRITE:
        return wait_for(w, POLLOUT, deadline_ns, err);
    default:
        return tls_failed(w, what, err);
    }
}

static bool
is_address(const char *host)
{
    struct in6_addr six;
    struct in_addr four;

    return inet_pton(AF_INET, host, &four) == 1 || inet_pton(AF_INET6, host, &six) == 1;
}

static int
prepare_tls(struct sg_wire *w, struct sg_err *err)
{
    const struct sg_wire_options *o = &w->options;
    bool address = is_address(o->host);

    w->context = SSL_CTX_new(TLS_client_method());
    if (w->context == NULL || SSL_CTX_set_min_proto_version(w->context, TLS1_2_VERSION) != 1)
        return tls_failed(w, "TLS", err);
    if (o->ca_file != NULL && SSL_CTX_load_verify_locations(w->context, o->ca_file, NULL) != 1) {
        ERR_clear_error();
        return sg_fail(err, SG_E_INVALID, o->name, "cannot read the CA file '%.100s'", o->ca_file);
    }
    if (o->ca_file == NULL && SSL_CTX_set_default_verify_paths(w->context) != 1)
        return tls_failed(w, "TLS", err);
    SSL_CTX_set_verify(w->context, SSL_VERIFY_PEER, NULL);
    w->tls = SSL_new(w->context);
    if (w->tls == NULL || SSL_set_fd(w->tls, w->fd) != 1)
        return tls_failed(w, "TLS", err);
    if (address
            ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(w->tls), o->host) != 1
            : SSL_set1_host(w->tls, o->host) != 1 || SSL_set_tlsext_host_name(w->tls, o->host) != 1)
        return tls_failed(w, "TLS", err);
    return 0;
}

static int
start_tls(struct sg_wire *w, struct sg_err *err)
{
    uint64_t deadline = deadline_of(w->options.timeout_ms);
    int rc;

    if (prepare_tls(w, err) != 0)
        return -1;
    while ((rc = SSL_connect(w->tls)) != 1) {
        rc = tls_wait(w, rc, deadline, "the TLS handshake", err);
        if (rc < 0)
            return -1;
        if (rc == 0)
            return sg_fail(err, SG_E_TIMEOUT, w->options.name, "no answer in the TLS handshake");
    }
    return 0;
}

/* ---- the whole ---- */

int
sg_wire_open(const struct sg_wire_options *options, struct sg_wire **out, struct sg_err *err)
{
    struct sg_wire *w = calloc(1, sizeof *w);
    int rc;

    if (w == NULL)
        return sg_fail(err, SG_E_INTERNAL, options->name, "out of memory");
    w->options = *options;
    w->fd = -1;
    rc = options->host[0] == '/' ? connect_unix(w, err) : connect_tcp(w, err);
    if (rc == 0 && options->tls)
        rc = start_tls(w, err);
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
    SSL_CTX_free(w->context);
    if (w->fd >= 0)
        close(w->fd);
    free(w);
}

static int64_t
read_tls(struct sg_wire *w, char *into, size_t cap, uint64_t deadline, struct sg_err *err)
{
    int n, rc;

    while ((n = SSL_read(w->tls, into, cap < INT32_MAX ? (int)cap : INT32_MAX)) <= 0) {
        rc = tls_wait(w, n, deadline, "reading", err);
        if (rc <= 0)
            return rc;
    }
    return n;
}

int64_t
sg_wire_read(struct sg_wire *w, char *into, size_t cap, int timeout_ms, struct sg_err *err)
{
    uint64_t deadline = deadline_of(timeout_ms);
    ssize_t n;
    int rc;

    if (stopped(w))
        return cancelled(w, err);
    if (w->tls != NULL)
        return read_tls(w, into, cap, deadline, err);
    for (;;) {
        n = read(w->fd, into, cap);
        if (n > 0)
            return n;
        if (n == 0)
            return sg_fail(err, SG_E_UNAVAILABLE, w->options.name, "the server hung up");
        if (errno != EAGAIN && errno != EINTR)
            return sg_fail(err, SG_E_UNAVAILABLE, w->options.name, "connection lost: %s",
                           strerror(errno));
        rc = wait_for(w, POLLIN, deadline, err);
        if (rc <= 0)
            return rc;
    }
}

int
sg_wire_write(struct sg_wire *w, struct sg_slice bytes, struct sg_err *err)
{
    uint64_t deadline = deadline_of(w->options.timeout_ms);
    ssize_t n;
    int rc;

    while (bytes.len > 0) {
        if (w->tls != NULL)
            n = SSL_write(w->tls, bytes.ptr, bytes.len < INT32_MAX ? (int)bytes.len : INT32_MAX);
        else
            n = send(w->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes = sg_slice(bytes.ptr + n, bytes.len - (size_t)n);
            continue;
        }
        if (w->tls != NULL)
            rc = tls_wait(w, (int)n, deadline, "writing", err);
        else if (errno == EAGAIN || errno == EINTR)
            rc = wait_for(w, POLLOUT, deadline, err);
        else
            rc = sg_fail(err, SG_E_UNAVAILABLE, w->options.name, "could not write: %s",
                         strerror(errno));
        if (rc < 0)
            return -1;
        if (rc == 0)
            return sg_fail(err, SG_E_TIMEOUT, w->options.name, "the server does not read on");
    }
    return 0;
}
