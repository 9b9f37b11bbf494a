/* SPDX-License-Identifier: MIT */
#ifndef SG_BASE_BUF_H
#define SG_BASE_BUF_H

#include "base/err.h"
#include "base/slice.h"

/* Growing bytes with a maximum: a buffer cannot exist without one. ptr[len] is always NUL once
 * anything was added. A failed add marks the buffer `failed` and every later add fails too, so that
 * a run of adds needs one check at its end. */
struct sg_buf {
    char *ptr;
    size_t len;
    size_t cap;
    size_t max_bytes;
    bool failed;
};

#define SG_BUF_INIT(max) ((struct sg_buf){.max_bytes = (max)})

void sg_buf_add(struct sg_buf *b, struct sg_slice s);
void sg_buf_puts(struct sg_buf *b, const char *s);
void sg_buf_printf(struct sg_buf *b, const char *fmt, ...) SG_PRINTF(2, 3);

/* Empties the buffer, keeps its memory, clears `failed`. */
void sg_buf_reset(struct sg_buf *b);

/* Frees the memory; the buffer may be used again. sg_buf_wipe overwrites it first (secrets). */
void sg_buf_free(struct sg_buf *b);
void sg_buf_wipe(struct sg_buf *b);

static inline struct sg_slice
sg_buf_slice(const struct sg_buf *b)
{
    return (struct sg_slice){b->ptr, b->len};
}

#endif
