/* SPDX-License-Identifier: MIT */
#ifndef SG_PG_LINK_H
#define SG_PG_LINK_H

#include "base/clock.h"
#include "base/err.h"

#include <libpq-fe.h>
#include <stdint.h>
#include <uv.h>

/* Private to pg/. One libpq connection that keeps itself up: connects without blocking under its
 * own timer, polls its socket, and comes back after a loss with backoff (10 ms doubling to 1 s). */
enum sg_pg_link_state {
    SG_PG_LINK_IDLE, /* not asked for yet */
    SG_PG_LINK_CONNECTING,
    SG_PG_LINK_READY,
    SG_PG_LINK_WAITING, /* for the backoff to pass */
    SG_PG_LINK_CLOSED,
};

struct sg_pg_link {
    /* set by the owner before sg_pg_link_init; the strings are the owner's and must outlive it */
    const struct sg_clock *clock;
    const char *conninfo;
    const char *name;
    int connect_timeout_ms;
    void (*up)(struct sg_pg_link *link);    /* established; conn is non-blocking */
    void (*input)(struct sg_pg_link *link); /* bytes came: take what is complete; may drop or close
                                               the link */
    /* An attempt failed or an established connection (was_up) is lost; conn is gone already. */
    void (*down)(struct sg_pg_link *link, bool was_up, const struct sg_err *err);
    void (*closed)(struct sg_pg_link *link); /* after sg_pg_link_close: the memory is the owner's */
    /* read by the owner */
    enum sg_pg_link_state state;
    PGconn *conn;           /* NULL unless connecting or ready */
    uint64_t last_input_ns; /* of the last bytes, or of becoming ready */
    /* private */
    uv_loop_t *loop;
    uv_poll_t *poll;
    uv_timer_t timer;
    int backoff_ms;
};

/* Reads the connection string only to see whether it can be: SG_E_INVALID without quoting it, for
 * it may hold a password. */
SG_MUST_USE int sg_pg_link_check(const char *conninfo, const char *name, struct sg_err *err);

void sg_pg_link_init(struct sg_pg_link *link, uv_loop_t *loop);

/* Begins to connect unless that was begun before. */
void sg_pg_link_start(struct sg_pg_link *link);

/* Writes out what libpq has buffered as far as the socket takes it, the rest when it can. May end
 * in down. */
void sg_pg_link_flush(struct sg_pg_link *link);

/* Gives the connection up and reconnects after the backoff. text is libpq's message or our own. */
void sg_pg_link_drop(struct sg_pg_link *link, enum sg_code code, const char *text);

/* No callback but `closed` comes after this. */
void sg_pg_link_close(struct sg_pg_link *link);

#endif
