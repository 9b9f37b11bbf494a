/* SPDX-License-Identifier: MIT */
#include "store_env.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants the above first */
#include <cmocka.h>

/* The ownership fence (P7, rule 12), with the race forced: the writer stands in the fence while the
 * mover flips the bucket. */
#define BUCKET 5
#define FENCE_BOUND_MS 1000 /* within which a mover has the fence, whatever writes */

static struct store_env env;
static PGconn *mover; /* of the running test, if it has one open */

/* A test that failed may have left its mover holding the lock. */
static int
reset(void **state)
{
    (void)state;
    PQfinish(mover);
    mover = NULL;
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
    PQfinish(mover);
    env_stop(&env);
    return 0;
}

static void
must(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);

    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(c));
    PQclear(r);
}

static void
flip_in_open_transaction(void)
{
    mover = PQconnectdb(env.conninfo[0]);
    must(mover, "BEGIN");
    must(mover, "SELECT segue.fence_exclusive(5)");
    must(mover, "UPDATE segue.bucket_owner SET owned = false WHERE bucket = 5");
}

static void
finish(const char *how)
{
    must(mover, how);
    PQfinish(mover);
    mover = NULL;
}

static long
waiting(void)
{
    return env_sql(&env, 0,
                   "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
}

/* Turns the loop until somebody waits for an advisory lock, and whoever else will does, too: a
 * batch may also stand in the pipeline behind another one. */
static void
until_waiting(void)
{
    int i;

    for (i = 0; waiting() == 0; i++) {
        if (i > 200)
            fail_msg("nobody waits in the fence");
        test_run_for(&env.loop, 10);
    }
    test_run_for(&env.loop, 100);
}

static void
a_write_that_waits_while_its_bucket_moves_away_is_refused(void **state)
{
    enum { WRITERS = 4 };                       /* as many as there are connections */
    static struct sg_session_row rows[WRITERS]; /* outlive a test that fails half-way */
    static struct env_call calls[WRITERS];
    int i;

    (void)state;
    for (i = 0; i < WRITERS; i++) { /* every statement is prepared on every connection */
        rows[i] = env_session(i, BUCKET + 1);
        calls[i] = (struct env_call){0};
        sg_store_put_sessions(env.store, &rows[i], 1, env_deadline(10000), env_done, &calls[i]);
    }
    for (i = 0; i < WRITERS; i++)
        if (!calls[i].done)
            assert_int_equal(env_wait(&env, &calls[i]), 0);

    flip_in_open_transaction();
    for (i = 0; i < WRITERS; i++) {
        rows[i] = env_session(i, BUCKET);
        calls[i] = (struct env_call){0};
        sg_store_put_sessions(env.store, &rows[i], 1, env_deadline(10000), env_done, &calls[i]);
    }
    until_waiting();
    finish("COMMIT");
    for (i = 0; i < WRITERS; i++) {
        if (!calls[i].done)
            env_wait(&env, &calls[i]);
        assert_int_equal(calls[i].rc, -1);
        assert_int_equal(calls[i].err.code, SG_E_NOT_OWNER);
    }
    assert_int_equal(
        env_sql(&env, 0, "SELECT count(*) FROM segue.session WHERE bucket = %d", BUCKET), 0);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.session"), WRITERS);
}

static void
a_write_that_waits_for_a_mover_who_gives_up_goes_on(void **state)
{
    static struct sg_session_row row;
    static struct env_call call;

    (void)state;
    row = env_session(1, BUCKET);
    flip_in_open_transaction();
    sg_store_put_sessions(env.store, &row, 1, env_deadline(10000), env_done, &call);
    until_waiting();
    finish("ROLLBACK");
    assert_int_equal(env_wait(&env, &call), 0);
    assert_true(row.live);
}

/* The same race with a fence that takes the lock and reads the ownership in one statement: its
 * snapshot is older than the lock, and the stale write lands. So the test above can fail. */
static void
a_fence_of_one_statement_would_let_the_stale_write_through(void **state)
{
    PGconn *writer = PQconnectdb(env.conninfo[0]);
    PGresult *r;

    (void)state;
    must(writer, "CREATE FUNCTION pg_temp.fence(b integer) RETURNS void LANGUAGE plpgsql AS $$ "
                 "DECLARE yes boolean; BEGIN "
                 "SELECT o.owned INTO yes FROM (SELECT pg_advisory_xact_lock_shared(1397048071, b) "
                 "OFFSET 0) AS l, segue.bucket_owner AS o WHERE o.bucket = b; "
                 "IF NOT yes THEN RAISE EXCEPTION 'not owned' USING ERRCODE = 'SG001'; END IF; "
                 "END $$");
    flip_in_open_transaction();
    assert_int_equal(PQsendQuery(writer, "SELECT pg_temp.fence(5); INSERT INTO segue.subject "
                                         "(realm, bucket, subject) VALUES ('main', 5, 'stale')"),
                     1);
    until_waiting();
    finish("COMMIT");
    while ((r = PQgetResult(writer)) != NULL) {
        assert_true(PQresultStatus(r) == PGRES_TUPLES_OK || PQresultStatus(r) == PGRES_COMMAND_OK);
        PQclear(r);
    }
    PQfinish(writer);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.subject WHERE bucket = 5"), 1);
}

/* ---- under load ---- */

#define WRITERS 32

struct writer {
    pthread_t thread;
    int number;
    long written;
    bool refused;
};

static atomic_bool give_up;

/* Writes its own row as fast as it can until the fence refuses it. */
static void *
hammer(void *arg)
{
    struct writer *w = arg;
    PGconn *c = PQconnectdb(env.conninfo[0]);
    char sql[512];
    PGresult *r;

    snprintf(sql, sizeof sql,
             "SELECT segue.fence('{%d}'); INSERT INTO segue.subject AS s (realm, bucket, subject) "
             "VALUES ('main', %d, 'w%d') ON CONFLICT (realm, bucket, subject) DO UPDATE SET epoch "
             "= s.epoch + 1",
             BUCKET, BUCKET, w->number);
    while (!w->refused && !atomic_load(&give_up)) {
        const char *state;

        r = PQexec(c, sql);
        state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
        if (PQresultStatus(r) == PGRES_COMMAND_OK)
            w->written++;
        else if (state != NULL && strcmp(state, "SG001") == 0)
            w->refused = true;
        else
            atomic_store(&give_up, true);
        PQclear(r);
    }
    PQfinish(c);
    return NULL;
}

static long
sum_written(PGconn *c)
{
    PGresult *r =
        PQexec(c, "SELECT coalesce(sum(epoch + 1), 0) FROM segue.subject WHERE bucket = 5");
    long n = strtol(PQgetvalue(r, 0, 0), NULL, 10);

    PQclear(r);
    return n;
}

static void
the_fence_is_had_in_time_under_thirty_two_writers_and_none_writes_after_it(void **state)
{
    enum { ROUNDS = 3 };
    struct writer writers[WRITERS];
    int round, i, worst_us = 0, us;
    long at_flip, written;
    uint64_t from;

    (void)state;
    mover = PQconnectdb(env.conninfo[0]);
    for (round = 0; round < ROUNDS; round++) {
        env_reset(&env);
        atomic_store(&give_up, false);
        memset(writers, 0, sizeof writers);
        for (i = 0; i < WRITERS; i++) {
            writers[i].number = i;
            assert_int_equal(pthread_create(&writers[i].thread, NULL, hammer, &writers[i]), 0);
        }
        for (i = 0; i < 500 && env_sql(&env, 0, "SELECT count(*) FROM segue.subject") < WRITERS;
             i++)
            test_sleep_ms(20);
        test_sleep_ms(200);

        must(mover, "BEGIN");
        from = uv_hrtime();
        must(mover, "SELECT segue.fence_exclusive(5)");
        us = (int)((uv_hrtime() - from) / 1000);
        worst_us = us > worst_us ? us : worst_us;
        must(mover, "UPDATE segue.bucket_owner SET owned = false WHERE bucket = 5");
        at_flip = sum_written(mover);
        must(mover, "COMMIT");
        for (written = i = 0; i < WRITERS; i++) {
            pthread_join(writers[i].thread, NULL);
            assert_true(writers[i].refused);
            assert_true(writers[i].written > 0);
            written += writers[i].written;
        }
        assert_int_equal(written, at_flip);
        assert_int_equal(sum_written(mover), at_flip);
    }
    print_message("# fence had within %d us at most, %ld writes before the last flip\n", worst_us,
                  at_flip);
    assert_in_range(worst_us, 0, FENCE_BOUND_MS * 1000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_write_that_waits_while_its_bucket_moves_away_is_refused, reset),
        cmocka_unit_test_setup(a_write_that_waits_for_a_mover_who_gives_up_goes_on, reset),
        cmocka_unit_test_setup(a_fence_of_one_statement_would_let_the_stale_write_through, reset),
        cmocka_unit_test_setup(
            the_fence_is_had_in_time_under_thirty_two_writers_and_none_writes_after_it, reset),
    };

    return cmocka_run_group_tests_name("fence", tests, start, stop);
}
