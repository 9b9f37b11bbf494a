/* SPDX-License-Identifier: MIT */
#include "pg/link.h"

#include <assert.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_FIRST_MS 10
#define BACKOFF_MOST_MS 1000

static void on_timer(uv_timer_t *timer);
static void on_poll(uv_poll_t *poll, int status, int events);

static void
set_state(struct sg_pg_link *l, enum sg_pg_link_state to)
{
    static const unsigned may_follow[] = {
        [SG_PG_LINK_CONNECTING] = 1u << SG_PG_LINK_IDLE | 1u << SG_PG_LINK_WAITING,
        [SG_PG_LINK_READY] = 1u << SG_PG_LINK_CONNECTING,
        [SG_PG_LINK_WAITING] = 1u << SG_PG_LINK_CONNECTING | 1u << SG_PG_LINK_READY,
        [SG_PG_LINK_CLOSED] = 1u << SG_PG_LINK_IDLE | 1u << SG_PG_LINK_CONNECTING |
                              1u << SG_PG_LINK_READY | 1u << SG_PG_LINK_WAITING,
    };

    assert((may_follow[to] & 1u << l->state) != 0);
    l->state = to;
}

static void
silent(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

int
sg_pg_link_check(const char *conninfo, const char *name, struct sg_err *err)
{
    PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);

    if (parsed == NULL)
        return sg_fail(err, SG_E_INVALID, name,
                       "could not read the connection string: expected postgresql://… or key=value "
                       "pairs");
    PQconninfoFree(parsed);
    return 0;
}

void
sg_pg_link_init(struct sg_pg_link *l, uv_loop_t *loop)
{
    l->loop = loop;
    l->state = SG_PG_LINK_IDLE;
    l->conn = NULL;
    l->poll = NULL;
    l->backoff_ms = 0;
    uv_timer_init(loop, &l->timer);
    l->timer.data = l;
}

static void
free_handle(uv_handle_t *handle)
{
    free(handle);
}

/* Must come before libpq can close the socket: libuv would go on believing in the descriptor. */
static void
unwatch(struct sg_pg_link *l)
{
    if (l->poll == NULL)
        return;
    uv_poll_stop(l->poll);
    uv_close((uv_handle_t *)l->poll, free_handle);
    l->poll = NULL;
}

static int
watch(struct sg_pg_link *l, int events)
{
    if (l->poll == NULL) {
        uv_poll_t *poll = malloc(sizeof *poll);

        if (poll == NULL || uv_poll_init(l->loop, poll, PQsocket(l->conn)) != 0) {
            free(poll);
            return -1;
        }
        poll->data = l;
        l->poll = poll;
    }
    return uv_poll_start(l->poll, events, on_poll);
}

/* libpq's text without what precedes the server's words (it names host and user) and without line
 * ends. */
static void
fill_err(struct sg_pg_link *l, enum sg_code code, const char *text, struct sg_err *err)
{
    const char *tail;
    size_t len;

    while ((tail = strstr(text, " failed: ")) != NULL)
        text = tail + strlen(" failed: ");
    len = strcspn(text, "\n");
    sg_fail(err, code, l->name, "%.*s", (int)len, text);
}

void
sg_pg_link_drop(struct sg_pg_link *l, enum sg_code code, const char *text)
{
    bool was_up = l->state == SG_PG_LINK_READY;
    struct sg_err err;

    fill_err(l, code, text, &err);
    unwatch(l);
    PQfinish(l->conn);
    l->conn = NULL;
    set_state(l, SG_PG_LINK_WAITING);
    l->backoff_ms = l->backoff_ms == 0                    ? BACKOFF_FIRST_MS
                    : l->backoff_ms * 2 < BACKOFF_MOST_MS ? l->backoff_ms * 2
                                                          : BACKOFF_MOST_MS;
    uv_timer_start(&l->timer, on_timer, (uint64_t)l->backoff_ms, 0);
    l->down(l, was_up, &err);
}

static void
established(struct sg_pg_link *l)
{
    uv_timer_stop(&l->timer);
    if (PQsetnonblocking(l->conn, 1) != 0 || watch(l, UV_READABLE) != 0) {
        sg_pg_link_drop(l, SG_E_UNAVAILABLE, "could not watch the connection");
        return;
    }
    set_state(l, SG_PG_LINK_READY);
    l->backoff_ms = 0;
    l->last_input_ns = sg_mono_ns(l->clock);
    l->up(l);
}

static void
connect_step(struct sg_pg_link *l)
{
    int rc;

    unwatch(l); /* PQconnectPoll may go on to the next host with a new socket, even of the same
                   number */
    switch (PQconnectPoll(l->conn)) {
    case PGRES_POLLING_OK:
        established(l);
        return;
    case PGRES_POLLING_READING:
        rc = watch(l, UV_READABLE);
        break;
    case PGRES_POLLING_WRITING:
        rc = watch(l, UV_WRITABLE);
        break;
    default:
        sg_pg_link_drop(l, SG_E_UNAVAILABLE, PQerrorMessage(l->conn));
        return;
    }
    if (rc != 0)
        sg_pg_link_drop(l, SG_E_UNAVAILABLE, "could not watch the connection");
}

static void
begin(struct sg_pg_link *l)
{
    const char *keys[] = {"dbname", "fallback_application_name", "client_encoding", NULL};
    const char *values[] = {l->conninfo, "segue", "UTF8", NULL};

    set_state(l, SG_PG_LINK_CONNECTING);
    uv_timer_start(&l->timer, on_timer, (uint64_t)l->connect_timeout_ms, 0);
    l->conn = PQconnectStartParams(keys, values, 1);
    if (l->conn == NULL) {
        sg_pg_link_drop(l, SG_E_INTERNAL, "out of memory");
        return;
    }
    PQsetNoticeProcessor(l->conn, silent, NULL);
    if (PQstatus(l->conn) == CONNECTION_BAD)
        sg_pg_link_drop(l, SG_E_UNAVAILABLE, PQerrorMessage(l->conn));
    else if (watch(l, UV_WRITABLE) != 0)
        sg_pg_link_drop(l, SG_E_UNAVAILABLE, "could not watch the connection");
}

static void
on_timer(uv_timer_t *timer)
{
    struct sg_pg_link *l = timer->data;

    if (l->state == SG_PG_LINK_CONNECTING)
        sg_pg_link_drop(l, SG_E_UNAVAILABLE, "no answer while connecting");
    else
        begin(l);
}

/* Bytes that OpenSSL holds do not make the socket readable. PostgreSQL's own records fit into one
 * read of libpq, those of a TLS proxy before it may not. */
static bool
bytes_held(PGconn *conn)
{
    SSL *ssl = PQgetssl(conn);

    return ssl != NULL && SSL_pending(ssl) > 0;
}

static void
read_input(struct sg_pg_link *l)
{
    l->last_input_ns = sg_mono_ns(l->clock);
    do {
        int ok = PQconsumeInput(l->conn);

        l->input(l); /* also after a failure: what came before it counts */
        if (l->state != SG_PG_LINK_READY)
            return;
        if (!ok || PQstatus(l->conn) == CONNECTION_BAD) {
            sg_pg_link_drop(l, SG_E_UNAVAILABLE, PQerrorMessage(l->conn));
            return;
        }
    } while (bytes_held(l->conn));
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    struct sg_pg_link *l = poll->data;

    if (l->state == SG_PG_LINK_CONNECTING) {
        connect_step(l);
        return;
    }
    if (status < 0 || (events & UV_READABLE) != 0)
        read_input(l);
    if (l->state == SG_PG_LINK_READY)
        sg_pg_link_flush(l);
}

void
sg_pg_link_start(struct sg_pg_link *l)
{
    if (l->state == SG_PG_LINK_IDLE)
        begin(l);
}

void
sg_pg_link_flush(struct sg_pg_link *l)
{
    int left = PQflush(l->conn);

    if (left < 0 || watch(l, UV_READABLE | (left > 0 ? UV_WRITABLE : 0)) != 0)
        sg_pg_link_drop(l, SG_E_UNAVAILABLE, PQerrorMessage(l->conn));
}

static void
on_closed(uv_handle_t *handle)
{
    struct sg_pg_link *l = handle->data;

    l->closed(l);
}

void
sg_pg_link_close(struct sg_pg_link *l)
{
    unwatch(l);
    PQfinish(l->conn);
    l->conn = NULL;
    set_state(l, SG_PG_LINK_CLOSED);
    uv_close((uv_handle_t *)&l->timer, on_closed);
}
