/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_RECONCILE_H
#define SG_TRANSFER_RECONCILE_H

#include "transfer/bridge.h"
#include "transfer/scan.h"
#include "transfer/watch.h"

/* A reconciling pass (rule 1):
 *   1. scan the whole legacy store into the shards, which also ends there again what had ended
 * before (rule 11), so that a store that came back with lost deletions has them applied anew;
 *   2. read each live session that the source was last known to hold before the scan: judge its
 * absence (transfer/absence.h), with the sentinel read in the same step;
 *   3. end what is proven deleted, but hold all of it for the operator where it is more than the
 * bound; hold what is not proven. No row is judged while something moves: the caller tells what is
 * proven when it is asked. */
struct sg_reconcile;

struct sg_reconcile_proof {
    bool proven;
    struct sg_watch_facts facts;
};

struct sg_reconcile_counts {
    int64_t unseen, expired, ended, held, still_held, found;
    bool over_bound; /* proven deletions were held because there were too many */
};

struct sg_reconcile_options {
    int page_keys;
    int64_t
        scanned_ms_ago; /* the whole store was scanned since then already: skip step 1; -1 = scan */
    void (*proof)(void *ctx, struct sg_reconcile_proof *proof);
    void (*done)(void *ctx, int rc, const struct sg_err *err); /* once */
    void (*trouble)(void *ctx, const struct sg_err *err);
    void *ctx;
};

SG_MUST_USE int sg_reconcile_start(const struct sg_bridge *bridge,
                                   const struct sg_reconcile_options *options,
                                   struct sg_reconcile **out, struct sg_err *err);
void sg_reconcile_stop(struct sg_reconcile *reconcile); /* done comes with SG_E_CANCELLED */
void sg_reconcile_free(struct sg_reconcile *reconcile); /* after done */
const struct sg_reconcile_counts *sg_reconcile_counted(const struct sg_reconcile *reconcile);
const struct sg_scan_counts *
sg_reconcile_scanned(const struct sg_reconcile *reconcile); /* NULL while not scanning */

#endif
