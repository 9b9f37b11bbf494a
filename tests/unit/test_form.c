/* SPDX-License-Identifier: MIT */
#include "server/form.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h wants those above first */
#include <cmocka.h>

static void
assert_field(const char *body, const char *name, const char *expected)
{
    struct sg_form f;
    struct sg_slice v;

    assert_int_equal(sg_form_parse(&f, sg_str(body), NULL), 0);
    v = sg_form_get(&f, name);
    if (expected == NULL)
        assert_null(v.ptr);
    else
        assert_true(sg_slice_eq(v, sg_str(expected)));
    sg_form_clear(&f);
}

static void
values_are_decoded(void **state)
{
    (void)state;
    assert_field("a=1&token=x&b=2", "token", "x");
    assert_field("token=s%3Aab.c%2B%2f%3D", "token", "s:ab.c+/=");
    assert_field("token=a+b%20c", "token", "a b c");
    assert_field("to%6Ben=x", "token", "x");
    assert_field("token=a=b", "token", "a=b");
    assert_field("&&token=x&", "token", "x");
    assert_field("token=%e2%82%ac", "token", "\xe2\x82\xac");
}

static void
what_is_absent_or_empty_is_omitted(void **state)
{
    (void)state;
    assert_field("", "token", NULL);
    assert_field("token=", "token", NULL);
    assert_field("token", "token", NULL);
    assert_field("Token=x", "token", NULL);
}

static void
assert_refused(const char *body, size_t len, const char *why)
{
    struct sg_form f;
    struct sg_err err;

    assert_int_equal(sg_form_parse(&f, sg_slice(body, len), &err), -1);
    assert_int_equal(err.code, SG_E_INVALID);
    assert_non_null(strstr(err.text, why));
    sg_form_clear(&f);
}

static void
what_is_broken_is_refused(void **state)
{
    static const char *const broken[] = {"a=%", "a=%4", "a=%zz", "%=a", "a=x%2", "a=%00", "a%00=b"};
    char many[256] = "";
    size_t i;

    (void)state;
    for (i = 0; i < sizeof broken / sizeof broken[0]; i++)
        assert_refused(broken[i], strlen(broken[i]), "form-urlencoded");
    assert_refused("a=1\0", 4, "form-urlencoded");
    assert_refused("a=1&b=2&%61=3", 13, "twice");
    assert_refused("a&a", 3, "twice");
    for (i = 0; i <= SG_FORM_FIELDS_MAX; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "f%zu=1&", i);
    assert_refused(many, strlen(many), "more than 16");
}

static void
only_targets_may_be_given_several_times(void **state)
{
    struct sg_form f;

    (void)state;
    assert_int_equal(sg_form_parse(&f, sg_str("resource=a&resource=&audience=x&resource=b"), NULL),
                     0);
    assert_true(sg_slice_eq(sg_form_nth(&f, "resource", 0), sg_str("a")));
    assert_true(sg_slice_eq(sg_form_nth(&f, "resource", 1), sg_str("b")));
    assert_null(sg_form_nth(&f, "resource", 2).ptr);
    assert_null(sg_form_nth(&f, "audience", 1).ptr);
    sg_form_clear(&f);
    assert_refused("scope=a&scope=b", 15, "twice");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_decoded),
        cmocka_unit_test(what_is_absent_or_empty_is_omitted),
        cmocka_unit_test(what_is_broken_is_refused),
        cmocka_unit_test(only_targets_may_be_given_several_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
