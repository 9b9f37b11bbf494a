/* SPDX-License-Identifier: MIT */
#include "store/op.h"

/* Deleting what nothing asks for any more: a few buckets at a time and a bounded number of rows of
 * each table, through the keys that start with realm and bucket. */
#define LIMIT_ROWS 1000
#define LIMIT_TEXT "1000"
#define BUCKETS_AT_ONCE 64

/* Deletes rows of the table whose `at` is longer ago than $3; d is what was deleted. Rows that
 * somebody holds are left for the next round. */
#define DELETE_OLDER(table, at)                                                                    \
    "WITH d AS (DELETE FROM " table " WHERE ctid = ANY (ARRAY(SELECT ctid FROM " table             \
    " WHERE realm = $1 AND bucket = ANY ($2::int[]) AND " at                                       \
    " < clock_timestamp() - $3::bigint * interval '1 millisecond' LIMIT " LIMIT_TEXT               \
    " FOR UPDATE SKIP LOCKED)) RETURNING *) "

static const struct sg_pg_stmt st_feed = {
    "store.sweep_feed", DELETE_OLDER("segue.revocation", "at") "SELECT count(*) FROM d", 3, 0,
    false};

static const struct sg_pg_stmt st_refresh = {
    "store.sweep_refresh",
    DELETE_OLDER("segue.refresh_token", "expires_at") "SELECT count(*) FROM d", 3, 0, false};

/* Ended, or over by time and with its last JWT. While there is a mirror, not one whose end the
 * legacy store has yet to be told: nobody else would remember it. */
static const struct sg_pg_stmt st_sessions = {
    "store.sweep_sessions",
    DELETE_OLDER(
        "segue.session",
        "CASE WHEN ended_at IS NULL THEN CASE WHEN segue.life_end(exp_source, exp_segue, "
        "exp_absolute) IS NOT NULL THEN greatest(segue.life_end(exp_source, exp_segue, "
        "exp_absolute), jwt_until) END WHEN NOT $4::boolean OR NOT EXISTS (SELECT FROM "
        "segue.outbox AS o WHERE o.realm = session.realm AND o.bucket = session.bucket "
        "AND o.sid = session.sid) THEN ended_at END") ", o AS (DELETE FROM segue.outbox AS "
                                                      "o USING d WHERE o.realm = d.realm "
                                                      "AND o.bucket = d.bucket AND o.sid "
                                                      "= d.sid) SELECT count(*) FROM d",
    4, 0, false};

static const struct sg_pg_stmt st_refs = {
    "store.sweep_refs",
    DELETE_OLDER("segue.token_ref", "greatest(ended_at, seen_at)") "SELECT count(*) FROM d", 3, 0,
    false};

enum { COL_REALM, COL_BUCKETS, COL_FEED_KEEP, COL_ENDED_KEEP, COL_REF_KEEP, COL_MIRROR };
enum { CALL_FIRST = 1, CALL_END = 5 };

struct sweep_op {
    struct sg_store_op op;
    struct sg_sweep *sweep;
    bool more; /* a limit was met: the same buckets again */
};

static enum sg_use
sweep_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    const struct sg_sweep *s = sg_container_of(op, struct sweep_op, op)->sweep;

    return sg_entry_of(entry, s->realm, s->bucket + row, "", 0, err);
}

static void
sweep_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct sg_sweep *s = sg_container_of(op, struct sweep_op, op)->sweep;
    int g;

    sg_column_value(columns, COL_REALM, sg_str(s->realm));
    for (g = part->from; g < part->to; g++)
        sg_column_int(columns, COL_BUCKETS, op->entries[op->group[g]].bucket);
    sg_column_int_value(columns, COL_FEED_KEEP, s->feed_keep_ms);
    sg_column_int_value(columns, COL_ENDED_KEEP, s->ended_keep_ms);
    sg_column_int_value(columns, COL_REF_KEEP, s->ref_keep_ms);
    sg_column_value(columns, COL_MIRROR, sg_str(s->mirror ? "t" : "f"));
    sg_part_fence(part, columns, COL_BUCKETS);
    sg_part_call(part, &st_feed, columns, (const uint8_t[]){COL_REALM, COL_BUCKETS, COL_FEED_KEEP});
    sg_part_call(part, &st_refresh, columns,
                 (const uint8_t[]){COL_REALM, COL_BUCKETS, COL_ENDED_KEEP});
    sg_part_call(part, &st_sessions, columns,
                 (const uint8_t[]){COL_REALM, COL_BUCKETS, COL_ENDED_KEEP, COL_MIRROR});
    sg_part_call(part, &st_refs, columns, (const uint8_t[]){COL_REALM, COL_BUCKETS, COL_REF_KEEP});
}

static void
sweep_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sweep_op *s = sg_container_of(op, struct sweep_op, op);
    int64_t n;
    int call;

    for (call = CALL_FIRST; call < CALL_END; call++) {
        n = sg_pg_int(&part->batch, call, 0, 0, 0);
        s->sweep->deleted += n;
        s->more |= n == LIMIT_ROWS;
    }
}

static void
sweep_over(struct sg_store_op *op)
{
    struct sweep_op *s = sg_container_of(op, struct sweep_op, op);

    if (!s->more)
        s->sweep->bucket += op->n_rows;
}

void
sg_store_sweep(struct sg_store *store, struct sg_sweep *sweep, uint64_t deadline_ns,
               sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {.rows_max = BUCKETS_AT_ONCE,
                                                .entry = sweep_entry,
                                                .build = sweep_build,
                                                .take = sweep_take,
                                                .over = sweep_over};
    int left = SG_BUCKETS - sweep->bucket;
    struct sweep_op *op =
        sg_op_new(sizeof *op, store, &phase, left < BUCKETS_AT_ONCE ? left : BUCKETS_AT_ONCE,
                  deadline_ns, done, ctx);

    op->sweep = sweep;
    sweep->deleted = 0;
    sg_op_start(&op->op);
}
