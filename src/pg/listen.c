/* SPDX-License-Identifier: MIT */
#include "pg/conn.h"

#include <stdio.h>
#include <stdlib.h>

#define CHECK_EVERY_MS 1000 /* a SELECT 1, so that a peer gone without a word is noticed */
#define CHECK_WITHIN_NS (2000 * SG_NS_PER_MS)

struct sg_pg_listener {
    struct sg_pg_link link;
    struct sg_pg_listener_events events;
    char *conninfo, *name, *channel;
    uv_timer_t timer;
    bool listening;    /* up was called */
    bool told;         /* down was called for this outage */
    uint64_t asked_ns; /* when the statement under way was sent; 0: none is */
    int open_handles;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void
ask(struct sg_pg_listener *l, const char *sql)
{
    if (PQsendQueryParams(l->link.conn, sql, 0, NULL, NULL, NULL, NULL, 0) != 1) {
        sg_pg_link_drop(&l->link, SG_E_UNAVAILABLE, PQerrorMessage(l->link.conn));
        return;
    }
    l->asked_ns = sg_mono_ns(l->link.clock);
    sg_pg_link_flush(&l->link);
}

static void
on_timer(uv_timer_t *timer)
{
    struct sg_pg_listener *l = timer->data;

    sg_pg_link_start(&l->link); /* at the first turn */
    if (l->link.state != SG_PG_LINK_READY)
        return;
    if (l->asked_ns == 0)
        ask(l, "SELECT 1");
    else if (sg_mono_ns(l->link.clock) - l->asked_ns >= CHECK_WITHIN_NS)
        sg_pg_link_drop(&l->link, SG_E_UNAVAILABLE, "the server stopped answering");
}

static void
on_up(struct sg_pg_link *link)
{
    struct sg_pg_listener *l = sg_container_of(link, struct sg_pg_listener, link);
    char *quoted = PQescapeIdentifier(link->conn, l->channel, strlen(l->channel));
    char sql[160];

    l->asked_ns = 0;
    if (quoted == NULL) {
        sg_pg_link_drop(link, SG_E_INTERNAL, "out of memory");
        return;
    }
    snprintf(sql, sizeof sql, "LISTEN %s", quoted);
    PQfreemem(quoted);
    ask(l, sql);
}

/* Takes the answers to LISTEN and SELECT 1. */
static void
take_results(struct sg_pg_listener *l)
{
    struct sg_err err;
    char sqlstate[6];
    PGresult *r;

    while (l->asked_ns != 0 && !PQisBusy(l->link.conn)) {
        ExecStatusType status;

        if ((r = PQgetResult(l->link.conn)) == NULL) {
            l->asked_ns = 0;
            if (PQstatus(l->link.conn) != CONNECTION_OK)
                return;
            if (!l->listening) {
                l->listening = true;
                l->told = false;
                l->events.up(l->events.ctx);
            }
            return;
        }
        status = PQresultStatus(r);
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
            sg_pg_server_error(r, l->link.name, &err, sqlstate);
            PQclear(r);
            sg_pg_link_drop(&l->link, err.code, err.text);
            return;
        }
        PQclear(r);
    }
}

static void
on_input(struct sg_pg_link *link)
{
    struct sg_pg_listener *l = sg_container_of(link, struct sg_pg_listener, link);
    PGnotify *n;

    take_results(l);
    while (link->state == SG_PG_LINK_READY && (n = PQnotifies(link->conn)) != NULL) {
        if (l->listening)
            l->events.notify(l->events.ctx, n->relname, n->extra);
        PQfreemem(n);
    }
}

static void
on_down(struct sg_pg_link *link, bool was_up, const struct sg_err *err)
{
    struct sg_pg_listener *l = sg_container_of(link, struct sg_pg_listener, link);

    (void)was_up;
    l->listening = false;
    l->asked_ns = 0;
    if (!l->told) {
        l->told = true;
        l->events.down(l->events.ctx, err);
    }
}

static void
free_listener(struct sg_pg_listener *l)
{
    free(l->conninfo);
    free(l->name);
    free(l->channel);
    free(l);
}

static void
handle_closed(struct sg_pg_listener *l)
{
    if (--l->open_handles > 0)
        return;
    if (l->closed != NULL)
        l->closed(l->closed_ctx);
    free_listener(l);
}

static void
on_link_closed(struct sg_pg_link *link)
{
    handle_closed(sg_container_of(link, struct sg_pg_listener, link));
}

static void
on_timer_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

int
sg_pg_listen(uv_loop_t *loop, const struct sg_clock *clock, const struct sg_pg_options *options,
             const char *channel, const struct sg_pg_listener_events *events,
             struct sg_pg_listener **out, struct sg_err *err)
{
    struct sg_pg_listener *l;

    if (sg_pg_link_check(options->conninfo, options->name, err) != 0)
        return -1;
    if (strlen(channel) > 63)
        return sg_fail(err, SG_E_INVALID, options->name, "channel name above 63 bytes");
    if ((l = calloc(1, sizeof *l)) == NULL)
        return sg_fail(err, SG_E_INTERNAL, options->name, "out of memory");
    l->conninfo = strdup(options->conninfo);
    l->name = strdup(options->name);
    l->channel = strdup(channel);
    if (l->conninfo == NULL || l->name == NULL || l->channel == NULL) {
        free_listener(l);
        return sg_fail(err, SG_E_INTERNAL, options->name, "out of memory");
    }
    l->events = *events;
    l->link = (struct sg_pg_link){.clock = clock,
                                  .conninfo = l->conninfo,
                                  .name = l->name,
                                  .connect_timeout_ms = options->connect_timeout_ms,
                                  .up = on_up,
                                  .input = on_input,
                                  .down = on_down,
                                  .closed = on_link_closed};
    l->open_handles = 2;
    sg_pg_link_init(&l->link, loop);
    uv_timer_init(loop, &l->timer);
    l->timer.data = l;
    uv_timer_start(&l->timer, on_timer, 0, CHECK_EVERY_MS);
    *out = l;
    return 0;
}

void
sg_pg_listener_close(struct sg_pg_listener *l, void (*closed)(void *ctx), void *ctx)
{
    l->closed = closed;
    l->closed_ctx = ctx;
    sg_pg_link_close(&l->link);
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}
