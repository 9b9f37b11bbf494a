/* SPDX-License-Identifier: MIT */
#include "transfer/snapshot.h"

#include "transfer/bulk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum step { IDLE, OPENING_JOB, LOADING, SCANNING, CLOSING_JOB, DONE };

struct sg_snapshot {
    const struct sg_bridge *bridge;
    struct sg_snapshot_events events;
    bool by_bulk;
    int page_keys;
    enum step step;
    struct sg_job job; /* as last written */
    struct sg_scan *scan;
    struct sg_bulk_load *bulk;
    struct sg_scan_counts counts;
    uint64_t began_ns;
    bool whole, stopping;
    char cursor[sizeof((struct sg_legacy_scan *)0)->cursor]; /* position to write */
    int64_t chunk;
    struct sg_control_write write;
    bool write_busy, write_again;
};

int
sg_snapshot_new(const struct sg_bridge *bridge, const struct sg_job *job, bool bulk, int page_keys,
                const struct sg_snapshot_events *events, struct sg_snapshot **out,
                struct sg_err *err)
{
    struct sg_snapshot *s = calloc(1, sizeof *s);

    if (s == NULL)
        return sg_fail(err, SG_E_INTERNAL, bridge->realm, "out of memory");
    s->bridge = bridge;
    s->events = *events;
    s->by_bulk = bulk;
    s->page_keys = page_keys;
    s->job = *job;
    s->step = strcmp(job->state, "following") == 0 ? DONE : IDLE;
    *out = s;
    return 0;
}

void
sg_snapshot_free(struct sg_snapshot *s)
{
    free(s);
}

bool
sg_snapshot_is_done(const struct sg_snapshot *s)
{
    return s->step == DONE;
}

bool
sg_snapshot_is_busy(const struct sg_snapshot *s)
{
    return s->step != IDLE && s->step != DONE;
}

int64_t
sg_snapshot_job(const struct sg_snapshot *s)
{
    return s->job.job;
}

const struct sg_scan_counts *
sg_snapshot_counted(const struct sg_snapshot *s)
{
    return s->scan != NULL ? sg_scan_counted(s->scan) : &s->counts;
}

bool
sg_snapshot_whole(const struct sg_snapshot *s, uint64_t *began_ns)
{
    *began_ns = s->began_ns;
    return s->whole;
}

static void
over(struct sg_snapshot *s, int rc, const struct sg_err *err)
{
    s->step = rc == 0 ? DONE : IDLE;
    s->events.done(s->events.ctx, rc, err);
}

/* Fails the start where it is to stop; otherwise the next tick writes again. */
static void
write_failed(struct sg_snapshot *s)
{
    if (s->stopping) {
        over(s, -1, &s->write.err);
        return;
    }
    s->write_again = true;
    s->events.trouble(s->events.ctx, &s->write.err);
}

/* ---- the job's end ---- */

static void
on_closed(struct sg_control_write *write)
{
    struct sg_snapshot *s = sg_container_of(write, struct sg_snapshot, write);

    s->write_busy = false;
    if (write->rc != 0)
        write_failed(s);
    else
        over(s, 0, NULL);
}

static void
close_job(struct sg_snapshot *s)
{
    s->step = CLOSING_JOB;
    s->write_busy = true;
    s->write.done = on_closed;
    sg_control_following(s->bridge, s->job.job, &s->write);
}

/* ---- the scan ---- */

static void
on_position_written(struct sg_control_write *write)
{
    struct sg_snapshot *s = sg_container_of(write, struct sg_snapshot, write);

    s->write_busy = false;
    if (write->rc != 0 && !s->stopping) {
        write_failed(s);
        return;
    }
    if (write->rc == 0) {
        memcpy(s->job.cursor, s->cursor, sizeof s->job.cursor);
        s->job.chunk = s->chunk;
    }
    sg_scan_positioned(s->scan);
}

static void
write_position(struct sg_snapshot *s)
{
    s->write_busy = true;
    s->write.done = on_position_written;
    sg_control_position(s->bridge, s->job.job, s->cursor, s->chunk, &s->write);
}

static void
on_position(void *ctx, const char *cursor, int64_t chunk)
{
    struct sg_snapshot *s = ctx;

    snprintf(s->cursor, sizeof s->cursor, "%s", cursor);
    s->chunk = chunk;
    write_position(s);
}

/* Everything is stored. */
static void
finish(struct sg_snapshot *s)
{
    const struct sg_scan_counts *c = &s->counts;
    char text[200];

    snprintf(text, sizeof text,
             "snapshot done: %" PRId64 " records read, %" PRId64 " stored (%" PRId64
             " anonymous), %" PRId64 " rejected, %" PRId64 " ended before",
             c->read, c->stored, c->anonymous, c->rejected, c->refused);
    s->events.note(s->events.ctx, text);
    close_job(s);
}

static void
on_scanned(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_snapshot *s = ctx;

    s->counts = *sg_scan_counted(s->scan);
    sg_scan_free(s->scan);
    s->scan = NULL;
    if (rc == 0) {
        finish(s);
        return;
    }
    if (err->code == SG_E_CONFLICT)
        s->job.run_id[0] = '\0'; /* the next start opens a new job */
    over(s, -1, err);
}

static void
on_trouble(void *ctx, const struct sg_err *err)
{
    struct sg_snapshot *s = ctx;

    s->events.trouble(s->events.ctx, err);
}

static void
start_scan(struct sg_snapshot *s)
{
    const struct sg_scan_options options = {
        .cursor = s->job.cursor,
        .job = s->job.job,
        .chunk = s->job.chunk,
        .page_keys = s->page_keys,
        .position = on_position,
        .done = on_scanned,
        .trouble = on_trouble,
        .ctx = s,
    };
    struct sg_err err;

    s->step = SCANNING;
    s->whole = s->job.chunk == 0;
    s->began_ns = sg_mono_ns(s->bridge->clock);
    if (sg_scan_start(s->bridge, &options, &s->scan, &err) != 0)
        over(s, -1, &err);
}

/* ---- in bulk ---- */

static void
on_bulk_note(void *ctx, const char *text)
{
    struct sg_snapshot *s = ctx;

    s->events.note(s->events.ctx, text);
}

/* What could not be loaded in bulk is scanned: nothing of it is stored. */
static void
on_bulk_loaded(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_snapshot *s = ctx;
    char text[sizeof err->place + sizeof err->text + 32];

    s->counts = *sg_bulk_load_counted(s->bulk);
    sg_bulk_load_free(s->bulk);
    s->bulk = NULL;
    s->events.locked(s->events.ctx, false);
    if (rc == 0) {
        finish(s);
        return;
    }
    s->counts = (struct sg_scan_counts){0};
    if (s->stopping) {
        over(s, -1, err);
        return;
    }
    snprintf(text, sizeof text, "not loaded in bulk: %s: %s", err->place, err->text);
    s->events.note(s->events.ctx, text);
    start_scan(s);
}

static void
start_bulk(struct sg_snapshot *s)
{
    const struct sg_bulk_load_events events = {
        .note = on_bulk_note, .done = on_bulk_loaded, .ctx = s};
    struct sg_err err;

    s->step = LOADING;
    s->whole = true;
    s->began_ns = sg_mono_ns(s->bridge->clock);
    s->events.locked(s->events.ctx, true);
    if (sg_bulk_load_start(s->bridge, s->job.job, &events, &s->bulk, &err) != 0)
        over(s, -1, &err);
}

/* ---- the job's beginning ---- */

static void
on_opened(struct sg_control_write *write)
{
    struct sg_snapshot *s = sg_container_of(write, struct sg_snapshot, write);
    char text[80];

    s->write_busy = false;
    if (write->rc != 0 || s->stopping) {
        s->job.run_id[0] = '\0';
        over(s, -1, &write->err);
        return;
    }
    s->job.job = write->job;
    s->job.chunk = 0;
    snprintf(s->job.state, sizeof s->job.state, "snapshot");
    snprintf(s->job.cursor, sizeof s->job.cursor, "0");
    snprintf(text, sizeof text, "job %" PRId64 ": snapshot begins", s->job.job);
    s->events.note(s->events.ctx, text);
    if (s->by_bulk)
        start_bulk(s);
    else
        start_scan(s);
}

void
sg_snapshot_start(struct sg_snapshot *s, const char *run_id)
{
    bool unfinished = s->job.job != 0 && strcmp(s->job.state, "snapshot") == 0;
    char text[120];

    if (unfinished && strcmp(s->job.run_id, run_id) == 0) {
        snprintf(text, sizeof text, "job %" PRId64 ": snapshot goes on at chunk %" PRId64,
                 s->job.job, s->job.chunk);
        s->events.note(s->events.ctx, text);
        start_scan(s);
        return;
    }
    s->step = OPENING_JOB;
    snprintf(s->job.run_id, sizeof s->job.run_id, "%s", run_id);
    s->write_busy = true;
    s->write.done = on_opened;
    sg_control_new_job(s->bridge, run_id, "the legacy store was restarted or replaced", &s->write);
}

void
sg_snapshot_tick(struct sg_snapshot *s)
{
    if (!s->write_again || s->write_busy)
        return;
    s->write_again = false;
    if (s->step == SCANNING)
        write_position(s);
    else
        close_job(s);
}

void
sg_snapshot_stop(struct sg_snapshot *s)
{
    struct sg_err err;

    s->stopping = true;
    if (s->bulk != NULL)
        sg_bulk_load_stop(s->bulk);
    if (s->scan != NULL)
        sg_scan_stop(s->scan);
    if (!s->write_again)
        return;
    s->write_again = false;
    if (s->scan != NULL) {
        sg_scan_positioned(s->scan); /* not noted: it is stored again some time */
    } else {
        sg_fail(&err, SG_E_CANCELLED, s->bridge->realm, "the snapshot was stopped");
        over(s, -1, &err);
    }
}
