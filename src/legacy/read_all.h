/* SPDX-License-Identifier: MIT */
#ifndef SG_LEGACY_READ_ALL_H
#define SG_LEGACY_READ_ALL_H

#include "legacy/legacy.h"

#include <stdatomic.h>

/* Reads all of a realm's records out of Redis at once, as fast as the server gives them: a SCAN
 * whose next page is under way while this one's values come. Blocks: for a thread of its own. */

/* Some of the records. */
struct sg_read_batch;

const struct sg_legacy_item *sg_read_batch_items(const struct sg_read_batch *batch, int *n);
uint64_t sg_read_batch_asked_ns(const struct sg_read_batch *batch); /* by the system's clock */
void sg_read_batch_free(struct sg_read_batch *batch);

struct sg_read_all {
    const struct sg_legacy_store_options *store;
    const atomic_bool *stop; /* set by anybody: it ends with SG_E_CANCELLED soon */
    /* Takes the batch over. 0 = go on, -1 = stop with *err. */
    int (*take)(void *ctx, struct sg_read_batch *batch, struct sg_err *err);
    void *ctx;
};

/* A record is read once, unless the server reorganised its key space meanwhile, and that is seen to
 * here: what comes again is left out. SG_E_LIMIT for more records than can be kept apart
 * (12,000,000), or values too large to be read in bulk. */
SG_MUST_USE int sg_redis_read_all(const struct sg_read_all *options, struct sg_err *err);

#endif
