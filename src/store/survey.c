/* SPDX-License-Identifier: MIT */
#include "store/survey.h"

#include "store/op.h"

#include <stdlib.h>

static void
fill(struct sg_store_op *op, int shard, int limit)
{
    op->only_shard = shard;
    if (limit < 1 || limit > SG_STORE_ROWS_MAX)
        sg_op_fail(op, SG_E_LIMIT, "store", "the limit of a poll is out of its range");
}

/* ---- counts ---- */

static const struct sg_pg_stmt st_sessions = {
    "store.survey_sessions",
    "SELECT count(*), count(*) FILTER (WHERE subject IS NULL), count(held_at), "
    "(SELECT count(*) FROM segue.outbox WHERE realm = $1) FROM segue.session "
    "WHERE realm = $1 AND ended_at IS NULL "
    "AND coalesce(segue.life_end(exp_source, exp_segue, exp_absolute) > clock_timestamp(), true)",
    1, 0, false};
static const struct sg_pg_stmt st_ledger = {
    "store.survey_ledger",
    "SELECT coalesce(sum(stored), 0), coalesce(sum(rejected), 0), coalesce(sum(anonymous), 0) "
    "FROM segue.transfer_ledger WHERE realm = $1 AND job = $2::bigint",
    2, 0, false};
static const struct sg_pg_stmt st_beat = {
    "store.survey_beat",
    "SELECT beat, -segue.ms_until(sent_at) FROM segue.heartbeat WHERE realm = $1", 1, 0, false};
static const struct sg_pg_stmt st_reasons = {
    "store.survey_reasons",
    "SELECT reason, count(*), sum(count(*)) OVER () FROM segue.reject WHERE realm = $1 "
    "AND resolved_at IS NULL GROUP BY reason ORDER BY 2 DESC, 1",
    1, 0, false};

enum { SESSIONS, LEDGER, BEAT, REASONS };

struct survey_op {
    struct sg_store_op op;
    struct sg_survey *survey;
};

static void
survey_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct sg_survey *s = sg_container_of(op, struct survey_op, op)->survey;

    sg_column_value(columns, 0, sg_str(s->realm));
    sg_column_int_value(columns, 1, s->job);
    sg_part_call(part, &st_sessions, columns, NULL);
    sg_part_call(part, &st_ledger, columns, NULL);
    sg_part_call(part, &st_beat, columns, NULL);
    sg_part_call(part, &st_reasons, columns, NULL);
}

static void
survey_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_survey *s = sg_container_of(op, struct survey_op, op)->survey;
    const struct sg_pg_batch *b = &part->batch;
    bool beat = sg_pg_rows(b, BEAT) > 0;
    int i;

    s->live = sg_pg_int(b, SESSIONS, 0, 0, 0);
    s->anonymous = sg_pg_int(b, SESSIONS, 0, 1, 0);
    s->held = sg_pg_int(b, SESSIONS, 0, 2, 0);
    s->outbox = sg_pg_int(b, SESSIONS, 0, 3, 0);
    s->stored = sg_pg_int(b, LEDGER, 0, 0, 0);
    s->rejected = sg_pg_int(b, LEDGER, 0, 1, 0);
    s->stored_anonymous = sg_pg_int(b, LEDGER, 0, 2, 0);
    s->beat = beat ? sg_pg_int(b, BEAT, 0, 0, -1) : -1;
    s->beat_age_ms = beat ? sg_pg_int(b, BEAT, 0, 1, -1) : -1;
    s->n_reasons = 0;
    s->rejects = 0;
    for (i = 0; i < sg_pg_rows(b, REASONS); i++) {
        s->rejects = sg_pg_int(b, REASONS, i, 2, 0);
        if (s->n_reasons == SG_SURVEY_REASONS)
            break;
        sg_read_string(part, REASONS, i, 0, s->reasons[s->n_reasons].reason,
                       sizeof s->reasons[0].reason);
        s->reasons[s->n_reasons++].n = sg_pg_int(b, REASONS, i, 1, 0);
    }
}

void
sg_store_survey(struct sg_store *store, struct sg_survey *survey, uint64_t deadline_ns,
                sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {.build = survey_build, .take = survey_take};
    struct survey_op *s = sg_op_new(sizeof *s, store, &phase, 0, deadline_ns, done, ctx);

    s->survey = survey;
    fill(&s->op, survey->shard, 1);
    sg_op_start(&s->op);
}

/* ---- rejects ---- */

static const struct sg_pg_stmt st_rejects = {
    "store.rejects_page",
    "SELECT bucket, key_digest, reason, place, segue.unix_ms(at), key_sealed, value_sealed "
    "FROM segue.reject WHERE realm = $1 AND resolved_at IS NULL "
    "AND (bucket, key_digest) > ($2::int, $3::bytea) ORDER BY bucket, key_digest LIMIT $4::int",
    4, 0, false};

struct rejects_op {
    struct sg_store_op op;
    struct sg_rejects_poll *poll;
};

static void
rejects_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct sg_rejects_poll *p = sg_container_of(op, struct rejects_op, op)->poll;

    sg_column_value(columns, 0, sg_str(p->realm));
    sg_column_int_value(columns, 1, p->after_bucket);
    sg_column_bytes_value(columns, 2, p->after_digest, sizeof p->after_digest);
    sg_column_int_value(columns, 3, p->limit);
    sg_part_call(part, &st_rejects, columns, NULL);
}

static void
rejects_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_rejects_poll *p = sg_container_of(op, struct rejects_op, op)->poll;
    const struct sg_pg_batch *b = &part->batch;
    int i, n = sg_pg_rows(b, 0);

    for (i = 0; i < n; i++) {
        struct sg_reject_read *r = &p->rows[p->n_rows++];

        r->bucket = (int)sg_pg_int(b, 0, i, 0, 0);
        sg_read_bytes(part, 0, i, 1, r->key_digest, sizeof r->key_digest);
        sg_read_string(part, 0, i, 2, r->reason, sizeof r->reason);
        sg_read_string(part, 0, i, 3, r->place, sizeof r->place);
        r->at_ms = sg_pg_int(b, 0, i, 4, 0);
        r->key_sealed = sg_read_bytea(part, 0, i, 5);
        r->value_sealed = sg_read_bytea(part, 0, i, 6);
        p->after_bucket = r->bucket;
        memcpy(p->after_digest, r->key_digest, sizeof p->after_digest);
    }
}

void
sg_store_poll_rejects(struct sg_store *store, struct sg_rejects_poll *poll, uint64_t deadline_ns,
                      sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {.build = rejects_build, .take = rejects_take};
    struct rejects_op *o = sg_op_new(sizeof *o, store, &phase, 0, deadline_ns, done, ctx);

    o->poll = poll;
    poll->n_rows = 0;
    poll->rows = calloc((size_t)(poll->limit > 0 ? poll->limit : 1), sizeof *poll->rows);
    fill(&o->op, poll->shard, poll->limit);
    if (poll->rows == NULL)
        sg_op_fail(&o->op, SG_E_INTERNAL, "store", "out of memory");
    sg_op_start(&o->op);
}

void
sg_rejects_clear(struct sg_rejects_poll *poll)
{
    int i;

    for (i = 0; i < poll->n_rows; i++) {
        sg_buf_free(&poll->rows[i].key_sealed);
        sg_buf_free(&poll->rows[i].value_sealed);
    }
    free(poll->rows);
    poll->rows = NULL;
    poll->n_rows = 0;
}

/* ---- held sessions ---- */

static const struct sg_pg_stmt st_held = {
    "store.held_page",
    "SELECT bucket, sid, subject, generation, store_digest, -segue.ms_until(held_at), "
    "segue.ms_until(segue.life_end(exp_source, exp_segue, exp_absolute)), handle, record "
    "FROM segue.session WHERE realm = $1 AND ended_at IS NULL AND held_at IS NOT NULL "
    "AND handle IS NOT NULL AND store_digest IS NOT NULL "
    "AND (bucket, sid) > ($2::int, $3::bytea) ORDER BY bucket, sid LIMIT $4::int",
    4, 0, false};

struct held_op {
    struct sg_store_op op;
    struct sg_held_poll *poll;
};

static void
held_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct sg_held_poll *p = sg_container_of(op, struct held_op, op)->poll;

    sg_column_value(columns, 0, sg_str(p->realm));
    sg_column_int_value(columns, 1, p->after_bucket);
    sg_column_bytes_value(columns, 2, p->after_sid, sizeof p->after_sid);
    sg_column_int_value(columns, 3, p->limit);
    sg_part_call(part, &st_held, columns, NULL);
}

static void
held_take(struct sg_store_op *op, struct sg_part *part)
{
    struct sg_held_poll *p = sg_container_of(op, struct held_op, op)->poll;
    const struct sg_pg_batch *b = &part->batch;
    int i, n = sg_pg_rows(b, 0);

    for (i = 0; i < n; i++) {
        struct sg_held_read *r = &p->rows[p->n_rows++];

        r->bucket = (int)sg_pg_int(b, 0, i, 0, 0);
        sg_read_bytes(part, 0, i, 1, r->sid, sizeof r->sid);
        sg_read_string(part, 0, i, 2, r->subject, sizeof r->subject);
        r->generation = (int)sg_pg_int(b, 0, i, 3, 0);
        sg_read_bytes(part, 0, i, 4, r->store_digest, sizeof r->store_digest);
        r->held_for_ms = sg_pg_int(b, 0, i, 5, 0);
        r->expires_in_ms = sg_pg_int(b, 0, i, 6, INT64_MAX);
        r->handle = sg_read_bytea(part, 0, i, 7);
        r->record = sg_read_bytea(part, 0, i, 8);
        p->after_bucket = r->bucket;
        memcpy(p->after_sid, r->sid, sizeof p->after_sid);
    }
}

void
sg_store_poll_held(struct sg_store *store, struct sg_held_poll *poll, uint64_t deadline_ns,
                   sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {.build = held_build, .take = held_take};
    struct held_op *o = sg_op_new(sizeof *o, store, &phase, 0, deadline_ns, done, ctx);

    o->poll = poll;
    poll->n_rows = 0;
    poll->rows = calloc((size_t)(poll->limit > 0 ? poll->limit : 1), sizeof *poll->rows);
    fill(&o->op, poll->shard, poll->limit);
    if (poll->rows == NULL)
        sg_op_fail(&o->op, SG_E_INTERNAL, "store", "out of memory");
    sg_op_start(&o->op);
}

void
sg_held_clear(struct sg_held_poll *poll)
{
    int i;

    for (i = 0; i < poll->n_rows; i++) {
        sg_buf_free(&poll->rows[i].handle);
        sg_buf_free(&poll->rows[i].record);
    }
    free(poll->rows);
    poll->rows = NULL;
    poll->n_rows = 0;
}
