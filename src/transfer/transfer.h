/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_TRANSFER_H
#define SG_TRANSFER_TRANSFER_H

#include "transfer/bridge.h"
#include "transfer/drain.h"
#include "transfer/follow.h"
#include "transfer/scan.h"

/* One realm's transfer, resident (docs/flows.md, "Transfer"):
 *   lead → follow → snapshot → judge what is absent → follow on, reconciling now and then
 * and beside it the identity source is followed, and the outbox drained into the legacy store. A
 * second process of the same realm waits until the first is gone. */
struct sg_transfer;

enum sg_transfer_phase {
    SG_TRANSFER_WAITING, /* for the control database, or for another process to end */
    SG_TRANSFER_OPENING, /* leads; the legacy store is not followed yet */
    SG_TRANSFER_SNAPSHOT,
    SG_TRANSFER_RECONCILING,
    SG_TRANSFER_FOLLOWING,
};
const char *sg_transfer_phase_name(enum sg_transfer_phase phase);

struct sg_transfer_stats {
    enum sg_transfer_phase phase;
    int64_t job;
    struct sg_scan_counts scan; /* of the last or running scan */
    struct sg_follow_counts follow;
    struct sg_drain_counts drain;
    int queued;       /* changed keys not dealt with */
    int64_t lag_ms;   /* of the shard that is furthest behind; -1 = no heartbeat came through yet */
    int64_t subjects; /* identities stored */
    bool people_caught_up;
    bool proven;      /* continuity */
    char reason[120]; /* why it is not */
    int64_t breaks, reconciled, ended_absent, held_absent;
};

struct sg_transfer_options {
    struct sg_bridge_options bridge;
    bool bulk;            /* the first snapshot in bulk, where it can be */
    int page_keys;        /* 1..1000 */
    int64_t reconcile_ms; /* between periodic passes */
    /* Something to tell the operator; err may be NULL. */
    void (*note)(void *ctx, enum sg_level level, const char *text, const struct sg_err *err);
    /* The last call; rc -1 where it could not go on. */
    void (*stopped)(void *ctx, int rc, const struct sg_err *err);
    void *ctx;
};

SG_MUST_USE int sg_transfer_start(const struct sg_transfer_options *options,
                                  struct sg_transfer **out, struct sg_err *err);
/* Says in the control database that nobody watches any more, lets what is under way come back, and
 * ends. */
void sg_transfer_stop(struct sg_transfer *transfer);
void sg_transfer_get_stats(const struct sg_transfer *transfer, struct sg_transfer_stats *out);

#endif
