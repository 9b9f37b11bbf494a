/* SPDX-License-Identifier: MIT */
#include "collect/lane.h"

#include <stdio.h>

static void
ignore_notice(void *ctx, const char *text)
{
    (void)ctx, (void)text;
}

int
sg_lane_open(struct sg_lane *l, const char *conninfo, const char *place, struct sg_err *err)
{
    *l = (struct sg_lane){0};
    snprintf(l->place, sizeof l->place, "%s", place);
    l->conn = PQconnectdb(conninfo);
    if (PQstatus(l->conn) != CONNECTION_OK) {
        sg_lane_close(l);
        return sg_fail(err, SG_E_UNAVAILABLE, l->place, "could not connect");
    }
    PQsetNoticeProcessor(l->conn, ignore_notice, NULL);
    return sg_lane_run(l, "SET client_min_messages = warning; SET statement_timeout = 0", err);
}

void
sg_lane_close(struct sg_lane *l)
{
    PQfinish(l->conn);
    l->conn = NULL;
}

/* Class 22's message may quote a value, so it is left out. */
int
sg_lane_failed(struct sg_lane *l, const PGresult *r, struct sg_err *err)
{
    const char *state = r != NULL ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    const char *text = state != NULL && strncmp(state, "22", 2) != 0
                           ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY)
                           : NULL;
    enum sg_code code = SG_E_INTERNAL;

    snprintf(l->sqlstate, sizeof l->sqlstate, "%s", state != NULL ? state : "");
    if (state == NULL || strncmp(state, "08", 2) == 0 || strncmp(state, "57", 2) == 0 ||
        strncmp(state, "53", 2) == 0)
        code = SG_E_UNAVAILABLE;
    else if (strncmp(state, "40", 2) == 0 || strcmp(state, "55P03") == 0)
        code = SG_E_CONFLICT;
    else if (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0)
        code = SG_E_INVALID;
    return sg_fail(err, code, l->place, "%s (SQLSTATE %s)",
                   state == NULL  ? "the connection was lost"
                   : text != NULL ? text
                                  : "a value was refused",
                   state != NULL ? state : "none");
}

int
sg_lane_run(struct sg_lane *l, const char *sql, struct sg_err *err)
{
    PGresult *r = PQexec(l->conn, sql);
    ExecStatusType status = PQresultStatus(r);
    int rc =
        status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? 0 : sg_lane_failed(l, r, err);

    PQclear(r);
    return rc;
}

int
sg_lane_ask(struct sg_lane *l, const char *sql, int n, const char *const *params, PGresult **out,
            struct sg_err *err)
{
    PGresult *r = PQexecParams(l->conn, sql, n, NULL, params, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(r);
    int rc =
        status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? 0 : sg_lane_failed(l, r, err);

    if (rc == 0 && out != NULL)
        *out = r;
    else
        PQclear(r);
    return rc;
}

int
sg_lane_copy_begin(struct sg_lane *l, const char *sql, struct sg_err *err)
{
    PGresult *r = PQexec(l->conn, sql);
    int rc = PQresultStatus(r) == PGRES_COPY_IN ? 0 : sg_lane_failed(l, r, err);

    PQclear(r);
    return rc;
}

int
sg_lane_copy_put(struct sg_lane *l, struct sg_slice bytes, struct sg_err *err)
{
    return PQputCopyData(l->conn, bytes.ptr, (int)bytes.len) == 1 ? 0
                                                                  : sg_lane_failed(l, NULL, err);
}

/* Everything the server still has to say, up to the end of the statement. */
static int
finish(struct sg_lane *l, struct sg_err *err)
{
    PGresult *r;
    int rc = 0;

    while ((r = PQgetResult(l->conn)) != NULL) {
        if (rc == 0 && PQresultStatus(r) != PGRES_COMMAND_OK)
            rc = sg_lane_failed(l, r, err);
        PQclear(r);
    }
    return rc;
}

int
sg_lane_copy_end(struct sg_lane *l, struct sg_err *err)
{
    if (PQputCopyEnd(l->conn, NULL) != 1)
        return sg_lane_failed(l, NULL, err);
    return finish(l, err);
}

int
sg_lane_copy_out(struct sg_lane *l, const char *sql,
                 int (*take)(void *ctx, struct sg_slice bytes, struct sg_err *err), void *ctx,
                 struct sg_err *err)
{
    PGresult *r = PQexec(l->conn, sql);
    int rc = PQresultStatus(r) == PGRES_COPY_OUT ? 0 : sg_lane_failed(l, r, err);
    char *bytes;
    int n;

    PQclear(r);
    while (rc == 0 && (n = PQgetCopyData(l->conn, &bytes, 0)) > 0) {
        rc = take(ctx, sg_slice(bytes, (size_t)n), err);
        PQfreemem(bytes);
    }
    if (rc != 0)
        return -1; /* what is still on its way goes with the connection */
    return finish(l, err);
}
