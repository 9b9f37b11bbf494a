/* SPDX-License-Identifier: MIT */
#include "redis/link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_FIRST_MS 10
#define BACKOFF_MOST_MS 1000
#define READ_BYTES 65536

/* A socket and the requests on it. It outlives the link's interest: `link` is NULL once dropped. */
struct sg_redis_stream {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    struct sg_redis_link *link;
    uv_connect_t connect;
    uv_getaddrinfo_t lookup;
    bool looking_up, closed;
    uv_write_t write;
    struct sg_buf pending; /* what libuv is writing */
    char input[READ_BYTES];
};

static void
set_state(struct sg_redis_link *l, enum sg_redis_link_state to)
{
    static const unsigned may_follow[] = {
        [SG_REDIS_LINK_OPENING] = 1u << SG_REDIS_LINK_IDLE | 1u << SG_REDIS_LINK_WAITING,
        [SG_REDIS_LINK_READY] = 1u << SG_REDIS_LINK_OPENING,
        [SG_REDIS_LINK_WAITING] = 1u << SG_REDIS_LINK_OPENING | 1u << SG_REDIS_LINK_READY,
        [SG_REDIS_LINK_CLOSED] = 1u << SG_REDIS_LINK_IDLE | 1u << SG_REDIS_LINK_OPENING |
                                 1u << SG_REDIS_LINK_READY | 1u << SG_REDIS_LINK_WAITING,
    };

    assert((may_follow[to] & 1u << l->state) != 0);
    l->state = to;
}

/* ---- the socket's life ---- */

static void
free_stream(struct sg_redis_stream *s)
{
    if (!s->closed || s->looking_up)
        return;
    sg_buf_wipe(&s->pending);
    free(s);
}

static void
on_stream_closed(uv_handle_t *handle)
{
    struct sg_redis_stream *s = handle->data;

    s->closed = true;
    free_stream(s);
}

static void
release(struct sg_redis_link *l)
{
    struct sg_redis_stream *s = l->stream;

    l->stream = NULL;
    l->writing = false;
    l->run_id[0] = '\0';
    sg_buf_wipe(&l->out); /* it may hold a password */
    sg_redis_reader_free(&l->reader);
    if (s == NULL)
        return;
    s->link = NULL;
    if (s->looking_up)
        uv_cancel((uv_req_t *)&s->lookup);
    uv_close(&s->handle, on_stream_closed);
}

static void on_timer(uv_timer_t *timer);

void
sg_redis_link_drop(struct sg_redis_link *l, enum sg_code code, const char *text)
{
    struct sg_err err;

    sg_fail(&err, code, l->name, "%s", text);
    release(l);
    set_state(l, SG_REDIS_LINK_WAITING);
    l->backoff_ms = l->backoff_ms == 0                    ? BACKOFF_FIRST_MS
                    : l->backoff_ms * 2 < BACKOFF_MOST_MS ? l->backoff_ms * 2
                                                          : BACKOFF_MOST_MS;
    uv_timer_start(&l->timer, on_timer, (uint64_t)l->backoff_ms, 0);
    l->down(l, &err);
}

static void
drop_uv(struct sg_redis_link *l, const char *what, int rc)
{
    char text[160];

    snprintf(text, sizeof text, "%s: %s", what, uv_strerror(rc));
    sg_redis_link_drop(l, SG_E_UNAVAILABLE, text);
}

/* ---- reading ---- */

/* Error replies may quote arguments: only their first word is told. */
static void
drop_refused(struct sg_redis_link *l, const redisReply *r)
{
    enum sg_code code = SG_E_UNAVAILABLE;
    char text[96];

    if (strncmp(r->str, "WRONGPASS", 9) == 0 || strncmp(r->str, "NO", 2) == 0)
        code = SG_E_DENIED; /* NOAUTH, NOPERM */
    snprintf(text, sizeof text, "the server refused the greeting: %.*s",
             (int)strcspn(r->str, " \r\n"), r->str);
    sg_redis_link_drop(l, code, text);
}

static void
take_greeting(struct sg_redis_link *l, const redisReply *r)
{
    const char *id;

    if (r->type == REDIS_REPLY_ERROR) {
        drop_refused(l, r);
        return;
    }
    if (r->type == REDIS_REPLY_STRING && (id = strstr(r->str, "run_id:")) != NULL)
        snprintf(l->run_id, sizeof l->run_id, "%.*s", (int)strcspn(id + 7, "\r\n"), id + 7);
    if (--l->greetings_left > 0)
        return;
    if (l->run_id[0] == '\0') {
        sg_redis_link_drop(l, SG_E_UNAVAILABLE, "INFO gave no run_id");
        return;
    }
    uv_timer_stop(&l->timer);
    set_state(l, SG_REDIS_LINK_READY);
    l->backoff_ms = 0;
    l->generation++;
    l->up(l);
}

static void
take_replies(struct sg_redis_link *l)
{
    struct sg_redis_stream *s = l->stream;

    while (l->stream == s) { /* an owner's callback may drop or close */
        redisReply *reply;
        struct sg_err err;

        if (sg_redis_reader_next(&l->reader, &reply, &err) != 0) {
            sg_redis_link_drop(l, err.code, err.text);
            return;
        }
        if (reply == NULL)
            return;
        if (l->state == SG_REDIS_LINK_READY) {
            l->reply(l, reply);
        } else {
            take_greeting(l, reply);
            freeReplyObject(reply);
        }
    }
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct sg_redis_stream *s = handle->data;

    (void)suggested;
    *buf = uv_buf_init(s->input, sizeof s->input);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct sg_redis_stream *s = stream->data;
    struct sg_redis_link *l = s->link;
    struct sg_err err;

    if (l == NULL || n == 0)
        return;
    if (n < 0) {
        drop_uv(l, "connection lost", (int)n);
        return;
    }
    l->last_input_ns = sg_mono_ns(l->clock);
    if (sg_redis_reader_feed(&l->reader, buf->base, (size_t)n, &err) != 0) {
        sg_redis_link_drop(l, err.code, err.text);
        return;
    }
    take_replies(l);
}

/* ---- writing ---- */

static void
on_written(uv_write_t *write, int status)
{
    struct sg_redis_stream *s = write->data;
    struct sg_redis_link *l = s->link;

    if (l == NULL)
        return;
    l->writing = false;
    if (status != 0)
        drop_uv(l, "could not write", status);
    else
        sg_redis_link_flush(l);
}

void
sg_redis_link_flush(struct sg_redis_link *l)
{
    struct sg_redis_stream *s = l->stream;
    uv_buf_t buf = uv_buf_init(l->out.ptr, (unsigned)l->out.len);
    struct sg_buf written;
    int n;

    if (l->writing || l->out.len == 0) /* on_written comes back for the rest */
        return;
    n = uv_try_write(&s->stream, &buf, 1);
    if (n < 0 && n != UV_EAGAIN) {
        drop_uv(l, "could not write", n);
        return;
    }
    if (n == (int)l->out.len) {
        sg_buf_reset(&l->out);
        return;
    }
    written = s->pending;
    s->pending = l->out;
    l->out = written;
    sg_buf_reset(&l->out);
    n = n > 0 ? n : 0;
    buf = uv_buf_init(s->pending.ptr + n, (unsigned)(s->pending.len - (size_t)n));
    s->write.data = s;
    l->writing = true;
    n = uv_write(&s->write, &s->stream, &buf, 1, on_written);
    if (n != 0)
        drop_uv(l, "could not write", n);
}

/* ---- connecting ---- */

static void
greet(struct sg_redis_link *l)
{
    struct sg_slice auth[] = {sg_str("AUTH"), sg_str(l->user), sg_str(l->password)};
    struct sg_slice auth_default[] = {sg_str("AUTH"), sg_str(l->password)};
    struct sg_slice info[] = {sg_str("INFO"), sg_str("server")};
    struct sg_slice ping[] = {sg_str("PING")};
    struct sg_slice select_db[] = {sg_str("SELECT"), {0}};
    char database[16];

    l->greetings_left = 2;
    if (l->user[0] != '\0' || l->password[0] != '\0') {
        if (l->user[0] != '\0')
            sg_redis_encode(&l->out, auth, 3);
        else
            sg_redis_encode(&l->out, auth_default, 2);
        l->greetings_left++;
    }
    if (l->database != 0) {
        snprintf(database, sizeof database, "%d", l->database);
        select_db[1] = sg_str(database);
        sg_redis_encode(&l->out, select_db, 2);
        l->greetings_left++;
    }
    sg_redis_encode(&l->out, info, 2);
    sg_redis_encode(&l->out, ping, 1); /* unlike INFO refused while the data set loads */
    sg_redis_link_flush(l);
}

static void
on_connect(uv_connect_t *connect, int status)
{
    struct sg_redis_stream *s = connect->data;
    struct sg_redis_link *l = s->link;

    if (l == NULL)
        return;
    if (status == 0)
        status = uv_read_start(&s->stream, on_alloc, on_read);
    if (status != 0) {
        drop_uv(l, "could not connect", status);
        return;
    }
    if (s->handle.type == UV_TCP)
        uv_tcp_nodelay(&s->tcp, 1);
    greet(l);
}

static int
connect_to(struct sg_redis_stream *s, const struct sockaddr *address)
{
    s->connect.data = s;
    return uv_tcp_connect(&s->connect, &s->tcp, address, on_connect);
}

static void
on_lookup(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
    struct sg_redis_stream *s = lookup->data;

    s->looking_up = false;
    if (s->link == NULL) {
        uv_freeaddrinfo(found);
        free_stream(s);
        return;
    }
    if (status == 0)
        status = connect_to(s, found->ai_addr);
    uv_freeaddrinfo(found);
    if (status != 0)
        drop_uv(s->link, "could not connect", status);
}

static int
look_up(struct sg_redis_link *l, struct sg_redis_stream *s)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char port[16];
    int rc;

    snprintf(port, sizeof port, "%d", l->port);
    s->lookup.data = s;
    rc = uv_getaddrinfo(l->loop, &s->lookup, on_lookup, l->host, port, &hints);
    s->looking_up = rc == 0;
    return rc;
}

static int
connect_stream(struct sg_redis_link *l, struct sg_redis_stream *s)
{
    struct sockaddr_storage address;

    if (l->host[0] == '/') {
        s->connect.data = s;
        uv_pipe_connect(&s->connect, &s->pipe, l->host, on_connect);
        return 0;
    }
    if (uv_ip4_addr(l->host, l->port, (struct sockaddr_in *)&address) == 0 ||
        uv_ip6_addr(l->host, l->port, (struct sockaddr_in6 *)&address) == 0)
        return connect_to(s, (struct sockaddr *)&address);
    return look_up(l, s);
}

static void
begin(struct sg_redis_link *l)
{
    struct sg_redis_stream *s = malloc(sizeof *s);
    int rc;

    set_state(l, SG_REDIS_LINK_OPENING);
    uv_timer_start(&l->timer, on_timer, (uint64_t)l->connect_timeout_ms, 0);
    if (s == NULL || sg_redis_reader_init(&l->reader, l->max_reply_bytes, NULL) != 0) {
        free(s);
        sg_redis_link_drop(l, SG_E_INTERNAL, "out of memory");
        return;
    }
    s->link = l;
    s->looking_up = s->closed = false;
    s->pending = SG_BUF_INIT(SG_REDIS_OUT_MAX);
    if (l->host[0] == '/')
        rc = uv_pipe_init(l->loop, &s->pipe, 0);
    else
        rc = uv_tcp_init(l->loop, &s->tcp);
    if (rc != 0) {
        free(s);
        drop_uv(l, "could not make a socket", rc);
        return;
    }
    s->handle.data = s;
    l->stream = s;
    rc = connect_stream(l, s);
    if (rc != 0)
        drop_uv(l, "could not connect", rc);
}

static void
on_timer(uv_timer_t *timer)
{
    struct sg_redis_link *l = timer->data;

    if (l->state == SG_REDIS_LINK_OPENING)
        sg_redis_link_drop(l, SG_E_UNAVAILABLE, "no answer while connecting");
    else
        begin(l);
}

void
sg_redis_link_start(struct sg_redis_link *l)
{
    if (l->state == SG_REDIS_LINK_IDLE)
        begin(l);
}

/* ---- opening and closing ---- */

static void
free_strings(struct sg_redis_link *l)
{
    if (l->password != NULL)
        explicit_bzero(l->password, strlen(l->password));
    free(l->name);
    free(l->host);
    free(l->user);
    free(l->password);
}

int
sg_redis_link_init(struct sg_redis_link *l, uv_loop_t *loop, const struct sg_clock *clock,
                   const struct sg_redis_options *o, struct sg_err *err)
{
    l->state = SG_REDIS_LINK_IDLE;
    l->loop = loop;
    l->clock = clock;
    l->port = o->port;
    l->database = o->database;
    l->connect_timeout_ms = o->connect_timeout_ms;
    l->max_reply_bytes = o->max_reply_bytes;
    l->out = SG_BUF_INIT(SG_REDIS_OUT_MAX);
    l->name = strdup(o->name);
    l->host = strdup(o->host);
    l->user = strdup(o->user != NULL ? o->user : "");
    l->password = strdup(o->password != NULL ? o->password : "");
    if (l->name == NULL || l->host == NULL || l->user == NULL || l->password == NULL) {
        free_strings(l);
        return sg_fail(err, SG_E_INTERNAL, o->name, "out of memory");
    }
    uv_timer_init(loop, &l->timer);
    l->timer.data = l;
    return 0;
}

static void
on_timer_closed(uv_handle_t *handle)
{
    struct sg_redis_link *l = handle->data;

    free_strings(l);
    l->closed(l);
}

void
sg_redis_link_close(struct sg_redis_link *l)
{
    release(l);
    set_state(l, SG_REDIS_LINK_CLOSED);
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}
