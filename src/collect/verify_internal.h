/* SPDX-License-Identifier: MIT */
#ifndef SG_COLLECT_VERIFY_INTERNAL_H
#define SG_COLLECT_VERIFY_INTERNAL_H

#include "collect/digest.h"
#include "collect/verify.h"

#include <stdatomic.h>

/* Between verify.c (collections, and what to do about them), sums.c (which buckets differ), and
 * differ.c (which rows and columns). One collection at a time. */
#define LOOK_ROWS_MAX 200000 /* of both sides, that a run looks into */

struct sg_verify {
    const struct sg_verify_options *options;
    struct sg_target target;
    const struct sg_mapping *m;
    struct sg_source_options source_options;
    struct sg_source *source;
    struct sg_model_converter *converter;
    struct sg_arena *arena, *scratch;
    struct sg_verify_stats stats;
    /* of the collection */
    int root, n_tables; /* with its children */
    const char *collection;
    char realm[128];
    struct sg_row_shape *shapes; /* n_tables */
    bool differs[SG_BUCKETS];
    struct sg_row_sum *ours, *theirs; /* n_tables * SG_BUCKETS: of the tables, of the source */
};

/* Reads the whole collection; each record that converts goes to take. */
SG_MUST_USE int sg_verify_read(struct sg_verify *v,
                               int (*take)(struct sg_verify *v, void *ctx, struct sg_slice key,
                                           const struct sg_model_rows *rows, struct sg_err *err),
                               void *ctx, int64_t *rejected, struct sg_err *err);
/* The same of some keys, strongly consistent. */
SG_MUST_USE int sg_verify_fetch(struct sg_verify *v, const struct sg_slice *keys, int n,
                                int (*take)(struct sg_verify *v, void *ctx, struct sg_slice key,
                                            const struct sg_model_rows *rows, struct sg_err *err),
                                void *ctx, struct sg_err *err);

/* Fills differs. */
SG_MUST_USE int sg_verify_sums(struct sg_verify *v, struct sg_err *err);
/* Looks into the buckets that differ, tells what still does, and repairs it where that is asked. */
SG_MUST_USE int sg_verify_differ(struct sg_verify *v, struct sg_err *err);

/* Takes what COPY TO STDOUT gives apart: each row's tuple. */
struct sg_copy_reader {
    bool begun;
};
/* false: no row (the end). */
bool sg_copy_reader_row(struct sg_copy_reader *r, struct sg_slice bytes, struct sg_slice *tuple);
/* The bucket that a row begins with; -1. */
int sg_verify_bucket(struct sg_slice value);

#endif
