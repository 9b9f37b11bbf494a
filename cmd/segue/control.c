/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
control_connect(const char *conninfo, const char *name, PGconn **out, struct sg_err *err)
{
    const char *const keys[] = {"dbname", "connect_timeout", "application_name", NULL};
    const char *const values[] = {conninfo, "5", "segue", NULL};
    PGconn *conn = PQconnectdbParams(keys, values, 1);

    if (PQstatus(conn) != CONNECTION_OK) {
        char *text = PQerrorMessage(conn);

        text[strcspn(text, "\n")] = '\0';
        sg_fail(err, SG_E_UNAVAILABLE, name, "%s", text);
        PQfinish(conn);
        return -1;
    }
    *out = conn;
    return 0;
}

int
control_query(PGconn *conn, const char *name, PGresult **out, struct sg_err *err, const char *sql,
              int n_params, const char *const *params)
{
    PGresult *r = PQexecParams(conn, sql, n_params, NULL, params, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(r);

    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
        const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
        bool no_schema =
            state != NULL && (strcmp(state, "42P01") == 0 || strcmp(state, "3F000") == 0);

        sg_fail(err, status == PGRES_FATAL_ERROR && text == NULL ? SG_E_UNAVAILABLE : SG_E_INTERNAL,
                name, "%s%s", text != NULL ? text : "the connection was lost",
                no_schema ? ": run `segue init` first" : "");
        PQclear(r);
        return -1;
    }
    *out = r;
    return 0;
}

int
control_exec(PGconn *conn, const char *name, struct sg_err *err, const char *sql, int n_params,
             const char *const *params)
{
    PGresult *r;

    if (control_query(conn, name, &r, err, sql, n_params, params) != 0)
        return -1;
    PQclear(r);
    return 0;
}

void
control_actor(char out[128])
{
    const char *user = getenv("SUDO_USER");
    const struct passwd *pw = getpwuid(getuid());
    char host[64] = "";

    if (user == NULL || *user == '\0')
        user = pw != NULL ? pw->pw_name : "unknown";
    gethostname(host, sizeof host - 1);
    snprintf(out, 128, "%.60s@%s", user, host);
}

int
control_realm(const struct sg_config *config, const char *name, const struct sg_realm_config **out,
              struct sg_err *err)
{
    const struct sg_realm_config *r = sg_config_realm(config, name);

    if (name == NULL && config->n_realms > 1)
        return sg_fail(err, SG_E_INVALID, config->path,
                       "there are %d realms: name one with --realm", config->n_realms);
    if (r == NULL)
        return sg_fail(err, SG_E_NOT_FOUND, config->path, "there is no realm '%.60s'", name);
    *out = r;
    return 0;
}
