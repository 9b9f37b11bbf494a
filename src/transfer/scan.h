/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_SCAN_H
#define SG_TRANSFER_SCAN_H

#include "transfer/bridge.h"
#include "transfer/load.h"

/* Reads the legacy store's whole keyspace into the shards, page by page. The next page is read
 * while this one is stored; two are in flight. What fails for a passing reason is tried again (100
 * ms doubling to 2 s) until it succeeds or the scan is stopped. */
struct sg_scan;

struct sg_scan_counts {
    int64_t read; /* keys that were there */
    struct sg_load_counts load;
    int64_t stored, anonymous, rejected, refused;
};

struct sg_scan_options {
    const char *cursor; /* "0" from the beginning */
    int64_t job, chunk; /* of the next page; chunk -1: in no ledger */
    int page_keys;
    /* A page is stored and every one before it: where to go on from, and the next chunk's number.
     * Call sg_scan_positioned when that is noted. NULL: nobody notes it. */
    void (*position)(void *ctx, const char *cursor, int64_t chunk);
    /* Over: rc 0 with everything stored, or -1 (stopped, the source was restarted, or it cannot be
     * done). Once. */
    void (*done)(void *ctx, int rc, const struct sg_err *err);
    /* A step failed and is tried again; told once until it succeeds. May be NULL. */
    void (*trouble)(void *ctx, const struct sg_err *err);
    void *ctx;
};

SG_MUST_USE int sg_scan_start(const struct sg_bridge *bridge, const struct sg_scan_options *options,
                              struct sg_scan **out, struct sg_err *err);
void sg_scan_positioned(struct sg_scan *scan);
/* Ends it early: done comes with SG_E_CANCELLED when what is in flight has come back. */
void sg_scan_stop(struct sg_scan *scan);
void sg_scan_free(struct sg_scan *scan); /* after done */

const struct sg_scan_counts *sg_scan_counted(const struct sg_scan *scan);

#endif
