/* SPDX-License-Identifier: MIT */
#ifndef SG_JWT_KEY_H
#define SG_JWT_KEY_H

#include "jwt/hmac.h"
#include "segue/segue.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdatomic.h>

/* Lengths of an HS256 secret: RFC 7518 section 3.2 asks for the hash's size at least. */
#define SG_SECRET_MIN 32
#define SG_SECRET_MAX 512

/* A key as the files of this folder see it. EVP_PKEY for ES256 and RS256, bytes for EdDSA and
 * HS256. Nothing but refs changes once made. */
struct segue_key {
    atomic_int refs;
    uint64_t id; /* of this key alone, as long as the process lives */
    enum segue_alg alg;
    bool private;
    size_t kid_len;
    char kid[SEGUE_KID_BYTES + 1];
    EVP_PKEY *pkey;
    unsigned char ed_public[crypto_sign_PUBLICKEYBYTES];
    unsigned char ed_secret[crypto_sign_SECRETKEYBYTES];
    size_t secret_len;
    unsigned char secret[SG_SECRET_MAX];
    struct sg_hmac hmac;
};

/* A zeroed key with one reference, or NULL; libsodium is ready after it. */
struct segue_key *sg_key_alloc(enum segue_alg alg);

/* Takes a secret of SG_SECRET_MIN to SG_SECRET_MAX bytes as an HS256 key's. */
void sg_key_set_secret(struct segue_key *key, struct sg_slice secret);

/* Names the key: kid NULL = its RFC 7638 thumbprint. */
enum segue_status sg_key_name(struct segue_key *key, const char *kid, size_t len,
                              struct segue_error *err);

/* The EVP_PKEY of an RS256 or ES256 key's members; NULL on failure. Values are big-endian and of
 * full size; d NULL = public only. */
struct sg_rsa_members {
    const unsigned char *n, *d, *p, *q, *dp, *dq, *qi;
    size_t n_len, d_len, p_len, q_len, dp_len, dq_len, qi_len;
};
EVP_PKEY *sg_pkey_from_rsa(const struct sg_rsa_members *m);
/* point: 04 | x | y. */
EVP_PKEY *sg_pkey_from_p256(const unsigned char point[65], const unsigned char *d);

/* The order of P-256, big-endian, and whether 0 < v < order. */
bool sg_p256_scalar_ok(const unsigned char v[32]);

#endif
