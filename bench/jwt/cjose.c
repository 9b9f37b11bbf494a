/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <cjose/cjose.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct handle {
    cjose_jwk_t *jwk;
    const char *alg;
};

static void *
open_key(const char *alg, const char *jwk, const char *pem)
{
    struct handle *h = calloc(1, sizeof *h);

    if (h == NULL || strcmp(alg, "EdDSA") == 0)
        return NULL;
    h->alg = alg;
    h->jwk = cjose_jwk_import(jwk, strlen(jwk), NULL);
    return h->jwk != NULL ? h : NULL;
}

char *
cjose_resign(const char *alg, const char *jwk, const char *token)
{
    cjose_jwk_t *key = cjose_jwk_import(jwk, strlen(jwk), NULL);
    cjose_jws_t *old = cjose_jws_import(token, strlen(token), NULL), *new = NULL;
    cjose_header_t *header = cjose_header_new(NULL);
    const char *text = NULL;
    char *copy = NULL;
    uint8_t *claims;
    size_t n;

    if (cjose_header_set(header, "alg", alg, NULL) &&
        cjose_header_set(header, "typ", "JWT", NULL) &&
        cjose_header_set(header, "kid", cjose_jwk_get_kid(key, NULL), NULL) &&
        cjose_jws_verify(old, key, NULL) && cjose_jws_get_plaintext(old, &claims, &n, NULL) &&
        (new = cjose_jws_sign(key, header, claims, n, NULL)) != NULL &&
        cjose_jws_export(new, &text, NULL))
        copy = strdup(text);
    cjose_jws_release(new);
    cjose_header_release(header);
    cjose_jws_release(old);
    cjose_jwk_release(key);
    return copy;
}

static bool
is(const json_t *v, const char *want)
{
    return json_is_string(v) && strcmp(json_string_value(v), want) == 0;
}

static bool
claims_good(const uint8_t *text, size_t len)
{
    json_t *c = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, NULL);
    bool good = c != NULL && is(json_object_get(c, "iss"), ISSUER) &&
                is(json_object_get(c, "aud"), AUDIENCE) &&
                json_integer_value(json_object_get(c, "exp")) > NOW &&
                json_integer_value(json_object_get(c, "nbf")) <= NOW &&
                json_string_length(json_object_get(c, "sub")) > 0 &&
                json_is_string(json_array_get(json_object_get(c, "roles"), 0));

    json_decref(c);
    return good;
}

static bool
verify(void *handle, const char *token, size_t len)
{
    struct handle *h = handle;
    cjose_jws_t *jws = cjose_jws_import(token, len, NULL);
    cjose_header_t *header = jws != NULL ? cjose_jws_get_protected(jws) : NULL;
    const char *alg = header != NULL ? cjose_header_get(header, CJOSE_HDR_ALG, NULL) : NULL;
    const char *typ = header != NULL ? cjose_header_get(header, "typ", NULL) : NULL;
    uint8_t *text;
    size_t n;
    bool good = alg != NULL && strcmp(alg, h->alg) == 0 && typ != NULL &&
                strcmp(typ, "at+jwt") == 0 && cjose_jws_verify(jws, h->jwk, NULL) &&
                cjose_jws_get_plaintext(jws, &text, &n, NULL) && claims_good(text, n);

    cjose_jws_release(jws);
    return good;
}

const struct peer peer_cjose = {"cjose", open_key, verify};
