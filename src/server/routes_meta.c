/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "base/hash.h"
#include "server/server_internal.h"
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
set_url(json_t *json, const char *name, const char *issuer, const char *path)
{
    json_object_set_new(json, name, json_sprintf("%s%s", issuer, path));
}

/* RFC 8414 section 2. */
void
route_metadata(struct exchange *x)
{
    const struct sg_realm_config *c = sg_realm_config(x->realm);
    json_t *json = json_pack(
        "{s:s,s:[s,s],s:[],s:[s,s,s],s:[s,s,s]}", "issuer", c->issuer, "grant_types_supported",
        "urn:ietf:params:oauth:grant-type:token-exchange", "refresh_token",
        "response_types_supported", "token_endpoint_auth_methods_supported", "none",
        "client_secret_basic", "client_secret_post", "revocation_endpoint_auth_methods_supported",
        "none", "client_secret_basic", "client_secret_post");

    if (json != NULL) {
        set_url(json, "token_endpoint", c->issuer, "/oauth2/token");
        set_url(json, "revocation_endpoint", c->issuer, "/oauth2/revoke");
        set_url(json, "jwks_uri", c->issuer, "/.well-known/jwks.json");
    }
    sg_http_add_header(x->request, "Cache-Control", sg_str("public, max-age=300"));
    server_answer_json(x, 200, json);
}

void
route_healthz(struct exchange *x)
{
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
