/* SPDX-License-Identifier: MIT */
#include "event/http_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

static int
fail_address(const char *address, struct sg_err *err)
{
    return sg_fail(err, SG_E_INVALID, address,
                   "expected an address like 127.0.0.1:8080, [::1]:8080 or unix:/path");
}

/* "127.0.0.1:80" or "[::1]:80" */
static int
parse_tcp(const char *address, struct sockaddr_storage *out, socklen_t *len, struct sg_err *err)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    const char *colon = strrchr(address, ':');
    char host[64], *end;
    size_t n;
    long port;

    memset(out, 0, sizeof *out);
    if (colon == NULL || colon[1] < '0' || colon[1] > '9')
        return fail_address(address, err);
    port = strtol(colon + 1, &end, 10);
    n = (size_t)(colon - address);
    if (*end != '\0' || port > 65535 || n < 1 || n >= sizeof host)
        return fail_address(address, err);
    if (address[0] == '[' && address[n - 1] == ']') {
        snprintf(host, sizeof host, "%.*s", (int)n - 2, address + 1);
        if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
            return fail_address(address, err);
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        *len = sizeof *v6;
        return 0;
    }
    snprintf(host, sizeof host, "%.*s", (int)n, address);
    if (inet_pton(AF_INET, host, &v4->sin_addr) != 1)
        return fail_address(address, err);
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    *len = sizeof *v4;
    return 0;
}

static bool
is_loopback(const struct sockaddr_storage *a)
{
    if (a->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

static int
fail_bind(const char *address, struct sg_err *err)
{
    if (errno == EADDRINUSE)
        return sg_fail(err, SG_E_CONFLICT, address,
                       "address in use: another program listens there");
    return sg_fail(err, SG_E_UNAVAILABLE, address, "could not listen: %s", strerror(errno));
}

static int
bind_tcp(const struct sg_http_options *o, int *out, int *port, struct sg_err *err)
{
    struct sockaddr_storage a;
    socklen_t len;
    int fd, on = 1;

    if (parse_tcp(o->address, &a, &len, err) != 0)
        return -1;
    if (!o->allow_any && !is_loopback(&a))
        return sg_fail(err, SG_E_INVALID, o->address,
                       "not a loopback address: put a proxy in front, or allow it expressly");
    fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail_bind(o->address, err);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if ((o->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
        bind(fd, (struct sockaddr *)&a, len) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
        fail_bind(o->address, err);
        close(fd);
        return -1;
    }
    *port = ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port
                                         : ((struct sockaddr_in6 *)&a)->sin6_port);
    *out = fd;
    return 0;
}

/* A socket file that nobody answers on was left by a crash. */
static bool
is_stale(const struct sockaddr_un *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct stat st;
    bool stale;

    if (fd < 0)
        return false;
    stale = lstat(a->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
            connect(fd, (const struct sockaddr *)a, sizeof *a) != 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int
bind_unix(const char *address, const char *path, int *out, struct sg_err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd, rc;

    if (strlen(path) >= sizeof a.sun_path)
        return sg_fail(err, SG_E_INVALID, address, "path above %zu bytes", sizeof a.sun_path - 1);
    memcpy(a.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail_bind(address, err);
    rc = bind(fd, (struct sockaddr *)&a, sizeof a);
    if (rc != 0 && errno == EADDRINUSE) {
        if (is_stale(&a)) {
            unlink(path);
            rc = bind(fd, (struct sockaddr *)&a, sizeof a);
        } else {
            errno = EADDRINUSE;
        }
    }
    if (rc != 0 || listen(fd, BACKLOG) != 0) {
        fail_bind(address, err);
        close(fd);
        return -1;
    }
    *out = fd;
    return 0;
}

int
sg_http_bind(const struct sg_http_options *o, int *fd, int *port, char *path, struct sg_err *err)
{
    const char *unix_path = o->address + 5;

    path[0] = '\0';
    *port = 0;
    if (o->share != NULL) {
        *port = sg_http_port(o->share);
        *fd = fcntl(sg_http_listen_fd(o->share), F_DUPFD_CLOEXEC, 0);
        return *fd >= 0 ? 0 : fail_bind(o->address, err);
    }
    if (strncmp(o->address, "unix:", 5) != 0)
        return bind_tcp(o, fd, port, err);
    if (unix_path[0] != '/')
        return fail_address(o->address, err);
    if (bind_unix(o->address, unix_path, fd, err) != 0)
        return -1;
    strcpy(path, unix_path); /* bind_unix has checked its length */
    return 0;
}
