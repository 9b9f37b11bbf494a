/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The server's or libpq's text without its line ends. */
static int
fail_with(struct control_db *db, enum sg_code code, const char *text, struct sg_err *err)
{
    char line[300];
    size_t i;

    snprintf(line, sizeof line, "%s", text != NULL ? text : "");
    for (i = strlen(line); i > 0 && line[i - 1] == '\n'; i--)
        line[i - 1] = '\0';
    for (i = 0; line[i] != '\0'; i++)
        if (line[i] == '\n')
            line[i] = ' ';
    return sg_fail(err, code, db->name, "%s", line);
}

static void
ignore_notice(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
}

int
control_open(struct control_db *db, const char *conninfo, const char *name, struct sg_err *err)
{
    PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);
    char timeout[16];
    /* What comes later wins, so the connection string may name its own timeout. */
    const char *keys[] = {"connect_timeout", "dbname", "application_name", "client_encoding", NULL};
    const char *values[] = {timeout, conninfo, "segue", "UTF8", NULL};

    *db = (struct control_db){0};
    snprintf(db->name, sizeof db->name, "%s", name);
    /* libpq would show the string, with its password, when it is malformed. */
    if (parsed == NULL)
        return sg_fail(err, SG_E_INVALID, db->name, "not a PostgreSQL connection string");
    PQconninfoFree(parsed);
    snprintf(timeout, sizeof timeout, "%d", CONTROL_CONNECT_TIMEOUT_S);
    db->conn = PQconnectdbParams(keys, values, 1);
    if (PQstatus(db->conn) != CONNECTION_OK) {
        fail_with(db, SG_E_UNAVAILABLE, PQerrorMessage(db->conn), err);
        control_close(db);
        return -1;
    }
    PQsetNoticeProcessor(db->conn, ignore_notice, NULL);
    return 0;
}

void
control_close(struct control_db *db)
{
    PQfinish(db->conn);
    db->conn = NULL;
}

static int
check(struct control_db *db, PGresult *r, struct sg_err *err)
{
    ExecStatusType status = PQresultStatus(r);
    const char *state, *text;
    enum sg_code code = SG_E_INTERNAL;

    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return 0;
    state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    if (PQstatus(db->conn) != CONNECTION_OK)
        code = SG_E_UNAVAILABLE;
    else if (state != NULL && (strcmp(state, "23505") == 0 || strncmp(state, "40", 2) == 0))
        code = SG_E_CONFLICT;
    else if (state != NULL && strcmp(state, "SG002") == 0)
        code = SG_E_DENIED;
    return fail_with(db, code, text != NULL ? text : PQerrorMessage(db->conn), err);
}

int
control_run(struct control_db *db, PGresult **out, struct sg_err *err, const char *sql, int n,
            const char *const *params)
{
    PGresult *r = PQexecParams(db->conn, sql, n, NULL, params, NULL, NULL, 0);
    int rc = check(db, r, err);

    if (rc == 0 && out != NULL)
        *out = r;
    else
        PQclear(r);
    return rc;
}

int
control_number(struct control_db *db, int64_t fallback, int64_t *out, struct sg_err *err,
               const char *sql, int n, const char *const *params)
{
    PGresult *r;

    if (control_run(db, &r, err, sql, n, params) != 0)
        return -1;
    *out = PQntuples(r) > 0 && !PQgetisnull(r, 0, 0) ? strtoll(PQgetvalue(r, 0, 0), NULL, 10)
                                                     : fallback;
    PQclear(r);
    return 0;
}

int
control_script(struct control_db *db, struct sg_slice sql, struct sg_err *err)
{
    PGresult *r = PQexec(db->conn, sql.ptr);
    int rc = check(db, r, err);

    PQclear(r);
    return rc;
}

int
control_begin(struct control_db *db, struct sg_err *err)
{
    return control_run(db, NULL, err, "BEGIN", 0, NULL);
}

int
control_commit(struct control_db *db, struct sg_err *err)
{
    return control_run(db, NULL, err, "COMMIT", 0, NULL);
}

void
control_rollback(struct control_db *db)
{
    PQclear(PQexec(db->conn, "ROLLBACK"));
}

int
control_version(struct control_db *db, const struct sg_schema *schema, int *out, struct sg_err *err)
{
    const char *const table[] = {schema->table};
    int64_t there, version = 0;
    char sql[128];

    if (control_number(db, 0, &there, err, "SELECT (to_regclass($1) IS NOT NULL)::int", 1, table) !=
        0)
        return -1;
    snprintf(sql, sizeof sql, "SELECT max(version) FROM %s", schema->table);
    if (there && control_number(db, 0, &version, err, sql, 0, NULL) != 0)
        return -1;
    if (version > schema->version)
        return sg_fail(
            err, SG_E_INVALID, db->name,
            "its %s schema has version %d, this binary knows up to %d: run a newer segue",
            schema->name, (int)version, schema->version);
    *out = (int)version;
    return 0;
}

void
control_actor(char *out, size_t cap)
{
    const char *name = getenv("SUDO_USER");

    if (name == NULL || name[0] == '\0')
        name = getenv("USER");
    if (name == NULL || name[0] == '\0')
        snprintf(out, cap, "uid %ld", (long)getuid());
    else
        snprintf(out, cap, "%s", name);
}

int
control_journal(struct control_db *db, const struct control_entry *entry, struct sg_err *err)
{
    char actor[65];
    const char *const params[] = {entry->realm,  actor,
                                  entry->action, entry->why != NULL ? entry->why : "",
                                  entry->from,   entry->to};

    control_actor(actor, sizeof actor);
    return control_run(db, NULL, err,
                       "INSERT INTO segue_control.journal (realm, actor, action, why, from_state, "
                       "to_state) VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb)",
                       6, params);
}
