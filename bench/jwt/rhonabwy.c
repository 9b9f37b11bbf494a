/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <rhonabwy.h>
#include <stdlib.h>
#include <string.h>

static void *
open_key(const char *alg, const char *jwk, const char *pem)
{
    jwk_t *key = NULL;

    return r_jwk_init(&key) == RHN_OK && r_jwk_import_from_json_str(key, jwk) == RHN_OK ? key
                                                                                        : NULL;
}

char *
rhonabwy_pem(const char *jwk)
{
    jwk_t *key = open_key("", jwk, NULL);
    size_t len = 8192;
    char *pem = calloc(1, len + 1);

    if (key == NULL || pem == NULL ||
        r_jwk_export_to_pem_der(key, R_FORMAT_PEM, (unsigned char *)pem, &len, 0) != RHN_OK) {
        free(pem);
        pem = NULL;
    }
    r_jwk_free(key);
    return pem;
}

static bool
is(const char *got, const char *want)
{
    return got != NULL && strcmp(got, want) == 0;
}

static bool
verify(void *handle, const char *token, size_t len)
{
    json_t *roles = NULL;
    jwt_t *jwt = NULL;
    bool good =
        r_jwt_init(&jwt) == RHN_OK &&
        r_jwt_advanced_parsen(jwt, token, len, R_PARSE_NONE, R_FLAG_IGNORE_REMOTE) == RHN_OK &&
        r_jwt_verify_signature(jwt, handle, R_FLAG_IGNORE_REMOTE) == RHN_OK &&
        is(r_jwt_get_header_str_value(jwt, "typ"), "at+jwt") &&
        is(r_jwt_get_claim_str_value(jwt, "iss"), ISSUER) &&
        is(r_jwt_get_claim_str_value(jwt, "aud"), AUDIENCE) &&
        r_jwt_get_claim_int_value(jwt, "exp") > NOW &&
        r_jwt_get_claim_int_value(jwt, "nbf") <= NOW &&
        r_jwt_get_claim_str_value(jwt, "sub") != NULL &&
        (roles = r_jwt_get_claim_json_t_value(jwt, "roles")) != NULL;

    json_decref(roles);
    r_jwt_free(jwt);
    return good;
}

const struct peer peer_rhonabwy = {"rhonabwy", open_key, verify};
