/* SPDX-License-Identifier: MIT */
#ifndef SG_COLLECT_DIGEST_H
#define SG_COLLECT_DIGEST_H

#include "base/buf.h"
#include "base/hash.h"
#include "model/mapping.h"

/* A row as both sides agree on it: a hash over its values in PostgreSQL's binary form. jsonb counts
 * for what it says, since PostgreSQL writes it in another form than it was given; the version
 * column, which the source does not have, does not count. */
struct sg_row_shape {
    int n;
    struct sg_model_physical columns[SG_MODEL_PHYSICAL_MAX];
};

/* scratch: for reading jsonb. SG_E_INVALID: not the table's form. */
SG_MUST_USE int sg_row_hash(const struct sg_row_shape *shape, const struct sg_slice *values, int n,
                            struct sg_arena *scratch, struct sg_hash *out, struct sg_err *err);
/* Whether column i counts, and is the same in both. */
bool sg_row_same(const struct sg_row_shape *shape, int i, struct sg_slice a, struct sg_slice b,
                 struct sg_arena *scratch);

/* Any order of rows has the same sum. */
struct sg_row_sum {
    uint64_t words[SG_HASH_BYTES / 8];
    int64_t rows;
};
void sg_row_sum_add(struct sg_row_sum *sum, const struct sg_hash *hash);
bool sg_row_sum_eq(const struct sg_row_sum *a, const struct sg_row_sum *b);

#endif
