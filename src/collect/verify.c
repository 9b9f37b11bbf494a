/* SPDX-License-Identifier: MIT */
#include "collect/verify.h"

#include "collect/job.h"
#include "collect/verify_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_BYTES_MAX ((size_t)192 << 20)
#define SOURCE_BYTES_MAX (64 << 20)
#define SOURCE_BATCH_RECORDS 500
#define SOURCE_TIMEOUT_MS 10000
#define PIECES 16

/* ---- the source, converted ---- */

struct feed {
    struct sg_verify *v;
    int (*take)(struct sg_verify *v, void *ctx, struct sg_slice key,
                const struct sg_model_rows *rows, struct sg_err *err);
    void *ctx;
    int64_t rejected;
};

static int
bucket_of(void *ctx, struct sg_slice shard_key)
{
    struct sg_verify *v = ctx;

    return (int)sg_bucket(sg_str(v->m->schema), shard_key);
}

static int
feed_records(void *ctx, const struct sg_source_record *records, int n, struct sg_err *err)
{
    struct feed *f = ctx;
    struct sg_verify *v = f->v;
    int i, rc = 0;

    for (i = 0; i < n && rc == 0; i++) {
        struct sg_model_record in = {.key = sg_collect_key(v->collection, &records[i]),
                                     .doc = records[i].doc,
                                     .expires_ms = records[i].expires_ms};
        struct sg_model_rows rows;

        if (records[i].doc == NULL) {
            f->rejected += records[i].odd != NULL;
            continue;
        }
        sg_arena_reset(v->arena);
        if (sg_model_convert(v->converter, v->root, &in, v->arena, &rows) != SG_REJECT_NONE)
            f->rejected++;
        else
            rc = f->take(v, f->ctx, records[i].key, &rows, err);
    }
    return rc;
}

int
sg_verify_read(struct sg_verify *v,
               int (*take)(struct sg_verify *v, void *ctx, struct sg_slice key,
                           const struct sg_model_rows *rows, struct sg_err *err),
               void *ctx, int64_t *rejected, struct sg_err *err)
{
    struct feed f = {.v = v, .take = take, .ctx = ctx};
    struct sg_source_piece pieces[PIECES];
    char position[SG_SOURCE_PIECE_MAX];
    int i, n = 0, rc;

    rc = v->source->type->pieces(v->source, v->collection, pieces, PIECES, &n, err);
    for (i = 0; i < n && rc == 0; i++) {
        position[0] = '\0';
        rc = v->source->type->read(v->source, v->collection, &pieces[i], position, feed_records, &f,
                                   err);
    }
    *rejected = f.rejected;
    return rc;
}

int
sg_verify_fetch(struct sg_verify *v, const struct sg_slice *keys, int n,
                int (*take)(struct sg_verify *v, void *ctx, struct sg_slice key,
                            const struct sg_model_rows *rows, struct sg_err *err),
                void *ctx, struct sg_err *err)
{
    struct feed f = {.v = v, .take = take, .ctx = ctx};

    return n == 0
               ? 0
               : v->source->type->fetch(v->source, v->collection, keys, n, feed_records, &f, err);
}

/* ---- the tables ---- */

bool
sg_copy_reader_row(struct sg_copy_reader *r, struct sg_slice bytes, struct sg_slice *tuple)
{
    size_t header = r->begun ? 0 : 19;

    r->begun = true;
    if (bytes.len < header + 2 || (uint8_t)bytes.ptr[header] == 0xff)
        return false;
    *tuple = sg_slice(bytes.ptr + header, bytes.len - header);
    return true;
}

int
sg_verify_bucket(struct sg_slice v)
{
    const uint8_t *p = (const uint8_t *)v.ptr;
    int bucket = v.len == 4 ? p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3] : -1;

    return bucket >= 0 && bucket < SG_BUCKETS ? bucket : -1;
}

/* ---- rejects ---- */

static int
count_rejects(struct sg_verify *v, int64_t *out, struct sg_err *err)
{
    PGresult *r;
    int i;

    for (i = 0, *out = 0; i < v->target.options.n_shards; i++) {
        if (sg_lane_ask(
                &v->target.shards[i],
                "SELECT count(*) FROM segue.reject WHERE realm = $1 AND resolved_at IS NULL", 1,
                (const char *[]){v->realm}, &r, err) != 0)
            return -1;
        *out += strtoll(PQgetvalue(r, 0, 0), NULL, 10);
        PQclear(r);
    }
    return 0;
}

/* ---- collections ---- */

static int
verify_collection(struct sg_verify *v, int root, struct sg_err *err)
{
    int64_t kept;
    int i, rc;

    v->root = root;
    v->collection = v->m->tables[root].collection;
    sg_target_realm(v->m, root, v->realm);
    for (i = root; i < v->m->n_tables && v->m->tables[i].root == root; i++)
        ;
    v->n_tables = i - root;
    v->shapes = calloc((size_t)v->n_tables, sizeof *v->shapes);
    v->ours = calloc((size_t)v->n_tables * SG_BUCKETS, sizeof *v->ours);
    v->theirs = calloc((size_t)v->n_tables * SG_BUCKETS, sizeof *v->theirs);
    if (v->shapes == NULL || v->ours == NULL || v->theirs == NULL)
        rc = sg_fail(err, SG_E_INTERNAL, "verify", "out of memory");
    else {
        for (i = 0; i < v->n_tables; i++)
            v->shapes[i].n = sg_mapping_physical(v->m, root + i, v->shapes[i].columns);
        rc = sg_verify_sums(v, err);
    }
    if (rc == 0)
        rc = sg_verify_differ(v, err);
    if (rc == 0 && (rc = count_rejects(v, &kept, err)) == 0)
        v->stats.kept += kept;
    free(v->shapes);
    free(v->ours);
    free(v->theirs);
    return rc;
}

static int
verify_all(struct sg_verify *v, struct sg_err *err)
{
    enum sg_target_state state;
    int i, rc = 0;

    for (i = 0; i < v->target.options.n_shards; i++) {
        if (sg_target_look(&v->target, i, &state, err) != 0)
            return -1;
        if (state != SG_TARGET_KEYED)
            return sg_fail(err, SG_E_NOT_FOUND, v->target.shards[i].place,
                           "the tables are not there, or without keys: the load is not over");
    }
    for (i = 0; i < v->m->n_tables && rc == 0; i++)
        if (v->m->tables[i].kind == SG_MODEL_ROOT)
            rc = verify_collection(v, i, err);
    return rc;
}

static int
open_source(struct sg_verify *v, struct sg_err *err)
{
    v->source_options = v->options->source;
    v->source_options.timeout_ms = SOURCE_TIMEOUT_MS;
    v->source_options.bytes_max = SOURCE_BYTES_MAX;
    v->source_options.batch_records = SOURCE_BATCH_RECORDS;
    if (sg_arena_new(ARENA_BYTES_MAX, &v->arena, err) != 0 ||
        sg_arena_new(ARENA_BYTES_MAX, &v->scratch, err) != 0 ||
        sg_model_converter_new(v->m, bucket_of, v, &v->converter, err) != 0)
        return -1;
    return sg_source_open(&v->source_options, &v->source, err);
}

int
sg_verify_collections(const struct sg_verify_options *o, struct sg_verify_stats *stats,
                      struct sg_err *err)
{
    struct sg_verify *v = calloc(1, sizeof *v);
    struct sg_job lock = {0};
    int rc;

    if (v == NULL)
        return sg_fail(err, SG_E_INTERNAL, "verify", "out of memory");
    v->options = o;
    v->m = o->target.mapping;
    rc = o->repair ? sg_job_open(&lock, o->control, v->m, "", err) : 0;
    if (rc == 0)
        rc = sg_target_open(&o->target, &v->target, err);
    if (rc == 0) {
        if (open_source(v, err) != 0 || verify_all(v, err) != 0)
            rc = -1;
        sg_target_close(&v->target);
    }
    *stats = v->stats;
    sg_source_close(v->source);
    sg_model_converter_free(v->converter);
    sg_arena_free(v->arena);
    sg_arena_free(v->scratch);
    sg_job_close(&lock);
    free(v);
    return rc;
}
