/* SPDX-License-Identifier: MIT */
/* Rule 11 as PostgreSQL keeps it: what is written of a session, in any order, in any batches and
 * however often, leaves one row; and the ended stay ended (P2). */
#include "prop.h"
#include "store_env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* cmocka.h wants those above first */
#include <cmocka.h>

#define FACTS 6
#define BUCKET 77
#define HOUR INT64_C(3600000)

static struct store_env env;

static int
start(void **state)
{
    (void)state;
    env_start(&env);
    return 0;
}

static int
stop(void **state)
{
    (void)state;
    env_stop(&env);
    return 0;
}

static struct sg_session_row
random_fact(int64_t source_ms)
{
    struct sg_session_row r = env_session(1, BUCKET);

    r.exp_source_in_ms = prop_below(2) ? source_ms : -1;
    r.seen_in_source = r.exp_source_in_ms >= 0;
    r.exp_segue_in_ms = prop_below(2) ? (1 + prop_below(5)) * HOUR : -1;
    r.exp_absolute_in_ms = 100 * HOUR;
    r.jwt_until_in_ms = prop_below(3) == 0 ? (1 + prop_below(5)) * HOUR : -1;
    r.idle_ms = HOUR;
    r.mark_dirty = prop_below(2) == 0;
    return r;
}

/* Writes all facts in a random order, in batches of random size, some twice; the end somewhere
 * among them if there is one. */
static void
write_all(int number, const struct sg_session_row *facts, bool end)
{
    int order[FACTS], i, j, k, ended_at = end ? prop_below(FACTS + 1) : -1;

    for (i = 0; i < FACTS; i++)
        order[i] = i;
    for (i = FACTS - 1; i > 0; i--) {
        j = prop_below(i + 1);
        k = order[i];
        order[i] = order[j];
        order[j] = k;
    }
    for (i = 0; i < FACTS;) {
        struct sg_session_row batch[2 * FACTS];
        struct sg_session_row own = env_session(number, BUCKET);
        int n = 1 + prop_below(FACTS - i), rows = 0;

        if (ended_at >= 0 && ended_at <= i) {
            struct sg_end_row over = env_end(number, BUCKET);

            assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, &over, 1), 0);
            ended_at = prop_below(3) ? -1 : FACTS; /* now and then a second time, at the end */
        }
        for (j = 0; j < n; j++, i++)
            for (k = 1 + (prop_below(4) == 0); k > 0; k--) {
                batch[rows] = facts[order[i]];
                memcpy(batch[rows].sid, own.sid, sizeof own.sid);
                memcpy(batch[rows].store_digest, own.store_digest, sizeof own.store_digest);
                batch[rows++].subject = own.subject;
            }
        assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, batch, rows), 0);
        if (prop_below(4) == 0) /* as after a crash before the answer */
            assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, batch, rows), 0);
    }
    if (ended_at >= 0) {
        struct sg_end_row over = env_end(number, BUCKET);

        assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, &over, 1), 0);
    }
}

/* Every batch is seconds at most from the other sequence's; facts are hours apart. */
static long
differing(void)
{
    return env_sql(
        &env, 0,
        "SELECT count(*) FROM segue.session a, segue.session b WHERE a.subject = 'u1' AND "
        "b.subject = 'u2' AND (abs(extract(epoch FROM coalesce(a.exp_segue, 'epoch') - "
        "coalesce(b.exp_segue, 'epoch'))) > 600 OR abs(extract(epoch FROM coalesce(a.jwt_until, "
        "'epoch') - coalesce(b.jwt_until, 'epoch'))) > 600 OR abs(extract(epoch FROM "
        "coalesce(a.exp_source, 'epoch') - coalesce(b.exp_source, 'epoch'))) > 600 OR "
        "abs(extract(epoch FROM a.exp_absolute - b.exp_absolute)) > 600 OR (a.jwt_first_at IS "
        "NULL) <> (b.jwt_first_at IS NULL) OR (a.ended_at IS NULL) <> (b.ended_at IS NULL) OR "
        "a.idle_ms <> b.idle_ms OR a.origin <> b.origin)");
}

static void
any_order_batching_and_repetition_leaves_one_row(void **state)
{
    int round, n = prop_rounds(20);

    (void)state;
    for (round = 0; round < n; round++) {
        struct sg_session_row facts[FACTS];
        int64_t source_ms =
            (1 + prop_below(5)) * HOUR; /* what the source says stays the same meanwhile */
        int i;

        env_reset(&env);
        for (i = 0; i < FACTS; i++)
            facts[i] = random_fact(source_ms);
        write_all(1, facts, false);
        write_all(2, facts, false);
        assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.session"), 2);
        assert_int_equal(differing(), 0);
    }
}

static void
the_ended_stay_ended_wherever_the_end_comes(void **state)
{
    int round, n = prop_rounds(20);

    (void)state;
    for (round = 0; round < n; round++) {
        struct sg_session_row facts[FACTS];
        int i;

        env_reset(&env);
        for (i = 0; i < FACTS; i++)
            facts[i] = random_fact(HOUR);
        write_all(1, facts, true);
        assert_int_equal(
            env_sql(&env, 0, "SELECT count(*) FROM segue.session WHERE ended_at IS NOT NULL"), 1);
        assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.session"), 1);
        /* told once: a second end is no news */
        assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.revocation"), 1);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_batching_and_repetition_leaves_one_row),
        cmocka_unit_test(the_ended_stay_ended_wherever_the_end_comes),
    };

    prop_seed();
    return cmocka_run_group_tests(tests, start, stop);
}
