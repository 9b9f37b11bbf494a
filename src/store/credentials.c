/* SPDX-License-Identifier: MIT */
#include "store/credentials.h"

#include "store/op.h"

/* ---- writing ---- */

static const struct sg_pg_stmt st_put = {
    "store.credentials_put",
    "INSERT INTO segue.credential AS c (realm, bucket, login, subject, hash, decoy, version) "
    "SELECT realm, bucket, login, subject, hash, decoy, version "
    "FROM unnest($1::text[], $2::int[], $3::bytea[], $4::text[], $5::bytea[], $6::text[], "
    "$7::bigint[]) WITH ORDINALITY AS i(realm, bucket, login, subject, hash, decoy, version, ord) "
    "ORDER BY ord ON CONFLICT (realm, bucket, login) DO UPDATE SET subject = EXCLUDED.subject, "
    "hash = EXCLUDED.hash, decoy = EXCLUDED.decoy, version = EXCLUDED.version, "
    "updated_at = clock_timestamp() WHERE EXCLUDED.version > c.version "
    "OR (EXCLUDED.version = c.version AND EXCLUDED.subject = c.subject)",
    7, 0, false};

static const struct sg_pg_stmt st_put_read = {
    "store.credentials_put_read",
    "SELECT i.ord, c.version, c.subject FROM unnest($1::text[], $2::int[], $3::bytea[]) "
    "WITH ORDINALITY AS i(realm, bucket, login, ord) "
    "JOIN segue.credential AS c USING (realm, bucket, login)",
    3, 0, false};

enum { CALL_READ = 2 };

struct put_op {
    struct sg_store_op op;
    struct sg_credential_row *rows;
};

static enum sg_use
put_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    const struct sg_credential_row *r = &sg_container_of(op, struct put_op, op)->rows[row];

    if (sg_check_subject(r->subject, err) == SG_REFUSE_ROW)
        return SG_REFUSE_ROW;
    return sg_entry_of(entry, r->realm, r->bucket, r->login, sizeof r->login, err);
}

/* Which of a group's rows is written: what one after the other would leave. */
static const struct sg_credential_row *
last_word(const struct sg_store_op *op, const struct sg_credential_row *rows, int group)
{
    const struct sg_credential_row *word = &rows[op->entries[op->group[group]].row], *next;
    int k;

    for (k = op->group[group] + 1; k < op->group[group + 1]; k++) {
        next = &rows[op->entries[k].row];
        if (next->version > word->version ||
            (next->version == word->version && strcmp(next->subject, word->subject) == 0))
            word = next;
    }
    return word;
}

static void
put_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct sg_credential_row *rows = sg_container_of(op, struct put_op, op)->rows;
    int g;

    for (g = part->from; g < part->to; g++) {
        const struct sg_credential_row *r = last_word(op, rows, g);

        sg_part_place(part, columns, g);
        sg_column_bytes(columns, 2, r->login, sizeof r->login);
        sg_column_text(columns, 3, r->subject);
        sg_column_bytes(columns, 4, r->hash.ptr, r->hash.len);
        sg_column_text(columns, 5, r->decoy);
        sg_column_int(columns, 6, r->version);
    }
    sg_part_fence(part, columns, 1);
    sg_part_call(part, &st_put, columns, NULL);
    sg_part_call(part, &st_put_read, columns, NULL);
}

static void
put_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_credential_row *rows = sg_container_of(op, struct put_op, op)->rows;
    const struct sg_entry *e;
    int i, n;

    for (i = 0; i < sg_pg_rows(&part->batch, CALL_READ); i++)
        for (n = sg_part_rows_of(part, CALL_READ, i, &e); n > 0; n--, e++) {
            struct sg_credential_row *r = &rows[e->row];
            int64_t version = sg_pg_int(&part->batch, CALL_READ, i, 1, 0);
            bool same = sg_slice_eq(sg_pg_value(&part->batch, CALL_READ, i, 2), sg_str(r->subject));

            r->stored = same && version == r->version;
            r->taken = !same && version <= r->version;
        }
}

void
sg_store_put_credentials(struct sg_store *store, struct sg_credential_row *rows, int n,
                         uint64_t deadline_ns, sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {
        .rows_max = SG_STORE_ROWS_MAX, .entry = put_entry, .build = put_build, .take = put_take};
    struct put_op *op = sg_op_new(sizeof *op, store, &phase, n, deadline_ns, done, ctx);
    int i;

    op->rows = rows;
    for (i = 0; i < n; i++)
        rows[i].stored = rows[i].taken = false;
    sg_op_start(&op->op);
}

/* ---- reading one ---- */

static const struct sg_pg_stmt st_get = {
    "store.credential_get",
    "SELECT subject, hash FROM segue.credential "
    "WHERE realm = $1 AND bucket = $2::int AND login = $3::bytea",
    3, 0, false};

struct get_op {
    struct sg_store_op op;
    struct sg_credential_read *read;
};

static enum sg_use
get_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    const struct sg_credential_read *r = sg_container_of(op, struct get_op, op)->read;

    (void)row;
    return sg_entry_of(entry, r->realm, r->bucket, r->login, sizeof r->login, err);
}

static void
get_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct sg_credential_read *r = sg_container_of(op, struct get_op, op)->read;

    sg_column_value(columns, 0, sg_str(r->realm));
    sg_column_int_value(columns, 1, r->bucket);
    sg_column_bytes_value(columns, 2, r->login, sizeof r->login);
    sg_part_call(part, &st_get, columns, NULL);
}

static void
get_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_credential_read *r = sg_container_of(op, struct get_op, op)->read;

    r->found = sg_pg_rows(&part->batch, 0) > 0;
    if (!r->found)
        return;
    sg_read_string(part, 0, 0, 0, r->subject, sizeof r->subject);
    r->hash = sg_read_bytea(part, 0, 0, 1);
}

void
sg_store_get_credential(struct sg_store *store, struct sg_credential_read *read,
                        uint64_t deadline_ns, sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {
        .rows_max = 1, .entry = get_entry, .build = get_build, .take = get_take};
    struct get_op *op = sg_op_new(sizeof *op, store, &phase, 1, deadline_ns, done, ctx);

    op->read = read;
    read->found = false;
    read->hash = (struct sg_buf){0};
    sg_op_start(&op->op);
}

/* ---- a sample of what they cost ---- */

static const struct sg_pg_stmt st_decoys = {
    "store.credential_decoys",
    "(SELECT decoy, subject FROM segue.credential WHERE realm = $1 AND bucket >= $2::int "
    "ORDER BY bucket, login LIMIT $3::int) UNION ALL "
    "(SELECT decoy, subject FROM segue.credential WHERE realm = $1 AND bucket < $2::int "
    "ORDER BY bucket, login LIMIT $3::int) LIMIT $3::int",
    3, 0, false};

struct decoys_op {
    struct sg_store_op op;
    struct sg_decoys_read *read;
};

static void
decoys_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct sg_decoys_read *r = sg_container_of(op, struct decoys_op, op)->read;

    sg_column_value(columns, 0, sg_str(r->realm));
    sg_column_int_value(columns, 1, r->from_bucket);
    sg_column_int_value(columns, 2, r->limit);
    sg_part_call(part, &st_decoys, columns, NULL);
}

static void
decoys_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_decoys_read *r = sg_container_of(op, struct decoys_op, op)->read;

    for (r->n = 0; r->n < sg_pg_rows(&part->batch, 0); r->n++)
        r->decoy(r->ctx, sg_pg_value(&part->batch, 0, r->n, 0),
                 sg_pg_value(&part->batch, 0, r->n, 1));
}

void
sg_store_read_decoys(struct sg_store *store, struct sg_decoys_read *read, uint64_t deadline_ns,
                     sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {.build = decoys_build, .take = decoys_take};
    struct decoys_op *op = sg_op_new(sizeof *op, store, &phase, 0, deadline_ns, done, ctx);

    op->read = read;
    op->op.only_shard = read->shard;
    sg_op_start(&op->op);
}
