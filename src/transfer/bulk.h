/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_BULK_H
#define SG_TRANSFER_BULK_H

#include "transfer/bridge.h"
#include "transfer/scan.h"

/* The first snapshot of a realm, fast: while the shards hold no session and nobody serves. One
 * thread reads the legacy store, several decode, seal and write, each shard takes COPY into tables
 * without indexes (store/bulk.h). All of it or nothing is stored; whatever hinders it, an ordinary
 * snapshot does the same more slowly. */
struct sg_bulk_load;

struct sg_bulk_load_events {
    void (*note)(void *ctx, const char *text); /* how far it is, now and then */
    /* Over, from the loop. rc -1: nothing is stored. */
    void (*done)(void *ctx, int rc, const struct sg_err *err);
    void *ctx;
};

SG_MUST_USE int sg_bulk_load_start(const struct sg_bridge *bridge, int64_t job,
                                   const struct sg_bulk_load_events *events,
                                   struct sg_bulk_load **out, struct sg_err *err);
void sg_bulk_load_stop(struct sg_bulk_load *load); /* done comes with SG_E_CANCELLED, soon */
/* After done. */
const struct sg_scan_counts *sg_bulk_load_counted(const struct sg_bulk_load *load);
void sg_bulk_load_free(struct sg_bulk_load *load);

#endif
