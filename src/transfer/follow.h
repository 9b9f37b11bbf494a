/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_FOLLOW_H
#define SG_TRANSFER_FOLLOW_H

#include "transfer/bridge.h"

/* Takes the legacy store's changes to the shards. A changed key waits in a bounded set, where its
 * changes are coalesced; batches of keys of one shard are worked on concurrently, two a shard:
 *   deleted   read the token_ref → end the session, tombstone the ref, also one never seen (reason
 * "app-logout") all       read the record → load it (transfer/load.h), which also ends in the
 * legacy store what an app wrote back after its session had ended renamed   after the new key's
 * record is stored, end the old key's session ("renamed"; "app-logout" where the new key is gone
 * already) A shard that does not take its rows holds up the keys that need it and no others; they
 * are tried again (100 ms doubling to 1 s). Heartbeats go to a shard only after every change before
 * them. */
struct sg_follow;

#define SG_FOLLOW_KEYS_MAX 65536

struct sg_follow_events {
    void (*overflow)(void *ctx); /* the set was full: a change is lost, so continuity is broken */
    void (*trouble)(
        void *ctx,
        const struct sg_err *err); /* something failed and is tried again; told once a second */
    void *ctx;
};

struct sg_follow_counts {
    int64_t changes, stored, spared, ended, rejected, refused, renamed;
};

SG_MUST_USE int sg_follow_new(const struct sg_bridge *bridge, const struct sg_follow_events *events,
                              struct sg_follow **out, struct sg_err *err);

void sg_follow_change(struct sg_follow *follow, enum sg_legacy_change change, struct sg_slice key);
/* A heartbeat came back. */
void sg_follow_beat(struct sg_follow *follow, int64_t beat, int64_t sent_ms);
/* Continuity broke: nothing is taken for stored any more without being written again. */
void sg_follow_forget(struct sg_follow *follow);

int sg_follow_queued(const struct sg_follow *follow);
const struct sg_follow_counts *sg_follow_counted(const struct sg_follow *follow);
/* Age of the last heartbeat the shard has, by this clock; -1 = none yet. */
int64_t sg_follow_lag_ms(const struct sg_follow *follow, int shard);

/* Lets what changes wait, or no longer: the shards are locked. */
void sg_follow_pause(struct sg_follow *follow, bool paused);

/* Takes no more keys; stopped is called when what is under way has come back, then it is freed. */
void sg_follow_stop(struct sg_follow *follow, void (*stopped)(void *ctx), void *ctx);

#endif
