/* SPDX-License-Identifier: MIT */
#include "store/op.h"

/* Ending sessions (P2): upserts of tombstones, never "update if present", so that whatever arrives
 * late finds them. Phase 1 on the digests' shards: nothing can be exchanged for the token any more.
 * Phase 2 on the sessions' shards: session, feed, outbox and refresh tokens in one transaction. */
struct end_op {
    struct sg_store_op op;
    struct sg_end_row *rows;
};

static const struct sg_pg_stmt st_refs = {
    "store.end_refs",
    "INSERT INTO segue.token_ref AS t (realm, bucket, digest, subject, ended_at, end_reason) "
    "SELECT realm, bucket, digest, subject, clock_timestamp(), reason "
    "FROM unnest($1::text[], $2::int[], $3::bytea[], $4::text[], $5::text[]) WITH ORDINALITY "
    "AS i(realm, bucket, digest, subject, reason, ord) ORDER BY ord "
    "ON CONFLICT (realm, bucket, digest) DO UPDATE SET ended_at = EXCLUDED.ended_at, "
    "end_reason = EXCLUDED.end_reason WHERE t.ended_at IS NULL",
    5, 0, false};

static const struct sg_pg_stmt st_sessions = {
    "store.end_sessions",
    "WITH i AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::int[], $3::bytea[], $4::text[], "
    "$5::text[], $6::bytea[]) WITH ORDINALITY "
    "AS t(realm, bucket, sid, subject, reason, store_digest, ord)), "
    "w AS (INSERT INTO segue.session AS s (realm, bucket, sid, subject, origin, store_digest, "
    "ended_at, end_reason) "
    "SELECT realm, bucket, sid, subject, 'legacy', store_digest, clock_timestamp(), reason FROM i "
    "ORDER BY ord "
    "ON CONFLICT (realm, bucket, sid) DO UPDATE SET ended_at = EXCLUDED.ended_at, "
    "end_reason = EXCLUDED.end_reason, held_at = NULL, version = s.version + 1 "
    "WHERE s.ended_at IS NULL RETURNING realm, bucket, sid), "
    "f AS (INSERT INTO segue.revocation (realm, bucket, kind, sid) "
    "SELECT realm, bucket, 'session', sid FROM w) "
    "SELECT i.ord FROM i JOIN w USING (realm, bucket, sid)",
    6, 0, false};

/* The rows are locked by the statement before. A session that had ended already is dirty again when
 * asked for: an app may have written its record back. */
static const struct sg_pg_stmt st_outbox = {
    "store.end_outbox",
    "WITH u AS (UPDATE segue.session AS s SET version = s.version + 1 "
    "FROM unnest($1::text[], $2::int[], $3::bytea[], $4::boolean[]) WITH ORDINALITY "
    "AS i(realm, bucket, sid, mirror, ord) WHERE i.mirror AND s.realm = i.realm "
    "AND s.bucket = i.bucket AND s.sid = i.sid AND s.handle IS NOT NULL "
    "RETURNING s.realm, s.bucket, s.sid, s.version, i.ord) "
    "INSERT INTO segue.outbox (realm, bucket, sid, version) SELECT realm, bucket, sid, version "
    "FROM u ORDER BY ord "
    "ON CONFLICT (realm, bucket, sid) DO UPDATE SET version = EXCLUDED.version",
    4, 0, false};

static const struct sg_pg_stmt st_refresh = {
    "store.end_refresh",
    "UPDATE segue.refresh_token AS t SET state = 'ended' "
    "FROM unnest($1::text[], $2::int[], $3::bytea[]) AS i(realm, bucket, sid) "
    "WHERE t.realm = i.realm AND t.bucket = i.bucket AND t.sid = i.sid AND t.state <> 'ended'",
    3, 0, false};

enum { CALL_SESSIONS = 1 };

static struct sg_end_row *
rows_of(struct sg_store_op *op)
{
    return sg_container_of(op, struct end_op, op)->rows;
}

static enum sg_use
refs_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    const struct sg_end_row *r = &rows_of(op)[row];

    if (!r->tombstone_ref || !r->has_digest)
        return SG_SKIP_ROW;
    if (sg_check_subject(r->subject, err) == SG_REFUSE_ROW)
        return SG_REFUSE_ROW;
    return sg_entry_of(entry, r->realm, r->digest_bucket, r->digest, sizeof r->digest, err);
}

static void
refs_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    int g;

    for (g = part->from; g < part->to; g++) {
        const struct sg_end_row *r = &rows_of(op)[sg_group_row(op, g)];

        sg_part_place(part, columns, g);
        sg_column_bytes(columns, 2, r->digest, sizeof r->digest);
        sg_column_text(columns, 3, sg_null_if_empty(r->subject));
        sg_column_text(columns, 4, r->reason);
    }
    sg_part_fence(part, columns, 1);
    sg_part_call(part, &st_refs, columns, NULL);
}

/* Whether the session was live is what its own row says, in phase 2. */
static void
refs_take(struct sg_store_op *op, struct sg_part *part)
{
}

static enum sg_use
sessions_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    const struct sg_end_row *r = &rows_of(op)[row];

    if (!r->has_sid)
        return SG_SKIP_ROW;
    if (sg_check_subject(r->subject, err) == SG_REFUSE_ROW)
        return SG_REFUSE_ROW;
    return sg_entry_of(entry, r->realm, r->sid_bucket, r->sid, sizeof r->sid, err);
}

static void
sessions_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    struct sg_end_row *rows = rows_of(op);
    bool mirror, any_mirror = false;
    int g, k;

    for (g = part->from; g < part->to; g++) {
        const struct sg_end_row *r = &rows[sg_group_row(op, g)];

        sg_part_place(part, columns, g);
        sg_column_bytes(columns, 2, r->sid, sizeof r->sid);
        sg_column_text(columns, 3, sg_null_if_empty(r->subject));
        sg_column_text(columns, 4, r->reason);
        sg_column_bytes(columns, 5, r->has_digest ? r->digest : NULL, sizeof r->digest);
        for (mirror = false, k = op->group[g]; k < op->group[g + 1]; k++)
            mirror |= rows[op->entries[k].row].mirror;
        sg_column_bool(columns, 6, mirror);
        any_mirror |= mirror;
    }
    sg_part_fence(part, columns, 1);
    sg_part_call(part, &st_sessions, columns, NULL);
    sg_part_call(part, &st_refresh, columns, NULL);
    if (any_mirror)
        sg_part_call(part, &st_outbox, columns, (const uint8_t[]){0, 1, 2, 6});
}

static void
sessions_take(struct sg_store_op *op, struct sg_part *part)
{
    const struct sg_entry *e;
    int i, n;

    for (i = 0; i < sg_pg_rows(&part->batch, CALL_SESSIONS); i++)
        for (n = sg_part_rows_of(part, CALL_SESSIONS, i, &e); n > 0; n--, e++)
            rows_of(op)[e->row].changed = true;
}

static const struct sg_phase_of_op sessions_phase = {.rows_max = SG_STORE_ROWS_MAX,
                                                     .entry = sessions_entry,
                                                     .build = sessions_build,
                                                     .take = sessions_take};
static const struct sg_phase_of_op refs_phase = {.rows_max = SG_STORE_ROWS_MAX,
                                                 .entry = refs_entry,
                                                 .build = refs_build,
                                                 .take = refs_take,
                                                 .after = "store.end.after_refs",
                                                 .next = &sessions_phase};

void
sg_store_end_sessions(struct sg_store *store, struct sg_end_row *rows, int n, uint64_t deadline_ns,
                      sg_store_done done, void *ctx)
{
    struct end_op *op = sg_op_new(sizeof *op, store, &refs_phase, n, deadline_ns, done, ctx);
    int i;

    op->rows = rows;
    for (i = 0; i < n; i++)
        rows[i].changed = false;
    sg_op_start(&op->op);
}

/* ---- holding: absent from the source, without proof that it was ended there (rule 1) ---- */

static const struct sg_pg_stmt st_hold_lock = {
    "store.hold_lock",
    "SELECT 1 FROM unnest($1::text[], $2::int[], $3::bytea[]) WITH ORDINALITY "
    "AS i(realm, bucket, sid, ord) JOIN segue.session AS s USING (realm, bucket, sid) "
    "ORDER BY i.ord FOR NO KEY UPDATE OF s",
    3, 0, false};

static const struct sg_pg_stmt st_hold = {
    "store.hold",
    "UPDATE segue.session AS s SET held_at = coalesce(s.held_at, clock_timestamp()) "
    "FROM unnest($1::text[], $2::int[], $3::bytea[]) WITH ORDINALITY AS i(realm, bucket, sid, ord) "
    "WHERE s.realm = i.realm AND s.bucket = i.bucket AND s.sid = i.sid AND s.ended_at IS NULL "
    "RETURNING i.ord, greatest(-segue.ms_until(s.held_at), 0)",
    3, 0, false};

struct hold_op {
    struct sg_store_op op;
    struct sg_hold_row *rows;
};

static enum sg_use
hold_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    const struct sg_hold_row *r = &sg_container_of(op, struct hold_op, op)->rows[row];

    return sg_entry_of(entry, r->realm, r->bucket, r->sid, sizeof r->sid, err);
}

static void
hold_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    struct sg_hold_row *rows = sg_container_of(op, struct hold_op, op)->rows;
    int g;

    for (g = part->from; g < part->to; g++) {
        sg_part_place(part, columns, g);
        sg_column_bytes(columns, 2, rows[sg_group_row(op, g)].sid, SG_SID_BYTES);
    }
    sg_part_fence(part, columns, 1);
    sg_part_call(part, &st_hold_lock, columns, NULL);
    sg_part_call(part, &st_hold, columns, NULL);
}

static void
hold_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_hold_row *rows = sg_container_of(op, struct hold_op, op)->rows;
    const struct sg_entry *e;
    int i, n;

    for (i = 0; i < sg_pg_rows(&part->batch, 2); i++)
        for (n = sg_part_rows_of(part, 2, i, &e); n > 0; n--, e++)
            rows[e->row].held_for_ms = sg_pg_int(&part->batch, 2, i, 1, 0);
}

void
sg_store_hold_sessions(struct sg_store *store, struct sg_hold_row *rows, int n,
                       uint64_t deadline_ns, sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {
        .rows_max = SG_STORE_ROWS_MAX, .entry = hold_entry, .build = hold_build, .take = hold_take};
    struct hold_op *op = sg_op_new(sizeof *op, store, &phase, n, deadline_ns, done, ctx);
    int i;

    op->rows = rows;
    for (i = 0; i < n; i++)
        rows[i].held_for_ms = -1;
    sg_op_start(&op->op);
}
