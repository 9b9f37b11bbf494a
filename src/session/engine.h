/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_ENGINE_H
#define SG_SESSION_ENGINE_H

#include "base/clock.h"
#include "base/err.h"
#include "config/config.h"
#include "keys/seal.h"
#include "segue/segue.h"

#include <uv.h>

/* Everything one event loop needs to answer for its realms: pools to control and shards, legacy
 * stores, identity sources, keys, policies, and the feed's state. Nothing is shared between loops
 * but the configuration and the keyring. */
struct sg_engine;
struct sg_realm;

struct sg_engine_options {
    const struct sg_config *config; /* must outlive the engine */
    const struct sg_keyring *ring;  /* likewise */
    const char *instance;
    int loop_index; /* loop N's row in the control schema is "instance/N", loop 0's "instance" */
    /* For realms that take passwords; shared by all loops, and must outlive them. */
    struct sg_attempts *attempts;
    struct sg_work_pool *workers;
    /* Something worth a log line happened (the layer does not log). May be NULL. */
    void (*event)(void *ctx, bool bad, const char *what, const struct sg_err *err);
    void *ctx;
};

/* Connects in the background: sg_engine_ready tells when. Fails on what can be seen at once
 * (unknown codec, bad URL). */
SG_MUST_USE int sg_engine_open(uv_loop_t *loop, const struct sg_clock *clock,
                               const struct sg_engine_options *options, struct sg_engine **out,
                               struct sg_err *err);
/* Waits for the operations under way (each has a deadline), then closes all connections. closed
 * comes from a later turn of the loop. */
void sg_engine_close(struct sg_engine *engine, void (*closed)(void *ctx), void *ctx);

/* Whether it can serve: policy, keys and every shard's feed were read. *why: what is missing,
 * static storage. */
bool sg_engine_ready(const struct sg_engine *engine, const char **why);

/* NULL if there is none; name empty = the first. */
struct sg_realm *sg_engine_realm(struct sg_engine *engine, struct sg_slice name);
const struct sg_realm_config *sg_realm_config(const struct sg_realm *realm);
int sg_engine_realms(const struct sg_engine *engine);
struct sg_realm *sg_engine_realm_at(struct sg_engine *engine, int i);

/* The policy this loop is under; version 0 = none yet. lease: confirmed within the last 2 s (rule
 * 13). */
const struct sg_policy *sg_realm_policy(const struct sg_realm *realm);
bool sg_realm_lease(const struct sg_realm *realm);

/* Public keys that verify this realm's tokens. */
struct segue_keyset *sg_realm_keys(struct sg_realm *realm);

/* The age of the newest heartbeat (legacy store -> capture -> shard -> feed), and of the last
 * successful poll, the worst shard's; INT64_MAX = never. */
int64_t sg_realm_beat_age_ms(const struct sg_realm *realm);
int64_t sg_engine_feed_age_ms(const struct sg_engine *engine, int shard);

/* Counters since the start, for metrics. */
struct sg_counters {
    uint64_t verify_jwt, verify_legacy, verify_both, verify_client, verify_none, verify_refused,
        verify_unavailable;
    uint64_t token_kept,
        token_signature; /* tokens known from before; whose signature was checked */
    uint64_t minted_first, minted_renewed, minted_repeated, minted_reference, minted_upstream,
        minted_client, minted_shadow, shadow_mismatch;
    uint64_t exchanged, refreshed, refresh_grace, refresh_reused, ended, created;
    uint64_t refused_policy, refused_ended, refused_banned, refused_size, legacy_undecodable, held,
        injected;
    uint64_t logins, login_refused, login_limited, login_busy;
    uint64_t feed_rows, feed_errors, control_errors;
    uint64_t not_owner;
    uint64_t subjects_patched, subjects_reread;
    uint64_t identity_errors;                 /* lookups: the source was down or made no sense */
    uint64_t claims_missing, claims_left_out; /* custom claims: required; optional and unfit */
};
const struct sg_counters *sg_realm_counters(const struct sg_realm *realm);

#endif
