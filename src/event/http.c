/* SPDX-License-Identifier: MIT */
#include "event/http_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SWEEP_MS 250 /* drippers, peers gone while their answer was awaited */
#define DRAIN_SWEEP_MS 25
#define OVERRUN_BYTES                                                                              \
    (1 << 20) /* of a body that is too large: read on so that 413 arrives, then cut */

struct sg_http {
    uv_loop_t *loop;
    const struct sg_clock *clock;
    struct MHD_Daemon *mhd;
    int max_connections;
    size_t max_body_bytes, memory_bytes;
    uint64_t header_ns, idle_ns;
    void (*handler)(void *ctx, struct sg_http_request *request);
    void (*aborted)(void *ctx, struct sg_http_request *request);
    void *ctx;
    int listen_fd, port;
    char path[108]; /* of a Unix socket; "" */
    struct stat path_stat;
    uv_poll_t poll;
    uv_timer_t timer; /* libmicrohttpd's own timeouts */
    uv_timer_t sweep;
    uv_idle_t idle; /* runs it once more after answers that came from elsewhere */
    int open_handles;
    struct sg_http_conn *conns;
    struct sg_http_stats stats;
    bool running, draining, closing;
    uint64_t drain_by_ns, drain_grace_ns;
    void (*drained)(void *ctx);
    void *drained_ctx;
};

static void on_idle(uv_idle_t *idle);
static void on_timeout(uv_timer_t *timer);

/* ---- libmicrohttpd's turn ---- */

static void
run(struct sg_http *h)
{
    MHD_UNSIGNED_LONG_LONG ms;

    if (h->closing)
        return;
    assert(!h->running);
    h->running = true;
    MHD_run(h->mhd);
    h->running = false;
    if (MHD_get_timeout(h->mhd, &ms) != MHD_YES)
        uv_timer_stop(&h->timer);
    else if (ms == 0)
        uv_idle_start(&h->idle, on_idle);
    else
        uv_timer_start(&h->timer, on_timeout, ms, 0);
}

static void
on_idle(uv_idle_t *idle)
{
    uv_idle_stop(idle);
    run(idle->data);
}

static void
on_timeout(uv_timer_t *timer)
{
    run(timer->data);
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run(poll->data);
}

/* ---- a request's life ---- */

static void
set_state(struct sg_http_request *r, enum sg_http_state to)
{
    static const unsigned may_follow[] = {
        [SG_HTTP_HANDLING] = 1u << SG_HTTP_READING,
        [SG_HTTP_SUSPENDED] = 1u << SG_HTTP_HANDLING,
        [SG_HTTP_ANSWERED] =
            1u << SG_HTTP_READING | 1u << SG_HTTP_HANDLING | 1u << SG_HTTP_SUSPENDED,
        [SG_HTTP_ABORTED] = 1u << SG_HTTP_SUSPENDED,
    };

    assert((may_follow[to] & 1u << r->state) != 0);
    r->state = to;
}

/* libmicrohttpd acts on a resumed connection only when it runs. */
static void
resume(struct sg_http_request *r)
{
    MHD_resume_connection(r->mhd);
    uv_idle_start(&r->http->idle, on_idle);
}

void
sg_http_answered(struct sg_http_request *r)
{
    bool suspended = r->state == SG_HTTP_SUSPENDED;

    set_state(r, SG_HTTP_ANSWERED);
    if (suspended)
        resume(r);
}

bool
sg_http_closing(const struct sg_http *h)
{
    return h->draining;
}

size_t
sg_http_memory(const struct sg_http *h)
{
    return h->memory_bytes;
}

static void
abort_request(struct sg_http_request *r)
{
    struct sg_http *h = r->http;

    set_state(r, SG_HTTP_ABORTED);
    if (h->aborted != NULL)
        h->aborted(h->ctx, r);
    resume(r);
}

static void *
on_uri(void *ctx, const char *uri, struct MHD_Connection *mhd)
{
    struct sg_http *h = ctx;
    struct sg_http_request *r = sg_http_request_new(uri, h->max_body_bytes);
    uint64_t by = sg_mono_ns(h->clock) + h->header_ns;

    if (r == NULL)
        return NULL;
    r->http = h;
    r->mhd = mhd;
    r->conn = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    r->conn->request = r;
    if (by < r->conn->deadline_ns)
        r->conn->deadline_ns = by;
    h->stats.open_requests++;
    return r;
}

static enum MHD_Result
queue(struct sg_http_request *r)
{
    if (r->response == NULL) /* the answer could not be built */
        r->response = MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    return r->response != NULL ? MHD_queue_response(r->mhd, (unsigned)r->status, r->response)
                               : MHD_NO;
}

static enum MHD_Result
refuse(struct sg_http_request *r)
{
    r->http->stats.refused++;
    set_state(r, SG_HTTP_ANSWERED);
    r->status = r->refuse_with;
    r->response = sg_http_build(r, sg_slice(NULL, 0), true);
    return queue(r);
}

static enum MHD_Result
take_body(struct sg_http_request *r, const char *data, size_t *size)
{
    r->body_seen += *size;
    if (r->body_seen > r->http->max_body_bytes) {
        r->refuse_with = MHD_HTTP_CONTENT_TOO_LARGE;
        if (r->body_seen > r->http->max_body_bytes + OVERRUN_BYTES)
            return MHD_NO;
    } else {
        sg_buf_add(&r->body, sg_slice(data, *size));
        if (r->body.failed)
            return MHD_NO;
    }
    *size = 0;
    return MHD_YES;
}

static enum MHD_Result
handle(struct sg_http_request *r)
{
    struct sg_http *h = r->http;

    r->conn->deadline_ns = UINT64_MAX; /* the answer is the owner's to give in time */
    h->stats.requests++;
    set_state(r, SG_HTTP_HANDLING);
    h->handler(h->ctx, r);
    if (r->state == SG_HTTP_ANSWERED)
        return queue(r);
    set_state(r, SG_HTTP_SUSPENDED);
    MHD_suspend_connection(r->mhd);
    return MHD_YES;
}

/* Called by libmicrohttpd with the headers, with each piece of the body, with nothing more to come,
 * and again after a resume. */
static enum MHD_Result
on_request(void *ctx, struct MHD_Connection *mhd, const char *url, const char *method,
           const char *version, const char *data, size_t *size, void **request)
{
    struct sg_http *h = ctx;
    struct sg_http_request *r = *request;

    (void)url;
    if (r == NULL || r->state == SG_HTTP_ABORTED)
        return MHD_NO;
    if (r->state == SG_HTTP_ANSWERED)
        return queue(r);
    if (!r->checked) {
        r->checked = true;
        r->method = method;
        if (r->refuse_with == 0)
            r->refuse_with = sg_http_check_headers(mhd, method, version, h->max_body_bytes);
        /* an answer to the first call closes the connection: for a refusal that is right */
        return r->refuse_with != 0 ? refuse(r) : MHD_YES;
    }
    if (*size != 0)
        return take_body(r, data, size);
    return r->refuse_with != 0 ? refuse(r) : handle(r);
}

static void
on_completed(void *ctx, struct MHD_Connection *mhd, void **request,
             enum MHD_RequestTerminationCode why)
{
    struct sg_http *h = ctx;
    struct sg_http_request *r = *request;

    (void)mhd;
    (void)why;
    *request = NULL;
    if (r == NULL)
        return;
    if (r->state == SG_HTTP_SUSPENDED && h->aborted != NULL)
        h->aborted(h->ctx, r);
    r->conn->request = NULL;
    r->conn->deadline_ns = sg_mono_ns(h->clock) + h->header_ns + h->idle_ns;
    h->stats.open_requests--;
    sg_http_request_free(r);
}

/* ---- connections ---- */

static enum MHD_Result
on_accept(void *ctx, const struct sockaddr *address, socklen_t len)
{
    struct sg_http *h = ctx;

    (void)address;
    (void)len;
    if (h->stats.open_connections < h->max_connections)
        return MHD_YES;
    h->stats.refused++;
    return MHD_NO;
}

static void
on_connection(void *ctx, struct MHD_Connection *mhd, void **context,
              enum MHD_ConnectionNotificationCode what)
{
    struct sg_http *h = ctx;
    struct sg_http_conn *c = *context;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        if ((c = calloc(1, sizeof *c)) == NULL)
            abort(); /* libmicrohttpd gives no way to refuse here */
        c->mhd = mhd;
        c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        c->deadline_ns = sg_mono_ns(h->clock) + h->header_ns;
        c->next = h->conns;
        if (h->conns != NULL)
            h->conns->prev = c;
        h->conns = c;
        h->stats.connections++;
        h->stats.open_connections++;
        *context = c;
        return;
    }
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        h->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    h->stats.open_connections--;
    free(c);
    *context = NULL;
}

/* A suspended connection is not read by libmicrohttpd, so that nobody else notices its end. */
static bool
peer_has_gone(const struct sg_http_conn *c)
{
    char byte;

    return c->request != NULL && c->request->state == SG_HTTP_SUSPENDED &&
           recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void drain_step(struct sg_http *h, uint64_t now);

static void
on_sweep(uv_timer_t *timer)
{
    struct sg_http *h = timer->data;
    uint64_t now = sg_mono_ns(h->clock);
    struct sg_http_conn *c, *next;

    for (c = h->conns; c != NULL; c = next) {
        next = c->next;
        if (now >= c->deadline_ns)
            shutdown(c->fd, SHUT_RDWR); /* libmicrohttpd sees it and closes */
        else if (peer_has_gone(c))
            abort_request(c->request);
    }
    if (h->draining)
        drain_step(h, now);
}

/* ---- opening ---- */

static int
start_daemon(struct sg_http *h, const struct sg_http_options *o, struct sg_err *err)
{
    h->mhd = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, on_accept, h, on_request, h,
        MHD_OPTION_LISTEN_SOCKET, h->listen_fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)o->max_connections + 1, /* the one more is accepted to be refused */
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, o->memory_bytes, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)(o->idle_timeout_ms + 999) / 1000, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_URI_LOG_CALLBACK, on_uri, h,
        MHD_OPTION_END);
    if (h->mhd == NULL)
        return sg_fail(err, SG_E_INTERNAL, o->address, "could not start the HTTP server");
    return 0;
}

int
sg_http_open(uv_loop_t *loop, const struct sg_clock *clock, const struct sg_http_options *o,
             struct sg_http **out, struct sg_err *err)
{
    struct sg_http *h = calloc(1, sizeof *h);
    int epoll_fd;

    if (h == NULL)
        return sg_fail(err, SG_E_INTERNAL, o->address, "out of memory");
    h->loop = loop;
    h->clock = clock;
    h->max_connections = o->max_connections;
    h->max_body_bytes = o->max_body_bytes;
    h->memory_bytes = o->memory_bytes;
    h->header_ns = (uint64_t)o->header_deadline_ms * SG_NS_PER_MS;
    h->idle_ns = (uint64_t)o->idle_timeout_ms * SG_NS_PER_MS;
    h->handler = o->handler;
    h->aborted = o->aborted;
    h->ctx = o->ctx;
    if (sg_http_bind(o, &h->listen_fd, &h->port, h->path, err) != 0) {
        free(h);
        return -1;
    }
    if (start_daemon(h, o, err) != 0) {
        close(h->listen_fd);
        free(h);
        return -1;
    }
    if (h->path[0] != '\0')
        stat(h->path, &h->path_stat);
    epoll_fd = MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    if (uv_poll_init(loop, &h->poll, epoll_fd) != 0) {
        MHD_stop_daemon(h->mhd);
        free(h);
        return sg_fail(err, SG_E_INTERNAL, o->address, "could not watch the HTTP server");
    }
    uv_timer_init(loop, &h->timer);
    uv_timer_init(loop, &h->sweep);
    uv_idle_init(loop, &h->idle);
    h->poll.data = h->timer.data = h->sweep.data = h->idle.data = h;
    h->open_handles = 4;
    uv_poll_start(&h->poll, UV_READABLE, on_poll);
    uv_timer_start(&h->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    *out = h;
    return 0;
}

int
sg_http_port(const struct sg_http *h)
{
    return h->port;
}

int
sg_http_listen_fd(const struct sg_http *h)
{
    return h->listen_fd;
}

struct sg_http_stats
sg_http_stats(const struct sg_http *h)
{
    return h->stats;
}

/* ---- draining ---- */

static void
on_closed(uv_handle_t *handle)
{
    struct sg_http *h = handle->data;

    if (--h->open_handles > 0)
        return;
    if (h->drained != NULL)
        h->drained(h->drained_ctx);
    free(h);
}

static void
close_all(struct sg_http *h)
{
    struct sg_http_conn *c;

    for (c = h->conns; c != NULL; c = c->next)
        if (c->request != NULL && c->request->state == SG_HTTP_SUSPENDED)
            abort_request(c->request);
    h->closing = true;
    uv_poll_stop(&h->poll);
    MHD_stop_daemon(h->mhd); /* resumes what was suspended, closes every connection */
    uv_close((uv_handle_t *)&h->poll, on_closed);
    uv_close((uv_handle_t *)&h->timer, on_closed);
    uv_close((uv_handle_t *)&h->sweep, on_closed);
    uv_close((uv_handle_t *)&h->idle, on_closed);
}

/* The socket file may belong to a successor by now. */
static void
unlink_own(const struct sg_http *h)
{
    struct stat st;

    if (h->path[0] != '\0' && stat(h->path, &st) == 0 && st.st_ino == h->path_stat.st_ino &&
        st.st_dev == h->path_stat.st_dev)
        unlink(h->path);
}

static void
stop_accepting(struct sg_http *h)
{
    MHD_socket fd = MHD_quiesce_daemon(h->mhd);

    unlink_own(h);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    h->listen_fd = -1;
}

static void
drain_step(struct sg_http *h, uint64_t now)
{
    if (h->listen_fd >= 0)
        stop_accepting(h);
    if (now >= h->drain_by_ns || (now >= h->drain_grace_ns && h->stats.open_requests == 0))
        close_all(h);
}

void
sg_http_drain(struct sg_http *h, uint64_t deadline_ns, void (*drained)(void *ctx), void *ctx)
{
    assert(!h->draining);
    h->draining = true;
    h->drain_by_ns = deadline_ns;
    /* Requests that were on their way on kept connections get their answer too. */
    h->drain_grace_ns = sg_mono_ns(h->clock) + 4 * DRAIN_SWEEP_MS * SG_NS_PER_MS;
    h->drained = drained;
    h->drained_ctx = ctx;
    uv_timer_start(&h->sweep, on_sweep, 0, DRAIN_SWEEP_MS); /* not from within the handler */
}
