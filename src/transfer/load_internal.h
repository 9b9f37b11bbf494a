/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_LOAD_INTERNAL_H
#define SG_TRANSFER_LOAD_INTERNAL_H

#include "transfer/load.h"
#include "transfer/record.h"

/* Shared by load.c (the batch, steps 1 to 3), load_rows.c (step 4) and load_ends.c (the ends of
 * steps 2 and 5). */
struct item {
    struct sg_record record;
    char *bytes; /* key, then value */
    const char *found;
    struct sg_buf handle, value; /* sealed */
    int blocked_on;
    bool ended; /* its ref is a tombstone */
    int generation;
    char was[SG_SUBJECT_MAX + 1]; /* the subject before, while `changed` */
    int was_generation;
    bool changed, was_ended;
};

/* The rows of one shard in a step. */
struct part {
    struct sg_load *load;
    int shard, first, n;
};

struct end_again {
    struct sg_legacy_request request;
    struct sg_load *load;
    int item;
};

struct sg_load {
    const struct sg_bridge *bridge;
    struct sg_load_options options;
    int capacity, n;
    uint64_t asked_ns; /* the legacy store */
    struct item *items;
    int *of; /* row -> item, for the step under way */
    union {
        struct sg_ref_read *reads;
        struct sg_ref_row *refs;
        struct sg_end_row *ends;
        struct sg_session_row *sessions;
        void *any;
    } rows;
    struct sg_reject_row *rejects;
    int *ledger_buckets;
    struct sg_chunk chunk;
    struct end_again *again;
    struct part parts[SG_SHARDS_MAX + 1];
    void (*then)(struct sg_load *);
    int pending, n_rows, n_rejects;
    int rc;
    struct sg_err err;
    struct sg_load_counts counts;
};

/* Still to be stored: decodable, and nothing has failed for it. */
static inline bool
sg_load_goes_on(const struct item *it)
{
    return it->record.reject == NULL && it->blocked_on < 0;
}

/* Frees what the step before needed. */
void sg_load_drop_step(struct sg_load *load);
void sg_load_failed(struct sg_load *load, const struct sg_err *err);
void sg_load_no_memory(struct sg_load *load); /* every record fails */
void sg_load_finish(struct sg_load *load);
/* Completion of one shard's part of a step, with ctx the part. */
void sg_load_part_done(void *ctx, int rc, const struct sg_err *err);
int sg_load_session_shard(const struct sg_load *load, const struct item *it, const char *subject);

/* Ends, shard by shard, the sessions of records marked `changed`, then goes on with `then`. */
void sg_load_end_changed(struct sg_load *load, void (*then)(struct sg_load *));
/* Step 5, and the end. */
void sg_load_end_again(struct sg_load *load);
/* Step 4 and what follows. */
void sg_load_store_rows(struct sg_load *load);

#endif
