/* SPDX-License-Identifier: MIT */
#include "jwt/key.h"

#include "jwt/jwk.h"
#include "jwt/status.h"

#include <stdlib.h>
#include <string.h>

#define RSA_BITS 2048

static const struct {
    enum segue_alg alg;
    const char *name;
} algs[] = {
    {SEGUE_ES256, "ES256"}, {SEGUE_EDDSA, "EdDSA"},   {SEGUE_RS256, "RS256"},
    {SEGUE_HS256, "HS256"}, {SEGUE_EDDSA, "Ed25519"}, /* RFC 9864: read, not written */
};

const char *
segue_alg_name(enum segue_alg alg)
{
    size_t i;

    for (i = 0; i < sizeof algs / sizeof algs[0]; i++)
        if (algs[i].alg == alg)
            return algs[i].name;
    return NULL;
}

enum segue_alg
segue_alg_find(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof algs / sizeof algs[0]; i++)
        if (strcmp(algs[i].name, name) == 0)
            return algs[i].alg;
    return (enum segue_alg)0;
}

struct segue_key *
sg_key_alloc(enum segue_alg alg)
{
    static atomic_uint_fast64_t last_id;
    struct segue_key *key = sodium_init() >= 0 ? calloc(1, sizeof *key) : NULL;

    if (key == NULL)
        return NULL;
    atomic_init(&key->refs, 1);
    key->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    key->alg = alg;
    return key;
}

void
sg_key_set_secret(struct segue_key *key, struct sg_slice secret)
{
    memcpy(key->secret, secret.ptr, secret.len);
    key->secret_len = secret.len;
    sg_hmac_init(&key->hmac, secret);
}

enum segue_status
sg_key_name(struct segue_key *key, const char *kid, size_t len, struct segue_error *err)
{
    size_t i;

    if (kid == NULL) {
        if (!sg_jwk_thumbprint(key, key->kid))
            return sg_jwt_fail(err, SEGUE_INTERNAL, "no thumbprint can be made of the key");
        key->kid_len = strlen(key->kid);
        return SEGUE_OK;
    }
    for (i = 0; i < len; i++)
        if (kid[i] <= ' ' || kid[i] > '~' || kid[i] == '"' || kid[i] == '\\')
            break;
    if (len == 0 || len > SEGUE_KID_BYTES || i < len)
        return sg_jwt_fail(err, SEGUE_INVALID,
                           "a kid is 1 to %d printable ASCII characters without space, '\"' and "
                           "'\\'",
                           SEGUE_KID_BYTES);
    memcpy(key->kid, kid, len);
    key->kid[len] = '\0';
    key->kid_len = len;
    return SEGUE_OK;
}

static bool
generate(struct segue_key *key)
{
    unsigned char secret[SG_SECRET_MIN];

    switch (key->alg) {
    case SEGUE_EDDSA:
        return crypto_sign_keypair(key->ed_public, key->ed_secret) == 0;
    case SEGUE_ES256:
        key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        return key->pkey != NULL;
    case SEGUE_RS256:
        key->pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BITS);
        return key->pkey != NULL;
    case SEGUE_HS256:
        randombytes_buf(secret, sizeof secret);
        sg_key_set_secret(key, sg_slice((char *)secret, sizeof secret));
        sodium_memzero(secret, sizeof secret);
        return true;
    }
    return false;
}

enum segue_status
segue_key_generate(enum segue_alg alg, const char *kid, struct segue_key **out,
                   struct segue_error *err)
{
    enum segue_status status;
    struct segue_key *key;

    if (segue_alg_name(alg) == NULL)
        return sg_jwt_fail(err, SEGUE_INVALID, "alg must be ES256, EdDSA, RS256 or HS256");
    key = sg_key_alloc(alg);
    if (key == NULL || !generate(key)) {
        segue_key_free(key);
        return sg_jwt_fail(err, SEGUE_INTERNAL, "%s", segue_strerror(SEGUE_INTERNAL));
    }
    key->private = true;
    status = sg_key_name(key, kid, kid != NULL ? strlen(kid) : 0, err);
    if (status != SEGUE_OK) {
        segue_key_free(key);
        return status;
    }
    *out = key;
    return SEGUE_OK;
}

const char *
segue_key_kid(const struct segue_key *key)
{
    return key->kid;
}

enum segue_alg
segue_key_alg(const struct segue_key *key)
{
    return key->alg;
}

bool
segue_key_has_private(const struct segue_key *key)
{
    return key->private;
}

struct segue_key *
segue_key_ref(const struct segue_key *key)
{
    struct segue_key *same = (struct segue_key *)key; /* only the count is ever written */

    atomic_fetch_add_explicit(&same->refs, 1, memory_order_relaxed);
    return same;
}

void
segue_key_free(struct segue_key *key)
{
    if (key == NULL || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) != 1)
        return;
    EVP_PKEY_free(key->pkey);
    sodium_memzero(key, sizeof *key);
    free(key);
}
