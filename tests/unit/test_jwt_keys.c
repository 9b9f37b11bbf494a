/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "base/hash.h"
#include "jwt/keyset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>

/* The last has no public half. */
static const enum segue_alg algs[] = {SEGUE_ES256, SEGUE_EDDSA, SEGUE_RS256, SEGUE_HS256};

static json_t *
load_vectors(const char *name)
{
    char path[512];
    json_error_t why;
    json_t *doc;

    snprintf(path, sizeof path, "%s/%s", getenv("SEGUE_VECTORS"), name);
    doc = json_load_file(path, 0, &why);
    if (doc == NULL)
        fail_msg("%s:%d: %s", path, why.line, why.text);
    return doc;
}

static struct segue_key *
key_from_json(json_t *jwk)
{
    char *text = json_dumps(jwk, JSON_COMPACT);
    struct segue_key *key = NULL;
    struct segue_error err = {""};

    if (segue_key_from_jwk(text, strlen(text), &key, &err) != SEGUE_OK)
        fail_msg("%s", err.text);
    free(text);
    return key;
}

static enum segue_status
check_signature(const struct segue_key *key, struct sg_slice input, const void *sig, size_t len)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    enum segue_status status;
    struct sg_verifier v;

    assert_int_equal(sg_verifier_init(&v, key), SEGUE_OK);
    status = sg_verify_signature(&v, md, input, sg_slice(sig, len));
    /* the context is used again: a failure must not stick */
    assert_int_equal(sg_verify_signature(&v, md, input, sg_slice(sig, len)), status);
    sg_verifier_clear(&v);
    EVP_MD_CTX_free(md);
    return status;
}

static void
rfc_vectors_hold(void **state)
{
    json_t *doc = load_vectors("jws.json"), *one;
    size_t i;
    int checked = 0;

    (void)state;
    json_array_foreach(doc, i, one)
    {
        struct segue_key *key = key_from_json(json_object_get(one, "jwk"));
        const char *thumb = json_string_value(json_object_get(one, "thumbprint"));
        const char *input = json_string_value(json_object_get(one, "input"));
        const char *text = json_string_value(json_object_get(one, "signature"));
        uint8_t sig[SG_SIGNATURE_MAX];
        ptrdiff_t n;

        if (thumb != NULL) {
            assert_string_equal(segue_key_kid(key), thumb);
            checked++;
        }
        if (text != NULL) {
            n = sg_b64url_decode(sg_str(text), sig, sizeof sig);
            assert_true(n > 0);
            if (check_signature(key, sg_str(input), sig, (size_t)n) != SEGUE_OK)
                fail_msg("%s", json_string_value(json_object_get(one, "name")));
            sig[n / 2] ^= 1;
            assert_int_equal(check_signature(key, sg_str(input), sig, (size_t)n),
                             SEGUE_BAD_SIGNATURE);
            checked++;
        }
        segue_key_free(key);
    }
    assert_int_equal(checked, 6);
    json_decref(doc);
}

static void
every_alg_signs_and_verifies(void **state)
{
    struct sg_slice input = sg_str("a.b");
    unsigned char sig[SG_SIGNATURE_MAX];
    struct segue_key *key;
    size_t i, len, bit;
    int round;

    (void)state;
    for (i = 0; i < 4; i++) {
        assert_int_equal(segue_key_generate(algs[i], "k", &key, NULL), SEGUE_OK);
        /* often enough for r and s with leading zero bytes to come by (ES256) */
        for (round = 0; round < (algs[i] == SEGUE_ES256 ? 600 : 3); round++) {
            assert_int_equal(sg_sign(key, input, sig, &len), SEGUE_OK);
            assert_int_equal(check_signature(key, input, sig, len), SEGUE_OK);
        }
        for (bit = 0; bit < len * 8; bit += 37) {
            sig[bit / 8] ^= (unsigned char)(1 << bit % 8);
            assert_int_equal(check_signature(key, input, sig, len), SEGUE_BAD_SIGNATURE);
            sig[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
        assert_int_equal(check_signature(key, sg_str("a.c"), sig, len), SEGUE_BAD_SIGNATURE);
        assert_int_equal(check_signature(key, input, sig, len - 1), SEGUE_BAD_SIGNATURE);
        assert_int_equal(check_signature(key, input, sig, 0), SEGUE_BAD_SIGNATURE);
        segue_key_free(key);
    }
}

static void
ecdsa_scalars_out_of_range_are_refused(void **state)
{
    static const char order[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    struct sg_slice input = sg_str("a.b");
    unsigned char good[SG_SIGNATURE_MAX], sig[65] = {0};
    struct segue_key *key;
    size_t len;
    int half;

    (void)state;
    assert_int_equal(segue_key_generate(SEGUE_ES256, "k", &key, NULL), SEGUE_OK);
    assert_int_equal(sg_sign(key, input, good, &len), SEGUE_OK);
    assert_int_equal(len, 64);
    assert_int_equal(check_signature(key, input, sig, 64), SEGUE_BAD_SIGNATURE);
    for (half = 0; half < 2; half++) {
        memcpy(sig, good, 64);
        memset(sig + 32 * half, 0, 32);
        assert_int_equal(check_signature(key, input, sig, 64), SEGUE_BAD_SIGNATURE);
        assert_int_equal(sg_unhex(sg_str(order), sig + 32 * half, 32), 0);
        assert_false(sg_p256_scalar_ok(sig + 32 * half));
        assert_int_equal(check_signature(key, input, sig, 64), SEGUE_BAD_SIGNATURE);
        sig[32 * half + 31]--;
        assert_true(sg_p256_scalar_ok(sig + 32 * half));
        memset(sig + 32 * half, 0xff, 32);
        assert_int_equal(check_signature(key, input, sig, 64), SEGUE_BAD_SIGNATURE);
    }
    memcpy(sig, good, 64);
    assert_int_equal(check_signature(key, input, sig, 65), SEGUE_BAD_SIGNATURE);
    segue_key_free(key);
}

static void
private_jwk_comes_back_whole(void **state)
{
    char jwk[SEGUE_JWK_BYTES], again[SEGUE_JWK_BYTES];
    unsigned char sig[SG_SIGNATURE_MAX];
    struct segue_key *key, *back;
    size_t i, len, len2, sig_len;

    (void)state;
    for (i = 0; i < 4; i++) {
        assert_int_equal(segue_key_generate(algs[i], NULL, &key, NULL), SEGUE_OK);
        assert_int_equal(strlen(segue_key_kid(key)), 43);
        assert_int_equal(segue_key_private_jwk(key, jwk, sizeof jwk, &len), SEGUE_OK);
        assert_int_equal(segue_key_from_jwk(jwk, len, &back, NULL), SEGUE_OK);
        assert_true(segue_key_has_private(back));
        assert_int_equal(segue_key_alg(back), algs[i]);
        assert_string_equal(segue_key_kid(back), segue_key_kid(key));
        assert_int_equal(segue_key_private_jwk(back, again, sizeof again, &len2), SEGUE_OK);
        assert_string_equal(jwk, again);
        assert_int_equal(sg_sign(back, sg_str("x"), sig, &sig_len), SEGUE_OK);
        assert_int_equal(check_signature(key, sg_str("x"), sig, sig_len), SEGUE_OK);
        assert_int_equal(segue_key_private_jwk(key, jwk, len, &len2), SEGUE_TOO_LARGE);
        segue_key_free(key);
        segue_key_free(back);
    }
}

static void
public_export_has_no_private_member(void **state)
{
    static const char *const private[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};
    char jwk[SEGUE_JWK_BYTES], jwks[3 * SEGUE_JWK_BYTES];
    struct segue_keyset *set;
    struct segue_key *key;
    size_t i, k, len;
    json_t *doc, *one;

    (void)state;
    assert_int_equal(segue_keyset_new(&set), SEGUE_OK);
    for (i = 0; i < 4; i++) {
        assert_int_equal(segue_key_generate(algs[i], segue_alg_name(algs[i]), &key, NULL),
                         SEGUE_OK);
        assert_int_equal(segue_keyset_add(set, key), SEGUE_OK);
        assert_int_equal(segue_key_public_jwk(key, jwk, sizeof jwk, &len),
                         algs[i] == SEGUE_HS256 ? SEGUE_INVALID : SEGUE_OK);
        if (algs[i] != SEGUE_HS256) {
            doc = json_loadb(jwk, len, JSON_REJECT_DUPLICATES, NULL);
            assert_non_null(doc);
            for (k = 0; k < sizeof private / sizeof private[0]; k++)
                assert_null(json_object_get(doc, private[k]));
            json_decref(doc);
        }
        segue_key_free(key);
    }
    assert_int_equal(segue_keyset_to_jwks(set, jwks, sizeof jwks, &len), SEGUE_OK);
    doc = json_loadb(jwks, len, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(json_array_size(json_object_get(doc, "keys")), 3);
    json_array_foreach(json_object_get(doc, "keys"), i, one)
    {
        for (k = 0; k < sizeof private / sizeof private[0]; k++)
            assert_null(json_object_get(one, private[k]));
        assert_string_equal(json_string_value(json_object_get(one, "alg")),
                            segue_alg_name(algs[i]));
        assert_string_equal(json_string_value(json_object_get(one, "use")), "sig");
    }
    json_decref(doc);
    assert_int_equal(segue_keyset_to_jwks(set, jwks, len, &len), SEGUE_TOO_LARGE);
    segue_keyset_free(set);
}

#define ED_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define ED_D "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
#define EC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define EC_D "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
#define ED "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
#define OCT "{\"kty\":\"oct\","
#define SHORT_K "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" /* 31 bytes */
#define EC "{\"kty\":\"EC\",\"crv\":\"P-256\","

static void
wrong_jwks_are_refused_each_for_its_reason(void **state)
{
    static const struct {
        const char *jwk;
        enum segue_status want;
    } rows[] = {
        {ED "\"x\":\"" ED_X "\",\"alg\":\"Ed25519\",\"x5c\":[\"a\"],\"ext\":{\"a\":[1]}}",
         SEGUE_OK},
        {ED "\"x\":\"" ED_X "\",\"key_ops\":[\"verify\"]}", SEGUE_OK},
        {EC "\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\",\"d\":\"" EC_D "\",\"use\":\"sig\"}", SEGUE_OK},
        {ED "\"x\":\"" ED_X "\",\"alg\":\"ES256\"}", SEGUE_UNSUPPORTED},
        {ED "\"x\":\"" ED_X "\",\"use\":\"enc\"}", SEGUE_UNSUPPORTED},
        {ED "\"x\":\"" ED_X "\",\"key_ops\":[\"encrypt\"]}", SEGUE_UNSUPPORTED},
        {"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" ED_X "\"}", SEGUE_UNSUPPORTED},
        {"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"\",\"y\":\"\"}", SEGUE_UNSUPPORTED},
        {OCT "\"k\":\"" ED_X "\"}", SEGUE_OK},
        {OCT "\"k\":\"" ED_X "\",\"alg\":\"HS256\",\"use\":\"sig\"}", SEGUE_OK},
        {OCT "\"k\":\"" ED_X "\",\"alg\":\"HS384\"}", SEGUE_UNSUPPORTED},
        {OCT "\"k\":\"" ED_X "\",\"alg\":\"RS256\"}", SEGUE_UNSUPPORTED},
        {OCT "\"k\":\"" ED_X "\",\"use\":\"enc\"}", SEGUE_UNSUPPORTED},
        {OCT "\"k\":\"AAAA\",\"alg\":\"HS256\"}", SEGUE_MALFORMED},
        {OCT "\"k\":\"" SHORT_K "\"}", SEGUE_MALFORMED},
        {OCT "\"k\":\"" ED_X "=\"}", SEGUE_MALFORMED},
        {OCT "\"k\":7}", SEGUE_MALFORMED},
        {OCT "\"d\":\"" ED_D "\"}", SEGUE_MALFORMED},
        {ED "\"x\":\"" ED_X "\",\"alg\":\"HS256\"}", SEGUE_UNSUPPORTED},
        {"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"alg\":\"PS256\"}", SEGUE_UNSUPPORTED},
        {"{\"kty\":\"RSA\",\"oth\":[],\"n\":\"AQAB\",\"e\":\"AQAB\"}", SEGUE_UNSUPPORTED},
        {"{}", SEGUE_UNSUPPORTED},
        {"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", SEGUE_MALFORMED},
        {ED "\"x\":\"" ED_X "\",\"x\":\"" ED_X "\"}", SEGUE_MALFORMED},
        {ED "\"x\":\"" ED_X "=\"}", SEGUE_MALFORMED},
        {ED "\"x\":\"AAAA\"}", SEGUE_MALFORMED},
        {ED "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}", SEGUE_MALFORMED},
        {ED "\"x\":7}", SEGUE_MALFORMED},
        {ED "\"x\":\"" ED_X "\",\"d\":\"" ED_X "\"}", SEGUE_MALFORMED},
        {ED "\"x\":\"" ED_X "\",\"d\":\"AA\"}", SEGUE_MALFORMED},
        {EC "\"x\":\"" EC_X "\"}", SEGUE_MALFORMED},
        {EC "\"x\":\"" EC_Y "\",\"y\":\"" EC_X "\"}", SEGUE_MALFORMED},
        {EC "\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\",\"d\":\"" ED_D "\"}", SEGUE_MALFORMED},
        {EC "\"x\":\"" EC_X "\",\"y\":\"" EC_Y
            "\",\"d\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
         SEGUE_MALFORMED},
        {EC "\"x\":\"" EC_X "\",\"y\":\"" EC_Y
            "\",\"d\":\"__________________________________________8\"}",
         SEGUE_MALFORMED},
        {ED "\"x\":\"" ED_X "\",\"kid\":\"\"}", SEGUE_INVALID},
        {ED "\"x\":\"" ED_X "\",\"kid\":\"a\\\"b\"}", SEGUE_INVALID},
        {ED "\"x\":\"" ED_X "\"} ,", SEGUE_MALFORMED},
        {"[]", SEGUE_MALFORMED},
        {"", SEGUE_MALFORMED},
    };
    struct segue_error err;
    struct segue_key *key;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum segue_status got;

        key = NULL;
        got = segue_key_from_jwk(rows[i].jwk, strlen(rows[i].jwk), &key, &err);
        if (got != rows[i].want)
            fail_msg("%s: %s", rows[i].jwk, segue_status_name(got));
        segue_key_free(key);
        assert_true((key != NULL) == (got == SEGUE_OK));
    }
}

static void
rsa_moduli_and_exponents_are_bounded(void **state)
{
    static const struct {
        size_t bits;
        const char *e;
        enum segue_status want;
    } rows[] = {{1024, "AQAB", SEGUE_MALFORMED}, {2048, "AQAB", SEGUE_OK},
                {4096, "AQAB", SEGUE_OK},        {4104, "AQAB", SEGUE_MALFORMED},
                {2048, "Aw", SEGUE_MALFORMED},   {2048, "AAEAAQ", SEGUE_MALFORMED}};
    static unsigned char n[513];
    char text[701 + 64], jwk[1024];
    struct segue_key *key;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        key = NULL;
        memset(n, 0xa5, sizeof n); /* odd and of full length; that it is a product of two primes
                                      cannot be seen */
        sg_b64url_text(n, rows[i].bits / 8, text);
        snprintf(jwk, sizeof jwk, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"}", text, rows[i].e);
        assert_int_equal(segue_key_from_jwk(jwk, strlen(jwk), &key, NULL), rows[i].want);
        segue_key_free(key);
    }
    n[255] = 0xa4;
    sg_b64url_text(n, 256, text);
    snprintf(jwk, sizeof jwk, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}", text);
    assert_int_equal(segue_key_from_jwk(jwk, strlen(jwk), &key, NULL), SEGUE_MALFORMED);
}

static void
jwks_is_read_with_foreign_keys_skipped(void **state)
{
    static const char jwks[] =
        "{\"hint\":{\"a\":[1,2]},\"keys\":[" OCT "\"k\":\"" ED_X
        "\",\"kid\":\"a\",\"alg\":\"HS256\"}," ED "\"x\":\"" ED_X "\",\"kid\":\"a\",\"d\":\"" ED_D
        "\"},"
        "{\"kty\":\"new\",\"kid\":\"n\"}," ED "\"x\":\"AA\",\"kid\":\"c\"}," ED "\"x\":7}," ED
        "\"x\":\"" ED_X "\",\"kid\":\"a b\"}," EC "\"x\":\"" EC_X "\",\"y\":\"" EC_Y
        "\",\"kid\":\"b\"}]}";
    struct segue_keyset *set;
    char out[SEGUE_JWK_BYTES];
    size_t len;
    int skipped = -1;

    (void)state;
    assert_int_equal(segue_keyset_from_jwks(jwks, sizeof jwks - 1, &set, &skipped, NULL), SEGUE_OK);
    assert_int_equal(skipped, 5);
    assert_int_equal(segue_keyset_count(set), 2);
    assert_int_equal(segue_key_alg(segue_keyset_find(set, "a")), SEGUE_EDDSA);
    assert_int_equal(segue_key_alg(segue_keyset_find(set, "b")), SEGUE_ES256);
    assert_false(segue_key_has_private(segue_keyset_find(set, "a")));
    assert_null(segue_keyset_find(set, "n"));
    assert_string_equal(segue_key_kid(segue_keyset_at(set, 1)), "b");
    assert_null(segue_keyset_at(set, 2));
    assert_int_equal(segue_keyset_to_jwks(set, out, sizeof out, &len), SEGUE_OK);
    assert_string_equal(out, "{\"keys\":[{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"" ED_X
                             "\",\"alg\":\"EdDSA\",\"use\":\"sig\",\"kid\":\"a\"},"
                             "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y
                             "\",\"alg\":\"ES256\",\"use\":\"sig\",\"kid\":\"b\"}]}");
    segue_keyset_free(set);
}

static void
broken_jwks_gives_no_set(void **state)
{
    static const struct {
        const char *text;
        enum segue_status want;
    } rows[] = {
        {"{\"keys\":[]}", SEGUE_OK},
        {"{\"keys\":{}}", SEGUE_MALFORMED},
        {"{\"keys\":[1]}", SEGUE_MALFORMED},
        {"{}", SEGUE_MALFORMED},
        {"[]", SEGUE_MALFORMED},
        {"", SEGUE_MALFORMED},
        {"{\"keys\":[],\"keys\":[]}", SEGUE_MALFORMED},
        {"{\"keys\":[]}}", SEGUE_MALFORMED},
        {"{\"keys\":[" ED "\"x\":\"" ED_X "\",\"kid\":\"a\"}," EC "\"x\":\"" EC_X "\",\"y\":\"" EC_Y
         "\",\"kid\":\"a\"}]}",
         SEGUE_DUPLICATE},
    };
    struct segue_keyset *set;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        set = NULL;
        assert_int_equal(
            segue_keyset_from_jwks(rows[i].text, strlen(rows[i].text), &set, NULL, NULL),
            rows[i].want);
        assert_true((set != NULL) == (rows[i].want == SEGUE_OK));
        segue_keyset_free(set);
    }
}

static void
sets_hold_64_keys_and_forget_removed_ones(void **state)
{
    struct segue_keyset *set, *copy;
    struct segue_key *key;
    char kid[16];
    int i;

    (void)state;
    assert_int_equal(segue_keyset_new(&set), SEGUE_OK);
    for (i = 0; i <= SEGUE_KEYS_MAX; i++) {
        snprintf(kid, sizeof kid, "k%d", i);
        assert_int_equal(segue_key_generate(i % 2 ? SEGUE_EDDSA : SEGUE_ES256, kid, &key, NULL),
                         SEGUE_OK);
        assert_int_equal(segue_keyset_add(set, key),
                         i < SEGUE_KEYS_MAX ? SEGUE_OK : SEGUE_TOO_LARGE);
        if (i == 0)
            assert_int_equal(segue_keyset_add(set, key), SEGUE_DUPLICATE);
        segue_key_free(key);
    }
    assert_int_equal(segue_keyset_copy(set, &copy), SEGUE_OK);
    assert_true(segue_keyset_remove(set, "k3"));
    assert_false(segue_keyset_remove(set, "k3"));
    assert_null(segue_keyset_find(set, "k3"));
    assert_int_equal(segue_keyset_count(set), SEGUE_KEYS_MAX - 1);
    assert_string_equal(segue_key_kid(segue_keyset_at(set, 3)), "k4");
    segue_keyset_free(set);
    assert_non_null(segue_keyset_find(copy, "k3"));
    segue_keyset_free(copy);
    segue_keyset_free(NULL);
    segue_key_free(NULL);
}

static void
hs256_secrets_are_bounded_and_hashed_as_hmac_says(void **state)
{
    static const size_t lengths[] = {31, 32, 63, 64, 65, 512, 513};
    unsigned char secret[513], sig[SG_SIGNATURE_MAX];
    char text[701], jwk[1024];
    struct segue_key *key;
    struct sg_hash want;
    size_t i, len;

    (void)state;
    for (i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        bool good = lengths[i] >= 32 && lengths[i] <= 512;

        sg_random(secret, sizeof secret);
        sg_b64url_text(secret, lengths[i], text);
        snprintf(jwk, sizeof jwk, OCT "\"k\":\"%s\"}", text);
        key = NULL;
        assert_int_equal(segue_key_from_jwk(jwk, strlen(jwk), &key, NULL),
                         good ? SEGUE_OK : SEGUE_MALFORMED);
        if (good) {
            want = sg_hmac_sha256(sg_slice((char *)secret, lengths[i]), sg_str(jwk));
            assert_int_equal(sg_sign(key, sg_str(jwk), sig, &len), SEGUE_OK);
            assert_int_equal(len, sizeof want.b);
            assert_memory_equal(sig, want.b, len);
        }
        segue_key_free(key);
    }
}

static void
kids_are_printable_and_bounded(void **state)
{
    char kid[SEGUE_KID_BYTES + 2];
    struct segue_key *key;

    (void)state;
    memset(kid, 'k', sizeof kid);
    kid[SEGUE_KID_BYTES + 1] = '\0';
    assert_int_equal(segue_key_generate(SEGUE_EDDSA, kid, &key, NULL), SEGUE_INVALID);
    kid[SEGUE_KID_BYTES] = '\0';
    assert_int_equal(segue_key_generate(SEGUE_EDDSA, kid, &key, NULL), SEGUE_OK);
    segue_key_free(key);
    assert_int_equal(segue_key_generate(SEGUE_EDDSA, "", &key, NULL), SEGUE_INVALID);
    assert_int_equal(segue_key_generate(SEGUE_EDDSA, "a\"b", &key, NULL), SEGUE_INVALID);
    assert_int_equal(segue_key_generate(SEGUE_EDDSA, "a\n", &key, NULL), SEGUE_INVALID);
    assert_int_equal(segue_key_generate((enum segue_alg)9, "a", &key, NULL), SEGUE_INVALID);
    assert_int_equal(segue_alg_find("Ed25519"), SEGUE_EDDSA);
    assert_int_equal(segue_alg_find("HS256"), SEGUE_HS256);
    assert_int_equal(segue_alg_find("HS512"), 0);
    assert_int_equal(segue_alg_find("none"), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_vectors_hold),
        cmocka_unit_test(every_alg_signs_and_verifies),
        cmocka_unit_test(ecdsa_scalars_out_of_range_are_refused),
        cmocka_unit_test(private_jwk_comes_back_whole),
        cmocka_unit_test(public_export_has_no_private_member),
        cmocka_unit_test(wrong_jwks_are_refused_each_for_its_reason),
        cmocka_unit_test(rsa_moduli_and_exponents_are_bounded),
        cmocka_unit_test(jwks_is_read_with_foreign_keys_skipped),
        cmocka_unit_test(broken_jwks_gives_no_set),
        cmocka_unit_test(sets_hold_64_keys_and_forget_removed_ones),
        cmocka_unit_test(hs256_secrets_are_bounded_and_hashed_as_hmac_says),
        cmocka_unit_test(kids_are_printable_and_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
