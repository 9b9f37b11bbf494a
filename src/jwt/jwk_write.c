/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "jwt/jwk.h"
#include "jwt/sign.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>

#define RSA_MAX 512

static void
add_bytes(struct sg_buf *b, const char *name, const unsigned char *bytes, size_t n)
{
    sg_buf_printf(b, "%s\"%s\":\"", b->ptr[b->len - 1] == '{' ? "" : ",", name);
    sg_b64url_add(b, sg_slice((const char *)bytes, n));
    sg_buf_puts(b, "\"");
}

/* A number of the key under libcrypto's name; size 0 = as short as it is. */
static bool
add_number(struct sg_buf *b, const char *name, const EVP_PKEY *pkey, const char *param, int size)
{
    unsigned char bytes[RSA_MAX];
    BIGNUM *bn = NULL;
    bool good;

    if (EVP_PKEY_get_bn_param(pkey, param, &bn) != 1)
        return false;
    if (size == 0)
        size = BN_num_bytes(bn);
    good = size <= RSA_MAX && BN_bn2binpad(bn, bytes, size) == size;
    if (good)
        add_bytes(b, name, bytes, (size_t)size);
    sodium_memzero(bytes, sizeof bytes);
    BN_clear_free(bn);
    return good;
}

static bool
add_p256(struct sg_buf *b, const struct segue_key *key)
{
    sg_buf_puts(b, "{\"crv\":\"P-256\",\"kty\":\"EC\"");
    return add_number(b, "x", key->pkey, OSSL_PKEY_PARAM_EC_PUB_X, 32) &&
           add_number(b, "y", key->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
}

static bool
add_rsa(struct sg_buf *b, const struct segue_key *key)
{
    sg_buf_puts(b, "{");
    if (!add_number(b, "e", key->pkey, OSSL_PKEY_PARAM_RSA_E, 0))
        return false;
    sg_buf_puts(b, ",\"kty\":\"RSA\"");
    return add_number(b, "n", key->pkey, OSSL_PKEY_PARAM_RSA_N, 0);
}

/* The members that the thumbprint is made of, in its order, without the closing brace. */
static bool
add_required(struct sg_buf *b, const struct segue_key *key)
{
    switch (key->alg) {
    case SEGUE_EDDSA:
        sg_buf_puts(b, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\"");
        add_bytes(b, "x", key->ed_public, sizeof key->ed_public);
        return true;
    case SEGUE_ES256:
        return add_p256(b, key);
    case SEGUE_RS256:
        return add_rsa(b, key);
    case SEGUE_HS256: /* nothing but the secret */
        sg_buf_puts(b, "{");
        add_bytes(b, "k", key->secret, key->secret_len);
        sg_buf_puts(b, ",\"kty\":\"oct\"");
        return true;
    }
    return false;
}

static bool
add_private(struct sg_buf *b, const struct segue_key *key)
{
    static const char *const rsa[][2] = {
        {"d", OSSL_PKEY_PARAM_RSA_D},          {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
        {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
        {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1}};
    size_t i;

    if (key->alg == SEGUE_EDDSA) {
        add_bytes(b, "d", key->ed_secret, crypto_sign_SEEDBYTES); /* the secret begins with it */
        return true;
    }
    if (key->alg == SEGUE_HS256)
        return true;
    if (key->alg == SEGUE_ES256)
        return add_number(b, "d", key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, 32);
    for (i = 0; i < sizeof rsa / sizeof rsa[0]; i++)
        if (!add_number(b, rsa[i][0], key->pkey, rsa[i][1], 0))
            return false;
    return true;
}

bool
sg_jwk_write(const struct segue_key *key, bool private, struct sg_buf *out)
{
    if ((key->alg == SEGUE_HS256 && !private) || !add_required(out, key))
        return false;
    sg_buf_printf(out, ",\"alg\":\"%s\",\"use\":\"sig\",\"kid\":\"%s\"", segue_alg_name(key->alg),
                  key->kid);
    if (private && !add_private(out, key))
        return false;
    sg_buf_puts(out, "}");
    return true;
}

/* A buffer with all its room from the start: growing would leave copies of a secret behind. */
static struct sg_buf
roomy(void)
{
    struct sg_buf b = SG_BUF_INIT(SEGUE_JWK_BYTES - 1);

    sg_buf_printf(&b, "%*s", SEGUE_JWK_BYTES - 1, "");
    sg_buf_reset(&b);
    return b;
}

bool
sg_jwk_thumbprint(const struct segue_key *key, char out[44])
{
    struct sg_buf b = roomy(), text = SG_BUF_INIT(43);
    unsigned char hash[32];
    bool good = add_required(&b, key);

    sg_buf_puts(&b, "}");
    good = good && !b.failed && EVP_Digest(b.ptr, b.len, hash, NULL, sg_sha256_md(), NULL) == 1;
    if (good)
        sg_b64url_add(&text, sg_slice((char *)hash, sizeof hash));
    good = good && !text.failed;
    if (good)
        memcpy(out, text.ptr, 44);
    sg_buf_free(&text);
    sg_buf_wipe(&b);
    return good;
}

static enum segue_status
write_text(const struct segue_key *key, bool private, char *out, size_t cap, size_t *len)
{
    struct sg_buf b = roomy();
    enum segue_status status = SEGUE_OK;

    if (!sg_jwk_write(key, private, &b))
        status = SEGUE_INTERNAL;
    else if (b.failed || b.len >= cap)
        status = SEGUE_TOO_LARGE;
    if (status == SEGUE_OK) {
        memcpy(out, b.ptr, b.len + 1);
        *len = b.len;
    }
    sg_buf_wipe(&b);
    return status;
}

enum segue_status
segue_key_public_jwk(const struct segue_key *key, char *out, size_t cap, size_t *len)
{
    return key->alg != SEGUE_HS256 ? write_text(key, false, out, cap, len) : SEGUE_INVALID;
}

enum segue_status
segue_key_private_jwk(const struct segue_key *key, char *out, size_t cap, size_t *len)
{
    return key->private ? write_text(key, true, out, cap, len) : SEGUE_INVALID;
}
