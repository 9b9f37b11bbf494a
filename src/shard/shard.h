/* SPDX-License-Identifier: MIT */
#ifndef SG_SHARD_SHARD_H
#define SG_SHARD_SHARD_H

#include "base/clock.h"
#include "base/err.h"
#include "pg/pg.h"

/* The shards as one loop sees them: a pool each, and the map from bucket to shard. */
#define SG_BUCKETS 4096
#define SG_SHARDS_AT_MOST 64
#define SG_SHARD_CONNECT_TIMEOUT_MS 2000

struct sg_shards;

struct sg_shards_options {
    const char *const *conninfos;
    int n;
    int connections; /* per shard */
    int max_queued;  /* per shard */
};

SG_MUST_USE int sg_shards_open(uv_loop_t *loop, const struct sg_clock *clock,
                               const struct sg_shards_options *options, struct sg_shards **out,
                               struct sg_err *err);
void sg_shards_close(struct sg_shards *shards, void (*closed)(void *ctx), void *ctx);

int sg_shards_count(const struct sg_shards *shards);
struct sg_pg *sg_shards_pool(struct sg_shards *shards, int shard);

/* The map; until it was set every bucket is in an equal contiguous slice, as `segue init` lays it
 * out. Every entry of a map is below sg_shards_count. */
int sg_shard_of_bucket(const struct sg_shards *shards, int bucket);
void sg_shards_set_map(struct sg_shards *shards, const uint8_t map[SG_BUCKETS]);

/* The equal slices: shard of a bucket among n. */
int sg_shard_initial(int bucket, int n);

#endif
