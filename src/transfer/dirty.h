/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_DIRTY_H
#define SG_TRANSFER_DIRTY_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

/* The keys of the legacy store that changed and are not dealt with yet. Changes of one key are
 * coalesced; a key is handed to one worker at a time, oldest first within its lane (the shard that
 * holds the key's token_ref). Pure: no I/O.
 *
 * Heartbeats must not overtake the changes before them (rule 8), so time is cut into epochs: a
 * change belongs to the epoch in which it was first seen, and a heartbeat may pass once every
 * change up to its epoch is dealt with. What waits for a shard that is down holds up that shard's
 * heartbeats only. */
struct sg_dirty;

#define SG_DIRTY_EPOCHS 1024

struct sg_dirty_key {
    struct sg_slice key;
    /* What happened to it, of all that was coalesced. */
    bool written;       /* read it */
    bool deleted;       /* the app ended it, at least once */
    char *renamed_from; /* NUL-ended; the key this record had before; NULL */
    int lane;
};

/* At most `keys` keys at a time over `lanes` lanes, one for each shard. */
SG_MUST_USE int sg_dirty_new(int keys, int lanes, struct sg_dirty **out, struct sg_err *err);
void sg_dirty_free(struct sg_dirty *dirty);

/* Notes a change of a key in a lane. false: it is full and the change is not noted, so the stream
 * is broken. */
SG_MUST_USE bool sg_dirty_written(struct sg_dirty *dirty, struct sg_slice key, int lane);
SG_MUST_USE bool sg_dirty_deleted(struct sg_dirty *dirty, struct sg_slice key, int lane);
SG_MUST_USE bool sg_dirty_renamed(struct sg_dirty *dirty, struct sg_slice from, struct sg_slice to,
                                  int lane);

/* Takes up to max keys of a lane, oldest first, deleted ones before written ones; returns how many.
 * Each goes back by one of the two below. */
int sg_dirty_take(struct sg_dirty *dirty, int lane, struct sg_dirty_key **out, int max);

/* Dealt with. What happened to the key meanwhile queues it again. */
void sg_dirty_done(struct sg_dirty *dirty, struct sg_dirty_key *key);

/* Not dealt with: it waits for the shard until sg_dirty_unblock. */
void sg_dirty_blocked(struct sg_dirty *dirty, struct sg_dirty_key *key, int shard);

/* Queues up to max keys that wait for the shard; they go on counting as waiting for it until they
 * are dealt with. Returns how many. */
int sg_dirty_unblock(struct sg_dirty *dirty, int shard, int max);

/* Ends the epoch and returns its number. Where SG_DIRTY_EPOCHS are open, it goes on and takes in
 * later changes too. */
uint64_t sg_dirty_close_epoch(struct sg_dirty *dirty);

/* Whether everything up to the epoch is dealt with, as far as the shard goes. */
bool sg_dirty_passed(struct sg_dirty *dirty, uint64_t epoch, int shard);

int sg_dirty_count(const struct sg_dirty *dirty);
int sg_dirty_queued(const struct sg_dirty *dirty, int lane);
int sg_dirty_waiting(const struct sg_dirty *dirty, int shard);

#endif
