/* SPDX-License-Identifier: MIT */
#include "base/words.h"
#include "legacy/legacy.h"
#include "server/oauth.h"

#include <jansson.h>

#define TYPE_ACCESS "urn:ietf:params:oauth:token-type:access_token"
#define TYPE_LEGACY "urn:segue:params:oauth:token-type:legacy-session"

static json_t *
json_slice(struct sg_slice s)
{
    return json_stringn(s.ptr != NULL ? s.ptr : "", s.len);
}

json_t *
request_token_json(const struct sg_token_out *out)
{
    json_t *json = json_pack("{s:o,s:s,s:I}", "access_token", json_slice(out->access_token),
                             "token_type", "Bearer", "expires_in", (json_int_t)out->expires_in_sec);

    if (json != NULL && out->refresh_token.len > 0)
        json_object_set_new(json, "refresh_token", json_slice(out->refresh_token));
    if (json != NULL && out->scope.len > 0)
        json_object_set_new(json, "scope", json_slice(out->scope));
    return json;
}

static void
token_answered(void *ctx, const struct sg_token_out *out)
{
    struct exchange *x = ctx;

    if (out->status != SG_TOKEN_OK) {
        oauth_answer_failure(x, out);
        return;
    }
    oauth_no_store(x);
    server_answer_json(x, 200, request_token_json(out));
}

static void
exchange_answered(void *ctx, const struct sg_token_out *out)
{
    struct exchange *x = ctx;
    json_t *json;

    if (out->status != SG_TOKEN_OK) {
        oauth_answer_failure(x, out);
        return;
    }
    oauth_no_store(x);
    json = request_token_json(out);
    if (json != NULL)
        json_object_set_new(json, "issued_token_type", json_string(TYPE_ACCESS));
    server_answer_json(x, 200, json);
}

const char *
request_audience(const struct sg_client_config *client, struct sg_slice wanted)
{
    int i;

    if (wanted.len == 0)
        return client->audiences[0];
    for (i = 0; client->audiences[i] != NULL; i++)
        if (sg_slice_eq(sg_str(client->audiences[i]), wanted))
            return client->audiences[i];
    return NULL;
}

/* An absolute URI without fragment (RFC 8707 section 2). */
static bool
is_resource(struct sg_slice s)
{
    return s.len > 0 && memchr(s.ptr, ':', s.len) != NULL && memchr(s.ptr, '#', s.len) == NULL;
}

/* The targets asked for, by either name (RFC 8707, RFC 8693 section 2.1); false: one of them cannot
 * be any. */
static bool
read_targets(const struct sg_form *form, struct sg_buf *out)
{
    struct sg_slice s;
    int i;

    for (i = 0; (s = sg_form_nth(form, "resource", i)).len > 0; i++) {
        if (!is_resource(s) || memchr(s.ptr, ' ', s.len) != NULL)
            return false;
        sg_words_add(out, s);
    }
    for (i = 0; (s = sg_form_nth(form, "audience", i)).len > 0; i++) {
        if (memchr(s.ptr, ' ', s.len) != NULL)
            return false;
        sg_words_add(out, s);
    }
    return !out->failed;
}

/* A scope is words with one space between each (RFC 6749 section 3.3). */
static bool
is_scope(struct sg_slice s)
{
    size_t i;

    for (i = 0; i < s.len; i++)
        if (s.ptr[i] < ' ' || s.ptr[i] >= 0x7f || s.ptr[i] == '"' || s.ptr[i] == '\\' ||
            (s.ptr[i] == ' ' && (i == 0 || i == s.len - 1 || s.ptr[i - 1] == ' ')))
            return false;
    return true;
}

static void
handle_exchange(struct exchange *x, const struct sg_form *form, const struct sg_token_ask *ask)
{
    struct sg_slice token = sg_form_get(form, "subject_token");
    struct sg_slice wanted = sg_form_get(form, "requested_token_type");

    if (token.len == 0 || sg_form_get(form, "subject_token_type").len == 0)
        server_answer_error(x, 400, "invalid_request",
                            "subject_token and subject_token_type are required");
    else if (!sg_slice_eq(sg_form_get(form, "subject_token_type"), sg_str(TYPE_LEGACY)))
        server_answer_error(x, 400, "invalid_request", "subject_token_type must be " TYPE_LEGACY);
    else if (wanted.len > 0 && !sg_slice_eq(wanted, sg_str(TYPE_ACCESS)))
        server_answer_error(x, 400, "invalid_request", "only access tokens are issued");
    else if (sg_form_get(form, "actor_token").len > 0 ||
             sg_form_get(form, "actor_token_type").len > 0)
        server_answer_error(x, 400, "invalid_request", "actor tokens are not taken");
    else
        sg_token_exchange(x->realm, token, ask, exchange_answered, x);
}

static void
handle_refresh(struct exchange *x, const struct sg_form *form, const struct sg_token_ask *ask)
{
    struct sg_slice token = sg_form_get(form, "refresh_token");

    if (token.len == 0)
        server_answer_error(x, 400, "invalid_request", "refresh_token is required");
    else
        sg_token_refresh(x->realm, token, ask, token_answered, x);
}

static void
handle_client(struct exchange *x, const struct sg_form *form, const struct sg_token_ask *ask)
{
    (void)form;
    sg_token_for_client(x->realm, ask, token_answered, x);
}

static void
handle_grant(struct exchange *x, const struct sg_form *form, const struct sg_client_config *client)
{
    static const struct {
        const char *name;
        unsigned bit;
        void (*handle)(struct exchange *x, const struct sg_form *form,
                       const struct sg_token_ask *ask);
    } grants[] = {{OAUTH_GRANT_EXCHANGE, SG_GRANT_EXCHANGE, handle_exchange},
                  {"refresh_token", SG_GRANT_REFRESH, handle_refresh},
                  {"client_credentials", SG_GRANT_CLIENT, handle_client}};
    struct sg_slice grant = sg_form_get(form, "grant_type");
    struct sg_buf targets = SG_BUF_INIT(8192);
    struct sg_token_ask ask = {.client = client, .scope = sg_form_get(form, "scope")};
    size_t i;

    for (i = 0; i < sizeof grants / sizeof grants[0]; i++)
        if (sg_slice_eq(grant, sg_str(grants[i].name)))
            break;
    if (grant.len == 0)
        server_answer_error(x, 400, "invalid_request", "grant_type is required");
    else if (i == sizeof grants / sizeof grants[0])
        server_answer_error(x, 400, "unsupported_grant_type",
                            "token exchange, refresh_token and client_credentials are served");
    else if ((client->grants & grants[i].bit) == 0)
        server_answer_error(x, 400, "unauthorized_client",
                            "the configuration does not give this client this grant");
    else if (!is_scope(ask.scope))
        server_answer_error(x, 400, "invalid_scope", "words with one space between are expected");
    else if (!read_targets(form, &targets))
        server_answer_error(x, 400, "invalid_target", "no such resource or audience");
    else {
        ask.audience = sg_buf_slice(&targets);
        grants[i].handle(x, form, &ask);
    }
    sg_buf_free(&targets);
}

void
route_token(struct exchange *x)
{
    struct sg_form form;
    const struct sg_client_config *client = oauth_open(x, &form);

    if (client != NULL)
        handle_grant(x, &form, client);
    sg_form_clear(&form);
}

static void
session_answered(void *ctx, const struct sg_token_out *out)
{
    struct exchange *x = ctx;
    json_t *json;

    if (out->status != SG_TOKEN_OK) {
        oauth_answer_failure(x, out);
        return;
    }
    oauth_no_store(x);
    json = out->access_token.len > 0 ? request_token_json(out) : json_object();
    if (json != NULL) {
        json_object_set_new(json, "session", json_slice(out->session));
        if (out->set_cookie.len > 0)
            json_object_set_new(json, "set_cookie", json_slice(out->set_cookie));
        if (out->legacy_cookie.len > 0)
            json_object_set_new(json, "legacy_cookie", json_slice(out->legacy_cookie));
    }
    server_answer_json(x, 201, json);
}

void
route_sessions(struct exchange *x)
{
    const struct sg_realm_config *c = sg_realm_config(x->realm);
    const struct sg_client_config *backend =
        client_authenticate(c, sg_http_header(x->request, "Authorization"), NULL);
    struct sg_slice body = sg_http_body(x->request);
    const char *subject = NULL, *client_id = c->clients[0].id, *wanted = NULL, *audience;
    const struct sg_client_config *client;
    json_error_t why;
    json_t *json;

    if (backend == NULL || backend->secret == NULL ||
        sg_policy_client_is_disabled(sg_realm_policy(x->realm), sg_str(backend->id))) {
        oauth_refuse_client(x, "HTTP Basic with a confidential client is wanted");
        return;
    }
    /* A resource server, or a service that acts for itself alone, logs nobody in. */
    if ((backend->grants & SG_GRANT_EXCHANGE) == 0) {
        server_answer_error(x, 400, "unauthorized_client",
                            "the configuration gives this client no token exchange");
        return;
    }
    json = json_loadb(body.ptr != NULL ? body.ptr : "", body.len, JSON_REJECT_DUPLICATES, &why);
    if (json == NULL ||
        json_unpack_ex(json, &why, 0, "{s:s,s?s,s?s}", "subject", &subject, "client_id", &client_id,
                       "audience", &wanted) != 0 ||
        !sg_is_subject(sg_str(subject)))
        server_answer_error(x, 400, "invalid_request",
                            "expected a JSON object with 'subject' (1 to 200 bytes, no control "
                            "characters) and, if wanted, 'client_id' and 'audience'");
    else if ((client = sg_config_client(c, sg_str(client_id))) == NULL)
        server_answer_error(x, 400, "invalid_request", "no such client_id");
    else if ((audience = request_audience(client, sg_str(wanted))) == NULL)
        server_answer_error(x, 400, "invalid_target", "not an audience of this client");
    else
        sg_session_create(x->realm, subject, client->id, audience, true, session_answered, x);
    json_decref(json);
}
