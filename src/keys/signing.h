/* SPDX-License-Identifier: MIT */
#ifndef SG_KEYS_SIGNING_H
#define SG_KEYS_SIGNING_H

#include "keys/seal.h"
#include "segue/segue.h"

/* A realm's signing key as the control database holds it: the private JWK sealed under the domain
 * "signing_key" with the fields realm and kid. sealed is appended to. */
SG_MUST_USE int sg_signing_key_seal(const struct sg_keyring *ring, const char *realm,
                                    const struct segue_key *key, struct sg_buf *sealed,
                                    struct sg_err *err);

/* Opens it again; the key's own kid must be the one given. *out: free with segue_key_free. */
SG_MUST_USE int sg_signing_key_open(const struct sg_keyring *ring, const char *realm,
                                    const char *kid, struct sg_slice sealed, struct segue_key **out,
                                    struct sg_err *err);

/* A key just made, as its row in segue_control.signing_key will hold it. */
struct sg_new_key {
    char kid[SEGUE_KID_BYTES + 1];
    char public_jwk[SEGUE_JWK_BYTES]; /* "" for HS256: whoever had it could mint */
    struct sg_buf sealed;
};

/* Makes one of alg ("ES256", …) and seals it. Any thread; RS256 takes up to a second. Wipe it with
 * sg_new_key_clear, also after a failure. */
SG_MUST_USE int sg_new_key_make(const struct sg_keyring *ring, const char *realm, const char *alg,
                                struct sg_new_key *out, struct sg_err *err);
void sg_new_key_clear(struct sg_new_key *key);

#endif
