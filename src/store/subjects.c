/* SPDX-License-Identifier: MIT */
#include "store/op.h"

/* Identities: status, epoch and the roles last read from their source. */

#define SUBJECTS                                                                                   \
    "unnest($1::text[], $2::int[], $3::text[], $4::boolean[], $5::text[], $6::text[], "            \
    "$7::bigint[], $8::boolean[], $9::text[], $10::bigint[]) WITH ORDINALITY "                     \
    "AS i(realm, bucket, subject, active, roles, permissions, source_version, raise_epoch, "       \
    "attributes, if_version, ord)"

/* A row that is there is locked and left as it is, in one pass in key order (see refs.c). */
static const struct sg_pg_stmt st_lock = {
    "store.subjects_lock",
    "INSERT INTO segue.subject AS t (realm, bucket, subject) SELECT realm, bucket, subject "
    "FROM unnest($1::text[], $2::int[], $3::text[]) WITH ORDINALITY AS i(realm, bucket, subject, "
    "ord) ORDER BY ord ON CONFLICT (realm, bucket, subject) DO UPDATE SET status = t.status "
    "WHERE false",
    3, 0, false};

/* n: what each row becomes. An older reading of the source changes nothing but an epoch that is to
 * be raised. The feed is told of every change; not of the mere version of an unchanged identity,
 * and not of the first reading of a subject without sessions (prewarming): no token speaks of it.
 */
static const struct sg_pg_stmt st_change = {
    "store.subjects_change",
    "WITH i AS MATERIALIZED (SELECT * FROM " SUBJECTS "), "
    "n AS MATERIALIZED (SELECT i.ord, t.realm, t.bucket, t.subject, t.source_version AS "
    "old_version, "
    "t.epoch AS old_epoch, t.status AS old_status, t.roles AS old_roles, "
    "t.permissions AS old_permissions, t.attributes AS old_attributes, r.newer AS taken, t.locked, "
    "CASE WHEN NOT r.newer THEN t.status WHEN i.active THEN 'active' ELSE 'banned' END AS status, "
    "CASE WHEN r.newer THEN i.roles::text[] ELSE t.roles END AS roles, "
    "CASE WHEN r.newer THEN i.permissions::text[] ELSE t.permissions END AS permissions, "
    "CASE WHEN r.newer THEN i.attributes::jsonb ELSE t.attributes END AS attributes, "
    "CASE WHEN r.newer THEN i.source_version ELSE t.source_version END AS source_version, "
    "t.epoch + CASE WHEN i.raise_epoch OR (r.newer AND NOT i.active AND t.status = 'active') "
    "THEN 1 ELSE 0 END AS epoch "
    "FROM i JOIN segue.subject AS t USING (realm, bucket, subject), "
    "LATERAL (SELECT i.source_version >= t.source_version "
    "AND coalesce(i.if_version, t.source_version) = t.source_version AS newer) AS r), "
    "d AS MATERIALIZED (SELECT n.*, (n.status, n.epoch, n.roles, n.permissions, n.attributes) "
    "IS DISTINCT FROM (n.old_status, n.old_epoch, n.old_roles, n.old_permissions, "
    "n.old_attributes) AS differs FROM n), "
    "u AS (UPDATE segue.subject AS t SET status = d.status, epoch = d.epoch, roles = d.roles, "
    "permissions = d.permissions, attributes = d.attributes, "
    "source_version = d.source_version, "
    "updated_at = clock_timestamp() FROM d WHERE t.realm = d.realm AND t.bucket = d.bucket "
    "AND t.subject = d.subject AND (d.differs OR d.source_version <> d.old_version)), "
    "f AS (INSERT INTO segue.revocation (realm, bucket, kind, subject, status, epoch, "
    "source_version, roles, permissions, attributes) SELECT realm, bucket, 'subject', subject, "
    "CASE WHEN locked THEN 'banned' ELSE status END, epoch, source_version, roles, permissions, "
    "attributes FROM d WHERE d.differs AND NOT "
    "(d.old_version = -1 "
    "AND d.epoch = d.old_epoch AND d.status = 'active' AND NOT EXISTS (SELECT FROM segue.session "
    "AS s WHERE s.realm = d.realm AND s.bucket = d.bucket AND s.subject = d.subject "
    "AND s.ended_at IS NULL)) ORDER BY d.ord) "
    "SELECT ord, epoch, status = 'banned' OR locked, source_version, taken FROM d",
    10, 0, false};

enum { CALL_CHANGE = 2 };

struct put_op {
    struct sg_store_op op;
    struct sg_subject_row *rows;
};

static enum sg_use
put_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    const struct sg_subject_row *r = &sg_container_of(op, struct put_op, op)->rows[row];

    if (sg_check_subject(r->subject, err) == SG_REFUSE_ROW)
        return SG_REFUSE_ROW;
    if (sg_null_if_empty(r->subject) == NULL) {
        (void)sg_fail(err, SG_E_INVALID, "store", "expected a subject, not an empty one");
        return SG_REFUSE_ROW;
    }
    return sg_entry_of(entry, r->realm, r->bucket, r->subject, strlen(r->subject), err);
}

static void
put_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    struct sg_subject_row *rows = sg_container_of(op, struct put_op, op)->rows;
    bool raise;
    int g, k;

    for (g = part->from; g < part->to; g++) {
        const struct sg_subject_row *r = &rows[sg_group_row(op, g)];

        sg_part_place(part, columns, g);
        sg_column_text(columns, 2, r->subject);
        sg_column_bool(columns, 3, r->active);
        sg_column_text(columns, 4, r->roles != NULL ? r->roles : "{}");
        sg_column_text(columns, 5, r->permissions != NULL ? r->permissions : "{}");
        sg_column_int(columns, 6, r->source_version);
        for (raise = false, k = op->group[g]; k < op->group[g + 1]; k++)
            raise |= rows[op->entries[k].row].raise_epoch;
        sg_column_bool(columns, 7, raise);
        sg_column_text(columns, 8, r->attributes != NULL ? r->attributes : "{}");
        if (r->guarded)
            sg_column_int(columns, 9, r->if_version);
        else
            sg_column_null(columns, 9);
    }
    sg_part_fence(part, columns, 1);
    sg_part_call(part, &st_lock, columns, NULL);
    sg_part_call(part, &st_change, columns, NULL);
}

static void
put_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_subject_row *rows = sg_container_of(op, struct put_op, op)->rows;
    const struct sg_entry *e;
    int i, n;

    for (i = 0; i < sg_pg_rows(&part->batch, CALL_CHANGE); i++)
        for (n = sg_part_rows_of(part, CALL_CHANGE, i, &e); n > 0; n--, e++) {
            struct sg_subject_row *r = &rows[e->row];

            r->epoch = (int)sg_pg_int(&part->batch, CALL_CHANGE, i, 1, 0);
            r->banned = sg_read_bool(part, CALL_CHANGE, i, 2);
            r->stored_version = sg_pg_int(&part->batch, CALL_CHANGE, i, 3, -1);
            r->taken = sg_read_bool(part, CALL_CHANGE, i, 4);
        }
}

void
sg_store_put_subjects(struct sg_store *store, struct sg_subject_row *rows, int n,
                      uint64_t deadline_ns, sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {
        .rows_max = SG_STORE_ROWS_MAX, .entry = put_entry, .build = put_build, .take = put_take};
    struct put_op *op = sg_op_new(sizeof *op, store, &phase, n, deadline_ns, done, ctx);

    op->rows = rows;
    sg_op_start(&op->op);
}

/* ---- reading ---- */

static const struct sg_pg_stmt st_get = {
    "store.subjects_get",
    "SELECT i.ord, s.epoch, s.status = 'banned', s.source_version, s.roles, s.permissions, "
    "s.attributes, s.locked FROM unnest($1::text[], $2::int[], $3::text[]) WITH ORDINALITY "
    "AS i(realm, bucket, subject, ord) JOIN segue.subject AS s USING (realm, bucket, subject)",
    3, 0, false};

struct get_op {
    struct sg_store_op op;
    struct sg_subject_read *rows;
};

static enum sg_use
get_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    const struct sg_subject_read *r = &sg_container_of(op, struct get_op, op)->rows[row];

    if (sg_check_subject(r->subject, err) == SG_REFUSE_ROW)
        return SG_REFUSE_ROW;
    return sg_entry_of(entry, r->realm, r->bucket, r->subject, strlen(r->subject), err);
}

static void
get_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct sg_subject_read *rows = sg_container_of(op, struct get_op, op)->rows;
    int g;

    for (g = part->from; g < part->to; g++) {
        sg_part_place(part, columns, g);
        sg_column_text(columns, 2, rows[sg_group_row(op, g)].subject);
    }
    sg_part_call(part, &st_get, columns, NULL);
}

static void
get_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_subject_read *rows = sg_container_of(op, struct get_op, op)->rows;
    const struct sg_entry *e;
    int i, n;

    for (i = 0; i < sg_pg_rows(&part->batch, 0); i++)
        for (n = sg_part_rows_of(part, 0, i, &e); n > 0; n--, e++) {
            struct sg_subject_read *r = &rows[e->row];

            r->locked = sg_read_bool(part, 0, i, 7);
            r->found = sg_pg_int(&part->batch, 0, i, 3, -1) >= 0;
            if (!r->found)
                continue;
            r->epoch = (int)sg_pg_int(&part->batch, 0, i, 1, 0);
            r->banned = sg_read_bool(part, 0, i, 2);
            r->source_version = sg_pg_int(&part->batch, 0, i, 3, -1);
            r->roles = sg_read_text(part, 0, i, 4);
            r->permissions = sg_read_text(part, 0, i, 5);
            r->attributes = sg_read_text(part, 0, i, 6);
        }
}

void
sg_store_get_subjects(struct sg_store *store, struct sg_subject_read *rows, int n,
                      uint64_t deadline_ns, sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {
        .rows_max = SG_STORE_ROWS_MAX, .entry = get_entry, .build = get_build, .take = get_take};
    struct get_op *op = sg_op_new(sizeof *op, store, &phase, n, deadline_ns, done, ctx);
    int i;

    op->rows = rows;
    for (i = 0; i < n; i++)
        rows[i] = (struct sg_subject_read){
            .realm = rows[i].realm, .bucket = rows[i].bucket, .subject = rows[i].subject};
    sg_op_start(&op->op);
}

void
sg_subject_read_clear(struct sg_subject_read *row)
{
    sg_buf_free(&row->roles);
    sg_buf_free(&row->permissions);
    sg_buf_free(&row->attributes);
}
