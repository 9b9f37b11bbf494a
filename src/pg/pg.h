/* SPDX-License-Identifier: MIT */
#ifndef SG_PG_PG_H
#define SG_PG_PG_H

#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"

#include <libpq-fe.h>
#include <stdint.h>
#include <uv.h>

/* A small pool of pipelined, prepared connections to one PostgreSQL server, used from one event
 * loop. Never blocks. Connects on first use and again after a loss, with backoff (10 ms doubling to
 * 1 s). */
struct sg_pg;

#define SG_PG_MAX_CONNECTIONS 16

struct sg_pg_options {
    const char *conninfo; /* libpq URL or key=value string; multi-host works; copied. libpq looks
                             names up with a blocking call: give addresses or Unix sockets. */
    const char *name; /* stands for the server in errors ("shard 2"); copied. Never the conninfo. */
    int connections;  /* pool size, 1..SG_PG_MAX_CONNECTIONS */
    int connect_timeout_ms; /* own timer: a stopped server accepts and then hangs */
    int max_queued; /* batches waiting or in flight, those given up but still at the server too;
                       one more fails with SG_E_LIMIT */
};

SG_MUST_USE int sg_pg_open(uv_loop_t *loop, const struct sg_clock *clock,
                           const struct sg_pg_options *options, struct sg_pg **out,
                           struct sg_err *err);

/* Closes every connection; whatever is under way completes with SG_E_CANCELLED before this returns.
 * The handles are freed by later turns of the loop, which must run until `closed` is called (NULL
 * is fine). */
void sg_pg_close(struct sg_pg *pg, void (*closed)(void *ctx), void *ctx);

/* True while at least one connection is established. */
bool sg_pg_is_up(const struct sg_pg *pg);

/* One statement of a batch. A statement is a constant: its address is its identity, and each
 * connection prepares it once; it must outlive the pool, which knows at most
 * SG_PG_MAX_PREPARED of them. Parameters are in text format, or binary where that bit of
 * binary_mask is set ($1 is bit 0). */
struct sg_pg_stmt {
    const char *name; /* for errors */
    const char *sql;
    int n_params;
    uint32_t binary_mask;
    bool binary_result;
};

#define SG_PG_MAX_STATEMENTS 8
#define SG_PG_MAX_PARAMS 32
#define SG_PG_MAX_PREPARED 256
#define SG_PG_MAX_PARAM_BYTES (16 << 20)

struct sg_pg_call {
    const struct sg_pg_stmt *stmt;
    struct sg_slice params[SG_PG_MAX_PARAMS]; /* copied at submit; ptr NULL is SQL NULL */
};

/* Statements that travel together, up to one Sync: one implicit transaction, so an error in one
 * rolls all back. Embed it in the struct that owns the operation and get back by sg_container_of.
 * It must live until done is called, which happens exactly once, from the loop, never from within
 * sg_pg_submit. */
struct sg_pg_batch {
    /* in */
    struct sg_pg_call calls[SG_PG_MAX_STATEMENTS];
    int n_calls;
    uint64_t deadline_ns; /* monotonic; 0 is not allowed */
    void (*done)(struct sg_pg_batch *batch);
    /* out: results[i] of calls[i], owned by the batch until sg_pg_batch_clear; valid when rc is 0
     */
    int rc;
    struct sg_err err;
    /* Of the first failed statement, "" otherwise. It decides err.code: SG001 NOT_OWNER; 40001,
     * 40P01, 55P03 CONFLICT; 57014 (statement_timeout) TIMEOUT; 08, 53, 57P, 25006 UNAVAILABLE;
     * 22, 23 INVALID; others INTERNAL. err.text is the server's primary message, which holds
     * parameter values in class 22 only and is left out there. */
    char sqlstate[6];
    PGresult *results[SG_PG_MAX_STATEMENTS];
    /* private to pg/ */
    struct sg_pg *pg; /* set from submit until done is called */
    struct sg_pg_job *job;
    struct sg_pg_batch *next;
};

/* Queues the batch. Every outcome, also "queue full", arrives through done. After the deadline done
 * reports SG_E_TIMEOUT and the batch may be freed although the server may still be at work on it.
 * A batch that could not even be sent by then, there being no connection, did not happen:
 * SG_E_UNAVAILABLE with the reason why connecting fails. A connection lost under a batch that was
 * sent is SG_E_UNAVAILABLE too, and it may or may not have happened. */
void sg_pg_submit(struct sg_pg *pg, struct sg_pg_batch *batch);

/* Gives a submitted batch up: done is called with SG_E_CANCELLED from a later turn of the loop. */
void sg_pg_cancel(struct sg_pg_batch *batch);

/* Frees the results, so that the batch may be used again. */
void sg_pg_batch_clear(struct sg_pg_batch *batch);

/* Reading results: rows, and column c of row r (empty slice with ptr NULL for SQL NULL). sg_pg_int
 * reads integers, in text or binary. An index out of range is a mistake of the program: asserted.
 */
int sg_pg_rows(const struct sg_pg_batch *batch, int call);
struct sg_slice sg_pg_value(const struct sg_pg_batch *batch, int call, int row, int column);
int64_t sg_pg_int(const struct sg_pg_batch *batch, int call, int row, int column, int64_t if_null);

/* A connection of its own that LISTENs. up: established (again), so whatever was missed must be
 * polled; notify: a payload arrived; down: lost, reconnecting. Callbacks come from the loop. */
struct sg_pg_listener;

struct sg_pg_listener_events {
    void (*up)(void *ctx);
    void (*notify)(void *ctx, const char *channel, const char *payload);
    void (*down)(void *ctx, const struct sg_err *err);
    void *ctx;
};

SG_MUST_USE int sg_pg_listen(uv_loop_t *loop, const struct sg_clock *clock,
                             const struct sg_pg_options *options, const char *channel,
                             const struct sg_pg_listener_events *events,
                             struct sg_pg_listener **out, struct sg_err *err);
void sg_pg_listener_close(struct sg_pg_listener *l, void (*closed)(void *ctx), void *ctx);

#endif
