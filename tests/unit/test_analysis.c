/* SPDX-License-Identifier: MIT */
#include "transfer/analysis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>

static const char *const secrets[] = {"keyboard cat", NULL};
static const struct sg_codec_config config = {.secrets = secrets,
                                              .key_prefix = "sess:",
                                              .cookie_name = "connect.sid",
                                              .default_idle_ms = 86400000,
                                              .subject_path = "passport.user"};

static void
add(struct sg_analysis *a, const char *key, const char *value, int64_t ttl_ms)
{
    struct sg_legacy_item item = {.key = sg_str(key), .value = sg_str(value), .ttl_ms = ttl_ms};

    sg_analysis_add(a, sg_codec_find("express-session"), &config, &item);
}

static void
records_are_told_apart(void **state)
{
    struct sg_legacy_item hash = {.key = sg_str("sess:h"), .ttl_ms = -1, .wrong_type = true};
    struct sg_legacy_item gone = {.key = sg_str("sess:g"), .ttl_ms = -1};
    struct sg_analysis a;
    struct sg_err err;

    (void)state;
    assert_int_equal(sg_analysis_init(&a, &err), 0);
    add(&a, "sess:aa",
        "{\"cookie\":{\"originalMaxAge\":60000},\"passport\":{\"user\":1},\"cart\":[]}", 30000);
    add(&a, "sess:bb", "{\"cookie\":{\"originalMaxAge\":60000},\"passport\":{\"user\":1}}", 90000);
    add(&a, "sess:cc", "{\"cookie\":{}}", -1);
    add(&a, "sess:dd", "not json", 1000);
    sg_analysis_add(&a, sg_codec_find("express-session"), &config, &hash);
    sg_analysis_add(&a, sg_codec_find("express-session"), &config, &gone);
    assert_int_equal(a.keys, 5);
    assert_int_equal(a.sessions, 2);
    assert_int_equal(a.subjects, 1);
    assert_int_equal(a.anonymous, 1);
    assert_int_equal(a.undecodable, 1);
    assert_int_equal(a.wrong_type, 1);
    assert_int_equal(a.without_ttl, 2);
    assert_int_equal(a.ttl_s.counts[0], 2); /* 30 s and 1 s */
    assert_int_equal(a.ttl_s.counts[1], 1);
    assert_int_equal(a.members.n, 1);
    assert_string_equal(a.members.items[0].text, "cart");
    assert_int_equal(a.reasons.n, 2);
    sg_analysis_free(&a);
}

static void
ids_are_measured(void **state)
{
    struct sg_analysis a;
    struct sg_err err;
    char alphabet[64];

    (void)state;
    assert_int_equal(sg_analysis_init(&a, &err), 0);
    add(&a, "sess:abcd", "{\"cookie\":{}}", 1000);
    sg_token_ids_alphabet(&a.ids, alphabet, sizeof alphabet);
    assert_string_equal(alphabet, "a-z");
    assert_true(sg_token_ids_bits(&a.ids) > 7.99 && sg_token_ids_bits(&a.ids) < 8.01);
    add(&a, "sess:A-0", "{\"cookie\":{}}", 1000);
    sg_token_ids_alphabet(&a.ids, alphabet, sizeof alphabet);
    assert_string_equal(alphabet, "A-Z a-z 0-9 -");
    assert_int_equal(a.ids.shortest, 3);
    assert_int_equal(a.ids.longest, 4);
    sg_analysis_free(&a);
}

static void
many_subjects_are_counted_once_each(void **state)
{
    struct sg_analysis a;
    char key[32], value[96];
    struct sg_err err;
    int i;

    (void)state;
    assert_int_equal(sg_analysis_init(&a, &err), 0);
    for (i = 0; i < 6000; i++) {
        snprintf(key, sizeof key, "sess:%d", i);
        snprintf(value, sizeof value, "{\"cookie\":{},\"passport\":{\"user\":%d}}", i % 3000);
        add(&a, key, value, 1000);
    }
    assert_int_equal(a.subjects, 3000);
    assert_false(a.subjects_full);
    sg_analysis_free(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_told_apart),
        cmocka_unit_test(ids_are_measured),
        cmocka_unit_test(many_subjects_are_counted_once_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
