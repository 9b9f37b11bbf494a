/* SPDX-License-Identifier: MIT */
#include "event/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HEADERS_MAX 16384 /* of one answer */

struct running {
    struct sg_fetch *fetch;
    struct sg_fetch_request *request;
    CURL *easy;
    uv_timer_t deadline; /* curl's own would not count while a request waits for a connection */
    struct running *prev, *next;
    size_t header_bytes;
    bool too_large;
    char why[CURL_ERROR_SIZE];
};

/* A socket of curl's. */
struct sock {
    uv_poll_t poll;
    struct sg_fetch *fetch;
    curl_socket_t fd;
};

struct sg_fetch {
    uv_loop_t *loop;
    const struct sg_clock *clock;
    char *name, *ca_file;
    int max_queued, timeout_ms;
    struct curl_slist *headers;
    CURLM *multi;
    uv_timer_t timer;
    struct running *first;
    int n_running;
    int handles; /* of the loop, not yet closed */
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void
free_fetch(struct sg_fetch *f)
{
    struct curl_slist *h;

    for (h = f->headers; h != NULL; h = h->next)
        explicit_bzero(h->data, strlen(h->data)); /* one of them may be a credential */
    curl_slist_free_all(f->headers);
    if (f->multi != NULL)
        curl_multi_cleanup(f->multi);
    free(f->name);
    free(f->ca_file);
    free(f);
}

static void
handle_gone(struct sg_fetch *f)
{
    void (*closed)(void *) = f->closed;
    void *ctx = f->closed_ctx;

    if (--f->handles > 0 || !f->closing)
        return;
    free_fetch(f);
    if (closed != NULL)
        closed(ctx);
}

/* ---- one request's end ---- */

static void
running_closed(uv_handle_t *handle)
{
    struct running *r = sg_container_of((uv_timer_t *)handle, struct running, deadline);
    struct sg_fetch *f = r->fetch;

    free(r);
    handle_gone(f);
}

/* The only place where a request ends. */
static void
finish(struct running *r)
{
    struct sg_fetch *f = r->fetch;
    struct sg_fetch_request *request = r->request;

    if (r->easy != NULL) {
        curl_multi_remove_handle(f->multi, r->easy);
        curl_easy_cleanup(r->easy);
        r->easy = NULL;
    }
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        f->first = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    f->n_running--;
    uv_close((uv_handle_t *)&r->deadline, running_closed);
    request->done(request);
}

static void
fail(struct running *r, enum sg_code code, const char *text)
{
    r->request->rc = sg_fail(&r->request->err, code, r->fetch->name, "%.200s", text);
    finish(r);
}

static void
on_deadline(uv_timer_t *timer)
{
    struct running *r = sg_container_of(timer, struct running, deadline);

    if (r->request->rc != 0) /* refused when it was asked */
        finish(r);
    else
        fail(r, SG_E_TIMEOUT, "no whole answer in time");
}

static void
completed(struct running *r, CURLcode code)
{
    long status = 0;

    if (code == CURLE_OK) {
        curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
        r->request->status = (int)status;
        finish(r);
    } else if (r->too_large)
        fail(r, SG_E_LIMIT, "the answer is larger than what is taken");
    else
        fail(r, code == CURLE_OPERATION_TIMEDOUT ? SG_E_TIMEOUT : SG_E_UNAVAILABLE,
             r->why[0] != '\0' ? r->why : curl_easy_strerror(code));
}

static void
take_completed(struct sg_fetch *f)
{
    CURLMsg *message;
    int left;

    while (!f->closing && (message = curl_multi_info_read(f->multi, &left)) != NULL) {
        struct running *r = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&r);
        completed(r, message->data.result);
    }
}

/* ---- between curl and the loop ---- */

static void
on_timer(uv_timer_t *timer)
{
    struct sg_fetch *f = sg_container_of(timer, struct sg_fetch, timer);
    int n;

    curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &n);
    take_completed(f);
}

static int
set_timer(CURLM *multi, long ms, void *ctx)
{
    struct sg_fetch *f = ctx;

    (void)multi;
    if (ms < 0)
        uv_timer_stop(&f->timer);
    else
        uv_timer_start(&f->timer, on_timer, (uint64_t)ms, 0);
    return 0;
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    struct sock *s = sg_container_of(poll, struct sock, poll);
    struct sg_fetch *f = s->fetch;
    int n, flags = status < 0 ? CURL_CSELECT_ERR : 0;

    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(f->multi, s->fd, flags, &n); /* may free s */
    take_completed(f);
}

static void
sock_closed(uv_handle_t *handle)
{
    struct sock *s = sg_container_of((uv_poll_t *)handle, struct sock, poll);
    struct sg_fetch *f = s->fetch;

    free(s);
    handle_gone(f);
}

static int
set_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct sg_fetch *f = ctx;
    struct sock *s = socket_ctx;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s != NULL) {
            curl_multi_assign(f->multi, fd, NULL);
            uv_poll_stop(&s->poll); /* curl closes the descriptor right after this */
            uv_close((uv_handle_t *)&s->poll, sock_closed);
        }
        return 0;
    }
    if (s == NULL) {
        if ((s = calloc(1, sizeof *s)) == NULL || uv_poll_init_socket(f->loop, &s->poll, fd) != 0) {
            free(s);
            return -1; /* curl fails the transfer */
        }
        s->fetch = f;
        s->fd = fd;
        f->handles++;
        curl_multi_assign(f->multi, fd, s);
    }
    uv_poll_start(&s->poll,
                  (what != CURL_POLL_OUT ? UV_READABLE : 0) |
                      (what != CURL_POLL_IN ? UV_WRITABLE : 0),
                  on_poll);
    return 0;
}

static size_t
on_header(char *data, size_t size, size_t n, void *ctx)
{
    struct running *r = ctx;

    (void)data;
    r->header_bytes += size * n;
    r->too_large |= r->header_bytes > HEADERS_MAX;
    return r->too_large ? 0 : size * n;
}

static size_t
on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct running *r = ctx;

    sg_buf_add(&r->request->body, sg_slice(data, size * n));
    r->too_large |= r->request->body.failed;
    return r->too_large ? 0 : size * n;
}

/* ---- asking ---- */

static bool
prepare(struct running *r, const char *url)
{
    const struct sg_fetch *f = r->fetch;
    CURL *e = r->easy;

    return curl_easy_setopt(e, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
           (f->ca_file == NULL || curl_easy_setopt(e, CURLOPT_CAINFO, f->ca_file) == CURLE_OK) &&
           /* with a folder of certificates curl reads all of them anew for each connection */
           curl_easy_setopt(e, CURLOPT_CAPATH, NULL) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTPHEADER, f->headers) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)f->timeout_ms) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->why) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HEADERDATA, r) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEDATA, r) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PRIVATE, r) == CURLE_OK;
}

void
sg_fetch_get(struct sg_fetch *f, struct sg_fetch_request *request)
{
    struct running *r = calloc(1, sizeof *r);
    uint64_t now = sg_mono_ns(f->clock);
    uint64_t ms = request->deadline_ns > now ? (request->deadline_ns - now) / SG_NS_PER_MS : 0;

    if (r == NULL)
        abort(); /* with no memory for that there is no later turn to report it from either */
    request->rc = request->status = 0;
    request->body = SG_BUF_INIT(request->body_max);
    r->fetch = f;
    r->request = request;
    r->next = f->first;
    if (r->next != NULL)
        r->next->prev = r;
    f->first = r;
    f->n_running++;
    f->handles++;
    uv_timer_init(f->loop, &r->deadline);
    if (f->n_running > f->max_queued)
        request->rc =
            sg_fail(&request->err, SG_E_LIMIT, f->name, "%d requests are under way", f->max_queued);
    else if ((r->easy = curl_easy_init()) == NULL || !prepare(r, request->url))
        request->rc = sg_fail(&request->err, SG_E_INTERNAL, f->name, "out of memory, or a bad URL");
    else if (curl_multi_add_handle(f->multi, r->easy) != CURLM_OK)
        request->rc = sg_fail(&request->err, SG_E_INTERNAL, f->name, "curl takes no more");
    uv_timer_start(&r->deadline, on_deadline, request->rc != 0 ? 0 : ms, 0);
}

/* ---- opening and closing ---- */

static void
init_curl(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        abort(); /* only without memory */
}

static bool
add_header(struct sg_fetch *f, const char *name, const char *value)
{
    struct curl_slist *longer;
    char *line;

    if (asprintf(&line, "%s: %s", name, value) < 0)
        return false;
    longer = curl_slist_append(f->headers, line);
    explicit_bzero(line, strlen(line));
    free(line);
    if (longer != NULL)
        f->headers = longer;
    return longer != NULL;
}

static int
fill(struct sg_fetch *f, const struct sg_fetch_options *o, struct sg_err *err)
{
    if (o->ca_file != NULL && access(o->ca_file, R_OK) != 0)
        return sg_fail(err, SG_E_INVALID, o->name, "cannot read the certificates in '%.100s': %s",
                       o->ca_file, strerror(errno));
    f->name = strdup(o->name);
    f->ca_file = o->ca_file != NULL ? strdup(o->ca_file) : NULL;
    f->multi = curl_multi_init();
    if (f->name == NULL || (o->ca_file != NULL && f->ca_file == NULL) || f->multi == NULL ||
        !add_header(f, "Accept", "application/json") ||
        (o->authorization != NULL && !add_header(f, "Authorization", o->authorization)) ||
        curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, set_socket) != CURLM_OK ||
        curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f) != CURLM_OK ||
        curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, set_timer) != CURLM_OK ||
        curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f) != CURLM_OK ||
        curl_multi_setopt(f->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)o->connections) !=
            CURLM_OK ||
        curl_multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, (long)o->connections) != CURLM_OK)
        return sg_fail(err, SG_E_INTERNAL, o->name, "out of memory");
    return 0;
}

int
sg_fetch_open(uv_loop_t *loop, const struct sg_clock *clock, const struct sg_fetch_options *options,
              struct sg_fetch **out, struct sg_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct sg_fetch *f;

    pthread_once(&once, init_curl);
    if ((f = calloc(1, sizeof *f)) == NULL)
        return sg_fail(err, SG_E_INTERNAL, options->name, "out of memory");
    f->loop = loop;
    f->clock = clock;
    f->max_queued = options->max_queued;
    f->timeout_ms = options->timeout_ms;
    if (fill(f, options, err) != 0) {
        free_fetch(f);
        return -1;
    }
    uv_timer_init(loop, &f->timer);
    f->handles = 1;
    *out = f;
    return 0;
}

static void
timer_closed(uv_handle_t *handle)
{
    handle_gone(sg_container_of((uv_timer_t *)handle, struct sg_fetch, timer));
}

void
sg_fetch_close(struct sg_fetch *f, void (*closed)(void *ctx), void *ctx)
{
    f->closing = true;
    f->closed = closed;
    f->closed_ctx = ctx;
    while (f->first != NULL)
        fail(f->first, SG_E_CANCELLED, "closed");
    curl_multi_cleanup(f->multi); /* closes the kept connections: set_socket is told */
    f->multi = NULL;
    uv_close((uv_handle_t *)&f->timer, timer_closed);
}
