/* SPDX-License-Identifier: MIT */
/* Claims that readers disagree about. Each is well signed: only reading it strictly keeps it out.
 */
#include "jwt_forge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>
#include <stdio.h>

#define SIGNER 3 /* HS256: the fastest; what is tested here comes after the signature */

/* Good claims as members, so that one can be changed, doubled or left out. */
static const struct {
    const char *name, *value;
    enum { TEXT, NUMBER, NAMES, AUDIENCE } form;
    bool required;
} members[] = {
    {"iss", "\"" ISS "\"", TEXT, true},
    {"sub", "\"u\"", TEXT, true},
    {"aud", "\"" AUD "\"", AUDIENCE, true},
    {"client_id", "\"w\"", TEXT, true},
    {"iat", "1700000000", NUMBER, true},
    {"exp", "1700000300", NUMBER, true},
    {"nbf", "1700000000", NUMBER, false},
    {"jti", "\"j\"", TEXT, true},
    {"sid", "\"s\"", TEXT, false},
    {"scope", "\"a b\"", TEXT, false},
    {"roles", "[\"a\"]", NAMES, false},
    {"permissions", "[\"p\"]", NAMES, false},
    {"bkt", "7", NUMBER, false},
    {"sv", "1", NUMBER, false},
    {"rv", "1", NUMBER, false},
    {"re", "1", NUMBER, false},
    {"lh", "\"h\"", TEXT, false},
};
#define N_MEMBERS ((int)(sizeof members / sizeof members[0]))

static struct sg_buf claims = SG_BUF_INIT(16384);

/* The claims with the value of member i replaced (NULL: left out), then more behind. */
static void
forge(int i, struct sg_slice value, const char *more)
{
    int k;

    sg_buf_reset(&claims);
    sg_buf_puts(&claims, "{");
    for (k = 0; k < N_MEMBERS; k++) {
        if (k == i && value.ptr == NULL)
            continue;
        sg_buf_printf(&claims, "%s\"%s\":", claims.len > 1 ? "," : "", members[k].name);
        if (k == i)
            sg_buf_add(&claims, value);
        else
            sg_buf_puts(&claims, members[k].value);
    }
    sg_buf_printf(&claims, "%s}", more);
    forge_signed(forge_keys[SIGNER], forge_header(SIGNER), sg_buf_slice(&claims));
}

static void
every_claim_has_one_type(void **state)
{
    static const char *const values[] = {
        "null",          "true",      "false",     "{}",    "[]",
        "[[]]",          "[{}]",      "[null]",    "[1]",   "[true]",
        "[\"x\",1]",     "[[\"x\"]]", "{\"a\":1}", "\"x\"", "\"\"",
        "[\"" AUD "\"]", "0",         "-1",        "1.5",   "1e9",
        "\"1700000000\""};
    size_t v;
    int i;

    (void)state;
    forge(-1, sg_str(""), "");
    forge_expect("good", SEGUE_OK);
    for (i = 0; i < N_MEMBERS; i++)
        for (v = 0; v < sizeof values / sizeof values[0]; v++) {
            const char *value = values[v];
            bool text = value[0] == '"',
                 list = strcmp(value, "[]") == 0 || strcmp(value, "[\"" AUD "\"]") == 0;

            forge(i, sg_str(value), "");
            if ((members[i].form == TEXT && text) || (members[i].form == NAMES && list) ||
                (members[i].form == AUDIENCE && (text || list)) ||
                (members[i].form == NUMBER && strcmp(value, "0") == 0))
                continue; /* the right type: what it means is another matter */
            forge_expect(members[i].name, SEGUE_MALFORMED);
        }
}

static void
required_claims_are_there_and_not_empty(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < N_MEMBERS; i++) {
        forge(i, sg_slice(NULL, 0), "");
        forge_expect(members[i].name, members[i].required ? SEGUE_MISSING_CLAIM : SEGUE_OK);
        if (members[i].form == TEXT && members[i].required) {
            forge(i, sg_str("\"\""), "");
            forge_expect(members[i].name, SEGUE_MISSING_CLAIM);
        }
    }
    forge(2, sg_str("[]"), "");
    forge_expect("aud: []", SEGUE_MISSING_CLAIM);
}

/* Whichever of the two another reader believes, here there is no token. */
static void
no_claim_comes_twice(void **state)
{
    static const char *const others[] = {"x", "tenant", "a\\u0062c", "abc", "", "\\ud83d\\ude00"};
    char more[256];
    size_t k;
    int i;

    (void)state;
    for (i = 0; i < N_MEMBERS; i++) {
        snprintf(more, sizeof more, ",\"%s\":%s", members[i].name, members[i].value);
        forge(-1, sg_str(""), more);
        forge_expect(more, SEGUE_MALFORMED);
        snprintf(more, sizeof more, ",\"\\u%04x%s\":%s", members[i].name[0], members[i].name + 1,
                 members[i].value);
        forge(-1, sg_str(""), more);
        forge_expect(more, SEGUE_MALFORMED);
        snprintf(more, sizeof more, ",\"\\u%04X%s\":0,\"x\":0", members[i].name[0],
                 members[i].name + 1);
        forge(-1, sg_str(""), more);
        forge_expect(more, SEGUE_MALFORMED);
        /* without its plain self the escaped one is the claim */
        snprintf(more, sizeof more, ",\"\\u%04x%s\":%s", members[i].name[0], members[i].name + 1,
                 members[i].value);
        forge(i, sg_slice(NULL, 0), more);
        forge_expect(more, SEGUE_OK);
        /* and in other letters it is another one */
        snprintf(more, sizeof more, ",\"%c%s\":%s", members[i].name[0] - 32, members[i].name + 1,
                 members[i].value);
        forge(i, sg_slice(NULL, 0), more);
        forge_expect(more, members[i].required ? SEGUE_MISSING_CLAIM : SEGUE_OK);
    }
    for (k = 0; k < sizeof others / sizeof others[0]; k++) {
        snprintf(more, sizeof more, ",\"%s\":1,\"y\":2,\"%s\":1", others[k], others[k]);
        forge(-1, sg_str(""), more);
        forge_expect(more, SEGUE_MALFORMED);
        snprintf(more, sizeof more, ",\"o\":{\"%s\":1,\"%s\":[]}", others[k], others[k]);
        forge(-1, sg_str(""), more);
        forge_expect(more, SEGUE_MALFORMED);
    }
    forge(-1, sg_str(""), ",\"abc\":1,\"a\\u0062c\":1");
    forge_expect("the same name in two spellings", SEGUE_MALFORMED);
}

static void
numbers_are_whole_and_in_range(void **state)
{
    static const char *const bad[] = {"-0",
                                      "00",
                                      "01",
                                      "+1",
                                      "1.0",
                                      "1e3",
                                      "1E3",
                                      ".5",
                                      "1.",
                                      "0x1",
                                      "1_000",
                                      "1,000",
                                      "Infinity",
                                      "NaN",
                                      "-Infinity",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "18446744073709551616",
                                      "1e400",
                                      "-1e400",
                                      "9999999999999999999999999999999999999999999999999999999",
                                      "253402300800000000",
                                      "-1",
                                      "1 2",
                                      "1n",
                                      "0b1",
                                      "\xc2\xb2",
                                      "\xef\xbc\x91"};
    static const char *const past[] = {"253402300800", "9223372036854775807"};
    size_t v;
    int i;

    (void)state;
    for (i = 0; i < N_MEMBERS; i++) {
        if (members[i].form != NUMBER)
            continue;
        for (v = 0; v < sizeof bad / sizeof bad[0]; v++) {
            forge(i, sg_str(bad[v]), "");
            if (strcmp(members[i].name, "rv") == 0 && strcmp(bad[v], "253402300800000000") == 0)
                forge_expect(bad[v], SEGUE_OK); /* versions go up to 2^63 - 1 */
            else if (strcmp(bad[v], "-0") == 0)
                forge_expect(bad[v], members[i].name[0] != 'e' ? SEGUE_OK : SEGUE_EXPIRED);
            else
                forge_expect(bad[v], SEGUE_MALFORMED);
        }
        for (v = 0; v < 2 && strcmp(members[i].name, "rv") != 0; v++) {
            forge(i, sg_str(past[v]), "");
            forge_expect(past[v], SEGUE_MALFORMED);
        }
    }
}

static void
time_is_kept(void **state)
{
    static const struct {
        const char *name, *value;
        enum segue_status want;
    } rows[] = {
        {"exp", "1699999971", SEGUE_OK},
        {"exp", "1699999970", SEGUE_EXPIRED},
        {"exp", "1", SEGUE_EXPIRED},
        {"exp", "0", SEGUE_EXPIRED},
        {"nbf", "1700000030", SEGUE_OK},
        {"nbf", "1700000031", SEGUE_NOT_YET},
        {"nbf", "253402300799", SEGUE_NOT_YET},
        {"iat", "1700000030", SEGUE_OK},
        {"iat", "1700000031", SEGUE_NOT_YET},
        {"iat", "253402300799", SEGUE_NOT_YET},
    };
    size_t r;
    int i;

    (void)state;
    for (r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        for (i = 0; strcmp(members[i].name, rows[r].name) != 0; i++)
            ;
        forge(i, sg_str(rows[r].value), "");
        forge_expect(rows[r].value, rows[r].want);
    }
}

static void
issuer_and_audience_are_compared_exactly(void **state)
{
    static const char *const issuers[] = {"https://id.example/",
                                          "https://id.example.",
                                          "https://id.example:443",
                                          "https://ID.example",
                                          "HTTPS://id.example",
                                          "http://id.example",
                                          "https://id.example.evil",
                                          "https://id.examplf",
                                          "https://id.exampl",
                                          "id.example",
                                          " https://id.example",
                                          "https://id.example ",
                                          "https://id.example#",
                                          "https://id.example?",
                                          "https://id.example\\n",
                                          "https://id.example\\u0001",
                                          "https://id.ex\xd0\xb0mple",
                                          "https://id\\uff0eexample",
                                          "https://id.example,https://id.example",
                                          "https://\\u0130d.example"};
    static const char *const audiences[] = {"\"https://api.example/\"",
                                            "\"https://api.example.evil\"",
                                            "\"https://evil/https://api.example\"",
                                            "\"HTTPS://api.example\"",
                                            "\"https://API.example\"",
                                            "\"*\"",
                                            "\"\"",
                                            "\"https://*.example\"",
                                            "\"https://api.example https://x\"",
                                            "\"https://api.example,https://x\"",
                                            "\"api.example\"",
                                            "[\"*\"]",
                                            "[\"\"]",
                                            "[\"https://api.example/\",\"x\"]",
                                            "[\"https://api.example \"]",
                                            "[\"https://api.exampl\"]"};
    static const char *const broken[] = {
        "[\"" AUD "\",1]",    "[1,\"" AUD "\"]",     "[\"" AUD "\",null]",
        "[null,\"" AUD "\"]", "[\"" AUD "\",{}]",    "[\"" AUD "\",[\"" AUD "\"]]",
        "[[\"" AUD "\"]]",    "{\"0\":\"" AUD "\"}", "[\"" AUD "\",]",
        "[,\"" AUD "\"]",     "[\"" AUD "\"",        "[\"" AUD "\" \"x\"]",
        "[\"" AUD "\",true]"};
    char value[256];
    size_t v;

    (void)state;
    for (v = 0; v < sizeof issuers / sizeof issuers[0]; v++) {
        snprintf(value, sizeof value, "\"%s\"", issuers[v]);
        forge(0, sg_str(value), "");
        forge_expect(value, SEGUE_WRONG_ISSUER);
    }
    for (v = 0; v < sizeof audiences / sizeof audiences[0]; v++) {
        forge(2, sg_str(audiences[v]), "");
        forge_expect(audiences[v], SEGUE_WRONG_AUDIENCE);
    }
    for (v = 0; v < sizeof broken / sizeof broken[0]; v++) {
        forge(2, sg_str(broken[v]), "");
        forge_expect(broken[v], SEGUE_MALFORMED);
    }
    forge(2, sg_str("[\"x\",\"https:\\/\\/app.ex\\u0061mple\"]"), "");
    forge_expect("the second audience, spelt with escapes", SEGUE_OK);
}

static void
text_is_utf8_without_nul(void **state)
{
    static const struct sg_slice bad[] = {
#define B(text) {text, sizeof(text) - 1}
        B("\x80"),
        B("\xbf"),
        B("\xc0\x80"),
        B("\xc0\xaf"),
        B("\xc1\xbf"),
        B("\xc2"),
        B("\xc2x"),
        B("\xe0\x80\x80"),
        B("\xe0\x9f\xbf"),
        B("\xe2\x82"),
        B("\xed\xa0\x80"),
        B("\xed\xbf\xbf"),
        B("\xed\xa0\xbd\xed\xb8\x80"),
        B("\xf0\x80\x80\x80"),
        B("\xf0\x8f\xbf\xbf"),
        B("\xf0\x9f\x98"),
        B("\xf4\x90\x80\x80"),
        B("\xf5\x80\x80\x80"),
        B("\xf8\x88\x80\x80\x80"),
        B("\xfe"),
        B("\xff"),
        B("\0"),
        B("\1"),
        B("\n"),
        B("\t"),
        B("\x1f"),
        B("\\u0000"),
        B("\\u"),
        B("\\u12"),
        B("\\u123g"),
        B("\\ud800"),
        B("\\ud800x"),
        B("\\ud800\\n"),
        B("\\ud800\\ud800"),
        B("\\udc00"),
        B("\\udfff"),
        B("\\x41"),
        B("\\0"),
        B("\\'"),
        B("\\a"),
        B("\\U00000041"),
#undef B
    };
    static const int where[] = {0, 1, 7, 9, 16};
    struct sg_buf value = SG_BUF_INIT(256);
    char more[256];
    size_t b, w;

    (void)state;
    for (b = 0; b < sizeof bad / sizeof bad[0]; b++) {
        for (w = 0; w < sizeof where / sizeof where[0]; w++) {
            sg_buf_reset(&value);
            sg_buf_puts(&value, "\"0123456"); /* so that words of eight bytes do not line up */
            sg_buf_add(&value, bad[b]);
            sg_buf_puts(&value, "\"");
            forge(where[w], sg_buf_slice(&value), "");
            forge_expect("a string", SEGUE_MALFORMED);
        }
        sg_buf_reset(&value);
        sg_buf_puts(&value, "[\"a\",\"");
        sg_buf_add(&value, bad[b]);
        sg_buf_puts(&value, "\"]");
        forge(10, sg_buf_slice(&value), "");
        forge_expect("a role", SEGUE_MALFORMED);
        if (strlen(bad[b].ptr) == bad[b].len) {
            snprintf(more, sizeof more, ",\"%s\":1", bad[b].ptr);
            forge(-1, sg_str(""), more);
            forge_expect("a name", SEGUE_MALFORMED);
            snprintf(more, sizeof more, ",\"x\":[{\"y\":\"%s\"}]", bad[b].ptr);
            forge(-1, sg_str(""), more);
            forge_expect("deep inside", SEGUE_MALFORMED);
        }
    }
    sg_buf_free(&value);
}

static void
json_is_strict_and_bounded(void **state)
{
    static const char *const bad[] = {",",
                                      ",,\"x\":1",
                                      ",\"x\"",
                                      ",\"x\":",
                                      ",\"x\" 1",
                                      ",\"x\"=1",
                                      ",x:1",
                                      ",'x':1",
                                      ",\"x\":'a'",
                                      ",\"x\":tru",
                                      ",\"x\":True",
                                      ",\"x\":nul",
                                      ",\"x\":undefined",
                                      ",\"x\":NaN",
                                      ",\"x\":[1,]",
                                      ",\"x\":[,1]",
                                      ",\"x\":[1 2]",
                                      ",\"x\":{\"a\":1,}",
                                      ",\"x\":{,}",
                                      ",\"x\":{1:1}",
                                      ",\"x\":{\"a\"}",
                                      ",\"x\":]",
                                      ",\"x\":}",
                                      ",\"x\":[}",
                                      ",\"x\":{]",
                                      ",\"x\":1//c\n",
                                      ",\"x\":1/*c*/",
                                      ",\"x\":\"a\" \"b\"",
                                      ",\"x\":\"",
                                      ",\"x\":[\"a",
                                      ",\"x\":1}{\"y\":1",
                                      "}{",
                                      "}[]{",
                                      "} {\"a\":1",
                                      ",\"x\":1\v",
                                      ",\"x\":1\f",
                                      ",\"x\":1\xc2\xa0",
                                      "\xef\xbb\xbf",
                                      ",null:1",
                                      ",\"x\":--1",
                                      ",\"x\":1e",
                                      ",\"x\":1e+",
                                      ",\"x\":1.e1"};
    char more[8192];
    size_t b;
    int depth, n;

    (void)state;
    for (b = 0; b < sizeof bad / sizeof bad[0]; b++) {
        forge(-1, sg_str(""), bad[b]);
        forge_expect(bad[b], SEGUE_MALFORMED);
    }
    for (depth = 1; depth < 2000; depth += depth < 12 ? 1 : 397) {
        n = snprintf(more, sizeof more, ",\"x\":%0*d%0*d", depth, 0, depth, 0);
        memset(more + 5, '[', (size_t)depth);
        memset(more + 5 + depth, ']', (size_t)(n - 5 - depth));
        forge(-1, sg_str(""), more);
        forge_expect("nested arrays", depth < SEGUE_DEPTH_MAX ? SEGUE_OK : SEGUE_TOO_LARGE);
        n = snprintf(more, sizeof more, ",\"x\":");
        for (b = 0; b < (size_t)depth && n < 5000; b++)
            n += snprintf(more + n, sizeof more - (size_t)n, "{\"a\":");
        n += snprintf(more + n, sizeof more - (size_t)n, "1");
        for (; b > 0 && n < 8000; b--)
            n += snprintf(more + n, sizeof more - (size_t)n, "}");
        forge(-1, sg_str(""), more);
        forge_expect("nested objects", depth < SEGUE_DEPTH_MAX ? SEGUE_OK : SEGUE_TOO_LARGE);
        n = snprintf(more, sizeof more, ",\"x\":%0*d", depth, 0);
        memset(more + 5, '[', (size_t)depth); /* never closed */
        forge(-1, sg_str(""), more);
        forge_expect("nested without end",
                     depth < SEGUE_DEPTH_MAX ? SEGUE_MALFORMED : SEGUE_TOO_LARGE);
    }
    for (n = 0, b = 0; b < SEGUE_EXTRA_MAX; b++)
        n += snprintf(more + n, sizeof more - (size_t)n, ",\"x%zu\":1", b);
    forge(-1, sg_str(""), more);
    forge_expect("32 further claims", SEGUE_OK);
    snprintf(more + n, sizeof more - (size_t)n, ",\"y\":1");
    forge(-1, sg_str(""), more);
    forge_expect("33 further claims", SEGUE_TOO_LARGE);
    n = snprintf(more, sizeof more, ",\"x\":{\"k\":0");
    for (b = 1; b <= 300; b++)
        n += snprintf(more + n, sizeof more - (size_t)n, ",\"k%zu\":1", b);
    snprintf(more + n, sizeof more - (size_t)n, "}");
    forge(-1, sg_str(""), more);
    forge_expect("301 names in an object", SEGUE_TOO_LARGE);
}

static int
tear_down(void **state)
{
    sg_buf_free(&claims);
    return forge_tear_down(state);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_claim_has_one_type),
        cmocka_unit_test(required_claims_are_there_and_not_empty),
        cmocka_unit_test(no_claim_comes_twice),
        cmocka_unit_test(numbers_are_whole_and_in_range),
        cmocka_unit_test(time_is_kept),
        cmocka_unit_test(issuer_and_audience_are_compared_exactly),
        cmocka_unit_test(text_is_utf8_without_nul),
        cmocka_unit_test(json_is_strict_and_bounded),
    };

    return cmocka_run_group_tests(tests, forge_set_up, tear_down);
}
