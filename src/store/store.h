/* SPDX-License-Identifier: MIT */
#ifndef SG_STORE_STORE_H
#define SG_STORE_STORE_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"
#include "shard/shard.h"

#include <stdint.h>

/* Segue's sessions in sharded PostgreSQL: all of its SQL. Every operation takes arrays, splits them
 * by bucket over the shards, and per shard is one implicit transaction that begins with the fence
 * (rule 12). Asynchronous: done is called exactly once, from the loop, never from within the call.
 * The arrays belong to the caller and must live until then. rc is -1 if any shard failed (err is
 * the first such; rows of the other shards may be stored: every operation is idempotent, so do it
 * again). */
struct sg_store;

SG_MUST_USE int sg_store_new(uv_loop_t *loop, const struct sg_clock *clock,
                             struct sg_shards *shards, struct sg_store **out, struct sg_err *err);
void sg_store_free(struct sg_store *store); /* nothing may be under way */

#define SG_SID_BYTES 16
#define SG_DIGEST_BYTES 32
#define SG_STORE_ROWS_MAX 2000 /* in one call */

struct sg_store_op; /* one operation under way */
typedef void (*sg_store_done)(void *ctx, int rc, const struct sg_err *err);

/* ---- token_ref: step 2 of the exchange ---- */

struct sg_ref_row {
    const char *realm;
    int bucket; /* of the digest */
    uint8_t digest[SG_DIGEST_BYTES];
    const char *subject; /* "" = anonymous */
    bool reuses_ids; /* the codec may use a key again: an ended row is then a new generation, else
                        refused */
    /* out */
    int generation;
    bool ended; /* tombstone: refuse */
    /* The session that this call displaced and that must be ended: previous_generation is -1 where
     * there is none; "" is the anonymous one. Told once: who crashes before ending it leaves that
     * to reconciling (get_refs tells that the digest now means another session). */
    char previous_subject[201];
    int previous_generation;
};
void sg_store_put_refs(struct sg_store *store, struct sg_ref_row *rows, int n, uint64_t deadline_ns,
                       sg_store_done done, void *ctx);

/* Reads refs without changing them; found tells. */
struct sg_ref_read {
    const char *realm;
    int bucket;
    uint8_t digest[SG_DIGEST_BYTES];
    bool found, ended;
    char subject[201];
    int generation;
};
void sg_store_get_refs(struct sg_store *store, struct sg_ref_read *rows, int n,
                       uint64_t deadline_ns, sg_store_done done, void *ctx);

/* ---- sessions: step 3 ---- */

struct sg_session_row {
    const char *realm;
    int bucket; /* of the subject; of the digest for an anonymous session */
    uint8_t sid[SG_SID_BYTES];
    const char *subject; /* "" = anonymous */
    int generation;
    const char *origin;    /* "legacy" or "segue" */
    const char *client_id; /* "" = unknown */
    uint8_t store_digest[SG_DIGEST_BYTES];
    bool has_store_digest;
    struct sg_slice handle, record; /* sealed */
    int64_t idle_ms;
    int64_t exp_source_in_ms; /* from now by the database's clock; -1 = not said (kept as it is) */
    int64_t exp_segue_in_ms;  /* extends; -1 = not said */
    int64_t exp_absolute_in_ms; /* from creation; only used when the row is new; 0 = none */
    int64_t jwt_until_in_ms;    /* a JWT is being minted that expires then; -1 = none is */
    bool mark_dirty;            /* put it into the outbox: the mirror must follow */
    bool seen_in_source;        /* the source holds it: clears a hold */
    int64_t seen_ms_ago; /* when the source was asked: what was read later is not overwritten by
                            what was read before (rule 11) */
    /* out */
    bool live;              /* false: ended; nothing was changed */
    int64_t created_ms;     /* database clock, Unix ms */
    int64_t expires_in_ms;  /* combined (rule 11); may be negative; INT64_MAX = no end is known */
    int64_t absolute_in_ms; /* INT64_MAX = none */
    int64_t version;
    bool has_jwt; /* a JWT was handed over before this call */
    int epoch;    /* of the subject; 0 if unknown */
    bool banned;
    int64_t source_version; /* of the subject's roles; -1 = unknown */
    int64_t logout_ago_ms; /* since the subject's last "log out everywhere", as the row was written;
                            * INT64_MAX = none. A proof read before that proves nothing. */
};
void sg_store_put_sessions(struct sg_store *store, struct sg_session_row *rows, int n,
                           uint64_t deadline_ns, sg_store_done done, void *ctx);

/* A whole chunk of a transfer: first its sessions, on their subjects' shards; when those are
 * committed, on the shards of the keys' digests, its rejects and the ledger row (P5: never counted
 * before stored). Every shard gets a ledger row, and a chunk done again replaces them all; a chunk
 * numbered -1 is of no snapshot and is counted nowhere. Sessions
 * need store_digest; rejects of before that are stored now are settled. Sessions and rejects
 * together: at most SG_STORE_ROWS_MAX. */
struct sg_reject_row {
    const char *realm;
    int bucket;
    uint8_t key_digest[SG_DIGEST_BYTES];
    struct sg_slice key_sealed, value_sealed; /* value may be empty */
    const char *reason, *place;
};
struct sg_chunk {
    const char *realm;
    int64_t job, chunk;
    struct sg_session_row *sessions;
    const int
        *session_ledger_bucket; /* per session: the digest's bucket, on whose shard it is counted */
    int n_sessions;
    struct sg_reject_row *rejects;
    int n_rejects;
};
void sg_store_put_chunk(struct sg_store *store, struct sg_chunk *chunk, uint64_t deadline_ns,
                        sg_store_done done, void *ctx);

/* Reading a session by id. */
struct sg_session_read {
    const char *realm;
    int bucket;
    uint8_t sid[SG_SID_BYTES];
    /* out */
    bool found, ended, has_jwt, has_store_digest, held;
    char subject[201], client_id[65], end_reason[33];
    int generation;
    int64_t created_ms, expires_in_ms, absolute_in_ms, idle_ms, held_for_ms, version;
    int64_t exp_source_in_ms; /* the source's own word; INT64_MIN = none */
    uint8_t store_digest[SG_DIGEST_BYTES];
    struct sg_buf handle, record; /* sealed; free with sg_session_read_clear */
    int epoch;
    bool banned;
    int64_t source_version;
    struct sg_buf roles, permissions; /* array literals of the last known identity */
    struct sg_buf attributes;         /* its JSON object */
};
void sg_store_get_sessions(struct sg_store *store, struct sg_session_read *rows, int n,
                           uint64_t deadline_ns, sg_store_done done, void *ctx);
void sg_session_read_clear(struct sg_session_read *row);

/* Ends sessions: tombstones are upserted (also for what was never seen), the feed and the outbox
 * are written with them. */
struct sg_end_row {
    const char *realm;
    bool has_digest;
    int digest_bucket;
    uint8_t digest[SG_DIGEST_BYTES];
    bool has_sid;
    int sid_bucket;
    uint8_t sid[SG_SID_BYTES];
    const char *subject; /* "" = unknown or anonymous */
    const char
        *reason; /* "logout", "app-logout", "absent", "subject-changed", "reuse", "anonymous" */
    bool mirror; /* the legacy record must be deleted too */
    bool tombstone_ref; /* also the token_ref (not when only its subject changed in place) */
    /* out */
    bool changed; /* it was live until now */
};
void sg_store_end_sessions(struct sg_store *store, struct sg_end_row *rows, int n,
                           uint64_t deadline_ns, sg_store_done done, void *ctx);

/* Marks a session held (absent without proof); out: for how long it has been. */
struct sg_hold_row {
    const char *realm;
    int bucket;
    uint8_t sid[SG_SID_BYTES];
    int64_t held_for_ms; /* out; -1 = there is no such live session */
};
void sg_store_hold_sessions(struct sg_store *store, struct sg_hold_row *rows, int n,
                            uint64_t deadline_ns, sg_store_done done, void *ctx);

/* ---- subjects ---- */

struct sg_subject_row {
    const char *realm;
    int bucket;
    const char *subject;
    bool active;
    const char *roles, *permissions; /* PostgreSQL array literals */
    const char *attributes;          /* a JSON object */
    int64_t source_version;
    bool raise_epoch; /* "log out everywhere": voids what was minted before */
    /* Where guarded, the identity counts only if the stored version still is if_version (-1: nobody
     * was told of yet). */
    bool guarded;
    int64_t if_version;
    /* out: as stored now; an older source_version changes nothing */
    int epoch;
    bool banned;
    int64_t stored_version;
    bool taken; /* the identity counted */
};
/* Writes a row of the feed for each subject whose status, epoch, roles, permissions or attributes
 * changed; not at the first reading of one without sessions (prewarming). A ban raises the epoch.
 * Only a reading at least as new as the stored one counts; raise_epoch always does. */
void sg_store_put_subjects(struct sg_store *store, struct sg_subject_row *rows, int n,
                           uint64_t deadline_ns, sg_store_done done, void *ctx);

/* Reads subjects as they are stored. */
struct sg_subject_read {
    const char *realm;
    int bucket;
    const char *subject;
    /* out */
    bool found;  /* and its identity was written once */
    bool locked; /* banned by an operator, whatever its source says; also where it is not found */
    int epoch;
    bool banned; /* by its source */
    int64_t source_version;
    struct sg_buf roles, permissions, attributes; /* free with sg_subject_read_clear */
};
void sg_store_get_subjects(struct sg_store *store, struct sg_subject_read *rows, int n,
                           uint64_t deadline_ns, sg_store_done done, void *ctx);
void sg_subject_read_clear(struct sg_subject_read *row);

/* ---- refresh tokens (rule 10) ---- */

#define SG_WORDS_BYTES 1024 /* a list of audiences, and of scopes, with its NUL */

struct sg_refresh_new {
    const char *realm;
    int bucket;
    uint8_t digest[SG_DIGEST_BYTES], sid[SG_SID_BYTES], chain[SG_SID_BYTES];
    const char *client_id;
    const char *audience, *scope; /* words (base/words.h) */
    int64_t expires_in_ms;
};
/* SG_E_DENIED when the session has ended. Never beyond the session's absolute limit. */
void sg_store_put_refresh(struct sg_store *store, const struct sg_refresh_new *token,
                          uint64_t deadline_ns, sg_store_done done, void *ctx);

enum sg_rotation {
    SG_ROTATED,       /* the offered successor is now current */
    SG_ROTATED_GRACE, /* a retry within the grace: successor_sealed is the same as the first
                         answer's */
    SG_ROTATE_UNKNOWN,
    SG_ROTATE_EXPIRED,
    SG_ROTATE_ENDED,  /* the chain or its session has ended, or is past its absolute limit */
    SG_ROTATE_REUSED, /* after the grace: the chain is ended now */
    SG_ROTATE_LAPSED, /* nothing was changed: as far as is known here the session's idle time is
                       * over (sid is given). Where the source is the truth: look there,
                       * put_sessions, and rotate again; else it is over. */
};
struct sg_rotate {
    const char *realm;
    int bucket;
    uint8_t digest[SG_DIGEST_BYTES];
    const char *client_id; /* must be the token's own */
    uint8_t next_digest[SG_DIGEST_BYTES];
    struct sg_slice next_sealed; /* empty: only asks what a use would come to now, and ends nothing
                                    but the chain of a reused token */
    int64_t grace_ms, lifetime_ms;
    /* out */
    enum sg_rotation outcome;
    uint8_t sid[SG_SID_BYTES];
    char audience[SG_WORDS_BYTES], scope[SG_WORDS_BYTES];
    struct sg_buf successor_sealed; /* owned by the caller: sg_buf_free */
    uint8_t successor_digest[SG_DIGEST_BYTES];
};
/* Those of one shard that wait for it share a transaction; what becomes of one does not touch the
 * others. */
void sg_store_rotate(struct sg_store *store, struct sg_rotate *rotate, uint64_t deadline_ns,
                     sg_store_done done, void *ctx);

/* What a refresh token is, without using it. */
struct sg_refresh_read {
    const char *realm;
    int bucket;
    uint8_t digest[SG_DIGEST_BYTES];
    /* out */
    bool found;
    bool current; /* neither used, ended nor expired; its session is another question */
    uint8_t sid[SG_SID_BYTES];
    char client_id[65], audience[SG_WORDS_BYTES], scope[SG_WORDS_BYTES];
    int64_t issued_sec, expires_sec; /* Unix time */
};
void sg_store_get_refresh(struct sg_store *store, struct sg_refresh_read *token,
                          uint64_t deadline_ns, sg_store_done done, void *ctx);

/* ---- the feed, polled one shard at a time ---- */

struct sg_feed_row {
    const char *realm;
    bool is_session; /* else: subject */
    uint8_t sid[SG_SID_BYTES];
    const char *subject;
    bool banned;
    int epoch;
    int64_t source_version, at_ms;
    struct sg_slice roles, permissions; /* array literals */
    struct sg_slice attributes;         /* a JSON object */
};
#define SG_FEED_CURSOR_BYTES 512
struct sg_feed_poll {
    int shard;
    char cursor[SG_FEED_CURSOR_BYTES]; /* in: "0" at first; out: where to go on from; untouched on
                                          failure */
    void (*row)(void *ctx, const struct sg_feed_row *row);
    void (*beat)(void *ctx, const char *realm, int64_t beat, int64_t sent_ms);
    void *ctx;
    int n_rows; /* out */
    int64_t newest_ms;
};
/* Gives each row once as soon as it is committed, in the order of commits for each subject (rarely
 * one twice: rows are idempotent), then the beats: whatever was committed before a beat has been
 * given when it is. */
void sg_store_poll_feed(struct sg_store *store, struct sg_feed_poll *poll, uint64_t deadline_ns,
                        sg_store_done done, void *ctx);

/* Writes the heartbeat to one shard. */
void sg_store_put_beat(struct sg_store *store, int shard, const char *realm, int64_t beat,
                       int64_t sent_ms, uint64_t deadline_ns, sg_store_done done, void *ctx);

/* ---- the outbox: what the mirror has to do, one shard at a time ---- */

struct sg_outbox_row {
    int bucket;
    uint8_t sid[SG_SID_BYTES];
    int64_t version;
    bool ended;
    int64_t ended_for_ms;
    int64_t expires_in_ms, idle_ms;
    int64_t exp_source_in_ms;       /* the source's own word; INT64_MIN = it never held it */
    bool held;                      /* absent without proof: the operator's */
    struct sg_slice handle, record; /* sealed; valid during the callback's list only */
};
struct sg_outbox_poll {
    int shard;
    const char *realm;
    int limit;
    /* out: owned by the poll until sg_outbox_clear */
    struct sg_outbox_row *rows;
    int n_rows;
    void *priv;
};
void sg_store_poll_outbox(struct sg_store *store, struct sg_outbox_poll *poll, uint64_t deadline_ns,
                          sg_store_done done, void *ctx);
void sg_outbox_clear(struct sg_outbox_poll *poll);
/* Deletes those outbox rows whose version is still the given one. */
void sg_store_outbox_done(struct sg_store *store, int shard, const char *realm,
                          const struct sg_outbox_row *rows, int n, uint64_t deadline_ns,
                          sg_store_done done, void *ctx);

/* ---- reconciling: live sessions of a realm that the source was last known to hold before a moment
 * ---- */

struct sg_unseen_row {
    int bucket;
    uint8_t sid[SG_SID_BYTES];
    char subject[201];
    int generation;
    uint8_t store_digest[SG_DIGEST_BYTES];
    int64_t expires_in_ms, unseen_for_ms, idle_ms;
    int64_t exp_source_in_ms; /* the source's own word; INT64_MIN = none */
    bool held;
    struct sg_buf handle;
};
struct sg_unseen_poll {
    int shard;
    const char *realm;
    int64_t unseen_for_at_least_ms;
    int after_bucket; /* in: -1 at first; out: for the next page */
    uint8_t after_sid[SG_SID_BYTES];
    int limit;
    struct sg_unseen_row *rows; /* owned by the poll until sg_unseen_clear */
    int n_rows;
};
/* Fewer rows than limit: that was the last page. A page reads on through the realm until it has
 * enough rows, so the deadline is for a walk over all of them. */
void sg_store_poll_unseen(struct sg_store *store, struct sg_unseen_poll *poll, uint64_t deadline_ns,
                          sg_store_done done, void *ctx);
void sg_unseen_clear(struct sg_unseen_poll *poll);

/* ---- housekeeping ---- */

/* One bounded step of deleting what is not needed any more: call again until bucket is SG_BUCKETS.
 * Each time is how long a row is kept after it lost its use. */
struct sg_sweep {
    const char *realm;
    int64_t feed_keep_ms;  /* rows of the feed: longer than any JWT lives */
    int64_t ended_keep_ms; /* ended or expired sessions, refresh tokens past their expiry */
    int64_t ref_keep_ms;   /* tombstones and refs not seen any more: longer than the longest legacy
                            * idle time plus a JWT's lifetime, or a logged-out token could be
                            * exchanged again */
    bool mirror;           /* ends that are still in the outbox are kept, however old */
    int bucket;            /* in: 0 at first; out: where to go on */
    int64_t deleted;       /* out */
};
void sg_store_sweep(struct sg_store *store, struct sg_sweep *sweep, uint64_t deadline_ns,
                    sg_store_done done, void *ctx);

/* Fails with SG_E_INVALID when a shard's schema is not this binary's ("shard 2 has schema 0, …: run
 * segue init"), or when a shard owns none of the buckets that the map gives it (the order of shards
 * in the configuration was changed). */
void sg_store_check_versions(struct sg_store *store, uint64_t deadline_ns, sg_store_done done,
                             void *ctx);

#endif
