/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "base/hash.h"
#include "base/words.h"
#include "server/oauth.h"
#include "session/rotation.h"

#include <jansson.h>
#include <stdlib.h>

#define JWKS_BYTES 65536

/* RFC 9110 section 13.1.2: any of a list, weak or not; "*" is whatever there is. */
static bool
has_etag(struct sg_slice list, struct sg_slice etag)
{
    return sg_slice_eq(list, sg_str("*")) ||
           (list.len > 0 && memmem(list.ptr, list.len, etag.ptr, etag.len) != NULL);
}

static void
answer_jwks(struct exchange *x, struct sg_slice text)
{
    struct sg_hash hash = sg_hash_fields("segue.jwks", &text, 1);
    struct sg_buf etag = SG_BUF_INIT(64), cache = SG_BUF_INIT(64);
    char hex[2 * 16 + 1];

    sg_hex(hash.b, 16, hex);
    sg_buf_printf(&etag, "\"%s\"", hex);
    /* A key signs when the oldest copy that may be kept has it (segue_control.key_objection). */
    sg_buf_printf(&cache, "public, max-age=%lld",
                  (long long)sg_jwks_max_age_sec(sg_realm_config(x->realm)));
    sg_http_add_header(x->request, "ETag", sg_buf_slice(&etag));
    sg_http_add_header(x->request, "Cache-Control", sg_buf_slice(&cache));
    if (has_etag(sg_http_header(x->request, "If-None-Match"), sg_buf_slice(&etag))) {
        server_answer(x, 304, (struct sg_slice){0});
    } else {
        sg_http_add_header(x->request, "Content-Type", sg_str("application/json"));
        server_answer(x, 200, text);
    }
    sg_buf_free(&etag);
    sg_buf_free(&cache);
}

void
route_jwks(struct exchange *x)
{
    char *text = malloc(JWKS_BYTES);
    size_t len = 0;

    if (text == NULL ||
        segue_keyset_to_jwks(sg_realm_keys(x->realm), text, JWKS_BYTES, &len) != SEGUE_OK) {
        server_answer_error(x, 503, "temporarily_unavailable", "no keys can be written");
    } else if (sg_realm_policy(x->realm)->version == 0) {
        /* An empty set would be kept for as long as a full one. */
        server_answer_error(x, 503, "temporarily_unavailable", "no keys were read yet");
    } else {
        answer_jwks(x, sg_slice(text, len));
    }
    free(text);
}

static void
set_url(json_t *json, const char *name, const struct sg_realm_config *c, const char *path)
{
    struct sg_slice issuer = sg_str(c->issuer);

    if (issuer.ptr[issuer.len - 1] == '/')
        issuer.len--;
    json_object_set_new(json, name, json_sprintf("%.*s%s", (int)issuer.len, issuer.ptr, path));
}

/* What any client may be given; an empty array is left out. */
static void
set_scopes(json_t *json, const struct sg_realm_config *c)
{
    struct sg_buf all = SG_BUF_INIT(SG_LIST_MAX * SG_CONFIG_WORDS_BYTES);
    json_t *array = json_array();
    struct sg_slice rest, word;
    int i;

    for (i = 0; i < c->n_clients; i++)
        sg_words_add_all(&all, c->clients[i].scope);
    rest = sg_buf_slice(&all);
    while (sg_words_next(&rest, &word))
        json_array_append_new(array, json_stringn(word.ptr, word.len));
    sg_buf_free(&all);
    if (json_array_size(array) > 0)
        json_object_set(json, "scopes_supported", array);
    json_decref(array);
}

static void
set_grants(json_t *json, const struct sg_realm_config *c)
{
    json_t *array = json_array();
    unsigned all = 0;
    int i;

    for (i = 0; i < c->n_clients; i++)
        all |= c->clients[i].grants;
    if (all & SG_GRANT_EXCHANGE)
        json_array_append_new(array, json_string(OAUTH_GRANT_EXCHANGE));
    if (all & SG_GRANT_REFRESH)
        json_array_append_new(array, json_string("refresh_token"));
    if (all & SG_GRANT_CLIENT)
        json_array_append_new(array, json_string("client_credentials"));
    /* Left out it would mean others (section 2), so it stays when it is empty. */
    json_object_set_new(json, "grant_types_supported", array);
}

/* RFC 8414 section 2. There is no authorization endpoint, so no response type; an OpenID provider
 * it is not, so openid-configuration is not served. */
void
route_metadata(struct exchange *x)
{
    const struct sg_realm_config *c = sg_realm_config(x->realm);
    json_t *json = json_pack(
        "{s:s,s:[],s:[s,s,s],s:[s,s,s],s:[s,s]}", "issuer", c->issuer, "response_types_supported",
        "token_endpoint_auth_methods_supported", "client_secret_basic", "client_secret_post",
        "none", "revocation_endpoint_auth_methods_supported", "client_secret_basic",
        "client_secret_post", "none", "introspection_endpoint_auth_methods_supported",
        "client_secret_basic", "client_secret_post");

    if (json != NULL) {
        set_url(json, "token_endpoint", c, "/oauth2/token");
        set_url(json, "introspection_endpoint", c, "/oauth2/introspect");
        set_url(json, "revocation_endpoint", c, "/oauth2/revoke");
        set_url(json, "jwks_uri", c, "/.well-known/jwks.json");
        set_scopes(json, c);
        set_grants(json, c);
        /* Not registered; says under which name the algorithm stands in the tokens. */
        json_object_set_new(json, "access_token_signing_alg_values_supported",
                            json_pack("[s]", c->token.alg));
    }
    sg_http_add_header(x->request, "Cache-Control", sg_str("public, max-age=300"));
    server_answer_json(x, 200, json);
}

void
route_healthz(struct exchange *x)
{
    sg_http_add_header(x->request, "Content-Type", sg_str("text/plain"));
    server_answer(x, 200, sg_str("ok\n"));
}

void
route_readyz(struct exchange *x)
{
    const char *why = NULL;

    if (sg_engine_ready(x->server->engine, &why))
        server_answer_json(x, 200, json_pack("{s:b}", "ready", 1));
    else
        server_answer_json(x, 503, json_pack("{s:b,s:s}", "ready", 0, "missing", why));
}
