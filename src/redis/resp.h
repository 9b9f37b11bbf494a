/* SPDX-License-Identifier: MIT */
#ifndef SG_REDIS_RESP_H
#define SG_REDIS_RESP_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#include <hiredis/hiredis.h>

/* RESP2, without a connection: commands into a buffer, replies out of bytes. */

/* One command. */
void sg_redis_encode(struct sg_buf *out, const struct sg_slice *args, int n);

/* hiredis's reader with a bound that hiredis lacks: it believes any header and allocates for it at
 * once. */
struct sg_redis_reader {
    struct redisReader *hiredis;
    redisReplyObjectFunctions defaults, bounded; /* how hiredis makes replies, and ours */
    size_t max_reply_bytes;
    size_t reply_bytes; /* of the reply being read */
    bool too_large;
};

/* The reader must stay where it is while it is used. SG_E_INTERNAL without memory. */
SG_MUST_USE int sg_redis_reader_init(struct sg_redis_reader *r, size_t max_reply_bytes,
                                     struct sg_err *err);
void sg_redis_reader_free(struct sg_redis_reader *r); /* one that was freed or zeroed: nothing */

/* Takes bytes from the server: copied. SG_E_LIMIT when the reply that they belong to is too large.
 */
SG_MUST_USE int sg_redis_reader_feed(struct sg_redis_reader *r, const char *bytes, size_t n,
                                     struct sg_err *err);
/* The next whole reply, the caller's to free, or NULL when more bytes are needed. SG_E_LIMIT when
 * it is too large, SG_E_UNAVAILABLE when it is no RESP2; nothing can be read after either. */
SG_MUST_USE int sg_redis_reader_next(struct sg_redis_reader *r, redisReply **reply,
                                     struct sg_err *err);

#endif
