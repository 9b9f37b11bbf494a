/* SPDX-License-Identifier: MIT */
#include "store/op.h"
#include "store/schema.h"

#include <stdlib.h>

int
sg_store_new(uv_loop_t *loop, const struct sg_clock *clock, struct sg_shards *shards,
             struct sg_store **out, struct sg_err *err)
{
    struct sg_store *store = calloc(1, sizeof *store);

    if (store == NULL)
        return sg_fail(err, SG_E_INTERNAL, "store", "out of memory");
    store->loop = loop;
    store->clock = clock;
    store->shards = shards;
    *out = store;
    return 0;
}

void
sg_store_free(struct sg_store *store)
{
    free(store);
}

/* ---- checking the schemas ---- */

static const struct sg_pg_stmt st_schema = {
    "store.schema",
    "SELECT (SELECT coalesce(max(version), 0) FROM segue.schema_version), "
    "(SELECT count(*) FROM segue.bucket_owner WHERE owned AND bucket = ANY ($1::int[]))",
    1, 0, false};

static void
check_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    int b;

    for (b = 0; b < SG_BUCKETS; b++)
        if (sg_shard_of_bucket(op->store->shards, b) == part->shard)
            sg_column_int(columns, 0, b);
    sg_part_call(part, &st_schema, columns, NULL);
}

static void
wrong_schema(struct sg_store_op *op, int shard, int64_t version)
{
    char place[32], text[160];

    snprintf(place, sizeof place, "shard %d", shard);
    snprintf(text, sizeof text, "shard %d has schema %lld, this binary needs %d: %s", shard,
             (long long)version, sg_schema_shard.version,
             version < sg_schema_shard.version ? "run segue init" : "run a newer segue");
    sg_op_fail(op, SG_E_INVALID, place, text);
}

static void
check_take(struct sg_store_op *op, struct sg_part *part)
{
    int64_t version = sg_pg_int(&part->batch, 0, 0, 0, 0);
    char place[32];

    if (version != sg_schema_shard.version) {
        wrong_schema(op, part->shard, version);
    } else if (sg_pg_int(&part->batch, 0, 0, 1, 0) == 0) {
        snprintf(place, sizeof place, "shard %d", part->shard);
        sg_op_fail(op, SG_E_INVALID, place,
                   "owns none of the buckets that the map gives it: was the order of the shards in "
                   "the configuration changed?");
    }
}

/* No such table or schema: nothing was laid out there yet. */
static void
check_failed(struct sg_store_op *op, struct sg_part *part)
{
    if (strcmp(part->batch.sqlstate, "42P01") == 0 || strcmp(part->batch.sqlstate, "3F000") == 0)
        wrong_schema(op, part->shard, 0);
}

void
sg_store_check_versions(struct sg_store *store, uint64_t deadline_ns, sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {
        .every_shard = true, .build = check_build, .take = check_take, .failed = check_failed};

    sg_op_start(sg_op_new(sizeof(struct sg_store_op), store, &phase, 0, deadline_ns, done, ctx));
}
