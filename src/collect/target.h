/* SPDX-License-Identifier: MIT */
#ifndef SG_COLLECT_TARGET_H
#define SG_COLLECT_TARGET_H

#include "collect/batch.h"
#include "collect/lane.h"
#include "keys/seal.h"
#include "source/source.h"

/* The shards as a transfer of collections writes them. A shard's functions are for one thread at a
 * time; different shards are independent. */
#define SG_TARGET_SHARDS_MAX 64

struct sg_target_options {
    const struct sg_mapping *mapping;
    const char *const *conninfos; /* one a shard */
    int n_shards;
    const struct sg_keyring *ring; /* seals rejects */
};

struct sg_target {
    struct sg_target_options options;
    const struct sg_mapping *m;
    uint8_t shard_of[SG_BUCKETS];
    struct sg_lane shards[SG_TARGET_SHARDS_MAX];
};

/* Connects and reads who owns which bucket. SG_E_INVALID: a bucket that nobody owns, or two do. */
SG_MUST_USE int sg_target_open(const struct sg_target_options *options, struct sg_target *out,
                               struct sg_err *err);
void sg_target_close(struct sg_target *t);

/* How a shard's tables are. */
enum sg_target_state {
    SG_TARGET_NONE,      /* not there */
    SG_TARGET_BARE,      /* without keys, and empty: a load may COPY straight in */
    SG_TARGET_BARE_ROWS, /* without keys, with rows: a load that copies is not over */
    SG_TARGET_KEYED,
};
/* SG_E_CONFLICT: the schema is there and not this mapping's. */
SG_MUST_USE int sg_target_look(struct sg_target *t, int shard, enum sg_target_state *out,
                               struct sg_err *err);
SG_MUST_USE int sg_target_create(struct sg_target *t, int shard, struct sg_err *err);
/* After loads by COPY: records that came twice keep what came last; then keys and indexes, in one
 * transaction. */
SG_MUST_USE int sg_target_build_keys(struct sg_target *t, int shard, struct sg_err *err);
/* Of tables without keys: every row out. */
SG_MUST_USE int sg_target_empty(struct sg_target *t, int shard, struct sg_err *err);

/* What of a record's key a mapping calls "$key"; empty where the store keeps it in the document. */
struct sg_slice sg_collect_key(const char *collection, const struct sg_source_record *record);
/* The realm of a collection: of its buckets, rejects and ledger rows. */
void sg_target_realm(const struct sg_mapping *m, int root, char out[128]);

struct sg_write {
    int root;
    bool merge;         /* into tables with keys; else they have none */
    bool force;         /* with merge: whatever version is stored */
    int64_t job, chunk; /* of the ledger row; job 0 = none */
    /* out */
    int stored, rejected;
};

/* Writes a batch and its ledger row in one transaction. Rows that the database refuses by
 * themselves become rejects of their records. SG_E_NOT_OWNER: the shard lost a bucket (P7). */
SG_MUST_USE int sg_target_write(struct sg_target *t, int shard, const struct sg_batch *batch,
                                struct sg_write *w, struct sg_err *err);

/* Deletes the batch's records, with all of their rows, from tables with keys. */
SG_MUST_USE int sg_target_delete(struct sg_target *t, int shard, int root,
                                 const struct sg_batch *batch, struct sg_err *err);

/* Adds a reject, sealed, to a batch of the shard that owns `bucket`. value.ptr NULL = not kept. */
SG_MUST_USE int sg_target_reject(const struct sg_target *t, int root, struct sg_slice key,
                                 struct sg_slice value, int bucket, const char *reason,
                                 const char *place, struct sg_batch *batch, struct sg_err *err);
/* Whether there is one that counts, of a record whose row would be in `bucket`. */
SG_MUST_USE int sg_target_is_rejected(struct sg_target *t, int root, struct sg_slice key,
                                      int bucket, bool *out, struct sg_err *err);
/* Where the reject of a record without a row goes: by the digest of its key. */
int sg_target_reject_bucket(const struct sg_target *t, int root, struct sg_slice key);

#endif
