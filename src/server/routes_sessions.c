/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "legacy/legacy.h"
#include "server/oauth.h"
#include "session/sessions.h"
#include "session/verify.h"

#include <jansson.h>
#include <stdlib.h>
#include <strings.h>

/* A subject's own sessions: GET and DELETE /v1/sessions, DELETE /v1/sessions/SID (docs/api.md). */

#define PAGE_DEFAULT 50
#define CURSOR_BYTES (8 + SG_SID_BYTES)

/* Who asks, and for what. The request itself may be gone by the time it is known. */
struct caller {
    struct exchange *x;
    void (*then)(struct caller *caller);
    char subject[201];
    bool by_session; /* not a backend that names the subject */
    uint8_t current[SG_SID_BYTES];
    uint8_t sid[SG_SID_BYTES]; /* what to end */
    struct sg_sessions_page page;
};

static void
fail(struct caller *c, int status, const char *error, const char *why)
{
    struct exchange *x = c->x;

    free(c);
    server_answer_error(x, status, error, why);
}

/* ---- who asks ---- */

static void
known(void *ctx, const struct sg_verify_out *out)
{
    struct caller *c = ctx;
    struct sg_http_request *r = c->x->request;
    bool is_subject = out->subject.len > 0 && out->subject.len < sizeof c->subject;
    int status = out->status == 200 && !is_subject ? 401 : out->status;

    if (status == 401 && r != NULL)
        sg_http_add_header(r, "WWW-Authenticate", sg_str("Bearer realm=\"segue\""));
    if (status != 200) {
        fail(c, status,
             status == 503   ? "temporarily_unavailable"
             : status == 403 ? "access_denied"
                             : "invalid_token",
             out->status == 200 ? "this token speaks for no subject" : out->why);
        return;
    }
    memcpy(c->subject, out->subject.ptr, out->subject.len);
    c->by_session = sg_b64url_decode(out->session, c->current, sizeof c->current) == SG_SID_BYTES;
    c->then(c);
}

static void
ask_backend(struct caller *c, const struct sg_client_config *backend)
{
    struct sg_slice subject = sg_http_query(c->x->request, "subject");

    if (backend == NULL || backend->secret == NULL ||
        sg_policy_client_is_disabled(sg_realm_policy(c->x->realm), sg_str(backend->id))) {
        struct exchange *x = c->x;

        free(c);
        oauth_refuse_client(x, "unknown client or wrong secret");
    } else if (!backend->may_subjects)
        fail(c, 403, "access_denied", "this client has no right 'subjects'");
    else if (!sg_is_subject(subject))
        fail(c, 400, "invalid_request",
             "expected ?subject= of 1 to 200 bytes of UTF-8 without control characters");
    else {
        memcpy(c->subject, subject.ptr, subject.len);
        c->then(c);
    }
}

static bool
is_basic(struct sg_slice authorization)
{
    return authorization.len > 6 && strncasecmp(authorization.ptr, "Basic ", 6) == 0;
}

/* A confidential client with the right to subjects for the one it names, or whoever shows a token
 * or a session cookie for himself. What a cookie carries onto an unsafe method must come from a
 * page of the realm's. */
static void
ask_who(struct caller *c, bool unsafe)
{
    const struct sg_realm_config *config = sg_realm_config(c->x->realm);
    struct sg_http_request *r = c->x->request;
    struct sg_slice authorization = sg_http_header(r, "Authorization");
    struct sg_verify_in in = {.realm = c->x->realm,
                              .cookie = sg_http_header(r, "Cookie"),
                              .authorization = authorization,
                              .audience = config->audiences[0],
                              .client_id = config->clients[0].id,
                              .required = true,
                              .only_asking = true,
                              .unsafe_method = unsafe,
                              .same_site = request_is_same_site(c->x)};

    if (is_basic(authorization))
        ask_backend(c, client_authenticate(config, authorization, NULL));
    else if (unsafe && authorization.len == 0 && in.cookie.len > 0 && !in.same_site)
        fail(c, 403, "access_denied",
             "a cookie alone needs a matching Origin or Sec-Fetch-Site: same-origin");
    else
        sg_verify(c->x->server->engine, &in, known, c);
}

static struct caller *
caller_new(struct exchange *x, void (*then)(struct caller *caller))
{
    struct caller *c = calloc(1, sizeof *c);

    if (c == NULL) {
        server_answer_error(x, 503, "temporarily_unavailable", "out of memory");
        return NULL;
    }
    c->x = x;
    c->then = then;
    c->page.limit = PAGE_DEFAULT;
    c->page.before_us = INT64_MAX;
    return c;
}

/* ---- showing ---- */

static json_t *
session_json(const struct caller *c, const struct sg_session_seen *s)
{
    char sid[SG_SID_BYTES * 4 / 3 + 4];
    json_t *json;

    sg_b64url_text(s->sid, sizeof s->sid, sid);
    json =
        json_pack("{s:s,s:s,s:s,s:I,s:I,s:b}", "sid", sid, "client_id", s->client_id, "origin",
                  s->segue_born ? "segue" : "legacy", "created", (json_int_t)(s->created_ms / 1000),
                  "last_seen", (json_int_t)(s->last_seen_ms / 1000), "current",
                  c->by_session && memcmp(s->sid, c->current, sizeof c->current) == 0);
    if (json != NULL && s->expires_ms != INT64_MAX)
        json_object_set_new(json, "expires", json_integer(s->expires_ms / 1000));
    return json;
}

static json_t *
cursor_json(const struct sg_session_seen *last)
{
    uint8_t bytes[CURSOR_BYTES];
    char text[CURSOR_BYTES * 4 / 3 + 4];
    int i;

    for (i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)last->created_us >> (56 - 8 * i));
    memcpy(bytes + 8, last->sid, SG_SID_BYTES);
    sg_b64url_text(bytes, sizeof bytes, text);
    return json_string(text);
}

static bool
read_cursor(struct sg_slice text, struct sg_sessions_page *page)
{
    uint8_t bytes[CURSOR_BYTES];
    uint64_t us = 0;
    int i;

    if (sg_b64url_decode(text, bytes, sizeof bytes) != CURSOR_BYTES || bytes[0] > 0x7f)
        return false;
    for (i = 0; i < 8; i++)
        us = us << 8 | bytes[i];
    page->before_us = (int64_t)us;
    memcpy(page->before_sid, bytes + 8, SG_SID_BYTES);
    return true;
}

static void
listed(void *ctx, enum sg_sessions_status status, const char *why)
{
    struct caller *c = ctx;
    struct exchange *x = c->x;
    const struct sg_sessions_page *page = &c->page;
    json_t *list = json_array(), *json = json_pack("{s:o}", "sessions", list);
    int i;

    if (status != SG_SESSIONS_OK) {
        json_decref(json);
        fail(c, 503, "temporarily_unavailable", why);
        return;
    }
    for (i = 0; json != NULL && i < page->n_rows; i++)
        json_array_append_new(list, session_json(c, &page->rows[i]));
    if (json != NULL && page->more)
        json_object_set_new(json, "next", cursor_json(&page->rows[page->n_rows - 1]));
    if (x->request != NULL)
        sg_http_add_header(x->request, "Cache-Control", sg_str("private, no-store"));
    free(c);
    server_answer_json(x, 200, json);
}

static void
show(struct caller *c)
{
    c->page.subject = c->subject;
    sg_sessions_list(c->x->realm, &c->page, listed, c);
}

static bool
read_limit(struct sg_slice text, int *out)
{
    int n = 0;
    size_t i;

    for (i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || n > SG_SESSION_PAGE_MAX)
            return false;
        n = n * 10 + (text.ptr[i] - '0');
    }
    if (n < 1 || n > SG_SESSION_PAGE_MAX)
        return false;
    *out = n;
    return true;
}

void
route_sessions_list(struct exchange *x)
{
    struct caller *c = caller_new(x, show);
    struct sg_slice limit, page;

    if (c == NULL)
        return;
    limit = sg_http_query(x->request, "limit");
    page = sg_http_query(x->request, "page");
    if (limit.ptr != NULL && !read_limit(limit, &c->page.limit))
        fail(c, 400, "invalid_request", "limit: expected 1 to 200");
    else if (page.ptr != NULL && !read_cursor(page, &c->page))
        fail(c, 400, "invalid_request", "page: expected 'next' of the page before");
    else
        ask_who(c, false);
}

/* ---- ending ---- */

static void
ended(void *ctx, enum sg_sessions_status status, const char *why)
{
    struct caller *c = ctx;
    struct exchange *x = c->x;

    if (status == SG_SESSIONS_NOT_FOUND)
        fail(c, 404, "not_found", why);
    else if (status == SG_SESSIONS_UNAVAILABLE)
        fail(c, 503, "temporarily_unavailable", why);
    else {
        free(c);
        server_answer(x, 204, (struct sg_slice){0});
    }
}

static void
end_one(struct caller *c)
{
    sg_sessions_end(c->x->realm, c->subject, c->sid, ended, c);
}

static void
end_all(struct caller *c)
{
    sg_sessions_end_all(c->x->realm, c->subject, ended, c);
}

void
route_sessions_end_all(struct exchange *x)
{
    struct caller *c = caller_new(x, end_all);

    if (c != NULL)
        ask_who(c, true);
}

void
route_session_end(struct exchange *x)
{
    struct caller *c = caller_new(x, end_one);

    if (c == NULL)
        return;
    if (sg_b64url_decode(sg_str(x->tail), c->sid, sizeof c->sid) != SG_SID_BYTES)
        fail(c, 404, "not_found", "there is no such session of yours");
    else
        ask_who(c, true);
}
