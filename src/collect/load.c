/* SPDX-License-Identifier: MIT */
#include "collect/load.h"

#include "base/clock.h"
#include "base/fault.h"
#include "collect/job.h"
#include "collect/load_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PROGRESS_MS 1000

const char *
sg_collect_reason_name(int reason)
{
    static const char *const more[] = {"unreadable", "same-key", "constraint"};

    return reason <= SG_REJECT_TOO_LARGE ? sg_model_reject_name((enum sg_model_reject)reason)
                                         : more[reason - SG_REJECT_TOO_LARGE - 1];
}

/* ---- the first failure ends all ---- */

void
sg_collect_failed(struct sg_collect *l, const struct sg_err *err)
{
    pthread_mutex_lock(&l->lock);
    if (l->rc == 0)
        l->err = *err;
    l->rc = -1;
    atomic_store(&l->stop, true);
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static bool
is_over(struct sg_collect *l)
{
    return l->rc != 0;
}

/* ---- chunks ---- */

struct sg_chunk *
sg_chunk_new(int shards, struct sg_err *err)
{
    struct sg_chunk *c = calloc(1, sizeof *c + (size_t)shards * sizeof c->batches[0]);
    int i;

    if (c == NULL) {
        sg_fail(err, SG_E_INTERNAL, "load", "out of memory");
        return NULL;
    }
    c->n_shards = shards;
    for (i = 0; i < shards; i++)
        sg_batch_init(&c->batches[i]);
    return c;
}

void
sg_chunk_free(struct sg_chunk *c)
{
    int i;

    if (c == NULL)
        return;
    for (i = 0; i < c->n_shards; i++)
        sg_batch_free(&c->batches[i]);
    free(c);
}

/* One of them, or all: c NULL. */
static void
forget(struct sg_collect *l, struct sg_chunk *c)
{
    struct sg_chunk **at = &l->submitted, *gone;

    while ((gone = *at) != NULL) {
        if (c != NULL && gone != c) {
            at = &gone->submitted;
            continue;
        }
        *at = gone->submitted;
        sg_chunk_free(gone);
    }
}

static bool
has_room(const struct sg_collect *l)
{
    int i;

    for (i = 0; i < l->n_shards; i++)
        if (l->loaders[i].queued == LOADER_QUEUE)
            return false;
    return true;
}

int
sg_collect_submit(struct sg_collect *l, struct sg_chunk *c, struct sg_err *err)
{
    int i, rc;

    pthread_mutex_lock(&l->lock);
    while (!has_room(l) && !is_over(l))
        pthread_cond_wait(&l->changed, &l->lock);
    rc = l->rc;
    if (rc == 0) {
        c->left = l->n_shards;
        c->submitted = l->submitted;
        l->submitted = c;
        l->under_way++;
        for (i = 0; i < l->n_shards; i++)
            l->loaders[i].queue[l->loaders[i].queued++] = c;
        pthread_cond_broadcast(&l->changed);
    } else {
        *err = l->err;
    }
    pthread_mutex_unlock(&l->lock);
    if (rc != 0)
        sg_chunk_free(c);
    return rc;
}

/* ---- a shard's loader ---- */

static struct sg_chunk *
next_chunk(struct loader *w)
{
    struct sg_collect *l = w->load;
    struct sg_chunk *c = NULL;

    pthread_mutex_lock(&l->lock);
    while (w->queued == 0 && !l->no_more && !is_over(l))
        pthread_cond_wait(&l->changed, &l->lock);
    if (w->queued > 0 && !is_over(l)) {
        c = w->queue[0];
        memmove(w->queue, w->queue + 1, (size_t)--w->queued * sizeof c);
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return c;
}

/* Each shard takes the chunks in the order they were submitted, so those of a piece are over in
 * theirs. */
static void
chunk_written(struct loader *w, struct sg_chunk *c, const struct sg_write *written)
{
    struct sg_collect *l = w->load;
    struct sg_chunk **last;

    pthread_mutex_lock(&l->lock);
    l->stats.stored += written->stored;
    l->stats.rejected += written->rejected;
    l->stats.reasons[REASON_CONSTRAINT] += written->rejected - c->batches[w->shard].n_rejects;
    if (--c->left == 0) {
        for (last = &l->written; *last != NULL; last = &(*last)->next)
            ;
        *last = c;
    }
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static void *
load_shard(void *ctx)
{
    struct loader *w = ctx;
    struct sg_collect *l = w->load;
    struct sg_chunk *c;
    struct sg_err err;

    while ((c = next_chunk(w)) != NULL) {
        struct sg_write write = {
            .root = c->root, .merge = l->job.state == SG_JOB_MERGING, .job = l->job.number};

        write.chunk = (int64_t)c->piece << 40 | c->number;
        if (sg_target_write(&l->target, w->shard, &c->batches[w->shard], &write, &err) != 0) {
            sg_collect_failed(l, &err);
            break;
        }
        if (sg_fault("collect.after_commit"))
            break;
        chunk_written(w, c, &write);
    }
    return NULL;
}

/* ---- the caller's thread: positions and progress ---- */

static int
note_chunk(struct sg_collect *l, const struct sg_chunk *c, struct sg_err *err)
{
    struct sg_job_piece *p = &l->pieces[c->piece];

    snprintf(p->position, sizeof p->position, "%s", c->end);
    p->chunk = c->number;
    p->done = c->last;
    return sg_job_note(&l->job, l->stats.collection, c->piece, p, err);
}

static int
note_written(struct sg_collect *l, struct sg_err *err)
{
    struct sg_chunk *c, *next;
    int rc = 0, n = 0;

    pthread_mutex_lock(&l->lock);
    c = l->written;
    l->written = NULL;
    pthread_mutex_unlock(&l->lock);
    for (; c != NULL; c = next, n++) {
        next = c->next;
        if (rc == 0)
            rc = note_chunk(l, c, err);
        pthread_mutex_lock(&l->lock);
        forget(l, c);
        pthread_mutex_unlock(&l->lock);
        if (rc == 0 && sg_fault("collect.after_position"))
            rc = sg_fail(err, SG_E_UNAVAILABLE, "fault", "collect.after_position");
    }
    pthread_mutex_lock(&l->lock);
    l->under_way -= n;
    if (rc == 0 && l->options->max_rejects >= 0 && l->stats.rejected > l->options->max_rejects)
        rc = sg_fail(err, SG_E_LIMIT, "load", "more than %" PRId64 " records were rejected",
                     l->options->max_rejects);
    pthread_mutex_unlock(&l->lock);
    return rc;
}

static void
tell(struct sg_collect *l)
{
    struct sg_collect_stats stats;

    pthread_mutex_lock(&l->lock);
    stats = l->stats;
    pthread_mutex_unlock(&l->lock);
    if (l->options->progress != NULL)
        l->options->progress(l->options->ctx, &stats);
}

/* Until the readers are over and everything they brought is noted; also after a failure. */
static void
coordinate(struct sg_collect *l)
{
    int64_t told = sg_wall_ms(sg_clock_system());
    bool over = false;
    struct sg_err err;

    while (!over) {
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += until.tv_nsec >= 800000000;
        until.tv_nsec = (until.tv_nsec + 200000000) % 1000000000;
        pthread_mutex_lock(&l->lock);
        while (l->written == NULL && (l->reading > 0 || (l->under_way > 0 && !is_over(l))))
            if (pthread_cond_timedwait(&l->changed, &l->lock, &until) != 0)
                break;
        over = l->reading == 0 && (l->under_way == 0 || is_over(l)) && l->written == NULL;
        pthread_mutex_unlock(&l->lock);
        if (note_written(l, &err) != 0)
            sg_collect_failed(l, &err);
        if (atomic_load(l->options->source.stop))
            atomic_store(&l->stop, true);
        if (sg_wall_ms(sg_clock_system()) - told >= PROGRESS_MS) {
            tell(l);
            told = sg_wall_ms(sg_clock_system());
        }
    }
}

/* ---- collections ---- */

/* What a killed run wrote behind the noted position is written again under the same numbers. */
static int
clear_ledger(struct sg_collect *l, int root, struct sg_err *err)
{
    char realm[128], job[24], from[24], to[24];
    int i, shard;

    sg_target_realm(l->target.m, root, realm);
    snprintf(job, sizeof job, "%" PRId64, l->job.number);
    for (i = 0; i < l->n_pieces; i++) {
        snprintf(from, sizeof from, "%" PRId64, (int64_t)i << 40 | l->pieces[i].chunk);
        snprintf(to, sizeof to, "%" PRId64, (int64_t)(i + 1) << 40);
        for (shard = 0; shard < l->n_shards; shard++)
            if (sg_lane_ask(&l->target.shards[shard],
                            "DELETE FROM segue.transfer_ledger WHERE realm = $1 AND job = "
                            "$2::bigint AND chunk > $3::bigint AND chunk < $4::bigint",
                            4, (const char *[]){realm, job, from, to}, NULL, err) != 0)
                return -1;
    }
    return 0;
}

static int
find_pieces(struct sg_collect *l, const char *collection, struct sg_err *err)
{
    struct sg_source_piece found[SG_JOB_PIECES_MAX];
    struct sg_source *source;
    int i, n, rc;

    l->n_pieces = 0;
    if (!l->options->dry_run &&
        sg_job_pieces(&l->job, collection, l->pieces, &l->n_pieces, err) != 0)
        return -1;
    if (l->n_pieces > 0)
        return 0;
    if (sg_source_open(&l->source, &source, err) != 0)
        return -1;
    rc = source->type->pieces(source, collection, found, PIECES_WANTED, &n, err);
    sg_source_close(source);
    for (i = 0; rc == 0 && i < n; i++) {
        l->pieces[i] = (struct sg_job_piece){.piece = found[i]};
        if (!l->options->dry_run)
            rc = sg_job_note(&l->job, collection, i, &l->pieces[i], err);
    }
    l->n_pieces = rc == 0 ? n : 0;
    return rc;
}

static int
load_collection(struct sg_collect *l, int root, struct sg_err *err)
{
    struct sg_collect_reader readers[READERS];
    int i, n = 0;

    l->root = root;
    l->next_piece = 0;
    pthread_mutex_lock(&l->lock);
    l->stats.collection = l->target.m->tables[root].collection;
    pthread_mutex_unlock(&l->lock);
    if (find_pieces(l, l->stats.collection, err) != 0 ||
        (!l->options->dry_run && clear_ledger(l, root, err) != 0))
        return -1;
    l->reading = l->n_pieces < READERS ? l->n_pieces : READERS;
    for (i = l->reading; n < i && sg_collect_reader_start(l, &readers[n], err) == 0;)
        n++;
    if (n < i) {
        sg_collect_failed(l, err);
        pthread_mutex_lock(&l->lock);
        l->reading -= i - n;
        pthread_mutex_unlock(&l->lock);
    }
    coordinate(l);
    for (i = 0; i < n; i++)
        pthread_join(readers[i].thread, NULL);
    if (l->rc != 0)
        *err = l->err;
    return l->rc;
}

/* Records that others refer to come first. */
static bool
waits_for(const struct sg_mapping *m, int root, const bool *done)
{
    int i, c;

    for (i = root; i < m->n_tables && m->tables[i].root == root; i++)
        for (c = 0; c < m->tables[i].n_columns; c++) {
            int other = m->tables[i].columns[c].references;

            if (other >= 0 && m->tables[other].root != root && !done[m->tables[other].root])
                return true;
        }
    return false;
}

static int
load_all(struct sg_collect *l, struct sg_err *err)
{
    const struct sg_mapping *m = l->target.m;
    bool done[SG_MODEL_TABLES_MAX] = {false};
    int i, next;

    for (;;) {
        for (i = 0, next = -1; i < m->n_tables; i++)
            if (m->tables[i].kind == SG_MODEL_ROOT && !done[i]) {
                next = next < 0 ? i : next;
                if (!waits_for(m, i, done)) {
                    next = i;
                    break;
                }
            }
        if (next < 0)
            return 0;
        if (load_collection(l, next, err) != 0)
            return -1;
        done[next] = true;
    }
}

/* ---- the job ---- */

/* The tables on every shard as the job wants them; decides how a new job writes. */
static int
prepare(struct sg_collect *l, struct sg_err *err)
{
    enum sg_target_state states[SG_TARGET_SHARDS_MAX];
    bool keyed = false, rows = false;
    int i;

    for (i = 0; i < l->n_shards; i++) {
        if (sg_target_look(&l->target, i, &states[i], err) != 0)
            return -1;
        keyed = keyed || states[i] == SG_TARGET_KEYED;
        rows = rows || states[i] == SG_TARGET_BARE_ROWS;
    }
    if (l->job.state == SG_JOB_NEW && rows)
        return sg_fail(err, SG_E_CONFLICT, "shards",
                       "a first load into schema %s is not over: go on with that one, by its --job",
                       l->target.m->schema);
    for (i = 0; i < l->n_shards; i++)
        if (states[i] == SG_TARGET_NONE && sg_target_create(&l->target, i, err) != 0)
            return -1;
    if (l->job.state == SG_JOB_NEW)
        for (i = 0; keyed && i < l->n_shards; i++)
            if (states[i] != SG_TARGET_KEYED && sg_target_build_keys(&l->target, i, err) != 0)
                return -1;
    return l->job.state != SG_JOB_NEW
               ? 0
               : sg_job_set(&l->job, keyed ? SG_JOB_MERGING : SG_JOB_COPYING, err);
}

static int
key_shard(struct sg_collect *l, int shard, struct sg_err *err)
{
    enum sg_target_state state;

    if (sg_target_look(&l->target, shard, &state, err) != 0)
        return -1;
    return state == SG_TARGET_KEYED ? 0 : sg_target_build_keys(&l->target, shard, err);
}

static void *
build_keys(void *ctx)
{
    struct loader *w = ctx;
    struct sg_err err;

    if (key_shard(w->load, w->shard, &err) != 0)
        sg_collect_failed(w->load, &err);
    return NULL;
}

/* Runs a thread a shard and returns once all are over, or started where threads says so. */
static int
start_loaders(struct sg_collect *l, void *(*run)(void *), struct sg_err *err)
{
    for (l->started = 0; l->started < l->n_shards; l->started++) {
        struct loader *w = &l->loaders[l->started];

        *w = (struct loader){.load = l, .shard = l->started};
        if (pthread_create(&w->thread, NULL, run, w) != 0)
            return sg_fail(err, SG_E_INTERNAL, "load", "no thread could be started");
    }
    return 0;
}

static int
join_loaders(struct sg_collect *l, struct sg_err *err)
{
    int i;

    pthread_mutex_lock(&l->lock);
    l->no_more = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    for (i = 0; i < l->started; i++)
        pthread_join(l->loaders[i].thread, NULL);
    l->started = 0;
    l->no_more = false;
    if (l->rc != 0)
        *err = l->err;
    return l->rc;
}

/* Rejects of jobs before that this one did not bring again: stored by now, or gone. */
static int
resolve_rejects(struct sg_collect *l, struct sg_err *err)
{
    char realm[128], job[24];
    int root, shard;

    snprintf(job, sizeof job, "%" PRId64, l->job.number);
    for (root = 0; root < l->target.m->n_tables; root++) {
        if (l->target.m->tables[root].kind != SG_MODEL_ROOT)
            continue;
        sg_target_realm(l->target.m, root, realm);
        for (shard = 0; shard < l->n_shards; shard++)
            if (sg_lane_ask(&l->target.shards[shard],
                            "UPDATE segue.reject SET resolved_at = clock_timestamp() WHERE realm = "
                            "$1 AND job <> $2::bigint AND resolved_at IS NULL",
                            2, (const char *[]){realm, job}, NULL, err) != 0)
                return -1;
    }
    return 0;
}

/* The rows of a load by COPY are all this job's, so that it can begin again: in the same way, or by
 * merging into tables with keys. */
static int
begin_again(struct sg_collect *l, enum sg_job_state state, struct sg_err *err)
{
    int64_t expected = l->stats.expected;
    int i;

    for (i = 0; l->job.state == SG_JOB_COPYING && i < l->n_shards; i++)
        if (sg_target_empty(&l->target, i, err) != 0 ||
            (state == SG_JOB_MERGING && key_shard(l, i, err) != 0))
            return -1;
    l->rc = 0;
    atomic_store(&l->stop, false);
    l->position_lost = false;
    l->stats = (struct sg_collect_stats){.expected = expected};
    return sg_job_restart(&l->job, err) != 0 ? -1 : sg_job_set(&l->job, state, err);
}

static int
run_once(struct sg_collect *l, struct sg_err *err)
{
    int i, rc;

    rc = l->options->dry_run ? 0 : start_loaders(l, load_shard, err);
    if (rc == 0)
        rc = load_all(l, err);
    if (rc != 0)
        sg_collect_failed(l, err);
    if (join_loaders(l, err) != 0)
        rc = -1;
    for (i = 0; i < l->n_shards; i++)
        l->loaders[i].queued = 0;
    l->written = NULL;
    l->under_way = 0;
    forget(l, NULL);
    return rc;
}

static int
finish_copying(struct sg_collect *l, struct sg_err *err)
{
    if (sg_fault("collect.before_keys"))
        return sg_fail(err, SG_E_UNAVAILABLE, "fault", "collect.before_keys");
    l->stats.collection = NULL;
    tell(l);
    if (start_loaders(l, build_keys, err) != 0)
        sg_collect_failed(l, err);
    if (join_loaders(l, err) != 0) {
        /* what is not unique although the mapping says so can only be told record by record */
        if (err->code != SG_E_INVALID || begin_again(l, SG_JOB_MERGING, err) != 0)
            return -1;
        return run_once(l, err);
    }
    return !sg_fault("collect.after_keys")
               ? 0
               : sg_fail(err, SG_E_UNAVAILABLE, "fault", "collect.after_keys");
}

static int
finish(struct sg_collect *l, struct sg_err *err)
{
    if (l->job.state == SG_JOB_COPYING && finish_copying(l, err) != 0)
        return -1;
    return resolve_rejects(l, err) != 0 ? -1 : sg_job_set(&l->job, SG_JOB_DONE, err);
}

static void
guess(struct sg_collect *l)
{
    static struct sg_source_collection found[512];
    struct sg_source *source;
    struct sg_err err;
    int i, k, n;

    l->stats.expected = -1;
    if (sg_source_open(&l->source, &source, &err) != 0)
        return;
    if (source->type->collections(source, found, 512, &n, &err) == 0)
        for (i = 0, l->stats.expected = 0; i < n; i++)
            for (k = 0; k < l->target.m->n_tables; k++)
                if (l->target.m->tables[k].kind == SG_MODEL_ROOT && found[i].records > 0 &&
                    strcmp(l->target.m->tables[k].collection, found[i].name) == 0)
                    l->stats.expected += found[i].records;
    sg_source_close(source);
}

static int
run_job(struct sg_collect *l, bool *was_done, struct sg_err *err)
{
    const struct sg_collect_options *o = l->options;

    *was_done = l->job.state == SG_JOB_DONE;
    if (*was_done)
        return 0;
    guess(l);
    if (o->dry_run)
        return run_once(l, err);
    if (prepare(l, err) != 0)
        return -1;
    if (run_once(l, err) != 0) {
        /* a Redis that was restarted has its keys in another order: all of it once more */
        if (err->code != SG_E_CONFLICT || !l->position_lost ||
            begin_again(l, l->job.state, err) != 0 || run_once(l, err) != 0)
            return -1;
    }
    return finish(l, err);
}

int
sg_collect_load(const struct sg_collect_options *o, struct sg_collect_stats *stats, bool *was_done,
                struct sg_err *err)
{
    struct sg_collect *l = calloc(1, sizeof *l);
    int rc;

    if (l == NULL)
        return sg_fail(err, SG_E_INTERNAL, "load", "out of memory");
    l->options = o;
    l->n_shards = o->target.n_shards;
    l->source = o->source;
    l->source.stop = &l->stop;
    l->source.timeout_ms = SOURCE_TIMEOUT_MS;
    l->source.bytes_max = SOURCE_BYTES_MAX;
    l->source.batch_records =
        o->chunk_records < SOURCE_BATCH_RECORDS ? o->chunk_records : SOURCE_BATCH_RECORDS;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    rc = sg_target_open(&o->target, &l->target, err);
    if (rc == 0) {
        rc = sg_job_open(&l->job, o->control, o->target.mapping, o->job, err);
        if (rc == 0) {
            rc = run_job(l, was_done, err);
            sg_job_close(&l->job);
        }
        sg_target_close(&l->target);
    }
    *stats = l->stats;
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->changed);
    free(l);
    return rc;
}
