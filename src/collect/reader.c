/* SPDX-License-Identifier: MIT */
/* A reader: pieces of a collection, converted as they come, into chunks. */
#include "base/clock.h"
#include "base/fault.h"
#include "collect/load_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define ARENA_BYTES_MAX                                                                            \
    ((size_t)192 << 20) /* the largest document, its rows, and what is made on the way */
#define VALUE_BYTES_MAX SG_DOC_BYTES_MAX

struct reading {
    struct sg_collect *load;
    const struct sg_mapping *m;
    struct sg_source *source;
    struct sg_model_converter *converter;
    struct sg_arena *arena;
    struct sg_buf value; /* scratch */
    char realm[128];
    /* of the piece */
    int piece;
    char position[SG_SOURCE_PIECE_MAX], seen[SG_SOURCE_PIECE_MAX];
    int64_t number; /* of the last chunk */
    int64_t asked_ms, ended_ms;
    struct sg_chunk *chunk;
    size_t bytes;
    int records;
    int64_t read, rejected, reasons[SG_COLLECT_REASONS]; /* since told */
};

static int
bucket_of(void *ctx, struct sg_slice shard_key)
{
    struct reading *r = ctx;

    return (int)sg_bucket(sg_str(r->m->schema), shard_key);
}

/* ---- one record ---- */

static int
reject(struct reading *r, const struct sg_source_record *record, int reason, const char *place,
       struct sg_err *err)
{
    struct sg_collect *l = r->load;
    int bucket = sg_target_reject_bucket(&l->target, l->root, record->key);
    struct sg_slice value = record->raw;
    struct sg_err ignored;

    r->rejected++;
    r->reasons[reason]++;
    sg_buf_reset(&r->value);
    if (value.ptr == NULL && record->doc != NULL &&
        sg_doc_to_json(record->doc, &r->value, &ignored) == 0)
        value = sg_buf_slice(&r->value);
    return sg_target_reject(&l->target, l->root, record->key, value, bucket,
                            sg_collect_reason_name(reason), place,
                            &r->chunk->batches[l->target.shard_of[bucket]], err);
}

static int
take_record(struct reading *r, const struct sg_source_record *record, struct sg_err *err)
{
    struct sg_collect *l = r->load;
    struct sg_model_record in = {.key = sg_collect_key(r->m->tables[l->root].collection, record),
                                 .doc = record->doc,
                                 .expires_ms = record->expires_ms,
                                 .version = r->asked_ms + l->job.ahead_ms};
    struct sg_model_rows rows;
    struct sg_batch *batch;
    bool clash = false;
    size_t before;

    if (record->doc == NULL && record->odd == NULL)
        return 0; /* gone meanwhile */
    r->read++;
    r->records++;
    if (record->doc == NULL)
        return reject(r, record, REASON_UNREADABLE, record->odd, err);
    sg_arena_reset(r->arena);
    if (sg_model_convert(r->converter, l->root, &in, r->arena, &rows) != SG_REJECT_NONE)
        return reject(r, record, (int)rows.reason, rows.place, err);
    batch = &r->chunk->batches[l->target.shard_of[rows.bucket]];
    before = batch->rows.len;
    if (sg_batch_add(batch, r->m, l->root, record->key, &rows, &clash, err) != 0)
        return -1;
    r->bytes += batch->rows.len - before;
    return clash ? reject(r, record, REASON_SAME_KEY, r->m->tables[l->root].name, err) : 0;
}

/* ---- chunks ---- */

static void
report(struct reading *r)
{
    struct sg_collect *l = r->load;
    int i;

    pthread_mutex_lock(&l->lock);
    l->stats.read += r->read;
    for (i = 0; i < SG_COLLECT_REASONS; i++)
        l->stats.reasons[i] += r->reasons[i];
    if (l->options->dry_run) {
        l->stats.rejected += r->rejected;
        l->stats.stored += r->read - r->rejected;
    }
    pthread_mutex_unlock(&l->lock);
    r->read = r->rejected = 0;
    memset(r->reasons, 0, sizeof r->reasons);
}

static int
cut(struct reading *r, bool last, struct sg_err *err)
{
    struct sg_chunk *c = r->chunk;

    r->chunk = NULL;
    r->bytes = 0;
    r->records = 0;
    report(r);
    if (r->load->options->dry_run) {
        sg_chunk_free(c);
        return 0;
    }
    c->root = r->load->root;
    c->piece = r->piece;
    c->number = ++r->number;
    c->last = last;
    snprintf(c->end, sizeof c->end, "%s", r->position);
    if (sg_fault("collect.after_read")) {
        sg_chunk_free(c);
        return sg_fail(err, SG_E_UNAVAILABLE, "fault", "collect.after_read");
    }
    return sg_collect_submit(r->load, c, err);
}

/* The position moves when all up to there was emitted, and not at each emit. What comes now was
 * asked for after it last moved, so that is how old it may be. */
static int
take(void *ctx, const struct sg_source_record *records, int n, struct sg_err *err)
{
    struct reading *r = ctx;
    int i;

    if (strcmp(r->position, r->seen) != 0) {
        snprintf(r->seen, sizeof r->seen, "%s", r->position);
        r->asked_ms = r->ended_ms;
        if ((r->bytes >= CHUNK_BYTES || r->records >= r->load->options->chunk_records) &&
            cut(r, false, err) != 0)
            return -1;
    }
    if (r->chunk == NULL && (r->chunk = sg_chunk_new(r->load->n_shards, err)) == NULL)
        return -1;
    for (i = 0; i < n; i++)
        if (take_record(r, &records[i], err) != 0)
            return -1;
    r->ended_ms = sg_wall_ms(sg_clock_system());
    return 0;
}

static int
read_piece(struct reading *r, struct sg_err *err)
{
    struct sg_collect *l = r->load;
    const char *collection = l->stats.collection;
    const struct sg_job_piece *p = &l->pieces[r->piece];
    int rc;

    if (p->done)
        return 0;
    snprintf(r->position, sizeof r->position, "%s", p->position);
    snprintf(r->seen, sizeof r->seen, "%s", p->position);
    r->number = p->chunk;
    r->asked_ms = r->ended_ms = sg_wall_ms(sg_clock_system());
    rc = r->source->type->read(r->source, collection, &p->piece, r->position, take, r, err);
    if (rc != 0 && err->code == SG_E_CONFLICT) {
        pthread_mutex_lock(&l->lock);
        l->position_lost = true;
        pthread_mutex_unlock(&l->lock);
    }
    if (rc == 0 && r->chunk == NULL)
        r->chunk = sg_chunk_new(l->n_shards, err);
    if (rc != 0 || r->chunk == NULL)
        return -1;
    return cut(r, true, err);
}

/* ---- the thread ---- */

static int
open_reading(struct reading *r, struct sg_err *err)
{
    struct sg_collect *l = r->load;

    r->m = l->target.m;
    r->value = SG_BUF_INIT(VALUE_BYTES_MAX);
    sg_target_realm(r->m, l->root, r->realm);
    if (sg_arena_new(ARENA_BYTES_MAX, &r->arena, err) != 0 ||
        sg_model_converter_new(r->m, bucket_of, r, &r->converter, err) != 0)
        return -1;
    return sg_source_open(&l->source, &r->source, err);
}

static void *
run(void *ctx)
{
    struct sg_collect_reader *reader = ctx;
    struct sg_collect *l = reader->load;
    struct reading r = {.load = l};
    struct sg_err err;
    int rc = open_reading(&r, &err);

    while (rc == 0) {
        pthread_mutex_lock(&l->lock);
        r.piece = l->rc == 0 && l->next_piece < l->n_pieces ? l->next_piece++ : -1;
        pthread_mutex_unlock(&l->lock);
        if (r.piece < 0)
            break;
        rc = read_piece(&r, &err);
    }
    if (rc != 0)
        sg_collect_failed(l, &err);
    sg_chunk_free(r.chunk);
    sg_source_close(r.source);
    sg_model_converter_free(r.converter);
    sg_arena_free(r.arena);
    sg_buf_free(&r.value);
    pthread_mutex_lock(&l->lock);
    l->reading--;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

int
sg_collect_reader_start(struct sg_collect *l, struct sg_collect_reader *r, struct sg_err *err)
{
    *r = (struct sg_collect_reader){.load = l};
    if (pthread_create(&r->thread, NULL, run, r) != 0)
        return sg_fail(err, SG_E_INTERNAL, "load", "no thread could be started");
    return 0;
}
