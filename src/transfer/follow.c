/* SPDX-License-Identifier: MIT */
#include "transfer/follow.h"

#include "keys/digest.h"
#include "transfer/changes.h"
#include "transfer/dirty.h"
#include "transfer/pulse.h"
#include "transfer/recent.h"

#include <stdlib.h>

#define BATCHES_A_LANE 2
#define STEP_TIMEOUT_MS 1000
#define GATHER_MS 1 /* changes that come together are worked on together */
#define TICK_MS 50
#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS 1000
#define TROUBLE_EVERY_MS 1000

/* When the keys that wait for a shard are tried again. */
struct gate {
    uint64_t open_ns;
    int wait_ms;
};

struct sg_follow {
    const struct sg_bridge *bridge;
    struct sg_follow_events events;
    struct sg_dirty *dirty;
    struct sg_pulse *pulse;
    struct sg_recent *recent;
    uv_timer_t gather, tick;
    char *renamed_from; /* the first half of a pair */
    uint64_t trouble_ns;
    struct sg_follow_counts counts;
    int n_shards, open_handles;
    bool stopping, paused;
    void (*stopped)(void *ctx);
    void *stopped_ctx;
    struct gate gates[SG_SHARDS_MAX];
    struct sg_changes *batches[SG_SHARDS_MAX][BATCHES_A_LANE];
};

static void release(struct sg_follow *f);

/* ---- work ---- */

static void
work_on_lane(struct sg_follow *f, int lane)
{
    struct sg_dirty_key *keys[SG_CHANGES_KEYS];
    int i, n;

    for (i = 0; i < BATCHES_A_LANE; i++) {
        if (sg_changes_busy(f->batches[lane][i]))
            continue;
        n = sg_dirty_take(f->dirty, lane, keys, SG_CHANGES_KEYS);
        if (n == 0)
            return;
        sg_changes_start(f->batches[lane][i], keys, n, lane);
    }
}

/* Its keys wait for the shard without being tried, and so hold up no other shard's heartbeat. */
static void
set_lane_aside(struct sg_follow *f, int lane)
{
    struct sg_dirty_key *keys[SG_CHANGES_KEYS];
    int i, n;

    do {
        n = sg_dirty_take(f->dirty, lane, keys, SG_CHANGES_KEYS);
        for (i = 0; i < n; i++)
            sg_dirty_blocked(f->dirty, keys[i], lane);
    } while (n > 0);
}

static void
work(struct sg_follow *f)
{
    int lane;

    for (lane = 0; lane < f->n_shards && !f->stopping && !f->paused; lane++) {
        if (f->bridge->silent[lane])
            set_lane_aside(f, lane);
        else
            work_on_lane(f, lane);
    }
}

static void
shut(struct sg_follow *f, int shard)
{
    struct gate *g = &f->gates[shard];

    if (sg_mono_ns(f->bridge->clock) < g->open_ns)
        return;
    g->wait_ms = g->wait_ms == 0 ? RETRY_FIRST_MS : g->wait_ms * 2;
    if (g->wait_ms > RETRY_LAST_MS)
        g->wait_ms = RETRY_LAST_MS;
    g->open_ns = sg_bridge_deadline(f->bridge, g->wait_ms);
}

static void
tell_trouble(struct sg_follow *f, const struct sg_err *err)
{
    uint64_t now = sg_mono_ns(f->bridge->clock);

    if (err->code == SG_OK || now < f->trouble_ns)
        return;
    f->trouble_ns = now + TROUBLE_EVERY_MS * SG_NS_PER_MS;
    f->events.trouble(f->events.ctx, err);
}

static void
count(struct sg_follow *f, struct sg_changes_counts c)
{
    f->counts.stored += c.stored;
    f->counts.spared += c.spared;
    f->counts.ended += c.ended;
    f->counts.rejected += c.rejected;
    f->counts.refused += c.refused;
    f->counts.renamed += c.renamed;
}

static void
on_batch(void *ctx, struct sg_changes *batch)
{
    struct sg_follow *f = ctx;
    bool all = true;
    int i, shard, lane = -1;

    for (i = 0; i < sg_changes_n(batch); i++) {
        struct sg_dirty_key *key = sg_changes_key(batch, i);

        lane = key->lane;
        shard = sg_changes_blocked_on(batch, i);
        if (shard < 0) {
            sg_dirty_done(f->dirty, key);
            continue;
        }
        all = false;
        shut(f, shard);
        sg_dirty_blocked(f->dirty, key, shard);
    }
    if (all && lane >= 0)
        f->gates[lane].wait_ms = 0;
    count(f, sg_changes_counted(batch));
    tell_trouble(f, sg_changes_trouble(batch));
    sg_pulse_pump(f->pulse);
    work(f);
    release(f);
}

static void
on_gathered(uv_timer_t *timer)
{
    work(sg_container_of(timer, struct sg_follow, gather));
}

static void
on_tick(uv_timer_t *timer)
{
    struct sg_follow *f = sg_container_of(timer, struct sg_follow, tick);
    uint64_t now = sg_mono_ns(f->bridge->clock);
    int shard;

    for (shard = 0; shard < f->n_shards; shard++)
        if (now >= f->gates[shard].open_ns && !f->bridge->silent[shard])
            sg_dirty_unblock(f->dirty, shard, SG_CHANGES_KEYS);
    sg_pulse_pump(f->pulse);
    work(f);
}

/* ---- what comes in ---- */

static int
lane_of(const struct sg_follow *f, struct sg_slice key)
{
    struct sg_hash digest = sg_store_key_digest(&f->bridge->realm_key, key);

    return sg_bridge_shard_of_digest(f->bridge, digest.b);
}

static void
noted(struct sg_follow *f, bool fits)
{
    if (!fits) {
        f->events.overflow(f->events.ctx);
        return;
    }
    if (!f->stopping && !uv_is_active((uv_handle_t *)&f->gather))
        uv_timer_start(&f->gather, on_gathered, GATHER_MS, 0);
}

/* The record left this key, and what it became is not among the realm's keys. */
static void
end_lone_half(struct sg_follow *f)
{
    struct sg_slice key = sg_str(f->renamed_from);

    if (f->renamed_from == NULL)
        return;
    noted(f, sg_dirty_deleted(f->dirty, key, lane_of(f, key)));
    free(f->renamed_from);
    f->renamed_from = NULL;
}

static void
on_renamed_to(struct sg_follow *f, struct sg_slice key)
{
    if (f->renamed_from == NULL) {
        noted(f, sg_dirty_written(f->dirty, key, lane_of(f, key)));
        return;
    }
    noted(f, sg_dirty_renamed(f->dirty, sg_str(f->renamed_from), key, lane_of(f, key)));
    free(f->renamed_from);
    f->renamed_from = NULL;
}

void
sg_follow_change(struct sg_follow *f, enum sg_legacy_change change, struct sg_slice key)
{
    f->counts.changes++;
    if (change == SG_CHANGE_RENAMED_TO) {
        on_renamed_to(f, key);
        return;
    }
    end_lone_half(f);
    switch (change) {
    case SG_CHANGE_SET:
        noted(f, sg_dirty_written(f->dirty, key, lane_of(f, key)));
        break;
    case SG_CHANGE_DELETED:
        noted(f, sg_dirty_deleted(f->dirty, key, lane_of(f, key)));
        break;
    case SG_CHANGE_RENAMED_FROM:
        f->renamed_from = strndup(key.ptr, key.len);
        break;
    case SG_CHANGE_EXPIRED: /* its time was over: nothing to end (rule 1) */
    case SG_CHANGE_EVICTED: /* the watch's */
    case SG_CHANGE_HEARTBEAT:
    case SG_CHANGE_RENAMED_TO:
        break;
    }
}

void
sg_follow_beat(struct sg_follow *f, int64_t beat, int64_t sent_ms)
{
    end_lone_half(f);
    sg_pulse_beat(f->pulse, beat, sent_ms);
}

void
sg_follow_pause(struct sg_follow *f, bool paused)
{
    f->paused = paused;
    if (!paused)
        work(f);
}

void
sg_follow_forget(struct sg_follow *f)
{
    end_lone_half(f);
    sg_recent_clear(f->recent);
}

int
sg_follow_queued(const struct sg_follow *f)
{
    return sg_dirty_count(f->dirty);
}

const struct sg_follow_counts *
sg_follow_counted(const struct sg_follow *f)
{
    return &f->counts;
}

int64_t
sg_follow_lag_ms(const struct sg_follow *f, int shard)
{
    int64_t sent_ms = sg_pulse_sent_ms(f->pulse, shard);

    return sent_ms > 0 ? sg_wall_ms(f->bridge->clock) - sent_ms : -1;
}

/* ---- life ---- */

static void
free_parts(struct sg_follow *f)
{
    int lane, i;

    for (lane = 0; lane < f->n_shards; lane++)
        for (i = 0; i < BATCHES_A_LANE; i++)
            sg_changes_free(f->batches[lane][i]);
    sg_pulse_free(f->pulse);
    sg_dirty_free(f->dirty);
    sg_recent_free(f->recent);
    free(f->renamed_from);
    free(f);
}

static int
make_batches(struct sg_follow *f, struct sg_err *err)
{
    int lane, i;

    for (lane = 0; lane < f->n_shards; lane++)
        for (i = 0; i < BATCHES_A_LANE; i++)
            if (sg_changes_new(f->bridge, f->recent, STEP_TIMEOUT_MS, on_batch, f,
                               &f->batches[lane][i], err) != 0)
                return -1;
    return 0;
}

int
sg_follow_new(const struct sg_bridge *bridge, const struct sg_follow_events *events,
              struct sg_follow **out, struct sg_err *err)
{
    struct sg_follow *f = calloc(1, sizeof *f);

    if (f == NULL)
        return sg_fail(err, SG_E_INTERNAL, bridge->realm, "out of memory");
    f->bridge = bridge;
    f->events = *events;
    f->n_shards = sg_shards_count(bridge->shards);
    if (sg_dirty_new(SG_FOLLOW_KEYS_MAX, f->n_shards, &f->dirty, err) != 0 ||
        sg_pulse_new(bridge, f->dirty, &f->pulse, err) != 0 ||
        sg_recent_new(&f->recent, err) != 0 || make_batches(f, err) != 0) {
        free_parts(f);
        return -1;
    }
    uv_timer_init(bridge->loop, &f->gather);
    uv_timer_init(bridge->loop, &f->tick);
    uv_timer_start(&f->tick, on_tick, TICK_MS, TICK_MS);
    f->open_handles = 2;
    *out = f;
    return 0;
}

static void
handle_closed(uv_handle_t *handle)
{
    struct sg_follow *f = handle->data;
    void (*stopped)(void *) = f->stopped;
    void *ctx = f->stopped_ctx;

    if (--f->open_handles > 0)
        return;
    free_parts(f);
    stopped(ctx);
}

static void
release(struct sg_follow *f)
{
    int lane, i;

    if (!f->stopping || uv_is_closing((uv_handle_t *)&f->tick) || sg_pulse_is_busy(f->pulse))
        return;
    for (lane = 0; lane < f->n_shards; lane++)
        for (i = 0; i < BATCHES_A_LANE; i++)
            if (sg_changes_busy(f->batches[lane][i]))
                return;
    f->gather.data = f->tick.data = f;
    uv_close((uv_handle_t *)&f->gather, handle_closed);
    uv_close((uv_handle_t *)&f->tick, handle_closed);
}

static void
on_stopping_tick(uv_timer_t *timer)
{
    release(sg_container_of(timer, struct sg_follow, tick));
}

void
sg_follow_stop(struct sg_follow *f, void (*stopped)(void *ctx), void *ctx)
{
    f->stopping = true;
    f->stopped = stopped;
    f->stopped_ctx = ctx;
    uv_timer_stop(&f->gather);
    uv_timer_start(&f->tick, on_stopping_tick, 0, TICK_MS);
}
