/* SPDX-License-Identifier: MIT */
/* Tokens that try to choose the key or the algorithm themselves. */
#include "base/encode.h"
#include "base/hash.h"
#include "jwt/sign.h"
#include "jwt_forge.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>
#include <stdio.h>

static struct sg_slice
header(const char *alg, const char *kid)
{
    static char text[2048];
    int n =
        snprintf(text, sizeof text, "{\"alg\":\"%s\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}", alg, kid);

    assert_true(n > 0 && (size_t)n < sizeof text);
    return sg_slice(text, (size_t)n);
}

/* A token whose signature is an HMAC under that secret. */
static void
forge_hmac(struct sg_slice head, struct sg_slice secret)
{
    struct sg_hash mac;

    forge_raw(head, forge_claims(), sg_slice(NULL, 0));
    mac = sg_hmac_sha256(secret, sg_slice(forge_token.ptr, forge_token.len - 1));
    forge_raw(head, forge_claims(), sg_slice((char *)mac.b, sizeof mac.b));
}

/* ---- a public key as an HMAC secret (RFC 8725 section 2.1) ---- */

/* Every spelling in which a server may have its public key. */
static int
spellings(int k, struct sg_buf *out)
{
    const struct segue_key *key = forge_keys[k];
    char jwk[SEGUE_JWK_BYTES], *pem, *x;
    unsigned char *der = NULL, raw[32];
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *pkey = key->pkey;
    size_t len;
    int n = 0, der_len;
    long pem_len;

    assert_int_equal(segue_key_public_jwk(key, jwk, sizeof jwk, &len), SEGUE_OK);
    sg_buf_add(&out[n++], sg_slice(jwk, len));
    sg_buf_puts(&out[n++], segue_key_kid(key));
    if (pkey == NULL)
        pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->ed_public,
                                           sizeof key->ed_public);
    assert_int_equal(PEM_write_bio_PUBKEY(bio, pkey), 1);
    pem_len = BIO_get_mem_data(bio, &pem);
    sg_buf_add(&out[n++], sg_slice(pem, (size_t)pem_len));
    sg_buf_add(&out[n++], sg_slice(pem, (size_t)pem_len - 1)); /* without the last line's end */
    BIO_free(bio);
    der_len = i2d_PUBKEY(pkey, &der);
    sg_buf_add(&out[n++], sg_slice((char *)der, (size_t)der_len));
    OPENSSL_free(der);
    der = NULL;
    if (forge_algs[k] == SEGUE_RS256) {
        der_len = i2d_PublicKey(pkey, &der);
        sg_buf_add(&out[n++], sg_slice((char *)der, (size_t)der_len));
        OPENSSL_free(der);
    }
    x = strstr(jwk, forge_algs[k] == SEGUE_RS256 ? "\"n\":\"" : "\"x\":\"") + 5;
    sg_buf_add(&out[n++], sg_slice(x, strcspn(x, "\"")));
    if (forge_algs[k] != SEGUE_RS256) {
        assert_int_equal(sg_b64url_decode(sg_slice(x, strcspn(x, "\"")), raw, sizeof raw), 32);
        sg_buf_add(&out[n++], sg_slice((char *)raw, sizeof raw));
    }
    if (key->pkey == NULL)
        EVP_PKEY_free(pkey);
    return n;
}

static void
a_public_key_is_no_hmac_secret(void **state)
{
    static const char *const algs[] = {NULL, "HS256", "HS384", "HS512", "none"}; /* NULL: its own */
    struct sg_buf secret[8];
    int k, i, n, a, l;

    (void)state;
    for (k = 0; k < FORGE_KEYS; k++) {
        if (forge_algs[k] == SEGUE_HS256)
            continue;
        for (i = 0; i < 8; i++)
            secret[i] = SG_BUF_INIT(8192);
        n = spellings(k, secret);
        for (i = 0; i < n; i++)
            for (a = 0; a < 5; a++)
                for (l = 0; l < FORGE_KEYS; l++) { /* under its kid, and under each other's */
                    forge_hmac(
                        header(a == 0 ? segue_alg_name(forge_algs[k]) : algs[a], forge_kids[l]),
                        sg_buf_slice(&secret[i]));
                    forge_refused("a public key as HMAC secret");
                }
        for (i = 0; i < 8; i++)
            sg_buf_free(&secret[i]);
    }
}

static void
no_usual_secret_works(void **state)
{
    static const char *const secrets[] = {
        "",         "secret", "null",  "undefined", "changeme",
        "password", "hs",     "HS256", "0",         "your-256-bit-secret"};
    size_t i;
    int l;

    (void)state;
    for (i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        for (l = 0; l < FORGE_KEYS; l++) {
            forge_hmac(header("HS256", forge_kids[l]), sg_str(secrets[i]));
            forge_expect(secrets[i],
                         forge_algs[l] == SEGUE_HS256 ? SEGUE_BAD_SIGNATURE : SEGUE_WRONG_ALG);
        }
}

/* ---- alg ---- */

static void
the_key_alone_decides_the_algorithm(void **state)
{
    static const char *const algs[] = {
        "none",    "None",        "NONE",     "nOnE",   "non\\u0065", "",
        "HS256",   "hs256",       "HS384",    "HS512",  "RS256",      "rs256",
        "RS384",   "RS512",       "PS256",    "ES256",  "es256",      "ES384",
        "ES512",   "ES256K",      "EdDSA",    "eddsa",  "Ed25519",    "Ed448",
        "RS256 ",  " RS256",      "RS256\\n", "RSA1_5", "RSA-OAEP",   "dir",
        "A256GCM", "HS256,RS256", "\\u0000",  "*",      "null",       "undefined"};
    size_t a;
    int s, l;

    (void)state;
    for (s = 0; s < FORGE_KEYS; s++)     /* who signs */
        for (l = 0; l < FORGE_KEYS; l++) /* whose kid stands there */
            for (a = 0; a < sizeof algs / sizeof algs[0]; a++) {
                bool right = strcmp(algs[a], segue_alg_name(forge_algs[l])) == 0 ||
                             (forge_algs[l] == SEGUE_EDDSA && strcmp(algs[a], "Ed25519") == 0);

                forge_signed(forge_keys[s], header(algs[a], forge_kids[l]), forge_claims());
                if (s == l && right)
                    forge_expect("good", SEGUE_OK);
                else if (right)
                    forge_expect("another key's signature", SEGUE_BAD_SIGNATURE);
                else
                    forge_expect(algs[a], strcmp(algs[a], "\\u0000") == 0 ? SEGUE_MALFORMED
                                                                          : SEGUE_WRONG_ALG);
            }
}

static void
alg_none_is_refused_in_every_form(void **state)
{
    static const char *const heads[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"none\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"none\",\"typ\":\"at+jwt\",\"kid\":\"$k\"}",
        "{\"alg\":\"NoNe\",\"typ\":\"at+jwt\",\"kid\":\"$k\"}",
        "{\"typ\":\"at+jwt\",\"kid\":\"$k\"}",
        "{\"alg\":null,\"typ\":\"at+jwt\",\"kid\":\"$k\"}",
        "{\"alg\":[\"none\"],\"typ\":\"at+jwt\",\"kid\":\"$k\"}",
        "{\"alg\":[\"$a\"],\"typ\":\"at+jwt\",\"kid\":\"$k\"}",
        "{\"alg\":{\"alg\":\"$a\"},\"typ\":\"at+jwt\",\"kid\":\"$k\"}",
        "{\"alg\":true,\"typ\":\"at+jwt\",\"kid\":\"$k\"}",
        "{\"alg\":0,\"typ\":\"at+jwt\",\"kid\":\"$k\"}",
        "{\"ALG\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\"}",
        "{\"alg\":\"$a\",\"alg\":\"none\",\"typ\":\"at+jwt\",\"kid\":\"$k\"}",
        "{\"alg\":\"none\",\"al\\u0067\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\"}",
    };
    size_t i;
    int k;

    (void)state;
    for (k = 0; k < FORGE_KEYS; k++)
        for (i = 0; i < sizeof heads / sizeof heads[0]; i++) {
            forge_raw(forge_text(sg_str(heads[i]), k), forge_claims(), sg_slice(NULL, 0));
            forge_refused(heads[i]);
            forge_token.len--; /* the last dot too */
            forge_refused(heads[i]);
            forge_signed(forge_keys[k], forge_text(sg_str(heads[i]), k), forge_claims());
            forge_refused(heads[i]);
        }
}

/* ---- kid ---- */

static void
a_kid_is_a_name_and_nothing_else(void **state)
{
    static const char *const kids[] = {"../../../../dev/null",
                                       "/dev/null",
                                       "file:///dev/null",
                                       "' OR '1'='1",
                                       "' UNION SELECT 'x'-- ",
                                       "$k' --",
                                       "$k;",
                                       "$k ",
                                       " $k",
                                       "$k\\n",
                                       "$k\\u0000",
                                       "$k\\u0000x",
                                       "$k/",
                                       "./$k",
                                       "$k.pem",
                                       "$k%00",
                                       "%65%73",
                                       "$(id)",
                                       "`id`",
                                       "| id",
                                       "http://x/$k",
                                       "https://id.example/jwks.json#$k",
                                       "0",
                                       "-1",
                                       "1",
                                       "null",
                                       "__proto__",
                                       "constructor",
                                       "\xd0\xb5s",
                                       "e\xcc\x81s",
                                       "$k$k",
                                       "*",
                                       "$k,$l",
                                       "\\ud800",
                                       "$K"};
    static const char *const values[] = {
        "null", "0", "1", "true", "[]", "[\"$k\"]", "{}", "{\"kid\":\"$k\"}", "[\"$k\",\"$l\"]"};
    char text[512], upper[8];
    size_t i;
    int k, n;

    (void)state;
    for (k = 0; k < FORGE_KEYS; k++) {
        for (i = 0; i < sizeof kids / sizeof kids[0]; i++) {
            snprintf(text, sizeof text, "{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}",
                     kids[i]);
            forge_signed(forge_keys[k], forge_text(sg_str(text), k), forge_claims());
            forge_refused(kids[i]);
            forge_hmac(forge_text(sg_str(text), k), sg_str("")); /* as if the file were empty */
            forge_refused(kids[i]);
        }
        for (i = 0; i < sizeof values / sizeof values[0]; i++) {
            snprintf(text, sizeof text, "{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":%s}",
                     values[i]);
            forge_signed(forge_keys[k], forge_text(sg_str(text), k), forge_claims());
            forge_expect(values[i], SEGUE_MALFORMED);
        }
        snprintf(upper, sizeof upper, "%c%c", forge_kids[k][0] - 32, forge_kids[k][1] - 32);
        forge_signed(forge_keys[k], header(segue_alg_name(forge_algs[k]), upper), forge_claims());
        forge_expect("kid in capitals", SEGUE_UNKNOWN_KEY);
        n = snprintf(text, sizeof text, "%0*d", SEGUE_KID_BYTES + 1, 0);
        assert_int_equal(n, SEGUE_KID_BYTES + 1);
        forge_signed(forge_keys[k], header(segue_alg_name(forge_algs[k]), text), forge_claims());
        forge_expect("a long kid", SEGUE_UNKNOWN_KEY);
    }
}

/* ---- keys that come with the token ---- */

static void
a_key_in_the_token_is_never_used(void **state)
{
    static const char *const forms[] = {
        "{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",\"jwk\":%s}",
        "{\"jwk\":%s,\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\"}",
        "{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"unknown\",\"jwk\":%s}",
        "{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"jwk\":%s}",
        "{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",\"j\\u0077k\":%s}",
        "{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":%s}"};
    static const char *const links[] = {"\"jku\":\"https://evil.example/jwks.json\"",
                                        "\"jku\":\"https://id.example/jwks.json\"",
                                        "\"jku\":\"https://id.example@evil.example/\"",
                                        "\"jku\":\"file:///etc/passwd\"",
                                        "\"jku\":\"http://169.254.169.254/\"",
                                        "\"x5u\":\"https://evil.example/cert.pem\"",
                                        "\"x5u\":\"https://id.example/cert.pem\"",
                                        "\"x5c\":[\"MIIB\"]",
                                        "\"x5c\":[]",
                                        "\"x5c\":\"MIIB\"",
                                        "\"jku\":null",
                                        "\"x5u\":null",
                                        "\"jwk\":null",
                                        "\"jwk\":{}",
                                        "\"jk\\u0075\":\"https://evil.example/\""};
    char jwk[SEGUE_JWK_BYTES], text[8192];
    size_t i, len;
    int k;

    (void)state;
    for (k = 0; k < FORGE_KEYS; k++) {
        const struct segue_key *evil = forge_strangers[k];

        assert_int_equal((forge_algs[k] == SEGUE_HS256
                              ? segue_key_private_jwk
                              : segue_key_public_jwk)(evil, jwk, sizeof jwk, &len),
                         SEGUE_OK);
        for (i = 0; i < sizeof forms / sizeof forms[0]; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(text, sizeof text, forms[i], jwk);
#pragma GCC diagnostic pop
            forge_signed(evil, forge_text(sg_str(text), k), forge_claims());
            forge_refused(forms[i]);
        }
        for (i = 0; i < sizeof links / sizeof links[0]; i++) {
            snprintf(text, sizeof text, "{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",%s}",
                     links[i]);
            forge_signed(evil, forge_text(sg_str(text), k), forge_claims());
            forge_expect(links[i], SEGUE_FORBIDDEN);
            forge_signed(forge_keys[k], forge_text(sg_str(text), k), forge_claims());
            forge_expect(links[i], SEGUE_FORBIDDEN);
        }
    }
}

static void
another_issuers_key_under_the_same_kid_is_refused(void **state)
{
    int k, l;

    (void)state;
    for (k = 0; k < FORGE_KEYS; k++)
        for (l = 0; l < FORGE_KEYS; l++) {
            forge_signed(forge_strangers[k], forge_header(l), forge_claims());
            forge_expect("a stranger", SEGUE_BAD_SIGNATURE);
        }
}

/* ---- typ, crit and what else changes what a token is ---- */

static void
only_the_wanted_kind_of_token_is_taken(void **state)
{
    static const char *const types[] = {"\"JWT\"",
                                        "\"jwt\"",
                                        "\"\"",
                                        "\"at\"",
                                        "\"+jwt\"",
                                        "\"at+jwt \"",
                                        "\" at+jwt\"",
                                        "\"at+jwt;v=1\"",
                                        "\"at+jwt\\u0000\"",
                                        "\"application/JWT\"",
                                        "\"application/\"",
                                        "\"application/application/at+jwt\"",
                                        "\"text/at+jwt\"",
                                        "\"at+jwt+jwt\"",
                                        "\"id+jwt\"",
                                        "\"logout+jwt\"",
                                        "\"secevent+jwt\"",
                                        "\"dpop+jwt\"",
                                        "\"token-introspection+jwt\"",
                                        "\"entity-statement+jwt\"",
                                        "\"rt+jwt\"",
                                        "null",
                                        "0",
                                        "[\"at+jwt\"]",
                                        "{\"typ\":\"at+jwt\"}",
                                        "true"};
    static const char *const more[] = {
        "\"crit\":[]",        "\"crit\":[\"exp\"]", "\"crit\":[\"b64\"],\"b64\":false",
        "\"crit\":[\"alg\"]", "\"crit\":null",      "\"crit\":\"exp\"",
        "\"crit\":0",         "\"crit\":{}",        "\"cr\\u0069t\":[\"x\"],\"x\":1",
        "\"b64\":false",      "\"b64\":true",       "\"b64\":0",
        "\"zip\":\"DEF\"",    "\"zip\":\"none\"",   "\"zip\":null"};
    char text[512];
    size_t i;
    int k;

    (void)state;
    for (k = 0; k < FORGE_KEYS; k++) {
        for (i = 0; i < sizeof types / sizeof types[0]; i++) {
            snprintf(text, sizeof text, "{\"alg\":\"$a\",\"typ\":%s,\"kid\":\"$k\"}", types[i]);
            forge_signed(forge_keys[k], forge_text(sg_str(text), k), forge_claims());
            forge_expect(types[i], types[i][0] != '"' || strstr(types[i], "\\u0000") != NULL
                                       ? SEGUE_MALFORMED
                                       : SEGUE_WRONG_TYPE);
        }
        for (i = 0; i < sizeof more / sizeof more[0]; i++) {
            snprintf(text, sizeof text, "{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",%s}",
                     more[i]);
            forge_signed(forge_keys[k], forge_text(sg_str(text), k), forge_claims());
            forge_expect(more[i], SEGUE_FORBIDDEN);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_public_key_is_no_hmac_secret),
        cmocka_unit_test(no_usual_secret_works),
        cmocka_unit_test(the_key_alone_decides_the_algorithm),
        cmocka_unit_test(alg_none_is_refused_in_every_form),
        cmocka_unit_test(a_kid_is_a_name_and_nothing_else),
        cmocka_unit_test(a_key_in_the_token_is_never_used),
        cmocka_unit_test(another_issuers_key_under_the_same_kid_is_refused),
        cmocka_unit_test(only_the_wanted_kind_of_token_is_taken),
    };

    return cmocka_run_group_tests(tests, forge_set_up, forge_tear_down);
}
