/* SPDX-License-Identifier: MIT */
#include "store/op.h"

#include <stdlib.h>

/* What the mirror has to carry to the legacy store: ends first, so that held sessions do not keep
 * them waiting; then the longest waiting. */
static const struct sg_pg_stmt st_poll = {
    "store.outbox_poll",
    "SELECT o.bucket, o.sid, o.version, s.ended_at IS NOT NULL, -segue.ms_until(s.ended_at), "
    "segue.ms_until(segue.life_end(s.exp_source, s.exp_segue, s.exp_absolute)), s.idle_ms, "
    "s.handle, s.record, segue.ms_until(s.exp_source), s.held_at IS NOT NULL "
    "FROM segue.outbox AS o JOIN segue.session AS s USING (realm, bucket, sid) "
    "WHERE o.realm = $1 ORDER BY s.ended_at IS NULL, o.at, o.bucket, o.sid LIMIT $2::int",
    2, 0, false};

/* In the order in which puts and ends write here. */
static const struct sg_pg_stmt st_lock = {
    "store.outbox_lock",
    "SELECT 1 FROM segue.outbox AS o JOIN unnest($1::text[], $2::int[], $3::bytea[]) "
    "AS i(realm, bucket, sid) USING (realm, bucket, sid) "
    "ORDER BY o.realm COLLATE \"C\", o.bucket, o.sid FOR UPDATE OF o",
    3, 0, false};

static const struct sg_pg_stmt st_done = {
    "store.outbox_done",
    "DELETE FROM segue.outbox AS o USING unnest($1::text[], $2::int[], $3::bytea[], $4::bigint[]) "
    "AS i(realm, bucket, sid, version) WHERE o.realm = i.realm AND o.bucket = i.bucket "
    "AND o.sid = i.sid AND o.version = i.version",
    4, 0, false};

/* priv of a poll: the bytes that its rows point into. */
struct held {
    int n;
    struct {
        struct sg_buf handle, record;
    } row[];
};

struct poll_op {
    struct sg_store_op op;
    struct sg_outbox_poll *poll;
};

static void
poll_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct sg_outbox_poll *poll = sg_container_of(op, struct poll_op, op)->poll;

    sg_column_value(columns, 0, sg_str(poll->realm));
    sg_column_int_value(columns, 1, poll->limit);
    sg_part_call(part, &st_poll, columns, NULL);
}

static void
poll_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_outbox_poll *poll = sg_container_of(op, struct poll_op, op)->poll;
    const struct sg_pg_batch *b = &part->batch;
    int n = sg_pg_rows(b, 0), i;
    struct held *held;

    if (n == 0)
        return;
    held = calloc(1, sizeof *held + (size_t)n * sizeof held->row[0]);
    poll->rows = calloc((size_t)n, sizeof *poll->rows);
    poll->priv = held;
    if (held == NULL || poll->rows == NULL) {
        sg_op_fail(op, SG_E_INTERNAL, "store", "out of memory");
        return;
    }
    held->n = poll->n_rows = n;
    for (i = 0; i < n; i++) {
        struct sg_outbox_row *r = &poll->rows[i];

        held->row[i].handle = sg_read_bytea(part, 0, i, 7);
        held->row[i].record = sg_read_bytea(part, 0, i, 8);
        r->bucket = (int)sg_pg_int(b, 0, i, 0, 0);
        sg_read_bytes(part, 0, i, 1, r->sid, sizeof r->sid);
        r->version = sg_pg_int(b, 0, i, 2, 0);
        r->ended = sg_read_bool(part, 0, i, 3);
        r->ended_for_ms = sg_pg_int(b, 0, i, 4, -1);
        r->expires_in_ms = sg_pg_int(b, 0, i, 5, INT64_MAX);
        r->idle_ms = sg_pg_int(b, 0, i, 6, 0);
        r->exp_source_in_ms = sg_pg_int(b, 0, i, 9, INT64_MIN);
        r->held = sg_read_bool(part, 0, i, 10);
        r->handle = sg_buf_slice(&held->row[i].handle);
        r->record = sg_buf_slice(&held->row[i].record);
    }
}

void
sg_store_poll_outbox(struct sg_store *store, struct sg_outbox_poll *poll, uint64_t deadline_ns,
                     sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {.build = poll_build, .take = poll_take};
    struct poll_op *p = sg_op_new(sizeof *p, store, &phase, 0, deadline_ns, done, ctx);

    poll->rows = NULL;
    poll->n_rows = 0;
    poll->priv = NULL;
    p->poll = poll;
    p->op.only_shard = poll->shard;
    if (poll->limit < 1 || poll->limit > SG_STORE_ROWS_MAX)
        sg_op_fail(&p->op, SG_E_LIMIT, "store", "the limit of a poll is out of its range");
    sg_op_start(&p->op);
}

void
sg_outbox_clear(struct sg_outbox_poll *poll)
{
    struct held *held = poll->priv;
    int i;

    for (i = 0; held != NULL && i < held->n; i++) {
        sg_buf_free(&held->row[i].handle);
        sg_buf_free(&held->row[i].record);
    }
    free(held);
    free(poll->rows);
    poll->rows = NULL;
    poll->priv = NULL;
    poll->n_rows = 0;
}

/* ---- done ---- */

struct done_op {
    struct sg_store_op op;
    const char *realm;
    const struct sg_outbox_row *rows;
};

static void
done_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct done_op *d = sg_container_of(op, struct done_op, op);
    int i;

    for (i = 0; i < op->n_rows; i++) {
        sg_column_text(columns, 0, d->realm);
        sg_column_int(columns, 1, d->rows[i].bucket);
        sg_column_bytes(columns, 2, d->rows[i].sid, sizeof d->rows[i].sid);
        sg_column_int(columns, 3, d->rows[i].version);
    }
    sg_part_fence(part, columns, 1);
    sg_part_call(part, &st_lock, columns, NULL);
    sg_part_call(part, &st_done, columns, NULL);
}

static void
done_take(struct sg_store_op *op, struct sg_part *part)
{
}

void
sg_store_outbox_done(struct sg_store *store, int shard, const char *realm,
                     const struct sg_outbox_row *rows, int n, uint64_t deadline_ns,
                     sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {.build = done_build, .take = done_take};
    struct done_op *d = sg_op_new(sizeof *d, store, &phase, n, deadline_ns, done, ctx);

    d->realm = realm;
    d->rows = rows;
    d->op.only_shard = shard;
    if (n < 0 || n > SG_STORE_ROWS_MAX)
        sg_op_fail(&d->op, SG_E_LIMIT, "store", "too many rows in one call");
    sg_op_start(&d->op);
}
