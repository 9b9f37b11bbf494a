/* SPDX-License-Identifier: MIT */
#include "source/doc_dynamo.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>

static struct sg_arena *arena;
static struct sg_err err;

static int
set_up(void **state)
{
    (void)state;
    return sg_arena_new(64 << 20, &arena, &err);
}

static int
tear_down(void **state)
{
    (void)state;
    sg_arena_free(arena);
    return 0;
}

static int
read_item(const char *json, struct sg_doc *out)
{
    struct sg_doc typed;

    assert_int_equal(sg_doc_from_json(arena, sg_str(json), &typed, &err), 0);
    return sg_doc_from_dynamo(arena, &typed, out, &err);
}

static void
every_type_has_its_document_and_comes_back(void **state)
{
    static const struct {
        const char *typed, *plain;
    } t[] = {
        {"{\"S\":\"a\\u0000\"}", "\"a\\u0000\""},
        {"{\"S\":\"\"}", "\"\""},
        {"{\"N\":\"7\"}", "7"},
        {"{\"N\":\"-9223372036854775808\"}", "-9223372036854775808"},
        {"{\"N\":\"0.1\"}", "0.1"},
        {"{\"N\":\"0.10000000000000001\"}", "0.10000000000000001"},
        {"{\"N\":\"12345678901234567890123456789012345678\"}",
         "12345678901234567890123456789012345678"},
        {"{\"N\":\"1E-130\"}", "1e-130"},
        {"{\"B\":\"\"}", "{\"$binary\":{\"base64\":\"\",\"subType\":\"00\"}}"},
        {"{\"B\":\"AP8=\"}", "{\"$binary\":{\"base64\":\"AP8=\",\"subType\":\"00\"}}"},
        {"{\"B\":\"+/+/\"}", "{\"$binary\":{\"base64\":\"+/+/\",\"subType\":\"00\"}}"},
        {"{\"BOOL\":true}", "true"},
        {"{\"BOOL\":false}", "false"},
        {"{\"NULL\":true}", "null"},
        {"{\"L\":[]}", "[]"},
        {"{\"L\":[{\"N\":\"1\"},{\"L\":[{\"S\":\"x\"}]},{\"M\":{}}]}", "[1,[\"x\"],{}]"},
        {"{\"M\":{\"a\":{\"M\":{\"b\":{\"NULL\":true}}}}}", "{\"a\":{\"b\":null}}"},
        {"{\"SS\":[\"a\",\"b\"]}", "[\"a\",\"b\"]"},
        {"{\"NS\":[\"1\",\"2.5\"]}", "[1,2.5]"},
        {"{\"BS\":[\"AA==\"]}", "[{\"$binary\":{\"base64\":\"AA==\",\"subType\":\"00\"}}]"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct sg_buf json = SG_BUF_INIT(1024), plain = SG_BUF_INIT(1024), back = SG_BUF_INIT(1024);
        struct sg_doc doc, again;

        sg_buf_printf(&json, "{\"v\":%s}", t[i].typed);
        if (read_item(json.ptr, &doc) != 0)
            fail_msg("%s: %s", t[i].typed, err.text);
        assert_int_equal(sg_doc_to_json(&doc.members[0].value, &plain, &err), 0);
        assert_string_equal(plain.ptr, t[i].plain);
        assert_int_equal(sg_doc_to_dynamo(&doc, &back, &err), 0);
        if (strcmp(t[i].typed, "{\"N\":\"1E-130\"}") != 0)
            assert_string_equal(back.ptr, json.ptr);
        assert_int_equal(read_item(back.ptr, &again), 0);
        assert_true(sg_doc_equal(&doc, &again));
        sg_buf_free(&json);
        sg_buf_free(&plain);
        sg_buf_free(&back);
    }
}

static void
what_is_no_item_is_refused(void **state)
{
    static const char *const bad[] = {
        "[]",
        "{\"a\":1}",
        "{\"a\":{}}",
        "{\"a\":{\"S\":1}}",
        "{\"a\":{\"S\":\"x\",\"N\":\"1\"}}",
        "{\"a\":{\"N\":1}}",
        "{\"a\":{\"N\":\"\"}}",
        "{\"a\":{\"N\":\"NaN\"}}",
        "{\"a\":{\"N\":\" 1\"}}",
        "{\"a\":{\"B\":\"A\"}}",
        "{\"a\":{\"B\":\"AB==\"}}",
        "{\"a\":{\"B\":\"A===\"}}",
        "{\"a\":{\"B\":\"A=AA\"}}",
        "{\"a\":{\"B\":\"AA-_\"}}",
        "{\"a\":{\"BOOL\":\"true\"}}",
        "{\"a\":{\"L\":{}}}",
        "{\"a\":{\"L\":[1]}}",
        "{\"a\":{\"M\":[]}}",
        "{\"a\":{\"SS\":[1]}}",
        "{\"a\":{\"XX\":true}}",
        "{\"a\":{\"\":\"x\"}}",
    };
    struct sg_doc doc;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (read_item(bad[i], &doc) != -1)
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(err.code, SG_E_INVALID);
    }
}

static void
what_dynamodb_cannot_hold_is_refused(void **state)
{
    struct sg_doc two[] = {{.type = SG_DOC_INT}, {.type = SG_DOC_STRING, .text = {"a", 1}}};
    const struct sg_doc bad[] = {
        {.type = SG_DOC_TIME},
        {.type = SG_DOC_OID, .text = {"123456789012", 12}},
        {.type = SG_DOC_OTHER, .text = {"{}", 2}},
        {.type = SG_DOC_DOUBLE, .real = NAN},
        {.type = SG_DOC_DOUBLE, .real = -INFINITY},
        {.type = SG_DOC_DECIMAL, .text = {"NaN", 3}},
        {.type = SG_DOC_ARRAY, .origin = SG_DOC_ORIGIN_SET},
        {.type = SG_DOC_ARRAY, .origin = SG_DOC_ORIGIN_SET, .n = 2, .items = two},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sg_buf out = SG_BUF_INIT(1024);

        assert_int_equal(sg_doc_value_to_dynamo(&bad[i], &out, &err), -1);
        assert_int_equal(err.code, SG_E_INVALID);
        assert_int_equal(sg_doc_to_dynamo(&bad[i], &out, &err), -1);
        sg_buf_free(&out);
    }
}

static void
depth_and_length_are_bounded(void **state)
{
    struct sg_doc chain[SG_DOC_DEPTH_MAX];
    struct sg_buf out = SG_BUF_INIT(4096), small = SG_BUF_INIT(8);
    int i;

    (void)state;
    for (i = 0; i < SG_DOC_DEPTH_MAX; i++)
        chain[i] = (struct sg_doc){.type = SG_DOC_ARRAY, .n = 1, .items = &chain[i + 1]};
    chain[SG_DOC_DEPTH_MAX - 1].n = 0;
    assert_int_equal(sg_doc_value_to_dynamo(&chain[0], &out, &err), -1);
    assert_int_equal(err.code, SG_E_LIMIT);
    assert_int_equal(sg_doc_value_to_dynamo(&chain[SG_DOC_DEPTH_MAX / 2 + 2], &out, &err), 0);
    assert_int_equal(sg_doc_value_to_dynamo(&chain[90], &small, &err), -1);
    assert_int_equal(err.code, SG_E_LIMIT);
    sg_buf_free(&out);
    sg_buf_free(&small);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_its_document_and_comes_back),
        cmocka_unit_test(what_is_no_item_is_refused),
        cmocka_unit_test(what_dynamodb_cannot_hold_is_refused),
        cmocka_unit_test(depth_and_length_are_bounded),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
