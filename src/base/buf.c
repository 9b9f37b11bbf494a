/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static bool
reserve(struct sg_buf *b, size_t more)
{
    size_t cap = b->cap != 0 ? b->cap : 64;
    char *p;

    if (b->failed || more > b->max_bytes || b->len > b->max_bytes - more) {
        b->failed = true;
        return false;
    }
    if (b->len + more < b->cap)
        return true;
    while (cap <= b->len + more)
        cap *= 2;
    p = realloc(b->ptr, cap);
    if (p == NULL) {
        b->failed = true;
        return false;
    }
    b->ptr = p;
    b->cap = cap;
    return true;
}

void
sg_buf_add(struct sg_buf *b, struct sg_slice s)
{
    if (!reserve(b, s.len))
        return;
    if (s.len != 0)
        memcpy(b->ptr + b->len, s.ptr, s.len);
    b->len += s.len;
    b->ptr[b->len] = '\0';
}

void
sg_buf_puts(struct sg_buf *b, const char *s)
{
    sg_buf_add(b, sg_str(s));
}

void
sg_buf_printf(struct sg_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        b->failed = true;
    else if (reserve(b, (size_t)n)) {
        vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void
sg_buf_reset(struct sg_buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->ptr != NULL)
        b->ptr[0] = '\0';
}

void
sg_buf_free(struct sg_buf *b)
{
    free(b->ptr);
    *b = SG_BUF_INIT(b->max_bytes);
}

void
sg_buf_wipe(struct sg_buf *b)
{
    if (b->ptr != NULL)
        sodium_memzero(b->ptr, b->cap);
    sg_buf_free(b);
}
