/* SPDX-License-Identifier: MIT */
#include "collect/job.h"

#include "base/clock.h"
#include "model/ddl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const states[] = {"new", "copying", "merging", "done"};

static int
take_lock(struct sg_job *job, struct sg_err *err)
{
    PGresult *r;
    int rc;

    if (sg_lane_ask(&job->control,
                    "SELECT pg_try_advisory_lock(1397048073, hashtext($1)), "
                    "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
                    1, (const char *[]){job->m->schema}, &r, err) != 0)
        return -1;
    job->ahead_ms = strtoll(PQgetvalue(r, 0, 1), NULL, 10) - sg_wall_ms(sg_clock_system());
    rc = strcmp(PQgetvalue(r, 0, 0), "t") == 0
             ? 0
             : sg_fail(err, SG_E_CONFLICT, job->control.place,
                       "somebody transfers into schema %s already", job->m->schema);
    PQclear(r);
    return rc;
}

static int
find_job(struct sg_job *job, struct sg_err *err)
{
    char digest[65];
    PGresult *r;
    int i, rc = 0;

    sg_mapping_digest(job->m, digest);
    if (sg_lane_ask(&job->control,
                    "SELECT job, state, mapping FROM segue_control.collection_job WHERE schema = "
                    "$1 AND name = $2",
                    2, (const char *[]){job->m->schema, job->name}, &r, err) != 0)
        return -1;
    if (PQntuples(r) == 1 && strcmp(PQgetvalue(r, 0, 2), digest) != 0) {
        rc = sg_fail(err, SG_E_CONFLICT, job->control.place,
                     "job %s was begun with another mapping: give this one another --job",
                     job->name);
    } else if (PQntuples(r) == 1) {
        job->number = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
        for (i = SG_JOB_COPYING; i <= SG_JOB_DONE; i++)
            if (strcmp(PQgetvalue(r, 0, 1), states[i]) == 0)
                job->state = (enum sg_job_state)i;
    }
    PQclear(r);
    return rc;
}

int
sg_job_open(struct sg_job *job, const char *control, const struct sg_mapping *m, const char *name,
            struct sg_err *err)
{
    *job = (struct sg_job){.m = m, .name = name};
    if (sg_lane_open(&job->control, control, "control database", err) != 0)
        return -1;
    if (take_lock(job, err) != 0 || find_job(job, err) != 0) {
        sg_job_close(job);
        return -1;
    }
    return 0;
}

void
sg_job_close(struct sg_job *job)
{
    sg_lane_close(&job->control);
}

static int
begin(struct sg_job *job, enum sg_job_state state, struct sg_err *err)
{
    char digest[65];
    PGresult *r;

    sg_mapping_digest(job->m, digest);
    if (sg_lane_ask(&job->control,
                    "INSERT INTO segue_control.collection_job (schema, name, mapping, state) "
                    "VALUES ($1, $2, $3, $4) RETURNING job",
                    4, (const char *[]){job->m->schema, job->name, digest, states[state]}, &r,
                    err) != 0)
        return -1;
    job->number = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    return 0;
}

int
sg_job_set(struct sg_job *job, enum sg_job_state state, struct sg_err *err)
{
    char number[24];

    snprintf(number, sizeof number, "%" PRId64, job->number);
    if (job->state == SG_JOB_NEW
            ? begin(job, state, err) != 0
            : sg_lane_ask(&job->control,
                          "UPDATE segue_control.collection_job SET state = $2, updated_at = "
                          "clock_timestamp() WHERE job = $1::bigint",
                          2, (const char *[]){number, states[state]}, NULL, err) != 0)
        return -1;
    job->state = state;
    return 0;
}

int
sg_job_restart(struct sg_job *job, struct sg_err *err)
{
    char number[24];

    snprintf(number, sizeof number, "%" PRId64, job->number);
    return sg_lane_ask(&job->control,
                       "DELETE FROM segue_control.collection_piece WHERE job = $1::bigint", 1,
                       (const char *[]){number}, NULL, err);
}

int
sg_job_pieces(struct sg_job *job, const char *collection,
              struct sg_job_piece out[SG_JOB_PIECES_MAX], int *n, struct sg_err *err)
{
    char number[24];
    PGresult *r;
    int i;

    snprintf(number, sizeof number, "%" PRId64, job->number);
    if (sg_lane_ask(&job->control,
                    "SELECT text, position, chunk, done FROM segue_control.collection_piece WHERE "
                    "job = $1::bigint AND collection = $2 ORDER BY piece",
                    2, (const char *[]){number, collection}, &r, err) != 0)
        return -1;
    *n = PQntuples(r) < SG_JOB_PIECES_MAX ? PQntuples(r) : SG_JOB_PIECES_MAX;
    for (i = 0; i < *n; i++) {
        snprintf(out[i].piece.text, sizeof out[i].piece.text, "%s", PQgetvalue(r, i, 0));
        snprintf(out[i].position, sizeof out[i].position, "%s", PQgetvalue(r, i, 1));
        out[i].chunk = strtoll(PQgetvalue(r, i, 2), NULL, 10);
        out[i].done = strcmp(PQgetvalue(r, i, 3), "t") == 0;
    }
    PQclear(r);
    return 0;
}

int
sg_job_note(struct sg_job *job, const char *collection, int index, const struct sg_job_piece *p,
            struct sg_err *err)
{
    char number[24], piece[16], chunk[24];

    snprintf(number, sizeof number, "%" PRId64, job->number);
    snprintf(piece, sizeof piece, "%d", index);
    snprintf(chunk, sizeof chunk, "%" PRId64, p->chunk);
    return sg_lane_ask(
        &job->control,
        "INSERT INTO segue_control.collection_piece (job, collection, piece, text, position, "
        "chunk, done) VALUES ($1::bigint, $2, $3::int, $4, $5, $6::bigint, $7::boolean) ON "
        "CONFLICT (job, collection, piece) DO UPDATE SET position = excluded.position, chunk = "
        "excluded.chunk, done = excluded.done, updated_at = clock_timestamp()",
        7,
        (const char *[]){number, collection, piece, p->piece.text, p->position, chunk,
                         p->done ? "t" : "f"},
        NULL, err);
}
