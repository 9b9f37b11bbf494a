/* SPDX-License-Identifier: MIT */
#ifndef SG_TEST_STORE_ENV_H
#define SG_TEST_STORE_ENV_H

#include "servers.h"
#include "store/store.h"

/* A store over two shards: two databases of one throw-away server, laid out with the schema that is
 * built in. Buckets below 2048 are shard 0's. */
#define ENV_SHARDS 2
#define REALM "main"

struct store_env {
    struct test_pg pg;
    uv_loop_t loop;
    char conninfo[ENV_SHARDS][256];
    struct sg_shards *shards;
    struct sg_store *store;
    struct sg_err err; /* of the last call that was waited for */
};

void env_start(struct store_env *env);
void env_stop(struct store_env *env);
/* Empties every table and gives every bucket back to its shard. */
void env_reset(struct store_env *env);

/* On a connection of its own, in the shard's database: the first value as a number. */
long env_sql(struct store_env *env, int shard, const char *fmt, ...) SG_PRINTF(3, 4);

uint64_t env_deadline(int ms);

/* An operation under way: pass env_done and the call as ctx, then wait for it. */
struct env_call {
    bool done;
    int rc;
    struct sg_err err;
};
void env_done(void *ctx, int rc, const struct sg_err *err);
int env_wait(struct store_env *env, struct env_call *call);

/* The same in one: returns rc, env->err is filled. */
#define ENV_CALL(env, function, ...)                                                               \
    ({                                                                                             \
        struct env_call env_call_ = {0};                                                           \
        function((env)->store, __VA_ARGS__, env_deadline(10000), env_done, &env_call_);            \
        env_wait((env), &env_call_);                                                               \
    })

/* 16 or 32 bytes that are the number's own. */
void env_sid(uint8_t out[SG_SID_BYTES], int number);
void env_digest(uint8_t out[SG_DIGEST_BYTES], int number);

/* The sight of the token of that number. */
struct sg_ref_row env_ref(int number, int bucket, const char *subject, bool reuses_ids);
/* A session of subject "u<number>", sid and store digest of that number, in the bucket. */
struct sg_session_row env_session(int number, int bucket);
/* Its end: session and ref, no mirror. */
struct sg_end_row env_end(int number, int bucket);

#endif
