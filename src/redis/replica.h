/* SPDX-License-Identifier: MIT */
#ifndef SG_REDIS_REPLICA_H
#define SG_REDIS_REPLICA_H

#include "redis/effects.h"
#include "redis/rdb.h"
#include "redis/wire.h"

/* Follows a Redis server as one of its replicas (PSYNC): first a whole copy, then every change in
 * order, without a gap between. After a loss it goes on where it was as long as the server keeps
 * that much backlog. Blocks: for a thread of its own. */

#define SG_REPLICA_ID_BYTES 40

/* How far the stream was told: everything up to `offset` of the history called `id`. */
struct sg_replica_position {
    char id[SG_REPLICA_ID_BYTES + 1]; /* "" = nothing was told */
    int64_t offset;
    int database; /* the one selected there */
};

/* Each returns 0 to go on, or -1 to stop with *err. */
struct sg_replica_events {
    /* A whole copy begins: what was told before is no longer true of the server. */
    int (*copying)(void *ctx, struct sg_err *err);
    int (*record)(void *ctx, const struct sg_rdb_record *record, struct sg_err *err);
    /* The copy is over, or (resumed) the server goes on from the position given. */
    int (*following)(void *ctx, bool resumed, struct sg_err *err);
    int (*effect)(void *ctx, const struct sg_effect_told *told, struct sg_err *err);
    /* Everything that has come so far is told; comes at least each 100 ms while the stream stands.
     */
    int (*quiet)(void *ctx, const struct sg_replica_position *position, struct sg_err *err);
    void *ctx;
};

struct sg_replica_options {
    struct sg_wire_options wire;
    const char *user, *password; /* "" = none */
    size_t value_max;            /* longest string that is given out */
};

/* Runs until it breaks or is stopped; always -1, with *err: SG_E_CANCELLED by `stop`, SG_E_DENIED
 * where the server does not let us (the ACL needs +psync +replconf +ping), else what broke. Call it
 * again with the same *position to go on. A position within a copy is none: it begins anew then. */
int sg_replica_run(const struct sg_replica_options *options, struct sg_replica_position *position,
                   const struct sg_replica_events *events, struct sg_err *err);

#endif
