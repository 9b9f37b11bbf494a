/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_WATCH_H
#define SG_TRANSFER_WATCH_H

#include "transfer/bridge.h"
#include "transfer/control.h"

/* Watches the legacy store: follows its changes, writes a heartbeat every 100 ms, and keeps account
 * of continuity (rule 1) in segue_control.continuity, where those who judge absences read it.
 *
 *   down ──follower up──▶ judging ──beat, sentinel and counters read──▶ up ──whole scan since──▶ up
 * and proven ▲                                                               │ │ └─────────────
 * follower down ───────────────────────────────────┴── anything moved: unproven ◀┘
 */
struct sg_watch;

struct sg_watch_events {
    /* Followed from here on, and judged: a whole scan that begins now may prove continuity. Also
     * after a break that left the stream standing. */
    void (*up)(void *ctx);
    void (*broken)(void *ctx, const char *reason);
    void (*change)(void *ctx, enum sg_legacy_change change, struct sg_slice key);
    void (*beat)(void *ctx, int64_t beat, int64_t sent_ms); /* it came back */
    void *ctx;
};

/* row: continuity as the control database had it. */
SG_MUST_USE int sg_watch_start(const struct sg_bridge *bridge, const struct sg_continuity_row *row,
                               const struct sg_watch_events *events, struct sg_watch **out,
                               struct sg_err *err);

/* Says in the control database that nobody watches, stops, frees; then calls stopped. */
void sg_watch_stop(struct sg_watch *watch, void (*stopped)(void *ctx), void *ctx);

/* How often continuity broke, to compare before and after. */
uint64_t sg_watch_breaks(const struct sg_watch *watch);
bool sg_watch_is_up(const struct sg_watch *watch);
bool sg_watch_is_proven(const struct sg_watch *watch);
/* Whether a beat of the last second has come back: the changes before it were told. */
bool sg_watch_is_current(const struct sg_watch *watch);
const char *sg_watch_reason(const struct sg_watch *watch);

/* For judging absences: everything but `proven` of the fields that sg_absence has of the stream,
 * and what a read must show. */
struct sg_watch_facts {
    bool kept;
    int64_t lossy_from_ms, lossy_to_ms;
    int64_t unwatched_from_ms, unwatched_to_ms;
    const char *run_id, *sentinel;
};
struct sg_watch_facts sg_watch_facts(const struct sg_watch *watch);

/* A whole scan is done that began when there had been so many breaks. False where it broke since.
 */
bool sg_watch_prove(struct sg_watch *watch, uint64_t breaks_at_start);

/* Something was dropped on the way here: the stream stands and is not whole. */
void sg_watch_break(struct sg_watch *watch, const char *reason);

#endif
