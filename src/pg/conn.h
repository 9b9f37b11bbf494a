/* SPDX-License-Identifier: MIT */
#ifndef SG_PG_CONN_H
#define SG_PG_CONN_H

#include "pg/link.h"
#include "pg/pg.h"

/* Private to pg/: what the pool (pool.c) and its connections (conn.c) share. */

struct sg_pg_conn;

/* A batch as the pool holds it. The batch itself may be freed by its owner once done was called, so
 * that what is still at the server must not need it. */
struct sg_pg_job {
    struct sg_pg_job *next, *prev;
    struct sg_pg_jobs *in;     /* the list it is on */
    bool setup;                /* the connection's own, not counted by the pool */
    struct sg_pg_batch *batch; /* NULL once given up */
    uint64_t deadline_ns;
    int n_calls;
    const struct sg_pg_stmt *stmts[SG_PG_MAX_STATEMENTS];
    int slots[SG_PG_MAX_STATEMENTS]; /* each statement's place in the pool's table */
    void *params;                    /* one block; values and lengths point into it */
    const char **values;
    int *lengths;
    /* Prepares sent ahead of it, each with a Sync of its own, so that none is undone or skipped
     * because of another. */
    int prepares[SG_PG_MAX_STATEMENTS];
    int n_prepares;
    /* progress */
    int syncs_seen, results_seen;
    int rc;
    struct sg_err err;
    char sqlstate[6];
    PGresult *results[SG_PG_MAX_STATEMENTS];
};

struct sg_pg_jobs {
    struct sg_pg_job *head, *tail;
    int n;
};

void sg_pg_jobs_push(struct sg_pg_jobs *list, struct sg_pg_job *job);
void sg_pg_jobs_remove(struct sg_pg_job *job);
void sg_pg_job_free(struct sg_pg_job *job);
/* The first failure counts; results are dropped. */
void sg_pg_job_fail(struct sg_pg_job *job, const struct sg_err *err, const char *sqlstate);

struct sg_pg_slot {
    unsigned id; /* names the prepared statement "sgID"; a new one each time it is prepared */
    bool prepared;
};

struct sg_pg_conn {
    struct sg_pg_link link;
    struct sg_pg *pg;
    struct sg_pg_jobs flight; /* sent, in the order of their answers */
    bool retire; /* read-only since a failover: a multi-host string may find the new primary, so
                    nothing more is sent and the last answer drops it */
    unsigned last_id;
    struct sg_pg_slot slots[SG_PG_MAX_PREPARED];
    /* Why a statement could not be prepared: told to the batches that were already sent after it.
     */
    int failed_slot; /* -1: none */
    struct sg_err failed_err;
    char failed_sqlstate[6];
};

#define SG_PG_MAX_IN_FLIGHT 128 /* jobs a connection */

/* Statements known to the pool by address. */
const struct sg_pg_stmt *sg_pg_statement(const struct sg_pg *pg, int slot);

/* The connection is new: enters pipeline mode and forgets what the last one had prepared. */
void sg_pg_conn_reset(struct sg_pg_conn *conn);

/* Sends a job (its prepares first), appending it to flight. A failure drops the link. */
void sg_pg_conn_send(struct sg_pg_conn *conn, struct sg_pg_job *job);

/* Takes every result that is complete; finished jobs go to the pool by sg_pg_finished. */
void sg_pg_conn_take_results(struct sg_pg_conn *conn);

/* A job of the flight has its outcome (or its batch has gone): given back to the pool. */
void sg_pg_finished(struct sg_pg *pg, struct sg_pg_job *job);

/* A failed statement's error from the server's; sqlstate[6] filled too. */
void sg_pg_server_error(const PGresult *result, const char *name, struct sg_err *err,
                        char *sqlstate);

#endif
