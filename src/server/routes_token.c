/* SPDX-License-Identifier: MIT */
#include "server/client_auth.h"
#include "server/form.h"
#include "server/server_internal.h"
#include "session/credentials.h"
#include "session/tokens.h"

#include <jansson.h>

#define GRANT_EXCHANGE "urn:ietf:params:oauth:grant-type:token-exchange"
#define TYPE_ACCESS "urn:ietf:params:oauth:token-type:access_token"
#define TYPE_LEGACY "urn:segue:params:oauth:token-type:legacy-session"

static void
answer_failure(struct exchange *x, const struct sg_token_out *out)
{
    switch (out->status) {
    case SG_TOKEN_OK:
        break;
    case SG_TOKEN_INVALID_REQUEST:
        server_answer_error(x, 400, "invalid_request", out->why);
        break;
    case SG_TOKEN_INVALID_GRANT:
        server_answer_error(x, 400, "invalid_grant", out->why);
        break;
    case SG_TOKEN_CLIENT_DISABLED:
        server_answer_error(x, 400, "unauthorized_client", out->why);
        break;
    case SG_TOKEN_NOT_ENABLED:
        server_answer_error(x, 400, "temporarily_unavailable",
                            "no access token is handed to this subject now: go on with the "
                            "session token");
        break;
    case SG_TOKEN_UNAVAILABLE:
        server_answer_error(x, 503, "temporarily_unavailable", out->why);
        break;
    }
}

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
    return json;
}

static void
no_store(struct exchange *x)
{
    if (x->request != NULL)
        sg_http_add_header(x->request, "Cache-Control", sg_str("no-store"));
}

static void
token_answered(void *ctx, const struct sg_token_out *out)
{
    struct exchange *x = ctx;

    if (out->status != SG_TOKEN_OK) {
        answer_failure(x, out);
        return;
    }
    no_store(x);
    server_answer_json(x, 200, request_token_json(out));
}

static void
exchange_answered(void *ctx, const struct sg_token_out *out)
{
    struct exchange *x = ctx;
    json_t *json;

    if (out->status != SG_TOKEN_OK) {
        answer_failure(x, out);
        return;
    }
    no_store(x);
    json = request_token_json(out);
    if (json != NULL)
        json_object_set_new(json, "issued_token_type", json_string(TYPE_ACCESS));
    server_answer_json(x, 200, json);
}

const char *
request_audience(const struct sg_realm_config *c, struct sg_slice wanted)
{
    int i;

    if (wanted.len == 0)
        return c->audiences[0];
    for (i = 0; c->audiences[i] != NULL; i++)
        if (sg_slice_eq(sg_str(c->audiences[i]), wanted))
            return c->audiences[i];
    return NULL;
}

/* Parses the form and authenticates the client; on failure it has answered. */
static const struct sg_client_config *
open_form(struct exchange *x, struct sg_form *form)
{
    const struct sg_client_config *client;
    struct sg_err err;

    if (sg_form_parse(form, sg_http_body(x->request), &err) != 0) {
        server_answer_error(x, 400, "invalid_request", err.text);
        return NULL;
    }
    client = client_authenticate(sg_realm_config(x->realm),
                                 sg_http_header(x->request, "Authorization"), form);
    if (client == NULL) {
        sg_http_add_header(x->request, "WWW-Authenticate", sg_str("Basic realm=\"segue\""));
        server_answer_error(x, 401, "invalid_client", "unknown client or wrong secret");
    }
    return client;
}

static void
handle_exchange(struct exchange *x, const struct sg_form *form,
                const struct sg_client_config *client)
{
    struct sg_slice token = sg_form_get(form, "subject_token");
    struct sg_slice wanted = sg_form_get(form, "requested_token_type");
    const char *audience =
        request_audience(sg_realm_config(x->realm), sg_form_get(form, "audience"));

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
    else if (audience == NULL)
        server_answer_error(x, 400, "invalid_target", "no such audience");
    else
        sg_token_exchange(x->realm, token, client->id, audience, exchange_answered, x);
}

void
route_token(struct exchange *x)
{
    struct sg_form form;
    const struct sg_client_config *client = open_form(x, &form);
    struct sg_slice grant;

    if (client != NULL) {
        grant = sg_form_get(&form, "grant_type");
        if (sg_slice_eq(grant, sg_str(GRANT_EXCHANGE)))
            handle_exchange(x, &form, client);
        else if (sg_slice_eq(grant, sg_str("refresh_token")))
            sg_token_refresh(x->realm, sg_form_get(&form, "refresh_token"), client->id,
                             token_answered, x);
        else if (grant.len == 0)
            server_answer_error(x, 400, "invalid_request", "grant_type is required");
        else
            server_answer_error(x, 400, "unsupported_grant_type",
                                "token exchange and refresh_token are served");
    }
    sg_form_clear(&form);
}

static void
revoke_answered(void *ctx, const struct sg_token_out *out)
{
    struct exchange *x = ctx;

    if (out->status != SG_TOKEN_OK)
        answer_failure(x, out);
    else
        server_answer(x, 200, (struct sg_slice){0});
}

void
route_revoke(struct exchange *x)
{
    struct sg_form form;
    const struct sg_client_config *client = open_form(x, &form);
    struct sg_slice token;

    if (client != NULL) {
        token = sg_form_get(&form, "token");
        if (token.len == 0)
            server_answer_error(x, 400, "invalid_request", "token is required");
        else
            sg_token_revoke(x->realm, token, client->id, revoke_answered, x);
    }
    sg_form_clear(&form);
}

static void
session_answered(void *ctx, const struct sg_token_out *out)
{
    struct exchange *x = ctx;
    json_t *json;

    if (out->status != SG_TOKEN_OK) {
        answer_failure(x, out);
        return;
    }
    no_store(x);
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

/* The client the new session is for, by its configured id; absent: the first. */
static const char *
find_client_id(const struct sg_realm_config *c, const char *wanted)
{
    int i;

    if (wanted == NULL)
        return c->clients[0].id;
    for (i = 0; i < c->n_clients; i++)
        if (strcmp(c->clients[i].id, wanted) == 0)
            return c->clients[i].id;
    return NULL;
}

/* It becomes a header's value. */
static bool
has_control(const char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return true;
    return false;
}

void
route_sessions(struct exchange *x)
{
    const struct sg_realm_config *c = sg_realm_config(x->realm);
    const struct sg_client_config *backend =
        client_authenticate(c, sg_http_header(x->request, "Authorization"), NULL);
    struct sg_slice body = sg_http_body(x->request);
    const char *subject = NULL, *client = NULL, *wanted = NULL, *audience;
    json_error_t why;
    json_t *json;

    if (backend == NULL || backend->secret == NULL ||
        sg_policy_client_is_disabled(sg_realm_policy(x->realm), sg_str(backend->id))) {
        sg_http_add_header(x->request, "WWW-Authenticate", sg_str("Basic realm=\"segue\""));
        server_answer_error(x, 401, "invalid_client",
                            "HTTP Basic with a confidential client is wanted");
        return;
    }
    json = json_loadb(body.ptr != NULL ? body.ptr : "", body.len, JSON_REJECT_DUPLICATES, &why);
    if (json == NULL ||
        json_unpack_ex(json, &why, 0, "{s:s,s?s,s?s}", "subject", &subject, "client_id", &client,
                       "audience", &wanted) != 0 ||
        *subject == '\0' || strlen(subject) > 200 || has_control(subject))
        server_answer_error(x, 400, "invalid_request",
                            "expected a JSON object with \"subject\" (1 to 200 bytes, no control "
                            "characters) and, if wanted, \"client_id\" and \"audience\"");
    else if ((audience = request_audience(c, sg_str(wanted))) == NULL)
        server_answer_error(x, 400, "invalid_target", "no such audience");
    else if (find_client_id(c, client) == NULL)
        server_answer_error(x, 400, "invalid_request", "no such client_id");
    else
        sg_session_create(x->realm, subject, find_client_id(c, client), audience, true,
                          session_answered, x);
    json_decref(json);
}
