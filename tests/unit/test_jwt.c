/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "jwt/sign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>
#include <stdio.h>

#define NOW INT64_C(1700000000)

static struct segue_key *keys[3], *stranger;
static struct segue_keyset *set;
static const char *const kids[] = {"es", "ed", "rs"};
static const char *const audiences[] = {"https://api.example", "https://app.example", NULL};
static const struct segue_policy policy = {
    .issuer = "https://id.example", .audiences = audiences, .leeway_sec = 30};

static struct segue_slice
str(const char *s)
{
    return (struct segue_slice){s, strlen(s)};
}

static int
set_up(void **state)
{
    static const enum segue_alg algs[] = {SEGUE_ES256, SEGUE_EDDSA, SEGUE_RS256};
    int i;

    (void)state;
    assert_int_equal(segue_keyset_new(&set), SEGUE_OK);
    for (i = 0; i < 3; i++) {
        assert_int_equal(segue_key_generate(algs[i], kids[i], &keys[i], NULL), SEGUE_OK);
        assert_int_equal(segue_keyset_add(set, keys[i]), SEGUE_OK);
    }
    assert_int_equal(segue_key_generate(SEGUE_EDDSA, "ed", &stranger, NULL), SEGUE_OK);
    return 0;
}

static int
tear_down(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < 3; i++)
        segue_key_free(keys[i]);
    segue_key_free(stranger);
    segue_keyset_free(set);
    return 0;
}

static enum segue_status
check_at(const char *token, size_t len, int64_t now, struct segue_claims *claims)
{
    static struct segue_verify_buf buf;
    char *exact = malloc(len != 0 ? len : 1); /* so that ASan sees a read past the end */
    enum segue_status status;

    memcpy(exact, token, len);
    status = segue_verify(set, &policy, now, exact, len, &buf, claims);
    free(exact); /* nor may the claims point into the token */
    return status;
}

static struct segue_claims
plain_claims(void)
{
    static const struct segue_slice aud = {"https://api.example", 19};
    struct segue_claims c = SEGUE_CLAIMS_INIT;

    c.iss = str("https://id.example");
    c.sub = str("u-1");
    c.client_id = str("web");
    c.jti = str("j-1");
    c.aud = &aud;
    c.n_aud = 1;
    c.iat = NOW;
    c.exp = NOW + 300;
    return c;
}

static struct segue_claims
full_claims(void)
{
    static struct segue_slice aud[2], roles[3], permissions[1];
    static struct segue_extra extra[4];
    struct segue_claims c = plain_claims();

    aud[0] = str("https://other.example");
    aud[1] = str("https://app.example");
    roles[0] = str("admin");
    roles[1] = str("r\xc3\xb4le \"x\" \\ \n");
    roles[2] = str("");
    permissions[0] = str("orders:read");
    extra[0] = (struct segue_extra){str("tenant"), SEGUE_STRING, str("t/9"), 0};
    extra[1] = (struct segue_extra){str("level"), SEGUE_INT, {NULL, 0}, INT64_MIN};
    extra[2] = (struct segue_extra){str("cnf"), SEGUE_JSON, str("{\"a\":[1,2.5,\"\\u00e9\"]}"), 0};
    extra[3] = (struct segue_extra){str("n\"\xc3\xa9"), SEGUE_JSON, str("true"), 0};
    c.aud = aud;
    c.n_aud = 2;
    c.nbf = NOW - 5;
    c.sid = str("s-1");
    c.scope = str("openid orders");
    c.roles = roles;
    c.n_roles = 3;
    c.permissions = permissions;
    c.n_permissions = 1;
    c.bkt = 4095;
    c.sv = INT32_MAX;
    c.rv = INT64_MAX;
    c.re = 0;
    c.lh = str("AAECAwQFBgcICQoL");
    c.extra = extra;
    c.n_extra = 4;
    return c;
}

static void
assert_slice(struct segue_slice got, struct segue_slice want)
{
    assert_int_equal(got.len, want.len);
    if (want.len != 0)
        assert_memory_equal(got.ptr, want.ptr, want.len);
}

static void
assert_list(const struct segue_slice *got, size_t n, const struct segue_slice *want, size_t m)
{
    size_t i;

    assert_int_equal(n, m);
    for (i = 0; i < n; i++)
        assert_slice(got[i], want[i]);
}

static void
assert_claims(const struct segue_claims *got, const struct segue_claims *want)
{
    size_t i;

    assert_slice(got->iss, want->iss);
    assert_slice(got->sub, want->sub);
    assert_slice(got->client_id, want->client_id);
    assert_slice(got->jti, want->jti);
    assert_slice(got->sid, want->sid);
    assert_slice(got->scope, want->scope);
    assert_slice(got->lh, want->lh);
    assert_list(got->aud, got->n_aud, want->aud, want->n_aud);
    assert_list(got->roles, got->n_roles, want->roles, want->n_roles);
    assert_list(got->permissions, got->n_permissions, want->permissions, want->n_permissions);
    assert_int_equal(got->iat, want->iat);
    assert_int_equal(got->exp, want->exp);
    assert_int_equal(got->nbf, want->nbf);
    assert_int_equal(got->bkt, want->bkt);
    assert_int_equal(got->sv, want->sv);
    assert_int_equal(got->rv, want->rv);
    assert_int_equal(got->re, want->re);
    assert_int_equal(got->n_extra, want->n_extra);
    for (i = 0; i < got->n_extra; i++) {
        assert_slice(got->extra[i].name, want->extra[i].name);
        assert_int_equal(got->extra[i].kind, want->extra[i].kind);
        if (want->extra[i].kind == SEGUE_INT)
            assert_int_equal(got->extra[i].number, want->extra[i].number);
        else
            assert_slice(got->extra[i].text, want->extra[i].text);
    }
}

static void
every_alg_carries_every_claim_there_and_back(void **state)
{
    struct segue_claims in[2] = {full_claims(), plain_claims()}, out;
    char token[SEGUE_TOKEN_BYTES + 1];
    size_t len;
    int i, k;

    (void)state;
    for (i = 0; i < 3; i++)
        for (k = 0; k < 2; k++) {
            assert_int_equal(segue_mint(keys[i], &in[k], token, sizeof token, &len, NULL),
                             SEGUE_OK);
            assert_int_equal(len, strlen(token));
            assert_int_equal(check_at(token, len, NOW, &out), SEGUE_OK);
            assert_claims(&out, &in[k]);
            assert_slice(out.kid, str(kids[i]));
            assert_int_equal(out.alg, segue_key_alg(keys[i]));
        }
}

/* ---- minting ---- */

static enum segue_status
mint(const struct segue_claims *c, struct segue_error *err)
{
    char token[SEGUE_TOKEN_BYTES + 1];
    size_t len;

    return segue_mint(keys[1], c, token, sizeof token, &len, err);
}

static void
minting_names_the_claim_that_is_wrong(void **state)
{
    struct segue_slice dup[1] = {str("a\0b")};
    struct segue_extra e[2] = {{str("x"), SEGUE_INT, {NULL, 0}, 1},
                               {str("x"), SEGUE_INT, {NULL, 0}, 1}};
    struct segue_claims c;
    struct segue_error err;

    (void)state;
#define EXPECT(change, status, part)                                                               \
    do {                                                                                           \
        c = plain_claims();                                                                        \
        change;                                                                                    \
        assert_int_equal(mint(&c, &err), status);                                                  \
        assert_non_null(strstr(err.text, part));                                                   \
    } while (0)
    EXPECT(c.iss.ptr = NULL, SEGUE_MISSING_CLAIM, "'iss'");
    EXPECT(c.sub.len = 0, SEGUE_MISSING_CLAIM, "'sub'");
    EXPECT(c.client_id.ptr = NULL, SEGUE_MISSING_CLAIM, "'client_id'");
    EXPECT(c.jti.ptr = NULL, SEGUE_MISSING_CLAIM, "'jti'");
    EXPECT(c.n_aud = 0, SEGUE_MISSING_CLAIM, "'aud'");
    EXPECT(c.iat = SEGUE_ABSENT, SEGUE_MISSING_CLAIM, "'iat'");
    EXPECT(c.exp = SEGUE_ABSENT, SEGUE_MISSING_CLAIM, "'exp'");
    EXPECT(c.exp = c.iat, SEGUE_INVALID, "'exp'");
    EXPECT(c.exp = INT64_MAX, SEGUE_INVALID, "'exp'");
    EXPECT(c.nbf = -2, SEGUE_INVALID, "'nbf'");
    EXPECT(c.bkt = 4096, SEGUE_INVALID, "'bkt'");
    EXPECT(c.sv = INT64_C(1) << 31, SEGUE_INVALID, "'sv'");
    EXPECT(c.sub = str("\xff"), SEGUE_INVALID, "'sub'");
    dup[0].len = 3;
    EXPECT((c.roles = dup, c.n_roles = 1), SEGUE_INVALID, "'roles'");
    EXPECT(c.n_roles = SEGUE_NAMES_MAX + 1, SEGUE_TOO_LARGE, "'roles'");
    EXPECT(c.n_extra = SEGUE_EXTRA_MAX + 1, SEGUE_TOO_LARGE, "32");
    EXPECT((c.extra = e, c.n_extra = 2), SEGUE_INVALID, "repeat");
    e[0].name = str("exp");
    EXPECT((c.extra = e, c.n_extra = 1), SEGUE_INVALID, "'exp'");
    e[0].name = str("");
    EXPECT((c.extra = e, c.n_extra = 1), SEGUE_INVALID, "empty");
    e[0] = (struct segue_extra){str("j"), SEGUE_JSON, str("{\"a\":1}, \"sub\":\"root\""), 0};
    EXPECT((c.extra = e, c.n_extra = 1), SEGUE_INVALID, "'j'");
    e[0].text = str("[[[[[[[[]]]]]]]]");
    EXPECT((c.extra = e, c.n_extra = 1), SEGUE_TOO_LARGE, "deep");
#undef EXPECT
}

static void
minting_stays_within_its_bounds(void **state)
{
    static char long_text[7000];
    char token[SEGUE_TOKEN_BYTES + 100];
    struct segue_claims c = plain_claims(), out;
    struct segue_keyset *public;
    char jwks[SEGUE_JWK_BYTES];
    struct segue_error err;
    size_t len = 0, exact, fits = 0, n;

    (void)state;
    assert_int_equal(segue_mint(keys[1], &c, token, sizeof token, &exact, NULL), SEGUE_OK);
    assert_int_equal(segue_mint(keys[1], &c, token, exact, &len, &err), SEGUE_TOO_LARGE);
    assert_int_equal(token[0], '\0');
    assert_int_equal(segue_mint(keys[1], &c, token, exact + 1, &len, NULL), SEGUE_OK);
    assert_int_equal(segue_mint(keys[1], &c, token, 0, &len, NULL), SEGUE_INVALID);
    memset(long_text, 'x', sizeof long_text);
    for (n = 5000; n < sizeof long_text; n += 7) {
        c.scope = (struct segue_slice){long_text, n};
        if (segue_mint(keys[1], &c, token, sizeof token, &len, NULL) != SEGUE_OK)
            break;
        fits = n;
        assert_true(len <= SEGUE_TOKEN_BYTES);
        assert_int_equal(check_at(token, len, NOW, &out), SEGUE_OK);
    }
    assert_in_range(fits, 5001, 6144);
    c = plain_claims();
    assert_int_equal(segue_keyset_to_jwks(set, jwks, sizeof jwks, &len), SEGUE_OK);
    assert_int_equal(segue_keyset_from_jwks(jwks, len, &public, NULL, NULL), SEGUE_OK);
    assert_int_equal(segue_mint(segue_keyset_at(public, 0), &c, token, sizeof token, &len, &err),
                     SEGUE_INVALID);
    segue_keyset_free(public);
}

/* ---- the hostile table ---- */

#define H "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\"}"
#define C(iss, aud, exp, rest)                                                                     \
    "{\"iss\":\"" iss "\",\"sub\":\"u\",\"aud\":" aud ",\"client_id\":\"w\",\"iat\":1700000000,"   \
    "\"exp\":" exp ",\"jti\":\"j\"" rest "}"
#define ISS "https://id.example"
#define AUD "\"https://api.example\""
#define EXP "1700000300"
#define P C(ISS, AUD, EXP, "")

static void
sign_raw(const struct segue_key *key, struct sg_slice header, struct sg_slice payload,
         struct sg_buf *token)
{
    unsigned char sig[SG_SIGNATURE_MAX];
    size_t len;

    sg_buf_reset(token);
    sg_b64url_add(token, header);
    sg_buf_puts(token, ".");
    sg_b64url_add(token, payload);
    assert_int_equal(sg_sign(key, sg_buf_slice(token), sig, &len), SEGUE_OK);
    sg_buf_puts(token, ".");
    sg_b64url_add(token, sg_slice((char *)sig, len));
    assert_false(token->failed);
}

#define S(text)                                                                                    \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

/* Well signed with the Ed25519 key; each row differs from a good token in one thing. */
static const struct {
    const char *why;
    struct sg_slice header, payload;
    enum segue_status want;
} hostile[] = {
    {"good", S(H), S(P), SEGUE_OK},
    {"good: unknown members, spaces",
     S(" { \"alg\":\"EdDSA\" , \"typ\":\"application/AT+JWT\",\"kid\":\"ed\",\"x\":{\"y\":[]}}\n"),
     S(" " C(ISS, "[\"x\"," AUD "]", EXP, ",\"z\":[{\"k\":1},{\"k\":2}]") "\r\n"), SEGUE_OK},
    {"good: Ed25519 (RFC 9864)", S("{\"alg\":\"Ed25519\",\"typ\":\"at+jwt\",\"kid\":\"ed\"}"), S(P),
     SEGUE_OK},
    {"alg none", S("{\"alg\":\"none\",\"typ\":\"at+jwt\",\"kid\":\"ed\"}"), S(P), SEGUE_WRONG_ALG},
    {"alg None", S("{\"alg\":\"None\",\"typ\":\"at+jwt\",\"kid\":\"ed\"}"), S(P), SEGUE_WRONG_ALG},
    {"alg missing", S("{\"typ\":\"at+jwt\",\"kid\":\"ed\"}"), S(P), SEGUE_WRONG_ALG},
    {"alg HS256", S("{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"ed\"}"), S(P),
     SEGUE_WRONG_ALG},
    {"alg in other case", S("{\"alg\":\"eddsa\",\"typ\":\"at+jwt\",\"kid\":\"ed\"}"), S(P),
     SEGUE_WRONG_ALG},
    {"alg of another key", S("{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"ed\"}"), S(P),
     SEGUE_WRONG_ALG},
    {"alg not a string", S("{\"alg\":1,\"typ\":\"at+jwt\",\"kid\":\"ed\"}"), S(P), SEGUE_MALFORMED},
    {"kid missing", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\"}"), S(P), SEGUE_UNKNOWN_KEY},
    {"kid empty", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"\"}"), S(P),
     SEGUE_UNKNOWN_KEY},
    {"kid unknown", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed2\"}"), S(P),
     SEGUE_UNKNOWN_KEY},
    {"kid of another key and alg", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"es\"}"), S(P),
     SEGUE_WRONG_ALG},
    {"kid not a string", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":[\"ed\"]}"), S(P),
     SEGUE_MALFORMED},
    {"kid with NUL", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\\u0000\"}"), S(P),
     SEGUE_MALFORMED},
    {"typ missing", S("{\"alg\":\"EdDSA\",\"kid\":\"ed\"}"), S(P), SEGUE_WRONG_TYPE},
    {"typ JWT", S("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"ed\"}"), S(P), SEGUE_WRONG_TYPE},
    {"typ longer", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwts\",\"kid\":\"ed\"}"), S(P),
     SEGUE_WRONG_TYPE},
    {"typ application/ alone", S("{\"alg\":\"EdDSA\",\"typ\":\"application/\",\"kid\":\"ed\"}"),
     S(P), SEGUE_WRONG_TYPE},
    {"crit", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\",\"crit\":[\"exp\"]}"), S(P),
     SEGUE_FORBIDDEN},
    {"crit empty", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\",\"crit\":[]}"), S(P),
     SEGUE_FORBIDDEN},
    {"crit spelt with an escape",
     S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\",\"cr\\u0069t\":[\"exp\"]}"), S(P),
     SEGUE_FORBIDDEN},
    {"jku", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\",\"jku\":\"http://x\"}"), S(P),
     SEGUE_FORBIDDEN},
    {"jwk", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\",\"jwk\":{\"kty\":\"OKP\"}}"),
     S(P), SEGUE_FORBIDDEN},
    {"x5u", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\",\"x5u\":\"http://x\"}"), S(P),
     SEGUE_FORBIDDEN},
    {"x5c", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\",\"x5c\":[\"MII\"]}"), S(P),
     SEGUE_FORBIDDEN},
    {"b64", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\",\"b64\":false}"), S(P),
     SEGUE_FORBIDDEN},
    {"zip", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\",\"zip\":\"DEF\"}"), S(P),
     SEGUE_FORBIDDEN},
    {"duplicate in header",
     S("{\"alg\":\"none\",\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\"}"), S(P),
     SEGUE_MALFORMED},
    {"duplicate nested in header",
     S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\",\"x\":{\"a\":1,\"a\":1}}"), S(P),
     SEGUE_MALFORMED},
    {"header empty", S(""), S(P), SEGUE_MALFORMED},
    {"header array", S("[]"), S(P), SEGUE_MALFORMED},
    {"header with garbage behind", S(H "x"), S(P), SEGUE_MALFORMED},
    {"header with NUL behind", S(H "\0"), S(P), SEGUE_MALFORMED},
    {"header not UTF-8", S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\",\"x\":\"\xff\"}"),
     S(P), SEGUE_MALFORMED},
    {"header too deep",
     S("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\",\"x\":[[[[[[[[]]]]]]]]}"), S(P),
     SEGUE_TOO_LARGE},
    {"payload empty", S(H), S(""), SEGUE_MALFORMED},
    {"payload no object", S(H), S("\"x\""), SEGUE_MALFORMED},
    {"payload cut", S(H), S("{\"iss\":\"https://id.example\""), SEGUE_MALFORMED},
    {"payload with garbage behind", S(H), S(P "{}"), SEGUE_MALFORMED},
    {"payload with NUL behind", S(H), S(P "\0"), SEGUE_MALFORMED},
    {"payload with byte order mark", S(H), S("\xef\xbb\xbf" P), SEGUE_MALFORMED},
    {"duplicate claim", S(H), S(C(ISS, AUD, EXP, ",\"sub\":\"root\"")), SEGUE_MALFORMED},
    {"duplicate claim spelt with an escape", S(H), S(C(ISS, AUD, EXP, ",\"\\u0073ub\":\"root\"")),
     SEGUE_MALFORMED},
    {"duplicate nested in claims", S(H), S(C(ISS, AUD, EXP, ",\"x\":[{\"a\":1,\"b\":2,\"a\":1}]")),
     SEGUE_MALFORMED},
    {"claims not UTF-8", S(H), S(C(ISS, AUD, EXP, ",\"x\":\"\xc0\xaf\"")), SEGUE_MALFORMED},
    {"NUL in a claim", S(H), S(C(ISS, AUD, EXP, ",\"x\":\"\\u0000\"")), SEGUE_MALFORMED},
    {"raw NUL in a claim", S(H), S(C(ISS, AUD, EXP, ",\"x\":\"\0\"")), SEGUE_MALFORMED},
    {"lone surrogate", S(H), S(C(ISS, AUD, EXP, ",\"x\":\"\\udc00\"")), SEGUE_MALFORMED},
    {"depth 8 is good", S(H), S(C(ISS, AUD, EXP, ",\"x\":[[[[[[[1]]]]]]]")), SEGUE_OK},
    {"depth 9", S(H), S(C(ISS, AUD, EXP, ",\"x\":[[[[[[[[1]]]]]]]]")), SEGUE_TOO_LARGE},
    {"exp missing", S(H),
     S("{\"iss\":\"" ISS "\",\"sub\":\"u\",\"aud\":" AUD
       ",\"client_id\":\"w\",\"iat\":1700000000,\"jti\":\"j\"}"),
     SEGUE_MISSING_CLAIM},
    {"sub missing", S(H),
     S("{\"iss\":\"" ISS "\",\"aud\":" AUD ",\"client_id\":\"w\",\"iat\":1700000000,\"exp\":" EXP
       ",\"jti\":\"j\"}"),
     SEGUE_MISSING_CLAIM},
    {"sub empty", S(H),
     S("{\"iss\":\"" ISS "\",\"sub\":\"\",\"aud\":" AUD
       ",\"client_id\":\"w\",\"iat\":1700000000,\"exp\":" EXP ",\"jti\":\"j\"}"),
     SEGUE_MISSING_CLAIM},
    {"exp a string", S(H), S(C(ISS, AUD, "\"1700000300\"", "")), SEGUE_MALFORMED},
    {"exp a fraction", S(H), S(C(ISS, AUD, "1700000300.0", "")), SEGUE_MALFORMED},
    {"exp with exponent", S(H), S(C(ISS, AUD, "17e8", "")), SEGUE_MALFORMED},
    {"exp past int64", S(H), S(C(ISS, AUD, "92233720368547758080", "")), SEGUE_MALFORMED},
    {"exp past year 9999", S(H), S(C(ISS, AUD, "253402300800", "")), SEGUE_MALFORMED},
    {"exp negative", S(H), S(C(ISS, AUD, "-1", "")), SEGUE_MALFORMED},
    {"exp null", S(H), S(C(ISS, AUD, "null", "")), SEGUE_MALFORMED},
    {"exp reached, leeway left", S(H), S(C(ISS, AUD, "1699999971", "")), SEGUE_OK},
    {"exp and leeway reached", S(H), S(C(ISS, AUD, "1699999970", "")), SEGUE_EXPIRED},
    {"exp 0", S(H), S(C(ISS, AUD, "0", "")), SEGUE_EXPIRED},
    {"nbf within leeway", S(H), S(C(ISS, AUD, EXP, ",\"nbf\":1700000030")), SEGUE_OK},
    {"nbf later", S(H), S(C(ISS, AUD, EXP, ",\"nbf\":1700000031")), SEGUE_NOT_YET},
    {"nbf a string", S(H), S(C(ISS, AUD, EXP, ",\"nbf\":\"0\"")), SEGUE_MALFORMED},
    {"bkt out of range", S(H), S(C(ISS, AUD, EXP, ",\"bkt\":4096")), SEGUE_MALFORMED},
    {"sv out of range", S(H), S(C(ISS, AUD, EXP, ",\"sv\":2147483648")), SEGUE_MALFORMED},
    {"re negative", S(H), S(C(ISS, AUD, EXP, ",\"re\":-1")), SEGUE_MALFORMED},
    {"lh not a string", S(H), S(C(ISS, AUD, EXP, ",\"lh\":0")), SEGUE_MALFORMED},
    {"roles a string", S(H), S(C(ISS, AUD, EXP, ",\"roles\":\"admin\"")), SEGUE_MALFORMED},
    {"roles of numbers", S(H), S(C(ISS, AUD, EXP, ",\"roles\":[1]")), SEGUE_MALFORMED},
    {"iss foreign", S(H), S(C("https://id.example/", AUD, EXP, "")), SEGUE_WRONG_ISSUER},
    {"iss in other case", S(H), S(C("https://ID.example", AUD, EXP, "")), SEGUE_WRONG_ISSUER},
    {"aud foreign", S(H), S(C(ISS, "\"https://api.example.evil\"", EXP, "")), SEGUE_WRONG_AUDIENCE},
    {"aud list foreign", S(H), S(C(ISS, "[\"a\",\"b\"]", EXP, "")), SEGUE_WRONG_AUDIENCE},
    {"aud empty list", S(H), S(C(ISS, "[]", EXP, "")), SEGUE_MISSING_CLAIM},
    {"aud nested list", S(H), S(C(ISS, "[[" AUD "]]", EXP, "")), SEGUE_MALFORMED},
    {"aud an object", S(H), S(C(ISS, "{\"a\":" AUD "}", EXP, "")), SEGUE_MALFORMED},
    {"17 audiences", S(H),
     S(C(ISS,
         "[\"0\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"a\",\"b\",\"c\",\"d\","
         "\"e\",\"f\"," AUD "]",
         EXP, "")),
     SEGUE_TOO_LARGE},
    {"expired and foreign aud", S(H), S(C(ISS, "\"x\"", "1", "")), SEGUE_WRONG_AUDIENCE},
    {"expired and foreign iss", S(H), S(C("x", AUD, "1", "")), SEGUE_WRONG_ISSUER},
    {"expired and typ JWT", S("{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"ed\"}"),
     S(C(ISS, AUD, "1", "")), SEGUE_WRONG_TYPE},
    {"expired and not yet", S(H), S(C(ISS, AUD, "1", ",\"nbf\":1800000000")), SEGUE_NOT_YET},
    {"expired and a duplicate", S(H), S(C(ISS, AUD, "1", ",\"x\":1,\"x\":1")), SEGUE_MALFORMED},
};

static void
each_hostile_token_is_refused_for_its_reason(void **state)
{
    struct sg_buf token = SG_BUF_INIT(20000);
    struct segue_claims out;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        enum segue_status got;

        sign_raw(keys[1], hostile[i].header, hostile[i].payload, &token);
        got = check_at(token.ptr, token.len, NOW, &out);
        if (got != hostile[i].want)
            fail_msg("%s: %s", hostile[i].why, segue_status_name(got));
    }
    sg_buf_free(&token);
}

static void
iat_in_the_future_is_refused_beyond_the_leeway(void **state)
{
    struct sg_buf token = SG_BUF_INIT(8192);
    struct segue_claims out;
    struct sg_slice header = S(H), payload = S(P);

    (void)state;
    sign_raw(keys[1], header, payload, &token);
    assert_int_equal(check_at(token.ptr, token.len, NOW - 30, &out), SEGUE_OK);
    assert_int_equal(check_at(token.ptr, token.len, NOW - 31, &out), SEGUE_NOT_YET);
    sg_buf_free(&token);
}

static void
an_expired_token_still_gives_its_claims(void **state)
{
    struct segue_claims in = full_claims(), out;
    char token[SEGUE_TOKEN_BYTES + 1];
    size_t len;
    int i;

    (void)state;
    for (i = 0; i < 3; i++) {
        assert_int_equal(segue_mint(keys[i], &in, token, sizeof token, &len, NULL), SEGUE_OK);
        assert_int_equal(check_at(token, len, in.exp + 29, &out), SEGUE_OK);
        assert_int_equal(check_at(token, len, in.exp + 30, &out), SEGUE_EXPIRED);
        assert_claims(&out, &in);
        token[len - 20] = token[len - 20] == 'A' ? 'B' : 'A';
        assert_int_equal(check_at(token, len, in.exp + 30, &out), SEGUE_BAD_SIGNATURE);
    }
}

static void
changed_or_foreign_signatures_are_refused(void **state)
{
    struct sg_buf token = SG_BUF_INIT(8192);
    struct sg_slice header = S(H), payload = S(P);
    struct segue_claims out;
    size_t i;

    (void)state;
    sign_raw(stranger, header, payload, &token); /* another key under the same kid */
    assert_int_equal(check_at(token.ptr, token.len, NOW, &out), SEGUE_BAD_SIGNATURE);
    sign_raw(keys[1], header, payload, &token);
    for (i = 0; i < token.len; i++) {
        char was = token.ptr[i];

        token.ptr[i] = was == 'A' ? 'B' : 'A';
        assert_int_not_equal(check_at(token.ptr, token.len, NOW, &out), SEGUE_OK);
        token.ptr[i] = was;
    }
    for (i = 0; i < token.len; i++)
        assert_int_not_equal(check_at(token.ptr, i, NOW, &out), SEGUE_OK);
    assert_int_equal(check_at(token.ptr, token.len, NOW, &out), SEGUE_OK);
    sg_buf_free(&token);
}

static void
the_compact_form_is_strict(void **state)
{
    static const char *const forms[] = {
        "%1$s",                 /* one segment */
        "%1$s.%2$s",            /* two */
        "%1$s.%2$s.",           /* empty signature */
        ".%2$s.%3$s",           /* empty header */
        "%1$s..%3$s",           /* empty payload */
        "%1$s.%2$s.%3$s.",      /* four */
        "%1$s.%2$s.%3$s.%3$s",  /* four */
        "%1$s.%2$s.%3$s=",      /* padding */
        "%1$s.%2$s.%3$s==",     /* padding */
        "%1$s=.%2$s.%3$s",      /* padding */
        " %1$s.%2$s.%3$s",      /* space */
        "%1$s.%2$s.%3$s\n",     /* newline */
        "%1$s.%2$s.%3$s ",      /* space */
        "Bearer %1$s.%2$s.%3$s" /* scheme */
    };
    struct sg_buf token = SG_BUF_INIT(8192);
    struct sg_slice header = S(H), payload = S(P);
    char one[3][1024], text[4096], *dot1, *dot2, last;
    struct segue_claims out;
    size_t i, len;

    (void)state;
    sign_raw(keys[1], header, payload, &token);
    dot1 = strchr(token.ptr, '.');
    dot2 = strchr(dot1 + 1, '.');
    snprintf(one[0], sizeof one[0], "%.*s", (int)(dot1 - token.ptr), token.ptr);
    snprintf(one[1], sizeof one[1], "%.*s", (int)(dot2 - dot1 - 1), dot1 + 1);
    snprintf(one[2], sizeof one[2], "%s", dot2 + 1);
    for (i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        enum segue_status got;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof text, forms[i], one[0], one[1], one[2]);
#pragma GCC diagnostic pop
        got = check_at(text, strlen(text), NOW, &out);
        if (got != (i == 2 || i == 4 ? SEGUE_BAD_SIGNATURE : SEGUE_MALFORMED))
            fail_msg("%s: %s", forms[i], segue_status_name(got));
    }
    /* 64 bytes end in a character of which four bits are stray */
    len = token.len;
    last = token.ptr[len - 1];
    assert_non_null(strchr("AQgw", last));
    token.ptr[len - 1] = (char)(last == 'w' ? 'x' : last + 1);
    assert_int_equal(check_at(token.ptr, len, NOW, &out), SEGUE_MALFORMED);
    token.ptr[len - 1] = last;
    assert_int_equal(check_at("", 0, NOW, &out), SEGUE_MALFORMED);
    assert_int_equal(check_at("..", 2, NOW, &out), SEGUE_MALFORMED);
    sg_buf_free(&token);
}

static void
sizes_are_bounded(void **state)
{
    static char long_token[SEGUE_TOKEN_BYTES + 1], header[1100], payload[7000];
    static const char start[] = "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\",\"x\":\"";
    struct segue_policy small = policy;
    struct sg_buf token = SG_BUF_INIT(20000);
    struct segue_verify_buf buf;
    struct segue_claims out;
    struct sg_slice good = S(P);
    size_t n = sizeof start - 1;

    (void)state;
    memset(long_token, 'A', sizeof long_token);
    assert_int_equal(check_at(long_token, sizeof long_token, NOW, &out), SEGUE_TOO_LARGE);
    assert_int_equal(check_at(long_token, sizeof long_token - 1, NOW, &out), SEGUE_MALFORMED);
    memset(header, 'h', sizeof header);
    memcpy(header, start, n);
    memcpy(header + 1022, "\"}", 2);
    sign_raw(keys[1], sg_slice(header, 1024), good, &token);
    assert_int_equal(check_at(token.ptr, token.len, NOW, &out), SEGUE_OK);
    small.max_token_bytes = token.len - 1;
    assert_int_equal(segue_verify(set, &small, NOW, token.ptr, token.len, &buf, &out),
                     SEGUE_TOO_LARGE);
    header[1022] = 'h';
    memcpy(header + 1023, "\"}", 2);
    sign_raw(keys[1], sg_slice(header, 1025), good, &token);
    assert_int_equal(check_at(token.ptr, token.len, NOW, &out), SEGUE_MALFORMED);
    n = (size_t)snprintf(payload, sizeof payload, "%s", C(ISS, AUD, EXP, ",\"roles\":[\"\""));
    payload[n - 1] = '\0';
    for (n = 1; n < SEGUE_NAMES_MAX; n++)
        strcat(payload, ",\"\"");
    strcat(payload, "]}");
    sign_raw(keys[1], sg_slice(H, sizeof H - 1), sg_str(payload), &token);
    assert_int_equal(check_at(token.ptr, token.len, NOW, &out), SEGUE_OK);
    assert_int_equal(out.n_roles, SEGUE_NAMES_MAX);
    strcpy(payload + strlen(payload) - 2, ",\"\"]}");
    sign_raw(keys[1], sg_slice(H, sizeof H - 1), sg_str(payload), &token);
    assert_int_equal(check_at(token.ptr, token.len, NOW, &out), SEGUE_TOO_LARGE);
    sg_buf_free(&token);
}

static void
a_wrong_policy_is_the_callers_mistake(void **state)
{
    struct segue_policy p = policy;
    struct segue_verify_buf buf;
    struct segue_claims out;

    (void)state;
#define WRONG(change)                                                                              \
    do {                                                                                           \
        p = policy;                                                                                \
        change;                                                                                    \
        assert_int_equal(segue_verify(set, &p, NOW, "a.b.c", 5, &buf, &out), SEGUE_INVALID);       \
    } while (0)
    WRONG(p.issuer = NULL);
    WRONG(p.audiences = NULL);
    WRONG(p.leeway_sec = -1);
    WRONG(p.leeway_sec = SEGUE_LEEWAY_MAX + 1);
    WRONG(p.max_token_bytes = SEGUE_TOKEN_BYTES + 1);
#undef WRONG
}

static void
a_removed_key_no_longer_verifies(void **state)
{
    struct segue_claims in = plain_claims(), out;
    struct segue_keyset *mine;
    struct segue_verify_buf buf;
    char token[SEGUE_TOKEN_BYTES + 1];
    size_t len;

    (void)state;
    assert_int_equal(segue_keyset_copy(set, &mine), SEGUE_OK);
    assert_int_equal(segue_mint(keys[0], &in, token, sizeof token, &len, NULL), SEGUE_OK);
    assert_int_equal(segue_verify(mine, &policy, NOW, token, len, &buf, &out), SEGUE_OK);
    assert_true(segue_keyset_remove(mine, "es"));
    assert_int_equal(segue_verify(mine, &policy, NOW, token, len, &buf, &out), SEGUE_UNKNOWN_KEY);
    segue_keyset_free(mine);
}

static void
further_claims_keep_their_kind(void **state)
{
    static const char rest[] = ",\"s\":\"a\\nb\",\"i\":-7,\"big\":18446744073709551616,\"f\":1.0,"
                               "\"o\":{\"k\":\"\\u0041\"},\"\\u00e9\":null";
    char payload[1024];
    struct sg_buf token = SG_BUF_INIT(8192);
    struct segue_claims out;

    (void)state;
    snprintf(payload, sizeof payload, "%.*s%s}", (int)sizeof P - 2, P, rest);
    sign_raw(keys[1], sg_slice(H, sizeof H - 1), sg_str(payload), &token);
    assert_int_equal(check_at(token.ptr, token.len, NOW, &out), SEGUE_OK);
    assert_int_equal(out.n_extra, 6);
    assert_int_equal(out.extra[0].kind, SEGUE_STRING);
    assert_slice(out.extra[0].text, str("a\nb"));
    assert_int_equal(out.extra[1].kind, SEGUE_INT);
    assert_int_equal(out.extra[1].number, -7);
    assert_int_equal(out.extra[2].kind, SEGUE_JSON);
    assert_slice(out.extra[2].text, str("18446744073709551616"));
    assert_int_equal(out.extra[3].kind, SEGUE_JSON);
    assert_slice(out.extra[4].text, str("{\"k\":\"\\u0041\"}"));
    assert_slice(out.extra[5].name, str("\xc3\xa9"));
    assert_slice(out.extra[5].text, str("null"));
    sg_buf_free(&token);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_alg_carries_every_claim_there_and_back),
        cmocka_unit_test(minting_names_the_claim_that_is_wrong),
        cmocka_unit_test(minting_stays_within_its_bounds),
        cmocka_unit_test(each_hostile_token_is_refused_for_its_reason),
        cmocka_unit_test(iat_in_the_future_is_refused_beyond_the_leeway),
        cmocka_unit_test(an_expired_token_still_gives_its_claims),
        cmocka_unit_test(changed_or_foreign_signatures_are_refused),
        cmocka_unit_test(the_compact_form_is_strict),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(a_wrong_policy_is_the_callers_mistake),
        cmocka_unit_test(a_removed_key_no_longer_verifies),
        cmocka_unit_test(further_claims_keep_their_kind),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
