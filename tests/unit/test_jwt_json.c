/* SPDX-License-Identifier: MIT */
#include "jwt/json_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>
#include <stdio.h>

static struct sg_json scanner;

static enum sg_json_failure
scan(struct sg_slice text)
{
    char *exact = malloc(text.len != 0 ? text.len : 1); /* so that ASan sees a read past the end */
    enum sg_json_failure failure;

    memcpy(exact, text.ptr, text.len);
    sg_json_init(&scanner, sg_slice(exact, text.len));
    (void)sg_json_skip(&scanner, NULL);
    failure = sg_json_end(&scanner) ? SG_JSON_FINE : sg_json_failed(&scanner);
    free(exact);
    return failure;
}

#define T(s)                                                                                       \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }

static void
good_values_pass(void **state)
{
    static const struct sg_slice good[] = {
        T("{}"),
        T("[]"),
        T("null"),
        T(" [true, false , null]\r\n\t"),
        T("-0"),
        T("10.25e-3"),
        T("1E+9"),
        T("99999999999999999999999999999"),
        T("{\"a\":{\"a\":1},\"b\":[{\"a\":2},{\"a\":3}]}"),
        T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\""),
        T("\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf\""),
        T("{\"\":1,\"A\":1,\"a\":1}"),
        T("[[[[[[[[1]]]]]]]]"),
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof good / sizeof good[0]; i++)
        if (scan(good[i]) != SG_JSON_FINE)
            fail_msg("refused: %s", good[i].ptr);
}

static void
bad_values_are_refused(void **state)
{
    static const struct sg_slice bad[] = {
        T(""),
        T(" "),
        T("{"),
        T("}"),
        T("[1,]"),
        T("[,1]"),
        T("[1 2]"),
        T("[1]]"),
        T("{\"a\"}"),
        T("{\"a\":}"),
        T("{\"a\":1,}"),
        T("{a:1}"),
        T("{'a':1}"),
        T("{\"a\":1 \"b\":2}"),
        T("{1:1}"),
        T("nul"),
        T("nulll"),
        T("True"),
        T("NaN"),
        T("-"),
        T("+1"),
        T("01"),
        T("-01"),
        T("1."),
        T(".5"),
        T("1e"),
        T("1e+"),
        T("0x1"),
        T("1 2"),
        T("{}x"),
        T("{}\0"),
        T("\xef\xbb\xbf{}"),
        T("// c\n{}"),
        T("\""),
        T("\"a"),
        T("\"\\\""),
        T("\"\\x41\""),
        T("\"\\u12\""),
        T("\"\\u12g4\""),
        T("\"\\u0000\""),
        T("\"a\0b\""),
        T("\"a\nb\""),
        T("\"\x1f\""),
        T("\"\\ud800\""),
        T("\"\\udc00\""),
        T("\"\\ud800\\u0041\""),
        T("\"\\ud800x\""),
        T("\"\x80\""),
        T("\"\xc0\x80\""),
        T("\"\xc1\xbf\""),
        T("\"\xc3\""),
        T("\"\xe0\x80\x80\""),
        T("\"\xed\xa0\x80\""),
        T("\"\xf0\x80\x80\x80\""),
        T("\"\xf4\x90\x80\x80\""),
        T("\"\xf5\x80\x80\x80\""),
        T("\"\xff\""),
        T("\"\xe2\x82\""),
        T("{\"a\":1,\"a\":2}"),
        T("{\"a\":1,\"\\u0061\":2}"),
        T("{\"\\u00e9\":1,\"\xc3\xa9\":2}"),
        T("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}"),
        T("{\"x\":{\"b\":1,\"c\":{},\"b\":2}}"),
        T("[{\"b\":1},{\"b\":1,\"b\":1}]"),
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (scan(bad[i]) != SG_JSON_BAD)
            fail_msg("row %zu passed: %s", i, bad[i].ptr);
}

/* Strings are read eight bytes at a time: each kind of byte at each place of a word. */
static void
a_special_byte_is_seen_at_every_place(void **state)
{
    static const unsigned char bad[] = {0, 1, '\n', 0x1f, '\\', 0x80, 0xc3, 0xff};
    char text[36];
    size_t at, k;

    (void)state;
    for (at = 1; at <= 34; at++) {
        for (k = 0; k < sizeof bad; k++) {
            memset(text, 'x', sizeof text);
            text[0] = text[35] = '"';
            text[at] = (char)bad[k];
            assert_int_equal(scan(sg_slice(text, sizeof text)), SG_JSON_BAD);
        }
        text[at] = '"';
        assert_int_equal(scan(sg_slice(text, sizeof text)), SG_JSON_BAD);
        assert_int_equal(scan(sg_slice(text, at + 1)), SG_JSON_FINE);
        text[at] = 0x7f;
        assert_int_equal(scan(sg_slice(text, sizeof text)), SG_JSON_FINE);
        memcpy(text + at, "\xc3\xa9", at < 34 ? 2 : 1);
        assert_int_equal(scan(sg_slice(text, sizeof text)), at < 34 ? SG_JSON_FINE : SG_JSON_BAD);
    }
}

static void
depth_and_names_are_bounded(void **state)
{
    char text[8192];
    size_t at;
    int i;

    (void)state;
    assert_int_equal(scan(sg_str("[[[[[[[[[1]]]]]]]]]")), SG_JSON_TOO_BIG);
    assert_int_equal(scan(sg_str("[[[[[[[{\"a\":[]}]]]]]]]")), SG_JSON_TOO_BIG);
    for (i = SG_JSON_NAMES; i <= SG_JSON_NAMES + 1; i++) {
        int k;

        at = (size_t)snprintf(text, sizeof text, "{");
        for (k = 0; k < i; k++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%s\"m%d\":0", k ? "," : "", k);
        at += (size_t)snprintf(text + at, sizeof text - at, "}");
        assert_int_equal(scan(sg_slice(text, at)),
                         i == SG_JSON_NAMES ? SG_JSON_FINE : SG_JSON_TOO_BIG);
    }
}

static void
integers_are_exact(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } rows[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"18446744073709551617", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {"\"1\"", false, 0},
        {"true", false, 0},
        {"", false, 0},
    };
    int64_t v;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sg_json_init(&scanner, sg_str(rows[i].text));
        v = 0;
        if (sg_json_int(&scanner, &v) != rows[i].good || v != rows[i].value)
            fail_msg("%s gave %lld", rows[i].text, (long long)v);
    }
}

static void
unescaping_in_place_gives_the_value(void **state)
{
    char text[] = "\"a\\u00e9\\ud83d\\ude00\\n\\/\\\"z\"";
    struct sg_json_string s;
    size_t n;

    (void)state;
    sg_json_init(&scanner, sg_slice(text, strlen(text)));
    assert_true(sg_json_string(&scanner, &s));
    assert_true(sg_json_end(&scanner));
    n = sg_json_unescape(&s, text + 1);
    assert_int_equal(n, 1 + 2 + 4 + 1 + 1 + 1 + 1);
    assert_memory_equal(text + 1, "a\xc3\xa9\xf0\x9f\x98\x80\n/\"z", n);
}

static void
written_strings_read_back(void **state)
{
    struct sg_buf b = SG_BUF_INIT(100);
    char raw[] = "q\"\\\n\x01 \xc3\xa9\x7f";
    struct sg_json_string s;
    char out[100];

    (void)state;
    assert_true(sg_json_add_string(&b, sg_str(raw)));
    sg_json_init(&scanner, sg_buf_slice(&b));
    assert_true(sg_json_string(&scanner, &s));
    assert_int_equal(sg_json_unescape(&s, out), strlen(raw));
    assert_memory_equal(out, raw, strlen(raw));
    assert_false(sg_json_add_string(&b, sg_slice("a\0b", 3)));
    assert_false(sg_json_add_string(&b, sg_str("\xc3")));
    sg_buf_free(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_values_pass),
        cmocka_unit_test(bad_values_are_refused),
        cmocka_unit_test(a_special_byte_is_seen_at_every_place),
        cmocka_unit_test(depth_and_names_are_bounded),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(unescaping_in_place_gives_the_value),
        cmocka_unit_test(written_strings_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
