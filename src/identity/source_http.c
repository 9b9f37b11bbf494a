/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "event/fetch.h"
#include "identity/answer.h"
#include "identity/sources.h"

#include <assert.h>
#include <stdlib.h>

#define URL_BYTES_MAX 4096
#define DEFAULT_MAX_QUEUED 1000

struct http_source {
    struct sg_identity_source base;
    struct sg_fetch *fetch;
    char *name, *url, *changes_url;
    struct sg_identity_paths paths; /* strings of the configuration */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* One question under way. */
struct question {
    struct http_source *source;
    struct sg_fetch_request fetch;
    void *request; /* struct sg_identity_request or sg_identity_changes */
};

/* ---- asking ---- */

/* The template with {mark} replaced by the percent-encoded text; failed where that is too long, or
 * a step of the path ("..") even when escaped. */
static struct sg_buf
fill_in(const char *template, const char *mark, const char *text)
{
    struct sg_buf url = SG_BUF_INIT(URL_BYTES_MAX);
    const char *at = strstr(template, mark);

    sg_buf_add(&url, sg_slice(template, (size_t)(at - template)));
    sg_percent_encode(&url, sg_str(text));
    sg_buf_puts(&url, at + strlen(mark));
    url.failed |= strcmp(text, ".") == 0 || strcmp(text, "..") == 0;
    return url;
}

static void
ask(struct http_source *s, struct sg_buf *url, size_t body_max, uint64_t deadline_ns,
    void (*done)(struct sg_fetch_request *), void *request)
{
    struct question *q = calloc(1, sizeof *q);

    if (q == NULL)
        abort(); /* with no memory for that there is no later turn to report it from either */
    q->source = s;
    q->request = request;
    q->fetch = (struct sg_fetch_request){.url = !url->failed ? url->ptr : "",
                                         .body_max = body_max,
                                         .deadline_ns = deadline_ns,
                                         .done = done};
    sg_fetch_get(s->fetch, &q->fetch);
    sg_buf_free(url);
}

/* 0: an answer with a body to read; 1: there is no such thing; -1: neither. */
static int
judge(const struct question *q, struct sg_err *err)
{
    int status = q->fetch.status;

    if (q->fetch.rc != 0) {
        *err = q->fetch.err;
        return -1;
    }
    if (status == 200)
        return 0;
    if (status == 404 || status == 410)
        return 1;
    return sg_fail(err, status >= 500 || status == 429 ? SG_E_UNAVAILABLE : SG_E_INVALID,
                   q->source->name, "answered %d%s", status,
                   status == 401 || status == 403   ? ": are its credentials right?"
                   : status >= 300 && status <= 399 ? ": redirects are not followed"
                                                    : "");
}

static int
fail_answer(const struct question *q, const struct sg_err *why, struct sg_err *err)
{
    return sg_fail(err, why->code, q->source->name, "answer %.300s", why->text);
}

/* ---- lookup ---- */

static int
read_lookup(const struct question *q, struct sg_identity_request *request, struct sg_err *err)
{
    int rc = judge(q, err);
    struct sg_err why;

    if (rc != 0)
        return rc < 0 ? -1 : 0;
    if (sg_identity_answer(&q->source->paths, sg_buf_slice(&q->fetch.body), &request->identity,
                           &why) != 0)
        return fail_answer(q, &why, err);
    if (strcmp(request->identity.subject, request->subject) != 0)
        return sg_fail(err, SG_E_INVALID, q->source->name, "answered for another subject");
    request->found = true;
    return 0;
}

static void
on_lookup(struct sg_fetch_request *fetch)
{
    struct question *q = sg_container_of(fetch, struct question, fetch);
    struct sg_identity_request *request = q->request;

    request->rc = read_lookup(q, request, &request->err);
    sg_buf_wipe(&fetch->body);
    free(q);
    request->done(request);
}

static void
http_lookup(struct sg_identity_source *source, struct sg_identity_request *request)
{
    struct http_source *s = sg_container_of(source, struct http_source, base);
    struct sg_buf url = fill_in(s->url, "{subject}", request->subject);

    request->found = false;
    ask(s, &url, SG_ANSWER_BYTES_MAX, request->deadline_ns, on_lookup, request);
}

/* ---- changes ---- */

static int
read_changes(const struct question *q, struct sg_identity_changes *c, struct sg_err *err)
{
    int rc = judge(q, err);
    struct sg_err why;

    if (rc > 0)
        return sg_fail(err, SG_E_INVALID, q->source->name, "the changes are not there: answered %d",
                       q->fetch.status);
    if (rc < 0)
        return -1;
    return sg_identity_changes_answer(&q->source->paths, sg_buf_slice(&q->fetch.body), c, &why) != 0
               ? fail_answer(q, &why, err)
               : 0;
}

static void
on_changes(struct sg_fetch_request *fetch)
{
    struct question *q = sg_container_of(fetch, struct question, fetch);
    struct sg_identity_changes *changes = q->request;

    changes->rc = read_changes(q, changes, &changes->err);
    sg_buf_wipe(&fetch->body);
    free(q);
    changes->done(changes);
}

static void
http_changes(struct sg_identity_source *source, struct sg_identity_changes *changes)
{
    struct http_source *s = sg_container_of(source, struct http_source, base);
    struct sg_buf url;

    assert(s->changes_url != NULL);
    changes->items = NULL;
    changes->n_items = changes->n_refused = 0;
    changes->full = false;
    url = fill_in(s->changes_url, "{cursor}", changes->cursor);
    ask(s, &url, SG_CHANGES_BYTES_MAX, changes->deadline_ns, on_changes, changes);
}

/* ---- opening and closing ---- */

static void
free_source(struct http_source *s)
{
    free(s->name);
    free(s->url);
    free(s->changes_url);
    free(s);
}

static int
http_open(uv_loop_t *loop, const struct sg_clock *clock, const struct sg_identity_source_options *o,
          struct sg_identity_source **out, struct sg_err *err)
{
    struct http_source *s = calloc(1, sizeof *s);
    struct sg_fetch_options fetch = {.authorization = o->authorization,
                                     .ca_file = o->ca_file,
                                     .connections = o->connections,
                                     .max_queued =
                                         o->max_queued != 0 ? o->max_queued : DEFAULT_MAX_QUEUED,
                                     .timeout_ms = o->timeout_ms};

    if (s == NULL)
        return sg_fail(err, SG_E_INTERNAL, "identity source", "out of memory");
    s->base.type = &sg_identity_http;
    s->name = strdup(o->name != NULL ? o->name : "identity source");
    s->url = strdup(o->url);
    s->changes_url = o->changes_url != NULL ? strdup(o->changes_url) : NULL;
    s->paths = o->paths;
    fetch.name = s->name;
    if (s->name == NULL || s->url == NULL || (o->changes_url != NULL && s->changes_url == NULL)) {
        free_source(s);
        return sg_fail(err, SG_E_INTERNAL, "identity source", "out of memory");
    }
    if (sg_fetch_open(loop, clock, &fetch, &s->fetch, err) != 0) {
        free_source(s);
        return -1;
    }
    *out = &s->base;
    return 0;
}

static void
on_closed(void *ctx)
{
    struct http_source *s = ctx;

    if (s->closed != NULL)
        s->closed(s->closed_ctx);
    free_source(s);
}

static void
http_close(struct sg_identity_source *source, void (*closed)(void *ctx), void *ctx)
{
    struct http_source *s = sg_container_of(source, struct http_source, base);

    s->closed = closed;
    s->closed_ctx = ctx;
    sg_fetch_close(s->fetch, on_closed, s);
}

const struct sg_identity_source_type sg_identity_http = {
    .name = "http",
    .open = http_open,
    .close = http_close,
    .lookup = http_lookup,
    .changes = http_changes,
};
