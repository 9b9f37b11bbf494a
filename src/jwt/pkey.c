/* SPDX-License-Identifier: MIT */
#include "jwt/key.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

/* Members as libcrypto takes them: in the machine's byte order. Wiped after use. */
#define RSA_BYTES_MAX 512
#define RSA_MEMBERS 8

struct native {
    unsigned char b[RSA_MEMBERS][RSA_BYTES_MAX];
    OSSL_PARAM params[RSA_MEMBERS + 1];
    int n;
};

static void
add_number(struct native *v, const char *name, const unsigned char *big_endian, size_t len)
{
    unsigned char *b = v->b[v->n];
    size_t i;

    for (i = 0; i < len; i++)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        b[i] = big_endian[len - 1 - i];
#else
        b[i] = big_endian[i];
#endif
    v->params[v->n++] = OSSL_PARAM_construct_BN(name, b, len);
}

static EVP_PKEY *
from_params(const char *type, OSSL_PARAM *params, bool private)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;

    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) !=
            1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

EVP_PKEY *
sg_pkey_from_rsa(const struct sg_rsa_members *m)
{
    static const unsigned char f4[] = {1, 0, 1};
    struct native v;
    EVP_PKEY *pkey;

    v.n = 0;
    add_number(&v, OSSL_PKEY_PARAM_RSA_N, m->n, m->n_len);
    add_number(&v, OSSL_PKEY_PARAM_RSA_E, f4, sizeof f4);
    if (m->d != NULL) {
        add_number(&v, OSSL_PKEY_PARAM_RSA_D, m->d, m->d_len);
        add_number(&v, OSSL_PKEY_PARAM_RSA_FACTOR1, m->p, m->p_len);
        add_number(&v, OSSL_PKEY_PARAM_RSA_FACTOR2, m->q, m->q_len);
        add_number(&v, OSSL_PKEY_PARAM_RSA_EXPONENT1, m->dp, m->dp_len);
        add_number(&v, OSSL_PKEY_PARAM_RSA_EXPONENT2, m->dq, m->dq_len);
        add_number(&v, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, m->qi, m->qi_len);
    }
    v.params[v.n] = OSSL_PARAM_construct_end();
    pkey = from_params("RSA", v.params, m->d != NULL);
    sodium_memzero(&v, sizeof v);
    return pkey;
}

EVP_PKEY *
sg_pkey_from_p256(const unsigned char point[65], const unsigned char *d)
{
    static char group[] = "prime256v1";
    unsigned char copy[65];
    OSSL_PARAM params[4];
    struct native v;
    EVP_PKEY *pkey;
    int n = 0;

    memcpy(copy, point, sizeof copy);
    params[n++] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
    params[n++] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy, sizeof copy);
    v.n = 0;
    if (d != NULL) {
        add_number(&v, OSSL_PKEY_PARAM_PRIV_KEY, d, 32);
        params[n++] = v.params[0];
    }
    params[n] = OSSL_PARAM_construct_end();
    pkey = from_params("EC", params, d != NULL);
    if (d != NULL)
        sodium_memzero(&v, sizeof v);
    return pkey;
}

bool
sg_p256_scalar_ok(const unsigned char v[32])
{
    static const unsigned char order[32] = {
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
        0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51}; /* SEC 2, section 2.4.2 */

    return !sodium_is_zero(v, 32) && memcmp(v, order, 32) < 0;
}
