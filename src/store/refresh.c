/* SPDX-License-Identifier: MIT */
#include "store/op.h"

/* Refresh tokens (rule 10): the first of a chain, and whose one is. Their use is rotate.c's. */

/* FOR SHARE waits for an end of the session under way. */
static const struct sg_pg_stmt st_put = {
    "store.refresh_put",
    "WITH s AS MATERIALIZED (SELECT x.exp_absolute FROM segue.session AS x WHERE x.realm = $1 "
    "AND x.bucket = $2::int AND x.sid = $3::bytea AND x.ended_at IS NULL FOR SHARE), "
    "w AS (INSERT INTO segue.refresh_token (realm, bucket, sid, digest, chain, client_id, "
    "audience, scope, "
    "expires_at) SELECT $1, $2::int, $3::bytea, $4::bytea, $5::bytea, $6, $7, $8, "
    "least(segue.in_ms($9::bigint), s.exp_absolute) FROM s ON CONFLICT DO NOTHING) "
    "SELECT count(*) FROM s",
    9, 0, false};

/* Column of the fence's array, beside the plain values 0..8. */
enum { COL_FENCE = 9 };

struct put_op {
    struct sg_store_op op;
    const struct sg_refresh_new *token;
};

static enum sg_use
put_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    const struct sg_refresh_new *t = sg_container_of(op, struct put_op, op)->token;

    return sg_entry_of(entry, t->realm, t->bucket, t->digest, sizeof t->digest, err);
}

static void
put_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct sg_refresh_new *t = sg_container_of(op, struct put_op, op)->token;

    sg_column_value(columns, 0, sg_str(t->realm));
    sg_column_int_value(columns, 1, t->bucket);
    sg_column_bytes_value(columns, 2, t->sid, sizeof t->sid);
    sg_column_bytes_value(columns, 3, t->digest, sizeof t->digest);
    sg_column_bytes_value(columns, 4, t->chain, sizeof t->chain);
    sg_column_value(columns, 5, sg_str(t->client_id));
    sg_column_value(columns, 6, sg_str(t->audience));
    sg_column_value(columns, 7, sg_str(t->scope));
    sg_column_int_value(columns, 8, t->expires_in_ms);
    sg_column_int(columns, COL_FENCE, t->bucket);
    sg_part_fence(part, columns, COL_FENCE);
    sg_part_call(part, &st_put, columns, NULL);
}

static void
put_take(struct sg_store_op *op, struct sg_part *part)
{
    if (sg_pg_int(&part->batch, 1, 0, 0, 0) == 0)
        sg_op_fail(op, SG_E_DENIED, "store", "the session of this refresh token has ended");
}

void
sg_store_put_refresh(struct sg_store *store, const struct sg_refresh_new *token,
                     uint64_t deadline_ns, sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {
        .rows_max = 1, .entry = put_entry, .build = put_build, .take = put_take};
    struct put_op *op = sg_op_new(sizeof *op, store, &phase, 1, deadline_ns, done, ctx);

    op->token = token;
    sg_op_start(&op->op);
}

/* ---- reading ---- */

static const struct sg_pg_stmt st_get = {
    "store.refresh_get",
    "SELECT sid, client_id, audience, scope, state, extract(epoch FROM issued_at)::bigint, "
    "extract(epoch FROM expires_at)::bigint, expires_at <= clock_timestamp() "
    "FROM segue.refresh_token WHERE realm = $1 AND bucket = $2::int AND digest = $3::bytea",
    3, 0, false};

struct get_op {
    struct sg_store_op op;
    struct sg_refresh_read *token;
};

static enum sg_use
get_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    const struct sg_refresh_read *t = sg_container_of(op, struct get_op, op)->token;

    return sg_entry_of(entry, t->realm, t->bucket, t->digest, sizeof t->digest, err);
}

static void
get_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct sg_refresh_read *t = sg_container_of(op, struct get_op, op)->token;

    sg_column_value(columns, 0, sg_str(t->realm));
    sg_column_int_value(columns, 1, t->bucket);
    sg_column_bytes_value(columns, 2, t->digest, sizeof t->digest);
    sg_part_call(part, &st_get, columns, NULL);
}

static void
get_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_refresh_read *t = sg_container_of(op, struct get_op, op)->token;

    t->found = sg_pg_rows(&part->batch, 0) > 0;
    if (!t->found)
        return;
    sg_read_bytes(part, 0, 0, 0, t->sid, sizeof t->sid);
    sg_read_string(part, 0, 0, 1, t->client_id, sizeof t->client_id);
    sg_read_string(part, 0, 0, 2, t->audience, sizeof t->audience);
    sg_read_string(part, 0, 0, 3, t->scope, sizeof t->scope);
    t->current = sg_slice_eq(sg_pg_value(&part->batch, 0, 0, 4), sg_str("current")) &&
                 !sg_read_bool(part, 0, 0, 7);
    t->issued_sec = sg_pg_int(&part->batch, 0, 0, 5, 0);
    t->expires_sec = sg_pg_int(&part->batch, 0, 0, 6, 0);
}

void
sg_store_get_refresh(struct sg_store *store, struct sg_refresh_read *token, uint64_t deadline_ns,
                     sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {
        .rows_max = 1, .entry = get_entry, .build = get_build, .take = get_take};
    struct get_op *op = sg_op_new(sizeof *op, store, &phase, 1, deadline_ns, done, ctx);

    op->token = token;
    token->found = false;
    sg_op_start(&op->op);
}
