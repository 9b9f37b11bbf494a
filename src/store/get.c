/* SPDX-License-Identifier: MIT */
#include "store/op.h"

/* Reading sessions by id, with what is known of their subject. */
static const struct sg_pg_stmt st_get = {
    "store.sessions_get",
    "SELECT i.ord, s.ended_at IS NOT NULL, s.jwt_first_at IS NOT NULL, s.held_at IS NOT NULL, "
    "s.subject, s.client_id, s.end_reason, s.generation, segue.unix_ms(s.created_at), "
    "segue.ms_until(segue.life_end(s.exp_source, s.exp_segue, s.exp_absolute)), "
    "segue.ms_until(s.exp_absolute), s.idle_ms, -segue.ms_until(s.held_at), s.version, "
    "s.store_digest, s.handle, s.record, u.epoch, u.status = 'banned' OR u.locked, "
    "u.source_version, u.roles, "
    "u.permissions, segue.ms_until(s.exp_source), u.attributes "
    "FROM unnest($1::text[], $2::int[], $3::bytea[]) WITH ORDINALITY AS i(realm, bucket, sid, ord) "
    "JOIN segue.session AS s USING (realm, bucket, sid) "
    "LEFT JOIN segue.subject AS u USING (realm, bucket, subject)",
    3, 0, false};

struct get_op {
    struct sg_store_op op;
    struct sg_session_read *rows;
};

static enum sg_use
get_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    struct sg_session_read *r = &sg_container_of(op, struct get_op, op)->rows[row];

    return sg_entry_of(entry, r->realm, r->bucket, r->sid, sizeof r->sid, err);
}

static void
get_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    struct sg_session_read *rows = sg_container_of(op, struct get_op, op)->rows;
    int g;

    for (g = part->from; g < part->to; g++) {
        sg_part_place(part, columns, g);
        sg_column_bytes(columns, 2, rows[sg_group_row(op, g)].sid, SG_SID_BYTES);
    }
    sg_part_call(part, &st_get, columns, NULL);
}

static void
read_row(const struct sg_part *part, int i, struct sg_session_read *r)
{
    const struct sg_pg_batch *b = &part->batch;

    r->found = true;
    r->ended = sg_read_bool(part, 0, i, 1);
    r->has_jwt = sg_read_bool(part, 0, i, 2);
    r->held = sg_read_bool(part, 0, i, 3);
    sg_read_string(part, 0, i, 4, r->subject, sizeof r->subject);
    sg_read_string(part, 0, i, 5, r->client_id, sizeof r->client_id);
    sg_read_string(part, 0, i, 6, r->end_reason, sizeof r->end_reason);
    r->generation = (int)sg_pg_int(b, 0, i, 7, 0);
    r->created_ms = sg_pg_int(b, 0, i, 8, 0);
    r->expires_in_ms = sg_pg_int(b, 0, i, 9, INT64_MAX);
    r->absolute_in_ms = sg_pg_int(b, 0, i, 10, INT64_MAX);
    r->idle_ms = sg_pg_int(b, 0, i, 11, 0);
    r->held_for_ms = sg_pg_int(b, 0, i, 12, -1);
    r->version = sg_pg_int(b, 0, i, 13, 0);
    r->has_store_digest = sg_pg_value(b, 0, i, 14).ptr != NULL;
    sg_read_bytes(part, 0, i, 14, r->store_digest, sizeof r->store_digest);
    r->handle = sg_read_bytea(part, 0, i, 15);
    r->record = sg_read_bytea(part, 0, i, 16);
    r->epoch = (int)sg_pg_int(b, 0, i, 17, 0);
    r->banned = sg_read_bool(part, 0, i, 18);
    r->source_version = sg_pg_int(b, 0, i, 19, -1);
    r->roles = sg_read_text(part, 0, i, 20);
    r->permissions = sg_read_text(part, 0, i, 21);
    r->exp_source_in_ms = sg_pg_int(b, 0, i, 22, INT64_MIN);
    r->attributes = sg_read_text(part, 0, i, 23);
}

static void
get_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_session_read *rows = sg_container_of(op, struct get_op, op)->rows;
    const struct sg_entry *e;
    int i, n;

    for (i = 0; i < sg_pg_rows(&part->batch, 0); i++)
        for (n = sg_part_rows_of(part, 0, i, &e); n > 0; n--, e++)
            read_row(part, i, &rows[e->row]);
}

void
sg_store_get_sessions(struct sg_store *store, struct sg_session_read *rows, int n,
                      uint64_t deadline_ns, sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {
        .rows_max = SG_STORE_ROWS_MAX, .entry = get_entry, .build = get_build, .take = get_take};
    struct get_op *op = sg_op_new(sizeof *op, store, &phase, n, deadline_ns, done, ctx);
    int i;

    op->rows = rows;
    for (i = 0; i < n; i++) {
        struct sg_session_read in = {.realm = rows[i].realm, .bucket = rows[i].bucket};

        memcpy(in.sid, rows[i].sid, sizeof in.sid);
        rows[i] = in;
    }
    sg_op_start(&op->op);
}

void
sg_session_read_clear(struct sg_session_read *row)
{
    sg_buf_free(&row->handle);
    sg_buf_free(&row->record);
    sg_buf_free(&row->roles);
    sg_buf_free(&row->permissions);
    sg_buf_free(&row->attributes);
}
