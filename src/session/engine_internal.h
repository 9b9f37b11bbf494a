/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_ENGINE_INTERNAL_H
#define SG_SESSION_ENGINE_INTERNAL_H

/* Inside the session layer only. */
#include "base/hash.h"
#include "event/work.h"
#include "identity/identity.h"
#include "keys/digest.h"
#include "legacy/legacy.h"
#include "pg/pg.h"
#include "session/engine.h"
#include "session/revoked.h"
#include "shard/shard.h"
#include "store/store.h"

#define LEASE_MS 2000       /* rule 13 */
#define CONTROL_POLL_MS 500 /* beside the notifications */
#define TELL_MS 900         /* between an instance's signs of life, with the next reading */
#define FEED_POLL_MS 100    /* likewise */
#define FEED_SILENT_MS 500  /* polls unanswered for so long: the shard is down or stopped */
#define OP_TIMEOUT_MS 2000  /* one step of an operation */
#define RECENT_SLOTS 4096   /* per realm and loop: legacy credentials dealt with lately */
#define RECENT_MS 1000      /* a legacy session's row is written at most this often per loop */
#define HANDLE_SLOTS 4096   /* per realm and loop: legacy credentials to inject */
#define IDENTITY_SLOTS 4096 /* per realm and loop */
#define VERIFIED_BYTES ((size_t)4 << 20) /* per realm and loop: about 4,000 tokens */
#define IDENTITY_FRESH_MS 1000
#define ISSUED_SLOTS 4096      /* per realm and loop */
#define ISSUED_MS 10000        /* /verify mints at most this often for a session, per loop */
#define IDENTITY_TELL_MS 10000 /* between two lines about trouble with a realm's source */

/* What was learnt of a legacy credential lately, so that its next requests cost one read of the
 * legacy store. */
struct recent {
    uint8_t digest[SG_DIGEST_BYTES];
    uint8_t sid[SG_SID_BYTES];
    char subject[SG_SUBJECT_MAX + 1];
    int64_t policy_version;
    uint64_t until_ns; /* 0 = free */
};

struct handle_slot {
    uint8_t sid[SG_SID_BYTES];
    bool used;
    char key[SG_LEGACY_KEY_MAX + 1];
};

/* The JWT minted last for a session on this loop: who does not keep it is given it once more. */
struct issued {
    uint8_t sid[SG_SID_BYTES];
    struct sg_hash content; /* of all that it says, but its times */
    uint64_t until_ns;      /* 0 = free */
    int64_t exp_sec;
    char *token;
};

struct identity_slot {
    uint64_t until_ns;
    struct sg_identity *identity;
};

/* The realm's continuity record as last read (rule 1). */
struct continuity {
    bool proven;
    char run_id[48], sentinel[64];
    int64_t evicted, flushes;
};

/* A private half that the keyring does not open, under the sealing key that was tried. */
#define SG_UNOPENED_MAX 16
struct unopened_key {
    char kid[SEGUE_KID_BYTES + 1], sealed_with[SG_SEAL_ID_MAX + 1], why[900];
};
struct reread; /* reread.h */

struct sg_realm {
    struct sg_engine *engine;
    const struct sg_realm_config *config;
    struct sg_hash digest_key;
    const struct sg_codec *codec;
    struct sg_codec_config codec_config;
    struct sg_legacy_store *legacy;
    struct sg_identity_source *identity;
    struct sg_policy policy;
    struct continuity continuity;
    struct segue_keyset *keys;
    struct segue_cache *verified;
    struct segue_keyset *old_keys; /* retired: they tell whose an expired token was, no more */
    struct segue_key *signing;     /* the active key; NULL = none read yet, or not to be opened */
    char active_kid[SEGUE_KID_BYTES + 1];
    struct unopened_key unopened[SG_UNOPENED_MAX];
    int n_unopened;
    bool foreign_root; /* the keyring is another realm's, or another installation's */
    char root_check[2 * SG_HASH_BYTES + 1];
    struct sg_revoked *revoked;
    bool revoked_full; /* the set met its bound: every token is asked about */
    int64_t beat;
    uint64_t beat_seen_ns[SG_SHARDS_MAX]; /* when this shard's beat last grew */
    int64_t shard_beat[SG_SHARDS_MAX];
    struct recent recent[RECENT_SLOTS];
    struct handle_slot handles[HANDLE_SLOTS];
    struct identity_slot identities[IDENTITY_SLOTS];
    struct login_desk *login_desk; /* NULL: it takes no passwords */
    struct issued issued[ISSUED_SLOTS];
    struct reread *reread;
    uint64_t identity_told_ns; /* when trouble with its source was last told */
    struct sg_sweep sweep;
    uint64_t size_told_ns; /* that a token fits in no cookie */
    struct sg_counters counters;
};

struct feed {
    struct sg_engine *engine;
    struct sg_feed_poll poll;
    struct sg_pg_listener *listener;
    bool busy, again, from_start;
    uint64_t good_ns; /* last successful poll; 0 = never */
};

struct sg_engine {
    uv_loop_t *loop;
    const struct sg_clock *clock;
    struct sg_engine_options options;
    struct sg_shards *shards;
    struct sg_store *store;
    struct sg_work_end *work; /* where passwords are checked; NULL: no realm takes any */
    struct sg_pg *control;
    struct sg_pg_listener *control_listener;
    struct sg_pg_batch control_batch, instance_batch, leave_batch;
    bool control_busy, control_again, instance_busy, map_read, map_wanted;
    uint64_t control_good_ns; /* the reading that began then was answered */
    uint64_t control_sent_ns;
    bool instance_again;
    uint64_t instance_sent_ns, instance_told_ns;
    uv_timer_t tick; /* polls control, feeds and purges */
    uint64_t ticks;
    bool sweeping, rotating, schema_ok, schema_busy;
    char schema_why[520]; /* what the last check of the shards' schemas found wrong */
    struct feed feeds[SG_SHARDS_MAX];
    struct sg_realm *realms[SG_REALMS_MAX];
    int n_realms;
    int open_ops; /* operations under way: closing waits for them */
    bool closing;
    int close_waits;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static inline uint64_t
engine_deadline(const struct sg_engine *e, int64_t ms)
{
    return sg_mono_ns(e->clock) + (uint64_t)ms * SG_NS_PER_MS;
}

void engine_event(struct sg_engine *e, bool bad, const char *what, const struct sg_err *err);
/* Tells of trouble with the realm's identity source, seldom enough for a log. */
void realm_identity_trouble(struct sg_realm *r, const struct sg_err *err);
struct sg_realm *engine_find_realm(struct sg_engine *e, const char *name);
/* Policy, keys and bucket map were read once. Before that a good token looks like one of an unknown
 * key and a session is looked for on the wrong shard: nothing may be judged. */
bool realm_is_known(const struct sg_realm *r);

/* control.c */
int control_start(struct sg_engine *e, struct sg_err *err);
void control_poll(struct sg_engine *e);
/* This loop stops: it is no longer waited for. Once, before closing. */
void control_leave(struct sg_engine *e);
/* The map must be read again (a shard said it does not own a bucket). */
void control_reread_map(struct sg_engine *e);

/* feed.c */
int feed_start(struct sg_engine *e, struct sg_err *err);
void feed_poll_all(struct sg_engine *e);
/* Reads all that the shards still keep once more; stale until that is done. */
void feed_reread(struct sg_engine *e);
/* Whether this bucket's shard has answered lately: what need not be asked is not asked of a silent
 * one. */
bool feed_is_answered(const struct sg_realm *r, int bucket);
/* The feed, or what feeds it, is older than the configuration allows for this session's bucket. */
bool feed_is_stale(const struct sg_realm *r, int bucket);

/* login.c: what a realm that takes passwords needs besides. */
SG_MUST_USE int login_desk_open(struct sg_realm *r, struct sg_err *err);
void login_desk_tick(struct sg_realm *r); /* each TICK_MS */
/* closed: from a later turn of the loop, or at once where nothing has to be closed. */
void login_desk_close(struct sg_realm *r, void (*closed)(void *ctx), void *ctx);
void login_desk_free(struct sg_realm *r);

/* caches.c: bounded, direct-mapped; a lost entry costs one look-up */
const struct recent *recent_find(const struct sg_realm *r, const uint8_t digest[SG_DIGEST_BYTES]);
void recent_put(struct sg_realm *r, const uint8_t digest[SG_DIGEST_BYTES],
                const uint8_t sid[SG_SID_BYTES], const char *subject);
void recent_forget(struct sg_realm *r, const uint8_t digest[SG_DIGEST_BYTES]);
const char *handle_find(const struct sg_realm *r, const uint8_t sid[SG_SID_BYTES]);
void handle_put(struct sg_realm *r, const uint8_t sid[SG_SID_BYTES], const char *key);
const struct sg_identity *identity_find(const struct sg_realm *r, const char *subject);
void identity_put(struct sg_realm *r, const struct sg_identity *identity);
void identity_forget(struct sg_realm *r, const char *subject);
/* The JWT of that content minted for the session a moment ago; NULL: mint one. */
const struct issued *issued_find(const struct sg_realm *r, const uint8_t sid[SG_SID_BYTES],
                                 const struct sg_hash *content);
void issued_put(struct sg_realm *r, const uint8_t sid[SG_SID_BYTES], const struct sg_hash *content,
                const char *token, int64_t exp_sec, int64_t keep_ms);
void caches_free(struct sg_realm *r);

#endif
