/* SPDX-License-Identifier: MIT */
#ifndef SG_COLLECT_LANE_H
#define SG_COLLECT_LANE_H

#include "base/err.h"
#include "base/slice.h"

#include <libpq-fe.h>

/* A blocking connection of one thread: transactions of COPY, which the pools of pg/ are not for. */
struct sg_lane {
    PGconn *conn;
    char place[64];   /* "shard 2"; never the connection string */
    char sqlstate[6]; /* of the last statement that failed; "" = the connection was lost */
};

SG_MUST_USE int sg_lane_open(struct sg_lane *lane, const char *conninfo, const char *place,
                             struct sg_err *err);
/* Rolls back what was not committed. A zeroed lane is fine. */
void sg_lane_close(struct sg_lane *lane);

/* Statements without parameters or results. */
SG_MUST_USE int sg_lane_run(struct sg_lane *lane, const char *sql, struct sg_err *err);
/* One statement with text parameters; *out (may be NULL) is freed with PQclear. */
SG_MUST_USE int sg_lane_ask(struct sg_lane *lane, const char *sql, int n, const char *const *params,
                            PGresult **out, struct sg_err *err);

/* COPY … FROM STDIN: begin, put any number of times, end. */
SG_MUST_USE int sg_lane_copy_begin(struct sg_lane *lane, const char *sql, struct sg_err *err);
SG_MUST_USE int sg_lane_copy_put(struct sg_lane *lane, struct sg_slice bytes, struct sg_err *err);
SG_MUST_USE int sg_lane_copy_end(struct sg_lane *lane, struct sg_err *err);

/* COPY … TO STDOUT: each chunk of bytes goes to take; -1 stops with *err. */
SG_MUST_USE int sg_lane_copy_out(struct sg_lane *lane, const char *sql,
                                 int (*take)(void *ctx, struct sg_slice bytes, struct sg_err *err),
                                 void *ctx, struct sg_err *err);

/* Fills *err with what the server said of a failed statement, without any value. */
int sg_lane_failed(struct sg_lane *lane, const PGresult *r, struct sg_err *err);

#endif
