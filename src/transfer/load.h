/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_LOAD_H
#define SG_TRANSFER_LOAD_H

#include "transfer/bridge.h"

/* A batch of legacy records on its way into the shards:
 *   1. decode; what does not decode becomes a reject row;
 *   2. read the token_refs; where the subject changed in place, end the session it was (rule 2),
 * before the ref forgets who that was;
 *   3. upsert the token_refs, which give each session its generation, and so its sid;
 *   4. upsert sessions and rejects, with the ledger row where the batch is a chunk of a snapshot;
 *   5. a record whose ref is a tombstone was written again after its session had ended: end it in
 * the legacy store again (rule 11). Every step is idempotent: after a failure or a kill the whole
 * batch is done again. */
struct sg_load;

struct sg_load_counts {
    int stored, anonymous, rejected;
    int refused; /* ended before; not stored */
    int ended;   /* sessions whose subject changed in place */
};

struct sg_load_options {
    int64_t job, chunk; /* chunk -1: counted in no ledger */
    bool by_shard; /* what one shard does not take does not hold up the others; needs chunk -1 */
    int64_t timeout_ms;                            /* of each step */
    void (*done)(void *ctx, struct sg_load *load); /* once a start, from the loop */
    void *ctx;
};

/* At most SG_STORE_ROWS_MAX records. */
SG_MUST_USE int sg_load_new(const struct sg_bridge *bridge, int records, struct sg_load **out,
                            struct sg_err *err);
void sg_load_free(struct sg_load *load); /* not while it is under way */

/* Copies a record in; its index is the number of those before. found: a reason already known not to
 * decode it (value then may be empty); NULL. */
SG_MUST_USE int sg_load_add(struct sg_load *load, struct sg_slice key, struct sg_slice value,
                            int64_t ttl_ms, const char *found, struct sg_err *err);
int sg_load_count(const struct sg_load *load);
/* When the legacy store was asked for the records; otherwise it was when the load was made. */
void sg_load_asked_at(struct sg_load *load, uint64_t mono_ns);

/* May be called again after it was done. */
void sg_load_start(struct sg_load *load, const struct sg_load_options *options);

/* After done: -1 if any record is not stored, and the first error. */
int sg_load_result(const struct sg_load *load, struct sg_err *err);
/* The shard that did not take record i, -1 if it is stored; the shard count where the legacy store
 * did not answer. */
int sg_load_blocked_on(const struct sg_load *load, int i);
struct sg_load_counts sg_load_counted(const struct sg_load *load);

#endif
