/* SPDX-License-Identifier: MIT */
/* What is kept of records stays bounded, tells what it must, and holds no value. */
#include "base/buf.h"
#include "model/extended.h"
#include "model/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>

static void add(struct sg_profile *p, struct sg_arena *arena, const char *fmt, ...) SG_PRINTF(3, 4);

static void
add(struct sg_profile *p, struct sg_arena *arena, const char *fmt, ...)
{
    struct sg_profile_record r = {.bytes = 1, .expires_ms = -1};
    static char text[1 << 16];
    struct sg_doc doc;
    struct sg_err err;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (sg_doc_from_json(arena, sg_str(text), &doc, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    r.doc = &doc;
    assert_int_equal(sg_profile_add(p, &r, 0, &err), 0);
    sg_arena_reset(arena);
}

static void
start(struct sg_profile **p, struct sg_arena **arena)
{
    struct sg_err err;

    assert_int_equal(sg_profile_new("t", p, &err), 0);
    assert_int_equal(sg_arena_new(1 << 20, arena, &err), 0);
}

static const struct sg_field *
field(const struct sg_profile *p, const char *name)
{
    const struct sg_field *f = sg_field_member(&p->root, sg_str(name));

    assert_non_null(f);
    return f;
}

static uint64_t
hash_of(int i)
{
    char text[32];

    snprintf(text, sizeof text, "value-%d", i);
    return sg_distinct_hash(sg_str(text));
}

static void
distinct_values_are_counted_and_compared_in_bounded_memory(void **state)
{
    struct sg_distinct a = {0}, part = {0}, other = {0}, twice = {0};
    uint32_t common;
    int i;

    (void)state;
    for (i = 0; i < 1000; i++)
        sg_distinct_add(&a, hash_of(i % 700), 1);
    assert_int_equal(sg_distinct_estimate(&a), 700); /* exact */
    for (i = 0; i < 200000; i++) {
        sg_distinct_add(&a, hash_of(i), 1);
        sg_distinct_add(&twice, hash_of(i / 2), 1);
        if (i % 3 == 0)
            sg_distinct_add(&part, hash_of(i), 1);
        sg_distinct_add(&other, hash_of(i + 100000), 1);
    }
    assert_true(a.n <= SG_DISTINCT_MAX && a.cap <= SG_DISTINCT_MAX * 2);
    assert_in_range(sg_distinct_estimate(&twice), 92000, 108000);
    assert_int_equal(sg_distinct_repeated(&part), 0);
    assert_int_equal(sg_distinct_repeated(&twice), twice.n);
    assert_true(sg_distinct_within(&part, &a, &common) == 1.0 && common > 300);
    assert_true(sg_distinct_within(&other, &a, &common) < 0.6);
    assert_true(sg_distinct_within(&other, &a, &common) > 0.4);
    sg_distinct_free(&a);
    sg_distinct_free(&part);
    sg_distinct_free(&other);
    sg_distinct_free(&twice);
}

static void
objects_whose_names_are_data_become_maps(void **state)
{
    struct sg_profile *p;
    struct sg_arena *arena;
    struct sg_buf path = SG_BUF_INIT(1000);
    int i;

    (void)state;
    start(&p, &arena);
    for (i = 0; i < 500; i++)
        add(p, arena,
            "{\"seen\":{\"0f7c6b1e-0000-4000-8000-%012d\":1},\"many\":{\"k%d\":{\"n\":%d}},"
            "\"plain\":{\"a\":1,\"b\":2},\"years\":{\"2024\":1,\"2025\":2,\"2026\":3},"
            "\"two\":{\"1\":1,\"2\":2},\"rare\":{\"opt%d\":1,\"x%d\":\"s\"}}",
            i, i, i, i % 40, i % 40);
    sg_profile_finish(p);
    assert_true(field(p, "seen")->is_map);
    assert_true(field(p, "many")->is_map);
    assert_true(field(p, "years")->is_map);
    assert_false(field(p, "plain")->is_map);
    assert_false(field(p, "two")->is_map);
    assert_false(field(p, "rare")->is_map); /* of two types: fields that are seldom there */
    assert_int_equal(field(p, "seen")->each->n, 500);
    assert_int_equal(sg_distinct_estimate(&field(p, "seen")->distinct), 500);
    sg_field_path(sg_field_member(field(p, "many")->each, sg_str("n")), &path);
    assert_string_equal(path.ptr, "many{}.n");
    assert_int_equal(sg_field_member(field(p, "many")->each, sg_str("n"))->int_max, 499);
    sg_buf_free(&path);
    sg_profile_free(p);
    sg_arena_free(arena);
}

static void
fields_and_depth_are_bounded(void **state)
{
    struct sg_profile *p;
    struct sg_arena *arena;
    char deep[400];
    int i, n = 0;

    (void)state;
    start(&p, &arena);
    for (i = 0; i < 5000; i++)
        add(p, arena, "{\"field-%d\":%d}", i, i);
    assert_int_equal(p->n_fields, SG_PROFILE_FIELDS_MAX);
    assert_int_equal(p->beyond, 5000 - SG_PROFILE_FIELDS_MAX);
    sg_profile_free(p);
    sg_arena_free(arena);
    start(&p, &arena);
    for (i = 0; i < 40; i++)
        n += snprintf(deep + n, sizeof deep - (size_t)n, "{\"a\":");
    n += snprintf(deep + n, sizeof deep - (size_t)n, "1");
    for (i = 0; i < 40; i++)
        n += snprintf(deep + n, sizeof deep - (size_t)n, "}");
    add(p, arena, "%s", deep);
    assert_true(p->n_fields <= SG_PROFILE_DEPTH_MAX);
    assert_int_equal(p->beyond, 1);
    sg_profile_free(p);
    sg_arena_free(arena);
}

static void
words_are_kept_and_secrets_are_not(void **state)
{
    struct sg_profile *p;
    struct sg_arena *arena;
    int i;

    (void)state;
    start(&p, &arena);
    for (i = 0; i < 200; i++)
        add(p, arena,
            "{\"kind\":\"%s\",\"password\":\"hunter\",\"apiToken\":\"abc\",\"once\":\"word%d\","
            "\"long\":\"x%032d\",\"made\":\"a1b2c3d4e5f6a7b8c9\",\"number\":\"%d\",\"tags\":[\"a\"]"
            ","
            "\"secrets\":[\"a\"]}",
            i % 2 ? "red" : "blue", i % 60, 1, i % 2);
    sg_profile_finish(p);
    assert_true(sg_field_is_enum(field(p, "kind")));
    assert_int_equal(field(p, "kind")->n_values, 2);
    assert_true(sg_field_is_enum(field(p, "tags")->each));
    assert_false(sg_field_is_enum(field(p, "password")));
    assert_null(field(p, "password")->values);
    assert_null(field(p, "apiToken")->values);
    assert_null(field(p, "secrets")->each->values);
    assert_null(field(p, "long")->values);
    assert_null(field(p, "made")->values);
    assert_null(field(p, "number")->values);
    assert_false(sg_field_is_enum(field(p, "once"))); /* 60 in 200 are no kinds */
    sg_profile_free(p);
    sg_arena_free(arena);
}

static void
formats_are_told_apart(void **state)
{
    static const struct {
        const char *text;
        enum sg_format format;
    } known[] = {
        {"", SG_FMT_EMPTY},
        {"0f7c6b1e-0000-4000-8000-000000000001", SG_FMT_UUID},
        {"0F7C6B1E-0000-4000-8000-000000000001", SG_FMT_OTHER},
        {"6b02f404849f9c9a9cd84e36", SG_FMT_OID},
        {"2026-11-22T14:46:59.210Z", SG_FMT_ISO_MS},
        {"2026-11-22T14:46:59Z", SG_FMT_ISO_S},
        {"2026-11-22T14:46:59+02:00", SG_FMT_ISO},
        {"2026-11-22 14:46:59.1234567Z", SG_FMT_OTHER},
        {"2026-11-22", SG_FMT_DATE},
        {"2026-02-30", SG_FMT_OTHER},
        {"2024-02-29", SG_FMT_DATE},
        {"-9223372036854775808", SG_FMT_INTEGER},
        {"9223372036854775808", SG_FMT_OTHER},
        {"007", SG_FMT_OTHER},
        {"-0", SG_FMT_OTHER},
        {"0", SG_FMT_INTEGER},
        {"1.50", SG_FMT_DECIMAL},
        {"01.5", SG_FMT_OTHER},
        {"1.", SG_FMT_OTHER},
        {"true", SG_FMT_BOOL},
        {"$2b$10$SiS.P4MJJSjwE6jnr9n60CLWbBFxXbd8tsVWII6UMoVCr6j0p6Hhp", SG_FMT_BCRYPT},
        {"$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", SG_FMT_ARGON2},
        {"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", SG_FMT_DIGEST},
        {"a@x.io", SG_FMT_EMAIL},
        {"a@b@x.io", SG_FMT_OTHER},
        {"https://x.example/", SG_FMT_URL},
        {"10.0.0.255", SG_FMT_IP},
        {"10.0.0.256", SG_FMT_OTHER},
        {"2001:db8::1", SG_FMT_IP},
        {"4wu4k3hxeuwyB1h8mUjHt7Y9scB1Qf7k", SG_FMT_BASE64},
        {"a plain sentence", SG_FMT_OTHER},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof known / sizeof *known; i++)
        if (sg_format_of(sg_str(known[i].text)) != known[i].format)
            fail_msg("'%s' is %s, not %s", known[i].text,
                     sg_format_name(sg_format_of(sg_str(known[i].text))),
                     sg_format_name(known[i].format));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distinct_values_are_counted_and_compared_in_bounded_memory),
        cmocka_unit_test(objects_whose_names_are_data_become_maps),
        cmocka_unit_test(fields_and_depth_are_bounded),
        cmocka_unit_test(words_are_kept_and_secrets_are_not),
        cmocka_unit_test(formats_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
