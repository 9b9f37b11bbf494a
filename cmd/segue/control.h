/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_CONTROL_H
#define SEGUE_CONTROL_H

#include "base/err.h"
#include "store/schema.h"

#include <libpq-fe.h>
#include <stdint.h>

/* Blocking access to the control schema and to shards, for commands: they have nothing else to do
 * while they wait. Errors are placed by name ("control", "shard 2"), never by connection string. */
struct control_db {
    PGconn *conn;
    char name[32];
};

#define CONTROL_CONNECT_TIMEOUT_S 5 /* per host, unless the connection string says otherwise */

SG_MUST_USE int control_open(struct control_db *db, const char *conninfo, const char *name,
                             struct sg_err *err);
/* Also undoes an open transaction. NULL-safe: a zeroed db is fine. */
void control_close(struct control_db *db);

/* Runs one statement with n text parameters (NULL = SQL NULL). *out (may be NULL): the result, to
 * be freed with PQclear. A unique or serialization conflict is SG_E_CONFLICT, a lost connection
 * SG_E_UNAVAILABLE, what the schema's own functions refuse (SG002) SG_E_DENIED, everything else
 * SG_E_INTERNAL. */
SG_MUST_USE int control_run(struct control_db *db, PGresult **out, struct sg_err *err,
                            const char *sql, int n, const char *const *params);

/* The first column of the first row as a number; fallback where there is none. */
SG_MUST_USE int control_number(struct control_db *db, int64_t fallback, int64_t *out,
                               struct sg_err *err, const char *sql, int n,
                               const char *const *params);

/* Several statements without parameters, in one transaction of their own. */
SG_MUST_USE int control_script(struct control_db *db, struct sg_slice sql, struct sg_err *err);

SG_MUST_USE int control_begin(struct control_db *db, struct sg_err *err);
SG_MUST_USE int control_commit(struct control_db *db, struct sg_err *err);
/* Undoes what is open; what fails then is undone by the server. */
void control_rollback(struct control_db *db);

/* The version that the schema has: 0 where there is none. SG_E_INVALID where it is newer than this
 * binary. */
SG_MUST_USE int control_version(struct control_db *db, const struct sg_schema *schema, int *out,
                                struct sg_err *err);

/* One row of the journal (P8), within the transaction of what it tells. from, to: JSON or NULL. */
struct control_entry {
    const char *realm, *action, *why, *from, *to;
};
SG_MUST_USE int control_journal(struct control_db *db, const struct control_entry *entry,
                                struct sg_err *err);

/* Who runs this command: SUDO_USER, USER or the numeric id. */
void control_actor(char *out, size_t cap);

#endif
