/* SPDX-License-Identifier: MIT */
#include "server/server_internal.h"
#include "session/verify.h"

/* What the client's request was, as the proxy tells: in a header, or by asking with the same
 * method. */
static bool
is_unsafe(const struct sg_http_request *r)
{
    static const char *const safe[] = {"GET", "HEAD", "OPTIONS", "TRACE"};
    struct sg_slice method = sg_http_header(r, "X-Forwarded-Method");
    size_t i;

    if (method.len == 0)
        method = sg_str(sg_http_method(r));
    for (i = 0; i < sizeof safe / sizeof safe[0]; i++)
        if (sg_slice_eq(method, sg_str(safe[i])))
            return false;
    return true;
}

bool
request_is_same_site(const struct exchange *x)
{
    const struct sg_realm_config *c = sg_realm_config(x->realm);
    const struct sg_http_request *r = x->request;
    struct sg_slice origin = sg_http_header(r, "Origin"),
                    site = sg_http_header(r, "Sec-Fetch-Site");
    int i;

    for (i = 0; c->origins[i] != NULL; i++)
        if (sg_slice_eq(origin, sg_str(c->origins[i])))
            return true;
    return origin.len == 0 &&
           (sg_slice_eq(site, sg_str("same-origin")) || sg_slice_eq(site, sg_str("none")));
}

/* Only pages and API calls: an image's answer may be kept by a cache, and a browser fires dozens at
 * once. */
static bool
may_hand_over(const struct sg_http_request *r)
{
    static const char *const never[] = {
        "image",    "style",  "script",       "font",          "audio",  "video", "track",
        "manifest", "worker", "sharedworker", "serviceworker", "object", "embed", "report"};
    struct sg_slice dest = sg_http_header(r, "Sec-Fetch-Dest");
    size_t i;

    for (i = 0; i < sizeof never / sizeof never[0]; i++)
        if (sg_slice_eq(dest, sg_str(never[i])))
            return false;
    return true;
}

/* "aud" comes from the proxy's configured host or route, never from the client. NULL: not said, or
 * none of the realm's. */
static const char *
audience_of(const struct sg_realm_config *c, struct sg_slice wanted)
{
    int i;

    for (i = 0; c->audiences[i] != NULL; i++)
        if (sg_slice_eq(wanted, sg_str(c->audiences[i])))
            return c->audiences[i];
    return NULL;
}

/* RFC 6750 section 3. What was shown and is no good has an error code, nothing shown has none. */
static void
challenge(struct exchange *x, const struct sg_verify_out *out)
{
    struct sg_slice scope = sg_http_header(x->request, "X-Segue-Scope");
    struct sg_buf text = SG_BUF_INIT(2048);

    sg_buf_printf(&text, "Bearer realm=\"%s\"", sg_realm_config(x->realm)->name);
    if (out->bad_token || out->bad_scope)
        sg_buf_printf(&text, ", error=\"%s\", error_description=\"%s\"",
                      out->bad_token ? "invalid_token" : "insufficient_scope", out->why);
    if (out->bad_scope && memchr(scope.ptr, '"', scope.len) == NULL &&
        memchr(scope.ptr, '\\', scope.len) == NULL)
        sg_buf_printf(&text, ", scope=\"%.*s\"", (int)scope.len, scope.ptr);
    sg_http_add_header(x->request, "WWW-Authenticate", sg_buf_slice(&text));
    sg_buf_free(&text);
}

static void
answered(void *ctx, const struct sg_verify_out *out)
{
    static const char *const credentials[] = {"none", "legacy", "jwt", "both", "client"};
    struct exchange *x = ctx;
    struct sg_http_request *r = x->request;

    if (r == NULL) {
        server_answer(x, out->status, (struct sg_slice){0});
        return;
    }
    /* Every identity header is always there, so that a forged one can never pass for ours (rule 6).
     */
    sg_http_add_header(r, "X-Segue-Subject", out->subject);
    sg_http_add_header(r, "X-Segue-Roles", out->roles);
    sg_http_add_header(r, "X-Segue-Permissions", out->permissions);
    sg_http_add_header(r, "X-Segue-Session", out->session);
    sg_http_add_header(r, "X-Segue-Client", out->client);
    sg_http_add_header(r, "X-Segue-Jwt", out->jwt);
    sg_http_add_header(r, "X-Segue-Cookie", out->cookie);
    sg_http_add_header(r, "X-Segue-Authorization", out->authorization);
    sg_http_add_header(r, "X-Segue-Credential", sg_str(credentials[out->credential]));
    sg_http_add_header(r, "X-Segue-Phase", sg_str(sg_phase_name(sg_realm_policy(x->realm)->phase)));
    if (out->set_cookie.len > 0)
        sg_http_add_header(r, "Set-Cookie", out->set_cookie);
    sg_http_add_header(r, "Cache-Control", sg_str("private, no-store"));
    if (out->status == 401 || out->bad_scope)
        challenge(x, out);
    if (out->status == 503) {
        sg_http_add_header(r, "Retry-After", sg_str("1"));
        server_event(x, true, out->why, NULL);
    }
    server_answer(x, out->status, (struct sg_slice){0});
}

void
route_verify(struct exchange *x)
{
    const struct sg_realm_config *c = sg_realm_config(x->realm);
    struct sg_http_request *r = x->request;
    const char *audience = audience_of(c, sg_http_header(r, "X-Segue-Audience"));
    struct sg_verify_in in = {
        .realm = x->realm,
        .cookie = sg_http_header(r, "Cookie"),
        .authorization = sg_http_header(r, "Authorization"),
        .audience = audience != NULL ? audience : c->clients[0].audiences[0],
        .only_audience = audience != NULL,
        .scope = sg_http_header(r, "X-Segue-Scope"),
        .client_id = c->clients[0].id,
        .required = sg_slice_eq(sg_http_header(r, "X-Segue-Auth"), sg_str("required")),
        .unsafe_method = is_unsafe(r),
        .same_site = request_is_same_site(x),
        .may_hand_over = may_hand_over(r),
    };

    sg_verify(x->server->engine, &in, answered, x);
}
