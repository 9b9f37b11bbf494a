/* SPDX-License-Identifier: MIT */
#include "server/server_internal.h"

#include <jansson.h>
#include <stdlib.h>

#define JWKS_BYTES 65536

void
route_jwks(struct exchange *x)
{
    char *text = malloc(JWKS_BYTES);
    size_t len = 0;

    if (text == NULL ||
        segue_keyset_to_jwks(sg_realm_keys(x->realm), text, JWKS_BYTES, &len) != SEGUE_OK) {
        server_answer_error(x, 503, "temporarily_unavailable", "no keys were read yet");
    } else {
        sg_http_add_header(x->request, "Content-Type", sg_str("application/json"));
        sg_http_add_header(x->request, "Cache-Control", sg_str("public, max-age=60"));
        server_answer(x, 200, sg_slice(text, len));
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
