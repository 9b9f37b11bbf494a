/* SPDX-License-Identifier: MIT */
#include "jwt/sign.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <string.h>

#define P256_BYTES 32
#define DER_MAX 72

static EVP_MD *sha256;

/* Fetching costs a third of a microsecond and a lock each time, so it is done once. */
static void
fetch_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
}

const EVP_MD *
sg_sha256_md(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, fetch_sha256);
    return sha256;
}

/* ---- ECDSA signatures between r | s and DER ---- */

static unsigned char *
put_integer(unsigned char *at, const unsigned char v[P256_BYTES])
{
    size_t skip = 0, len, pad;

    while (skip < P256_BYTES - 1 && v[skip] == 0)
        skip++;
    pad = v[skip] >> 7; /* DER integers are signed */
    len = P256_BYTES - skip;
    *at++ = 0x02;
    *at++ = (unsigned char)(len + pad);
    if (pad)
        *at++ = 0;
    memcpy(at, v + skip, len);
    return at + len;
}

static size_t
to_der(const unsigned char raw[2 * P256_BYTES], unsigned char der[DER_MAX])
{
    unsigned char *end = put_integer(put_integer(der + 2, raw), raw + P256_BYTES);

    der[0] = 0x30;
    der[1] = (unsigned char)(end - der - 2);
    return (size_t)(end - der);
}

/* Moves past the integer at *at; false if it is none that fits. */
static bool
get_integer(const unsigned char **at, const unsigned char *end, unsigned char v[P256_BYTES])
{
    const unsigned char *p = *at;
    size_t len;

    if (end - p < 3 || p[0] != 0x02 || (size_t)(end - p - 2) < p[1] || p[1] == 0)
        return false;
    len = p[1];
    p += 2;
    *at = p + len;
    if (len > 1 && *p == 0) {
        p++;
        len--;
    }
    if (len > P256_BYTES)
        return false;
    memset(v, 0, P256_BYTES);
    memcpy(v + P256_BYTES - len, p, len);
    return true;
}

static bool
from_der(const unsigned char *der, size_t len, unsigned char raw[2 * P256_BYTES])
{
    const unsigned char *at = der + 2, *end = der + len;

    return len >= 2 && der[0] == 0x30 && der[1] == len - 2 && get_integer(&at, end, raw) &&
           get_integer(&at, end, raw + P256_BYTES) && at == end;
}

/* ---- verifying ---- */

static bool
set_up(const struct segue_key *key, EVP_PKEY_CTX *ctx)
{
    return EVP_PKEY_CTX_set_signature_md(ctx, sg_sha256_md()) == 1 &&
           (key->alg != SEGUE_RS256 || EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1);
}

enum segue_status
sg_verifier_init(struct sg_verifier *v, const struct segue_key *key)
{
    *v = (struct sg_verifier){.key = key};
    if (key->alg == SEGUE_EDDSA || key->alg == SEGUE_HS256)
        return SEGUE_OK;
    v->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    if (v->ctx == NULL || EVP_PKEY_verify_init(v->ctx) != 1 || !set_up(key, v->ctx)) {
        sg_verifier_clear(v);
        return SEGUE_INTERNAL;
    }
    return SEGUE_OK;
}

void
sg_verifier_clear(struct sg_verifier *v)
{
    EVP_PKEY_CTX_free(v->ctx);
    *v = (struct sg_verifier){0};
}

static bool
digest(EVP_MD_CTX *md, struct sg_slice input, unsigned char out[32])
{
    return EVP_DigestInit_ex2(md, sg_sha256_md(), NULL) == 1 &&
           EVP_DigestUpdate(md, input.ptr, input.len) == 1 &&
           EVP_DigestFinal_ex(md, out, NULL) == 1;
}

enum segue_status
sg_verify_signature(struct sg_verifier *v, EVP_MD_CTX *md, struct sg_slice input,
                    struct sg_slice signature)
{
    const unsigned char *sig = (const unsigned char *)signature.ptr;
    unsigned char hash[32], der[DER_MAX];
    size_t len = signature.len;
    bool good;

    if (v->key->alg == SEGUE_EDDSA)
        return len == crypto_sign_BYTES &&
                       crypto_sign_verify_detached(sig, (const unsigned char *)input.ptr, input.len,
                                                   v->key->ed_public) == 0
                   ? SEGUE_OK
                   : SEGUE_BAD_SIGNATURE;
    if (v->key->alg == SEGUE_HS256) {
        sg_hmac(&v->key->hmac, input, hash);
        return len == sizeof hash && crypto_verify_32(sig, hash) == 0 ? SEGUE_OK
                                                                      : SEGUE_BAD_SIGNATURE;
    }
    if (v->key->alg == SEGUE_ES256) {
        if (len != 2 * P256_BYTES || !sg_p256_scalar_ok(sig) ||
            !sg_p256_scalar_ok(sig + P256_BYTES))
            return SEGUE_BAD_SIGNATURE;
        len = to_der(sig, der);
        sig = der;
    }
    if (!digest(md, input, hash))
        return SEGUE_INTERNAL;
    good = EVP_PKEY_verify(v->ctx, sig, len, hash, sizeof hash) == 1;
    if (!good)
        ERR_clear_error(); /* a forged token must not fill the thread's error queue */
    return good ? SEGUE_OK : SEGUE_BAD_SIGNATURE;
}

/* ---- signing ---- */

static enum segue_status
sign_evp(const struct segue_key *key, struct sg_slice input, unsigned char out[SG_SIGNATURE_MAX],
         size_t *len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char hash[32], raw[2 * P256_BYTES];
    size_t n = SG_SIGNATURE_MAX;
    bool good = ctx != NULL && md != NULL && digest(md, input, hash) &&
                EVP_PKEY_sign_init(ctx) == 1 && set_up(key, ctx) &&
                EVP_PKEY_sign(ctx, out, &n, hash, sizeof hash) == 1;

    if (good && key->alg == SEGUE_ES256) {
        good = from_der(out, n, raw);
        if (good)
            memcpy(out, raw, sizeof raw);
        n = sizeof raw;
    }
    EVP_MD_CTX_free(md);
    EVP_PKEY_CTX_free(ctx);
    *len = n;
    return good ? SEGUE_OK : SEGUE_INTERNAL;
}

enum segue_status
sg_sign(const struct segue_key *key, struct sg_slice input, unsigned char out[SG_SIGNATURE_MAX],
        size_t *len)
{
    if (!key->private)
        return SEGUE_INVALID;
    if (key->alg == SEGUE_HS256) {
        sg_hmac(&key->hmac, input, out);
        *len = SG_HMAC_BYTES;
        return SEGUE_OK;
    }
    if (key->alg != SEGUE_EDDSA)
        return sign_evp(key, input, out, len);
    if (crypto_sign_detached(out, NULL, (const unsigned char *)input.ptr, input.len,
                             key->ed_secret) != 0)
        return SEGUE_INTERNAL;
    *len = crypto_sign_BYTES;
    return SEGUE_OK;
}
