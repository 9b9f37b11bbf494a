/* SPDX-License-Identifier: MIT */
#include "server/server_internal.h"

#include "base/encode.h"
#include "base/hash.h"

#include <jansson.h>
#include <stdlib.h>

struct route {
    const char *path;   /* one that ends in '/' stands for all below it */
    const char *method; /* NULL = any: a proxy's subrequest repeats the client's */
    void (*handle)(struct exchange *x);
};

static const struct route routes[] = {
    {"/verify", NULL, route_verify},
    {"/oauth2/token", "POST", route_token},
    {"/oauth2/introspect", "POST", route_introspect},
    {"/oauth2/revoke", "POST", route_revoke},
    {"/v1/login", "POST", route_login},
    {"/v1/sessions", "POST", route_sessions},
    {"/v1/sessions", "GET", route_sessions_list},
    {"/v1/sessions", "DELETE", route_sessions_end_all},
    {"/v1/sessions/", "DELETE", route_session_end},
    {"/v1/subjects/changed", "POST", route_subjects_changed},
    {"/v1/subjects/", "GET", route_subject_get},
    {"/v1/subjects/", "PATCH", route_subject_patch},
    {"/.well-known/jwks.json", "GET", route_jwks},
    {"/.well-known/oauth-authorization-server", "GET", route_metadata},
    {"/healthz", "GET", route_healthz},
    {"/readyz", "GET", route_readyz},
    {"/metrics", "GET", route_metrics},
};

void
server_event(struct exchange *x, bool bad, const char *what, const struct sg_err *err)
{
    const struct sg_server_options *o = &x->server->options;

    if (o->event != NULL)
        o->event(o->ctx, bad, what, x->id, err);
}

void
server_answer(struct exchange *x, int status, struct sg_slice body)
{
    char version[24];

    if (x->request != NULL) {
        sg_http_add_header(x->request, "X-Request-Id", sg_str(x->id));
        if (x->realm != NULL) {
            snprintf(version, sizeof version, "%lld",
                     (long long)sg_realm_policy(x->realm)->version);
            sg_http_add_header(x->request, "X-Segue-Policy", sg_str(version));
        }
        x->server->answers[status / 100 % 6]++;
        sg_http_set_owner(x->request, NULL);
        sg_http_answer(x->request, status, body);
    }
    free(x);
}

void
server_answer_json(struct exchange *x, int status, json_t *json)
{
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    if (x->request != NULL)
        sg_http_add_header(x->request, "Content-Type", sg_str("application/json"));
    server_answer(x, text != NULL ? status : 500, sg_str(text));
    if (text != NULL)
        explicit_bzero(text, strlen(text)); /* it may have held tokens */
    free(text);
}

void
server_answer_error(struct exchange *x, int status, const char *error, const char *description)
{
    if (x->request == NULL) { /* and the server may have been drained and freed meanwhile */
        server_answer(x, status, (struct sg_slice){0});
        return;
    }
    sg_http_add_header(x->request, "Cache-Control", sg_str("no-store"));
    if (status == 503)
        sg_http_add_header(x->request, "Retry-After", sg_str("1"));
    if (status >= 500)
        server_event(x, true, description, NULL);
    server_answer_json(x, status,
                       json_pack("{s:s,s:s}", "error", error, "error_description", description));
}

/* The caller's request id if it is a plausible one, else a new one. */
static void
choose_id(struct exchange *x)
{
    struct sg_slice given = sg_http_header(x->request, "X-Request-Id");
    uint8_t random[12];
    size_t i;

    for (i = 0; i < given.len && given.len <= REQUEST_ID_MAX; i++) {
        char c = given.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '-' || c == '_'))
            break;
    }
    if (given.len >= 8 && i == given.len) {
        memcpy(x->id, given.ptr, given.len);
        return;
    }
    sg_random(random, sizeof random);
    sg_hex(random, sizeof random, x->id);
}

/* "/auth" of "https://example.org/auth"; "" where there is none. */
static struct sg_slice
issuer_path(const struct sg_realm_config *c)
{
    const char *host = strstr(c->issuer, "://") + 3;
    struct sg_slice path = sg_str(strchr(host, '/'));

    if (path.len > 0 && path.ptr[path.len - 1] == '/')
        path.len--;
    return path;
}

/* The realm a path begins with: by its issuer's path, the longest that fits, so that what the
 * metadata says is served without a proxy too; else by its name ("/realms/NAME"). *n: how much of
 * the path that is. */
static struct sg_realm *
realm_of_path(struct sg_engine *e, const char *path, size_t *n)
{
    static const char prefix[] = "/realms/";
    const char *name = path + sizeof prefix - 1;
    struct sg_realm *found = NULL;
    int i;

    *n = 0;
    for (i = 0; i < sg_engine_realms(e); i++) {
        struct sg_realm *realm = sg_engine_realm_at(e, i);
        struct sg_slice p = issuer_path(sg_realm_config(realm));

        if (p.len > *n && strncmp(path, p.ptr, p.len) == 0 &&
            (path[p.len] == '/' || path[p.len] == '\0')) {
            found = realm;
            *n = p.len;
        }
    }
    if (found != NULL || strncmp(path, prefix, sizeof prefix - 1) != 0)
        return found;
    *n = sizeof prefix - 1 + strcspn(name, "/");
    return *n > sizeof prefix - 1 ? sg_engine_realm(e, sg_slice(name, *n - (sizeof prefix - 1)))
                                  : NULL;
}

/* Finds the realm and cuts it off the path; false where there is none. RFC 8414 section 3.1 puts
 * the well-known segment before the issuer's path. */
static bool
find_realm(struct exchange *x, const char **path)
{
    static const char metadata[] = "/.well-known/oauth-authorization-server";
    struct sg_engine *e = x->server->engine;
    size_t n;

    if (strncmp(*path, metadata, sizeof metadata - 1) == 0 && (*path)[sizeof metadata - 1] == '/') {
        const char *rest = *path + sizeof metadata - 1;

        x->realm = realm_of_path(e, rest, &n);
        *path = metadata;
        return x->realm != NULL && rest[n] == '\0';
    }
    if ((x->realm = realm_of_path(e, *path, &n)) != NULL)
        *path += n;
    else if (strncmp(*path, "/realms/", 8) != 0)
        x->realm = sg_engine_realm(e, sg_http_header(x->request, "X-Segue-Realm"));
    return x->realm != NULL;
}

/* What is behind the route in the path; NULL where the path is not the route's. */
static const char *
tail_of(const struct route *route, const char *path)
{
    size_t n = strlen(route->path);

    if (route->path[n - 1] != '/')
        return strcmp(route->path, path) == 0 ? "" : NULL;
    return strncmp(route->path, path, n) == 0 && path[n] != '\0' ? path + n : NULL;
}

/* Calls the handler of path and method, or answers 404 or 405. */
static void
dispatch(struct exchange *x, const char *path)
{
    const char *method = sg_http_method(x->request), *tail;
    struct sg_buf allow = SG_BUF_INIT(64);
    size_t i;

    for (i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if ((tail = tail_of(&routes[i], path)) == NULL)
            continue;
        if (routes[i].method == NULL || strcmp(routes[i].method, method) == 0) {
            sg_buf_free(&allow);
            x->tail = tail;
            routes[i].handle(x);
            return;
        }
        sg_buf_printf(&allow, "%s%s", allow.len > 0 ? ", " : "", routes[i].method);
    }
    if (allow.len == 0)
        server_answer_error(x, 404, "not_found", "there is no such path");
    else {
        sg_http_add_header(x->request, "Allow", sg_buf_slice(&allow));
        server_answer_error(x, 405, "method_not_allowed", "see the Allow header");
    }
    sg_buf_free(&allow);
}

static void
handle(void *ctx, struct sg_http_request *request)
{
    struct sg_server *server = ctx;
    const char *path = sg_http_path(request);
    struct exchange *x = calloc(1, sizeof *x);

    if (x == NULL) {
        sg_http_answer(request, 503, (struct sg_slice){0});
        return;
    }
    x->server = server;
    x->request = request;
    sg_http_set_owner(request, x);
    choose_id(x);
    if (!find_realm(x, &path))
        server_answer_error(x, 404, "not_found", "there is no such realm");
    else
        dispatch(x, path);
}

/* The client has gone: what is under way goes on, its answer is dropped. */
static void
aborted(void *ctx, struct sg_http_request *request)
{
    struct exchange *x = sg_http_owner(request);

    (void)ctx;
    if (x != NULL)
        x->request = NULL;
}

int
sg_server_open(uv_loop_t *loop, const struct sg_clock *clock, struct sg_engine *engine,
               const struct sg_server_options *options, struct sg_server **out, struct sg_err *err)
{
    struct sg_server *s = calloc(1, sizeof *s);
    struct sg_http_options http = {.address = options->listen,
                                   .share = options->share != NULL ? options->share->http : NULL,
                                   .max_connections = 10000,
                                   .max_body_bytes = 65536,
                                   .memory_bytes = 49152,
                                   .idle_timeout_ms = 75000,
                                   .header_deadline_ms = 10000,
                                   .handler = handle,
                                   .aborted = aborted,
                                   .ctx = s};

    if (s == NULL)
        return sg_fail(err, SG_E_INTERNAL, "server", "out of memory");
    s->engine = engine;
    s->clock = clock;
    s->options = *options;
    s->started_ns = sg_mono_ns(clock);
    if (sg_http_open(loop, clock, &http, &s->http, err) != 0) {
        free(s);
        return -1;
    }
    *out = s;
    return 0;
}

int
sg_server_port(const struct sg_server *s)
{
    return sg_http_port(s->http);
}

struct drain {
    struct sg_server *server;
    void (*drained)(void *ctx);
    void *ctx;
};

static void
drained(void *ctx)
{
    struct drain *d = ctx;

    d->drained(d->ctx);
    free(d->server);
    free(d);
}

void
sg_server_drain(struct sg_server *s, uint64_t deadline_ns, void (*done)(void *ctx), void *ctx)
{
    struct drain *d = malloc(sizeof *d);

    if (d == NULL)
        abort(); /* on the way out, and no memory for three pointers */
    *d = (struct drain){s, done, ctx};
    sg_http_drain(s->http, deadline_ns, drained, d);
}
