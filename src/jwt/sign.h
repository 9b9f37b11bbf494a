/* SPDX-License-Identifier: MIT */
#ifndef SG_JWT_SIGN_H
#define SG_JWT_SIGN_H

#include "base/slice.h"
#include "jwt/key.h"

/* The JWS signature primitives (RFC 7515 appendix A, 7518 sections 3.3 and 3.4, 8037 section 3.1):
 * raw signatures over the signing input, nothing else. */
#define SG_SIGNATURE_MAX 512 /* RS256 with 4096 bits */

/* SHA-256 as fetched once for the process; NULL when libcrypto has none. */
const EVP_MD *sg_sha256_md(void);

/* A header, still encoded, as the key's last good token had it, and its typ: an issuer writes the
 * same bytes each time, and they mean the same each time. Longer ones are not kept. */
struct sg_known_header {
    size_t len, typ_len; /* len 0: none */
    char text[256], typ[64];
};

/* What a thread keeps to verify with a key quickly. Not for two threads at once. */
struct sg_verifier {
    const struct segue_key *key; /* not owned */
    EVP_PKEY_CTX *ctx;           /* ES256, RS256 */
    struct sg_known_header header;
};

enum segue_status sg_verifier_init(struct sg_verifier *v, const struct segue_key *key);
void sg_verifier_clear(struct sg_verifier *v);

/* SEGUE_OK or SEGUE_BAD_SIGNATURE. md is the caller's scratch. ES256 is r | s, 64 bytes; r or s of
 * 0 or not below the order is refused. */
enum segue_status sg_verify_signature(struct sg_verifier *v, EVP_MD_CTX *md, struct sg_slice input,
                                      struct sg_slice signature);

/* Signs; any number of threads at once. *len: bytes written to out. */
enum segue_status sg_sign(const struct segue_key *key, struct sg_slice input,
                          unsigned char out[SG_SIGNATURE_MAX], size_t *len);

#endif
