/* SPDX-License-Identifier: MIT */
/* Signatures that lazy verifiers take: of the wrong length, form or range, and made to match by
 * something other than the key. */
#include "base/encode.h"
#include "jwt/sign.h"
#include "jwt_forge.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>

enum { ES, ED, RS, HS };

static const char *const p256_order =
    "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551";
static const char *const p256_prime =
    "FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF";

/* What is signed: good until the token is made anew. */
static struct sg_slice
input(int key)
{
    forge_raw(forge_header(key), forge_claims(), sg_slice(NULL, 0));
    return sg_slice(forge_token.ptr, forge_token.len - 1);
}

static size_t
good_signature(int key, unsigned char sig[SG_SIGNATURE_MAX])
{
    size_t len;

    assert_int_equal(sg_sign(forge_keys[key], input(key), sig, &len), SEGUE_OK);
    return len;
}

static void
with(int key, const void *sig, size_t len, const char *why)
{
    forge_raw(forge_header(key), forge_claims(), sg_slice(sig, len));
    forge_refused(why);
}

static void
control(int key, const void *sig, size_t len)
{
    forge_raw(forge_header(key), forge_claims(), sg_slice(sig, len));
    forge_expect("good", SEGUE_OK);
}

static void
every_bit_and_every_length_counts(void **state)
{
    unsigned char sig[SG_SIGNATURE_MAX], zero[SG_SIGNATURE_MAX] = {0}, ones[SG_SIGNATURE_MAX];
    size_t len, bit, n;
    int k;

    (void)state;
    memset(ones, 0xff, sizeof ones);
    for (k = 0; k < FORGE_KEYS; k++) {
        len = good_signature(k, sig);
        control(k, sig, len);
        for (bit = 0; bit < len * 8; bit += k == RS ? 13 : 1) {
            sig[bit / 8] ^= (unsigned char)(1 << bit % 8);
            with(k, sig, len, "a bit");
            sig[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
        for (n = 0; n < len; n++)
            with(k, sig, n, "cut");
        for (n = 1; n < len; n++)
            with(k, sig + n, len - n, "begun late");
        sig[len] = 0;
        with(k, sig, len + 1, "a zero behind");
        memmove(sig + 1, sig, len);
        sig[0] = 0;
        with(k, sig, len + 1, "a zero before");
        with(k, zero, len, "zeros");
        with(k, ones, len, "ones");
    }
}

static void
signatures_of_another_text_or_key_do_not_match(void **state)
{
    unsigned char sig[SG_SIGNATURE_MAX];
    size_t len, n;
    int k, l;

    (void)state;
    for (k = 0; k < FORGE_KEYS; k++)
        for (l = 0; l < FORGE_KEYS; l++) {
            if (k != l) {
                len = good_signature(k, sig);
                with(l, sig, len, "the signature of another key's token");
            }
            /* the right key, but not over what stands there */
            n = strcspn(input(k).ptr, ".");
            assert_int_equal(sg_sign(forge_keys[l], sg_slice(input(k).ptr, n), sig, &len),
                             SEGUE_OK);
            with(k, sig, len, "over the header alone");
            assert_int_equal(sg_sign(forge_keys[l], forge_claims(), sig, &len), SEGUE_OK);
            with(k, sig, len, "over the claims in clear");
            assert_int_equal(sg_sign(forge_keys[l], sg_str(""), sig, &len), SEGUE_OK);
            with(k, sig, len, "over nothing");
        }
}

/* ---- ES256 ---- */

static void
put(unsigned char out[32], const BIGNUM *v)
{
    assert_int_equal(BN_bn2binpad(v, out, 32), 32);
}

static void
ecdsa_takes_only_scalars_in_range_and_raw(void **state)
{
    unsigned char good[SG_SIGNATURE_MAX], sig[SG_SIGNATURE_MAX], *der = NULL;
    BIGNUM *values[9], *r = NULL, *s = NULL, *n = NULL;
    ECDSA_SIG *both = ECDSA_SIG_new();
    int i, k, der_len;

    (void)state;
    BN_hex2bn(&n, p256_order);
    for (i = 0; i < 9; i++)
        values[i] = BN_new();
    BN_zero(values[0]);
    BN_one(values[1]);
    BN_copy(values[2], n);
    BN_copy(values[3], n);
    BN_add_word(values[3], 1);
    BN_copy(values[4], n);
    BN_sub_word(values[4], 1);
    BN_hex2bn(&values[5], p256_prime);
    BN_hex2bn(&values[6], p256_prime);
    BN_sub_word(values[6], 1);
    BN_one(values[7]);
    BN_lshift(values[7], values[7], 255);
    BN_one(values[8]);
    BN_lshift(values[8], values[8], 256);
    BN_sub_word(values[8], 1);
    assert_int_equal(good_signature(ES, good), 64);
    control(ES, good, 64);
    for (i = 0; i < 9; i++) {
        for (k = 0; k < 9; k++) {
            put(sig, values[i]);
            put(sig + 32, values[k]);
            with(ES, sig, 64, "r and s at an edge");
        }
        memcpy(sig, good, 64);
        put(sig, values[i]);
        with(ES, sig, 64, "r at an edge");
        memcpy(sig, good, 64);
        put(sig + 32, values[i]);
        with(ES, sig, 64, "s at an edge");
    }
    memcpy(sig, good + 32, 32);
    memcpy(sig + 32, good, 32);
    with(ES, sig, 64, "s | r");
    r = BN_bin2bn(good, 32, NULL);
    s = BN_bin2bn(good + 32, 32, NULL);
    ECDSA_SIG_set0(both, r, s);
    der_len = i2d_ECDSA_SIG(both, &der);
    with(ES, der, (size_t)der_len, "DER");
    for (i = 0; i < 32;
         i++) { /* r + n and s + n do not fit, unless they are small: they never are taken */
        memcpy(sig, good, 64);
        sig[i] ^= 0x80;
        sig[63 - i] ^= 0x01;
        with(ES, sig, 64, "r and s changed");
    }
    memset(sig, 0, sizeof sig);
    memcpy(sig + 1, good, 32);
    memcpy(sig + 34, good + 32, 32);
    with(ES, sig, 66, "33 bytes each");
    memset(sig, 0, sizeof sig);
    memcpy(sig + 16, good, 32);
    memcpy(sig + 64, good + 32, 32);
    with(ES, sig, 96, "as P-384 would be");
    OPENSSL_free(der);
    ECDSA_SIG_free(both);
    for (i = 0; i < 9; i++)
        BN_free(values[i]);
    BN_free(n);
}

/* ---- EdDSA ---- */

/* RFC 8032 section 5.1.7: S below the order, or there would be a second signature for each. */
static void
ed25519_takes_only_canonical_values(void **state)
{
    static const unsigned char order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                            0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                            0,    0,    0,    0,    0,    0,    0,    0,
                                            0,    0,    0,    0,    0,    0,    0,    0x10};
    /* Points of small order, canonical and not (libsodium's list). */
    static const char *const small[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "0100000000000000000000000000000000000000000000000000000000000080"};
    unsigned char good[SG_SIGNATURE_MAX], sig[64], point[32];
    char text[64], jwk[256];
    struct segue_key *key;
    unsigned carry;
    size_t i;
    int times, k;

    (void)state;
    assert_int_equal(good_signature(ED, good), 64);
    control(ED, good, 64);
    memcpy(sig, good, 64);
    for (times = 1; times <= 14; times++) {
        for (carry = 0, i = 0; i < 32; i++) {
            carry += sig[32 + i] + order[i];
            sig[32 + i] = (unsigned char)carry;
            carry >>= 8;
        }
        with(ED, sig, 64, "S plus a multiple of the order");
    }
    for (i = 0; i < sizeof small / sizeof small[0]; i++) {
        assert_int_equal(sg_unhex(sg_str(small[i]), point, 32), 0);
        for (k = 0; k < 3; k++) {
            memcpy(sig, good, 64);
            memcpy(sig, point, 32);
            if (k == 1)
                memset(sig + 32, 0, 32);
            else if (k == 2)
                memcpy(sig + 32, order, 32);
            with(ED, sig, 64, "R of small order");
        }
        /* nor is a key made of one, which would verify any text with such a signature */
        sg_b64url_text(point, 32, text);
        sg_buf_reset(&forge_token);
        snprintf(jwk, sizeof jwk, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}", text);
        assert_int_equal(segue_key_from_jwk(jwk, strlen(jwk), &key, NULL), SEGUE_MALFORMED);
    }
    memcpy(sig, good + 32, 32);
    memcpy(sig + 32, good, 32);
    with(ED, sig, 64, "S | R");
}

/* ---- RS256 ---- */

/* The RSA operation on a block of our making: what someone could ask the key's owner to sign. */
static void
with_block(const unsigned char block[256], const char *why)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(forge_keys[RS]->pkey, NULL);
    unsigned char sig[256];
    size_t len = sizeof sig;

    assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING), 1);
    assert_int_equal(EVP_PKEY_sign(ctx, sig, &len, block, 256), 1);
    EVP_PKEY_CTX_free(ctx);
    if (why == NULL)
        control(RS, sig, len);
    else
        with(RS, sig, len, why);
}

static void
with_padding(const EVP_MD *md, int padding, int salt, const char *why)
{
    EVP_PKEY_CTX *ctx;
    EVP_MD_CTX *mdctx = EVP_MD_CTX_new();
    unsigned char sig[256];
    struct sg_slice in;
    size_t len = sizeof sig;

    assert_int_equal(EVP_DigestSignInit(mdctx, &ctx, md, NULL, forge_keys[RS]->pkey), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, padding), 1);
    if (padding == RSA_PKCS1_PSS_PADDING)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, salt), 1);
    in = input(RS);
    assert_int_equal(EVP_DigestSign(mdctx, sig, &len, (const unsigned char *)in.ptr, in.len), 1);
    EVP_MD_CTX_free(mdctx);
    if (why == NULL)
        control(RS, sig, len);
    else
        with(RS, sig, len, why);
}

#define INFO "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
#define INFO_BYTES 19

/* 00 type filler… 00 info digest, what is left filled with junk. */
static void
block_of(unsigned char block[256], unsigned char type, size_t filler, const void *info,
         size_t info_len)
{
    unsigned char digest[32];
    size_t at = 2;

    memset(block, 0, 256);
    block[1] = type;
    memset(block + at, 0xff, filler);
    at += filler + 1;
    memcpy(block + at, info, info_len);
    at += info_len;
    assert_int_equal(EVP_Digest(input(RS).ptr, input(RS).len, digest, NULL, EVP_sha256(), NULL), 1);
    assert_true(at + 32 <= 256);
    memcpy(block + at, digest, 32);
    at += 32;
    memset(block + at, 0x41, 256 - at);
}

static void
rsa_takes_only_the_one_padding(void **state)
{
    static const size_t fillers[] = {0, 1, 8, 100, 201};
    unsigned char block[256], sig[512], good[SG_SIGNATURE_MAX], n_bytes[256];
    BIGNUM *n = NULL, *s;
    size_t i, whole = 256 - 3 - INFO_BYTES - 32;

    (void)state;
    block_of(block, 1, whole, INFO, INFO_BYTES);
    with_block(block, NULL);
    with_padding(EVP_sha256(), RSA_PKCS1_PADDING, 0, NULL);
    with_padding(EVP_sha1(), RSA_PKCS1_PADDING, 0, "SHA-1");
    with_padding(EVP_sha224(), RSA_PKCS1_PADDING, 0, "SHA-224");
    with_padding(EVP_sha384(), RSA_PKCS1_PADDING, 0, "SHA-384");
    with_padding(EVP_sha512(), RSA_PKCS1_PADDING, 0, "SHA-512");
    with_padding(EVP_sha256(), RSA_PKCS1_PSS_PADDING, 32, "PSS");
    with_padding(EVP_sha256(), RSA_PKCS1_PSS_PADDING, 0, "PSS without salt");
    /* Junk behind the digest is what Bleichenbacher's forgeries of 2006 live on. */
    for (i = 0; i < sizeof fillers / sizeof fillers[0]; i++) {
        block_of(block, 1, fillers[i], INFO, INFO_BYTES);
        with_block(block, "junk behind the digest");
    }
    block_of(block, 2, whole, INFO, INFO_BYTES);
    with_block(block, "block type 2");
    block_of(block, 0, whole, INFO, INFO_BYTES);
    with_block(block, "block type 0");
    block_of(block, 1, whole + INFO_BYTES, "", 0);
    with_block(block, "the bare digest");
    block_of(block, 1, whole + 2,
             "\x30\x2f\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x04\x20", 17);
    with_block(block, "no parameters in the algorithm");
    block_of(block, 1, whole, INFO, INFO_BYTES);
    block[100] = 0;
    with_block(block, "a zero in the filler");
    block_of(block, 1, whole, INFO, INFO_BYTES);
    block[100] = 0xfe;
    with_block(block, "another byte in the filler");
    memset(block, 0, sizeof block);
    block[255] = 1;
    with_block(block, "one");

    /* s + n is the same number to careless arithmetic */
    assert_int_equal(good_signature(RS, good), 256);
    assert_int_equal(EVP_PKEY_get_bn_param(forge_keys[RS]->pkey, "n", &n), 1);
    s = BN_bin2bn(good, 256, NULL);
    BN_add(s, s, n);
    assert_true(BN_num_bytes(s) <= 257);
    assert_int_equal(BN_bn2binpad(s, sig, 257), 257);
    with(RS, sig, 257, "s + n");
    if (sig[0] == 0)
        with(RS, sig + 1, 256, "s + n");
    BN_bn2binpad(n, n_bytes, 256);
    with(RS, n_bytes, 256, "n");
    BN_sub(s, n, BN_value_one());
    BN_bn2binpad(s, n_bytes, 256);
    with(RS, n_bytes, 256, "n - 1");
    BN_free(s);
    BN_free(n);
}

/* ---- HS256 ---- */

static void
hmac_takes_only_its_own_digest(void **state)
{
    const struct segue_key *key = forge_keys[HS];
    unsigned char mac[64], text[2048];
    unsigned len;
    struct sg_slice in;

    (void)state;
    in = input(HS);
    HMAC(EVP_sha256(), key->secret, (int)key->secret_len, (const unsigned char *)in.ptr, in.len,
         mac, &len);
    control(HS, mac, 32);
    in = input(HS);
    HMAC(EVP_sha512(), key->secret, (int)key->secret_len, (const unsigned char *)in.ptr, in.len,
         mac, &len);
    with(HS, mac, 64, "HMAC-SHA-512");
    with(HS, mac, 32, "HMAC-SHA-512, cut");
    in = input(HS);
    HMAC(EVP_sha1(), key->secret, (int)key->secret_len, (const unsigned char *)in.ptr, in.len, mac,
         &len);
    with(HS, mac, 20, "HMAC-SHA-1");
    in = input(HS);
    memcpy(text, key->secret, key->secret_len);
    memcpy(text + key->secret_len, in.ptr, in.len);
    EVP_Digest(text, key->secret_len + in.len, mac, NULL, EVP_sha256(), NULL);
    with(HS, mac, 32, "the digest of secret and text");
    in = input(HS);
    memcpy(text, in.ptr, in.len);
    memcpy(text + in.len, key->secret, key->secret_len);
    EVP_Digest(text, key->secret_len + in.len, mac, NULL, EVP_sha256(), NULL);
    with(HS, mac, 32, "the digest of text and secret");
    in = input(HS);
    EVP_Digest(in.ptr, in.len, mac, NULL, EVP_sha256(), NULL);
    with(HS, mac, 32, "the digest of the text");
    in = input(HS);
    HMAC(EVP_sha256(), in.ptr, (int)in.len, key->secret, key->secret_len, mac, &len);
    with(HS, mac, 32, "text and secret swapped");
    with(HS, key->secret, key->secret_len, "the secret itself");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bit_and_every_length_counts),
        cmocka_unit_test(signatures_of_another_text_or_key_do_not_match),
        cmocka_unit_test(ecdsa_takes_only_scalars_in_range_and_raw),
        cmocka_unit_test(ed25519_takes_only_canonical_values),
        cmocka_unit_test(rsa_takes_only_the_one_padding),
        cmocka_unit_test(hmac_takes_only_its_own_digest),
    };

    return cmocka_run_group_tests(tests, forge_set_up, forge_tear_down);
}
