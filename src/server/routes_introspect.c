/* SPDX-License-Identifier: MIT */
#include "base/words.h"
#include "server/oauth.h"
#include "session/introspect.h"
#include "session/verify.h"

#include <jansson.h>
#include <stdlib.h>

/* Introspection (RFC 7662): is this token good, and what does it say? What is not good, unknown, or
 * none of the caller's business is answered alike: {"active":false}. */

struct question {
    struct exchange *x;
    const struct sg_client_config *caller;
};

static struct segue_slice
pub(struct sg_slice s)
{
    return (struct segue_slice){s.ptr, s.len};
}

/* Absent text is left out. */
static void
set_text(json_t *json, const char *name, struct segue_slice s)
{
    if (s.len > 0)
        json_object_set_new(json, name, json_stringn(s.ptr, s.len));
}

static void
set_time(json_t *json, const char *name, int64_t seconds)
{
    if (seconds >= 0)
        json_object_set_new(json, name, json_integer((json_int_t)seconds));
}

/* One is a string, several are an array, as in a token. */
static json_t *
audience_of(const struct segue_claims *c)
{
    json_t *array = json_array();
    size_t i;

    if (c->n_aud == 1) {
        json_decref(array);
        return json_stringn(c->aud[0].ptr, c->aud[0].len);
    }
    for (i = 0; i < c->n_aud; i++)
        json_array_append_new(array, json_stringn(c->aud[i].ptr, c->aud[i].len));
    return array;
}

static json_t *
names_of(const struct sg_names *names)
{
    json_t *array = json_array();
    int i;

    for (i = 0; i < names->n; i++)
        json_array_append_new(array, json_string(names->name[i]));
    return array;
}

static void
set_extra(json_t *json, const struct segue_extra *e)
{
    json_t *value = e->kind == SEGUE_INT ? json_integer((json_int_t)e->number)
                    : e->kind == SEGUE_STRING
                        ? json_stringn(e->text.ptr, e->text.len)
                        : json_loadb(e->text.ptr, e->text.len, JSON_DECODE_ANY, NULL);
    char name[128];

    snprintf(name, sizeof name, "%.*s", (int)e->name.len, e->name.ptr);
    if (json_object_get(json, name) == NULL)
        json_object_set_new(json, name, value);
    else
        json_decref(value);
}

static void
answer(struct question *q, json_t *active)
{
    oauth_no_store(q->x);
    server_answer_json(q->x, 200, active != NULL ? active : json_pack("{s:b}", "active", 0));
    free(q);
}

static bool
has_text(const char *const *list, struct segue_slice s)
{
    for (; *list != NULL; list++)
        if (sg_slice_eq(sg_str(*list), sg_slice(s.ptr, s.len)))
            return true;
    return false;
}

/* A resource server asks about what is for it, a client about what it was issued. */
static bool
may_ask(const struct question *q, const struct segue_claims *c)
{
    size_t i;

    for (i = 0; i < c->n_aud; i++)
        if (has_text(q->caller->audiences, c->aud[i]))
            return true;
    return sg_slice_eq(sg_str(q->caller->id), sg_slice(c->client_id.ptr, c->client_id.len));
}

/* What a JWT says beside whose it is. */
static void
add_claims(json_t *json, const struct segue_claims *c)
{
    size_t i;

    set_text(json, "client_id", c->client_id);
    set_text(json, "scope", c->scope);
    set_text(json, "jti", c->jti);
    set_text(json, "sub", c->sub);
    set_time(json, "exp", c->exp);
    set_time(json, "iat", c->iat);
    set_time(json, "nbf", c->nbf);
    json_object_set_new(json, "token_type", json_string("Bearer"));
    json_object_set_new(json, "aud", audience_of(c));
    for (i = 0; i < c->n_extra; i++)
        set_extra(json, &c->extra[i]);
}

static void
verified(void *ctx, const struct sg_verify_out *out)
{
    struct question *q = ctx;
    json_t *json;

    if (out->status == 503) {
        server_answer_error(q->x, 503, "temporarily_unavailable", out->why);
        free(q);
        return;
    }
    if (out->status != 200 || out->credential == SG_CRED_NONE ||
        (out->claims != NULL && !may_ask(q, out->claims))) {
        answer(q, NULL);
        return;
    }
    json = json_pack("{s:b,s:s}", "active", 1, "iss", sg_realm_config(q->x->realm)->issuer);
    set_text(json, "sub", pub(out->subject));
    set_text(json, "sid", pub(out->session));
    json_object_set_new(json, "roles", names_of(out->role_names));
    json_object_set_new(json, "permissions", names_of(out->permission_names));
    if (out->claims != NULL)
        add_claims(json, out->claims);
    answer(q, json);
}

static void
refresh_known(void *ctx, const struct sg_refresh_about *about)
{
    struct question *q = ctx;
    json_t *json, *aud = json_array();
    struct sg_slice rest = sg_str(about->audience), word;

    if (about->status == SG_REFRESH_UNKNOWABLE) {
        server_answer_error(q->x, 503, "temporarily_unavailable", "a store is down");
        free(q);
    } else if (about->status == SG_REFRESH_INACTIVE) {
        answer(q, NULL);
    } else {
        while (sg_words_next(&rest, &word))
            json_array_append_new(aud, json_stringn(word.ptr, word.len));
        json = json_pack("{s:b,s:s,s:s,s:s,s:O,s:I,s:I}", "active", 1, "iss",
                         sg_realm_config(q->x->realm)->issuer, "client_id", q->caller->id, "sub",
                         about->subject, "aud", aud, "iat", (json_int_t)about->issued_sec, "exp",
                         (json_int_t)about->expires_sec);
        set_text(json, "scope", pub(sg_str(about->scope)));
        set_text(json, "sid", pub(sg_str(about->session)));
        answer(q, json);
    }
    json_decref(aud);
}

static void
ask(struct exchange *x, const struct sg_client_config *caller, struct sg_slice token)
{
    const struct sg_realm_config *c = sg_realm_config(x->realm);
    struct sg_buf bearer = SG_BUF_INIT(token.len + 8);
    struct sg_verify_in in = {.realm = x->realm,
                              .audience = c->audiences[0],
                              .client_id = c->clients[0].id,
                              .only_asking = true};
    struct question *q = calloc(1, sizeof *q);

    if (q == NULL) {
        server_answer_error(x, 503, "temporarily_unavailable", "out of memory");
        return;
    }
    *q = (struct question){x, caller};
    if (sg_refresh_introspect(x->realm, token, caller->id, refresh_known, q))
        return;
    sg_buf_puts(&bearer, "Bearer ");
    sg_buf_add(&bearer, token);
    in.authorization = sg_buf_slice(&bearer);
    sg_verify(x->server->engine, &in, verified, q);
    sg_buf_wipe(&bearer);
}

void
route_introspect(struct exchange *x)
{
    struct sg_form form;
    const struct sg_client_config *client = oauth_open(x, &form);
    struct sg_slice token = sg_form_get(&form, "token");

    if (client != NULL &&
        (client->secret == NULL ||
         sg_policy_client_is_disabled(sg_realm_policy(x->realm), sg_str(client->id))))
        oauth_refuse_client(x, "introspection is for confidential clients that are not disabled");
    else if (client != NULL && token.len == 0)
        server_answer_error(x, 400, "invalid_request", "token is required");
    else if (client != NULL)
        ask(x, client, token);
    sg_form_clear(&form);
}
