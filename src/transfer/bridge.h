/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_BRIDGE_H
#define SG_TRANSFER_BRIDGE_H

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "config/config.h"
#include "identity/identity.h"
#include "keys/seal.h"
#include "legacy/legacy.h"
#include "pg/pg.h"
#include "shard/shard.h"
#include "store/store.h"

/* Both sides of one realm, open on one loop: the legacy store with its codec, the shards with the
 * store on them, the control database, and the keys. */
struct sg_bridge {
    uv_loop_t *loop;
    const struct sg_clock *clock;
    const struct sg_config *all;
    const struct sg_realm_config *config;
    const char *realm;
    const struct sg_keyring *ring;
    struct sg_hash realm_key;
    struct sg_codec_config codec_config;
    const struct sg_codec *codec;
    struct sg_legacy_store *legacy;
    struct sg_shards *shards;
    struct sg_store *store;
    bool *silent; /* a shard each: it does not answer its heartbeats, so that nothing need wait for
                     it to time out; kept by transfer/pulse.h */
    struct sg_pg *control; /* one connection: the session-level lock of the leader lives on it */
};

struct sg_bridge_options {
    uv_loop_t *loop;
    const struct sg_clock *clock;
    const struct sg_config *config;      /* must outlive the bridge */
    const struct sg_realm_config *realm; /* one of its realms */
    const struct sg_keyring *ring;       /* must outlive the bridge; NULL with legacy_only */
    bool legacy_only;                    /* neither shards nor control */
};

SG_MUST_USE int sg_bridge_open(const struct sg_bridge_options *options, struct sg_bridge **out,
                               struct sg_err *err);
/* What is under way completes with SG_E_CANCELLED, during this or by later turns of the loop;
 * closed is called last. */
void sg_bridge_close(struct sg_bridge *bridge, void (*closed)(void *ctx), void *ctx);

/* The shard of a bucket, and the bucket of a store key's digest. */
int sg_bridge_shard_of_digest(const struct sg_bridge *bridge, const uint8_t *digest);
int sg_bridge_bucket_of_digest(const struct sg_bridge *bridge, const uint8_t *digest);
/* The bucket a session lives in: its subject's; an anonymous one's is its digest's. */
int sg_bridge_session_bucket(const struct sg_bridge *bridge, const char *subject,
                             const uint8_t *digest);

/* Whether to leave the shard alone for now; then *err says so. */
bool sg_bridge_is_silent(const struct sg_bridge *bridge, int shard, struct sg_err *err);

uint64_t sg_bridge_deadline(const struct sg_bridge *bridge, int64_t timeout_ms);

#endif
