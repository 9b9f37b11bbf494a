/* SPDX-License-Identifier: MIT */
#include "keys/signing.h"

#include <sodium.h>

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
