/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_CONTROL_H
#define SEGUE_CONTROL_H

#include "base/err.h"
#include "base/slice.h"
#include "config/config.h"

#include <libpq-fe.h>

/* Blocking PostgreSQL for commands that run once and end. Errors are placed by name ("control",
 * "shard 2"), never by the connection string. */
SG_MUST_USE int control_connect(const char *conninfo, const char *name, PGconn **out,
                                struct sg_err *err);

/* One statement with text parameters; *out is the caller's to PQclear. */
SG_MUST_USE int control_query(PGconn *conn, const char *name, PGresult **out, struct sg_err *err,
                              const char *sql, int n_params, const char *const *params);
/* The same without a result. */
SG_MUST_USE int control_exec(PGconn *conn, const char *name, struct sg_err *err, const char *sql,
                             int n_params, const char *const *params);

/* Who acts, for the journal: SUDO_USER or the login name, and the host. */
void control_actor(char out[128]);

/* The realm of --realm, or the only one. */
SG_MUST_USE int control_realm(const struct sg_config *config, const char *name,
                              const struct sg_realm_config **out, struct sg_err *err);

#endif
