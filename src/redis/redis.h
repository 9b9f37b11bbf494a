/* SPDX-License-Identifier: MIT */
#ifndef SG_REDIS_REDIS_H
#define SG_REDIS_REDIS_H

#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"

#include <hiredis/read.h>
#include <stdint.h>
#include <uv.h>

/* One pipelined connection to a Redis server from one event loop; RESP2; hiredis for the protocol
 * only. Never blocks; the program ignores SIGPIPE. Connects on first use and again after a loss,
 * with backoff (10 ms doubling to 1 s). */
struct sg_redis;

struct sg_redis_options {
    const char *host; /* or a path starting with '/' for a Unix socket */
    int port;
    const char *user;     /* "" = none */
    const char *password; /* "" = none */
    int database;
    const char *name; /* stands for the server in errors: "redis 127.0.0.1:6379" */
    int connect_timeout_ms;
    int max_queued;         /* requests waiting or in flight */
    size_t max_reply_bytes; /* a reply that grows above it, or promises to, fails (SG_E_LIMIT) and
                               drops the connection */
};

SG_MUST_USE int sg_redis_open(uv_loop_t *loop, const struct sg_clock *clock,
                              const struct sg_redis_options *options, struct sg_redis **out,
                              struct sg_err *err);

/* Closes the connection; whatever is under way completes with SG_E_CANCELLED before this returns.
 * The handles are freed by later turns of the loop, which must run until `closed` is called (NULL
 * is fine). */
void sg_redis_close(struct sg_redis *r, void (*closed)(void *ctx), void *ctx);
bool sg_redis_is_up(const struct sg_redis *r);

/* The server's run id as read by INFO when this connection was made; "" while down. Between two
 * calls that give the same id and the same generation the connection was not lost (generation
 * counts connects). */
const char *sg_redis_run_id(const struct sg_redis *r);
uint64_t sg_redis_generation(const struct sg_redis *r);

#define SG_REDIS_MAX_COMMANDS 16
#define SG_REDIS_MAX_ARGS 12
#define SG_REDIS_BATCH_BYTES (16 << 20)

struct sg_redis_command {
    struct sg_slice args[SG_REDIS_MAX_ARGS]; /* copied at submit */
    int n_args;
};

/* Commands sent together; with `atomic` inside MULTI … EXEC (then replies[] are EXEC's elements).
 * Embed it in the owner's struct; done is called exactly once, from the loop, never from within
 * sg_redis_submit. */
struct sg_redis_batch {
    struct sg_redis_command commands[SG_REDIS_MAX_COMMANDS];
    int n_commands;
    bool atomic;
    uint64_t deadline_ns;
    void (*done)(struct sg_redis_batch *batch);
    /* out; replies are owned by the batch until sg_redis_batch_clear. An error reply of one command
     * is left in its redisReply (type REDIS_REPLY_ERROR) and does not make rc -1; a lost connection
     * or a deadline does. */
    int rc;
    struct sg_err err;
    struct redisReply *replies[SG_REDIS_MAX_COMMANDS];
    uint64_t generation; /* of the connection that answered */
    /* private to redis/ */
    struct sg_redis *redis; /* set from submit until done is called */
    struct sg_redis_job *job;
    struct sg_redis_batch *next;
};

/* Queues the batch. Every outcome, also "queue full", arrives through done. One that could not be
 * sent by its deadline did not happen: SG_E_UNAVAILABLE; one that was sent may or may not have:
 * SG_E_TIMEOUT, or SG_E_UNAVAILABLE when the connection was lost. An atomic batch that the server
 * refused to queue or run did not happen: SG_E_INVALID. */
void sg_redis_submit(struct sg_redis *r, struct sg_redis_batch *batch);
/* Gives a submitted batch up: done is called with SG_E_CANCELLED from a later turn of the loop. */
void sg_redis_cancel(struct sg_redis_batch *batch);
void sg_redis_batch_clear(struct sg_redis_batch *batch);

/* A connection of its own in subscribe mode (PSUBSCRIBE of every pattern, at most 16; what two of
 * them match comes twice). up: every pattern is confirmed (again); what passed before is lost.
 * down: the stream broke or could not be had; once an outage. A silent server is noticed after 1.2
 * s. */
struct sg_redis_subscriber;

struct sg_redis_subscriber_events {
    void (*up)(void *ctx, const char *run_id);
    void (*message)(void *ctx, struct sg_slice channel, struct sg_slice payload);
    void (*down)(void *ctx, const struct sg_err *err);
    void *ctx;
};

SG_MUST_USE int sg_redis_subscribe(uv_loop_t *loop, const struct sg_clock *clock,
                                   const struct sg_redis_options *options,
                                   const char *const *patterns, /* NULL-ended; copied */
                                   const struct sg_redis_subscriber_events *events,
                                   struct sg_redis_subscriber **out, struct sg_err *err);
void sg_redis_subscriber_close(struct sg_redis_subscriber *s, void (*closed)(void *ctx), void *ctx);

#endif
