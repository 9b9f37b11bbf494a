/* SPDX-License-Identifier: MIT */
#include "pg/conn.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void
sg_pg_jobs_push(struct sg_pg_jobs *list, struct sg_pg_job *job)
{
    assert(job->in == NULL);
    job->in = list;
    job->next = NULL;
    job->prev = list->tail;
    if (list->tail != NULL)
        list->tail->next = job;
    else
        list->head = job;
    list->tail = job;
    list->n++;
}

void
sg_pg_jobs_remove(struct sg_pg_job *job)
{
    struct sg_pg_jobs *list = job->in;

    if (job->prev != NULL)
        job->prev->next = job->next;
    else
        list->head = job->next;
    if (job->next != NULL)
        job->next->prev = job->prev;
    else
        list->tail = job->prev;
    list->n--;
    job->in = NULL;
}

static void
clear_results(struct sg_pg_job *job)
{
    int i;

    for (i = 0; i < SG_PG_MAX_STATEMENTS; i++) {
        PQclear(job->results[i]);
        job->results[i] = NULL;
    }
}

void
sg_pg_job_free(struct sg_pg_job *job)
{
    clear_results(job);
    free(job->params);
    free(job);
}

void
sg_pg_job_fail(struct sg_pg_job *job, const struct sg_err *err, const char *sqlstate)
{
    if (job->rc != 0)
        return;
    clear_results(job);
    job->rc = -1;
    job->err = *err;
    snprintf(job->sqlstate, sizeof job->sqlstate, "%s", sqlstate);
}

/* The connection-wide settings: a backend whose client has dropped it must not hold its locks until
 * its statement ends. Servers before 14 refuse it, which is ignored. */
static const char setup_sql[] = "SET client_connection_check_interval = '1s'";

void
sg_pg_conn_reset(struct sg_pg_conn *c)
{
    struct sg_pg_job *setup = calloc(1, sizeof *setup);

    memset(c->slots, 0, sizeof c->slots);
    c->failed_slot = -1;
    c->retire = false;
    if (setup == NULL || PQenterPipelineMode(c->link.conn) != 1 ||
        PQsendQueryParams(c->link.conn, setup_sql, 0, NULL, NULL, NULL, NULL, 0) != 1 ||
        PQpipelineSync(c->link.conn) != 1) {
        free(setup);
        sg_pg_link_drop(&c->link, SG_E_UNAVAILABLE, PQerrorMessage(c->link.conn));
        return;
    }
    setup->setup = true;
    setup->deadline_ns =
        sg_mono_ns(c->link.clock) + (uint64_t)c->link.connect_timeout_ms * SG_NS_PER_MS;
    sg_pg_jobs_push(&c->flight, setup);
}

static int
send_prepare(struct sg_pg_conn *c, struct sg_pg_job *job, int slot)
{
    char name[16];

    c->slots[slot].id = ++c->last_id;
    c->slots[slot].prepared = true; /* from here on later jobs may be sent after it */
    job->prepares[job->n_prepares++] = slot;
    snprintf(name, sizeof name, "sg%u", c->slots[slot].id);
    return PQsendPrepare(c->link.conn, name, sg_pg_statement(c->pg, slot)->sql, 0, NULL) == 1 &&
                   PQpipelineSync(c->link.conn) == 1
               ? 0
               : -1;
}

static int
send_call(struct sg_pg_conn *c, const struct sg_pg_stmt *stmt, int slot, const char *const *values,
          const int *lengths)
{
    int formats[SG_PG_MAX_PARAMS], i;
    char name[16];

    for (i = 0; i < stmt->n_params; i++)
        formats[i] = (int)(stmt->binary_mask >> i & 1);
    snprintf(name, sizeof name, "sg%u", c->slots[slot].id);
    return PQsendQueryPrepared(c->link.conn, name, stmt->n_params, values, lengths, formats,
                               stmt->binary_result) == 1
               ? 0
               : -1;
}

void
sg_pg_conn_send(struct sg_pg_conn *c, struct sg_pg_job *job)
{
    int i, rc = 0, first = 0;

    sg_pg_jobs_push(&c->flight, job); /* a drop below fails it with the rest */
    for (i = 0; rc == 0 && i < job->n_calls; i++)
        if (!c->slots[job->slots[i]].prepared)
            rc = send_prepare(c, job, job->slots[i]);
    for (i = 0; rc == 0 && i < job->n_calls; i++) {
        rc = send_call(c, job->stmts[i], job->slots[i], job->values + first, job->lengths + first);
        first += job->stmts[i]->n_params;
    }
    if (rc == 0 && PQpipelineSync(c->link.conn) != 1)
        rc = -1;
    free(job->params);
    job->params = NULL;
    if (rc != 0)
        sg_pg_link_drop(&c->link, SG_E_UNAVAILABLE, PQerrorMessage(c->link.conn));
}

static void
take_prepare(struct sg_pg_conn *c, struct sg_pg_job *job, const PGresult *r)
{
    int slot = job->prepares[job->syncs_seen];

    if (PQresultStatus(r) == PGRES_COMMAND_OK)
        return;
    sg_pg_server_error(r, c->link.name, &c->failed_err, c->failed_sqlstate);
    c->failed_slot = slot;
    c->slots[slot].prepared = false;
    sg_pg_job_fail(job, &c->failed_err, c->failed_sqlstate);
}

static void
take_failure(struct sg_pg_conn *c, struct sg_pg_job *job, const PGresult *r)
{
    int i = job->results_seen;
    struct sg_err err;
    char sqlstate[6];

    sg_pg_server_error(r, c->link.name, &err, sqlstate);
    if (i < job->n_calls && (strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "0A000") == 0)) {
        /* The prepared statement is not there, or its result type changed with the schema: prepare
         * it again at its next use. Nothing of this batch happened. */
        c->slots[job->slots[i]].prepared = false;
        if (strcmp(sqlstate, "26000") == 0 && job->slots[i] == c->failed_slot) {
            sg_pg_job_fail(job, &c->failed_err, c->failed_sqlstate);
            return;
        }
        err.code = SG_E_CONFLICT;
        err.retryable = true;
    }
    sg_pg_job_fail(job, &err, sqlstate);
}

static void
take_call(struct sg_pg_conn *c, struct sg_pg_job *job, PGresult *r)
{
    switch (PQresultStatus(r)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        if (job->rc == 0 && job->results_seen < job->n_calls)
            job->results[job->results_seen] = r;
        else
            PQclear(r);
        break;
    case PGRES_PIPELINE_ABORTED: /* after a failure that has been noted */
        PQclear(r);
        break;
    default:
        take_failure(c, job, r);
        PQclear(r);
    }
    job->results_seen++;
}

/* A Sync's answer: a prepare of the head is through, or the head is. */
static void
take_sync(struct sg_pg_conn *c, struct sg_pg_job *job)
{
    if (strcmp(job->sqlstate, "25006") == 0)
        c->retire = true;
    if (job->syncs_seen++ < job->n_prepares)
        return;
    sg_pg_jobs_remove(job);
    if (job->setup)
        sg_pg_job_free(job);
    else
        sg_pg_finished(c->pg, job);
}

void
sg_pg_conn_take_results(struct sg_pg_conn *c)
{
    int nulls = 0; /* one NULL ends each statement; more mean that nothing is left */

    while (c->link.state == SG_PG_LINK_READY && c->flight.head != NULL && nulls < 2 &&
           !PQisBusy(c->link.conn)) {
        struct sg_pg_job *job = c->flight.head;
        PGresult *r = PQgetResult(c->link.conn);

        if (r == NULL) {
            nulls++;
            continue;
        }
        nulls = 0;
        if (PQresultStatus(r) == PGRES_PIPELINE_SYNC) {
            PQclear(r);
            take_sync(c, job);
        } else if (job->syncs_seen < job->n_prepares) {
            take_prepare(c, job, r);
            PQclear(r);
        } else {
            take_call(c, job, r);
        }
    }
    if (c->retire && c->flight.head == NULL && c->link.state == SG_PG_LINK_READY)
        sg_pg_link_drop(&c->link, SG_E_UNAVAILABLE, "the server has become read-only");
}
