/* SPDX-License-Identifier: MIT */
#include "source/doc_bson.h"

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
    return sg_arena_new(256 << 20, &arena, &err);
}

static int
tear_down(void **state)
{
    (void)state;
    sg_arena_free(arena);
    return 0;
}

static struct sg_doc
read_bson(const bson_t *bson)
{
    struct sg_doc doc;

    if (sg_doc_from_bson(arena, sg_slice((const char *)bson_get_data(bson), bson->len), &doc,
                         &err) != 0)
        fail_msg("%s: %s", err.place, err.text);
    return doc;
}

/* Every type there is, in canonical extended JSON, there and back to the same bytes. */
static void
every_bson_type_comes_back_as_the_same_bytes(void **state)
{
    static const struct {
        const char *json;
        enum sg_doc_type type;
    } t[] = {
        {"{\"$numberDouble\":\"1.5\"}", SG_DOC_DOUBLE},
        {"{\"$numberDouble\":\"-0.0\"}", SG_DOC_DOUBLE},
        {"{\"$numberDouble\":\"NaN\"}", SG_DOC_DOUBLE},
        {"{\"$numberDouble\":\"-Infinity\"}", SG_DOC_DOUBLE},
        {"\"text \\u0000 \\u00e9\"", SG_DOC_STRING},
        {"{\"a\":{\"b\":{}}}", SG_DOC_OBJECT},
        {"[]", SG_DOC_ARRAY},
        {"[{\"$numberInt\":\"1\"},[\"x\",null]]", SG_DOC_ARRAY},
        {"{\"$binary\":{\"base64\":\"AP8=\",\"subType\":\"00\"}}", SG_DOC_BYTES},
        {"{\"$binary\":{\"base64\":\"AAECAwQFBgcICQoLDA0ODw==\",\"subType\":\"04\"}}",
         SG_DOC_BYTES},
        {"{\"$binary\":{\"base64\":\"eno=\",\"subType\":\"80\"}}", SG_DOC_BYTES},
        {"{\"$undefined\":true}", SG_DOC_OTHER},
        {"{\"$oid\":\"5f00000000000000000000ff\"}", SG_DOC_OID},
        {"true", SG_DOC_BOOL},
        {"false", SG_DOC_BOOL},
        {"{\"$date\":{\"$numberLong\":\"-9223372036854775808\"}}", SG_DOC_TIME},
        {"{\"$date\":{\"$numberLong\":\"253402300800000\"}}", SG_DOC_TIME},
        {"null", SG_DOC_NULL},
        {"{\"$regularExpression\":{\"pattern\":\"a\\\"}b\",\"options\":\"im\"}}", SG_DOC_OTHER},
        {"{\"$dbPointer\":{\"$ref\":\"c\",\"$id\":{\"$oid\":\"5f00000000000000000000ff\"}}}",
         SG_DOC_OTHER},
        {"{\"$code\":\"f()\"}", SG_DOC_OTHER},
        {"{\"$symbol\":\"s\"}", SG_DOC_OTHER},
        {"{\"$code\":\"f()\",\"$scope\":{\"x\":{\"$numberInt\":\"1\"}}}", SG_DOC_OTHER},
        {"{\"$numberInt\":\"-2147483648\"}", SG_DOC_INT},
        {"{\"$timestamp\":{\"t\":4294967295,\"i\":1}}", SG_DOC_OTHER},
        {"{\"$numberLong\":\"7\"}", SG_DOC_INT},
        {"{\"$numberLong\":\"-9223372036854775808\"}", SG_DOC_INT},
        {"{\"$numberDecimal\":\"1.50\"}", SG_DOC_DECIMAL},
        {"{\"$numberDecimal\":\"9.999999999999999999999999999999999E+6144\"}", SG_DOC_DECIMAL},
        {"{\"$numberDecimal\":\"1E-6176\"}", SG_DOC_DECIMAL},
        {"{\"$numberDecimal\":\"NaN\"}", SG_DOC_DECIMAL},
        {"{\"$numberDecimal\":\"-Infinity\"}", SG_DOC_DECIMAL},
        {"{\"$minKey\":1}", SG_DOC_OTHER},
        {"{\"$maxKey\":1}", SG_DOC_OTHER},
    };
    char json[256];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof t / sizeof t[0]; i++) {
        bson_t *bson, back = BSON_INITIALIZER;
        struct sg_doc doc;

        snprintf(json, sizeof json, "{\"before\":null,\"v\":%s,\"\":\"after\"}", t[i].json);
        bson = bson_new_from_json((const uint8_t *)json, -1, NULL);
        assert_non_null(bson);
        doc = read_bson(bson);
        if (doc.members[1].value.type != t[i].type)
            fail_msg("%s became %s", t[i].json, sg_doc_type_name(doc.members[1].value.type));
        assert_int_equal(sg_doc_to_bson(&doc, &back, &err), 0);
        if (!bson_equal(bson, &back))
            fail_msg("%s came back otherwise", t[i].json);
        bson_destroy(bson);
        bson_destroy(&back);
    }
}

static void
what_only_bson_has_is_kept_as_extended_json(void **state)
{
    bson_t *bson =
        bson_new_from_json((const uint8_t *)"{\"v\":{\"$timestamp\":{\"t\":5,\"i\":1}}}", -1, NULL);
    struct sg_buf json = SG_BUF_INIT(1024);
    struct sg_doc doc = read_bson(bson), again;

    (void)state;
    assert_int_equal(sg_doc_to_json(&doc, &json, &err), 0);
    assert_int_equal(sg_doc_from_json(arena, sg_buf_slice(&json), &again, &err), 0);
    assert_non_null(sg_doc_get(sg_doc_get(&again, sg_str("v")), sg_str("$timestamp")));
    sg_buf_free(&json);
    bson_destroy(bson);
}

static void
damage_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } t[] = {
        {"", 0},
        {"\x04\0\0\0", 4},
        {"\x06\0\0\0\0\0", 5},
        {"\x05\0\0\0\x01", 5},
        {"\x0c\0\0\0\x10"
         "a\0\1\0\0\0",
         11},
        {"\x10\0\0\0\x02"
         "a\0\xff\0\0\0xyz\0\0",
         16},
        {"\x10\0\0\0\x02"
         "a\0\4\0\0\0x\xffz\0\0",
         16},
        {"\x08\0\0\0\x7e"
         "a\0\0",
         8},
    };
    struct sg_doc doc;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof t / sizeof t[0]; i++) {
        char *exact = malloc(t[i].n != 0 ? t[i].n : 1);

        memcpy(exact, t[i].bytes, t[i].n);
        if (sg_doc_from_bson(arena, sg_slice(exact, t[i].n), &doc, &err) != -1)
            fail_msg("%zu was taken", i);
        assert_int_equal(err.code, SG_E_INVALID);
        assert_memory_equal(err.place, "byte ", 5);
        free(exact);
    }
}

static void
depth_is_bounded_in_both_directions(void **state)
{
    struct sg_doc chain[SG_DOC_DEPTH_MAX + 1], doc;
    struct sg_doc_member member[SG_DOC_DEPTH_MAX + 1];
    int depth, i;

    (void)state;
    for (depth = SG_DOC_DEPTH_MAX; depth <= SG_DOC_DEPTH_MAX + 1; depth++) {
        bson_t bson[2] = {BSON_INITIALIZER, BSON_INITIALIZER};
        int now = 0, rc;

        for (i = 1; i < depth; i++) {
            bson_reinit(&bson[!now]);
            bson_append_document(&bson[!now], "a", 1, &bson[now]);
            now = !now;
        }
        rc = sg_doc_from_bson(
            arena, sg_slice((const char *)bson_get_data(&bson[now]), bson[now].len), &doc, &err);
        assert_int_equal(rc, depth > SG_DOC_DEPTH_MAX ? -1 : 0);
        bson_destroy(&bson[0]);
        bson_destroy(&bson[1]);
    }
    assert_int_equal(err.code, SG_E_LIMIT);
    for (i = 0; i <= SG_DOC_DEPTH_MAX; i++) {
        member[i] = (struct sg_doc_member){{"a", 1}, {0}};
        chain[i] = (struct sg_doc){.type = SG_DOC_OBJECT, .n = 1, .members = &member[i]};
    }
    for (i = 0; i < SG_DOC_DEPTH_MAX; i++)
        member[i].value = chain[i + 1];
    for (i = 0; i < 2; i++) {
        bson_t bson = BSON_INITIALIZER;

        assert_int_equal(sg_doc_to_bson(&chain[i == 0 ? 0 : 1], &bson, &err), i == 0 ? -1 : 0);
        bson_destroy(&bson);
    }
}

static void
what_bson_cannot_hold_is_refused(void **state)
{
    struct sg_doc_member member = {{"a", 1}, {.type = SG_DOC_DECIMAL}};
    struct sg_doc doc = {.type = SG_DOC_OBJECT, .n = 1, .members = &member};
    bson_t bson = BSON_INITIALIZER;
    struct sg_doc again;

    (void)state;
    member.value.text = sg_str("12345678901234567890123456789012345");
    assert_int_equal(sg_doc_to_bson(&doc, &bson, &err), -1);
    assert_int_equal(err.code, SG_E_INVALID);
    member.value.text = sg_slice("1E+12", 4); /* the 2 is not of it */
    assert_int_equal(sg_doc_to_bson(&doc, &bson, &err), 0);
    again = read_bson(&bson);
    assert_true(sg_slice_eq(again.members[0].value.text, sg_str("1E+1")));
    bson_reinit(&bson);
    member.value = (struct sg_doc){.type = SG_DOC_NULL};
    member.name = sg_slice("a\0b", 3);
    assert_int_equal(sg_doc_to_bson(&doc, &bson, &err), -1);
    assert_int_equal(err.code, SG_E_INVALID);
    assert_int_equal(sg_doc_to_bson(&member.value, &bson, &err), -1);
    assert_int_equal(err.code, SG_E_INVALID);
    bson_destroy(&bson);
}

static void
assert_id(struct sg_doc id, const char *text)
{
    struct sg_buf out = SG_BUF_INIT(1024);
    bson_t *back;

    assert_int_equal(sg_doc_id_text(&id, &out, &err), 0);
    assert_string_equal(out.ptr, text);
    back = sg_doc_id_bson(sg_buf_slice(&out));
    assert_non_null(back);
    bson_destroy(back);
    sg_buf_free(&out);
}

static void
one_id_has_one_text(void **state)
{
    (void)state;
    assert_id((struct sg_doc){.type = SG_DOC_INT, .integer = 5}, "5");
    assert_id((struct sg_doc){.type = SG_DOC_INT, .origin = 32, .integer = 5}, "5");
    assert_id((struct sg_doc){.type = SG_DOC_DOUBLE, .real = 5}, "5");
    assert_id((struct sg_doc){.type = SG_DOC_DECIMAL, .text = {"5", 1}}, "5");
    assert_id((struct sg_doc){.type = SG_DOC_DOUBLE, .real = 5.5}, "5.5");
    assert_id((struct sg_doc){.type = SG_DOC_DOUBLE, .real = NAN}, "{\"$numberDouble\":\"NaN\"}");
    assert_id((struct sg_doc){.type = SG_DOC_DECIMAL, .text = {"5.5", 3}},
              "{\"$numberDecimal\":\"5.5\"}");
    assert_id((struct sg_doc){.type = SG_DOC_STRING, .text = {"5", 1}}, "\"5\"");
    assert_id((struct sg_doc){.type = SG_DOC_OID, .text = {"\0\0\0\0\0\0\0\0\0\0\0\1", 12}},
              "{\"$oid\":\"000000000000000000000001\"}");
    assert_null(sg_doc_id_bson(sg_str("{")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bson_type_comes_back_as_the_same_bytes),
        cmocka_unit_test(what_only_bson_has_is_kept_as_extended_json),
        cmocka_unit_test(damage_is_refused_with_its_place),
        cmocka_unit_test(depth_is_bounded_in_both_directions),
        cmocka_unit_test(what_bson_cannot_hold_is_refused),
        cmocka_unit_test(one_id_has_one_text),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
