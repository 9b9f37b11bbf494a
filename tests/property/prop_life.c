/* SPDX-License-Identifier: MIT */
/* Rule 11: whatever order what is known of a session comes in, and however often, it comes to one
 * state. */
#include "policy/policy.h"
#include "prop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* cmocka.h wants the two above first */
#include <cmocka.h>

#define FACTS 12

/* Small numbers, so that ties and absences are frequent. A source that is read twice at one moment
 * may say two things. */
static struct sg_life
random_fact(void)
{
    struct sg_life l = {0};

    if (prop_below(2) == 0) {
        l.source_seen_ms = 1 + prop_below(4);
        l.exp_source_ms = 1 + prop_below(4);
    }
    if (prop_below(3) == 0)
        l.exp_segue_ms = 1 + prop_below(5);
    if (prop_below(4) == 0)
        l.exp_absolute_ms = 1 + prop_below(5);
    if (prop_below(6) == 0)
        l.ended_ms = 1 + prop_below(5);
    return l;
}

static void
assert_same(struct sg_life a, struct sg_life b)
{
    assert_int_equal(a.exp_source_ms, b.exp_source_ms);
    assert_int_equal(a.source_seen_ms, b.source_seen_ms);
    assert_int_equal(a.exp_segue_ms, b.exp_segue_ms);
    assert_int_equal(a.exp_absolute_ms, b.exp_absolute_ms);
    assert_int_equal(a.ended_ms, b.ended_ms);
}

static void
merging_is_commutative_associative_and_idempotent(void **state)
{
    struct sg_life none = {0};
    int i, n = prop_rounds(20000);

    (void)state;
    for (i = 0; i < n; i++) {
        struct sg_life a = random_fact(), b = random_fact(), c = random_fact();

        assert_same(sg_life_merge(a, b), sg_life_merge(b, a));
        assert_same(sg_life_merge(sg_life_merge(a, b), c), sg_life_merge(a, sg_life_merge(b, c)));
        assert_same(sg_life_merge(a, a), a);
        assert_same(sg_life_merge(a, none), a);
    }
}

static void
any_order_with_any_repetition_comes_to_one_state(void **state)
{
    int round, n = prop_rounds(2000);

    (void)state;
    for (round = 0; round < n; round++) {
        struct sg_life facts[FACTS], one = {0}, other = {0};
        int i, from, order[FACTS];

        for (i = 0; i < FACTS; i++) {
            facts[i] = random_fact();
            order[i] = i;
            one = sg_life_merge(one, facts[i]);
        }
        for (i = FACTS - 1; i > 0; i--) {
            int j = prop_below(i + 1), k = order[i];

            order[i] = order[j];
            order[j] = k;
        }
        for (i = 0; i < FACTS; i++) {
            other = sg_life_merge(other, facts[order[i]]);
            /* now and then something seen before comes again, as after a crash */
            for (from = prop_below(3); from > 0; from--)
                other = sg_life_merge(other, facts[order[prop_below(i + 1)]]);
        }
        assert_same(one, other);
    }
}

static void
the_ended_stay_ended_and_limits_only_shrink(void **state)
{
    int round, n = prop_rounds(2000);

    (void)state;
    for (round = 0; round < n; round++) {
        struct sg_life l = random_fact();
        int i;

        for (i = 0; i < FACTS; i++) {
            struct sg_life next = sg_life_merge(l, random_fact());

            if (l.ended_ms != 0)
                assert_true(next.ended_ms != 0 && next.ended_ms <= l.ended_ms);
            if (l.exp_absolute_ms != 0) {
                assert_true(next.exp_absolute_ms != 0 && next.exp_absolute_ms <= l.exp_absolute_ms);
                assert_true(sg_life_expires_ms(&next) <= next.exp_absolute_ms);
            }
            assert_true(next.exp_segue_ms >= l.exp_segue_ms);
            assert_true(next.source_seen_ms >= l.source_seen_ms);
            l = next;
        }
    }
}

static void
the_newest_word_of_the_source_stands_even_if_it_is_shorter(void **state)
{
    struct sg_life before = {.exp_source_ms = 900, .source_seen_ms = 10};
    struct sg_life after = {.exp_source_ms = 300, .source_seen_ms = 11}, both;

    (void)state;
    both = sg_life_merge(before, after);
    assert_int_equal(both.exp_source_ms, 300);
    both = sg_life_merge(after, before);
    assert_int_equal(both.exp_source_ms, 300);
    assert_int_equal(sg_life_expires_ms(&both), 300);
    both.exp_segue_ms = 500;
    assert_int_equal(sg_life_expires_ms(&both), 500);
    both.exp_absolute_ms = 400;
    assert_int_equal(sg_life_expires_ms(&both), 400);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merging_is_commutative_associative_and_idempotent),
        cmocka_unit_test(any_order_with_any_repetition_comes_to_one_state),
        cmocka_unit_test(the_ended_stay_ended_and_limits_only_shrink),
        cmocka_unit_test(the_newest_word_of_the_source_stands_even_if_it_is_shorter),
    };

    prop_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
