/* SPDX-License-Identifier: MIT */
#ifndef SG_SOURCE_SOURCE_REDIS_H
#define SG_SOURCE_SOURCE_REDIS_H

#include "source/redis_values.h"
#include "source/source.h"

/* Shared by the files of the "redis" source. */
struct sg_redis_source {
    struct sg_source base;
    char *url, *ca_file;
    struct sg_source_options options; /* its strings are the two above */
    struct sg_redis_conn *conn;       /* NULL after a call that failed, until the next */
    struct sg_redis_loader loader;
    int64_t staleness_ms;
};

/* Connects unless connected. */
SG_MUST_USE int sg_redis_source_ready(struct sg_redis_source *s, struct sg_err *err);
/* A further connection of the same source. */
SG_MUST_USE int sg_redis_source_connect(struct sg_redis_source *s, struct sg_redis_conn **out,
                                        struct sg_err *err);
/* Passes rc on; after a failure the connection is given up, since replies may be on their way. */
int sg_redis_source_end(struct sg_redis_source *s, int rc);
bool sg_redis_source_stopped(const struct sg_redis_source *s);

/* Reads keys[0..n) with values and emits them; gone ones too where gone is set. */
SG_MUST_USE int sg_redis_source_load(struct sg_redis_source *s, const struct sg_slice *keys, int n,
                                     bool gone, sg_source_emit emit, void *ctx, struct sg_err *err);

/* The rest of the table. */
int sg_redis_source_collections(struct sg_source *base, struct sg_source_collection *out, int most,
                                int *n, struct sg_err *err);
int sg_redis_source_write(struct sg_source *base, const char *collection,
                          const struct sg_source_record *record, struct sg_err *err);
int sg_redis_source_follow(struct sg_source *base, struct sg_source_follow *follow,
                           struct sg_err *err);

#endif
