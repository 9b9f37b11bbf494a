/* SPDX-License-Identifier: MIT */
#include "transfer/control.h"

#include "base/encode.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_MS 2000
#define LOCK_CLASS "1397048065"

static const struct sg_pg_stmt lead_stmt = {
    .name = "transfer_lead",
    .sql = "SELECT CASE WHEN EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'"
           " AND pid = pg_backend_pid() AND granted AND objsubid = 2 AND classid = " LOCK_CLASS
           " AND objid = (hashtext($1)::bigint & 4294967295)::oid)"
           " THEN true ELSE pg_try_advisory_lock(" LOCK_CLASS ", hashtext($1)) END",
    .n_params = 1,
};
static const struct sg_pg_stmt map_stmt = {
    .name = "transfer_map",
    .sql = "SELECT string_agg(lpad(to_hex(shard), 2, '0'), '' ORDER BY bucket),"
           " (SELECT root_check FROM segue_control.policy WHERE realm = $1)"
           " FROM segue_control.bucket_map HAVING count(*) = 4096",
    .n_params = 1,
};
static const struct sg_pg_stmt job_stmt = {
    .name = "transfer_job",
    .sql = "SELECT job, state, run_id, cursor, chunk FROM segue_control.transfer_job"
           " WHERE realm = $1 ORDER BY job DESC LIMIT 1",
    .n_params = 1,
};
static const struct sg_pg_stmt continuity_stmt = {
    .name = "transfer_continuity",
    .sql = "SELECT proven::int, run_id, sentinel, evicted, flushes, beat, reason, kept::int"
           " FROM segue_control.continuity WHERE realm = $1",
    .n_params = 1,
};
static const struct sg_pg_stmt fail_jobs_stmt = {
    .name = "transfer_fail_jobs",
    .sql = "UPDATE segue_control.transfer_job SET state = 'failed', error = $2, updated_at = "
           "clock_timestamp() WHERE realm = $1 AND state = 'snapshot'",
    .n_params = 2,
};
static const struct sg_pg_stmt new_job_stmt = {
    .name = "transfer_new_job",
    .sql = "INSERT INTO segue_control.transfer_job (realm, state, run_id)"
           " VALUES ($1, 'snapshot', $2) RETURNING job",
    .n_params = 2,
};
static const struct sg_pg_stmt position_stmt = {
    .name = "transfer_position",
    .sql = "UPDATE segue_control.transfer_job SET cursor = $2, chunk = $3, updated_at = "
           "clock_timestamp() WHERE job = $1 AND state = 'snapshot' AND chunk < $3",
    .n_params = 3,
};
static const struct sg_pg_stmt following_stmt = {
    .name = "transfer_following",
    .sql = "UPDATE segue_control.transfer_job SET state = 'following', snapshot_at = "
           "clock_timestamp(), updated_at = clock_timestamp() WHERE job = $1",
    .n_params = 1,
};
static const struct sg_pg_stmt reconciled_stmt = {
    .name = "transfer_reconciled",
    .sql = "UPDATE segue_control.transfer_job SET reconciled_at = clock_timestamp(), updated_at = "
           "clock_timestamp() WHERE job = $1",
    .n_params = 1,
};
static const struct sg_pg_stmt put_continuity_stmt = {
    .name = "transfer_put_continuity",
    .sql =
        "INSERT INTO segue_control.continuity AS c"
        " (realm, proven, run_id, sentinel, evicted, flushes, beat, reason, kept)"
        " VALUES ($1, $2::int = 1, $3, $4, $5, $6, $7, $8, $9::int = 1)"
        " ON CONFLICT (realm) DO UPDATE SET proven = EXCLUDED.proven, run_id = EXCLUDED.run_id,"
        " sentinel = EXCLUDED.sentinel, evicted = EXCLUDED.evicted, flushes = EXCLUDED.flushes,"
        " beat = greatest(c.beat, EXCLUDED.beat), reason = EXCLUDED.reason, kept = EXCLUDED.kept,"
        " changed_at = clock_timestamp()",
    .n_params = 9,
};
static const struct sg_pg_stmt put_beat_stmt = {
    .name = "transfer_put_beat",
    .sql = "UPDATE segue_control.continuity SET beat = $2 WHERE realm = $1 AND beat < $2",
    .n_params = 2,
};

/* ---- texts of numbers, which live until the submit has copied them ---- */

struct number {
    char text[24];
};

static struct sg_slice
number(struct number *n, int64_t value)
{
    snprintf(n->text, sizeof n->text, "%" PRId64, value);
    return sg_str(n->text);
}

static void
copy(char *out, size_t cap, struct sg_slice s)
{
    snprintf(out, cap, "%.*s", (int)s.len, s.ptr != NULL ? s.ptr : "");
}

static void
add(struct sg_pg_batch *batch, const struct sg_pg_stmt *stmt, const struct sg_slice *params)
{
    struct sg_pg_call *call = &batch->calls[batch->n_calls++];

    call->stmt = stmt;
    if (stmt->n_params > 0)
        memcpy(call->params, params, (size_t)stmt->n_params * sizeof *params);
}

static void
submit(const struct sg_bridge *b, struct sg_pg_batch *batch, void (*done)(struct sg_pg_batch *))
{
    batch->deadline_ns = sg_bridge_deadline(b, TIMEOUT_MS);
    batch->done = done;
    sg_pg_submit(b->control, batch);
}

/* ---- leadership ---- */

static void
on_lead(struct sg_pg_batch *batch)
{
    struct sg_lead *lead = sg_container_of(batch, struct sg_lead, batch);

    lead->rc = batch->rc;
    lead->err = batch->err;
    lead->leading = batch->rc == 0 && sg_slice_eq(sg_pg_value(batch, 0, 0, 0), sg_str("t"));
    sg_pg_batch_clear(batch);
    lead->done(lead);
}

void
sg_control_lead(const struct sg_bridge *b, struct sg_lead *lead)
{
    struct sg_slice realm = sg_str(b->realm);

    memset(&lead->batch, 0, sizeof lead->batch);
    add(&lead->batch, &lead_stmt, &realm);
    submit(b, &lead->batch, on_lead);
}

/* ---- reading ---- */

static int
take_map(struct sg_control_state *s, struct sg_slice hex)
{
    int i;

    if (sg_pg_rows(&s->batch, 0) == 0 || hex.len != 2 * SG_BUCKETS)
        return sg_fail(&s->err, SG_E_NOT_FOUND, "control database",
                       "there is no whole bucket map: run `segue init` first");
    for (i = 0; i < SG_BUCKETS; i++) {
        char digits[3] = {hex.ptr[2 * i], hex.ptr[2 * i + 1], '\0'};

        s->map[i] = (uint8_t)strtol(digits, NULL, 16);
    }
    return 0;
}

/* With another root every session found would be stored as a stranger's. */
static int
check_root(const struct sg_bridge *b, struct sg_control_state *s)
{
    struct sg_slice stored = sg_pg_value(&s->batch, 0, 0, 1);
    struct sg_hash check;
    char hex[2 * SG_HASH_BYTES + 1];

    if (b->ring == NULL || stored.len == 0)
        return 0;
    check = sg_realm_key(b->ring, b->realm, SG_PURPOSE_CHECK);
    sg_hex(check.b, sizeof check.b, hex);
    return sg_slice_eq(stored, sg_str(hex))
               ? 0
               : sg_fail(&s->err, SG_E_DENIED, "keyring",
                         "its root is not the one realm %s was laid out with", b->realm);
}

static void
take_job(struct sg_control_state *s)
{
    struct sg_job *j = &s->job;

    if (sg_pg_rows(&s->batch, 1) == 0)
        return;
    j->job = sg_pg_int(&s->batch, 1, 0, 0, 0);
    copy(j->state, sizeof j->state, sg_pg_value(&s->batch, 1, 0, 1));
    copy(j->run_id, sizeof j->run_id, sg_pg_value(&s->batch, 1, 0, 2));
    copy(j->cursor, sizeof j->cursor, sg_pg_value(&s->batch, 1, 0, 3));
    j->chunk = sg_pg_int(&s->batch, 1, 0, 4, 0);
}

static void
take_continuity(struct sg_control_state *s)
{
    struct sg_continuity_row *c = &s->continuity;

    if (sg_pg_rows(&s->batch, 2) == 0)
        return;
    c->exists = true;
    c->proven = sg_pg_int(&s->batch, 2, 0, 0, 0) == 1;
    copy(c->run_id, sizeof c->run_id, sg_pg_value(&s->batch, 2, 0, 1));
    copy(c->sentinel, sizeof c->sentinel, sg_pg_value(&s->batch, 2, 0, 2));
    c->evicted = sg_pg_int(&s->batch, 2, 0, 3, 0);
    c->flushes = sg_pg_int(&s->batch, 2, 0, 4, 0);
    c->beat = sg_pg_int(&s->batch, 2, 0, 5, 0);
    copy(c->reason, sizeof c->reason, sg_pg_value(&s->batch, 2, 0, 6));
    c->kept = sg_pg_int(&s->batch, 2, 0, 7, 0) == 1;
}

static void
on_read(struct sg_pg_batch *batch)
{
    struct sg_control_state *s = sg_container_of(batch, struct sg_control_state, batch);

    s->rc = batch->rc;
    s->err = batch->err;
    if (s->rc == 0) {
        s->rc = take_map(s, sg_pg_value(batch, 0, 0, 0));
        if (s->rc == 0)
            s->rc = check_root(s->bridge, s);
        take_job(s);
        take_continuity(s);
    }
    sg_pg_batch_clear(batch);
    s->done(s);
}

void
sg_control_read(const struct sg_bridge *b, struct sg_control_state *s)
{
    struct sg_slice realm = sg_str(b->realm);

    memset(&s->batch, 0, sizeof s->batch);
    memset(&s->job, 0, sizeof s->job);
    memset(&s->continuity, 0, sizeof s->continuity);
    s->bridge = b;
    add(&s->batch, &map_stmt, &realm);
    add(&s->batch, &job_stmt, &realm);
    add(&s->batch, &continuity_stmt, &realm);
    submit(b, &s->batch, on_read);
}

/* ---- writing ---- */

static void
on_written(struct sg_pg_batch *batch)
{
    struct sg_control_write *w = sg_container_of(batch, struct sg_control_write, batch);

    w->rc = batch->rc;
    w->err = batch->err;
    if (w->rc == 0 && batch->n_calls == 2 && sg_pg_rows(batch, 1) > 0)
        w->job = sg_pg_int(batch, 1, 0, 0, 0);
    sg_pg_batch_clear(batch);
    w->done(w);
}

static void
write_one(const struct sg_bridge *b, struct sg_control_write *w, const struct sg_pg_stmt *stmt,
          const struct sg_slice *params)
{
    memset(&w->batch, 0, sizeof w->batch);
    add(&w->batch, stmt, params);
    submit(b, &w->batch, on_written);
}

void
sg_control_new_job(const struct sg_bridge *b, const char *run_id, const char *why,
                   struct sg_control_write *w)
{
    struct sg_slice fail[] = {sg_str(b->realm), sg_str(why)};
    struct sg_slice fresh[] = {sg_str(b->realm), sg_str(run_id)};

    memset(&w->batch, 0, sizeof w->batch);
    add(&w->batch, &fail_jobs_stmt, fail);
    add(&w->batch, &new_job_stmt, fresh);
    submit(b, &w->batch, on_written);
}

void
sg_control_position(const struct sg_bridge *b, int64_t job, const char *cursor, int64_t chunk,
                    struct sg_control_write *w)
{
    struct number n[2];
    struct sg_slice params[] = {number(&n[0], job), sg_str(cursor), number(&n[1], chunk)};

    write_one(b, w, &position_stmt, params);
}

void
sg_control_following(const struct sg_bridge *b, int64_t job, struct sg_control_write *w)
{
    struct number n;
    struct sg_slice params[] = {number(&n, job)};

    write_one(b, w, &following_stmt, params);
}

void
sg_control_reconciled(const struct sg_bridge *b, int64_t job, struct sg_control_write *w)
{
    struct number n;
    struct sg_slice params[] = {number(&n, job)};

    write_one(b, w, &reconciled_stmt, params);
}

void
sg_control_continuity(const struct sg_bridge *b, const struct sg_continuity_row *row,
                      struct sg_control_write *w)
{
    struct number n[5];
    struct sg_slice params[] = {
        sg_str(b->realm),         number(&n[0], row->proven),  sg_str(row->run_id),
        sg_str(row->sentinel),    number(&n[1], row->evicted), number(&n[2], row->flushes),
        number(&n[3], row->beat), sg_str(row->reason),         number(&n[4], row->kept)};

    write_one(b, w, &put_continuity_stmt, params);
}

void
sg_control_beat(const struct sg_bridge *b, int64_t beat, struct sg_control_write *w)
{
    struct number n;
    struct sg_slice params[] = {sg_str(b->realm), number(&n, beat)};

    write_one(b, w, &put_beat_stmt, params);
}
