/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_PEOPLE_H
#define SG_TRANSFER_PEOPLE_H

#include "transfer/bridge.h"

/* Follows the identity source: at the configured interval the subjects changed since the cursor,
 * all of them at first, go to the shards, which put those with sessions on the feed (P3). Errors
 * back off to 1 s. The source repeats what may have been committed late; what was stored just so is
 * not stored again. */
struct sg_people;

struct sg_people_events {
    void (*trouble)(void *ctx, const struct sg_err *err); /* told once until it works again */
    void (*fine)(void *ctx);
    /* Subjects of a reading make no sense and stay as they are known; err: the first. */
    void (*refused)(void *ctx, const struct sg_err *err);
    void *ctx;
};

/* *out is NULL where there is nothing to follow: the source has no changes to ask for. */
SG_MUST_USE int sg_people_start(const struct sg_bridge *bridge,
                                const struct sg_people_events *events, struct sg_people **out,
                                struct sg_err *err);
int64_t sg_people_stored(const struct sg_people *people);
/* Whether the source was read to its end at least once. */
bool sg_people_caught_up(const struct sg_people *people);
void sg_people_stop(struct sg_people *people, void (*stopped)(void *ctx), void *ctx);

#endif
