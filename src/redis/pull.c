/* SPDX-License-Identifier: MIT */
#include "redis/pull.h"

#include <stdlib.h>

#define FIRST_BYTES 262144

int
sg_pull_init(struct sg_pull *p, size_t bytes_max, struct sg_err *err)
{
    p->cap = bytes_max < FIRST_BYTES ? bytes_max : FIRST_BYTES;
    p->bytes = malloc(p->cap);
    if (p->bytes == NULL)
        return sg_fail(err, SG_E_INTERNAL, p->name, "out of memory");
    p->bytes_max = bytes_max;
    p->at = p->end = 0;
    p->taken = 0;
    return 0;
}

void
sg_pull_free(struct sg_pull *p)
{
    free(p->bytes);
    p->bytes = NULL;
}

static int
make_room(struct sg_pull *p, size_t n, struct sg_err *err)
{
    size_t cap = p->cap;
    char *bytes;

    if (n > p->bytes_max)
        return sg_fail(err, SG_E_LIMIT, p->name, "%zu bytes in one piece, expected at most %zu", n,
                       p->bytes_max);
    if (p->at > 0) {
        memmove(p->bytes, p->bytes + p->at, p->end - p->at);
        p->end -= p->at;
        p->at = 0;
    }
    if (n <= cap)
        return 0;
    while (cap < n)
        cap = cap < p->bytes_max / 2 ? cap * 2 : p->bytes_max;
    bytes = realloc(p->bytes, cap);
    if (bytes == NULL)
        return sg_fail(err, SG_E_INTERNAL, p->name, "out of memory");
    p->bytes = bytes;
    p->cap = cap;
    return 0;
}

/* Until n bytes from `at` on are there. */
static int
have(struct sg_pull *p, size_t n, struct sg_err *err)
{
    int64_t got;

    if (p->end - p->at >= n)
        return 0;
    if (p->cap - p->at < n && make_room(p, n, err) != 0)
        return -1;
    while (p->end - p->at < n) {
        got = p->more(p->ctx, p->bytes + p->end, p->cap - p->end, err);
        if (got < 0)
            return -1;
        p->end += (size_t)got;
    }
    return 0;
}

int
sg_pull_take(struct sg_pull *p, size_t n, struct sg_slice *out, struct sg_err *err)
{
    if (have(p, n, err) != 0)
        return -1;
    *out = sg_slice(p->bytes + p->at, n);
    p->at += n;
    p->taken += n;
    return 0;
}

int
sg_pull_skip(struct sg_pull *p, uint64_t n, struct sg_err *err)
{
    size_t part;

    while (n > 0) {
        if (p->at == p->end) {
            p->at = p->end = 0;
            if (have(p, 1, err) != 0)
                return -1;
        }
        part = p->end - p->at < n ? p->end - p->at : (size_t)n;
        p->at += part;
        p->taken += part;
        n -= part;
    }
    return 0;
}

int
sg_pull_byte(struct sg_pull *p, uint8_t *out, struct sg_err *err)
{
    struct sg_slice s;

    if (sg_pull_take(p, 1, &s, err) != 0)
        return -1;
    *out = (uint8_t)s.ptr[0];
    return 0;
}

int
sg_pull_peek(struct sg_pull *p, uint8_t *out, struct sg_err *err)
{
    if (have(p, 1, err) != 0)
        return -1;
    *out = (uint8_t)p->bytes[p->at];
    return 0;
}

int
sg_pull_line(struct sg_pull *p, size_t most, struct sg_slice *out, struct sg_err *err)
{
    size_t len = 0;
    const char *lf;

    for (;;) {
        lf = p->end > p->at + len ? memchr(p->bytes + p->at + len, '\n', p->end - p->at - len)
                                  : NULL;
        if (lf != NULL)
            break;
        len = p->end - p->at;
        if (len > most)
            return sg_fail(err, SG_E_INVALID, p->name, "a line above %zu bytes", most);
        if (have(p, len + 1, err) != 0)
            return -1;
    }
    len = (size_t)(lf - (p->bytes + p->at));
    if (len > most)
        return sg_fail(err, SG_E_INVALID, p->name, "a line above %zu bytes", most);
    *out = sg_slice(p->bytes + p->at, len);
    if (len > 0 && out->ptr[len - 1] == '\r')
        out->len--;
    p->at += len + 1;
    p->taken += len + 1;
    return 0;
}

size_t
sg_pull_ready(const struct sg_pull *p)
{
    return p->end - p->at;
}
