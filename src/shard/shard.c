/* SPDX-License-Identifier: MIT */
#include "shard/shard.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sg_shards {
    int n;
    int open; /* pools not closed yet */
    void (*closed)(void *ctx);
    void *ctx;
    uint8_t map[SG_BUCKETS];
    struct sg_pg *pool[];
};

int
sg_shard_initial(int bucket, int n)
{
    assert(bucket >= 0 && bucket < SG_BUCKETS && n > 0);
    return bucket * n / SG_BUCKETS;
}

static void
on_pool_closed(void *ctx)
{
    struct sg_shards *shards = ctx;

    if (--shards->open > 0)
        return;
    if (shards->closed != NULL)
        shards->closed(shards->ctx);
    free(shards);
}

void
sg_shards_close(struct sg_shards *shards, void (*closed)(void *ctx), void *ctx)
{
    int i, n = shards->n;

    shards->closed = closed;
    shards->ctx = ctx;
    shards->open++; /* keeps it alive until the loop below is done with it */
    for (i = 0; i < n; i++)
        sg_pg_close(shards->pool[i], on_pool_closed, shards);
    on_pool_closed(shards);
}

static int
open_pool(uv_loop_t *loop, const struct sg_clock *clock, const struct sg_shards_options *options,
          int shard, struct sg_pg **out, struct sg_err *err)
{
    char name[24];
    struct sg_pg_options pool = {.conninfo = options->conninfos[shard],
                                 .name = name,
                                 .connections = options->connections,
                                 .connect_timeout_ms = SG_SHARD_CONNECT_TIMEOUT_MS,
                                 .max_queued = options->max_queued};

    snprintf(name, sizeof name, "shard %d", shard);
    return sg_pg_open(loop, clock, &pool, out, err);
}

int
sg_shards_open(uv_loop_t *loop, const struct sg_clock *clock,
               const struct sg_shards_options *options, struct sg_shards **out, struct sg_err *err)
{
    struct sg_shards *shards;
    int i;

    if (options->n < 1 || options->n > SG_SHARDS_AT_MOST)
        return sg_fail(err, SG_E_INVALID, "shards", "expected 1 to %d shards, not %d",
                       SG_SHARDS_AT_MOST, options->n);
    shards = calloc(1, sizeof *shards + (size_t)options->n * sizeof shards->pool[0]);
    if (shards == NULL)
        return sg_fail(err, SG_E_INTERNAL, "shards", "out of memory");
    for (i = 0; i < SG_BUCKETS; i++)
        shards->map[i] = (uint8_t)sg_shard_initial(i, options->n);
    for (i = 0; i < options->n; i++) {
        if (open_pool(loop, clock, options, i, &shards->pool[i], err) != 0) {
            if (i == 0)
                free(shards);
            else
                sg_shards_close(shards, NULL, NULL);
            return -1;
        }
        shards->n = ++shards->open;
    }
    *out = shards;
    return 0;
}

int
sg_shards_count(const struct sg_shards *shards)
{
    return shards->n;
}

struct sg_pg *
sg_shards_pool(struct sg_shards *shards, int shard)
{
    assert(shard >= 0 && shard < shards->n);
    return shards->pool[shard];
}

int
sg_shard_of_bucket(const struct sg_shards *shards, int bucket)
{
    assert(bucket >= 0 && bucket < SG_BUCKETS);
    return shards->map[bucket];
}

void
sg_shards_set_map(struct sg_shards *shards, const uint8_t map[SG_BUCKETS])
{
    int i;

    for (i = 0; i < SG_BUCKETS; i++)
        assert(map[i] < shards->n);
    memcpy(shards->map, map, SG_BUCKETS);
}
