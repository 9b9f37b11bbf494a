/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_CHANGES_H
#define SG_TRANSFER_CHANGES_H

#include "transfer/bridge.h"
#include "transfer/dirty.h"
#include "transfer/recent.h"

/* A batch of changed keys whose token_refs are on one shard, on its way into the shards:
 *   1. deleted: read the token_refs, end the sessions ("app-logout"), tombstone the refs, also of
 * keys never seen, so that an exchange that races with the logout is refused; then look once more,
 * and end what had come under a ref just before it became a tombstone;
 *   2. read the records; one that was stored a moment ago just so is spared;
 *   3. load them (transfer/load.h);
 *   4. renamed: end what the record was under its former key, now that it is stored under the new
 * one. All of it can be done again. */
struct sg_changes;

#define SG_CHANGES_KEYS 64

struct sg_changes_counts {
    int stored, spared, ended, rejected, refused, renamed;
};

typedef void (*sg_changes_done)(void *ctx, struct sg_changes *changes);

SG_MUST_USE int sg_changes_new(const struct sg_bridge *bridge, struct sg_recent *recent,
                               int64_t step_timeout_ms, sg_changes_done done, void *ctx,
                               struct sg_changes **out, struct sg_err *err);
void sg_changes_free(struct sg_changes *changes); /* not while busy */

/* done comes once, from the loop. The keys stay the caller's. */
void sg_changes_start(struct sg_changes *changes, struct sg_dirty_key *const *keys, int n,
                      int lane);
bool sg_changes_busy(const struct sg_changes *changes);

/* After done. */
int sg_changes_n(const struct sg_changes *changes);
struct sg_dirty_key *sg_changes_key(const struct sg_changes *changes, int i);
/* -1: key i is dealt with; else the shard it waits for (the lane where the legacy store did not
 * answer). */
int sg_changes_blocked_on(const struct sg_changes *changes, int i);
/* The first failure; its code is SG_OK where there was none. */
const struct sg_err *sg_changes_trouble(const struct sg_changes *changes);
struct sg_changes_counts sg_changes_counted(const struct sg_changes *changes);

#endif
