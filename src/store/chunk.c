/* SPDX-License-Identifier: MIT */
#include "store/sessions.h"

#include <stdlib.h>

/* A chunk of a transfer (P5). Phase 1: the sessions, on their subjects' shards. Phase 2, once all
 * of those are committed: on the shards of the keys' digests the rejects and the counts, and
 * rejects of former attempts that are stored now are settled. A kill in between leaves a chunk
 * without its counts; done again it gives the same rows and replaces every count. */
struct chunk_op {
    struct sg_store_op op;
    struct sg_chunk *chunk;
};

static struct sg_chunk *
chunk_of(struct sg_store_op *op)
{
    return sg_container_of(op, struct chunk_op, op)->chunk;
}

/* ---- phase 1 ---- */

/* The rows of both phases are the sessions and then the rejects. */
static enum sg_use
sessions_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    const struct sg_chunk *c = chunk_of(op);

    if (row >= c->n_sessions)
        return SG_SKIP_ROW;
    return sg_session_entry(&c->sessions[row], entry, err);
}

static void
sessions_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    sg_sessions_build(op, part, columns, chunk_of(op)->sessions);
}

static void
sessions_take(struct sg_store_op *op, struct sg_part *part)
{
    sg_sessions_take(part, chunk_of(op)->sessions);
}

/* ---- phase 2 ---- */

enum { COL_REALM, COL_BUCKET, COL_DIGEST, COL_KEY, COL_VALUE, COL_REASON, COL_PLACE };
enum { COL_STORED_REALM = 7, COL_STORED_BUCKET, COL_STORED_DIGEST, COL_FENCE };
enum { COL_ONE_REALM = 11, COL_JOB, COL_CHUNK, COL_STORED, COL_REJECTED, COL_ANONYMOUS };

static const struct sg_pg_stmt st_rejects = {
    "store.chunk_rejects",
    "INSERT INTO segue.reject AS r (realm, bucket, key_digest, key_sealed, value_sealed, reason, "
    "place, job) SELECT i.*, $8::bigint FROM unnest($1::text[], $2::int[], $3::bytea[], "
    "$4::bytea[], $5::bytea[], $6::text[], $7::text[]) AS i ORDER BY 1, 2, 3 "
    "ON CONFLICT (realm, bucket, key_digest) DO UPDATE SET key_sealed = EXCLUDED.key_sealed, "
    "value_sealed = EXCLUDED.value_sealed, reason = EXCLUDED.reason, place = EXCLUDED.place, "
    "job = EXCLUDED.job, at = clock_timestamp(), resolved_at = NULL",
    8, 0, false};

static const struct sg_pg_stmt st_settle = {
    "store.chunk_settle",
    "UPDATE segue.reject AS r SET resolved_at = clock_timestamp() "
    "FROM unnest($1::text[], $2::int[], $3::bytea[]) AS i(realm, bucket, digest) "
    "WHERE r.realm = i.realm AND r.bucket = i.bucket AND r.key_digest = i.digest "
    "AND r.resolved_at IS NULL",
    3, 0, false};

static const struct sg_pg_stmt st_ledger = {
    "store.chunk_ledger",
    "INSERT INTO segue.transfer_ledger (realm, job, chunk, stored, rejected, anonymous) "
    "VALUES ($1, $2::bigint, $3::bigint, $4::int, $5::int, $6::int) "
    "ON CONFLICT (realm, job, chunk) DO UPDATE SET stored = EXCLUDED.stored, "
    "rejected = EXCLUDED.rejected, anonymous = EXCLUDED.anonymous, at = clock_timestamp()",
    6, 0, false};

static enum sg_use
ledger_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    const struct sg_chunk *c = chunk_of(op);
    int reject = row - c->n_sessions;

    if (reject < 0)
        return sg_entry_of(entry, c->realm, c->session_ledger_bucket[row],
                           c->sessions[row].store_digest, SG_DIGEST_BYTES, err);
    return sg_entry_of(entry, c->realm, c->rejects[reject].bucket, c->rejects[reject].key_digest,
                       SG_DIGEST_BYTES, err);
}

struct counts {
    int stored, rejected, anonymous;
};

/* Every record counts, also one that the chunk holds twice: it was read twice. */
static void
count_entries(struct sg_store_op *op, int group, struct counts *counts)
{
    const struct sg_chunk *c = chunk_of(op);
    int k, row;

    for (k = op->group[group]; k < op->group[group + 1]; k++) {
        row = op->entries[k].row;
        if (row >= c->n_sessions) {
            counts->rejected++;
            continue;
        }
        counts->stored++;
        if (sg_null_if_empty(c->sessions[row].subject) == NULL)
            counts->anonymous++;
    }
}

static void
add_reject(struct sg_columns *columns, const struct sg_reject_row *r)
{
    sg_column_text(columns, COL_REALM, r->realm);
    sg_column_int(columns, COL_BUCKET, r->bucket);
    sg_column_bytes(columns, COL_DIGEST, r->key_digest, sizeof r->key_digest);
    sg_column_bytes(columns, COL_KEY, r->key_sealed.len > 0 ? r->key_sealed.ptr : "",
                    r->key_sealed.len);
    sg_column_bytes(columns, COL_VALUE, r->value_sealed.len > 0 ? r->value_sealed.ptr : NULL,
                    r->value_sealed.len);
    sg_column_text(columns, COL_REASON, r->reason);
    sg_column_text(columns, COL_PLACE, r->place);
}

static void
ledger_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    static const uint8_t reject_columns[] = {COL_REALM, COL_BUCKET, COL_DIGEST, COL_KEY,
                                             COL_VALUE, COL_REASON, COL_PLACE,  COL_JOB};
    static const uint8_t settle_columns[] = {COL_STORED_REALM, COL_STORED_BUCKET,
                                             COL_STORED_DIGEST};
    static const uint8_t ledger_columns[] = {COL_ONE_REALM, COL_JOB,      COL_CHUNK,
                                             COL_STORED,    COL_REJECTED, COL_ANONYMOUS};
    const struct sg_chunk *c = chunk_of(op);
    struct counts counts = {0};
    int g, row;

    for (g = part->from; g < part->to; g++) {
        const struct sg_entry *e = &op->entries[op->group[g]];

        sg_column_int(columns, COL_FENCE, e->bucket);
        count_entries(op, g, &counts);
        row = sg_group_row(op, g);
        if (row >= c->n_sessions) {
            add_reject(columns, &c->rejects[row - c->n_sessions]);
            continue;
        }
        sg_column_text(columns, COL_STORED_REALM, e->realm);
        sg_column_int(columns, COL_STORED_BUCKET, e->bucket);
        sg_column_bytes(columns, COL_STORED_DIGEST, e->key, e->key_bytes);
    }
    sg_column_value(columns, COL_ONE_REALM, sg_str(c->realm));
    sg_column_int_value(columns, COL_JOB, c->job);
    sg_column_int_value(columns, COL_CHUNK, c->chunk);
    sg_column_int_value(columns, COL_STORED, counts.stored);
    sg_column_int_value(columns, COL_REJECTED, counts.rejected);
    sg_column_int_value(columns, COL_ANONYMOUS, counts.anonymous);
    sg_part_fence(part, columns, COL_FENCE);
    sg_part_call(part, &st_settle, columns, settle_columns);
    sg_part_call(part, &st_rejects, columns, reject_columns);
    if (c->chunk >= 0)
        sg_part_call(part, &st_ledger, columns, ledger_columns);
}

static void
ledger_take(struct sg_store_op *op, struct sg_part *part)
{
}

void
sg_store_put_chunk(struct sg_store *store, struct sg_chunk *chunk, uint64_t deadline_ns,
                   sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op ledger = {.rows_max = SG_STORE_ROWS_MAX,
                                                 .entry = ledger_entry,
                                                 .every_shard = true,
                                                 .build = ledger_build,
                                                 .take = ledger_take};
    static const struct sg_phase_of_op uncounted = {.rows_max = SG_STORE_ROWS_MAX,
                                                    .entry = ledger_entry,
                                                    .build = ledger_build,
                                                    .take = ledger_take};
    static const struct sg_phase_of_op sessions = {.rows_max = SG_STORE_ROWS_MAX,
                                                   .entry = sessions_entry,
                                                   .build = sessions_build,
                                                   .take = sessions_take,
                                                   .after = "store.chunk.after_sessions",
                                                   .next = &ledger};
    static const struct sg_phase_of_op uncounted_sessions = {.rows_max = SG_STORE_ROWS_MAX,
                                                             .entry = sessions_entry,
                                                             .build = sessions_build,
                                                             .take = sessions_take,
                                                             .next = &uncounted};
    struct chunk_op *op =
        sg_op_new(sizeof *op, store, chunk->chunk >= 0 ? &sessions : &uncounted_sessions,
                  chunk->n_sessions + chunk->n_rejects, deadline_ns, done, ctx);

    op->chunk = chunk;
    sg_op_start(&op->op);
}
