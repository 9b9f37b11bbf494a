/* SPDX-License-Identifier: MIT */
/* Which buckets of a collection differ: both sides read whole, at the same time. */
#include "collect/statements.h"
#include "collect/verify_internal.h"

#include <pthread.h>
#include <stdlib.h>

#define SQL_BYTES_MAX (1 << 20)
#define SCRATCH_BYTES_MAX ((size_t)96 << 20)

struct summing {
    struct sg_verify *v;
    int shard;
    pthread_t thread;
    int table; /* counted from the root */
    struct sg_copy_reader reader;
    struct sg_arena *scratch;
    int64_t rows;
    int rc;
    struct sg_err err;
};

static int
add(struct sg_verify *v, struct sg_row_sum *sums, int table, const struct sg_slice *values, int n,
    struct sg_arena *scratch, struct sg_err *err)
{
    struct sg_hash hash;
    int bucket = n > 0 ? sg_verify_bucket(values[0]) : -1;

    if (bucket < 0)
        return sg_fail(err, SG_E_INVALID, v->m->tables[v->root + table].name, "no bucket");
    sg_arena_reset(scratch);
    if (sg_row_hash(&v->shapes[table], values, n, scratch, &hash, err) != 0)
        return -1;
    sg_row_sum_add(&sums[table * SG_BUCKETS + bucket], &hash);
    return 0;
}

/* ---- the tables ---- */

static int
take_row(void *ctx, struct sg_slice bytes, struct sg_err *err)
{
    struct summing *s = ctx;
    struct sg_slice values[SG_MODEL_PHYSICAL_MAX], tuple;
    int n, bucket;

    if (!sg_copy_reader_row(&s->reader, bytes, &tuple))
        return 0;
    if ((n = sg_tuple_split(tuple, values, SG_MODEL_PHYSICAL_MAX)) < 1 ||
        (bucket = sg_verify_bucket(values[0])) < 0)
        return sg_fail(err, SG_E_INVALID, s->v->target.shards[s->shard].place, "not a row");
    if (s->v->target.shard_of[bucket] != s->shard)
        return 0; /* left behind by a bucket that moved */
    s->rows++;
    return add(s->v, s->v->ours, s->table, values, n, s->scratch, err);
}

static void *
sum_shard(void *ctx)
{
    struct summing *s = ctx;
    struct sg_buf sql = SG_BUF_INIT(SQL_BYTES_MAX);

    s->rc = sg_arena_new(SCRATCH_BYTES_MAX, &s->scratch, &s->err);
    for (s->table = 0; s->table < s->v->n_tables && s->rc == 0; s->table++) {
        sg_buf_reset(&sql);
        sg_collect_copy_out(s->v->m, s->v->root + s->table, NULL, &sql);
        s->reader.begun = false;
        s->rc = sg_lane_copy_out(&s->v->target.shards[s->shard], sql.ptr, take_row, s, &s->err);
    }
    sg_buf_free(&sql);
    sg_arena_free(s->scratch);
    return NULL;
}

/* ---- the source ---- */

static int
take_record(struct sg_verify *v, void *ctx, struct sg_slice key, const struct sg_model_rows *rows,
            struct sg_err *err)
{
    int i;

    (void)ctx, (void)key;
    v->stats.records++;
    for (i = 0; i < rows->n; i++)
        if (add(v, v->theirs, rows->rows[i].table - v->root, rows->rows[i].values, rows->rows[i].n,
                v->scratch, err) != 0)
            return -1;
    if (v->options->progress != NULL && v->stats.records % 10000 == 0)
        v->options->progress(v->options->ctx, v->collection, &v->stats);
    return 0;
}

/* ---- both ---- */

static void
compare(struct sg_verify *v)
{
    int bucket, table;

    for (bucket = 0; bucket < SG_BUCKETS; bucket++) {
        v->differs[bucket] = false;
        for (table = 0; table < v->n_tables; table++)
            if (!sg_row_sum_eq(&v->ours[table * SG_BUCKETS + bucket],
                               &v->theirs[table * SG_BUCKETS + bucket]))
                v->differs[bucket] = true;
        v->stats.buckets_differed += v->differs[bucket];
    }
}

int
sg_verify_sums(struct sg_verify *v, struct sg_err *err)
{
    struct summing *shards = calloc((size_t)v->target.options.n_shards, sizeof *shards);
    int64_t rejected = 0;
    int i, n, rc = 0;

    if (shards == NULL)
        return sg_fail(err, SG_E_INTERNAL, "verify", "out of memory");
    for (n = 0; n < v->target.options.n_shards; n++) {
        shards[n] = (struct summing){.v = v, .shard = n};
        if (pthread_create(&shards[n].thread, NULL, sum_shard, &shards[n]) != 0) {
            rc = sg_fail(err, SG_E_INTERNAL, "verify", "no thread could be started");
            break;
        }
    }
    if (rc == 0)
        rc = sg_verify_read(v, take_record, NULL, &rejected, err);
    v->stats.rejected += rejected;
    for (i = 0; i < n; i++) {
        pthread_join(shards[i].thread, NULL);
        v->stats.rows += shards[i].rows;
        if (rc == 0 && shards[i].rc != 0) {
            rc = -1;
            *err = shards[i].err;
        }
    }
    free(shards);
    if (rc == 0)
        compare(v);
    return rc;
}
