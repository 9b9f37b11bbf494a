/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_SNAPSHOT_H
#define SG_TRANSFER_SNAPSHOT_H

#include "transfer/bridge.h"
#include "transfer/control.h"
#include "transfer/scan.h"

/* The snapshot of a realm as a job in the control database (P5): in bulk where the shards hold no
 * session yet, else a scan whose position is noted
 * there after each page that every shard has stored. An unfinished job of the same server process
 * goes on where it was; otherwise a new one begins, since a cursor means nothing to another
 * process. */
struct sg_snapshot;

struct sg_snapshot_events {
    void (*note)(void *ctx, const char *text);
    void (*trouble)(void *ctx, const struct sg_err *err); /* something failed and is tried again */
    /* The shards' tables are locked from here on, or are no longer. */
    void (*locked)(void *ctx, bool locked);
    /* A start is over: rc 0 = everything is stored and noted; else start it again some time. */
    void (*done)(void *ctx, int rc, const struct sg_err *err);
    void *ctx;
};

/* job: the realm's last, as sg_control_read gave it. bulk: where it can be done so. */
SG_MUST_USE int sg_snapshot_new(const struct sg_bridge *bridge, const struct sg_job *job, bool bulk,
                                int page_keys, const struct sg_snapshot_events *events,
                                struct sg_snapshot **out, struct sg_err *err);
void sg_snapshot_free(struct sg_snapshot *snapshot); /* not while busy */

/* Whether there is nothing left to do, now or by an earlier process. */
bool sg_snapshot_is_done(const struct sg_snapshot *snapshot);
void sg_snapshot_start(struct sg_snapshot *snapshot, const char *run_id);
void
sg_snapshot_tick(struct sg_snapshot *snapshot); /* every 200 ms or so: tries again what failed */
void sg_snapshot_stop(struct sg_snapshot *snapshot); /* done comes with an error, if it was busy */
bool sg_snapshot_is_busy(const struct sg_snapshot *snapshot);

int64_t sg_snapshot_job(const struct sg_snapshot *snapshot);
/* The last scan; whole tells that it read from the beginning, began_ns when it did. */
const struct sg_scan_counts *sg_snapshot_counted(const struct sg_snapshot *snapshot);
bool sg_snapshot_whole(const struct sg_snapshot *snapshot, uint64_t *began_ns);

#endif
