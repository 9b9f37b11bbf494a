/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_DRAIN_H
#define SG_TRANSFER_DRAIN_H

#include "transfer/bridge.h"

/* Carries to the legacy store what Segue changed: every 100 ms, shard by shard, the sessions in the
 * outbox, each by its current state (rule 11). ended                                end the record
 *   lives on                             touch it to Segue's end of life; where it is not there:
 *     the source never held it           create it from the sealed record, with the life that is
 * left proven absent, its time was over   the same (rule 7) proven absent, with life left      it
 * was deleted: capture ends the session absent without proof               hold the session; the
 * outbox keeps it (rule 1) While the legacy store is down the rows stay. */
struct sg_drain;

struct sg_drain_events {
    bool (*is_proven)(void *ctx);  /* continuity, as sg_watch_is_proven */
    bool (*is_current)(void *ctx); /* as sg_watch_is_current: while it is not, a row whose record
                                      is not there waits */
    void (*trouble)(void *ctx, const struct sg_err *err); /* told once until it works again */
    void *ctx;
};

struct sg_drain_counts {
    int64_t ended, touched, created, held;
    int waiting; /* rows of the outbox seen at the last polls, at most the bound of a poll a shard
                  */
};

SG_MUST_USE int sg_drain_start(const struct sg_bridge *bridge, const struct sg_drain_events *events,
                               struct sg_drain **out, struct sg_err *err);
struct sg_drain_counts sg_drain_counted(const struct sg_drain *drain);
void sg_drain_stop(struct sg_drain *drain, void (*stopped)(void *ctx), void *ctx);

#endif
