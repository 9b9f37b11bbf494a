/* SPDX-License-Identifier: MIT */
#include "server/oauth.h"
#include "session/login.h"

#include <jansson.h>
#include <strings.h>

/* POST /v1/login (docs/api.md). */

static bool
is_json(const struct sg_http_request *r)
{
    static const char json[] = "application/json";
    struct sg_slice type = sg_http_header(r, "Content-Type");
    size_t n = sizeof json - 1;

    return type.len >= n && strncasecmp(type.ptr, json, n) == 0 &&
           (type.len == n || type.ptr[n] == ';' || type.ptr[n] == ' ');
}

/* Browsers say where a request comes from; others have no cookies that could be misused. */
static bool
is_browser(const struct sg_http_request *r)
{
    return sg_http_headers_n(r, "Origin") > 0 || sg_http_headers_n(r, "Sec-Fetch-Site") > 0;
}

/* As configured, the proxy's word or the peer's; without either all share one. */
static void
read_address(const struct exchange *x, uint8_t out[SG_ATTEMPTS_ADDRESS_BYTES])
{
    const char *header = sg_realm_config(x->realm)->login.address_header;
    char text[256] = "";
    struct sg_slice said;

    memset(out, 0, SG_ATTEMPTS_ADDRESS_BYTES);
    if (header[0] != '\0') {
        said = sg_http_header_last(x->request, header);
        if (said.len > 0 && said.len < sizeof text)
            memcpy(text, said.ptr, said.len);
    } else
        sg_http_peer(x->request, text);
    (void)sg_attempts_address(text, out);
}

/* The client the session is for. Who calls without a secret may name public clients only. */
static const struct sg_client_config *
find_client(const struct sg_realm_config *c, const char *wanted, bool trusted)
{
    int i;

    for (i = 0; i < c->n_clients; i++)
        if ((trusted || c->clients[i].secret == NULL) &&
            (wanted == NULL || strcmp(c->clients[i].id, wanted) == 0))
            return &c->clients[i];
    return NULL;
}

static void
too_many(struct exchange *x, const struct sg_login_out *out, int status)
{
    char seconds[24];

    if (x->request != NULL) {
        snprintf(seconds, sizeof seconds, "%lld", (long long)out->retry_after_sec);
        sg_http_add_header(x->request, "Retry-After", sg_str(seconds));
        sg_http_add_header(x->request, "Cache-Control", sg_str("no-store"));
    }
    server_answer_json(
        x, status,
        json_pack("{s:s,s:s}", "error", "temporarily_unavailable", "error_description", out->why));
}

/* Rule 5: a browser gets cookies and no tokens to read. */
static void
answer_browser(struct exchange *x, const struct sg_token_out *t)
{
    json_t *json = json_pack("{s:s%}", "session", t->session.ptr, t->session.len);

    if (x->request != NULL) {
        if (t->set_cookie.len > 0)
            sg_http_add_header(x->request, "Set-Cookie", t->set_cookie);
        if (t->legacy_cookie.len > 0)
            sg_http_add_header(x->request, "Set-Cookie", t->legacy_cookie);
    }
    if (json != NULL && t->access_token.len > 0)
        json_object_set_new(json, "expires_in", json_integer(t->expires_in_sec));
    server_answer_json(x, 200, json);
}

static void
answer_tokens(struct exchange *x, const struct sg_token_out *t)
{
    json_t *json = t->access_token.len > 0 ? request_token_json(t) : json_object();

    if (json != NULL) {
        json_object_set_new(json, "session", json_stringn(t->session.ptr, t->session.len));
        if (t->legacy_cookie.len > 0)
            json_object_set_new(json, "legacy_cookie",
                                json_stringn(t->legacy_cookie.ptr, t->legacy_cookie.len));
    }
    server_answer_json(x, 200, json);
}

static void
logged_in(struct exchange *x, const struct sg_token_out *tokens, bool browser)
{
    if (x->request != NULL)
        sg_http_add_header(x->request, "Cache-Control", sg_str("no-store"));
    if (browser)
        answer_browser(x, tokens);
    else
        answer_tokens(x, tokens);
}

static void
answered(struct exchange *x, const struct sg_login_out *out, bool browser)
{
    char challenge[80];

    switch (out->outcome) {
    case SG_LOGIN_OK:
        logged_in(x, out->tokens, browser);
        break;
    case SG_LOGIN_INVALID:
        server_answer_error(x, 400, "invalid_request", out->why);
        break;
    case SG_LOGIN_CLIENT_DISABLED:
        server_answer_error(x, 400, "unauthorized_client", out->why);
        break;
    case SG_LOGIN_REFUSED:
        if (x->request != NULL) { /* RFC 9110 section 15.5.2 wants one; no browser knows this */
            snprintf(challenge, sizeof challenge, "Password realm=\"%s\"",
                     sg_realm_config(x->realm)->name);
            sg_http_add_header(x->request, "WWW-Authenticate", sg_str(challenge));
        }
        server_answer_error(x, 401, "access_denied", out->why);
        break;
    case SG_LOGIN_LIMITED:
        too_many(x, out, 429);
        break;
    case SG_LOGIN_UNAVAILABLE:
        if (x->request != NULL)
            server_event(x, true, out->why, NULL);
        too_many(x, out, 503);
        break;
    }
}

static void
answered_browser(void *ctx, const struct sg_login_out *out)
{
    answered(ctx, out, true);
}

static void
answered_client(void *ctx, const struct sg_login_out *out)
{
    answered(ctx, out, false);
}

static void
log_in(struct exchange *x, json_t *json, bool trusted)
{
    const struct sg_realm_config *c = sg_realm_config(x->realm);
    const char *login, *password, *client_id = NULL, *audience = NULL;
    const struct sg_client_config *client;
    size_t login_len, password_len;
    bool browser = is_browser(x->request);
    struct sg_login_in in = {.refreshable = !browser};
    json_error_t why;

    if (json == NULL || json_unpack_ex(json, &why, 0, "{s:s%,s:s%,s?s,s?s}", "login", &login,
                                       &login_len, "password", &password, &password_len,
                                       "client_id", &client_id, "audience", &audience) != 0) {
        server_answer_error(x, 400, "invalid_request",
                            "expected a JSON object with 'login' and 'password' and, if "
                            "wanted, 'client_id' and 'audience'");
        return;
    }
    in.login = sg_slice(login, login_len);
    in.password = sg_slice(password, password_len);
    read_address(x, in.address);
    if ((client = find_client(c, client_id, trusted)) == NULL)
        server_answer_error(x, 400, "invalid_request", "no such public client_id");
    else if ((in.audience = request_audience(client, sg_str(audience))) == NULL)
        server_answer_error(x, 400, "invalid_target", "not an audience of this client");
    else {
        in.client_id = client->id;
        sg_login(x->realm, &in, browser ? answered_browser : answered_client, x);
    }
}

static void
wipe_password(const json_t *json)
{
    const json_t *password = json_object_get(json, "password");

    if (json_is_string(password))
        explicit_bzero((char *)json_string_value(password), json_string_length(password));
}

void
route_login(struct exchange *x)
{
    const struct sg_realm_config *c = sg_realm_config(x->realm);
    struct sg_slice body = sg_http_body(x->request);
    bool trusted = sg_http_headers_n(x->request, "Authorization") > 0;
    const struct sg_client_config *caller;
    json_t *json;

    if (c->login.source == NULL) {
        server_answer_error(x, 404, "not_found", "this realm takes no passwords");
        return;
    }
    /* A form of another site can neither send JSON nor hide where it comes from. */
    if (!is_json(x->request)) {
        server_answer_error(x, 415, "invalid_request", "Content-Type must be application/json");
        return;
    }
    if (is_browser(x->request) && !request_is_same_site(x)) {
        server_answer_error(x, 403, "access_denied",
                            "the page is not of one of the realm's origins");
        return;
    }
    if (trusted) {
        caller = client_authenticate(c, sg_http_header(x->request, "Authorization"), NULL);
        if (caller == NULL || caller->secret == NULL ||
            sg_policy_client_is_disabled(sg_realm_policy(x->realm), sg_str(caller->id))) {
            oauth_refuse_client(x, "unknown client or wrong secret");
            return;
        }
    }
    json = json_loadb(body.ptr != NULL ? body.ptr : "", body.len, JSON_REJECT_DUPLICATES, NULL);
    if (body.len > 0)
        explicit_bzero((char *)body.ptr,
                       body.len); /* it holds the password, and is not needed again */
    log_in(x, json, trusted);
    wipe_password(json);
    json_decref(json);
}
