/* SPDX-License-Identifier: MIT */
#include "transfer/transfer.h"

#include "transfer/control.h"
#include "transfer/people.h"
#include "transfer/reconcile.h"
#include "transfer/snapshot.h"
#include "transfer/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_MS 200
#define LEAD_EVERY_MS 500
#define BACKOFF_FIRST_MS 500
#define BACKOFF_LAST_MS 30000

struct sg_transfer {
    struct sg_bridge *bridge;
    struct sg_transfer_options options;
    enum sg_transfer_phase phase;
    uv_timer_t timer;

    struct sg_lead lead;
    bool leading, lead_busy, told_waiting, told_control;
    uint64_t next_lead_ns;
    struct sg_control_state control;

    struct sg_watch *watch;
    struct sg_follow *follow;
    struct sg_people *people;
    struct sg_drain *drain;

    struct sg_snapshot *snapshot;
    uint64_t snapshot_breaks;      /* when its scan began */
    bool snapshot_counts;          /* as the scan of the first pass, if nothing broke since */
    struct sg_scan_counts scanned; /* by the last pass */

    struct sg_reconcile *reconcile;
    uint64_t reconcile_breaks, next_pass_ns;
    bool reconcile_from_proven;
    int backoff_ms;
    int64_t reconciled, ended_absent, held_absent;
    struct sg_control_write reconciled_write;
    bool reconciled_busy;

    bool stopping, closing;
    int open; /* parts that are not closed yet */
    int rc;
    struct sg_err err;
};

static void advance(struct sg_transfer *t);
static void close_parts(struct sg_transfer *t);

const char *
sg_transfer_phase_name(enum sg_transfer_phase phase)
{
    static const char *const names[] = {"waiting", "opening", "snapshot", "reconciling",
                                        "following"};

    return names[phase];
}

static void
note(struct sg_transfer *t, enum sg_level level, const char *text, const struct sg_err *err)
{
    t->options.note(t->options.ctx, level, text, err);
}

static void
fail(struct sg_transfer *t, const struct sg_err *err)
{
    if (t->rc == 0)
        t->err = *err;
    t->rc = -1;
    sg_transfer_stop(t);
}

static bool
is_due(const struct sg_transfer *t, uint64_t at_ns)
{
    return sg_mono_ns(t->bridge->clock) >= at_ns;
}

static void
back_off(struct sg_transfer *t)
{
    t->backoff_ms = t->backoff_ms == 0 ? BACKOFF_FIRST_MS : t->backoff_ms * 2;
    if (t->backoff_ms > BACKOFF_LAST_MS)
        t->backoff_ms = BACKOFF_LAST_MS;
    t->next_pass_ns = sg_bridge_deadline(t->bridge, t->backoff_ms);
}

static void
on_trouble(void *ctx, const struct sg_err *err)
{
    note(ctx, SG_WARN, "a step failed and is tried again", err);
}

/* ---- the snapshot ---- */

static void
on_snapshot_note(void *ctx, const char *text)
{
    note(ctx, SG_INFO, text, NULL);
}

static void
on_locked(void *ctx, bool locked)
{
    struct sg_transfer *t = ctx;

    if (t->follow != NULL)
        sg_follow_pause(t->follow, locked);
}

static void
on_snapshot(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_transfer *t = ctx;

    t->phase = SG_TRANSFER_OPENING;
    if (rc != 0 && !t->stopping) {
        note(t, SG_WARN, "the snapshot was interrupted", err);
        back_off(t);
    }
    close_parts(t);
    advance(t);
}

static void
start_snapshot(struct sg_transfer *t)
{
    t->phase = SG_TRANSFER_SNAPSHOT;
    t->snapshot_breaks = sg_watch_breaks(t->watch);
    t->snapshot_counts = true;
    sg_snapshot_start(t->snapshot, sg_watch_facts(t->watch).run_id);
}

/* ---- reconciling ---- */

static void
on_proof(void *ctx, struct sg_reconcile_proof *proof)
{
    struct sg_transfer *t = ctx;

    proof->facts = sg_watch_facts(t->watch);
    proof->proven = t->reconcile_from_proven && sg_watch_is_proven(t->watch) &&
                    sg_watch_breaks(t->watch) == t->reconcile_breaks;
}

static void
on_reconciled_written(struct sg_control_write *write)
{
    struct sg_transfer *t = sg_container_of(write, struct sg_transfer, reconciled_write);

    t->reconciled_busy = false;
    close_parts(t);
}

static void
tell_pass(struct sg_transfer *t, const struct sg_reconcile_counts *c)
{
    char text[240];

    if (c->ended > 0) {
        snprintf(text, sizeof text,
                 "%" PRId64 " sessions were gone from the legacy store, proven deleted: ended",
                 c->ended);
        note(t, SG_INFO, text, NULL);
    }
    if (c->held > 0) {
        snprintf(text, sizeof text,
                 "%" PRId64 " sessions are gone from the legacy store %s: held, neither ended nor "
                 "re-created; decide by: segue transfer resolve",
                 c->held,
                 c->over_bound ? "at once, more than may be ended unasked" : "without proof");
        note(t, SG_ERROR, text, NULL);
    }
}

static void
on_reconciled(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_transfer *t = ctx;
    const struct sg_reconcile_counts *c = sg_reconcile_counted(t->reconcile);
    const struct sg_scan_counts *scanned = sg_reconcile_scanned(t->reconcile);
    bool was_proven = sg_watch_is_proven(t->watch);

    t->scanned = scanned != NULL ? *scanned : *sg_snapshot_counted(t->snapshot);
    t->ended_absent += c->ended;
    t->held_absent += c->held;
    t->phase = SG_TRANSFER_FOLLOWING;
    if (rc != 0) {
        if (!t->stopping)
            note(t, SG_WARN, "reconciling was interrupted and is tried again", err);
        back_off(t);
    } else {
        tell_pass(t, c);
        t->reconciled++;
        if (sg_watch_prove(t->watch, t->reconcile_breaks)) {
            if (!was_proven)
                note(t, SG_INFO, "continuity is proven", NULL);
            t->backoff_ms = 0;
            t->next_pass_ns = sg_bridge_deadline(t->bridge, t->options.reconcile_ms);
        } else {
            back_off(t);
        }
        if (!t->reconciled_busy) {
            t->reconciled_busy = true;
            t->reconciled_write.done = on_reconciled_written;
            sg_control_reconciled(t->bridge, sg_snapshot_job(t->snapshot), &t->reconciled_write);
        }
    }
    sg_reconcile_free(t->reconcile);
    t->reconcile = NULL;
    close_parts(t);
    advance(t);
}

static void
start_reconcile(struct sg_transfer *t)
{
    uint64_t breaks = sg_watch_breaks(t->watch), now = sg_mono_ns(t->bridge->clock), began;
    bool scanned = t->snapshot_counts && sg_snapshot_whole(t->snapshot, &began) &&
                   t->snapshot_breaks == breaks;
    const struct sg_reconcile_options options = {
        .page_keys = t->options.page_keys,
        .scanned_ms_ago = scanned ? (int64_t)((now - began) / SG_NS_PER_MS) : -1,
        .proof = on_proof,
        .done = on_reconciled,
        .trouble = on_trouble,
        .ctx = t,
    };
    struct sg_err err;

    t->snapshot_counts = false;
    t->reconcile_breaks = breaks;
    t->reconcile_from_proven = sg_watch_is_proven(t->watch);
    t->phase = SG_TRANSFER_RECONCILING;
    if (sg_reconcile_start(t->bridge, &options, &t->reconcile, &err) != 0)
        fail(t, &err);
}

/* What is next, when nothing is under way. */
static void
advance(struct sg_transfer *t)
{
    if (t->stopping || t->watch == NULL || !sg_watch_is_up(t->watch) ||
        sg_snapshot_is_busy(t->snapshot) || t->reconcile != NULL || !is_due(t, t->next_pass_ns))
        return;
    if (sg_snapshot_is_done(t->snapshot))
        start_reconcile(t);
    else
        start_snapshot(t);
}

/* ---- what the parts tell ---- */

static void
on_up(void *ctx)
{
    struct sg_transfer *t = ctx;

    if (t->backoff_ms == 0)
        t->next_pass_ns = 0;
    note(t, SG_INFO, "the legacy store is followed", NULL);
    advance(t);
}

static void
on_broken(void *ctx, const char *reason)
{
    struct sg_transfer *t = ctx;
    char text[200];

    if (t->stopping)
        return;
    snprintf(text, sizeof text, "continuity is broken: %s", reason);
    note(t, SG_WARN, text, NULL);
    sg_follow_forget(t->follow);
    if (t->reconcile == NULL && t->backoff_ms == 0)
        t->next_pass_ns = 0;
}

static void
on_change(void *ctx, enum sg_legacy_change change, struct sg_slice key)
{
    struct sg_transfer *t = ctx;

    sg_follow_change(t->follow, change, key);
}

static void
on_beat(void *ctx, int64_t beat, int64_t sent_ms)
{
    struct sg_transfer *t = ctx;

    sg_follow_beat(t->follow, beat, sent_ms);
}

static void
on_overflow(void *ctx)
{
    struct sg_transfer *t = ctx;

    sg_watch_break(t->watch, "more keys changed than are kept track of");
}

static void
on_follow_trouble(void *ctx, const struct sg_err *err)
{
    note(ctx, SG_WARN, "changes wait", err);
}

static void
on_people_trouble(void *ctx, const struct sg_err *err)
{
    note(ctx, SG_WARN, "the identity source is not followed", err);
}

static void
on_people_fine(void *ctx)
{
    note(ctx, SG_INFO, "the identity source is followed again", NULL);
}

static void
on_people_refused(void *ctx, const struct sg_err *err)
{
    note(ctx, SG_WARN, "the identity source says of a subject what makes no sense; it is left out",
         err);
}

static void
on_drain_trouble(void *ctx, const struct sg_err *err)
{
    note(ctx, SG_WARN, "changes for the legacy store wait", err);
}

static bool
drain_is_proven(void *ctx)
{
    const struct sg_transfer *t = ctx;

    return !t->closing && sg_watch_is_proven(t->watch);
}

static bool
drain_is_current(void *ctx)
{
    const struct sg_transfer *t = ctx;

    return !t->closing && (!sg_watch_is_proven(t->watch) || sg_watch_is_current(t->watch));
}

/* ---- opening, once it leads ---- */

static int
open_parts(struct sg_transfer *t, struct sg_err *err)
{
    const struct sg_watch_events watch = {
        .up = on_up, .broken = on_broken, .change = on_change, .beat = on_beat, .ctx = t};
    const struct sg_follow_events follow = {
        .overflow = on_overflow, .trouble = on_follow_trouble, .ctx = t};
    const struct sg_people_events people = {.trouble = on_people_trouble,
                                            .fine = on_people_fine,
                                            .refused = on_people_refused,
                                            .ctx = t};
    const struct sg_snapshot_events snapshot = {.note = on_snapshot_note,
                                                .trouble = on_trouble,
                                                .locked = on_locked,
                                                .done = on_snapshot,
                                                .ctx = t};
    const struct sg_drain_events drain = {.is_proven = drain_is_proven,
                                          .is_current = drain_is_current,
                                          .trouble = on_drain_trouble,
                                          .ctx = t};

    if (sg_snapshot_new(t->bridge, &t->control.job, t->options.bulk, t->options.page_keys,
                        &snapshot, &t->snapshot, err) != 0 ||
        sg_follow_new(t->bridge, &follow, &t->follow, err) != 0 ||
        sg_watch_start(t->bridge, &t->control.continuity, &watch, &t->watch, err) != 0 ||
        sg_people_start(t->bridge, &people, &t->people, err) != 0 ||
        sg_drain_start(t->bridge, &drain, &t->drain, err) != 0)
        return -1;
    return 0;
}

static void
on_control_read(struct sg_control_state *state)
{
    struct sg_transfer *t = sg_container_of(state, struct sg_transfer, control);
    struct sg_err err;

    t->lead_busy = false;
    if (t->stopping) {
        close_parts(t);
        return;
    }
    if (state->rc != 0) {
        if (!state->err.retryable)
            fail(t, &state->err);
        return;
    }
    t->leading = true;
    t->phase = SG_TRANSFER_OPENING;
    sg_shards_set_map(t->bridge->shards, state->map);
    if (open_parts(t, &err) != 0)
        fail(t, &err);
}

static void
on_lead(struct sg_lead *lead)
{
    struct sg_transfer *t = sg_container_of(lead, struct sg_transfer, lead);
    struct sg_err err;

    t->lead_busy = false;
    if (t->stopping) {
        close_parts(t);
        return;
    }
    if (lead->rc != 0) {
        if (!t->told_control)
            note(t, SG_WARN, "the control database does not answer", &lead->err);
        t->told_control = true;
        return;
    }
    t->told_control = false;
    if (t->leading && !lead->leading) {
        sg_fail(&err, SG_E_CONFLICT, t->bridge->realm, "another process transfers this realm now");
        fail(t, &err);
    } else if (!t->leading && lead->leading) {
        t->lead_busy = true;
        t->control.done = on_control_read;
        sg_control_read(t->bridge, &t->control);
    } else if (!lead->leading && !t->told_waiting) {
        note(t, SG_INFO, "another process transfers this realm: waiting for it to end", NULL);
        t->told_waiting = true;
    }
}

static void
on_tick(uv_timer_t *timer)
{
    struct sg_transfer *t = sg_container_of(timer, struct sg_transfer, timer);

    if (!t->lead_busy && is_due(t, t->next_lead_ns)) {
        t->next_lead_ns = sg_bridge_deadline(t->bridge, LEAD_EVERY_MS);
        t->lead_busy = true;
        t->lead.done = on_lead;
        sg_control_lead(t->bridge, &t->lead);
    }
    if (t->snapshot != NULL && !t->stopping)
        sg_snapshot_tick(t->snapshot);
    advance(t);
}

/* ---- life ---- */

int
sg_transfer_start(const struct sg_transfer_options *options, struct sg_transfer **out,
                  struct sg_err *err)
{
    struct sg_transfer *t = calloc(1, sizeof *t);

    if (t == NULL)
        return sg_fail(err, SG_E_INTERNAL, options->bridge.realm->name, "out of memory");
    t->options = *options;
    if (sg_bridge_open(&options->bridge, &t->bridge, err) != 0) {
        free(t);
        return -1;
    }
    uv_timer_init(t->bridge->loop, &t->timer);
    uv_timer_start(&t->timer, on_tick, 0, TICK_MS);
    *out = t;
    return 0;
}

void
sg_transfer_get_stats(const struct sg_transfer *t, struct sg_transfer_stats *s)
{
    int i;

    memset(s, 0, sizeof *s);
    s->phase = t->phase;
    s->scan = t->scanned;
    if (t->snapshot != NULL)
        s->job = sg_snapshot_job(t->snapshot);
    if (t->snapshot != NULL && t->reconciled == 0)
        s->scan = *sg_snapshot_counted(t->snapshot);
    if (t->reconcile != NULL && sg_reconcile_scanned(t->reconcile) != NULL)
        s->scan = *sg_reconcile_scanned(t->reconcile);
    s->lag_ms = -1;
    s->reconciled = t->reconciled;
    s->ended_absent = t->ended_absent;
    s->held_absent = t->held_absent;
    if (t->follow == NULL || t->closing)
        return;
    s->follow = *sg_follow_counted(t->follow);
    s->queued = sg_follow_queued(t->follow);
    for (i = 0; i < sg_shards_count(t->bridge->shards); i++) {
        int64_t lag = sg_follow_lag_ms(t->follow, i);

        if (lag > s->lag_ms)
            s->lag_ms = lag;
    }
    if (t->drain != NULL)
        s->drain = sg_drain_counted(t->drain);
    if (t->people != NULL) {
        s->subjects = sg_people_stored(t->people);
        s->people_caught_up = sg_people_caught_up(t->people);
    } else
        s->people_caught_up = true;
    if (t->watch != NULL) {
        s->proven = sg_watch_is_proven(t->watch);
        s->breaks = (int64_t)sg_watch_breaks(t->watch);
        snprintf(s->reason, sizeof s->reason, "%s", sg_watch_reason(t->watch));
    }
}

static void
timer_closed(uv_handle_t *handle)
{
    struct sg_transfer *t = sg_container_of((uv_timer_t *)handle, struct sg_transfer, timer);

    t->options.stopped(t->options.ctx, t->rc, &t->err);
    sg_snapshot_free(t->snapshot);
    free(t);
}

static void
bridge_closed(void *ctx)
{
    struct sg_transfer *t = ctx;

    uv_close((uv_handle_t *)&t->timer, timer_closed);
}

static void
part_stopped(void *ctx)
{
    struct sg_transfer *t = ctx;

    if (--t->open == 0)
        sg_bridge_close(t->bridge, bridge_closed, t);
}

/* Second half of stopping, once no scan and no statement is under way. */
static void
close_parts(struct sg_transfer *t)
{
    if (!t->stopping || t->closing || t->reconcile != NULL || t->lead_busy ||
        (t->snapshot != NULL && sg_snapshot_is_busy(t->snapshot)) || t->reconciled_busy)
        return;
    t->closing = true;
    uv_timer_stop(&t->timer);
    t->open = 1;
    if (t->watch != NULL) {
        t->open++;
        sg_watch_stop(t->watch, part_stopped, t);
    }
    if (t->follow != NULL) {
        t->open++;
        sg_follow_stop(t->follow, part_stopped, t);
    }
    if (t->people != NULL) {
        t->open++;
        sg_people_stop(t->people, part_stopped, t);
    }
    if (t->drain != NULL) {
        t->open++;
        sg_drain_stop(t->drain, part_stopped, t);
    }
    part_stopped(t);
}

void
sg_transfer_stop(struct sg_transfer *t)
{
    if (t->stopping)
        return;
    t->stopping = true;
    if (t->snapshot != NULL)
        sg_snapshot_stop(t->snapshot);
    if (t->reconcile != NULL)
        sg_reconcile_stop(t->reconcile);
    close_parts(t);
}
