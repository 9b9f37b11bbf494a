/* SPDX-License-Identifier: MIT */
#ifndef SG_STORE_SURVEY_H
#define SG_STORE_SURVEY_H

#include "store/store.h"

/* What stands on one shard, for bounds, reports and operators. Counting reads the realm's rows: not
 * for a hot path. Asynchronous, as everything in store.h. */

#define SG_SURVEY_REASONS 16

struct sg_survey {
    int shard;
    const char *realm;
    int64_t job; /* whose ledger is summed */
    /* out */
    int64_t live, anonymous, held, outbox;      /* sessions, now */
    int64_t stored, rejected, stored_anonymous; /* by the ledger of the job */
    int64_t beat, beat_age_ms;                  /* -1 = there was none */
    int64_t rejects;                            /* open ones */
    int n_reasons;
    struct {
        char reason[33];
        int64_t n;
    } reasons[SG_SURVEY_REASONS]; /* of the open rejects, most frequent first */
};
void sg_store_survey(struct sg_store *store, struct sg_survey *survey, uint64_t deadline_ns,
                     sg_store_done done, void *ctx);

/* Open rejects of one shard, by bucket and digest. */
struct sg_reject_read {
    int bucket;
    uint8_t key_digest[SG_DIGEST_BYTES];
    char reason[33], place[201];
    int64_t at_ms;
    struct sg_buf key_sealed, value_sealed; /* value empty: it was not kept */
};
struct sg_rejects_poll {
    int shard;
    const char *realm;
    int after_bucket; /* in: -1 at first; out: for the next page */
    uint8_t after_digest[SG_DIGEST_BYTES];
    int limit;
    struct sg_reject_read *rows; /* owned by the poll until sg_rejects_clear */
    int n_rows;
};
void sg_store_poll_rejects(struct sg_store *store, struct sg_rejects_poll *poll,
                           uint64_t deadline_ns, sg_store_done done, void *ctx);
void sg_rejects_clear(struct sg_rejects_poll *poll);

/* Held sessions of one shard, by bucket and sid. */
struct sg_held_read {
    int bucket;
    uint8_t sid[SG_SID_BYTES];
    char subject[201];
    int generation;
    uint8_t store_digest[SG_DIGEST_BYTES];
    int64_t held_for_ms, expires_in_ms; /* INT64_MAX = no end is known */
    struct sg_buf handle, record;       /* sealed */
};
struct sg_held_poll {
    int shard;
    const char *realm;
    int after_bucket;
    uint8_t after_sid[SG_SID_BYTES];
    int limit;
    struct sg_held_read *rows; /* owned by the poll until sg_held_clear */
    int n_rows;
};
void sg_store_poll_held(struct sg_store *store, struct sg_held_poll *poll, uint64_t deadline_ns,
                        sg_store_done done, void *ctx);
void sg_held_clear(struct sg_held_poll *poll);

#endif
