/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "session/attempts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants the above first */
#include <cmocka.h>

#define SECOND (1000 * SG_NS_PER_MS)
#define START (UINT64_C(1000) * SECOND)

static struct sg_attempts *attempts;

static int
start(void **state)
{
    (void)state;
    return sg_attempts_new(&attempts, NULL);
}

static int
stop(void **state)
{
    (void)state;
    sg_attempts_free(attempts);
    return 0;
}

/* 12 tries an address, 8 a login, 4 the two together, in two minutes. */
static struct sg_attempt
try_of(int login, int address)
{
    struct sg_attempt t = {
        .realm = "main",
        .limits = {.per_address = 12, .per_login = 8, .per_pair = 4, .window_ms = 120000}};

    memcpy(t.login.b, &login, sizeof login);
    memcpy(t.address, &address, sizeof address);
    return t;
}

static int64_t
take(int login, int address, uint64_t now)
{
    struct sg_attempt t = try_of(login, address);

    return sg_attempts_take(attempts, &t, now);
}

static void
a_pair_has_its_tries_and_then_one_each_thirty_seconds(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < 4; i++)
        assert_int_equal(take(1, 1, START), 0);
    assert_int_equal(take(1, 1, START), 30000);
    assert_int_equal(take(1, 1, START + 29 * SECOND), 1000);
    assert_int_equal(take(1, 1, START + 30 * SECOND), 0);
    assert_int_equal(take(1, 1, START + 30 * SECOND), 30000);
    for (i = 0; i < 4; i++)
        assert_int_equal(take(1, 1, START + 1000 * SECOND), 0);
}

static void
hammering_does_not_prolong_the_wait(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < 4; i++)
        assert_int_equal(take(1, 1, START), 0);
    for (i = 0; i < 1000; i++)
        assert_int_not_equal(take(1, 1, START + SECOND), 0);
    assert_int_equal(take(1, 1, START + 30 * SECOND), 0);
}

static void
an_address_is_limited_over_all_logins_and_a_login_over_all_addresses(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < 12; i++)
        assert_int_equal(take(100 + i, 2, START), 0);
    assert_int_equal(take(200, 2, START), 10000);
    assert_int_equal(take(200, 3, START), 0);
    for (i = 0; i < 8; i++)
        assert_int_equal(take(300, 100 + i, START), 0);
    assert_int_equal(take(300, 200, START), 15000);
}

static void
one_address_cannot_use_up_a_login(void **state)
{
    uint64_t now;
    int victim = 0;

    (void)state;
    /* for a day it takes each try it can have */
    for (now = START; now < START + 86400 * SECOND; now += 5 * SECOND) {
        (void)take(7, 1, now);
        if (now % (600 * SECOND) == 0)
            victim += take(7, 1000 + (int)(now / SECOND % 977), now) == 0;
    }
    assert_int_equal(victim, 144);
}

static void
where_a_login_succeeded_it_is_not_locked_out(void **state)
{
    struct sg_attempt home = try_of(9, 1), again;
    int i;

    (void)state;
    assert_int_equal(sg_attempts_take(attempts, &home, START), 0);
    sg_attempts_give_back(attempts, &home, true, START);
    for (i = 0; i < 8; i++)
        assert_int_equal(take(9, 100 + i, START), 0);
    assert_int_not_equal(take(9, 200, START), 0);
    for (i = 0; i < 4; i++) { /* its own tries are limited as any pair's */
        again = try_of(9, 1);
        assert_int_equal(sg_attempts_take(attempts, &again, START), 0);
        assert_false(again.login_paid);
    }
    assert_int_not_equal(take(9, 1, START), 0);
    again = try_of(9, 1);
    assert_int_equal(sg_attempts_take(attempts, &again, START + 31 * UINT64_C(86400) * SECOND), 0);
    assert_true(again.login_paid);
}

static void
a_success_gives_back_its_own_try_and_no_more(void **state)
{
    struct sg_attempt own = try_of(50, 1);
    int i;

    (void)state;
    for (i = 0; i < 11; i++)
        assert_int_equal(take(100 + i, 1, START), 0);
    for (i = 0; i < 20; i++) {
        assert_int_equal(sg_attempts_take(attempts, &own, START), 0);
        sg_attempts_give_back(attempts, &own, true, START);
    }
    assert_int_equal(take(111, 1, START), 0);
    assert_int_not_equal(take(112, 1, START), 0);
}

static void
realms_do_not_share_budgets(void **state)
{
    struct sg_attempt other = try_of(1, 1);
    int i;

    (void)state;
    for (i = 0; i < 4; i++)
        assert_int_equal(take(1, 1, START), 0);
    other.realm = "other";
    assert_int_equal(sg_attempts_take(attempts, &other, START), 0);
}

static void
a_flood_of_others_forgets_the_least_restricted_first(void **state)
{
    int i, limited = 0;

    (void)state;
    for (i = 0; i < 32; i++) /* 32 pairs that have no try left, at 32 addresses */
        while (take(i, i, START) == 0)
            ;
    for (i = 0; i < 150000; i++)
        (void)take(1000 + i, 1000 + i, START);
    for (i = 0; i < 32; i++)
        limited += take(i, i, START) > 0;
    assert_int_equal(limited, 32);
}

static void
addresses_are_read_as_proxies_write_them(void **state)
{
    uint8_t a[SG_ATTEMPTS_ADDRESS_BYTES], b[SG_ATTEMPTS_ADDRESS_BYTES];

    (void)state;
    assert_int_equal(sg_attempts_address("192.0.2.1", a), 0);
    assert_int_equal(sg_attempts_address("10.0.0.1, 192.0.2.1", b), 0);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(sg_attempts_address("::ffff:192.0.2.1", b), 0);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(sg_attempts_address("192.0.2.2", b), 0);
    assert_memory_not_equal(a, b, sizeof a);
    assert_int_equal(sg_attempts_address("2001:db8:1:2::1", a), 0);
    assert_int_equal(sg_attempts_address("2001:db8:1:2:3:4:5:6", b), 0);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(sg_attempts_address("2001:db8:1:3::1", b), 0);
    assert_memory_not_equal(a, b, sizeof a);
    assert_int_equal(sg_attempts_address("", b), -1);
    assert_int_equal(sg_attempts_address("unknown", b), -1);
    assert_int_equal(sg_attempts_address("192.0.2.1:80", b), -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pair_has_its_tries_and_then_one_each_thirty_seconds,
                                        start, stop),
        cmocka_unit_test_setup_teardown(hammering_does_not_prolong_the_wait, start, stop),
        cmocka_unit_test_setup_teardown(
            an_address_is_limited_over_all_logins_and_a_login_over_all_addresses, start, stop),
        cmocka_unit_test_setup_teardown(one_address_cannot_use_up_a_login, start, stop),
        cmocka_unit_test_setup_teardown(where_a_login_succeeded_it_is_not_locked_out, start, stop),
        cmocka_unit_test_setup_teardown(a_success_gives_back_its_own_try_and_no_more, start, stop),
        cmocka_unit_test_setup_teardown(realms_do_not_share_budgets, start, stop),
        cmocka_unit_test_setup_teardown(a_flood_of_others_forgets_the_least_restricted_first, start,
                                        stop),
        cmocka_unit_test_setup_teardown(addresses_are_read_as_proxies_write_them, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
