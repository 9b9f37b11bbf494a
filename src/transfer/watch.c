/* SPDX-License-Identifier: MIT */
#include "transfer/watch.h"

#include "base/encode.h"
#include "transfer/absence.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BEAT_MS 100
#define BEAT_TIMEOUT_MS 1000
#define SILENCE_MS 2000 /* a beat that was acknowledged and does not come back */
#define CURRENT_MS 1000
#define BEAT_TO_CONTROL_MS 1000
#define UNRETURNED_MAX 32

enum state { DOWN, JUDGING, UP };

struct sent_beat {
    int64_t beat, sent_ms;
    uint64_t sent_ns;
};

struct sg_watch {
    const struct sg_bridge *bridge;
    struct sg_watch_events events;
    struct sg_legacy_follower *follower;
    uv_timer_t timer;
    enum state state;
    char follower_run[48];
    struct sg_stream was;              /* as last judged, or as it must still be */
    int64_t found_beat, found_beat_ms; /* in the store when it was last judged */
    bool proven, kept;
    bool lossy; /* since it was last proven: wall clock of what a restart may have lost */
    int64_t lossy_from_ms, lossy_to_ms;
    int64_t watched_ms; /* wall clock of the newest beat that came back; 0 = none did yet */
    bool gap;           /* since it was last proven: wall clock of when nobody followed */
    int64_t gap_from_ms, gap_to_ms;
    uint64_t breaks;
    char reason[120];

    int64_t next_beat;
    struct sent_beat sending, unreturned[UNRETURNED_MAX];
    int n_unreturned;
    bool unsure; /* a beat since the last acknowledged one may or may not have been written */
    bool beat_busy, judge_busy, sentinel_busy;
    struct sg_legacy_request beat_request, judge_request, sentinel_request;

    struct sg_control_write write, beat_write;
    bool row_changed, write_busy, beat_write_busy;
    uint64_t retry_write_ns, beat_written_ns;

    bool stopping, unfollowed;
    void (*stopped)(void *ctx);
    void *stopped_ctx;
};

static void write_row(struct sg_watch *w);
static void release(struct sg_watch *w);

/* ---- the account of continuity ---- */

static void
set_state(struct sg_watch *w, bool proven, const char *reason)
{
    w->proven = proven;
    snprintf(w->reason, sizeof w->reason, "%s", reason);
    w->row_changed = true;
    w->retry_write_ns = 0;
    write_row(w);
}

/* Nobody followed the store until now, since the last beat that came back or, before any did, since
 * the one that was found. */
static void
note_gap(struct sg_watch *w)
{
    if (!w->gap)
        w->gap_from_ms = w->watched_ms != 0 ? w->watched_ms : w->found_beat_ms;
    w->gap = true;
    w->gap_to_ms = sg_wall_ms(w->bridge->clock);
}

void
sg_watch_break(struct sg_watch *w, const char *reason)
{
    w->breaks++;
    if (w->watched_ms != 0)
        note_gap(w);
    set_state(w, false, reason);
    w->events.broken(w->events.ctx, reason);
}

bool
sg_watch_prove(struct sg_watch *w, uint64_t breaks_at_start)
{
    if (w->state != UP || w->breaks != breaks_at_start)
        return false;
    w->kept = true;
    w->lossy = w->gap = false;
    set_state(w, true, "");
    return true;
}

static void
on_written(struct sg_control_write *write)
{
    struct sg_watch *w = sg_container_of(write, struct sg_watch, write);

    w->write_busy = false;
    if (write->rc != 0) {
        w->row_changed = true;
        w->retry_write_ns = sg_bridge_deadline(w->bridge, 200);
    } else {
        write_row(w);
    }
    release(w);
}

static void
write_row(struct sg_watch *w)
{
    struct sg_continuity_row row = {
        .proven = w->proven,
        .kept = w->kept,
        .evicted = w->was.evicted,
        .flushes = w->was.flushes,
        .beat = w->was.beat,
    };

    if (!w->row_changed || w->write_busy || sg_mono_ns(w->bridge->clock) < w->retry_write_ns)
        return;
    snprintf(row.run_id, sizeof row.run_id, "%s", w->was.run_id);
    snprintf(row.sentinel, sizeof row.sentinel, "%s", w->was.sentinel);
    snprintf(row.reason, sizeof row.reason, "%s", w->reason);
    w->row_changed = false;
    w->write_busy = true;
    w->write.done = on_written;
    sg_control_continuity(w->bridge, &row, &w->write);
}

static void
on_beat_written(struct sg_control_write *write)
{
    struct sg_watch *w = sg_container_of(write, struct sg_watch, beat_write);

    w->beat_write_busy = false;
    release(w);
}

static void
write_beat(struct sg_watch *w)
{
    if (w->beat_write_busy || sg_mono_ns(w->bridge->clock) < w->beat_written_ns)
        return;
    w->beat_written_ns = sg_bridge_deadline(w->bridge, BEAT_TO_CONTROL_MS);
    w->beat_write_busy = true;
    w->beat_write.done = on_beat_written;
    sg_control_beat(w->bridge, w->was.beat, &w->beat_write);
}

/* ---- the sentinel ---- */

static void
on_sentinel(struct sg_legacy_request *request)
{
    struct sg_watch *w = sg_container_of(request, struct sg_watch, sentinel_request);

    w->sentinel_busy = false;
    sg_legacy_request_clear(request); /* the next beat shows whether it is there */
    release(w);
}

static void
put_sentinel(struct sg_watch *w)
{
    uint8_t random[16];
    char text[2 * sizeof random + 1];

    if (w->sentinel_busy)
        return;
    sg_random(random, sizeof random);
    sg_hex(random, sizeof random, text);
    w->sentinel_busy = true;
    w->sentinel_request = (struct sg_legacy_request){
        .op = SG_LEGACY_PUT_SENTINEL,
        .value = sg_str(text),
        .deadline_ns = sg_bridge_deadline(w->bridge, BEAT_TIMEOUT_MS),
        .done = on_sentinel,
    };
    w->bridge->legacy->type->submit(w->bridge->legacy, &w->sentinel_request);
}

/* ---- judging ---- */

static struct sg_stream
as_found(const struct sg_legacy_request *reply, int64_t beat)
{
    struct sg_stream is = {.evicted = reply->evicted_keys, .flushes = reply->flushes, .beat = beat};

    snprintf(is.run_id, sizeof is.run_id, "%s", reply->proof.run_id);
    snprintf(is.sentinel, sizeof is.sentinel, "%s", reply->proof.sentinel);
    return is;
}

/* "<realm>:<beat>:<wall ms>"; a realm holds no ':'. */
static void
take_found(struct sg_watch *w, struct sg_slice value)
{
    char text[160];
    const char *p;

    snprintf(text, sizeof text, "%.*s", (int)value.len, value.ptr != NULL ? value.ptr : "");
    p = strchr(text, ':');
    if (p == NULL || sscanf(p, ":%" SCNd64 ":%" SCNd64, &w->found_beat, &w->found_beat_ms) != 2)
        w->found_beat = w->found_beat_ms = 0;
    if (w->found_beat >= w->next_beat)
        w->next_beat = w->found_beat + 1;
}

/* A beat that was not acknowledged may have been written over an older one that a restarted store
 * had come back with. */
static bool
covered_evidence(const struct sg_watch *w, const struct sg_stream *is)
{
    return w->unsure && strcmp(w->was.run_id, is->run_id) != 0 && w->found_beat > w->was.beat;
}

/* The store as it is when the follower came up, before a new beat covers the last one. */
static void
judge(struct sg_watch *w, const struct sg_legacy_request *reply)
{
    struct sg_stream is;

    take_found(w, reply->found ? sg_buf_slice(&reply->read_value) : sg_str(""));
    is = as_found(reply, w->found_beat);
    if (strcmp(is.run_id, w->follower_run) != 0)
        return; /* the two connections are at different servers: again at the next tick */
    if (w->was.run_id[0] != '\0' && (!sg_stream_kept(&w->was, &is) || covered_evidence(w, &is)))
        w->kept = false;
    if (is.sentinel[0] == '\0') {
        put_sentinel(w);
        return; /* judged again, and up, once it is there */
    }
    if (strcmp(w->was.run_id, is.run_id) != 0) {
        if (!w->lossy)
            w->lossy_from_ms = w->found_beat_ms;
        w->lossy = true;
        w->lossy_to_ms = sg_wall_ms(w->bridge->clock);
    }
    note_gap(w);
    w->was = is;
    w->unsure = false;
    w->state = UP;
    w->row_changed = true;
    write_row(w);
    w->events.up(w->events.ctx);
}

static void
on_judged(struct sg_legacy_request *request)
{
    struct sg_watch *w = sg_container_of(request, struct sg_watch, judge_request);

    w->judge_busy = false;
    if (request->rc == 0 && w->state == JUDGING && !w->stopping)
        judge(w, request);
    sg_legacy_request_clear(request);
    release(w);
}

static void
ask(struct sg_watch *w)
{
    /* A beat under way would cover the one to judge by. */
    if (w->judge_busy || w->beat_busy || w->sentinel_busy)
        return;
    w->judge_busy = true;
    w->judge_request = (struct sg_legacy_request){
        .op = SG_LEGACY_PROVE,
        .deadline_ns = sg_bridge_deadline(w->bridge, BEAT_TIMEOUT_MS),
        .done = on_judged,
    };
    w->bridge->legacy->type->submit(w->bridge->legacy, &w->judge_request);
}

/* What a beat's answer tells, against what must still be. */
static void
compare(struct sg_watch *w, const struct sg_legacy_request *reply)
{
    struct sg_stream is = as_found(reply, w->sending.beat);
    const char *reason = sg_stream_broken(&w->was, &is);

    if (reason == NULL) {
        w->unsure = false;
        w->was.beat = w->sending.beat;
        return;
    }
    w->kept = false;
    if (strcmp(w->was.run_id, is.run_id) != 0) {
        w->state = DOWN; /* the follower, still at the old server, will come up anew */
        sg_watch_break(w, reason);
        return;
    }
    w->was = is;
    if (is.sentinel[0] == '\0')
        w->state = JUDGING;
    sg_watch_break(w, reason);
    if (w->state == UP)
        w->events.up(w->events.ctx);
}

/* ---- beats ---- */

static void
forget_oldest_beat(struct sg_watch *w)
{
    memmove(&w->unreturned[0], &w->unreturned[1],
            (size_t)--w->n_unreturned * sizeof w->unreturned[0]);
}

static void
on_beat(struct sg_legacy_request *request)
{
    struct sg_watch *w = sg_container_of(request, struct sg_watch, beat_request);

    w->beat_busy = false;
    /* Without a run id the answer came over a connection that is gone: nothing is known of the
     * server. */
    if (request->rc != 0 || request->proof.run_id[0] == '\0') {
        if (w->n_unreturned > 0 && w->unreturned[w->n_unreturned - 1].beat == w->sending.beat)
            w->n_unreturned--;
        w->unsure = true;
    } else if (!w->stopping && w->state == UP) {
        compare(w, request);
    } else if (strcmp(request->proof.run_id, w->was.run_id) != 0) {
        w->unsure = true;
    }
    sg_legacy_request_clear(request);
    release(w);
}

static void
send_beat(struct sg_watch *w)
{
    char value[160];

    if (w->beat_busy || w->sentinel_busy)
        return;
    w->sending = (struct sent_beat){.beat = w->next_beat++,
                                    .sent_ms = sg_wall_ms(w->bridge->clock),
                                    .sent_ns = sg_mono_ns(w->bridge->clock)};
    snprintf(value, sizeof value, "%s:%" PRId64 ":%" PRId64, w->bridge->realm, w->sending.beat,
             w->sending.sent_ms);
    if (w->n_unreturned == UNRETURNED_MAX)
        forget_oldest_beat(w);
    w->unreturned[w->n_unreturned++] = w->sending;
    w->beat_busy = true;
    w->beat_request = (struct sg_legacy_request){
        .op = SG_LEGACY_HEARTBEAT,
        .value = sg_str(value),
        .deadline_ns = sg_bridge_deadline(w->bridge, BEAT_TIMEOUT_MS),
        .done = on_beat,
    };
    w->bridge->legacy->type->submit(w->bridge->legacy, &w->beat_request);
}

static void
check_silence(struct sg_watch *w)
{
    uint64_t now = sg_mono_ns(w->bridge->clock);

    if (w->n_unreturned == 0 ||
        now - w->unreturned[0].sent_ns < (uint64_t)SILENCE_MS * SG_NS_PER_MS)
        return;
    w->n_unreturned = 0;
    sg_watch_break(w, "heartbeats written to the legacy store do not come back");
    w->events.up(w->events.ctx);
}

static void
on_tick(uv_timer_t *timer)
{
    struct sg_watch *w = sg_container_of(timer, struct sg_watch, timer);

    if (w->stopping)
        return;
    if (w->state == JUDGING)
        ask(w);
    if (w->state == UP) {
        send_beat(w);
        check_silence(w);
        write_beat(w);
    }
    write_row(w);
}

/* ---- the follower's events ---- */

static void
on_follower_up(void *ctx, const char *run_id)
{
    struct sg_watch *w = ctx;

    snprintf(w->follower_run, sizeof w->follower_run, "%s", run_id);
    w->n_unreturned = 0;
    w->state = JUDGING;
    ask(w);
}

static void
on_follower_down(void *ctx, const struct sg_err *err)
{
    struct sg_watch *w = ctx;
    char reason[sizeof w->reason];

    w->state = DOWN;
    w->n_unreturned = 0;
    snprintf(reason, sizeof reason, "changes are not followed: %.80s", err->text);
    sg_watch_break(w, reason);
}

static void
on_change(void *ctx, enum sg_legacy_change change, struct sg_slice key)
{
    struct sg_watch *w = ctx;
    struct sent_beat back;

    if (w->stopping)
        return;
    if (change == SG_CHANGE_EVICTED) {
        w->kept = false;
        w->breaks++; /* the next beat finds the counter moved, and so starts over */
        if (w->proven)
            sg_watch_break(w, "the legacy store evicted keys");
        return;
    }
    if (change != SG_CHANGE_HEARTBEAT) {
        w->events.change(w->events.ctx, change, key);
        return;
    }
    if (w->n_unreturned == 0)
        return;
    back = w->unreturned[0];
    w->watched_ms = back.sent_ms;
    forget_oldest_beat(w);
    w->events.beat(w->events.ctx, back.beat, back.sent_ms);
}

/* ---- life ---- */

int
sg_watch_start(const struct sg_bridge *bridge, const struct sg_continuity_row *row,
               const struct sg_watch_events *events, struct sg_watch **out, struct sg_err *err)
{
    const struct sg_legacy_follow_events follow = {
        .up = on_follower_up, .change = on_change, .down = on_follower_down};
    struct sg_legacy_follow_events mine = follow;
    struct sg_watch *w = calloc(1, sizeof *w);

    if (w == NULL)
        return sg_fail(err, SG_E_INTERNAL, bridge->realm, "out of memory");
    w->bridge = bridge;
    w->events = *events;
    w->kept = !row->exists || row->kept;
    w->next_beat = row->beat + 1;
    snprintf(w->was.run_id, sizeof w->was.run_id, "%s", row->run_id);
    snprintf(w->was.sentinel, sizeof w->was.sentinel, "%s", row->sentinel);
    w->was.evicted = row->evicted;
    w->was.flushes = row->flushes;
    w->was.beat = row->beat;
    mine.ctx = w;
    if (bridge->legacy->type->follow(bridge->legacy, &mine, &w->follower, err) != 0) {
        free(w);
        return -1;
    }
    uv_timer_init(bridge->loop, &w->timer);
    uv_timer_start(&w->timer, on_tick, BEAT_MS, BEAT_MS);
    set_state(w, false, "segue transfer has just started");
    *out = w;
    return 0;
}

static void
timer_closed(uv_handle_t *handle)
{
    struct sg_watch *w = sg_container_of((uv_timer_t *)handle, struct sg_watch, timer);
    void (*stopped)(void *) = w->stopped;
    void *ctx = w->stopped_ctx;

    free(w);
    stopped(ctx);
}

/* Goes on with stopping when nothing is under way any more. */
static void
release(struct sg_watch *w)
{
    if (!w->stopping || !w->unfollowed || w->beat_busy || w->judge_busy || w->sentinel_busy ||
        w->write_busy || w->beat_write_busy || uv_is_closing((uv_handle_t *)&w->timer))
        return;
    uv_close((uv_handle_t *)&w->timer, timer_closed);
}

static void
on_unfollowed(void *ctx)
{
    struct sg_watch *w = ctx;

    w->unfollowed = true;
    release(w);
}

void
sg_watch_stop(struct sg_watch *w, void (*stopped)(void *ctx), void *ctx)
{
    w->stopping = true;
    w->stopped = stopped;
    w->stopped_ctx = ctx;
    uv_timer_stop(&w->timer);
    set_state(w, false, "segue transfer is not running");
    w->bridge->legacy->type->unfollow(w->follower, on_unfollowed, w);
}

uint64_t
sg_watch_breaks(const struct sg_watch *w)
{
    return w->breaks;
}

bool
sg_watch_is_up(const struct sg_watch *w)
{
    return w->state == UP;
}

bool
sg_watch_is_proven(const struct sg_watch *w)
{
    return w->proven;
}

bool
sg_watch_is_current(const struct sg_watch *w)
{
    return w->state == UP && sg_wall_ms(w->bridge->clock) - w->watched_ms <= CURRENT_MS;
}

const char *
sg_watch_reason(const struct sg_watch *w)
{
    return w->reason;
}

struct sg_watch_facts
sg_watch_facts(const struct sg_watch *w)
{
    int64_t now = sg_wall_ms(w->bridge->clock);

    return (struct sg_watch_facts){
        .kept = w->kept,
        .lossy_from_ms = w->lossy ? now - w->lossy_from_ms : -1,
        .lossy_to_ms = w->lossy ? now - w->lossy_to_ms : -1,
        .unwatched_from_ms = w->gap ? now - w->gap_from_ms : -1,
        .unwatched_to_ms = w->gap ? now - w->gap_to_ms : -1,
        .run_id = w->was.run_id,
        .sentinel = w->was.sentinel,
    };
}
