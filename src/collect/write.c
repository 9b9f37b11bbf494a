/* SPDX-License-Identifier: MIT */
/* A batch into a shard: rows, rejects and the ledger row in one transaction. */
#include "base/fault.h"
#include "collect/statements.h"
#include "collect/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SQL_BYTES_MAX (4 << 20)
#define SEND_BYTES 65536
#define SEND_BYTES_MAX (SG_BATCH_ROWS_MAX + SEND_BYTES)

struct writing {
    struct sg_target *t;
    struct sg_lane *l;
    int shard;
    const struct sg_batch *b;
    struct sg_write *w;
    struct sg_batch late; /* rejects of rows that the database refused */
};

/* ---- rows ---- */

/* One table's rows of records [from, to). */
static int
copy_table(struct writing *g, int table, int from, int to, struct sg_err *err)
{
    struct sg_buf sql = SG_BUF_INIT(SQL_BYTES_MAX), bytes = SG_BUF_INIT(SEND_BYTES_MAX);
    struct sg_slice tuple;
    int i, of, rc;

    sg_collect_copy_in(g->t->m, table, g->w->merge, &sql);
    rc = sg_lane_copy_begin(g->l, sql.ptr, err);
    sg_buf_free(&sql);
    if (rc != 0)
        return -1;
    sg_model_copy_header(&bytes);
    for (i = from; i < to && rc == 0; i++) {
        const struct sg_batch_record *r = &g->b->records[i];
        size_t at = r->dropped ? r->rows_end : r->rows_at;

        while (rc == 0 && sg_batch_next(g->b, &at, r->rows_end, &of, &tuple)) {
            if (of != table)
                continue;
            sg_buf_add(&bytes, tuple);
            if (bytes.len < SEND_BYTES)
                continue;
            rc = sg_lane_copy_put(g->l, sg_buf_slice(&bytes), err);
            sg_buf_reset(&bytes);
        }
    }
    sg_model_copy_trailer(&bytes);
    if (rc == 0)
        rc = sg_lane_copy_put(g->l, sg_buf_slice(&bytes), err);
    sg_buf_free(&bytes);
    return rc != 0 ? -1 : sg_lane_copy_end(g->l, err);
}

static int
write_records(struct writing *g, int from, int to, struct sg_err *err)
{
    const struct sg_mapping *m = g->t->m;
    struct sg_buf sql = SG_BUF_INIT(SQL_BYTES_MAX);
    int i, root = g->w->root, rc = 0;

    if (from == to)
        return 0;
    for (i = root; i < m->n_tables && m->tables[i].root == root && rc == 0; i++)
        rc = copy_table(g, i, from, to, err);
    if (rc != 0 || !g->w->merge)
        return rc;
    sg_collect_merge(m, root, g->w->force, &sql);
    rc = sg_lane_run(g->l, sql.ptr, err);
    sg_buf_reset(&sql);
    sg_collect_stages_clear(m, root, &sql);
    if (rc == 0)
        rc = sg_lane_run(g->l, sql.ptr, err);
    sg_buf_free(&sql);
    return rc;
}

/* Whether a row is to blame, and not the server. */
static bool
refused(const struct writing *g)
{
    return strncmp(g->l->sqlstate, "22", 2) == 0 || strncmp(g->l->sqlstate, "23", 2) == 0 ||
           strcmp(g->l->sqlstate, "54000") == 0;
}

static int
reject_record(struct writing *g, const struct sg_batch_record *r, const struct sg_err *why,
              struct sg_err *err)
{
    const struct sg_mapping *m = g->t->m;
    struct sg_slice key = sg_slice(g->b->keys.ptr + r->key_at, r->key_len), tuple;
    struct sg_model_row *rows = NULL;
    struct sg_buf json = SG_BUF_INIT(SG_DOC_BYTES_MAX);
    struct sg_arena *arena = NULL;
    struct sg_doc doc;
    struct sg_err ignored;
    size_t at = r->rows_at;
    int n = 0, of, i, rc;

    while (sg_batch_next(g->b, &at, r->rows_end, &of, &tuple))
        n++;
    rows = calloc((size_t)n, sizeof *rows);
    if (rows == NULL || sg_arena_new(SG_DOC_BYTES_MAX * 4, &arena, err) != 0) {
        free(rows);
        return rows == NULL ? sg_fail(err, SG_E_INTERNAL, "reject", "out of memory") : -1;
    }
    for (i = 0, at = r->rows_at; sg_batch_next(g->b, &at, r->rows_end, &of, &tuple); i++) {
        struct sg_model_physical p[SG_MODEL_PHYSICAL_MAX];
        int columns = sg_mapping_physical(m, of, p);

        rows[i] = (struct sg_model_row){
            .table = of,
            .n = columns,
            .values = sg_arena_alloc(arena, (size_t)columns * sizeof(struct sg_slice))};
        if (rows[i].values == NULL || sg_tuple_split(tuple, rows[i].values, columns) != columns)
            break;
    }
    /* what the rows say of the value; without it the key is kept */
    if (i < n || sg_model_restore(m, rows, n, arena, &doc, &ignored) != 0 ||
        sg_doc_to_json(&doc, &json, &ignored) != 0)
        sg_buf_reset(&json);
    rc = sg_target_reject(g->t, r->root, key, json.len > 0 ? sg_buf_slice(&json) : sg_str(NULL),
                          r->bucket, "constraint", why->text, &g->late, err);
    sg_buf_free(&json);
    sg_arena_free(arena);
    free(rows);
    return rc;
}

/* Halves what is refused until the records to blame stand alone. */
static int
write_bisecting(struct writing *g, int from, int to, struct sg_err *err)
{
    int middle = from + (to - from) / 2;
    struct sg_err why;

    if (sg_lane_run(g->l, "SAVEPOINT half", err) != 0)
        return -1;
    if (write_records(g, from, to, &why) == 0)
        return sg_lane_run(g->l, "RELEASE half", err);
    if (!refused(g)) {
        *err = why;
        return -1;
    }
    if (sg_lane_run(g->l, "ROLLBACK TO half; RELEASE half", err) != 0)
        return -1;
    if (to - from == 1)
        return reject_record(g, &g->b->records[from], &why, err);
    return write_bisecting(g, from, middle, err) != 0 ? -1 : write_bisecting(g, middle, to, err);
}

/* ---- rejects and the ledger ---- */

static int
write_reject(struct writing *g, const struct sg_batch *b, const struct sg_batch_reject *r,
             struct sg_err *err)
{
    static const char sql[] =
        "INSERT INTO segue.reject (realm, bucket, key_digest, key_sealed, reason, place, "
        "value_sealed, job) VALUES ($1, $2::int, $3, $4, $5, $6, $7, $8::bigint) ON CONFLICT "
        "(realm, bucket, key_digest) DO UPDATE SET key_sealed = excluded.key_sealed, reason = "
        "excluded.reason, place = excluded.place, value_sealed = excluded.value_sealed, job = "
        "excluded.job, at = clock_timestamp(), resolved_at = NULL";
    char realm[128], bucket[16], job[24];
    const char *values[] = {realm,
                            bucket,
                            (const char *)r->digest.b,
                            b->sealed.ptr + r->key_at,
                            r->reason,
                            r->place,
                            r->value_len > 0 ? b->sealed.ptr + r->value_at : NULL,
                            job};
    const int lengths[] = {0, 0, sizeof r->digest.b, (int)r->key_len, 0, 0, (int)r->value_len, 0};
    const int formats[] = {0, 0, 1, 1, 0, 0, 1, 0};
    const Oid types[] = {25, 25, 17, 17, 25, 25, 17, 25};
    PGresult *result;
    int rc;

    sg_target_realm(g->t->m, g->w->root, realm);
    snprintf(bucket, sizeof bucket, "%d", r->bucket);
    snprintf(job, sizeof job, "%" PRId64, g->w->job);
    result = PQexecParams(g->l->conn, sql, 8, types, values, lengths, formats, 0);
    rc = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : sg_lane_failed(g->l, result, err);
    PQclear(result);
    return rc;
}

static int
write_rejects(struct writing *g, const struct sg_batch *b, struct sg_err *err)
{
    int i;

    for (i = 0; i < b->n_rejects; i++)
        if (write_reject(g, b, &b->rejects[i], err) != 0)
            return -1;
    return 0;
}

static int
write_ledger(struct writing *g, struct sg_err *err)
{
    struct sg_write *w = g->w;
    char realm[128], job[24], chunk[24], stored[16], rejected[16];

    w->rejected = g->b->n_rejects + g->late.n_rejects;
    w->stored = g->b->n_records - g->late.n_rejects;
    if (w->job == 0)
        return 0;
    sg_target_realm(g->t->m, w->root, realm);
    snprintf(job, sizeof job, "%" PRId64, w->job);
    snprintf(chunk, sizeof chunk, "%" PRId64, w->chunk);
    snprintf(stored, sizeof stored, "%d", w->stored);
    snprintf(rejected, sizeof rejected, "%d", w->rejected);
    return sg_lane_ask(
        g->l,
        "INSERT INTO segue.transfer_ledger (realm, job, chunk, stored, rejected, anonymous) "
        "VALUES ($1, $2::bigint, $3::bigint, $4::int, $5::int, 0) ON CONFLICT (realm, job, chunk) "
        "DO UPDATE SET stored = excluded.stored, rejected = excluded.rejected, at = "
        "clock_timestamp()",
        5, (const char *[]){realm, job, chunk, stored, rejected}, NULL, err);
}

/* ---- the transaction ---- */

/* The owners cannot change until the end (P7); read in a statement after the lock was had. */
static int
begin(struct writing *g, struct sg_err *err)
{
    static const char sql[] =
        "SELECT EXISTS (SELECT FROM unnest($1::int[]) AS b WHERE NOT EXISTS "
        "(SELECT FROM segue.bucket_owner AS o WHERE o.bucket = b AND o.owned))";
    bool seen[SG_BUCKETS] = {false};
    struct sg_buf list = SG_BUF_INIT(SG_BUCKETS * 8);
    PGresult *r;
    int i, rc;

    for (i = 0; i < g->b->n_records; i++)
        seen[g->b->records[i].bucket] = true;
    for (i = 0; i < g->b->n_rejects; i++)
        seen[g->b->rejects[i].bucket] = true;
    sg_buf_puts(&list, "{");
    for (i = 0; i < SG_BUCKETS; i++)
        if (seen[i])
            sg_buf_printf(&list, "%s%d", list.len > 1 ? "," : "", i);
    sg_buf_puts(&list, "}");
    rc = sg_lane_run(g->l, "BEGIN; LOCK TABLE segue.bucket_owner IN SHARE MODE", err);
    if (rc == 0)
        rc = sg_lane_ask(g->l, sql, 1, (const char *[]){list.ptr}, &r, err);
    sg_buf_free(&list);
    if (rc != 0)
        return -1;
    rc = strcmp(PQgetvalue(r, 0, 0), "t") != 0
             ? 0
             : sg_fail(err, SG_E_NOT_OWNER, g->l->place,
                       "a bucket was moved away meanwhile: start again");
    PQclear(r);
    return rc;
}

static int
attempt(struct writing *g, bool bisect, struct sg_err *err)
{
    if (begin(g, err) != 0)
        return -1;
    if ((bisect ? write_bisecting(g, 0, g->b->n_records, err)
                : write_records(g, 0, g->b->n_records, err)) != 0)
        return -1;
    if (write_rejects(g, g->b, err) != 0 || write_rejects(g, &g->late, err) != 0 ||
        write_ledger(g, err) != 0)
        return -1;
    if (sg_fault("collect.before_commit"))
        return sg_fail(err, SG_E_UNAVAILABLE, "fault", "collect.before_commit");
    return sg_lane_run(g->l, "COMMIT", err);
}

static void
roll_back(struct sg_lane *l)
{
    struct sg_err ignored;

    if (PQstatus(l->conn) == CONNECTION_OK && sg_lane_run(l, "ROLLBACK", &ignored) != 0)
        sg_lane_close(l);
}

int
sg_target_write(struct sg_target *t, int shard, const struct sg_batch *b, struct sg_write *w,
                struct sg_err *err)
{
    struct writing g = {.t = t, .l = &t->shards[shard], .shard = shard, .b = b, .w = w};
    struct sg_buf sql = SG_BUF_INIT(SQL_BYTES_MAX);
    int rc = 0;

    sg_batch_init(&g.late);
    g.l->sqlstate[0] = '\0';
    if (w->merge) { /* a connection makes each stage once */
        sg_collect_stages(t->m, w->root, &sql);
        rc = sg_lane_run(g.l, sql.ptr, err);
    }
    sg_buf_free(&sql);
    if (rc == 0)
        rc = attempt(&g, false, err);
    if (rc != 0)
        roll_back(g.l);
    if (rc != 0 && g.l->conn != NULL && refused(&g)) {
        sg_batch_free(&g.late);
        rc = attempt(&g, true, err);
        if (rc != 0)
            roll_back(g.l);
    }
    sg_batch_free(&g.late);
    return rc;
}

int
sg_target_delete(struct sg_target *t, int shard, int root, const struct sg_batch *b,
                 struct sg_err *err)
{
    struct sg_write w = {.root = root, .merge = true};
    struct writing g = {.t = t, .l = &t->shards[shard], .shard = shard, .b = b, .w = &w};
    struct sg_buf sql = SG_BUF_INIT(SQL_BYTES_MAX);
    int rc;

    sg_collect_stages(t->m, root, &sql);
    rc = sg_lane_run(g.l, sql.ptr, err);
    sg_buf_reset(&sql);
    sg_collect_delete(t->m, root, &sql);
    if (rc == 0 && (begin(&g, err) != 0 || copy_table(&g, root, 0, b->n_records, err) != 0 ||
                    sg_lane_run(g.l, sql.ptr, err) != 0 || sg_lane_run(g.l, "COMMIT", err) != 0)) {
        roll_back(g.l);
        rc = -1;
    }
    sg_buf_free(&sql);
    return rc;
}
