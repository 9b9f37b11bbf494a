/* SPDX-License-Identifier: MIT */
#include "session/custom_claims.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants those above first */
#include <cmocka.h>

static struct sg_realm_config realm = {.name = "main"};
static struct custom_claims claims;
static struct sg_err err;
static int left_out;

static int
read_as(enum sg_claim_type type, bool required, const char *attributes)
{
    realm.identity.claims[0] =
        (struct sg_claim_config){.name = "c", .path = "a.b", .type = type, .required = required};
    realm.identity.n_claims = 1;
    left_out = 0;
    return custom_claims_read(&realm, attributes, &claims, &left_out, &err);
}

static void
assert_text(const char *expected)
{
    assert_int_equal(claims.n, 1);
    assert_int_equal(claims.extra[0].text.len, strlen(expected));
    assert_memory_equal(claims.extra[0].text.ptr, expected, strlen(expected));
}

static void
a_value_of_its_type_becomes_the_claim(void **state)
{
    (void)state;
    assert_int_equal(read_as(SG_CLAIM_STRING, true, "{\"a\":{\"b\":\"x\\u00fc\"}}"), 0);
    assert_text("x\xc3\xbc");
    assert_int_equal(read_as(SG_CLAIM_STRING, true, "{\"a\":{\"b\":\"\"}}"), 0);
    assert_text("");
    assert_int_equal(read_as(SG_CLAIM_INT, true, "{\"a\":{\"b\":-9223372036854775808}}"), 0);
    assert_true(claims.extra[0].number == INT64_MIN);
    assert_int_equal(read_as(SG_CLAIM_BOOL, true, "{\"a\":{\"b\":false}}"), 0);
    assert_text("false");
    assert_int_equal(read_as(SG_CLAIM_JSON, true, "{\"a\":{\"b\":[1, {\"x\": null}]}}"), 0);
    assert_text("[1,{\"x\":null}]");
    assert_int_equal(read_as(SG_CLAIM_JSON, true, "{\"a\":{\"b\":\"s\"}}"), 0);
    assert_text("\"s\"");
}

static void
what_does_not_fit_is_left_out_or_refused(void **state)
{
    static const struct {
        enum sg_claim_type type;
        const char *attributes;
        int there;
    } cases[] = {
        {SG_CLAIM_STRING, NULL, 0},
        {SG_CLAIM_STRING, "", 0},
        {SG_CLAIM_STRING, "{}", 0},
        {SG_CLAIM_STRING, "{\"a\":null}", 0},
        {SG_CLAIM_STRING, "{\"a\":{\"b\":null}}", 0},
        {SG_CLAIM_STRING, "{\"a\":[\"b\"]}", 0},
        {SG_CLAIM_STRING, "{\"a.b\":\"x\"}", 0},
        {SG_CLAIM_STRING, "{\"a\":{\"b\":1}}", 1},
        {SG_CLAIM_STRING, "{\"a\":{\"b\":[\"x\"]}}", 1},
        {SG_CLAIM_INT, "{\"a\":{\"b\":1.0}}", 1},
        {SG_CLAIM_INT, "{\"a\":{\"b\":\"1\"}}", 1},
        {SG_CLAIM_INT, "{\"a\":{\"b\":true}}", 1},
        {SG_CLAIM_BOOL, "{\"a\":{\"b\":1}}", 1},
        {SG_CLAIM_BOOL, "{\"a\":{\"b\":\"true\"}}", 1},
        {SG_CLAIM_JSON, "{\"a\":{\"b\":[[[[[[1]]]]]]}}", 1},
        {SG_CLAIM_JSON, "{\"a\":{\"b\":[1,[[[[{}]]]],2]}}", 1},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(read_as(cases[i].type, false, cases[i].attributes), 0);
        assert_int_equal(claims.n, 0);
        assert_int_equal(left_out, cases[i].there);
        assert_int_equal(read_as(cases[i].type, true, cases[i].attributes), -1);
        assert_int_equal(err.code, SG_E_DENIED);
        assert_non_null(strstr(err.text, "claim 'c' is required: the attribute 'a.b'"));
    }
    /* no claim of them can be made: an unreadable object never counts as an empty one */
    assert_int_equal(read_as(SG_CLAIM_STRING, false, "{\"a\":"), -1);
    assert_int_equal(read_as(SG_CLAIM_STRING, false, "{\"a\":1,\"a\":{\"b\":\"x\"}}"), -1);
}

static void
all_values_together_have_a_bound(void **state)
{
    char text[SG_CUSTOM_CLAIMS_BYTES + 64];
    int i;

    (void)state;
    realm.identity.n_claims = 4;
    for (i = 0; i < 4; i++)
        realm.identity.claims[i] = (struct sg_claim_config){.name = "c", .path = "a"};
    snprintf(text, sizeof text, "{\"a\":\"%0*d\"}", SG_CUSTOM_CLAIMS_BYTES / 4, 0);
    left_out = 0;
    assert_int_equal(custom_claims_read(&realm, text, &claims, &left_out, &err), 0);
    assert_int_equal(claims.n, 4);
    snprintf(text, sizeof text, "{\"a\":\"%0*d\"}", SG_CUSTOM_CLAIMS_BYTES / 4 + 1, 0);
    assert_int_equal(custom_claims_read(&realm, text, &claims, &left_out, &err), 0);
    assert_int_equal(claims.n, 3);
    assert_int_equal(left_out, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_of_its_type_becomes_the_claim),
        cmocka_unit_test(what_does_not_fit_is_left_out_or_refused),
        cmocka_unit_test(all_values_together_have_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
