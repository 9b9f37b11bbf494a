/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_CONTROL_H
#define SG_TRANSFER_CONTROL_H

#include "transfer/bridge.h"

/* The transfer's statements on the control database. Asynchronous: done is called exactly once,
 * from the loop, never from within the call, with what was asked for in the struct. */

/* Leadership of a realm: a session-level advisory lock on the control pool's one connection. Takes
 * it, or tells whether it is still held (a reconnect loses it). */
struct sg_lead {
    void (*done)(struct sg_lead *lead);
    int rc;
    struct sg_err err;
    bool leading;
    struct sg_pg_batch batch;
};
void sg_control_lead(const struct sg_bridge *bridge, struct sg_lead *lead);

/* The bucket map, and the realm's last job and continuity row. */
struct sg_job {
    int64_t job;    /* 0 = none yet */
    char state[16]; /* "snapshot", "following", "failed" */
    char run_id[48];
    char cursor[32];
    int64_t chunk;
};

struct sg_continuity_row {
    bool exists, proven;
    bool kept; /* sg_stream_kept, since it was last proven */
    char run_id[48];
    char sentinel[64];
    int64_t evicted, flushes, beat;
    char reason[120];
};

struct sg_control_state {
    void (*done)(struct sg_control_state *state);
    void *ctx; /* the caller's */
    int rc;
    struct sg_err err;
    uint8_t map[SG_BUCKETS];
    struct sg_job job;
    struct sg_continuity_row continuity;
    const struct sg_bridge *bridge;
    struct sg_pg_batch batch;
};
/* SG_E_NOT_FOUND where the control schema has no bucket map (`segue init` lays it down);
 * SG_E_DENIED where the keyring has another root than the realm was laid out with. */
void sg_control_read(const struct sg_bridge *bridge, struct sg_control_state *state);

/* One writing statement. */
struct sg_control_write {
    void (*done)(struct sg_control_write *write);
    int rc;
    struct sg_err err;
    int64_t job; /* out of sg_control_new_job */
    struct sg_pg_batch batch;
};
/* Marks every unfinished job of the realm failed with the reason, and opens a new one. */
void sg_control_new_job(const struct sg_bridge *bridge, const char *run_id,
                        const char *why_not_resumed, struct sg_control_write *write);
/* Never backwards: a process that lost the lead changes nothing. */
void sg_control_position(const struct sg_bridge *bridge, int64_t job, const char *cursor,
                         int64_t chunk, struct sg_control_write *write);
void sg_control_following(const struct sg_bridge *bridge, int64_t job,
                          struct sg_control_write *write);
void sg_control_reconciled(const struct sg_bridge *bridge, int64_t job,
                           struct sg_control_write *write);
/* What is proven, for those who judge absences; row->exists is not looked at. */
void sg_control_continuity(const struct sg_bridge *bridge, const struct sg_continuity_row *row,
                           struct sg_control_write *write);
/* The last beat the legacy store acknowledged; nobody is told. */
void sg_control_beat(const struct sg_bridge *bridge, int64_t beat, struct sg_control_write *write);

#endif
