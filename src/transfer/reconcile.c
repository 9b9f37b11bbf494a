/* SPDX-License-Identifier: MIT */
#include "transfer/reconcile.h"

#include "store/sealed.h"
#include "store/survey.h"
#include "transfer/absence.h"
#include "transfer/load.h"
#include "transfer/record.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE_ROWS 256
#define READ_TIMEOUT_MS 2000
#define STORE_TIMEOUT_MS 10000
#define WALK_TIMEOUT_MS 60000 /* a page may walk over a whole shard */
/* Beats tell of evictions and flushes every 100 ms: what happened before the last read is known by
 * then. */
#define SETTLE_MS 400

/* A session whose absence is looked into. */
struct suspect {
    struct sg_reconcile *reconcile;
    const struct sg_unseen_row *row;
    struct sg_legacy_request read;
    bool unreadable;
};

struct sg_reconcile {
    const struct sg_bridge *bridge;
    struct sg_reconcile_options options;
    struct sg_reconcile_counts counts;
    struct sg_scan *scan;
    uint64_t scan_began_ns;
    uv_timer_t timer;
    bool stopping, over;

    int shard, pending;
    struct sg_unseen_poll poll;
    struct suspect suspects[PAGE_ROWS];
    uint64_t asked_ns; /* the legacy store, for this page's */
    struct sg_hold_row holds[PAGE_ROWS];
    int n_holds;
    struct sg_load *load;

    struct sg_survey survey; /* of one shard at a time: how many sessions are alive */
    int64_t live, bound;
    struct sg_end_row *ends; /* proven deletions; with their subjects, at most bound + 1 */
    char (*subjects)[SG_SUBJECT_MAX + 1];
    int64_t n_ends, done_ends;
    int n_ending;
    int rc;
    struct sg_err err;
};

static void poll_page(struct sg_reconcile *r);
static void count_live(struct sg_reconcile *r);

const struct sg_reconcile_counts *
sg_reconcile_counted(const struct sg_reconcile *r)
{
    return &r->counts;
}

const struct sg_scan_counts *
sg_reconcile_scanned(const struct sg_reconcile *r)
{
    return r->scan != NULL ? sg_scan_counted(r->scan) : NULL;
}

static void
finish(struct sg_reconcile *r, int rc, const struct sg_err *err)
{
    r->over = true;
    r->rc = rc;
    if (rc != 0)
        r->err = *err;
    uv_timer_stop(&r->timer);
    sg_unseen_clear(&r->poll);
    r->options.done(r->options.ctx, rc, &r->err);
}

/* Whether the pass is over: a failure, or it was stopped. */
static bool
cut_short(struct sg_reconcile *r, int rc, const struct sg_err *err)
{
    struct sg_err stopped;

    if (rc != 0) {
        finish(r, -1, err);
        return true;
    }
    if (!r->stopping)
        return false;
    sg_fail(&stopped, SG_E_CANCELLED, r->bridge->realm, "the pass was stopped");
    finish(r, -1, &stopped);
    return true;
}

/* ---- 3: ending, or holding, what is proven ---- */

static void end_next(struct sg_reconcile *r);

static void
on_ends_held(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_reconcile *r = ctx;

    if (cut_short(r, rc, err))
        return;
    r->counts.held += r->n_ending;
    end_next(r);
}

static void
on_ended(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_reconcile *r = ctx;
    int64_t i;

    if (cut_short(r, rc, err))
        return;
    for (i = r->done_ends - r->n_ending; i < r->done_ends; i++)
        r->counts.ended += r->ends[i].changed;
    end_next(r);
}

static void
hold_ends(struct sg_reconcile *r, const struct sg_end_row *rows, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        r->holds[i] = (struct sg_hold_row){.realm = r->bridge->realm, .bucket = rows[i].sid_bucket};
        memcpy(r->holds[i].sid, rows[i].sid, sizeof r->holds[i].sid);
    }
    sg_store_hold_sessions(r->bridge->store, r->holds, n,
                           sg_bridge_deadline(r->bridge, STORE_TIMEOUT_MS), on_ends_held, r);
}

static void
end_next(struct sg_reconcile *r)
{
    struct sg_end_row *rows = &r->ends[r->done_ends];
    struct sg_reconcile_proof proof;
    int64_t left = r->n_ends - r->done_ends;

    if (left == 0) {
        finish(r, 0, NULL);
        return;
    }
    r->n_ending = left < PAGE_ROWS ? (int)left : PAGE_ROWS;
    r->done_ends += r->n_ending;
    r->options.proof(r->options.ctx, &proof);
    if (r->counts.over_bound || (!proof.proven && !proof.facts.kept))
        hold_ends(r, rows, r->n_ending);
    else
        sg_store_end_sessions(r->bridge->store, rows, r->n_ending,
                              sg_bridge_deadline(r->bridge, STORE_TIMEOUT_MS), on_ended, r);
}

static void
on_settled(uv_timer_t *timer)
{
    struct sg_reconcile *r = sg_container_of(timer, struct sg_reconcile, timer);

    if (!cut_short(r, 0, NULL))
        end_next(r);
}

/* ---- 2: unseen sessions ---- */

static void
next_page(struct sg_reconcile *r)
{
    bool last = r->poll.n_rows < PAGE_ROWS;

    sg_unseen_clear(&r->poll);
    if (last) {
        r->shard++;
        r->poll.after_bucket = -1;
        memset(r->poll.after_sid, 0, sizeof r->poll.after_sid);
    }
    if (r->shard < sg_shards_count(r->bridge->shards))
        poll_page(r);
    else
        uv_timer_start(&r->timer, on_settled, SETTLE_MS, 0);
}

static void
on_page_part(struct sg_reconcile *r, int rc, const struct sg_err *err)
{
    if (rc != 0 && r->rc == 0) {
        r->rc = rc;
        r->err = *err;
    }
    if (--r->pending > 0)
        return;
    sg_load_free(r->load);
    r->load = NULL;
    if (!cut_short(r, r->rc, &r->err))
        next_page(r);
}

static void
on_held(void *ctx, int rc, const struct sg_err *err)
{
    on_page_part(ctx, rc, err);
}

static void
on_loaded(void *ctx, struct sg_load *load)
{
    struct sg_err err;
    int rc = sg_load_result(load, &err);

    on_page_part(ctx, rc, &err);
}

static void
add_end(struct sg_reconcile *r, const struct sg_unseen_row *row)
{
    struct sg_end_row *end = &r->ends[r->n_ends];

    memcpy(r->subjects[r->n_ends], row->subject, sizeof r->subjects[0]);
    memset(end, 0, sizeof *end);
    end->realm = r->bridge->realm;
    end->has_sid = end->has_digest = true;
    end->sid_bucket = row->bucket;
    memcpy(end->sid, row->sid, sizeof end->sid);
    memcpy(end->digest, row->store_digest, sizeof end->digest);
    end->digest_bucket = sg_bridge_bucket_of_digest(r->bridge, row->store_digest);
    end->subject = r->subjects[r->n_ends];
    end->reason = "absent";
    end->tombstone_ref = true;
    r->n_ends++;
}

static void
add_hold(struct sg_reconcile *r, const struct sg_unseen_row *row)
{
    struct sg_hold_row *hold = &r->holds[r->n_holds++];

    *hold = (struct sg_hold_row){.realm = r->bridge->realm, .bucket = row->bucket};
    memcpy(hold->sid, row->sid, sizeof hold->sid);
    r->counts.held++;
}

static void
judge(struct sg_reconcile *r, struct suspect *s, const struct sg_reconcile_proof *proof)
{
    const struct sg_legacy_proof *read = &s->read.proof;
    bool same = strcmp(read->run_id, proof->facts.run_id) == 0 &&
                strcmp(read->sentinel, proof->facts.sentinel) == 0;
    const struct sg_absence absence = {
        .found = s->read.found || s->unreadable,
        .held = s->row->held,
        .expires_in_ms = s->row->expires_in_ms,
        .unseen_for_ms = s->row->unseen_for_ms,
        .proven = proof->proven && same,
        .kept = proof->facts.kept && same,
        .lossy_from_ms = proof->facts.lossy_from_ms,
        .lossy_to_ms = proof->facts.lossy_to_ms,
        .source_expires_in_ms = s->row->exp_source_in_ms,
        .idle_ms = s->row->idle_ms,
        .unwatched_from_ms = proof->facts.unwatched_from_ms,
        .unwatched_to_ms = proof->facts.unwatched_to_ms,
    };

    switch (sg_absence_judge(&absence)) {
    case SG_ABSENCE_NONE:
        r->counts.found++;
        break;
    case SG_ABSENCE_EXPIRED:
        r->counts.expired++;
        break;
    case SG_ABSENCE_HELD:
        r->counts.still_held++;
        break;
    case SG_ABSENCE_UNPROVEN:
        add_hold(r, s->row);
        break;
    case SG_ABSENCE_DELETED:
        if (r->n_ends >= r->bound)
            r->counts.over_bound = true;
        if (r->n_ends > r->bound)
            add_hold(r, s->row);
        else
            add_end(r, s->row);
        break;
    }
}

/* Present after all: it came up during the scan, or was held and is back. */
static void
load_found(struct sg_reconcile *r)
{
    const struct sg_load_options options = {
        .chunk = -1, .timeout_ms = STORE_TIMEOUT_MS, .done = on_loaded, .ctx = r};
    struct sg_err err;
    int i;

    if (sg_load_new(r->bridge, PAGE_ROWS, &r->load, &err) != 0) {
        on_page_part(r, -1, &err);
        return;
    }
    sg_load_asked_at(r->load, r->asked_ns);
    for (i = 0; i < r->poll.n_rows; i++) {
        const struct suspect *s = &r->suspects[i];

        if (s->read.found && !s->unreadable &&
            sg_load_add(r->load, sg_str(s->read.key), sg_buf_slice(&s->read.read_value),
                        s->read.read_ttl_ms, NULL, &err) != 0) {
            on_page_part(r, -1, &err);
            return;
        }
    }
    if (sg_load_count(r->load) > 0)
        sg_load_start(r->load, &options);
    else
        on_page_part(r, 0, NULL);
}

static void
page_read(struct sg_reconcile *r)
{
    struct sg_reconcile_proof proof;
    int i;

    if (r->rc != 0 || r->stopping) {
        for (i = 0; i < r->poll.n_rows; i++)
            sg_legacy_request_clear(&r->suspects[i].read);
        cut_short(r, r->rc, &r->err);
        return;
    }
    r->options.proof(r->options.ctx, &proof);
    r->n_holds = 0;
    r->counts.unseen += r->poll.n_rows;
    for (i = 0; i < r->poll.n_rows; i++)
        judge(r, &r->suspects[i], &proof);
    r->pending = 1;
    if (r->n_holds > 0) {
        r->pending++;
        sg_store_hold_sessions(r->bridge->store, r->holds, r->n_holds,
                               sg_bridge_deadline(r->bridge, STORE_TIMEOUT_MS), on_held, r);
    }
    load_found(r);
    for (i = 0; i < r->poll.n_rows; i++)
        sg_legacy_request_clear(&r->suspects[i].read);
}

static void
on_read(struct sg_legacy_request *request)
{
    struct suspect *s = sg_container_of(request, struct suspect, read);
    struct sg_reconcile *r = s->reconcile;

    if (request->rc != 0 && request->err.code == SG_E_INVALID) {
        s->unreadable = true; /* something is there */
    } else if (request->rc != 0 && r->rc == 0) {
        r->rc = -1;
        r->err = request->err;
    }
    if (--r->pending == 0)
        page_read(r);
}

static void
read_suspect(struct sg_reconcile *r, int i)
{
    struct suspect *s = &r->suspects[i];
    struct sg_buf key = SG_BUF_INIT(SG_LEGACY_KEY_MAX);
    struct sg_err err;

    memset(s, 0, sizeof *s);
    s->reconcile = r;
    s->row = &r->poll.rows[i];
    if (sg_open_handle(r->bridge->ring, r->bridge->realm, s->row->sid,
                       sg_buf_slice(&s->row->handle), &key, &err) != 0) {
        if (r->rc == 0)
            r->err = err;
        r->rc = -1;
        return;
    }
    memcpy(s->read.key, key.ptr, key.len);
    sg_buf_wipe(&key);
    s->read.op = SG_LEGACY_READ;
    s->read.deadline_ns = sg_bridge_deadline(r->bridge, READ_TIMEOUT_MS);
    s->read.done = on_read;
    if (i == 0)
        r->asked_ns = sg_mono_ns(r->bridge->clock);
    r->pending++;
    r->bridge->legacy->type->submit(r->bridge->legacy, &s->read);
}

static void
on_polled(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_reconcile *r = ctx;
    int i;

    if (cut_short(r, rc, err))
        return;
    r->pending = 1;
    for (i = 0; i < r->poll.n_rows; i++)
        read_suspect(r, i);
    if (--r->pending == 0)
        page_read(r);
}

static int64_t
since_scan_ms(const struct sg_reconcile *r)
{
    return (int64_t)((sg_mono_ns(r->bridge->clock) - r->scan_began_ns) / SG_NS_PER_MS);
}

static void
poll_page(struct sg_reconcile *r)
{
    r->poll.shard = r->shard;
    r->poll.realm = r->bridge->realm;
    r->poll.limit = PAGE_ROWS;
    r->poll.unseen_for_at_least_ms = since_scan_ms(r);
    sg_store_poll_unseen(r->bridge->store, &r->poll, sg_bridge_deadline(r->bridge, WALK_TIMEOUT_MS),
                         on_polled, r);
}

/* ---- how many are alive, for the bound ---- */

static void
on_counted(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_reconcile *r = ctx;

    if (cut_short(r, rc, err))
        return;
    r->live += r->survey.live;
    if (++r->shard < sg_shards_count(r->bridge->shards)) {
        count_live(r);
        return;
    }
    r->bound = sg_absence_bound(r->live);
    r->ends = calloc((size_t)r->bound + 2, sizeof *r->ends);
    r->subjects = calloc((size_t)r->bound + 2, sizeof *r->subjects);
    if (r->ends == NULL || r->subjects == NULL) {
        struct sg_err memory;

        sg_fail(&memory, SG_E_INTERNAL, r->bridge->realm, "out of memory");
        finish(r, -1, &memory);
        return;
    }
    r->shard = 0;
    r->poll.after_bucket = -1;
    poll_page(r);
}

static void
count_live(struct sg_reconcile *r)
{
    r->survey = (struct sg_survey){.shard = r->shard, .realm = r->bridge->realm};
    sg_store_survey(r->bridge->store, &r->survey, sg_bridge_deadline(r->bridge, WALK_TIMEOUT_MS),
                    on_counted, r);
}

/* ---- 1: the scan ---- */

static void
on_scanned(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_reconcile *r = ctx;

    if (!cut_short(r, rc, err))
        count_live(r);
}

static void
on_trouble(void *ctx, const struct sg_err *err)
{
    struct sg_reconcile *r = ctx;

    r->options.trouble(r->options.ctx, err);
}

static void
on_begin(uv_timer_t *timer)
{
    struct sg_reconcile *r = sg_container_of(timer, struct sg_reconcile, timer);

    if (!cut_short(r, 0, NULL))
        count_live(r);
}

int
sg_reconcile_start(const struct sg_bridge *bridge, const struct sg_reconcile_options *options,
                   struct sg_reconcile **out, struct sg_err *err)
{
    struct sg_reconcile *r = calloc(1, sizeof *r);
    struct sg_scan_options scan = {
        .cursor = "0",
        .chunk = -1,
        .page_keys = options->page_keys,
        .done = on_scanned,
        .trouble = on_trouble,
    };

    if (r == NULL)
        return sg_fail(err, SG_E_INTERNAL, bridge->realm, "out of memory");
    r->bridge = bridge;
    r->options = *options;
    r->scan_began_ns = sg_mono_ns(bridge->clock);
    scan.ctx = r;
    if (options->scanned_ms_ago >= 0)
        r->scan_began_ns -= (uint64_t)options->scanned_ms_ago * SG_NS_PER_MS;
    else if (sg_scan_start(bridge, &scan, &r->scan, err) != 0) {
        free(r);
        return -1;
    }
    uv_timer_init(bridge->loop, &r->timer);
    if (r->scan == NULL)
        uv_timer_start(&r->timer, on_begin, 0, 0);
    *out = r;
    return 0;
}

void
sg_reconcile_stop(struct sg_reconcile *r)
{
    if (r->over)
        return;
    r->stopping = true;
    if (r->scan != NULL)
        sg_scan_stop(r->scan);
}

static void
timer_closed(uv_handle_t *handle)
{
    free(sg_container_of((uv_timer_t *)handle, struct sg_reconcile, timer));
}

void
sg_reconcile_free(struct sg_reconcile *r)
{
    if (r == NULL)
        return;
    sg_scan_free(r->scan);
    free(r->ends);
    free(r->subjects);
    uv_close((uv_handle_t *)&r->timer, timer_closed);
}
