/* SPDX-License-Identifier: MIT */
#include "store/sessions.h"

enum {
    COL_REALM,
    COL_BUCKET,
    COL_SID,
    COL_SUBJECT,
    COL_GENERATION,
    COL_ORIGIN,
    COL_CLIENT,
    COL_DIGEST,
    COL_HANDLE,
    COL_RECORD,
    COL_IDLE,
    COL_SOURCE_IN,
    COL_SEGUE_IN,
    COL_ABSOLUTE_IN,
    COL_JWT_IN,
    COL_SEEN,
    COL_SEEN_AGO,
    COL_DIRTY,
    N_COLS
};

/* ended_at decides in the same statement that writes: an ended session is never touched again,
 * whatever comes in which order. jwt_first_at is the transaction's own time where this statement
 * set it, which is how "a JWT was handed over before" is told apart from now. */
static const struct sg_pg_stmt st_put = {
    "store.sessions_put",
    "WITH i AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::int[], $3::bytea[], $4::text[], "
    "$5::int[], $6::text[], $7::text[], $8::bytea[], $9::bytea[], $10::bytea[], $11::bigint[], "
    "$12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::boolean[], $17::bigint[], "
    "$18::boolean[]) "
    "WITH ORDINALITY AS t(realm, bucket, sid, subject, generation, origin, client_id, "
    "store_digest, handle, record, idle_ms, source_in, segue_in, absolute_in, jwt_in, seen, "
    "seen_ago, dirty, "
    "ord)), "
    "w AS (INSERT INTO segue.session AS s (realm, bucket, sid, subject, generation, origin, "
    "client_id, store_digest, handle, record, idle_ms, exp_source, exp_segue, exp_absolute, "
    "source_seen_at, jwt_first_at, jwt_until) "
    "SELECT realm, bucket, sid, subject, generation, origin, client_id, store_digest, handle, "
    "record, idle_ms, segue.in_ms(source_in - seen_ago), segue.in_ms(segue_in), "
    "segue.in_ms(absolute_in), "
    "CASE WHEN seen THEN segue.in_ms(-seen_ago) END, CASE WHEN jwt_in IS NOT NULL THEN now() END, "
    "segue.in_ms(jwt_in) FROM i ORDER BY ord "
    "ON CONFLICT (realm, bucket, sid) DO UPDATE SET "
    "client_id = CASE WHEN EXCLUDED.client_id <> '' THEN EXCLUDED.client_id ELSE s.client_id END, "
    "store_digest = coalesce(EXCLUDED.store_digest, s.store_digest), "
    "handle = coalesce(EXCLUDED.handle, s.handle), "
    "record = CASE WHEN EXCLUDED.source_seen_at < s.source_seen_at THEN s.record ELSE "
    "coalesce(EXCLUDED.record, s.record) END, "
    "idle_ms = CASE WHEN EXCLUDED.idle_ms > 0 AND "
    "(EXCLUDED.source_seen_at < s.source_seen_at) IS NOT TRUE THEN EXCLUDED.idle_ms ELSE s.idle_ms "
    "END, "
    "last_seen_at = clock_timestamp(), "
    "exp_source = CASE WHEN EXCLUDED.source_seen_at < s.source_seen_at THEN s.exp_source ELSE "
    "coalesce(EXCLUDED.exp_source, s.exp_source) END, "
    "exp_segue = greatest(EXCLUDED.exp_segue, s.exp_segue), "
    "source_seen_at = greatest(EXCLUDED.source_seen_at, s.source_seen_at), "
    "held_at = CASE WHEN EXCLUDED.source_seen_at IS NULL THEN s.held_at END, "
    "jwt_first_at = coalesce(s.jwt_first_at, EXCLUDED.jwt_first_at), "
    "jwt_until = greatest(s.jwt_until, EXCLUDED.jwt_until), "
    "version = s.version + 1 "
    "WHERE s.ended_at IS NULL "
    "RETURNING realm, bucket, sid, version, created_at, exp_source, exp_segue, exp_absolute, "
    "jwt_first_at), "
    "o AS (INSERT INTO segue.outbox (realm, bucket, sid, version) "
    "SELECT w.realm, w.bucket, w.sid, w.version FROM w JOIN i USING (realm, bucket, sid) "
    "WHERE i.dirty ORDER BY i.ord "
    "ON CONFLICT (realm, bucket, sid) DO UPDATE SET version = EXCLUDED.version) "
    "SELECT i.ord, segue.unix_ms(w.created_at), "
    "segue.ms_until(segue.life_end(w.exp_source, w.exp_segue, w.exp_absolute)), "
    "segue.ms_until(w.exp_absolute), w.version, "
    "w.jwt_first_at IS NOT NULL AND w.jwt_first_at <> now() "
    "FROM i JOIN w USING (realm, bucket, sid)",
    N_COLS, 0, false};

/* So that a ban finds a row to stand in, and the epoch has somewhere to count from. In the order
 * of put_subjects, which is strcmp's. */
static const struct sg_pg_stmt st_subjects = {
    "store.sessions_subjects",
    "INSERT INTO segue.subject (realm, bucket, subject) SELECT realm, bucket, subject "
    "FROM unnest($1::text[], $2::int[], $3::text[]) AS t(realm, bucket, subject) "
    "WHERE subject IS NOT NULL GROUP BY realm, bucket, subject "
    "ORDER BY realm COLLATE \"C\", bucket, subject COLLATE \"C\" ON CONFLICT DO NOTHING",
    3, 0, false};

static const struct sg_pg_stmt st_subjects_read = {
    "store.sessions_subjects_read",
    "SELECT i.ord, s.epoch, s.status = 'banned' OR s.locked, s.source_version, "
    "-segue.ms_until(s.logout_at) "
    "FROM unnest($1::text[], $2::int[], $3::text[]) WITH ORDINALITY AS i(realm, bucket, subject, "
    "ord) JOIN segue.subject AS s USING (realm, bucket, subject)",
    3, 0, false};

enum { CALL_PUT = 2, CALL_SUBJECTS = 3 };

enum sg_use
sg_session_entry(const struct sg_session_row *row, struct sg_entry *entry, struct sg_err *err)
{
    if (sg_check_subject(row->subject, err) == SG_REFUSE_ROW)
        return SG_REFUSE_ROW;
    return sg_entry_of(entry, row->realm, row->bucket, row->sid, sizeof row->sid, err);
}

/* A duration as the caller means it: none below `least`, and no date beyond what the database can
 * hold. */
static void
add_in_ms(struct sg_columns *columns, int c, int64_t in_ms, int64_t least)
{
    if (in_ms < least)
        sg_column_null(columns, c);
    else
        sg_column_int(columns, c, in_ms < SG_STORE_MS_MAX ? in_ms : SG_STORE_MS_MAX);
}

static void
add_bytes(struct sg_columns *columns, int c, struct sg_slice s)
{
    sg_column_bytes(columns, c, s.len > 0 ? s.ptr : NULL, s.len);
}

static void
add_session(struct sg_columns *columns, const struct sg_session_row *r)
{
    sg_column_bytes(columns, COL_SID, r->sid, sizeof r->sid);
    sg_column_text(columns, COL_SUBJECT, sg_null_if_empty(r->subject));
    sg_column_int(columns, COL_GENERATION, r->generation);
    sg_column_text(columns, COL_ORIGIN, r->origin);
    sg_column_text(columns, COL_CLIENT, r->client_id != NULL ? r->client_id : "");
    sg_column_bytes(columns, COL_DIGEST, r->has_store_digest ? r->store_digest : NULL,
                    sizeof r->store_digest);
    add_bytes(columns, COL_HANDLE, r->handle);
    add_bytes(columns, COL_RECORD, r->record);
    sg_column_int(columns, COL_IDLE, r->idle_ms);
    add_in_ms(columns, COL_SOURCE_IN, r->exp_source_in_ms, 0);
    add_in_ms(columns, COL_SEGUE_IN, r->exp_segue_in_ms, 0);
    add_in_ms(columns, COL_ABSOLUTE_IN, r->exp_absolute_in_ms, 1);
    add_in_ms(columns, COL_JWT_IN, r->jwt_until_in_ms, 0);
}

/* Two rows of one session in one batch come to what they would come to one after the other. */
static void
merge_earlier(struct sg_session_row *row, const struct sg_session_row *earlier)
{
    bool later_read = earlier->seen_in_source &&
                      (!row->seen_in_source || earlier->seen_ms_ago < row->seen_ms_ago);

    if (row->exp_source_in_ms < 0 || (row->seen_in_source && later_read))
        row->exp_source_in_ms = earlier->exp_source_in_ms;
    if (later_read)
        row->seen_ms_ago = earlier->seen_ms_ago;
    if (row->exp_segue_in_ms < earlier->exp_segue_in_ms)
        row->exp_segue_in_ms = earlier->exp_segue_in_ms;
    if (row->jwt_until_in_ms < earlier->jwt_until_in_ms)
        row->jwt_until_in_ms = earlier->jwt_until_in_ms;
    if (row->handle.len == 0)
        row->handle = earlier->handle;
    if (row->record.len == 0)
        row->record = earlier->record;
    row->mark_dirty |= earlier->mark_dirty;
    row->seen_in_source |= earlier->seen_in_source;
}

void
sg_sessions_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns,
                  const struct sg_session_row *rows)
{
    static const uint8_t subject_columns[] = {COL_REALM, COL_BUCKET, COL_SUBJECT};
    struct sg_session_row row;
    int g, k;

    for (g = part->from; g < part->to; g++) {
        sg_part_place(part, columns, g);
        row = rows[sg_group_row(op, g)];
        for (k = op->group[g + 1] - 2; k >= op->group[g]; k--)
            merge_earlier(&row, &rows[op->entries[k].row]);
        add_session(columns, &row);
        sg_column_bool(columns, COL_SEEN, row.seen_in_source);
        sg_column_int(columns, COL_SEEN_AGO, row.seen_in_source ? row.seen_ms_ago : 0);
        sg_column_bool(columns, COL_DIRTY, row.mark_dirty);
    }
    sg_part_fence(part, columns, COL_BUCKET);
    sg_part_call(part, &st_subjects, columns, subject_columns);
    sg_part_call(part, &st_put, columns, NULL);
    sg_part_call(part, &st_subjects_read, columns, subject_columns);
}

void
sg_sessions_take(struct sg_part *part, struct sg_session_row *rows)
{
    const struct sg_store_op *op = part->op;
    const struct sg_pg_batch *b = &part->batch;
    const struct sg_entry *e;
    int i, n;

    for (i = op->group[part->from]; i < op->group[part->to]; i++) {
        struct sg_session_row *r = &rows[op->entries[i].row];

        r->live = r->has_jwt = r->banned = false;
        r->created_ms = r->expires_in_ms = r->absolute_in_ms = r->version = 0;
        r->epoch = 0;
        r->source_version = -1;
        r->logout_ago_ms = INT64_MAX;
    }
    for (i = 0; i < sg_pg_rows(b, CALL_PUT); i++)
        for (n = sg_part_rows_of(part, CALL_PUT, i, &e); n > 0; n--, e++) {
            struct sg_session_row *r = &rows[e->row];

            r->live = true;
            r->created_ms = sg_pg_int(b, CALL_PUT, i, 1, 0);
            r->expires_in_ms = sg_pg_int(b, CALL_PUT, i, 2, INT64_MAX);
            r->absolute_in_ms = sg_pg_int(b, CALL_PUT, i, 3, INT64_MAX);
            r->version = sg_pg_int(b, CALL_PUT, i, 4, 0);
            r->has_jwt = sg_read_bool(part, CALL_PUT, i, 5);
        }
    for (i = 0; i < sg_pg_rows(b, CALL_SUBJECTS); i++)
        for (n = sg_part_rows_of(part, CALL_SUBJECTS, i, &e); n > 0; n--, e++) {
            struct sg_session_row *r = &rows[e->row];

            r->epoch = (int)sg_pg_int(b, CALL_SUBJECTS, i, 1, 0);
            r->banned = sg_read_bool(part, CALL_SUBJECTS, i, 2);
            r->source_version = sg_pg_int(b, CALL_SUBJECTS, i, 3, -1);
            r->logout_ago_ms = sg_pg_int(b, CALL_SUBJECTS, i, 4, INT64_MAX);
        }
}

/* ---- put_sessions ---- */

struct put_op {
    struct sg_store_op op;
    struct sg_session_row *rows;
};

static enum sg_use
put_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    return sg_session_entry(&sg_container_of(op, struct put_op, op)->rows[row], entry, err);
}

static void
put_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    sg_sessions_build(op, part, columns, sg_container_of(op, struct put_op, op)->rows);
}

static void
put_take(struct sg_store_op *op, struct sg_part *part)
{
    sg_sessions_take(part, sg_container_of(op, struct put_op, op)->rows);
}

void
sg_store_put_sessions(struct sg_store *store, struct sg_session_row *rows, int n,
                      uint64_t deadline_ns, sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {
        .rows_max = SG_STORE_ROWS_MAX, .entry = put_entry, .build = put_build, .take = put_take};
    struct put_op *op = sg_op_new(sizeof *op, store, &phase, n, deadline_ns, done, ctx);

    op->rows = rows;
    sg_op_start(&op->op);
}
