/* SPDX-License-Identifier: MIT */
/* The rollout: sticky, monotone, even; and what no phase may do (P6). */
#include "policy/policy.h"
#include "prop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* cmocka.h wants the two above first */
#include <cmocka.h>

static struct sg_slice
random_subject(char out[40])
{
    static const char *const forms[] = {"%llu", "user-%llu", "%016llx", "u%llu@example.org"};

    snprintf(out, 40, forms[prop_below(4)], (unsigned long long)(prop_next() >> prop_below(60)));
    return sg_str(out);
}

static struct sg_policy
exchange_at(int percent_e2)
{
    return (struct sg_policy){.version = 7, .phase = SG_EXCHANGE, .percent_e2 = percent_e2};
}

static bool
is_in(const struct sg_policy *p, struct sg_slice realm, struct sg_slice subject)
{
    return sg_may_mint_first(p, true, realm, subject, NULL, 0, 0);
}

static void
a_growing_percentage_only_adds_subjects(void **state)
{
    int i, n = prop_rounds(5000);
    char name[40];

    (void)state;
    for (i = 0; i < n; i++) {
        struct sg_slice subject = random_subject(name);
        int a = prop_below(SG_PERCENT_ALL + 1), b = prop_below(SG_PERCENT_ALL + 1);
        struct sg_policy small = exchange_at(a < b ? a : b), big = exchange_at(a < b ? b : a);
        struct sg_policy none = exchange_at(0), all = exchange_at(SG_PERCENT_ALL);

        if (is_in(&small, sg_str("main"), subject))
            assert_true(is_in(&big, sg_str("main"), subject));
        assert_false(is_in(&none, sg_str("main"), subject));
        assert_true(is_in(&all, sg_str("main"), subject));
    }
}

static void
a_subject_s_place_depends_on_realm_and_subject_alone(void **state)
{
    int i, same = 0, n = prop_rounds(5000);
    char name[40];

    (void)state;
    for (i = 0; i < n; i++) {
        struct sg_slice subject = random_subject(name);
        int slot = sg_rollout_slot(sg_str("main"), subject);
        struct sg_policy p = exchange_at(slot), q = exchange_at(slot + 1);

        assert_in_range(slot, 0, SG_PERCENT_ALL - 1);
        assert_int_equal(slot, sg_rollout_slot(sg_str("main"), subject));
        /* exactly from its own slot on, whatever else the policy says */
        p.version = (int64_t)(prop_next() >> 1) | 1;
        p.realm_epoch = prop_below(9);
        p.phase_entered_ms = (int64_t)(prop_next() >> 20);
        assert_false(is_in(&p, sg_str("main"), subject));
        assert_true(is_in(&q, sg_str("main"), subject));
        same += slot == sg_rollout_slot(sg_str("other"), subject);
    }
    assert_true(same < n / 100); /* another realm draws anew: 1 in 10,000 is due */
}

/* Chi-square over 100 cells of 1 %, 99 degrees of freedom: mean 99, standard deviation 14.07. More
 * than 99 + 6 x 14.07 comes by chance about once in ten million runs (the tail is a little heavier
 * than the normal's). Sequential ids are what user tables hold. */
static void
subjects_are_spread_evenly(void **state)
{
    static const char *const forms[] = {"%d", "user%d", "%08x"};
    int f, i, base = prop_below(1 << 24), n = prop_rounds(20000);

    (void)state;
    for (f = 0; f < 3; f++) {
        int cells[100] = {0};
        double chi = 0, due = n / 100.0;
        char name[40];

        for (i = 0; i < n; i++) {
            snprintf(name, sizeof name, forms[f], base + i);
            cells[sg_rollout_slot(sg_str("main"), sg_str(name)) / 100]++;
        }
        for (i = 0; i < 100; i++)
            chi += (cells[i] - due) * (cells[i] - due) / due;
        if (chi > 99 + 6 * 14.07)
            fail_msg("form %s from %d: chi-square %.1f", forms[f], base, chi);
    }
}

/* ---- the phase table ---- */

static void
nothing_is_handed_over_without_a_lease_or_a_policy(void **state)
{
    const char *role = "editor";
    int i, n = prop_rounds(5000);
    char name[40];

    (void)state;
    for (i = 0; i < n; i++) {
        struct sg_policy p = {.version = 1 + prop_below(5),
                              .phase = (enum sg_phase)prop_below(SG_FINALIZED + 1),
                              .percent_e2 = prop_below(SG_PERCENT_ALL + 1),
                              .n_cohorts = 1,
                              .cohorts = {"editor"}};
        struct sg_slice subject = random_subject(name);

        assert_false(
            sg_may_mint_first(&p, false, sg_str("main"), subject, &role, 1, INT64_MAX / 2));
        p.version = 0;
        assert_false(sg_may_mint_first(&p, true, sg_str("main"), subject, &role, 1, INT64_MAX / 2));
    }
}

static void
observe_hands_nothing_over_and_each_phase_hands_over_no_less_than_the_one_before(void **state)
{
    int i, phase, n = prop_rounds(5000);
    char name[40];

    (void)state;
    for (i = 0; i < n; i++) {
        struct sg_slice subject = random_subject(name);
        struct sg_policy p = {.version = 1, .percent_e2 = SG_PERCENT_ALL, .phase_entered_ms = 1000};
        int64_t seen = prop_below(2000);
        bool before = false;

        for (phase = SG_OBSERVE; phase <= SG_FINALIZED; phase++) {
            bool now;

            p.phase = (enum sg_phase)phase;
            now = sg_may_mint_first(&p, true, sg_str("main"), subject, NULL, 0, seen);
            assert_true(now || !before);
            if (phase == SG_OBSERVE)
                assert_false(now);
            if (phase == SG_DUAL)
                assert_int_equal(now, seen >= 1000);
            if (phase >= SG_EXCHANGE)
                assert_true(now);
            before = now;
        }
    }
}

/* A phase governs minting. That none can refuse a JWT follows from the table having no column for
 * it; what a client that holds only a JWT needs on the way back is there instead. */
static void
no_phase_that_can_be_left_strands_a_client_that_holds_only_a_jwt(void **state)
{
    int from, to;

    (void)state;
    for (from = SG_OBSERVE; from <= SG_FINALIZED; from++) {
        const struct sg_phase_rules *r = sg_phase_rules((enum sg_phase)from);

        if (from < SG_FINALIZED) {
            assert_true(r->inject_legacy);
            assert_true(r->accept_legacy);
            assert_true(r->mirror);
        }
        assert_int_equal(r->legacy_is_truth, from <= SG_EXCHANGE);
        assert_int_equal(r->shadow_mint, from == SG_OBSERVE);
        for (to = SG_OBSERVE; to <= SG_FINALIZED; to++) {
            struct sg_err err;
            bool allowed = sg_phase_check_step((enum sg_phase)from, (enum sg_phase)to, &err) == 0;

            assert_int_equal(allowed, from != SG_FINALIZED && to <= from + 1);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_growing_percentage_only_adds_subjects),
        cmocka_unit_test(a_subject_s_place_depends_on_realm_and_subject_alone),
        cmocka_unit_test(subjects_are_spread_evenly),
        cmocka_unit_test(nothing_is_handed_over_without_a_lease_or_a_policy),
        cmocka_unit_test(
            observe_hands_nothing_over_and_each_phase_hands_over_no_less_than_the_one_before),
        cmocka_unit_test(no_phase_that_can_be_left_strands_a_client_that_holds_only_a_jwt),
    };

    prop_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
