/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "jwt/sign.h"
#include "jwt_check.h"

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
static const char *const audiences[] = {"https://api.example", "https://app.example", NULL};
static const struct segue_policy policy = {
    .issuer = "https://id.example", .audiences = audiences, .leeway_sec = 30};

static int
set_up(void **state)
{
    static const enum segue_alg algs[] = {SEGUE_ES256, SEGUE_EDDSA, SEGUE_RS256};
    static const char *const kids[] = {"es", "ed", "rs"};
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
    return jwt_check(set, &policy, now, token, len, claims);
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
assert_slice(struct segue_slice got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
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
    assert_slice(out.extra[0].text, "a\nb");
    assert_int_equal(out.extra[1].kind, SEGUE_INT);
    assert_int_equal(out.extra[1].number, -7);
    assert_int_equal(out.extra[2].kind, SEGUE_JSON);
    assert_slice(out.extra[2].text, "18446744073709551616");
    assert_int_equal(out.extra[3].kind, SEGUE_JSON);
    assert_slice(out.extra[4].text, "{\"k\":\"\\u0041\"}");
    assert_slice(out.extra[5].name, "\xc3\xa9");
    assert_slice(out.extra[5].text, "null");
    sg_buf_free(&token);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_hostile_token_is_refused_for_its_reason),
        cmocka_unit_test(iat_in_the_future_is_refused_beyond_the_leeway),
        cmocka_unit_test(changed_or_foreign_signatures_are_refused),
        cmocka_unit_test(the_compact_form_is_strict),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(further_claims_keep_their_kind),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
