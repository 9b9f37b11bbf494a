/* SPDX-License-Identifier: MIT */
#include "store/op.h"

#include <stdlib.h>

/* Reconciling: live sessions that the source was last known to hold before a moment. There is no
 * index on when that was, which would make every sight of a session write to it; so the poll walks
 * the realm's rows in key order, some thousands a statement, until it has enough of them.
 *
 * Left out: sessions that the source never held (their record is still to be mirrored), those whose
 * mirror is not confirmed, and those whose time is over (their absence says nothing). */
static const struct sg_pg_stmt st_page = {
    "store.unseen_page",
    "SELECT bucket, sid, subject, generation, store_digest, segue.ms_until(ends_at), "
    "-segue.ms_until(source_seen_at), held_at IS NOT NULL, handle, unseen, scanned, "
    "segue.ms_until(exp_source), idle_ms "
    "FROM (SELECT p.*, lead(true) OVER w IS NULL AS last, count(*) OVER () AS scanned, "
    "p.ended_at IS NULL AND p.store_digest IS NOT NULL "
    "AND p.source_seen_at < clock_timestamp() - $4::bigint * interval '1 millisecond' "
    "AND coalesce(p.ends_at > clock_timestamp(), true) "
    "AND NOT EXISTS (SELECT FROM segue.outbox AS o WHERE o.realm = $1 AND o.bucket = p.bucket "
    "AND o.sid = p.sid) AS unseen "
    "FROM (SELECT bucket, sid, subject, generation, store_digest, source_seen_at, held_at, "
    "ended_at, handle, exp_source, idle_ms, segue.life_end(exp_source, exp_segue, exp_absolute) AS "
    "ends_at "
    "FROM segue.session WHERE realm = $1 AND (bucket, sid) > ($2::int, $3::bytea) "
    "ORDER BY bucket, sid LIMIT 4000) AS p WINDOW w AS (ORDER BY p.bucket, p.sid)) AS q "
    "WHERE unseen OR last ORDER BY bucket, sid",
    4, 0, false};

#define PAGE_ROWS 4000

struct poll_op {
    struct sg_store_op op;
    struct sg_unseen_poll *poll;
};

static void
page_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct sg_unseen_poll *poll = sg_container_of(op, struct poll_op, op)->poll;

    sg_column_value(columns, 0, sg_str(poll->realm));
    sg_column_int_value(columns, 1, poll->after_bucket);
    sg_column_bytes_value(columns, 2, poll->after_sid, sizeof poll->after_sid);
    sg_column_int_value(columns, 3, poll->unseen_for_at_least_ms);
    sg_part_call(part, &st_page, columns, NULL);
}

static void
read_row(const struct sg_part *part, int i, struct sg_unseen_row *r)
{
    const struct sg_pg_batch *b = &part->batch;

    r->bucket = (int)sg_pg_int(b, 0, i, 0, 0);
    sg_read_bytes(part, 0, i, 1, r->sid, sizeof r->sid);
    sg_read_string(part, 0, i, 2, r->subject, sizeof r->subject);
    r->generation = (int)sg_pg_int(b, 0, i, 3, 0);
    sg_read_bytes(part, 0, i, 4, r->store_digest, sizeof r->store_digest);
    r->expires_in_ms = sg_pg_int(b, 0, i, 5, INT64_MAX);
    r->unseen_for_ms = sg_pg_int(b, 0, i, 6, 0);
    r->held = sg_read_bool(part, 0, i, 7);
    r->handle = sg_read_bytea(part, 0, i, 8);
    r->exp_source_in_ms = sg_pg_int(b, 0, i, 11, INT64_MIN);
    r->idle_ms = sg_pg_int(b, 0, i, 12, 0);
}

static void
page_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_unseen_poll *poll = sg_container_of(op, struct poll_op, op)->poll;
    const struct sg_pg_batch *b = &part->batch;
    int rows = sg_pg_rows(b, 0), i;

    for (i = 0; i < rows && poll->n_rows < poll->limit; i++) {
        poll->after_bucket = (int)sg_pg_int(b, 0, i, 0, 0);
        sg_read_bytes(part, 0, i, 1, poll->after_sid, sizeof poll->after_sid);
        if (sg_read_bool(part, 0, i, 9))
            read_row(part, i, &poll->rows[poll->n_rows++]);
    }
    op->again = poll->n_rows < poll->limit && rows > 0 && sg_pg_int(b, 0, 0, 10, 0) == PAGE_ROWS;
}

void
sg_store_poll_unseen(struct sg_store *store, struct sg_unseen_poll *poll, uint64_t deadline_ns,
                     sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {.build = page_build, .take = page_take};
    struct poll_op *p = sg_op_new(sizeof *p, store, &phase, 0, deadline_ns, done, ctx);

    p->poll = poll;
    p->op.only_shard = poll->shard;
    poll->n_rows = 0;
    poll->rows = NULL;
    if (poll->limit < 1 || poll->limit > SG_STORE_ROWS_MAX)
        sg_op_fail(&p->op, SG_E_LIMIT, "store", "the limit of a poll is out of its range");
    else if ((poll->rows = calloc((size_t)poll->limit, sizeof *poll->rows)) == NULL)
        sg_op_fail(&p->op, SG_E_INTERNAL, "store", "out of memory");
    sg_op_start(&p->op);
}

void
sg_unseen_clear(struct sg_unseen_poll *poll)
{
    int i;

    for (i = 0; i < poll->n_rows; i++)
        sg_buf_free(&poll->rows[i].handle);
    free(poll->rows);
    poll->rows = NULL;
    poll->n_rows = 0;
}
