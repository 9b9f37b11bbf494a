/* SPDX-License-Identifier: MIT */
#ifndef SG_REDIS_LINK_H
#define SG_REDIS_LINK_H

#include "base/buf.h"
#include "redis/redis.h"
#include "redis/resp.h"

/* Private to redis/. One connection that keeps itself up: connects, greets (AUTH, SELECT, INFO,
 * PING) under one timer, hands every later reply to its owner, and comes back after a loss with
 * backoff (10 ms doubling to 1 s). */
enum sg_redis_link_state {
    SG_REDIS_LINK_IDLE,    /* not asked for yet */
    SG_REDIS_LINK_OPENING, /* resolving, connecting, greeting */
    SG_REDIS_LINK_READY,
    SG_REDIS_LINK_WAITING, /* for the backoff to pass */
    SG_REDIS_LINK_CLOSED,
};

#define SG_REDIS_RUN_ID_BYTES 40
#define SG_REDIS_OUT_MAX (64 << 20) /* bytes waiting to be written */

struct sg_redis_stream; /* one socket */

struct sg_redis_link {
    /* set by the owner before sg_redis_link_init */
    void (*up)(struct sg_redis_link *link);
    /* A reply, the owner's to free. May drop or close the link. */
    void (*reply)(struct sg_redis_link *link, redisReply *reply);
    void (*down)(struct sg_redis_link *link, const struct sg_err *err); /* lost, or not reached */
    void (*closed)(struct sg_redis_link *link);
    /* read by the owner */
    enum sg_redis_link_state state;
    const struct sg_clock *clock;
    char *name;
    char run_id[SG_REDIS_RUN_ID_BYTES + 1]; /* "" unless ready */
    uint64_t generation;
    uint64_t last_input_ns;
    struct sg_buf out; /* append commands, then flush */
    /* private */
    uv_loop_t *loop;
    char *host, *user, *password;
    int port, database, connect_timeout_ms;
    size_t max_reply_bytes;
    struct sg_redis_stream *stream;
    struct sg_redis_reader reader;
    uv_timer_t timer;
    int greetings_left;
    bool writing;
    int backoff_ms;
};

SG_MUST_USE int sg_redis_link_init(struct sg_redis_link *link, uv_loop_t *loop,
                                   const struct sg_clock *clock,
                                   const struct sg_redis_options *options, struct sg_err *err);
void sg_redis_link_start(struct sg_redis_link *link); /* unless begun before */
void sg_redis_link_flush(struct sg_redis_link *link);
void sg_redis_link_drop(struct sg_redis_link *link, enum sg_code code, const char *text);
/* No callback but `closed` comes after this. */
void sg_redis_link_close(struct sg_redis_link *link);

#endif
