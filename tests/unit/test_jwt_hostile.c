/* SPDX-License-Identifier: MIT */
#include "jwt_check.h"
#include "jwt_forge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>
#include <stdio.h>

/* ---- the hostile table ---- */

#define H "{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\"}"
#define C(iss, aud, exp, rest)                                                                     \
    "{\"iss\":\"" iss "\",\"sub\":\"u\",\"aud\":" aud ",\"client_id\":\"w\",\"iat\":1700000000,"   \
    "\"exp\":" exp ",\"jti\":\"j\"" rest "}"
#define API "\"" AUD "\""
#define EXP "1700000300"
#define P C(ISS, API, EXP, "")

#define S(text)                                                                                    \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

/* Well signed, with each key in turn; each row differs from a good token in one thing. */
static const struct {
    const char *why;
    struct sg_slice header, payload;
    enum segue_status want;
} hostile[] = {
    {"good", S(H), S(P), SEGUE_OK},
    {"good: unknown members, spaces",
     S(" { \"alg\":\"$a\" , \"typ\":\"application/AT+JWT\",\"kid\":\"$k\",\"x\":{\"y\":[]}}\n"),
     S(" " C(ISS, "[\"x\"," API "]", EXP, ",\"z\":[{\"k\":1},{\"k\":2}]") "\r\n"), SEGUE_OK},
    {"alg none", S("{\"alg\":\"none\",\"typ\":\"at+jwt\",\"kid\":\"$k\"}"), S(P), SEGUE_WRONG_ALG},
    {"alg None", S("{\"alg\":\"None\",\"typ\":\"at+jwt\",\"kid\":\"$k\"}"), S(P), SEGUE_WRONG_ALG},
    {"alg missing", S("{\"typ\":\"at+jwt\",\"kid\":\"$k\"}"), S(P), SEGUE_WRONG_ALG},
    {"alg of another key", S("{\"alg\":\"$o\",\"typ\":\"at+jwt\",\"kid\":\"$k\"}"), S(P),
     SEGUE_WRONG_ALG},
    {"alg not a string", S("{\"alg\":1,\"typ\":\"at+jwt\",\"kid\":\"$k\"}"), S(P), SEGUE_MALFORMED},
    {"kid missing", S("{\"alg\":\"$a\",\"typ\":\"at+jwt\"}"), S(P), SEGUE_UNKNOWN_KEY},
    {"kid empty", S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"\"}"), S(P), SEGUE_UNKNOWN_KEY},
    {"kid unknown", S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k2\"}"), S(P),
     SEGUE_UNKNOWN_KEY},
    {"kid of another key and alg", S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$l\"}"), S(P),
     SEGUE_WRONG_ALG},
    {"kid not a string", S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":[\"$k\"]}"), S(P),
     SEGUE_MALFORMED},
    {"kid with NUL", S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\\u0000\"}"), S(P),
     SEGUE_MALFORMED},
    {"typ missing", S("{\"alg\":\"$a\",\"kid\":\"$k\"}"), S(P), SEGUE_WRONG_TYPE},
    {"typ JWT", S("{\"alg\":\"$a\",\"typ\":\"JWT\",\"kid\":\"$k\"}"), S(P), SEGUE_WRONG_TYPE},
    {"typ longer", S("{\"alg\":\"$a\",\"typ\":\"at+jwts\",\"kid\":\"$k\"}"), S(P),
     SEGUE_WRONG_TYPE},
    {"typ application/ alone", S("{\"alg\":\"$a\",\"typ\":\"application/\",\"kid\":\"$k\"}"), S(P),
     SEGUE_WRONG_TYPE},
    {"crit", S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",\"crit\":[\"exp\"]}"), S(P),
     SEGUE_FORBIDDEN},
    {"crit empty", S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",\"crit\":[]}"), S(P),
     SEGUE_FORBIDDEN},
    {"crit spelt with an escape",
     S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",\"cr\\u0069t\":[\"exp\"]}"), S(P),
     SEGUE_FORBIDDEN},
    {"jku", S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",\"jku\":\"http://x\"}"), S(P),
     SEGUE_FORBIDDEN},
    {"jwk", S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",\"jwk\":{\"kty\":\"OKP\"}}"), S(P),
     SEGUE_FORBIDDEN},
    {"x5u", S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",\"x5u\":\"http://x\"}"), S(P),
     SEGUE_FORBIDDEN},
    {"x5c", S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",\"x5c\":[\"MII\"]}"), S(P),
     SEGUE_FORBIDDEN},
    {"b64", S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",\"b64\":false}"), S(P),
     SEGUE_FORBIDDEN},
    {"zip", S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",\"zip\":\"DEF\"}"), S(P),
     SEGUE_FORBIDDEN},
    {"duplicate in header",
     S("{\"alg\":\"none\",\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\"}"), S(P),
     SEGUE_MALFORMED},
    {"duplicate nested in header",
     S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",\"x\":{\"a\":1,\"a\":1}}"), S(P),
     SEGUE_MALFORMED},
    {"header empty", S(""), S(P), SEGUE_MALFORMED},
    {"header array", S("[]"), S(P), SEGUE_MALFORMED},
    {"header with garbage behind", S(H "x"), S(P), SEGUE_MALFORMED},
    {"header with NUL behind", S(H "\0"), S(P), SEGUE_MALFORMED},
    {"header not UTF-8", S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",\"x\":\"\xff\"}"),
     S(P), SEGUE_MALFORMED},
    {"header too deep",
     S("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\",\"x\":[[[[[[[[]]]]]]]]}"), S(P),
     SEGUE_TOO_LARGE},
    {"payload empty", S(H), S(""), SEGUE_MALFORMED},
    {"payload no object", S(H), S("\"x\""), SEGUE_MALFORMED},
    {"payload cut", S(H), S("{\"iss\":\"https://id.example\""), SEGUE_MALFORMED},
    {"payload with garbage behind", S(H), S(P "{}"), SEGUE_MALFORMED},
    {"payload with NUL behind", S(H), S(P "\0"), SEGUE_MALFORMED},
    {"payload with byte order mark", S(H), S("\xef\xbb\xbf" P), SEGUE_MALFORMED},
    {"duplicate claim", S(H), S(C(ISS, API, EXP, ",\"sub\":\"root\"")), SEGUE_MALFORMED},
    {"duplicate claim spelt with an escape", S(H), S(C(ISS, API, EXP, ",\"\\u0073ub\":\"root\"")),
     SEGUE_MALFORMED},
    {"duplicate nested in claims", S(H), S(C(ISS, API, EXP, ",\"x\":[{\"a\":1,\"b\":2,\"a\":1}]")),
     SEGUE_MALFORMED},
    {"claims not UTF-8", S(H), S(C(ISS, API, EXP, ",\"x\":\"\xc0\xaf\"")), SEGUE_MALFORMED},
    {"NUL in a claim", S(H), S(C(ISS, API, EXP, ",\"x\":\"\\u0000\"")), SEGUE_MALFORMED},
    {"raw NUL in a claim", S(H), S(C(ISS, API, EXP, ",\"x\":\"\0\"")), SEGUE_MALFORMED},
    {"lone surrogate", S(H), S(C(ISS, API, EXP, ",\"x\":\"\\udc00\"")), SEGUE_MALFORMED},
    {"depth 8 is good", S(H), S(C(ISS, API, EXP, ",\"x\":[[[[[[[1]]]]]]]")), SEGUE_OK},
    {"depth 9", S(H), S(C(ISS, API, EXP, ",\"x\":[[[[[[[[1]]]]]]]]")), SEGUE_TOO_LARGE},
    {"exp missing", S(H),
     S("{\"iss\":\"" ISS "\",\"sub\":\"u\",\"aud\":" API
       ",\"client_id\":\"w\",\"iat\":1700000000,\"jti\":\"j\"}"),
     SEGUE_MISSING_CLAIM},
    {"sub missing", S(H),
     S("{\"iss\":\"" ISS "\",\"aud\":" API ",\"client_id\":\"w\",\"iat\":1700000000,\"exp\":" EXP
       ",\"jti\":\"j\"}"),
     SEGUE_MISSING_CLAIM},
    {"sub empty", S(H),
     S("{\"iss\":\"" ISS "\",\"sub\":\"\",\"aud\":" API
       ",\"client_id\":\"w\",\"iat\":1700000000,\"exp\":" EXP ",\"jti\":\"j\"}"),
     SEGUE_MISSING_CLAIM},
    {"exp a string", S(H), S(C(ISS, API, "\"1700000300\"", "")), SEGUE_MALFORMED},
    {"exp a fraction", S(H), S(C(ISS, API, "1700000300.0", "")), SEGUE_MALFORMED},
    {"exp with exponent", S(H), S(C(ISS, API, "17e8", "")), SEGUE_MALFORMED},
    {"exp past int64", S(H), S(C(ISS, API, "92233720368547758080", "")), SEGUE_MALFORMED},
    {"exp past year 9999", S(H), S(C(ISS, API, "253402300800", "")), SEGUE_MALFORMED},
    {"exp negative", S(H), S(C(ISS, API, "-1", "")), SEGUE_MALFORMED},
    {"exp null", S(H), S(C(ISS, API, "null", "")), SEGUE_MALFORMED},
    {"exp reached, leeway left", S(H), S(C(ISS, API, "1699999971", "")), SEGUE_OK},
    {"exp and leeway reached", S(H), S(C(ISS, API, "1699999970", "")), SEGUE_EXPIRED},
    {"exp 0", S(H), S(C(ISS, API, "0", "")), SEGUE_EXPIRED},
    {"nbf within leeway", S(H), S(C(ISS, API, EXP, ",\"nbf\":1700000030")), SEGUE_OK},
    {"nbf later", S(H), S(C(ISS, API, EXP, ",\"nbf\":1700000031")), SEGUE_NOT_YET},
    {"nbf a string", S(H), S(C(ISS, API, EXP, ",\"nbf\":\"0\"")), SEGUE_MALFORMED},
    {"bkt out of range", S(H), S(C(ISS, API, EXP, ",\"bkt\":4096")), SEGUE_MALFORMED},
    {"sv out of range", S(H), S(C(ISS, API, EXP, ",\"sv\":2147483648")), SEGUE_MALFORMED},
    {"re negative", S(H), S(C(ISS, API, EXP, ",\"re\":-1")), SEGUE_MALFORMED},
    {"lh not a string", S(H), S(C(ISS, API, EXP, ",\"lh\":0")), SEGUE_MALFORMED},
    {"roles a string", S(H), S(C(ISS, API, EXP, ",\"roles\":\"admin\"")), SEGUE_MALFORMED},
    {"roles of numbers", S(H), S(C(ISS, API, EXP, ",\"roles\":[1]")), SEGUE_MALFORMED},
    {"iss foreign", S(H), S(C("https://id.example/", API, EXP, "")), SEGUE_WRONG_ISSUER},
    {"iss in other case", S(H), S(C("https://ID.example", API, EXP, "")), SEGUE_WRONG_ISSUER},
    {"aud foreign", S(H), S(C(ISS, "\"https://api.example.evil\"", EXP, "")), SEGUE_WRONG_AUDIENCE},
    {"aud list foreign", S(H), S(C(ISS, "[\"a\",\"b\"]", EXP, "")), SEGUE_WRONG_AUDIENCE},
    {"aud empty list", S(H), S(C(ISS, "[]", EXP, "")), SEGUE_MISSING_CLAIM},
    {"aud nested list", S(H), S(C(ISS, "[[" API "]]", EXP, "")), SEGUE_MALFORMED},
    {"aud an object", S(H), S(C(ISS, "{\"a\":" API "}", EXP, "")), SEGUE_MALFORMED},
    {"17 audiences", S(H),
     S(C(ISS,
         "[\"0\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"a\",\"b\",\"c\",\"d\","
         "\"e\",\"f\"," API "]",
         EXP, "")),
     SEGUE_TOO_LARGE},
    {"expired and foreign aud", S(H), S(C(ISS, "\"x\"", "1", "")), SEGUE_WRONG_AUDIENCE},
    {"expired and foreign iss", S(H), S(C("x", API, "1", "")), SEGUE_WRONG_ISSUER},
    {"expired and typ JWT", S("{\"alg\":\"$a\",\"typ\":\"JWT\",\"kid\":\"$k\"}"),
     S(C(ISS, API, "1", "")), SEGUE_WRONG_TYPE},
    {"expired and not yet", S(H), S(C(ISS, API, "1", ",\"nbf\":1800000000")), SEGUE_NOT_YET},
    {"expired and a duplicate", S(H), S(C(ISS, API, "1", ",\"x\":1,\"x\":1")), SEGUE_MALFORMED},
};

static void
each_hostile_token_is_refused_for_its_reason(void **state)
{
    size_t i;
    int k;

    (void)state;
    for (k = 0; k < FORGE_KEYS; k++)
        for (i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
            forge_signed(forge_keys[k], forge_text(hostile[i].header, k), hostile[i].payload);
            forge_expect(hostile[i].why, hostile[i].want);
        }
}

static enum segue_status
check_at(int64_t now, struct segue_claims *claims)
{
    return jwt_check(forge_set, &forge_policy, now, forge_token.ptr, forge_token.len, claims);
}

static void
iat_in_the_future_is_refused_beyond_the_leeway(void **state)
{
    struct segue_claims out;

    (void)state;
    forge_signed(forge_keys[1], forge_header(1), forge_claims());
    assert_int_equal(check_at(NOW - 30, &out), SEGUE_OK);
    assert_int_equal(check_at(NOW - 31, &out), SEGUE_NOT_YET);
}

static void
a_token_changed_in_any_character_or_cut_is_refused(void **state)
{
    size_t i, len;
    int k;

    (void)state;
    for (k = 0; k < FORGE_KEYS; k++) {
        forge_signed(forge_keys[k], forge_header(k), forge_claims());
        forge_expect("good", SEGUE_OK); /* and in the cache from here on */
        for (i = 0; i < forge_token.len; i++) {
            char was = forge_token.ptr[i];

            forge_token.ptr[i] = was == 'A' ? 'B' : 'A';
            forge_refused("a character changed");
            forge_token.ptr[i] = was;
        }
        for (len = forge_token.len, i = 0; i < len; i++) {
            forge_token.len = i;
            forge_refused("cut");
        }
        forge_token.len = len;
        forge_expect("good", SEGUE_OK);
    }
}

static void
the_compact_form_is_strict(void **state)
{
    /* $1 $2 $3: the segments; $h $c: header and claims in clear. The two that are well formed but
     * for an empty segment fail by their signature. */
    static const struct {
        const char *form;
        enum segue_status want;
    } forms[] = {
        {"$1.$2.$3", SEGUE_OK},
        {"", SEGUE_MALFORMED},
        {".", SEGUE_MALFORMED},
        {"..", SEGUE_MALFORMED},
        {"e30..", SEGUE_WRONG_ALG}, /* {}: shorter than any signature */
        {"e30.e30.", SEGUE_WRONG_ALG},
        {"...", SEGUE_MALFORMED},
        {"$1", SEGUE_MALFORMED},
        {"$1.", SEGUE_MALFORMED},
        {"$1..", SEGUE_BAD_SIGNATURE},
        {"$1.$2", SEGUE_MALFORMED},
        {"$1.$2.", SEGUE_BAD_SIGNATURE},
        {"$2.$3", SEGUE_MALFORMED},
        {".$2.$3", SEGUE_MALFORMED},
        {"..$3", SEGUE_MALFORMED},
        {"$1..$3", SEGUE_BAD_SIGNATURE},
        {"$1.$2.$3.", SEGUE_MALFORMED},
        {".$1.$2.$3", SEGUE_MALFORMED},
        {"$1.$2.$3.$3", SEGUE_MALFORMED},
        {"$1.$2.$2.$3", SEGUE_MALFORMED},
        {"$1.$1.$2.$3", SEGUE_MALFORMED},
        {"$1.$2.$3.$3.$3", SEGUE_MALFORMED}, /* the form of an encrypted token */
        {"$1.$2..$3", SEGUE_MALFORMED},
        {"$1.$2.$3=", SEGUE_MALFORMED},
        {"$1.$2.$3==", SEGUE_MALFORMED},
        {"$1=.$2.$3", SEGUE_MALFORMED},
        {"$1==.$2.$3", SEGUE_MALFORMED},
        {"$1.$2=.$3", SEGUE_MALFORMED},
        {"$1.$2==.$3", SEGUE_MALFORMED},
        {" $1.$2.$3", SEGUE_MALFORMED},
        {"$1 .$2.$3", SEGUE_MALFORMED},
        {"$1. $2.$3", SEGUE_MALFORMED},
        {"$1.$2.\n$3", SEGUE_MALFORMED},
        {"$1.$2.$3\n", SEGUE_MALFORMED},
        {"$1.$2.$3\r\n", SEGUE_MALFORMED},
        {"$1.$2.$3 ", SEGUE_MALFORMED},
        {"$1.$2.$3\t", SEGUE_MALFORMED},
        {"$1,$2,$3", SEGUE_MALFORMED},
        {"$1.$2.$3,$1.$2.$3", SEGUE_MALFORMED},
        {"$1.$2.$3;a=b", SEGUE_MALFORMED},
        {"$1.$2.+$3", SEGUE_MALFORMED},
        {"$1.$2./$3", SEGUE_MALFORMED},
        {"$1.$2.%41$3", SEGUE_MALFORMED},
        {"$1.$2.\xc3\xa9$3", SEGUE_MALFORMED},
        {"$1.$2.\xff$3", SEGUE_MALFORMED},
        {"Bearer $1.$2.$3", SEGUE_MALFORMED},
        {"\"$1.$2.$3\"", SEGUE_MALFORMED},
        {"$h.$c.$3", SEGUE_MALFORMED},
        {"$h.$2.$3", SEGUE_MALFORMED},
        {"$1.$c.$3", SEGUE_MALFORMED},
        {"{\"payload\":\"$2\",\"protected\":\"$1\",\"signature\":\"$3\"}", SEGUE_MALFORMED},
        {"{\"payload\":\"$2\",\"signatures\":[{\"protected\":\"$1\",\"signature\":\"$3\"}]}",
         SEGUE_MALFORMED},
    };
    char part[5][2048], *dot1, *dot2;
    size_t i;
    int k;

    (void)state;
    for (k = 0; k < FORGE_KEYS; k++) {
        forge_signed(forge_keys[k], forge_header(k), forge_claims());
        dot1 = strchr(forge_token.ptr, '.');
        dot2 = strchr(dot1 + 1, '.');
        snprintf(part[0], sizeof part[0], "%.*s", (int)(dot1 - forge_token.ptr), forge_token.ptr);
        snprintf(part[1], sizeof part[1], "%.*s", (int)(dot2 - dot1 - 1), dot1 + 1);
        snprintf(part[2], sizeof part[2], "%s", dot2 + 1);
        snprintf(part[3], sizeof part[3], "%.*s", (int)forge_header(k).len, forge_header(k).ptr);
        snprintf(part[4], sizeof part[4], "%.*s", (int)forge_claims().len, forge_claims().ptr);
        for (i = 0; i < sizeof forms / sizeof forms[0]; i++) {
            const char *f;

            sg_buf_reset(&forge_token);
            for (f = forms[i].form; *f != '\0'; f++)
                if (*f == '$') {
                    f++;
                    sg_buf_puts(&forge_token, part[strchr("123hc", *f) - "123hc"]);
                } else {
                    sg_buf_add(&forge_token, sg_slice(f, 1));
                }
            forge_expect(forms[i].form, forms[i].want);
        }
    }
}

/* The last character of a segment that is not a multiple of 3 bytes has bits that nothing means. */
static void
stray_bits_are_refused(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    struct sg_slice signed_by;
    size_t segment, at, bit;
    int k;

    (void)state;
    for (k = 0; k < FORGE_KEYS; k++)
        for (segment = 0; segment < 3; segment++) {
            const char *from = forge_token.ptr, *to;

            forge_signed(forge_keys[k], forge_header(k), forge_claims());
            from = forge_token.ptr;
            for (at = 0; at < segment; at++)
                from = strchr(from, '.') + 1;
            to = from + strcspn(from, ".");
            signed_by = sg_slice(from, (size_t)(to - from));
            for (bit = 0; bit < (signed_by.len % 4 == 2   ? 4
                                 : signed_by.len % 4 == 3 ? 2
                                                          : 0);
                 bit++) {
                char *last = forge_token.ptr + (to - forge_token.ptr) - 1, was = *last;

                *last = alphabet[(strchr(alphabet, was) - alphabet) ^ (1 << bit)];
                forge_expect("stray bits", SEGUE_MALFORMED);
                *last = was;
            }
        }
}

static void
sizes_are_bounded(void **state)
{
    static const char start[] = "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"ed\",\"x\":\"";
    static char header[1100], payload[7000];
    struct segue_policy small = forge_policy;
    struct segue_verify_buf buf;
    struct segue_claims out;
    size_t n = sizeof start - 1;

    (void)state;
    sg_buf_reset(&forge_token);
    sg_buf_printf(&forge_token, "%0*d", SEGUE_TOKEN_BYTES, 0);
    forge_expect("no dots", SEGUE_MALFORMED);
    sg_buf_puts(&forge_token, "0");
    forge_expect("longer than any token", SEGUE_TOO_LARGE);
    memset(header, 'h', sizeof header);
    memcpy(header, start, n);
    memcpy(header + 1022, "\"}", 2);
    forge_signed(forge_keys[1], sg_slice(header, 1024), forge_claims());
    forge_expect("the longest header", SEGUE_OK);
    small.max_token_bytes = forge_token.len - 1;
    assert_int_equal(
        segue_verify(forge_set, &small, NOW, forge_token.ptr, forge_token.len, &buf, &out),
        SEGUE_TOO_LARGE);
    header[1022] = 'h';
    memcpy(header + 1023, "\"}", 2);
    forge_signed(forge_keys[1], sg_slice(header, 1025), forge_claims());
    forge_expect("a longer header", SEGUE_MALFORMED);
    n = (size_t)snprintf(payload, sizeof payload, "%s", C(ISS, API, EXP, ",\"roles\":[\"\""));
    payload[n - 1] = '\0';
    for (n = 1; n < SEGUE_NAMES_MAX; n++)
        strcat(payload, ",\"\"");
    strcat(payload, "]}");
    forge_signed(forge_keys[1], forge_header(1), sg_str(payload));
    assert_int_equal(check_at(NOW, &out), SEGUE_OK);
    assert_int_equal(out.n_roles, SEGUE_NAMES_MAX);
    strcpy(payload + strlen(payload) - 2, ",\"\"]}");
    forge_signed(forge_keys[1], forge_header(1), sg_str(payload));
    forge_expect("129 roles", SEGUE_TOO_LARGE);
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
    struct segue_claims out;

    (void)state;
    snprintf(payload, sizeof payload, "%.*s%s}", (int)sizeof P - 2, P, rest);
    forge_signed(forge_keys[1], forge_header(1), sg_str(payload));
    assert_int_equal(check_at(NOW, &out), SEGUE_OK);
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
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_hostile_token_is_refused_for_its_reason),
        cmocka_unit_test(iat_in_the_future_is_refused_beyond_the_leeway),
        cmocka_unit_test(a_token_changed_in_any_character_or_cut_is_refused),
        cmocka_unit_test(the_compact_form_is_strict),
        cmocka_unit_test(stray_bits_are_refused),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(further_claims_keep_their_kind),
    };

    return cmocka_run_group_tests(tests, forge_set_up, forge_tear_down);
}
