/* SPDX-License-Identifier: MIT */
#include "pg/conn.h"

#include <stdio.h>

static bool
is(const char *sqlstate, const char *prefix)
{
    return strncmp(sqlstate, prefix, strlen(prefix)) == 0;
}

/* Codes: PostgreSQL 15, appendix A. */
static enum sg_code
code_of(const char *s)
{
    if (is(s, "SG001"))
        return SG_E_NOT_OWNER;
    if (is(s, "40001") || is(s, "40P01") || is(s, "55P03"))
        return SG_E_CONFLICT;
    if (is(s, "57014")) /* canceled, mostly by statement_timeout */
        return SG_E_TIMEOUT;
    if (is(s, "08P01")) /* our own mistake, such as the wrong number of parameters */
        return SG_E_INTERNAL;
    if (is(s, "57P") || is(s, "08") || is(s, "53") || is(s, "25006"))
        return SG_E_UNAVAILABLE;
    if (is(s, "22") || is(s, "23"))
        return SG_E_INVALID;
    return SG_E_INTERNAL;
}

void
sg_pg_server_error(const PGresult *result, const char *name, struct sg_err *err, char *sqlstate)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    if (state == NULL || message == NULL) { /* libpq's own: the connection broke under it */
        snprintf(sqlstate, 6, "08006");
        sg_fail(err, SG_E_UNAVAILABLE, name, "the connection broke");
        return;
    }
    snprintf(sqlstate, 6, "%s", state);
    if (is(state, "22")) /* data exceptions quote the value */
        sg_fail(err, code_of(state), name, "the server refused a value (SQLSTATE %s)", state);
    else
        sg_fail(err, code_of(state), name, "%s (SQLSTATE %s)", message, state);
}
