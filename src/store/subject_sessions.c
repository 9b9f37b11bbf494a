/* SPDX-License-Identifier: MIT */
#include "store/subject_sessions.h"

#include "store/op.h"

/* ---- showing ---- */

static const struct sg_pg_stmt st_page = {
    "store.sessions_page",
    "SELECT sid, client_id, origin = 'segue', segue.unix_ms(created_at), "
    "segue.unix_ms(last_seen_at), segue.unix_us(created_at), "
    "segue.unix_ms(segue.life_end(exp_source, exp_segue, exp_absolute)) FROM segue.session "
    "WHERE realm = $1 AND bucket = $2::int AND subject = $3 AND ended_at IS NULL "
    "AND coalesce(segue.life_end(exp_source, exp_segue, exp_absolute) > clock_timestamp(), true) "
    "AND (segue.unix_us(created_at), sid) < ($4::bigint, $5::bytea) "
    "ORDER BY segue.unix_us(created_at) DESC, sid DESC LIMIT $6::int",
    6, 0, false};

struct page_op {
    struct sg_store_op op;
    struct sg_sessions_page *page;
};

static enum sg_use
page_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    const struct sg_sessions_page *p = sg_container_of(op, struct page_op, op)->page;

    (void)row;
    return sg_entry_of(entry, p->realm, p->bucket, p->subject, strlen(p->subject), err);
}

static void
page_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct sg_sessions_page *p = sg_container_of(op, struct page_op, op)->page;

    sg_column_value(columns, 0, sg_str(p->realm));
    sg_column_int_value(columns, 1, p->bucket);
    sg_column_value(columns, 2, sg_str(p->subject));
    sg_column_int_value(columns, 3, p->before_us);
    sg_column_bytes_value(columns, 4, p->before_sid, sizeof p->before_sid);
    sg_column_int_value(columns, 5, p->limit + 1); /* one more tells whether there are more */
    sg_part_call(part, &st_page, columns, NULL);
}

static void
page_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_sessions_page *p = sg_container_of(op, struct page_op, op)->page;
    const struct sg_pg_batch *b = &part->batch;
    int n = sg_pg_rows(b, 0);

    p->more = n > p->limit;
    for (p->n_rows = 0; p->n_rows < n && p->n_rows < p->limit; p->n_rows++) {
        struct sg_session_seen *s = &p->rows[p->n_rows];

        sg_read_bytes(part, 0, p->n_rows, 0, s->sid, sizeof s->sid);
        sg_read_string(part, 0, p->n_rows, 1, s->client_id, sizeof s->client_id);
        s->segue_born = sg_read_bool(part, 0, p->n_rows, 2);
        s->created_ms = sg_pg_int(b, 0, p->n_rows, 3, 0);
        s->last_seen_ms = sg_pg_int(b, 0, p->n_rows, 4, 0);
        s->created_us = sg_pg_int(b, 0, p->n_rows, 5, 0);
        s->expires_ms = sg_pg_int(b, 0, p->n_rows, 6, INT64_MAX);
    }
}

void
sg_store_page_sessions(struct sg_store *store, struct sg_sessions_page *page, uint64_t deadline_ns,
                       sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {
        .rows_max = 1, .entry = page_entry, .build = page_build, .take = page_take};
    struct page_op *o = sg_op_new(sizeof *o, store, &phase, 1, deadline_ns, done, ctx);

    o->page = page;
    page->n_rows = 0;
    page->more = false;
    if (page->limit < 1 || page->limit > SG_SESSION_PAGE_MAX)
        sg_op_fail(&o->op, SG_E_INVALID, "store", "a page of sessions has 1 to 200 rows");
    sg_op_start(&o->op);
}

/* ---- ending all ---- */

/* The bucket's lock exclusively: who stores a session of this subject meanwhile has committed, and
 * is seen, or comes after, and sees the epoch. Then the ownership, as any writer. */
static const struct sg_pg_stmt st_alone = {"store.fence_alone", "SELECT segue.fence_alone($1::int)",
                                           1, 0, false};

static const struct sg_pg_stmt st_raise = {
    "store.subject_raise",
    "WITH s AS (INSERT INTO segue.subject AS t (realm, bucket, subject, epoch, logout_at, locked) "
    "VALUES ($1, $2::int, $3, $4::boolean::int, CASE WHEN $4::boolean THEN clock_timestamp() END, "
    "coalesce(nullif($5, '')::boolean, false)) "
    "ON CONFLICT (realm, bucket, subject) DO UPDATE SET epoch = t.epoch + EXCLUDED.epoch, "
    "logout_at = coalesce(EXCLUDED.logout_at, t.logout_at), "
    "locked = coalesce(nullif($5, '')::boolean, t.locked), updated_at = clock_timestamp() "
    "RETURNING *), "
    "f AS (INSERT INTO segue.revocation (realm, bucket, kind, subject, status, epoch, "
    "source_version, roles, permissions, attributes) SELECT realm, bucket, 'subject', subject, "
    "CASE WHEN locked THEN 'banned' ELSE status END, epoch, source_version, roles, permissions, "
    "attributes FROM s) SELECT epoch FROM s",
    5, 0, false};

static const struct sg_pg_stmt st_end = {
    "store.subject_end",
    "WITH i AS MATERIALIZED (SELECT realm, bucket, sid FROM segue.session WHERE realm = $1 "
    "AND bucket = $2::int AND subject = $3 AND ended_at IS NULL ORDER BY sid LIMIT $4::int), "
    "w AS (UPDATE segue.session AS s SET ended_at = clock_timestamp(), end_reason = $5, "
    "held_at = NULL, version = s.version + 1 FROM i WHERE s.realm = i.realm "
    "AND s.bucket = i.bucket AND s.sid = i.sid RETURNING s.*), "
    "f AS (INSERT INTO segue.revocation (realm, bucket, kind, sid) "
    "SELECT realm, bucket, 'session', sid FROM w), "
    "r AS (UPDATE segue.refresh_token AS t SET state = 'ended' FROM w WHERE t.realm = w.realm "
    "AND t.bucket = w.bucket AND t.sid = w.sid AND t.state <> 'ended'), "
    "o AS (INSERT INTO segue.outbox (realm, bucket, sid, version) "
    "SELECT realm, bucket, sid, version FROM w WHERE $6::boolean AND handle IS NOT NULL "
    "ON CONFLICT (realm, bucket, sid) DO UPDATE SET version = EXCLUDED.version) "
    "SELECT sid, store_digest, handle FROM w",
    6, 0, false};

enum { CALL_RAISE = 1, CALL_END = 2 };

struct end_op {
    struct sg_store_op op;
    struct sg_subject_end *end;
};

static enum sg_use
end_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    const struct sg_subject_end *e = sg_container_of(op, struct end_op, op)->end;

    (void)row;
    if (sg_null_if_empty(e->subject) == NULL || sg_check_subject(e->subject, err) == SG_REFUSE_ROW)
        return SG_REFUSE_ROW;
    return sg_entry_of(entry, e->realm, e->bucket, e->subject, strlen(e->subject), err);
}

static void
end_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct sg_subject_end *e = sg_container_of(op, struct end_op, op)->end;
    bool ends = e->lock != SG_LOCK_CLEAR;
    struct sg_slice lock = {0};

    sg_column_value(columns, 0, sg_str(e->realm));
    sg_column_int_value(columns, 1, e->bucket);
    sg_column_value(columns, 2, sg_str(e->subject));
    sg_column_value(columns, 3, sg_str(!e->again && ends ? "t" : "f"));
    if (e->lock != SG_LOCK_KEEP)
        lock = sg_str(e->lock == SG_LOCK_SET ? "t" : "f");
    sg_column_value(columns, 4, lock);
    sg_column_int_value(columns, 5, ends ? SG_SESSION_PAGE_MAX : 0);
    sg_column_value(columns, 6, sg_str(e->reason));
    sg_column_value(columns, 7, sg_str(e->mirror ? "t" : "f"));
    sg_part_call(part, &st_alone, columns, (const uint8_t[]){1});
    sg_part_call(part, &st_raise, columns, NULL);
    sg_part_call(part, &st_end, columns, (const uint8_t[]){0, 1, 2, 5, 6, 7});
}

static void
end_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_subject_end *e = sg_container_of(op, struct end_op, op)->end;
    int n = sg_pg_rows(&part->batch, CALL_END);

    e->epoch = (int)sg_pg_int(&part->batch, CALL_RAISE, 0, 0, 0);
    e->more = n == SG_SESSION_PAGE_MAX;
    for (e->n_rows = 0; e->n_rows < n; e->n_rows++) {
        struct sg_ended_session *s = &e->rows[e->n_rows];

        sg_read_bytes(part, CALL_END, e->n_rows, 0, s->sid, sizeof s->sid);
        s->has_digest = sg_pg_value(&part->batch, CALL_END, e->n_rows, 1).ptr != NULL;
        sg_read_bytes(part, CALL_END, e->n_rows, 1, s->digest, sizeof s->digest);
        s->handle = sg_read_bytea(part, CALL_END, e->n_rows, 2);
    }
}

void
sg_store_end_subject(struct sg_store *store, struct sg_subject_end *end, uint64_t deadline_ns,
                     sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {
        .rows_max = 1, .entry = end_entry, .build = end_build, .take = end_take};
    struct end_op *o = sg_op_new(sizeof *o, store, &phase, 1, deadline_ns, done, ctx);

    o->end = end;
    end->n_rows = 0;
    end->more = false;
    sg_op_start(&o->op);
}

void
sg_subject_end_clear(struct sg_subject_end *end)
{
    int i;

    for (i = 0; i < end->n_rows; i++)
        sg_buf_free(&end->rows[i].handle);
    end->n_rows = 0;
}
