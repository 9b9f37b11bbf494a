/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <jwt.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct handle {
    unsigned char *key;
    int len;
    jwt_alg_t alg;
};

static void *
open_key(const char *alg, const char *jwk, const char *pem)
{
    struct handle *h = calloc(1, sizeof *h);
    const char *k = strstr(jwk, "\"k\":\"");
    unsigned char secret[64];
    size_t n;

    if (h == NULL || strcmp(alg, "EdDSA") == 0)
        return NULL;
    h->alg = jwt_str_alg(alg);
    if (pem != NULL) {
        h->key = (unsigned char *)strdup(pem);
        h->len = (int)strlen(pem);
    } else {
        k += 5;
        if (sodium_base642bin(secret, sizeof secret, k, strcspn(k, "\""), NULL, &n, NULL,
                              sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
            return NULL;
        h->key = malloc(n);
        memcpy(h->key, secret, n);
        h->len = (int)n;
    }
    return h;
}

static bool
is(const char *got, const char *want)
{
    return got != NULL && strcmp(got, want) == 0;
}

static bool
verify(void *handle, const char *token, size_t len)
{
    struct handle *h = handle;
    char *roles = NULL;
    jwt_t *jwt = NULL;
    bool good = jwt_decode(&jwt, token, h->key, h->len) == 0 && jwt_get_alg(jwt) == h->alg &&
                is(jwt_get_header(jwt, "typ"), "JWT") && is(jwt_get_grant(jwt, "iss"), ISSUER) &&
                is(jwt_get_grant(jwt, "aud"), AUDIENCE) && jwt_get_grant_int(jwt, "exp") > NOW &&
                jwt_get_grant_int(jwt, "nbf") <= NOW && jwt_get_grant(jwt, "sub") != NULL &&
                (roles = jwt_get_grants_json(jwt, "roles")) != NULL;

    free(roles);
    if (jwt != NULL)
        jwt_free(jwt);
    return good;
}

const struct peer peer_libjwt = {"libjwt", open_key, verify};
