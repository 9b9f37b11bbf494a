/* SPDX-License-Identifier: MIT */
#ifndef SG_SOURCE_REDIS_CONN_H
#define SG_SOURCE_REDIS_CONN_H

#include "base/buf.h"
#include "redis/resp.h"
#include "redis/url.h"
#include "redis/wire.h"

/* A blocking Redis connection: commands are appended, sent together, their replies read one by one
 * in order. Nothing of it is usable after a call failed with other than SG_E_TIMEOUT of
 * sg_redis_conn_wait. */
#define SG_REDIS_CONN_OUT_MAX ((size_t)64 << 20) /* commands waiting to be sent */

struct sg_redis_conn {
    struct sg_redis_url url;
    struct sg_wire *wire;
    struct sg_redis_reader reader;
    struct sg_buf out;
    int timeout_ms;
    char run_id[41]; /* of the server process */
    int version;     /* its major version */
    bool replica;    /* it follows another server: not strongly consistent, not for writing */
};

struct sg_redis_conn_options {
    const char *url, *ca_file;
    int timeout_ms;
    size_t max_reply_bytes;
    const atomic_bool *stop;
};

/* Connects, authenticates, selects the database, and asks who the server is. */
SG_MUST_USE int sg_redis_conn_open(const struct sg_redis_conn_options *options,
                                   struct sg_redis_conn **out, struct sg_err *err);
void sg_redis_conn_close(struct sg_redis_conn *c); /* NULL does nothing */

/* Appends one command: words parted by single blanks, "%" takes the next slice. */
void sg_redis_conn_add(struct sg_redis_conn *c, const char *words, const struct sg_slice *slices);
/* Appends one of any length. */
void sg_redis_conn_add_args(struct sg_redis_conn *c, const struct sg_slice *args, int n);
SG_MUST_USE int sg_redis_conn_send(struct sg_redis_conn *c, struct sg_err *err);
/* The next reply, the caller's to free; error replies are replies. */
SG_MUST_USE int sg_redis_conn_next(struct sg_redis_conn *c, redisReply **reply, struct sg_err *err);
/* The same, but SG_E_TIMEOUT after wait_ms without any byte, and then the connection is still good.
 */
SG_MUST_USE int sg_redis_conn_wait(struct sg_redis_conn *c, int wait_ms, redisReply **reply,
                                   struct sg_err *err);
/* One command with its reply, which is of this REDIS_REPLY_ type; otherwise it fails. */
SG_MUST_USE int sg_redis_conn_ask(struct sg_redis_conn *c, const char *words,
                                  const struct sg_slice *slices, int type, redisReply **reply,
                                  struct sg_err *err);

/* Fails with what the server refused: only the error's first word is told, since the rest may quote
 * arguments. r may be of a type that nobody expected. */
int sg_redis_conn_refused(const struct sg_redis_conn *c, const char *command, const redisReply *r,
                          struct sg_err *err);

#endif
