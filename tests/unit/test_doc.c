/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/clock.h"
#include "doc/doc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>
#include <stdio.h>

#define MB ((size_t)1 << 20)

static struct sg_arena *arena;
static struct sg_err err;

static int
set_up(void **state)
{
    (void)state;
    return sg_arena_new(512 * MB, &arena, &err);
}

static int
tear_down(void **state)
{
    (void)state;
    sg_arena_free(arena);
    return 0;
}

/* Parses a copy that ends with the text, so that ASan sees a read past it. The copy lives as long
 * as the test program: slices of the document point into it. */
static int
parse(struct sg_slice text, struct sg_doc *out)
{
    char *exact = sg_arena_alloc(arena, text.len + 1);

    assert_non_null(exact);
    memcpy(exact, text.ptr, text.len);
    return sg_doc_from_json(arena, sg_slice(exact, text.len), out, &err);
}

static struct sg_doc
parsed(const char *text)
{
    struct sg_doc doc;

    if (parse(sg_str(text), &doc) != 0)
        fail_msg("%s: %s: %s", text, err.place, err.text);
    return doc;
}

static void
assert_written(const struct sg_doc *doc, const char *expected)
{
    struct sg_buf out = SG_BUF_INIT(MB);

    assert_int_equal(sg_doc_to_json(doc, &out, &err), 0);
    assert_string_equal(out.ptr, expected);
    sg_buf_free(&out);
}

static void
assert_refused(struct sg_slice text, enum sg_code code, const char *place)
{
    struct sg_doc doc = {.type = SG_DOC_TIME}, before = doc;

    if (parse(text, &doc) != -1)
        fail_msg("taken: %.60s", text.ptr);
    if (err.code != code || strcmp(err.place, place) != 0)
        fail_msg("%.60s: %s at %s (%s)", text.ptr, sg_code_name(err.code), err.place, err.text);
    assert_memory_equal(&doc, &before, sizeof doc);
}

#define T(s) sg_slice("" s, sizeof(s) - 1)

static void
each_json_type_is_read_and_written_again(void **state)
{
    static const char *const texts[] = {
        "null", "true", "false",         "0",
        "-7",   "1.5",  "\"\"",          "\"a b\"",
        "[]",   "{}",   "[1,[2,[]],{}]", "{\"\":1,\"a\":{\"b\":[true,null]},\"A\":\"x\"}",
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct sg_doc doc = parsed(texts[i]);

        assert_written(&doc, texts[i]);
    }
}

static void
members_are_found_by_name(void **state)
{
    struct sg_doc doc = parsed(" { \"a\" : 1 , \"b\\u0063\" : [ \"x\" , 2.5 ] , \"\" : null } ");
    const struct sg_doc *bc = sg_doc_get(&doc, T("bc"));

    (void)state;
    assert_int_equal(doc.type, SG_DOC_OBJECT);
    assert_int_equal(doc.n, 3);
    assert_int_equal(sg_doc_get(&doc, T("a"))->integer, 1);
    assert_non_null(bc);
    assert_int_equal(bc->n, 2);
    assert_true(bc->items[1].real == 2.5);
    assert_int_equal(sg_doc_get(&doc, T(""))->type, SG_DOC_NULL);
    assert_null(sg_doc_get(&doc, T("c")));
}

static void
numbers_keep_their_value_at_every_limit(void **state)
{
    static const struct {
        const char *text;
        enum sg_doc_type type;
        const char *written; /* NULL = as it stood */
    } numbers[] = {
        {"9223372036854775807", SG_DOC_INT, NULL},
        {"-9223372036854775808", SG_DOC_INT, NULL},
        {"9223372036854775808", SG_DOC_DECIMAL, NULL},
        {"-9223372036854775809", SG_DOC_DECIMAL, NULL},
        {"18446744073709551616", SG_DOC_DECIMAL, NULL},
        {"100000000000000000000", SG_DOC_DOUBLE, "1e+20"},
        {"-0", SG_DOC_DOUBLE, "-0.0"},
        {"-0.0", SG_DOC_DOUBLE, NULL},
        {"0e5", SG_DOC_DOUBLE, "0.0"},
        {"0.1", SG_DOC_DOUBLE, NULL},
        {"1.0", SG_DOC_DOUBLE, NULL},
        {"1.10", SG_DOC_DOUBLE, "1.1"},
        {"1e2", SG_DOC_DOUBLE, "100.0"},
        {"123456789.125", SG_DOC_DOUBLE, NULL},
        {"1e308", SG_DOC_DOUBLE, "1e+308"},
        {"1.7976931348623157e308", SG_DOC_DOUBLE, "1.7976931348623157e+308"},
        {"1.8e308", SG_DOC_DECIMAL, NULL},
        {"1e400", SG_DOC_DECIMAL, NULL},
        {"2.2250738585072014e-308", SG_DOC_DOUBLE, NULL},
        {"5e-324", SG_DOC_DOUBLE, NULL},
        {"3e-324", SG_DOC_DECIMAL, NULL},
        {"1e-400", SG_DOC_DECIMAL, NULL},
        {"1e-99999999999999999999", SG_DOC_DECIMAL, NULL},
        {"0.30000000000000004", SG_DOC_DOUBLE, NULL},
        {"0.10000000000000001", SG_DOC_DOUBLE, "0.1"},
        {"0.1000000000000000001", SG_DOC_DECIMAL, NULL},
        {"9007199254740993.0", SG_DOC_DECIMAL, NULL},
        {"9007199254740992.0", SG_DOC_DOUBLE, "9007199254740992.0"},
        {"123456789012345678901234567890", SG_DOC_DECIMAL, NULL},
        {"-0.123456789012345678901234567890", SG_DOC_DECIMAL, NULL},
        {"1.00000000000000000000000000000", SG_DOC_DOUBLE, "1.0"},
        {"0.000000000000000000000000000001", SG_DOC_DOUBLE, "1e-30"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sg_doc doc = parsed(numbers[i].text);

        if (doc.type != numbers[i].type)
            fail_msg("%s became %s", numbers[i].text, sg_doc_type_name(doc.type));
        assert_written(&doc, numbers[i].written != NULL ? numbers[i].written : numbers[i].text);
        if (doc.type == SG_DOC_DOUBLE)
            assert_true(doc.real == strtod(numbers[i].text, NULL));
    }
    assert_true(signbit(parsed("-0").real));
}

/* Doubles of every size, as other programs write them, are found as doubles and as the same ones.
 */
static void
every_double_comes_back_from_its_text(void **state)
{
    uint64_t bits, x = 0x9e3779b97f4a7c15;
    char text[64], shortest[SG_DOC_DOUBLE_TEXT];
    struct sg_doc doc;
    double real;
    int i;

    (void)state;
    for (i = 0; i < 200000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        bits = x;
        memcpy(&real, &bits, 8);
        if (!isfinite(real))
            continue;
        snprintf(text, sizeof text, "%.17g", real);
        if (strpbrk(text, ".e") == NULL)
            strcat(text, ".0");
        assert_int_equal(sg_doc_from_number(sg_str(text), &doc, &err), 0);
        if (doc.type != SG_DOC_DOUBLE || doc.real != real)
            fail_msg("%s", text);
        sg_doc_double_text(real, shortest);
        assert_int_equal(sg_doc_from_number(sg_str(shortest), &doc, &err), 0);
        if (doc.type != SG_DOC_DOUBLE || doc.real != real)
            fail_msg("%s", shortest);
    }
}

static void
strings_keep_every_character(void **state)
{
    struct sg_doc doc;

    (void)state;
    doc = parsed("\"\\u0000\\\"\\\\\\/\\b\\f\\n\\r\\t\\u001f \x7f \xc3\xa9\\u00e9\\ud83d\\ude00\"");
    assert_true(
        sg_slice_eq(doc.text, T("\0\"\\/\b\f\n\r\t\x1f \x7f \xc3\xa9\xc3\xa9\xf0\x9f\x98\x80")));
    assert_written(&doc, "\"\\u0000\\\"\\\\/\\b\\f\\n\\r\\t\\u001f \x7f "
                         "\xc3\xa9\xc3\xa9\xf0\x9f\x98\x80\"");
}

static void
what_is_not_json_is_refused_with_its_place(void **state)
{
    static const struct {
        struct sg_slice text;
        const char *place;
    } bad[] = {
        {{"", 0}, "byte 0"},
        {{"  ", 2}, "byte 2"},
        {{"{", 1}, "byte 1"},
        {{"[1,]", 4}, "byte 3"},
        {{"[1 2]", 5}, "byte 3"},
        {{"{\"a\"}", 5}, "byte 4"},
        {{"{\"a\":1,}", 8}, "byte 7"},
        {{"{a:1}", 5}, "byte 1"},
        {{"nul", 3}, "byte 0"},
        {{"1 1", 3}, "byte 2"},
        {{"01", 2}, "byte 0"},
        {{"1.", 2}, "byte 0"},
        {{".5", 2}, "byte 0"},
        {{"+1", 2}, "byte 0"},
        {{"1e", 2}, "byte 0"},
        {{"NaN", 3}, "byte 0"},
        {{"-", 1}, "byte 0"},
        {{"\"\x01\"", 3}, "byte 1"},
        {{"\"\0\"", 3}, "byte 1"},
        {{"\"a", 2}, "byte 2"},
        {{"\"\\x\"", 4}, "byte 3"},
        {{"\"\\u12\"", 6}, "byte 1"},
        {{"\"\xff\"", 3}, "byte 1"},
        {{"\"\xc0\x80\"", 4}, "byte 1"},
        {{"\"\xed\xa0\x80\"", 5}, "byte 1"},
        {{"\"a\xc3", 3}, "byte 2"},
        {{"null\0", 5}, "byte 4"},
        {{"\xef\xbb\xbf{}", 5}, "byte 0"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_refused(bad[i].text, SG_E_INVALID, bad[i].place);
}

static void
half_a_surrogate_pair_is_refused(void **state)
{
    (void)state;
    assert_refused(T("\"\\ud83d\""), SG_E_INVALID, "byte 7");
    assert_refused(T("\"\\ude00\""), SG_E_INVALID, "byte 1");
    assert_refused(T("\"\\ud83d\\u0041\""), SG_E_INVALID, "byte 7");
}

static void
a_name_that_comes_twice_is_refused_in_small_and_large_objects(void **state)
{
    struct sg_buf text = SG_BUF_INIT(MB);
    char place[32];
    int i;

    (void)state;
    assert_refused(T("{\"a\":1,\"a\":1}"), SG_E_INVALID, "byte 13");
    assert_refused(T("{\"a\":1,\"\\u0061\":1}"), SG_E_INVALID, "byte 18");
    (void)parsed("{\"a\":{\"a\":1},\"b\":{\"a\":1}}");
    sg_buf_puts(&text, "{\"n500\":0");
    for (i = 0; i < 500; i++)
        sg_buf_printf(&text, ",\"n%d\":%d", i, i);
    sg_buf_puts(&text, "}");
    (void)parsed(text.ptr);
    text.len--;
    sg_buf_puts(&text, ",\"n500\":1}");
    snprintf(place, sizeof place, "byte %zu", text.len);
    assert_refused(sg_buf_slice(&text), SG_E_INVALID, place);
    sg_buf_free(&text);
}

static void
nesting_is_bounded_in_both_directions(void **state)
{
    struct sg_doc doc, chain[SG_DOC_DEPTH_MAX + 1];
    struct sg_buf out = SG_BUF_INIT(MB);
    char text[2 * SG_DOC_DEPTH_MAX + 3];
    int i;

    (void)state;
    memset(text, '[', SG_DOC_DEPTH_MAX);
    memset(text + SG_DOC_DEPTH_MAX, ']', SG_DOC_DEPTH_MAX);
    text[2 * SG_DOC_DEPTH_MAX] = '\0';
    doc = parsed(text);
    assert_written(&doc, text);
    memset(text, '[', SG_DOC_DEPTH_MAX + 1);
    memset(text + SG_DOC_DEPTH_MAX + 1, ']', SG_DOC_DEPTH_MAX + 1);
    assert_refused(sg_slice(text, sizeof text - 1), SG_E_LIMIT, "byte 101");
    for (i = 0; i <= SG_DOC_DEPTH_MAX; i++)
        chain[i] = (struct sg_doc){.type = SG_DOC_ARRAY, .n = 1, .items = &chain[i + 1]};
    chain[SG_DOC_DEPTH_MAX].n = 0;
    assert_int_equal(sg_doc_to_json(&chain[0], &out, &err), -1);
    assert_int_equal(err.code, SG_E_LIMIT);
    sg_buf_free(&out);
}

static void
a_document_of_sixteen_megabytes_is_read_and_a_larger_one_refused(void **state)
{
    struct sg_buf text = SG_BUF_INIT(20 * MB), out = SG_BUF_INIT(20 * MB);
    struct sg_doc doc, again;
    int i;

    (void)state;
    sg_buf_puts(&text, "{\"list\":[");
    for (i = 0; text.len < 8 * MB; i++)
        sg_buf_printf(&text, "%s%d", i != 0 ? "," : "", i);
    sg_buf_puts(&text, "],\"text\":\"");
    while (text.len < 16 * MB)
        sg_buf_puts(&text, "sixteen bytes \\n ");
    sg_buf_puts(&text, "\"}");
    assert_int_equal(sg_doc_from_json(arena, sg_buf_slice(&text), &doc, &err), 0);
    assert_int_equal(sg_doc_get(&doc, T("list"))->n, i);
    assert_int_equal(sg_doc_to_json(&doc, &out, &err), 0);
    assert_int_equal(sg_doc_from_json(arena, sg_buf_slice(&out), &again, &err), 0);
    assert_true(sg_doc_equal(&doc, &again));
    while (text.len <= SG_DOC_BYTES_MAX)
        sg_buf_puts(&text, "                                ");
    assert_int_equal(sg_doc_from_json(arena, sg_buf_slice(&text), &doc, &err), -1);
    assert_int_equal(err.code, SG_E_LIMIT);
    sg_buf_free(&text);
    sg_buf_free(&out);
}

static void
memory_stays_within_the_arenas_bound(void **state)
{
    struct sg_buf text = SG_BUF_INIT(MB);
    struct sg_arena *small;
    struct sg_doc doc;
    int i;

    (void)state;
    assert_int_equal(sg_arena_new(100000, &small, &err), 0);
    assert_null(sg_arena_alloc(small, 100001));
    assert_null(sg_arena_alloc(small, SIZE_MAX));
    for (i = 0; sg_arena_alloc(small, 1000) != NULL; i++) {
    }
    assert_in_range(i, 60, 100);
    assert_true(sg_arena_left(small) < 16384);
    sg_arena_reset(small);
    assert_non_null(sg_arena_alloc(small, 80000)); /* what is kept makes room */
    sg_arena_reset(small);
    sg_buf_puts(&text, "[");
    while (text.len < 20000)
        sg_buf_puts(&text, "0,");
    sg_buf_puts(&text, "0]");
    assert_int_equal(sg_doc_from_json(small, sg_buf_slice(&text), &doc, &err), -1);
    assert_int_equal(err.code, SG_E_LIMIT);
    sg_arena_free(small);
    sg_arena_free(NULL);
    sg_buf_free(&text);
}

static void
what_json_lacks_is_written_as_extended_json(void **state)
{
    static const struct {
        struct sg_doc doc;
        const char *text;
    } values[] = {
        {{.type = SG_DOC_DOUBLE, .real = NAN}, "{\"$numberDouble\":\"NaN\"}"},
        {{.type = SG_DOC_DOUBLE, .real = -INFINITY}, "{\"$numberDouble\":\"-Infinity\"}"},
        {{.type = SG_DOC_TIME, .integer = -1}, "{\"$date\":{\"$numberLong\":\"-1\"}}"},
        {{.type = SG_DOC_OID, .text = {"\0\1\2\3\4\5\6\7\x8\x9\xff\xfe", 12}},
         "{\"$oid\":\"00010203040506070809fffe\"}"},
        {{.type = SG_DOC_BYTES, .origin = 4, .text = {"\0\xff", 2}},
         "{\"$binary\":{\"base64\":\"AP8=\",\"subType\":\"04\"}}"},
        {{.type = SG_DOC_DECIMAL, .text = {"1E+3", 4}}, "1E+3"},
        {{.type = SG_DOC_DECIMAL, .text = {"NaN", 3}}, "{\"$numberDecimal\":\"NaN\"}"},
        {{.type = SG_DOC_OTHER, .text = {"{\"$minKey\":1}", 13}}, "{\"$minKey\":1}"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_written(&values[i].doc, values[i].text);
}

static bool
same(const char *a, const char *b)
{
    struct sg_doc x = parsed(a), y = parsed(b);

    assert_int_equal(sg_doc_equal(&x, &y), sg_doc_equal(&y, &x));
    return sg_doc_equal(&x, &y);
}

static void
equality_is_of_values(void **state)
{
    struct sg_doc nan = {.type = SG_DOC_DOUBLE, .real = NAN};
    struct sg_doc nan_decimal = {.type = SG_DOC_DECIMAL, .text = T("NaN")};
    struct sg_doc tenth = {.type = SG_DOC_DECIMAL, .text = T("0.10")}, other = parsed("0.1");
    struct sg_doc time = {.type = SG_DOC_TIME, .integer = 5}, five = parsed("5");

    (void)state;
    assert_true(same("{\"a\":1,\"b\":[2,{}]}", "{\"b\":[2,{}],\"a\":1}"));
    assert_false(same("{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}"));
    assert_false(same("{\"a\":1,\"b\":2}", "{\"b\":1,\"a\":2}"));
    assert_false(same("{\"a\":1}", "{\"a\":1,\"b\":2}"));
    assert_false(same("[1,2]", "[2,1]"));
    assert_false(same("[]", "{}"));
    assert_false(same("null", "false"));
    assert_false(same("\"1\"", "1"));
    assert_true(same("1", "1.0"));
    assert_true(same("0", "-0"));
    assert_true(same("9007199254740992", "9007199254740992.0"));
    assert_false(same("9007199254740993", "9007199254740992.0"));
    assert_false(same("9223372036854775807", "9223372036854775808.0"));
    assert_true(same("1e400", "10e399"));
    assert_true(same("123456789012345678901234567890", "1234567890123456789012345678.90e2"));
    assert_false(same("123456789012345678901234567890", "123456789012345678901234567891"));
    assert_false(same("1e400", "-1e400"));
    assert_true(sg_doc_equal(&tenth, &other));
    assert_true(sg_doc_equal(&nan, &nan));
    assert_true(sg_doc_equal(&nan, &nan_decimal));
    assert_false(sg_doc_equal(&nan, &tenth));
    assert_false(sg_doc_equal(&time, &five));
}

static void
large_objects_in_another_order_are_equal(void **state)
{
    struct sg_buf up = SG_BUF_INIT(8 * MB), down = SG_BUF_INIT(8 * MB);
    int i, n = 100000;

    (void)state;
    for (i = 0; i < n; i++) {
        sg_buf_printf(&up, "%c\"k%d\":%d", i != 0 ? ',' : '{', i, i);
        sg_buf_printf(&down, "%c\"k%d\":%d", i != 0 ? ',' : '{', n - 1 - i, n - 1 - i);
    }
    sg_buf_puts(&up, "}");
    sg_buf_puts(&down, "}");
    assert_true(same(up.ptr, down.ptr));
    down.ptr[down.len - 2] = '7';
    assert_false(same(up.ptr, down.ptr));
    sg_buf_free(&up);
    sg_buf_free(&down);
}

static void
reading_a_session_takes_microseconds(void **state)
{
    static const char text[] =
        "{\"cookie\":{\"originalMaxAge\":1209600000,\"expires\":\"2026-12-01T08:30:00.000Z\","
        "\"httpOnly\":true,\"path\":\"/"
        "\",\"sameSite\":\"lax\"},\"passport\":{\"user\":\"u-48213\"},"
        "\"csrfSecret\":\"kT9sE2bW0xYv3mQzA1uN7pLd\",\"cart\":{\"items\":[{\"sku\":\"A-100\","
        "\"qty\":2,\"price\":19.99},{\"sku\":\"B-7\",\"qty\":1,\"price\":5}],\"currency\":\"EUR\"},"
        "\"flash\":{},\"views\":42,\"lastSeen\":1764059400123,\"locale\":\"de-DE\"}";
    const struct sg_clock *clock = sg_clock_system();
    struct sg_doc doc;
    uint64_t start = sg_mono_ns(clock), took;
    int i;

    (void)state;
    for (i = 0; i < 20000; i++) {
        sg_arena_reset(arena);
        assert_int_equal(sg_doc_from_json(arena, sg_slice(text, sizeof text - 1), &doc, &err), 0);
    }
    took = (sg_mono_ns(clock) - start) / 20000;
    print_message("# %zu bytes: %d ns\n", sizeof text - 1, (int)took);
    assert_true(took < 50000); /* a bound that only a change of order breaks */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_json_type_is_read_and_written_again),
        cmocka_unit_test(members_are_found_by_name),
        cmocka_unit_test(numbers_keep_their_value_at_every_limit),
        cmocka_unit_test(every_double_comes_back_from_its_text),
        cmocka_unit_test(strings_keep_every_character),
        cmocka_unit_test(what_is_not_json_is_refused_with_its_place),
        cmocka_unit_test(half_a_surrogate_pair_is_refused),
        cmocka_unit_test(a_name_that_comes_twice_is_refused_in_small_and_large_objects),
        cmocka_unit_test(nesting_is_bounded_in_both_directions),
        cmocka_unit_test(a_document_of_sixteen_megabytes_is_read_and_a_larger_one_refused),
        cmocka_unit_test(memory_stays_within_the_arenas_bound),
        cmocka_unit_test(what_json_lacks_is_written_as_extended_json),
        cmocka_unit_test(equality_is_of_values),
        cmocka_unit_test(large_objects_in_another_order_are_equal),
        cmocka_unit_test(reading_a_session_takes_microseconds),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
