/* SPDX-License-Identifier: MIT */
#include "session/revoked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h wants those above first */
#include <cmocka.h>

static struct sg_revoked *set;

static int
fresh(void **state)
{
    (void)state;
    return sg_revoked_new(&set, NULL);
}

static int
gone(void **state)
{
    (void)state;
    sg_revoked_free(set);
    set = NULL;
    return 0;
}

static const uint8_t *
sid_of(int i)
{
    static uint8_t sid[16];

    /* All in one run of slots where the hash is the low bits: probing has to go on. */
    memset(sid, 0, sizeof sid);
    sid[8] = (uint8_t)i;
    sid[9] = (uint8_t)(i >> 8);
    sid[0] = (uint8_t)(i % 3);
    return sid;
}

static void
what_was_added_is_found_and_nothing_else(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < 3000; i++)
        assert_int_equal(sg_revoked_add_session(set, sid_of(i), 1000, NULL), 0);
    for (i = 0; i < 3000; i++)
        assert_true(sg_revoked_has_session(set, sid_of(i)));
    for (i = 3000; i < 6000; i++)
        assert_false(sg_revoked_has_session(set, sid_of(i)));
    assert_int_equal(sg_revoked_count(set), 3000);
}

static void
adding_again_keeps_the_later_end(void **state)
{
    (void)state;
    assert_int_equal(sg_revoked_add_session(set, sid_of(1), 2000, NULL), 0);
    assert_int_equal(sg_revoked_add_session(set, sid_of(1), 1000, NULL), 0);
    assert_int_equal(sg_revoked_count(set), 1);
    sg_revoked_purge(set, 1500);
    assert_true(sg_revoked_has_session(set, sid_of(1)));
    sg_revoked_purge(set, 2000);
    assert_false(sg_revoked_has_session(set, sid_of(1)));
}

static void
a_purge_forgets_what_is_over_and_keeps_the_rest(void **state)
{
    char name[16];
    int i;

    (void)state;
    for (i = 0; i < 600; i++) {
        snprintf(name, sizeof name, "u%d", i);
        assert_int_equal(sg_revoked_add_session(set, sid_of(i), i % 2 ? 100 : 300, NULL), 0);
        assert_int_equal(sg_revoked_add_subject(set, name, true, 1, 1, (struct sg_slice){0},
                                                (struct sg_slice){0}, (struct sg_slice){0},
                                                i % 2 ? 100 : 300, NULL),
                         0);
    }
    sg_revoked_purge(set, 200);
    assert_int_equal(sg_revoked_count(set), 600);
    for (i = 0; i < 600; i++) {
        snprintf(name, sizeof name, "u%d", i);
        assert_int_equal(sg_revoked_has_session(set, sid_of(i)), i % 2 == 0);
        assert_int_equal(sg_revoked_subject(set, sg_str(name)) != NULL, i % 2 == 0);
    }
}

static int
add(const char *subject, bool banned, int epoch, int64_t version, const char *roles)
{
    return sg_revoked_add_subject(set, subject, banned, epoch, version, sg_str(roles), sg_str("{}"),
                                  sg_str("{}"), 1000, NULL);
}

static void
of_a_subject_the_newer_version_and_the_higher_epoch_stand_in_any_order(void **state)
{
    const struct sg_revoked_subject *s;
    int order;

    (void)state;
    for (order = 0; order < 2; order++) {
        const char *name = order ? "a" : "b";

        assert_int_equal(order ? add(name, true, 3, 7, "{new}") : add(name, false, 5, 6, "{old}"),
                         0);
        assert_int_equal(order ? add(name, false, 5, 6, "{old}") : add(name, true, 3, 7, "{new}"),
                         0);
        s = sg_revoked_subject(set, sg_str(name));
        assert_non_null(s);
        assert_true(s->banned);
        assert_int_equal(s->epoch, 5);
        assert_int_equal(s->source_version, 7);
        assert_string_equal(s->roles, "{new}");
    }
    assert_null(sg_revoked_subject(set, sg_str("c")));
    assert_null(sg_revoked_subject(set, sg_str("")));
}

static void
a_ban_that_is_lifted_is_lifted(void **state)
{
    (void)state;
    assert_int_equal(add("a", true, 1, 5, "{}"), 0);
    assert_int_equal(add("a", false, 1, 6, "{user}"), 0);
    assert_false(sg_revoked_subject(set, sg_str("a"))->banned);
    assert_int_equal(sg_revoked_subject(set, sg_str("a"))->epoch, 1);
}

static void
at_the_bound_it_says_so_and_forgets_nothing(void **state)
{
    struct sg_err err = {0};
    uint8_t sid[16] = {0};
    uint32_t i;

    (void)state;
    for (i = 0; i < SG_REVOKED_SESSIONS_MAX; i++) {
        uint32_t spread = i * UINT32_C(2654435761);

        memcpy(sid, &spread, sizeof spread);
        assert_int_equal(sg_revoked_add_session(set, sid, 1000, &err), 0);
    }
    memset(sid, 0xff, sizeof sid);
    assert_int_equal(sg_revoked_add_session(set, sid, 1000, &err), -1);
    assert_int_equal(err.code, SG_E_LIMIT);
    assert_false(sg_revoked_has_session(set, sid));
    memset(sid, 0, sizeof sid);
    assert_true(sg_revoked_has_session(set, sid));
    sg_revoked_purge(set, 1000);
    assert_int_equal(sg_revoked_add_session(set, sid, 2000, &err), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_added_is_found_and_nothing_else, fresh, gone),
        cmocka_unit_test_setup_teardown(adding_again_keeps_the_later_end, fresh, gone),
        cmocka_unit_test_setup_teardown(a_purge_forgets_what_is_over_and_keeps_the_rest, fresh,
                                        gone),
        cmocka_unit_test_setup_teardown(
            of_a_subject_the_newer_version_and_the_higher_epoch_stand_in_any_order, fresh, gone),
        cmocka_unit_test_setup_teardown(a_ban_that_is_lifted_is_lifted, fresh, gone),
        cmocka_unit_test_setup_teardown(at_the_bound_it_says_so_and_forgets_nothing, fresh, gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
