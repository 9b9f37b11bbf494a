/* SPDX-License-Identifier: MIT */
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
/* cmocka.h wants the three above first */
#include <cmocka.h>

static void
phases_have_names_that_are_read_back(void **state)
{
    enum sg_phase phase = SG_DUAL;
    struct sg_err err;
    int i;

    (void)state;
    for (i = SG_OBSERVE; i <= SG_FINALIZED; i++) {
        assert_int_equal(sg_phase_parse(sg_str(sg_phase_name((enum sg_phase)i)), &phase, &err), 0);
        assert_int_equal(phase, i);
    }
    phase = SG_DUAL;
    assert_int_equal(sg_phase_parse(sg_str("Observe"), &phase, &err), -1);
    assert_int_equal(sg_phase_parse(sg_str(""), &phase, &err), -1);
    assert_int_equal(sg_phase_parse(sg_slice("observed", 8), &phase, &err), -1);
    assert_int_equal(phase, SG_DUAL);
    assert_non_null(strstr(err.text, "expected observe, dual, exchange, stateless or finalized"));
}

static void
a_step_forward_is_one_phase_and_the_refusal_names_it(void **state)
{
    struct sg_err err;

    (void)state;
    assert_int_equal(sg_phase_check_step(SG_OBSERVE, SG_DUAL, &err), 0);
    assert_int_equal(sg_phase_check_step(SG_STATELESS, SG_OBSERVE, &err), 0);
    assert_int_equal(sg_phase_check_step(SG_EXCHANGE, SG_EXCHANGE, &err), 0);
    assert_int_equal(sg_phase_check_step(SG_OBSERVE, SG_STATELESS, &err), -1);
    assert_int_equal(err.code, SG_E_DENIED);
    assert_non_null(strstr(err.text, "from observe the next phase is dual, not stateless"));
    assert_int_equal(sg_phase_check_step(SG_FINALIZED, SG_STATELESS, &err), -1);
    assert_int_equal(sg_phase_check_step(SG_FINALIZED, SG_FINALIZED, &err), -1);
}

static bool
may(const struct sg_policy *p, bool lease, const char *role, int64_t seen)
{
    return sg_may_mint_first(p, lease, sg_str("main"), sg_str("42"), &role, role != NULL, seen);
}

static void
a_cohort_is_in_whatever_the_percentage(void **state)
{
    struct sg_policy p = {.version = 1,
                          .phase = SG_EXCHANGE,
                          .phase_entered_ms = 1000,
                          .n_cohorts = 2,
                          .cohorts = {"editor", "admin"}};

    (void)state;
    assert_true(may(&p, true, "admin", 0));
    assert_false(may(&p, true, "administrator", 0));
    assert_false(may(&p, true, NULL, 0));
    assert_false(may(&p, false, "admin", 0));
    p.phase = SG_OBSERVE;
    assert_false(may(&p, true, "admin", 0));
    p.phase = SG_DUAL;
    assert_false(may(&p, true, "admin", 0));
}

static void
dual_hands_over_to_sessions_first_seen_in_it(void **state)
{
    struct sg_policy p = {.version = 1, .phase = SG_DUAL, .phase_entered_ms = 5000};

    (void)state;
    assert_false(may(&p, true, NULL, 4999));
    assert_true(may(&p, true, NULL, 5000));
    p.phase = SG_EXCHANGE; /* from here on the rollout decides */
    assert_false(may(&p, true, NULL, 5000));
}

/* Computed by another program from the definition: the first 32 bits of SHA-256 over
 * "segue/rollout/1", realm and subject, each after its length, as a share of 10,000. A change would
 * throw every running rollout about. */
static void
slots_are_what_they_have_always_been(void **state)
{
    static const struct {
        const char *realm, *subject;
        int slot;
    } known[] = {
        {"main", "1", 4098},   {"main", "42", 4329},
        {"other", "42", 3753}, {"main", "user@example.org", 4878},
        {"main", "", 1117},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_int_equal(sg_rollout_slot(sg_str(known[i].realm), sg_str(known[i].subject)),
                         known[i].slot);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phases_have_names_that_are_read_back),
        cmocka_unit_test(a_step_forward_is_one_phase_and_the_refusal_names_it),
        cmocka_unit_test(a_cohort_is_in_whatever_the_percentage),
        cmocka_unit_test(dual_hands_over_to_sessions_first_seen_in_it),
        cmocka_unit_test(slots_are_what_they_have_always_been),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
