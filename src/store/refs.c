/* SPDX-License-Identifier: MIT */
#include "store/op.h"

/* token_ref: from a store key's digest to the session's subject and generation. */

#define REFS                                                                                       \
    "unnest($1::text[], $2::int[], $3::bytea[], $4::text[], $5::boolean[]) WITH ORDINALITY "       \
    "AS i(realm, bucket, digest, subject, reuses_ids, ord)"

/* A row that is there is locked and left as it is: nobody else changes it until the end of the
 * transaction. One pass in key order over new and old rows, or two batches could each hold what the
 * other wants. */
static const struct sg_pg_stmt st_lock = {
    "store.refs_lock",
    "INSERT INTO segue.token_ref AS t (realm, bucket, digest, subject) "
    "SELECT realm, bucket, digest, subject FROM " REFS " ORDER BY ord "
    "ON CONFLICT (realm, bucket, digest) DO UPDATE SET subject = t.subject WHERE false",
    5, 0, false};

static const struct sg_pg_stmt st_before = {
    "store.refs_before",
    "SELECT i.ord, t.subject, t.generation, t.ended_at IS NOT NULL, "
    "t.ended_at IS NULL AND t.subject IS DISTINCT FROM i.subject "
    "FROM " REFS " JOIN segue.token_ref AS t USING (realm, bucket, digest)",
    5, 0, false};

/* seen_at only says whether the row is still in use: an hour's grain spares most writes. */
static const struct sg_pg_stmt st_change = {
    "store.refs_change",
    "UPDATE segue.token_ref AS t SET seen_at = clock_timestamp(), ended_at = NULL, "
    "end_reason = NULL, subject = i.subject, generation = t.generation + CASE WHEN t.ended_at IS "
    "NOT NULL OR t.subject IS DISTINCT FROM i.subject THEN 1 ELSE 0 END "
    "FROM " REFS " WHERE t.realm = i.realm AND t.bucket = i.bucket AND t.digest = i.digest "
    "AND CASE WHEN t.ended_at IS NOT NULL THEN i.reuses_ids ELSE "
    "t.subject IS DISTINCT FROM i.subject OR t.seen_at < clock_timestamp() - interval '1 hour' END "
    "RETURNING i.ord, t.generation",
    5, 0, false};

struct put_op {
    struct sg_store_op op;
    struct sg_ref_row *rows;
};

static enum sg_use
put_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    struct sg_ref_row *r = &sg_container_of(op, struct put_op, op)->rows[row];

    if (sg_check_subject(r->subject, err) == SG_REFUSE_ROW)
        return SG_REFUSE_ROW;
    return sg_entry_of(entry, r->realm, r->bucket, r->digest, sizeof r->digest, err);
}

static void
put_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    struct sg_ref_row *rows = sg_container_of(op, struct put_op, op)->rows;
    int g;

    for (g = part->from; g < part->to; g++) {
        const struct sg_ref_row *r = &rows[sg_group_row(op, g)];

        sg_part_place(part, columns, g);
        sg_column_bytes(columns, 2, r->digest, sizeof r->digest);
        sg_column_text(columns, 3, sg_null_if_empty(r->subject));
        sg_column_bool(columns, 4, r->reuses_ids);
    }
    sg_part_fence(part, columns, 1);
    sg_part_call(part, &st_lock, columns, NULL);
    sg_part_call(part, &st_before, columns, NULL);
    sg_part_call(part, &st_change, columns, NULL);
}

static void
put_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_ref_row *rows = sg_container_of(op, struct put_op, op)->rows;
    const struct sg_entry *e;
    int i, n;

    for (i = 0; i < sg_pg_rows(&part->batch, 2); i++)
        for (n = sg_part_rows_of(part, 2, i, &e); n > 0; n--, e++) {
            struct sg_ref_row *r = &rows[e->row];

            r->generation = (int)sg_pg_int(&part->batch, 2, i, 2, 0);
            r->ended = sg_read_bool(part, 2, i, 3) && !r->reuses_ids;
            r->previous_subject[0] = '\0';
            r->previous_generation = sg_read_bool(part, 2, i, 4) ? r->generation : -1;
            if (r->previous_generation >= 0)
                sg_read_string(part, 2, i, 1, r->previous_subject, sizeof r->previous_subject);
        }
    for (i = 0; i < sg_pg_rows(&part->batch, 3); i++)
        for (n = sg_part_rows_of(part, 3, i, &e); n > 0; n--, e++)
            rows[e->row].generation = (int)sg_pg_int(&part->batch, 3, i, 1, 0);
}

void
sg_store_put_refs(struct sg_store *store, struct sg_ref_row *rows, int n, uint64_t deadline_ns,
                  sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {
        .rows_max = SG_STORE_ROWS_MAX, .entry = put_entry, .build = put_build, .take = put_take};
    struct put_op *op = sg_op_new(sizeof *op, store, &phase, n, deadline_ns, done, ctx);

    op->rows = rows;
    sg_op_start(&op->op);
}

/* ---- reading ---- */

static const struct sg_pg_stmt st_read = {
    "store.refs_read",
    "SELECT i.ord, t.subject, t.generation, t.ended_at IS NOT NULL "
    "FROM unnest($1::text[], $2::int[], $3::bytea[]) WITH ORDINALITY "
    "AS i(realm, bucket, digest, ord) JOIN segue.token_ref AS t USING (realm, bucket, digest)",
    3, 0, false};

struct get_op {
    struct sg_store_op op;
    struct sg_ref_read *rows;
};

static enum sg_use
get_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    struct sg_ref_read *r = &sg_container_of(op, struct get_op, op)->rows[row];

    return sg_entry_of(entry, r->realm, r->bucket, r->digest, sizeof r->digest, err);
}

static void
get_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    struct sg_ref_read *rows = sg_container_of(op, struct get_op, op)->rows;
    int g;

    for (g = part->from; g < part->to; g++) {
        sg_part_place(part, columns, g);
        sg_column_bytes(columns, 2, rows[sg_group_row(op, g)].digest, SG_DIGEST_BYTES);
    }
    sg_part_call(part, &st_read, columns, NULL);
}

static void
get_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_ref_read *rows = sg_container_of(op, struct get_op, op)->rows;
    const struct sg_entry *e;
    int i, n;

    for (i = 0; i < sg_pg_rows(&part->batch, 0); i++)
        for (n = sg_part_rows_of(part, 0, i, &e); n > 0; n--, e++) {
            struct sg_ref_read *r = &rows[e->row];

            r->found = true;
            r->ended = sg_read_bool(part, 0, i, 3);
            r->generation = (int)sg_pg_int(&part->batch, 0, i, 2, 0);
            sg_read_string(part, 0, i, 1, r->subject, sizeof r->subject);
        }
}

void
sg_store_get_refs(struct sg_store *store, struct sg_ref_read *rows, int n, uint64_t deadline_ns,
                  sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {
        .rows_max = SG_STORE_ROWS_MAX, .entry = get_entry, .build = get_build, .take = get_take};
    struct get_op *op = sg_op_new(sizeof *op, store, &phase, n, deadline_ns, done, ctx);
    int i;

    op->rows = rows;
    for (i = 0; i < n; i++) {
        rows[i].found = rows[i].ended = false;
        rows[i].subject[0] = '\0';
        rows[i].generation = 0;
    }
    sg_op_start(&op->op);
}
