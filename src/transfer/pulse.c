/* SPDX-License-Identifier: MIT */
#include "transfer/pulse.h"

#include <stdlib.h>

#define TIMEOUT_MS 1000
#define SILENT_MS 300 /* a beat is one row */
#define PROBE_MS 100

struct beat {
    int64_t beat, sent_ms;
    uint64_t epoch;
};

struct lane {
    struct sg_pulse *pulse;
    int shard;
    bool busy;
    struct beat writing;
    uint64_t since_ns; /* it is busy, or failed */
    int64_t written, written_sent_ms;
};

struct sg_pulse {
    const struct sg_bridge *bridge;
    struct sg_dirty *dirty;
    struct beat waiting[SG_PULSE_BEATS]; /* oldest first */
    int n_waiting;
    int n_lanes;
    struct lane lanes[];
};

int
sg_pulse_new(const struct sg_bridge *bridge, struct sg_dirty *dirty, struct sg_pulse **out,
             struct sg_err *err)
{
    int n = sg_shards_count(bridge->shards), i;
    struct sg_pulse *p = calloc(1, sizeof *p + (size_t)n * sizeof p->lanes[0]);

    if (p == NULL)
        return sg_fail(err, SG_E_INTERNAL, bridge->realm, "out of memory");
    p->bridge = bridge;
    p->dirty = dirty;
    p->n_lanes = n;
    for (i = 0; i < n; i++)
        p->lanes[i] = (struct lane){.pulse = p, .shard = i};
    *out = p;
    return 0;
}

void
sg_pulse_free(struct sg_pulse *p)
{
    free(p);
}

static void
on_written(void *ctx, int rc, const struct sg_err *err)
{
    struct lane *lane = ctx;

    lane->busy = false;
    lane->since_ns = sg_mono_ns(lane->pulse->bridge->clock);
    lane->pulse->bridge->silent[lane->shard] = rc != 0;
    if (rc == 0 && lane->writing.beat >= lane->written) {
        lane->written = lane->writing.beat;
        lane->written_sent_ms = lane->writing.sent_ms;
    }
    if (rc == 0)
        sg_pulse_pump(lane->pulse);
}

static void
write_beat(struct lane *lane, const struct beat *beat)
{
    const struct sg_bridge *b = lane->pulse->bridge;

    lane->busy = true;
    lane->since_ns = sg_mono_ns(b->clock);
    lane->writing = *beat;
    sg_store_put_beat(b->store, lane->shard, b->realm, beat->beat, beat->sent_ms,
                      sg_bridge_deadline(b, TIMEOUT_MS), on_written, lane);
}

static void
write_latest(struct lane *lane)
{
    struct sg_pulse *p = lane->pulse;
    int i;

    for (i = p->n_waiting - 1; i >= 0; i--)
        if (p->waiting[i].beat > lane->written &&
            sg_dirty_passed(p->dirty, p->waiting[i].epoch, lane->shard))
            break;
    if (i >= 0)
        write_beat(lane, &p->waiting[i]);
}

/* Those that every shard has, or something later. */
static void
drop_written(struct sg_pulse *p)
{
    int64_t least = INT64_MAX;
    int i, n = 0;

    for (i = 0; i < p->n_lanes; i++)
        if (p->lanes[i].written < least)
            least = p->lanes[i].written;
    while (n < p->n_waiting && p->waiting[n].beat <= least)
        n++;
    p->n_waiting -= n;
    memmove(&p->waiting[0], &p->waiting[n], (size_t)p->n_waiting * sizeof p->waiting[0]);
}

/* A shard that does not answer is asked by the beat that it has already. */
static void
look_at_silent(struct lane *lane)
{
    const struct sg_bridge *b = lane->pulse->bridge;
    uint64_t for_ns = sg_mono_ns(b->clock) - lane->since_ns;
    const struct beat again = {.beat = lane->written, .sent_ms = lane->written_sent_ms};

    if (lane->busy)
        b->silent[lane->shard] |= for_ns > SILENT_MS * SG_NS_PER_MS;
    else if (for_ns > PROBE_MS * SG_NS_PER_MS && again.beat > 0)
        write_beat(lane, &again);
    else if (again.beat == 0)
        b->silent[lane->shard] = false;
}

void
sg_pulse_pump(struct sg_pulse *p)
{
    int i;

    drop_written(p);
    for (i = 0; i < p->n_lanes; i++) {
        if (!p->bridge->silent[i] && !p->lanes[i].busy)
            write_latest(&p->lanes[i]);
        else
            look_at_silent(&p->lanes[i]);
    }
}

void
sg_pulse_beat(struct sg_pulse *p, int64_t beat, int64_t sent_ms)
{
    const struct beat b = {
        .beat = beat, .sent_ms = sent_ms, .epoch = sg_dirty_close_epoch(p->dirty)};

    drop_written(p);
    /* A shard is behind: every second one is enough for it to show how far. */
    if (p->n_waiting == SG_PULSE_BEATS) {
        int i;

        for (i = 0; i < SG_PULSE_BEATS / 2; i++)
            p->waiting[i] = p->waiting[2 * i + 1];
        p->n_waiting = SG_PULSE_BEATS / 2;
    }
    p->waiting[p->n_waiting++] = b;
    sg_pulse_pump(p);
}

bool
sg_pulse_is_busy(const struct sg_pulse *p)
{
    int i;

    for (i = 0; i < p->n_lanes; i++)
        if (p->lanes[i].busy)
            return true;
    return false;
}

int64_t
sg_pulse_sent_ms(const struct sg_pulse *p, int shard)
{
    return p->lanes[shard].written_sent_ms;
}
