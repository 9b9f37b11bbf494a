/* SPDX-License-Identifier: MIT */
#include "keys/signing.h"

#include "base/encode.h"

#include <sodium.h>
#include <stdio.h>

#define DOMAIN "signing_key"

int
sg_signing_key_seal(const struct sg_keyring *ring, const char *realm, const struct segue_key *key,
                    struct sg_buf *sealed, struct sg_err *err)
{
    struct sg_slice aad[] = {sg_str(realm), sg_str(segue_key_kid(key))};
    char jwk[SEGUE_JWK_BYTES];
    enum segue_status status;
    size_t len;
    int rc;

    status = segue_key_private_jwk(key, jwk, sizeof jwk, &len);
    if (status != SEGUE_OK)
        return sg_fail(err, SG_E_INVALID, "signing key", "key '%s' cannot be written: %s",
                       segue_key_kid(key), segue_strerror(status));
    rc = sg_seal(ring, DOMAIN, aad, 2, sg_slice(jwk, len), sealed, err);
    sodium_memzero(jwk, sizeof jwk);
    return rc;
}

int
sg_signing_key_open(const struct sg_keyring *ring, const char *realm, const char *kid,
                    struct sg_slice sealed, struct segue_key **out, struct sg_err *err)
{
    struct sg_slice aad[] = {sg_str(realm), sg_str(kid)};
    struct sg_buf jwk = SG_BUF_INIT(SEGUE_JWK_BYTES);
    struct segue_key *key = NULL;
    struct segue_error why;
    int rc = 0;

    if (sg_open(ring, DOMAIN, aad, 2, sealed, &jwk, err) != 0)
        return -1;
    if (segue_key_from_jwk(jwk.ptr, jwk.len, &key, &why) != SEGUE_OK)
        rc =
            sg_fail(err, SG_E_INVALID, "signing key", "key '%s' cannot be read: %s", kid, why.text);
    else if (strcmp(segue_key_kid(key), kid) != 0 || !segue_key_has_private(key))
        rc =
            sg_fail(err, SG_E_INVALID, "signing key", "what is stored for key '%s' is not it", kid);
    sg_buf_wipe(&jwk);
    if (rc == 0)
        *out = key;
    else
        segue_key_free(key);
    return rc;
}

/* A secret's thumbprint would be a digest of the secret, and a kid is in every token. */
static const char *
kid_for(enum segue_alg alg, char out[32])
{
    uint8_t random[16];

    if (alg != SEGUE_HS256)
        return NULL;
    sg_random(random, sizeof random);
    sg_b64url_text(random, sizeof random, out);
    return out;
}

int
sg_new_key_make(const struct sg_keyring *ring, const char *realm, const char *alg,
                struct sg_new_key *out, struct sg_err *err)
{
    enum segue_alg a = segue_alg_find(alg);
    struct segue_error why = {.text = ""};
    struct segue_key *key;
    char kid[32];
    size_t len;
    int rc;

    *out = (struct sg_new_key){.sealed = SG_BUF_INIT(SEGUE_JWK_BYTES + SG_SEAL_OVERHEAD)};
    if (segue_key_generate(a, kid_for(a, kid), &key, &why) != SEGUE_OK)
        return sg_fail(err, SG_E_INTERNAL, "signing key", "could not make one of %s for realm %s",
                       alg, realm);
    rc = sg_signing_key_seal(ring, realm, key, &out->sealed, err);
    snprintf(out->kid, sizeof out->kid, "%s", segue_key_kid(key));
    if (rc == 0 && a != SEGUE_HS256 &&
        segue_key_public_jwk(key, out->public_jwk, sizeof out->public_jwk, &len) != SEGUE_OK)
        rc = sg_fail(err, SG_E_INTERNAL, "signing key", "key '%s' cannot be written", out->kid);
    segue_key_free(key);
    return rc;
}

void
sg_new_key_clear(struct sg_new_key *key)
{
    sg_buf_wipe(&key->sealed);
    *key = (struct sg_new_key){0};
}
