/* SPDX-License-Identifier: MIT */
#ifndef SG_SOURCE_REDIS_VALUES_H
#define SG_SOURCE_REDIS_VALUES_H

#include "source/redis_conn.h"
#include "source/source.h"

/* A page of keys and their values. Strings are read with the page, up to short_bytes of each; what
 * is longer or no string is read when its turn to be emitted comes, so that no page takes more
 * memory than it may. */
struct sg_redis_item {
    struct sg_slice key;
    redisReply *value, *expiry;
    const char *type; /* "string", "hash", …; NULL = of a kind that is not read */
    const char *odd;
    size_t bytes; /* about what reading it takes */
    bool later;   /* to be read when its turn comes */
};

struct sg_redis_page {
    redisReply *keys; /* what the keys stand in, if it is the page's */
    struct sg_redis_item *items;
    int n;
};

struct sg_redis_loader {
    struct sg_redis_conn *conn;
    struct sg_arena *arena;
    struct sg_source_record *records; /* batch_records of each */
    struct sg_doc *docs;
    int batch_records;
    size_t short_bytes;  /* of a string that is read with its page */
    size_t window_bytes; /* of what is read later, at a time */
    bool absolute;       /* the server tells expiry as a point in time (Redis 7) */
    bool gone_too;       /* emit keys that are not there, without doc */
};

/* Commands for the page's values. */
void sg_redis_values_ask(struct sg_redis_loader *l, const struct sg_redis_page *page);
/* Their replies; and asks and reads what kind the others are. Nothing else may be on its way. */
SG_MUST_USE int sg_redis_values_take(struct sg_redis_loader *l, struct sg_redis_page *page,
                                     struct sg_err *err);
SG_MUST_USE int sg_redis_values_kinds(struct sg_redis_loader *l, struct sg_redis_page *page,
                                      struct sg_err *err);
/* Reads what is left, and emits all. */
SG_MUST_USE int sg_redis_values_emit(struct sg_redis_loader *l, struct sg_redis_page *page,
                                     sg_source_emit emit, void *ctx, struct sg_err *err);
void sg_redis_page_clear(struct sg_redis_page *page);

/* The document of a value as Redis replies it. 0, or -1 with SG_E_LIMIT when the arena is full. */
SG_MUST_USE int sg_redis_values_doc(struct sg_arena *arena, const char *type,
                                    const redisReply *value, struct sg_doc *out,
                                    struct sg_err *err);

#endif
