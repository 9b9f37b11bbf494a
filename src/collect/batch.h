/* SPDX-License-Identifier: MIT */
#ifndef SG_COLLECT_BATCH_H
#define SG_COLLECT_BATCH_H

#include "base/buf.h"
#include "keys/digest.h"
#include "model/convert.h"

/* What one shard gets of a chunk: whole records, each with all of its rows, and rejects. */
#define SG_BATCH_ROWS_MAX ((size_t)256 << 20) /* a record of the largest size fits on top */
#define SG_BATCH_REJECTS_MAX ((size_t)64 << 20)

struct sg_batch_record {
    size_t rows_at, rows_end; /* in rows */
    size_t key_at, id_at;     /* in keys: the source's key, and the row's */
    uint32_t key_len, id_len;
    uint64_t hash; /* of the row's key */
    int root, bucket;
    bool dropped; /* the same record came again in this batch, and that one counts */
};

struct sg_batch_reject {
    struct sg_hash digest;
    int bucket;
    const char *reason; /* static */
    char place[200];
    size_t key_at, key_len, value_at, value_len; /* sealed, in sealed; value_len 0 = not kept */
};

struct sg_batch {
    struct sg_buf rows; /* table (4 bytes), length (4 bytes), tuple of COPY BINARY; and again */
    struct sg_buf keys, sealed;
    struct sg_batch_record *records;
    struct sg_batch_reject *rejects;
    int n_records, cap_records, n_rejects, cap_rejects;
    int *slots; /* by the hash of the row's key: index of a record, -1 */
    int n_slots;
};

void sg_batch_init(struct sg_batch *b);
void sg_batch_free(struct sg_batch *b);

/* Adds a record as its rows. A record with the same row key and source key in the batch is dropped
 * for it. *clash: with the same row key but another source key; it was not added. */
SG_MUST_USE int sg_batch_add(struct sg_batch *b, const struct sg_mapping *m, int root,
                             struct sg_slice key, const struct sg_model_rows *rows, bool *clash,
                             struct sg_err *err);

/* A record of another batch. */
SG_MUST_USE int sg_batch_take(struct sg_batch *b, const struct sg_batch *from,
                              const struct sg_batch_record *record, struct sg_err *err);
/* A row by itself, as a record without keys. */
SG_MUST_USE int sg_batch_add_tuple(struct sg_batch *b, int table, int bucket, struct sg_slice tuple,
                                   struct sg_err *err);

/* reject: as it is, with key_at…value_len filled in here. */
SG_MUST_USE int sg_batch_add_reject(struct sg_batch *b, const struct sg_batch_reject *reject,
                                    struct sg_slice key_sealed, struct sg_slice value_sealed,
                                    struct sg_err *err);

/* The row at *at of rows, which moves on; false at `end`. */
bool sg_batch_next(const struct sg_batch *b, size_t *at, size_t end, int *table,
                   struct sg_slice *tuple);

/* Takes a tuple of COPY BINARY apart: up to `most` values, ptr NULL = NULL. Returns how many; -1
 * where it is none. */
int sg_tuple_split(struct sg_slice tuple, struct sg_slice *values, int most);

#endif
