/* SPDX-License-Identifier: MIT */
#include "store_env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants the above first */
#include <cmocka.h>

/* Chunks of a transfer, and what is swept away. */
static struct store_env env;

static int
reset(void **state)
{
    (void)state;
    env_reset(&env);
    return 0;
}

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

/* ---- chunks ---- */

static struct sg_reject_row
reject(int number, int bucket)
{
    struct sg_reject_row r = {.realm = REALM,
                              .bucket = bucket,
                              .key_sealed = sg_str("key"),
                              .value_sealed = sg_str("value"),
                              .reason = "not JSON",
                              .place = "byte 3"};

    env_digest(r.key_digest, number);
    return r;
}

static long
ledger(const char *column)
{
    return env_sql(&env, 0, "SELECT coalesce(sum(%s), 0) FROM segue.transfer_ledger", column) +
           env_sql(&env, 1, "SELECT coalesce(sum(%s), 0) FROM segue.transfer_ledger", column);
}

static int
put_chunk(struct sg_chunk *chunk)
{
    struct env_call call = {0};

    sg_store_put_chunk(env.store, chunk, env_deadline(10000), env_done, &call);
    return env_wait(&env, &call);
}

static void
a_chunk_is_counted_once_however_often_it_is_done(void **state)
{
    struct sg_session_row s[3] = {env_session(1, 5), env_session(2, 4000), env_session(3, 6)};
    struct sg_reject_row r[2] = {reject(4, 9), reject(5, 3000)};
    const int places[3] = {3000, 7, 6}; /* digests lie elsewhere than subjects */
    struct sg_chunk chunk = {.realm = REALM,
                             .job = 1,
                             .chunk = 1,
                             .sessions = s,
                             .session_ledger_bucket = places,
                             .n_sessions = 3,
                             .rejects = r,
                             .n_rejects = 2};

    (void)state;
    s[2].subject = "";
    assert_int_equal(put_chunk(&chunk), 0);
    assert_true(s[0].live && s[1].live && s[2].live);
    assert_int_equal(ledger("stored"), 3);
    assert_int_equal(ledger("rejected"), 2);
    assert_int_equal(ledger("anonymous"), 1);
    assert_int_equal(env_sql(&env, 1, "SELECT stored FROM segue.transfer_ledger"), 1);

    s[0].bucket = 4001; /* done again; meanwhile its subject is another one, on another shard */
    assert_int_equal(put_chunk(&chunk), 0);
    assert_int_equal(ledger("stored"), 3);
    assert_int_equal(ledger("rejected"), 2);

    env_digest(s[0].store_digest, 4); /* the first reject can be read now */
    chunk.chunk = 2;
    chunk.n_sessions = 1;
    chunk.n_rejects = 0;
    chunk.session_ledger_bucket = (const int[]){9};
    assert_int_equal(put_chunk(&chunk), 0);
    assert_int_equal(
        env_sql(&env, 0, "SELECT count(*) FROM segue.reject WHERE resolved_at IS NULL"), 0);
    assert_int_equal(
        env_sql(&env, 1, "SELECT count(*) FROM segue.reject WHERE resolved_at IS NULL"), 1);
    assert_int_equal(env_sql(&env, 1,
                             "SELECT convert_from(value_sealed, 'UTF8') = 'value' FROM "
                             "segue.reject"),
                     1);
}

static void
nothing_is_counted_before_it_is_stored(void **state)
{
    struct sg_session_row s = env_session(1, 4000);
    struct sg_chunk chunk = {.realm = REALM,
                             .job = 1,
                             .chunk = 1,
                             .sessions = &s,
                             .session_ledger_bucket = (const int[]){5},
                             .n_sessions = 1};

    (void)state;
    env_sql(&env, 1, "UPDATE segue.bucket_owner SET owned = false WHERE bucket = 4000");
    assert_int_equal(put_chunk(&chunk), -1);
    assert_int_equal(env.err.code, SG_E_NOT_OWNER);
    assert_int_equal(ledger("1"), 0);
}

/* ---- sweeping ---- */

static void
the_sweeper_deletes_what_is_old_and_nothing_else(void **state)
{
    struct sg_session_row s[4] = {env_session(1, 5), env_session(2, 5), env_session(3, 4000),
                                  env_session(4, 4000)};
    struct sg_end_row e[2] = {env_end(1, 5), env_end(3, 4000)};
    struct sg_sweep sweep = {
        .realm = REALM, .feed_keep_ms = 3600000, .ended_keep_ms = 3600000, .ref_keep_ms = 3600000};
    int steps = 0;

    (void)state;
    s[0].mark_dirty = true;
    s[1].exp_source_in_ms = 1;
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, s, 4), 0);
    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, e, 2), 0);
    for (sweep.bucket = 0; sweep.bucket < SG_BUCKETS; steps++) {
        assert_int_equal(ENV_CALL(&env, sg_store_sweep, &sweep), 0);
        assert_int_equal(sweep.deleted, 0);
    }
    assert_int_equal(steps, SG_BUCKETS / 64);
    test_sleep_ms(30);
    sweep.feed_keep_ms = sweep.ended_keep_ms = 10;
    for (sweep.bucket = 0; sweep.bucket < SG_BUCKETS;)
        assert_int_equal(ENV_CALL(&env, sg_store_sweep, &sweep), 0);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.session"), 0);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.outbox"), 0);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.revocation"), 0);
    assert_int_equal(env_sql(&env, 1, "SELECT count(*) FROM segue.session"), 1);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.token_ref"), 1);
    sweep.ref_keep_ms = 10;
    sweep.bucket = 0;
    assert_int_equal(ENV_CALL(&env, sg_store_sweep, &sweep), 0);
    assert_int_equal(sweep.deleted, 1);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.token_ref"), 0);
}

static void
an_end_that_the_legacy_store_was_not_told_is_kept(void **state)
{
    struct sg_session_row s[2] = {env_session(1, 5), env_session(2, 5)};
    struct sg_end_row e[2] = {env_end(1, 5), env_end(2, 5)};
    struct sg_sweep sweep = {
        .realm = REALM, .feed_keep_ms = 10, .ended_keep_ms = 10, .ref_keep_ms = 10, .mirror = true};

    (void)state;
    e[0].mirror = true;
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, s, 2), 0);
    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, e, 2), 0);
    test_sleep_ms(30);
    assert_int_equal(ENV_CALL(&env, sg_store_sweep, &sweep), 0);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.session WHERE subject = 'u1'"),
                     1);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.session"), 1);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.outbox"), 1);
    sweep.mirror = false; /* finalized: nobody is told any more */
    sweep.bucket = 0;
    assert_int_equal(ENV_CALL(&env, sg_store_sweep, &sweep), 0);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.session"), 0);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.outbox"), 0);
}

static void
a_step_of_the_sweeper_is_bounded(void **state)
{
    struct sg_sweep sweep = {
        .realm = REALM, .feed_keep_ms = 3600000, .ended_keep_ms = 3600000, .ref_keep_ms = 3600000};

    (void)state;
    env_sql(&env, 0,
            "INSERT INTO segue.revocation (realm, bucket, kind, at) SELECT '" REALM
            "', 5, 'session', now() - interval '2 h' FROM generate_series(1, 1500)");
    assert_int_equal(ENV_CALL(&env, sg_store_sweep, &sweep), 0);
    assert_int_equal(sweep.deleted, 1000);
    assert_int_equal(sweep.bucket, 0);
    assert_int_equal(ENV_CALL(&env, sg_store_sweep, &sweep), 0);
    assert_int_equal(sweep.deleted, 500);
    assert_int_equal(sweep.bucket, 64);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_chunk_is_counted_once_however_often_it_is_done, reset),
        cmocka_unit_test_setup(nothing_is_counted_before_it_is_stored, reset),
        cmocka_unit_test_setup(the_sweeper_deletes_what_is_old_and_nothing_else, reset),
        cmocka_unit_test_setup(an_end_that_the_legacy_store_was_not_told_is_kept, reset),
        cmocka_unit_test_setup(a_step_of_the_sweeper_is_bounded, reset),
    };

    return cmocka_run_group_tests_name("store_chunk", tests, start, stop);
}
