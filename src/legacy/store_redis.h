/* SPDX-License-Identifier: MIT */
#ifndef SG_LEGACY_STORE_REDIS_H
#define SG_LEGACY_STORE_REDIS_H

#include "legacy/legacy.h"
#include "redis/redis.h"
#include "redis/url.h"

/* Shared by the files of the "redis" store. */
#define SG_REDIS_REALM_MAX 64
#define SG_REDIS_PREFIX_MAX 128
#define SG_REDIS_KEYS_PER_BATCH                                                                    \
    8 /* a scan reads so many values, each up to its bound, in one EXEC */

struct redisReply;

struct sg_redis_store {
    struct sg_legacy_store base;
    uv_loop_t *loop;
    const struct sg_clock *clock;
    struct sg_redis_url url;
    struct sg_redis_options options; /* its strings stand in url */
    struct sg_redis *redis;
    char realm[SG_REDIS_REALM_MAX + 1];
    char prefix[SG_REDIS_PREFIX_MAX + 1];
    char sentinel[32 + SG_REDIS_REALM_MAX];  /* key "segue:sentinel:<realm>" */
    bool psync;                              /* how it is followed */
    char heartbeat[32 + SG_REDIS_REALM_MAX]; /* key "segue:heartbeat:<realm>" */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* One follower, of either kind; they embed it first. */
struct sg_legacy_follower {
    void (*unfollow)(struct sg_legacy_follower *f, void (*closed)(void *ctx), void *ctx);
};

/* Appends a command to a batch; words are parted by single blanks and "%" takes the next slice. */
void sg_redis_store_add(struct sg_redis_batch *batch, const char *words,
                        const struct sg_slice *slices);
/* Appends the read of the sentinel, whose reply sg_redis_store_proof takes. */
void sg_redis_store_add_sentinel(const struct sg_redis_store *store, struct sg_redis_batch *batch);
void sg_redis_store_proof(const struct sg_redis_store *store, const struct sg_redis_batch *batch,
                          const struct redisReply *sentinel, struct sg_legacy_proof *proof);

/* Fails with what the server refused: only the error's first word is told, since the rest may quote
 * arguments (P9). r may be NULL or of a type that nobody expected. */
int sg_redis_store_refused(const struct sg_redis_store *store, const char *command,
                           const struct redisReply *r, struct sg_err *err);

/* text with Redis's glob characters escaped. */
void sg_redis_store_glob(struct sg_buf *out, const char *text);

/* The rest of the store's table. */
void sg_redis_store_scan(struct sg_legacy_store *base, struct sg_legacy_scan *scan);
/* By keyspace notifications. */
int sg_redis_store_follow_events(struct sg_redis_store *store,
                                 const struct sg_legacy_follow_events *events,
                                 struct sg_legacy_follower **out, struct sg_err *err);
/* As a replica. */
int sg_redis_store_follow_psync(struct sg_redis_store *store,
                                const struct sg_legacy_follow_events *events,
                                struct sg_legacy_follower **out, struct sg_err *err);

#endif
