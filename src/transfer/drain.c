/* SPDX-License-Identifier: MIT */
#include "transfer/drain.h"

#include "base/fault.h"
#include "store/sealed.h"

#include <stdlib.h>

#define POLL_MS 100
#define ROWS 500
#define HELD_POLL_MS 1000 /* where all that waits is held */
#define TIMEOUT_MS 2000

struct lane;

/* A row of the outbox under work. */
struct task {
    struct lane *lane;
    const struct sg_outbox_row *row;
    struct sg_legacy_request request;
    struct sg_buf record;
    bool settled, hold;
};

struct lane {
    struct sg_drain *drain;
    int shard;
    bool busy;
    struct sg_outbox_poll poll;
    struct task tasks[ROWS];
    struct sg_outbox_row settled[ROWS];
    struct sg_hold_row holds[ROWS];
    int n_settled, n_holds, pending, waiting;
    uint64_t not_before_ns;
};

struct sg_drain {
    const struct sg_bridge *bridge;
    struct sg_drain_events events;
    struct sg_drain_counts counts;
    uv_timer_t timer;
    bool in_trouble, stopping;
    void (*stopped)(void *ctx);
    void *stopped_ctx;
    int n_lanes;
    struct lane lanes[];
};

static void release(struct sg_drain *d);

static void
trouble(struct sg_drain *d, const struct sg_err *err)
{
    if (!d->in_trouble && !d->stopping)
        d->events.trouble(d->events.ctx, err);
    d->in_trouble = true;
}

static void
round_over(struct lane *lane)
{
    sg_outbox_clear(&lane->poll);
    lane->busy = false;
    release(lane->drain);
}

/* ---- 3: the rows that are done with, and the sessions to hold ---- */

static void
on_noted(void *ctx, int rc, const struct sg_err *err)
{
    struct lane *lane = ctx;

    if (rc != 0)
        trouble(lane->drain, err);
    if (--lane->pending == 0)
        round_over(lane);
}

static void
note(struct lane *lane)
{
    struct sg_drain *d = lane->drain;
    uint64_t deadline = sg_bridge_deadline(d->bridge, TIMEOUT_MS);
    int i;

    lane->n_settled = lane->n_holds = 0;
    for (i = 0; i < lane->poll.n_rows; i++) {
        const struct task *t = &lane->tasks[i];

        if (t->settled)
            lane->settled[lane->n_settled++] = *t->row;
        if (t->hold) {
            struct sg_hold_row *row = &lane->holds[lane->n_holds++];

            *row = (struct sg_hold_row){.realm = d->bridge->realm, .bucket = t->row->bucket};
            memcpy(row->sid, t->row->sid, sizeof row->sid);
        }
    }
    d->counts.held += lane->n_holds;
    lane->pending = 1;
    if (lane->n_holds > 0) {
        lane->pending++;
        sg_store_hold_sessions(d->bridge->store, lane->holds, lane->n_holds, deadline, on_noted,
                               lane);
    }
    if (lane->n_holds > 0 && lane->n_settled == 0)
        lane->not_before_ns = sg_bridge_deadline(d->bridge, HELD_POLL_MS);
    if (lane->n_settled > 0 && sg_fault("transfer.drain.after_write"))
        lane->n_settled = 0;
    if (lane->n_settled > 0) {
        lane->pending++;
        sg_store_outbox_done(d->bridge->store, lane->shard, d->bridge->realm, lane->settled,
                             lane->n_settled, deadline, on_noted, lane);
    }
    if (--lane->pending == 0)
        round_over(lane);
}

static void
task_over(struct task *t)
{
    struct lane *lane = t->lane;

    sg_legacy_request_clear(&t->request);
    sg_buf_wipe(&t->record);
    if (--lane->pending == 0)
        note(lane);
}

/* ---- 2: the legacy store ---- */

static void
submit(struct task *t, enum sg_legacy_op op, void (*done)(struct sg_legacy_request *))
{
    const struct sg_bridge *b = t->lane->drain->bridge;

    t->request.op = op;
    t->request.ttl_ms = t->row->expires_in_ms;
    t->request.deadline_ns = sg_bridge_deadline(b, TIMEOUT_MS);
    t->request.done = done;
    b->legacy->type->submit(b->legacy, &t->request);
}

/* Whether the request failed, which leaves the row for the next round. */
static bool
failed(struct task *t)
{
    if (t->request.rc == 0) {
        t->lane->drain->in_trouble = false;
        return false;
    }
    trouble(t->lane->drain, &t->request.err);
    return true;
}

static void
on_ended(struct sg_legacy_request *request)
{
    struct task *t = sg_container_of(request, struct task, request);

    if (!failed(t)) {
        t->settled = true;
        t->lane->drain->counts.ended++;
    }
    task_over(t);
}

/* Somebody else may have created it meanwhile: the next round touches that. */
static void
on_created(struct sg_legacy_request *request)
{
    struct task *t = sg_container_of(request, struct task, request);

    if (!failed(t) && !request->found) {
        t->settled = true;
        t->lane->drain->counts.created++;
    }
    task_over(t);
}

static void
create(struct task *t)
{
    const struct sg_bridge *b = t->lane->drain->bridge;
    struct sg_err err;

    t->record = SG_BUF_INIT(SG_LEGACY_VALUE_MAX);
    if (sg_open_record(b->ring, b->realm, t->row->sid, t->row->record, &t->record, &err) != 0) {
        trouble(t->lane->drain, &err);
        task_over(t);
        return;
    }
    sg_legacy_request_clear(&t->request);
    t->request.value = sg_buf_slice(&t->record);
    submit(t, SG_LEGACY_CREATE, on_created);
}

/* Without proof what looks expired may have been renewed and then ended, both unseen. */
static bool
must_create(const struct task *t, bool proven)
{
    if (t->row->record.len == 0)
        return false;
    return t->row->exp_source_in_ms == INT64_MIN || (proven && t->row->exp_source_in_ms <= 0);
}

static void
on_touched(struct sg_legacy_request *request)
{
    struct task *t = sg_container_of(request, struct task, request);
    struct sg_drain *d = t->lane->drain;

    if (failed(t)) {
        task_over(t);
        return;
    }
    if (request->found) {
        t->settled = true;
        d->counts.touched++;
    } else if (t->row->held) {
        t->hold = true; /* the operator's: it is not made again by itself */
    } else if (!d->events.is_current(d->events.ctx)) {
        task_over(t); /* a deletion may be on its way */
        return;
    } else if (must_create(t, d->events.is_proven(d->events.ctx))) {
        create(t);
        return;
    } else if (d->events.is_proven(d->events.ctx)) {
        t->settled = true;
    } else {
        t->hold = true;
    }
    task_over(t);
}

static void
start_task(struct lane *lane, int i)
{
    const struct sg_bridge *b = lane->drain->bridge;
    struct task *t = &lane->tasks[i];
    struct sg_buf key = SG_BUF_INIT(SG_LEGACY_KEY_MAX);
    struct sg_err err;

    memset(t, 0, sizeof *t);
    t->lane = lane;
    t->row = &lane->poll.rows[i];
    if (t->row->handle.len == 0 || (!t->row->ended && t->row->expires_in_ms <= 0)) {
        t->settled = true; /* it has no record, or its time is over on both sides */
        task_over(t);
        return;
    }
    if (sg_open_handle(b->ring, b->realm, t->row->sid, t->row->handle, &key, &err) != 0) {
        trouble(lane->drain, &err);
        task_over(t);
        return;
    }
    memcpy(t->request.key, key.ptr, key.len);
    sg_buf_wipe(&key);
    if (t->row->ended)
        submit(t, SG_LEGACY_END, on_ended);
    else
        submit(t, SG_LEGACY_TOUCH, on_touched);
}

/* ---- 1: the outbox ---- */

static void
on_polled(void *ctx, int rc, const struct sg_err *err)
{
    struct lane *lane = ctx;
    int i;

    if (rc != 0) {
        trouble(lane->drain, err);
        round_over(lane);
        return;
    }
    lane->waiting = lane->poll.n_rows;
    lane->pending = lane->poll.n_rows + 1;
    for (i = 0; i < lane->poll.n_rows; i++)
        start_task(lane, i);
    if (--lane->pending == 0)
        note(lane);
}

static void
on_timer(uv_timer_t *timer)
{
    struct sg_drain *d = sg_container_of(timer, struct sg_drain, timer);
    int i;

    for (i = 0; i < d->n_lanes && !d->stopping; i++) {
        struct lane *lane = &d->lanes[i];

        if (lane->busy || sg_mono_ns(d->bridge->clock) < lane->not_before_ns)
            continue;
        lane->busy = true;
        lane->poll =
            (struct sg_outbox_poll){.shard = lane->shard, .realm = d->bridge->realm, .limit = ROWS};
        sg_store_poll_outbox(d->bridge->store, &lane->poll,
                             sg_bridge_deadline(d->bridge, TIMEOUT_MS), on_polled, lane);
    }
}

int
sg_drain_start(const struct sg_bridge *bridge, const struct sg_drain_events *events,
               struct sg_drain **out, struct sg_err *err)
{
    int n = sg_shards_count(bridge->shards), i;
    struct sg_drain *d = calloc(1, sizeof *d + (size_t)n * sizeof d->lanes[0]);

    if (d == NULL)
        return sg_fail(err, SG_E_INTERNAL, bridge->realm, "out of memory");
    d->bridge = bridge;
    d->events = *events;
    d->n_lanes = n;
    for (i = 0; i < n; i++) {
        d->lanes[i].drain = d;
        d->lanes[i].shard = i;
    }
    uv_timer_init(bridge->loop, &d->timer);
    uv_timer_start(&d->timer, on_timer, 0, POLL_MS);
    *out = d;
    return 0;
}

struct sg_drain_counts
sg_drain_counted(const struct sg_drain *d)
{
    struct sg_drain_counts c = d->counts;
    int i;

    for (i = 0; i < d->n_lanes; i++)
        c.waiting += d->lanes[i].waiting;
    return c;
}

static void
timer_closed(uv_handle_t *handle)
{
    struct sg_drain *d = sg_container_of((uv_timer_t *)handle, struct sg_drain, timer);
    void (*stopped)(void *) = d->stopped;
    void *ctx = d->stopped_ctx;

    free(d);
    stopped(ctx);
}

static void
release(struct sg_drain *d)
{
    int i;

    for (i = 0; i < d->n_lanes; i++)
        if (d->lanes[i].busy)
            return;
    if (d->stopping && !uv_is_closing((uv_handle_t *)&d->timer))
        uv_close((uv_handle_t *)&d->timer, timer_closed);
}

void
sg_drain_stop(struct sg_drain *d, void (*stopped)(void *ctx), void *ctx)
{
    d->stopping = true;
    d->stopped = stopped;
    d->stopped_ctx = ctx;
    uv_timer_stop(&d->timer);
    release(d);
}
