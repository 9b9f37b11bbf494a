/* SPDX-License-Identifier: MIT */
#include "redis/url.h"

#include "base/encode.h"
#include "base/slice.h"

#include <sodium.h>
#include <stdio.h>

#define PLACE "redis url"

static int
bad(struct sg_err *err, const char *what)
{
    return sg_fail(err, SG_E_INVALID, PLACE,
                   "%s; expected redis[s]://[user:password@]host:port/db or unix:///path?db=N",
                   what);
}

static int
decoded(struct sg_slice text, char *out, size_t cap, const char *what, struct sg_err *err)
{
    struct sg_buf plain = SG_BUF_INIT(cap - 1);
    int rc = 0;

    if (sg_percent_decode(&plain, text) != 0 ||
        (plain.len != 0 && memchr(plain.ptr, '\0', plain.len) != NULL))
        rc = bad(err, what);
    else
        snprintf(out, cap, "%s", plain.len != 0 ? plain.ptr : "");
    sg_buf_wipe(&plain);
    return rc;
}

static int
number(struct sg_slice text, int least, int most, int *out)
{
    int v = 0;
    size_t i;

    if (text.len == 0 || text.len > 5)
        return -1;
    for (i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return -1;
        v = v * 10 + (text.ptr[i] - '0');
    }
    if (v < least || v > most)
        return -1;
    *out = v;
    return 0;
}

/* Cuts "user:password@" off the authority. */
static int
take_login(struct sg_slice *authority, struct sg_redis_url *u, struct sg_err *err)
{
    const char *at = memrchr(authority->ptr, '@', authority->len), *colon;
    size_t n;

    if (at == NULL)
        return 0;
    n = (size_t)(at - authority->ptr);
    colon = memchr(authority->ptr, ':', n);
    if (colon == NULL)
        return bad(err, "the password is missing behind the user");
    if (decoded(sg_slice(authority->ptr, (size_t)(colon - authority->ptr)), u->user, sizeof u->user,
                "the user is too long or badly encoded", err) != 0 ||
        decoded(sg_slice(colon + 1, (size_t)(at - colon - 1)), u->password, sizeof u->password,
                "the password is too long or badly encoded", err) != 0)
        return -1;
    authority->ptr += n + 1;
    authority->len -= n + 1;
    return 0;
}

static int
parse_tcp(const char *rest, struct sg_redis_url *u, struct sg_err *err)
{
    struct sg_slice authority = sg_slice(rest, strcspn(rest, "/?#")), host, port;
    const char *tail = rest + authority.len, *colon;

    if (take_login(&authority, u, err) != 0)
        return -1;
    if (sg_slice_starts(authority, "[")) {
        const char *end = memchr(authority.ptr, ']', authority.len);

        if (end == NULL)
            return bad(err, "the bracket of the IPv6 address is not closed");
        host = sg_slice(authority.ptr + 1, (size_t)(end - authority.ptr - 1));
        port = sg_slice(end + 1, authority.len - host.len - 2);
        if (port.len != 0 && port.ptr[0] != ':')
            return bad(err, "something stands between the address and the port");
    } else {
        colon = memchr(authority.ptr, ':', authority.len);
        host = sg_slice(authority.ptr,
                        colon != NULL ? (size_t)(colon - authority.ptr) : authority.len);
        port = sg_slice(authority.ptr + host.len, authority.len - host.len);
    }
    if (host.len == 0 || host.len >= sizeof u->host || host.ptr[0] == '/')
        return bad(err, "the host is missing or too long");
    if (port.len != 0 && number(sg_slice(port.ptr + 1, port.len - 1), 1, 65535, &u->port) != 0)
        return bad(err, "the port is not a number from 1 to 65535");
    if (tail[0] == '/' && tail[1] != '\0' && number(sg_str(tail + 1), 0, 99999, &u->database) != 0)
        return bad(err, "the database is not a number");
    if (tail[0] != '/' && tail[0] != '\0')
        return bad(err, "nothing may follow the database");
    memcpy(u->host, host.ptr, host.len);
    u->host[host.len] = '\0';
    snprintf(u->name, sizeof u->name, "redis %s:%d", u->host, u->port);
    return 0;
}

static int
parse_unix(const char *rest, struct sg_redis_url *u, struct sg_err *err)
{
    struct sg_slice authority = sg_slice(rest, strcspn(rest, "/?#")), path;
    const char *query;

    if (take_login(&authority, u, err) != 0)
        return -1;
    if (authority.len != 0)
        return bad(err, "a Unix socket's path starts with '/'");
    path = sg_slice(authority.ptr, strcspn(authority.ptr, "?#"));
    query = path.ptr + path.len;
    if (path.len < 2)
        return bad(err, "the path of the Unix socket is missing");
    if (decoded(path, u->host, sizeof u->host, "the path is too long or badly encoded", err) != 0)
        return -1;
    if (query[0] != '\0' &&
        (strncmp(query, "?db=", 4) != 0 || number(sg_str(query + 4), 0, 99999, &u->database) != 0))
        return bad(err, "behind the path only ?db=N may stand");
    snprintf(u->name, sizeof u->name, "redis %s", u->host);
    return 0;
}

int
sg_redis_url_parse(const char *url, struct sg_redis_url *out, struct sg_err *err)
{
    struct sg_redis_url u = {.port = 6379};
    int rc;

    if (strncmp(url, "redis://", 8) == 0)
        rc = parse_tcp(url + 8, &u, err);
    else if (strncmp(url, "unix://", 7) == 0)
        rc = parse_unix(url + 7, &u, err);
    else if ((u.tls = strncmp(url, "rediss://", 9) == 0))
        rc = parse_tcp(url + 9, &u, err);
    else
        rc = bad(err, "unknown scheme");
    if (rc == 0)
        *out = u;
    sodium_memzero(&u, sizeof u);
    return rc;
}
