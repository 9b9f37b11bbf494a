/* SPDX-License-Identifier: MIT */
#ifndef SG_REDIS_PULL_H
#define SG_REDIS_PULL_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

/* A stream of bytes read piece by piece: what a parser looks at stands contiguously in one buffer,
 * which grows to what is asked for and never beyond its bound. For the thread that reads it. */
struct sg_pull {
    /* More bytes, at least one and at most cap, into `into`; how many, or -1 with *err. The end of
     * the stream is an error too: the parsers know where theirs ends. */
    int64_t (*more)(void *ctx, char *into, size_t cap, struct sg_err *err);
    void *ctx;
    const char *name; /* stands for the stream in errors */
    uint64_t taken;   /* bytes given out so far */
    /* private */
    char *bytes;
    size_t at, end, cap, bytes_max;
};

/* Longest piece that sg_pull_take gives: bytes_max. */
SG_MUST_USE int sg_pull_init(struct sg_pull *pull, size_t bytes_max, struct sg_err *err);
void sg_pull_free(struct sg_pull *pull);

/* The next n bytes; good until the next call. SG_E_LIMIT past the bound. */
SG_MUST_USE int sg_pull_take(struct sg_pull *pull, size_t n, struct sg_slice *out,
                             struct sg_err *err);
/* Passes over n bytes, however many. */
SG_MUST_USE int sg_pull_skip(struct sg_pull *pull, uint64_t n, struct sg_err *err);
SG_MUST_USE int sg_pull_byte(struct sg_pull *pull, uint8_t *out, struct sg_err *err);
/* The next byte, which stays. */
SG_MUST_USE int sg_pull_peek(struct sg_pull *pull, uint8_t *out, struct sg_err *err);
/* The next line without its CR LF, at most `most` bytes long; good until the next call. */
SG_MUST_USE int sg_pull_line(struct sg_pull *pull, size_t most, struct sg_slice *out,
                             struct sg_err *err);
/* Bytes that are there without reading more. */
size_t sg_pull_ready(const struct sg_pull *pull);

#endif
