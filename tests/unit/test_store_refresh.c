/* SPDX-License-Identifier: MIT */
#include "store_env.h"

#include <libpq-fe.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants the above first */
#include <cmocka.h>

/* Refresh tokens (rule 10). The session is number 1 in bucket 5; tokens are digests 100, 101, … */
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

static int
put_token(int number, int64_t expires_in_ms)
{
    struct sg_refresh_new t = {.realm = REALM,
                               .bucket = 5,
                               .client_id = "web",
                               .audience = "https://app.example.org https://api.example.org",
                               .scope = "read write",
                               .expires_in_ms = expires_in_ms};
    struct env_call call = {0};

    env_digest(t.digest, number);
    env_sid(t.sid, 1);
    env_sid(t.chain, 77);
    sg_store_put_refresh(env.store, &t, env_deadline(5000), env_done, &call);
    return env_wait(&env, &call);
}

static void
put_session(int64_t absolute_in_ms)
{
    struct sg_session_row s = env_session(1, 5);

    s.exp_absolute_in_ms = absolute_in_ms;
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, &s, 1), 0);
}

static struct sg_rotate
use(int number, int next, const char *sealed)
{
    struct sg_rotate r = {.realm = REALM,
                          .bucket = 5,
                          .client_id = "web",
                          .next_sealed = sg_str(sealed),
                          .grace_ms = 10000,
                          .lifetime_ms = 60000};

    env_digest(r.digest, number);
    env_digest(r.next_digest, next);
    return r;
}

static enum sg_rotation
rotate(struct sg_rotate *r)
{
    struct env_call call = {0};

    sg_buf_free(&r->successor_sealed);
    sg_store_rotate(env.store, r, env_deadline(5000), env_done, &call);
    assert_int_equal(env_wait(&env, &call), 0);
    return r->outcome;
}

static enum sg_rotation
rotate_once(int number, int next, int64_t grace_ms)
{
    struct sg_rotate r = use(number, next, "sealed");
    enum sg_rotation outcome;

    r.grace_ms = grace_ms;
    outcome = rotate(&r);
    sg_buf_free(&r.successor_sealed);
    return outcome;
}

static void
a_retry_within_the_grace_gets_the_same_successor(void **state)
{
    struct sg_rotate first = use(100, 101, "one"), second = use(100, 102, "two");
    uint8_t digest[SG_DIGEST_BYTES], sid[SG_SID_BYTES];

    (void)state;
    put_session(0);
    assert_int_equal(put_token(100, 60000), 0);
    assert_int_equal(put_token(100, 60000), 0); /* again: no harm */
    assert_int_equal(rotate(&first), SG_ROTATED);
    assert_int_equal(rotate(&second), SG_ROTATED_GRACE);
    env_digest(digest, 101);
    env_sid(sid, 1);
    assert_memory_equal(first.successor_digest, digest, sizeof digest);
    assert_memory_equal(second.successor_digest, digest, sizeof digest);
    assert_memory_equal(second.sid, sid, sizeof sid);
    assert_string_equal(second.audience, "https://app.example.org https://api.example.org");
    assert_true(sg_slice_eq(sg_buf_slice(&second.successor_sealed), sg_str("one")));
    assert_int_equal(rotate_once(101, 103, 10000), SG_ROTATED);
    sg_buf_free(&first.successor_sealed);
    sg_buf_free(&second.successor_sealed);
}

static void
a_use_after_the_grace_ends_the_chain(void **state)
{
    (void)state;
    put_session(0);
    assert_int_equal(put_token(100, 60000), 0);
    assert_int_equal(rotate_once(100, 101, 0), SG_ROTATED);
    test_sleep_ms(5);
    assert_int_equal(rotate_once(100, 102, 0), SG_ROTATE_REUSED);
    assert_int_equal(rotate_once(101, 103, 0), SG_ROTATE_ENDED);
    assert_int_equal(rotate_once(100, 104, 10000), SG_ROTATE_ENDED);
}

static void
the_grace_is_counted(void **state)
{
    int i;

    (void)state;
    put_session(0);
    assert_int_equal(put_token(100, 60000), 0);
    assert_int_equal(rotate_once(100, 101, 10000), SG_ROTATED);
    for (i = 0; i < 20; i++)
        assert_int_equal(rotate_once(100, 200 + i, 10000), SG_ROTATED_GRACE);
    env_sql(&env, 0, "UPDATE segue.refresh_token SET grace_uses = grace_uses + 979");
    assert_int_equal(rotate_once(100, 299, 10000), SG_ROTATED_GRACE);
    assert_int_equal(rotate_once(100, 300, 10000), SG_ROTATE_REUSED);
}

static void
a_token_of_another_client_or_nobody_is_unknown(void **state)
{
    struct sg_rotate r = use(100, 101, "x");

    (void)state;
    put_session(0);
    assert_int_equal(put_token(100, 60000), 0);
    r.client_id = "api";
    assert_int_equal(rotate(&r), SG_ROTATE_UNKNOWN);
    assert_int_equal(rotate_once(999, 101, 0), SG_ROTATE_UNKNOWN);
    assert_int_equal(rotate_once(100, 101, 0), SG_ROTATED); /* unharmed */
    sg_buf_free(&r.successor_sealed);
}

static void
an_expired_token_is_refused(void **state)
{
    (void)state;
    put_session(0);
    assert_int_equal(put_token(100, 1), 0);
    test_sleep_ms(10);
    assert_int_equal(rotate_once(100, 101, 10000), SG_ROTATE_EXPIRED);
}

static void
no_token_outlives_its_session(void **state)
{
    struct sg_end_row e = env_end(1, 5);

    (void)state;
    put_session(30000);
    assert_int_equal(put_token(100, 60000), 0);
    assert_int_equal(rotate_once(100, 101, 10000), SG_ROTATED);
    assert_int_equal(
        env_sql(&env, 0,
                "SELECT count(*) FROM segue.refresh_token AS t JOIN segue.session AS s "
                "USING (realm, bucket, sid) WHERE t.expires_at <= s.exp_absolute"),
        2);
    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, &e, 1), 0);
    assert_int_equal(rotate_once(101, 102, 10000), SG_ROTATE_ENDED);
    assert_int_equal(put_token(110, 60000), -1);
    assert_int_equal(env.err.code, SG_E_DENIED);
}

static void
a_session_idle_for_too_long_is_told_apart_and_loses_nothing(void **state)
{
    struct sg_session_row s = env_session(1, 5);
    struct sg_rotate r = use(100, 101, "x");
    uint8_t sid[SG_SID_BYTES];

    (void)state;
    s.exp_source_in_ms = 1;
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, &s, 1), 0);
    assert_int_equal(put_token(100, 60000), 0);
    test_sleep_ms(10);
    assert_int_equal(rotate(&r), SG_ROTATE_LAPSED);
    env_sid(sid, 1);
    assert_memory_equal(r.sid, sid, sizeof sid);
    s.exp_source_in_ms = 60000; /* the source says that it lives */
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, &s, 1), 0);
    assert_int_equal(rotate(&r), SG_ROTATED);
    sg_buf_free(&r.successor_sealed);
}

static void
a_token_tells_whose_it_is_without_being_used(void **state)
{
    struct sg_refresh_read read = {.realm = REALM, .bucket = 5};
    struct env_call call = {0}, again = {0};
    struct sg_rotate r = use(100, 101, "x");
    uint8_t sid[SG_SID_BYTES];

    (void)state;
    put_session(0);
    assert_int_equal(put_token(100, 60000), 0);
    env_digest(read.digest, 100);
    sg_store_get_refresh(env.store, &read, env_deadline(5000), env_done, &call);
    assert_int_equal(env_wait(&env, &call), 0);
    env_sid(sid, 1);
    assert_true(read.found);
    assert_true(read.current);
    assert_memory_equal(read.sid, sid, sizeof sid);
    assert_string_equal(read.client_id, "web");
    assert_string_equal(read.audience, "https://app.example.org https://api.example.org");
    assert_string_equal(read.scope, "read write");
    assert_int_equal(read.expires_sec - read.issued_sec, 60);
    assert_int_equal(rotate(&r), SG_ROTATED);
    assert_string_equal(r.scope, "read write");
    sg_buf_free(&r.successor_sealed);
    sg_store_get_refresh(env.store, &read, env_deadline(5000), env_done, &again);
    assert_int_equal(env_wait(&env, &again), 0);
    assert_true(read.found);
    assert_false(read.current);
}

static void
any_number_of_uses_at_once_agree_on_one_successor(void **state)
{
    enum { N = 20 };
    struct sg_rotate r[N];
    struct env_call calls[N] = {0};
    char sealed[N][16];
    int i, rotated = 0, winner = -1;

    (void)state;
    put_session(0);
    assert_int_equal(put_token(100, 60000), 0);
    for (i = 0; i < N; i++) {
        snprintf(sealed[i], sizeof sealed[i], "sealed %d", i);
        r[i] = use(100, 200 + i, sealed[i]);
        sg_store_rotate(env.store, &r[i], env_deadline(10000), env_done, &calls[i]);
    }
    for (i = 0; i < N; i++) {
        if (!calls[i].done)
            env_wait(&env, &calls[i]);
        assert_int_equal(calls[i].rc, 0);
        if (r[i].outcome == SG_ROTATED) {
            rotated++;
            winner = i;
        } else {
            assert_int_equal(r[i].outcome, SG_ROTATED_GRACE);
        }
    }
    assert_int_equal(rotated, 1);
    for (i = 0; i < N; i++) {
        assert_memory_equal(r[i].successor_digest, r[winner].next_digest, SG_DIGEST_BYTES);
        assert_true(sg_slice_eq(sg_buf_slice(&r[i].successor_sealed), sg_str(sealed[winner])));
        sg_buf_free(&r[i].successor_sealed);
    }
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.refresh_token"), 2);
}

/* An end and uses at once, many times: whoever wins, no current token is left of an ended session.
 */
static void
an_end_racing_uses_leaves_no_token(void **state)
{
    enum { N = 6, ROUNDS = 15 };
    struct sg_end_row e = env_end(1, 5);
    struct sg_rotate r[N];
    struct env_call calls[N + 1];
    int i, round;

    (void)state;
    for (round = 0; round < ROUNDS; round++) {
        env_sql(&env, 0, "TRUNCATE segue.session, segue.refresh_token");
        put_session(0);
        assert_int_equal(put_token(100, 60000), 0);
        memset(calls, 0, sizeof calls);
        for (i = 0; i < N; i++) {
            if (i == round % N)
                sg_store_end_sessions(env.store, &e, 1, env_deadline(10000), env_done, &calls[N]);
            r[i] = use(100, 200 + i, "x");
            sg_store_rotate(env.store, &r[i], env_deadline(10000), env_done, &calls[i]);
        }
        for (i = 0; i <= N; i++) {
            if (!calls[i].done)
                env_wait(&env, &calls[i]);
            assert_int_equal(calls[i].rc, 0);
        }
        for (i = 0; i < N; i++)
            sg_buf_free(&r[i].successor_sealed);
        assert_int_equal(
            env_sql(&env, 0, "SELECT count(*) FROM segue.refresh_token WHERE state <> 'ended'"), 0);
    }
}

/* The same race, forced: the end comes while a use stands between its reading of the session and
 * its commit. */
static void
an_end_waits_for_a_use_under_way_and_takes_its_successor_too(void **state)
{
    PGconn *gate = PQconnectdb(env.conninfo[0]);
    struct sg_end_row e = env_end(1, 5);
    struct sg_rotate r = use(100, 101, "x");
    struct env_call use_call = {0}, end_call = {0};

    (void)state;
    put_session(0);
    assert_int_equal(put_token(100, 60000), 0);
    env_sql(&env, 0,
            "CREATE FUNCTION segue.gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
            "pg_advisory_xact_lock(99); RETURN NEW; END $$; CREATE TRIGGER gate BEFORE INSERT ON "
            "segue.refresh_token FOR EACH ROW EXECUTE FUNCTION segue.gate()");
    PQclear(PQexec(gate, "SELECT pg_advisory_lock(99)"));
    sg_store_rotate(env.store, &r, env_deadline(10000), env_done, &use_call);
    test_run_for(&env.loop, 200);
    sg_store_end_sessions(env.store, &e, 1, env_deadline(10000), env_done, &end_call);
    test_run_for(&env.loop, 200);
    PQfinish(gate);
    if (!use_call.done)
        env_wait(&env, &use_call);
    if (!end_call.done)
        env_wait(&env, &end_call);
    env_sql(&env, 0, "DROP TRIGGER gate ON segue.refresh_token; DROP FUNCTION segue.gate()");
    assert_int_equal(use_call.rc, 0);
    assert_int_equal(end_call.rc, 0);
    assert_int_equal(r.outcome, SG_ROTATED);
    assert_int_equal(
        env_sql(&env, 0, "SELECT count(*) FROM segue.refresh_token WHERE state = 'ended'"), 2);
    sg_buf_free(&r.successor_sealed);
}

/* ---- several at once: sessions 1, 2, … in bucket 5, session i with token 100 + i ---- */

#define MANY 20

static void
put_many(void)
{
    int i;

    for (i = 1; i <= MANY; i++) {
        struct sg_session_row s = env_session(i, 5);
        struct sg_refresh_new t = {.realm = REALM,
                                   .bucket = 5,
                                   .client_id = "web",
                                   .audience = "https://app.example.org",
                                   .expires_in_ms = 60000};

        assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, &s, 1), 0);
        env_digest(t.digest, 100 + i);
        env_sid(t.sid, i);
        env_sid(t.chain, 200 + i);
        assert_int_equal(ENV_CALL(&env, sg_store_put_refresh, &t), 0);
    }
}

struct many {
    struct sg_rotate r[MANY + 1];
    struct env_call calls[MANY + 1];
};

/* In this order, so that the order of locks is not the order of asking. */
static void
use_many(struct many *m, struct sg_store *store, int step)
{
    int i, n;

    memset(m->calls, 0, sizeof m->calls);
    for (i = 1; i <= MANY; i++) {
        n = i * step % (MANY + 1);
        m->r[n] = use(100 + n, 300 + n, "x");
        sg_store_rotate(store, &m->r[n], env_deadline(10000), env_done, &m->calls[n]);
    }
}

static void
wait_many(struct many *m)
{
    int i;

    for (i = 1; i <= MANY; i++) {
        if (!m->calls[i].done)
            env_wait(&env, &m->calls[i]);
        sg_buf_free(&m->r[i].successor_sealed);
    }
}

static void
independent_uses_share_transactions(void **state)
{
    struct many m;
    int i;

    (void)state;
    put_many();
    use_many(&m, env.store, 8);
    wait_many(&m);
    for (i = 1; i <= MANY; i++) {
        assert_int_equal(m.calls[i].rc, 0);
        assert_int_equal(m.r[i].outcome, SG_ROTATED);
    }
    /* The first went alone, the others together. */
    assert_int_equal(env_sql(&env, 0,
                             "SELECT count(DISTINCT xmin::text) FROM segue.refresh_token "
                             "WHERE state = 'current'"),
                     2);
}

static void
a_refused_one_spoils_nothing_for_the_others(void **state)
{
    struct many m;
    int i;

    (void)state;
    put_many();
    env_sql(&env, 0,
            "UPDATE segue.refresh_token SET state = 'used', used_at = now() - interval '1 h' "
            "WHERE sid = (SELECT sid FROM segue.session WHERE subject = 'u7')");
    env_sql(&env, 0,
            "DELETE FROM segue.refresh_token "
            "WHERE sid = (SELECT sid FROM segue.session WHERE subject = 'u8')");
    use_many(&m, env.store, 4);
    wait_many(&m);
    for (i = 1; i <= MANY; i++) {
        assert_int_equal(m.calls[i].rc, 0);
        assert_int_equal(m.r[i].outcome, i == 7   ? SG_ROTATE_REUSED
                                         : i == 8 ? SG_ROTATE_UNKNOWN
                                                  : SG_ROTATED);
    }
}

/* What makes the transaction fail is one rotation's: here its bucket is not this shard's. */
static void
one_that_fails_fails_alone(void **state)
{
    struct many m;
    int i;

    (void)state;
    put_many();
    env_sql(&env, 0, "UPDATE segue.bucket_owner SET owned = false WHERE bucket = 6");
    memset(&m, 0, sizeof m);
    for (i = 1; i <= MANY; i++) {
        m.r[i] = use(100 + i, 300 + i, "x");
        if (i == 9)
            m.r[i].bucket = 6;
        if (i == 10)
            m.r[i].bucket = SG_BUCKETS; /* nobody's at all */
        sg_store_rotate(env.store, &m.r[i], env_deadline(10000), env_done, &m.calls[i]);
    }
    wait_many(&m);
    for (i = 1; i <= MANY; i++)
        if (i != 9 && i != 10) {
            assert_int_equal(m.calls[i].rc, 0);
            assert_int_equal(m.r[i].outcome, SG_ROTATED);
        }
    assert_int_equal(m.calls[9].err.code, SG_E_NOT_OWNER);
    assert_int_equal(m.calls[10].err.code, SG_E_INVALID);
}

static void
one_whose_session_is_locked_holds_up_itself_alone(void **state)
{
    PGconn *other = PQconnectdb(env.conninfo[0]);
    struct many m;
    int i, done = 0;

    (void)state;
    put_many();
    PQclear(PQexec(other, "BEGIN; SELECT 1 FROM segue.session WHERE subject = 'u5' FOR UPDATE"));
    use_many(&m, env.store, 8);
    test_run_for(&env.loop, 600);
    for (i = 1; i <= MANY; i++)
        done += m.calls[i].done;
    PQfinish(other);
    assert_int_equal(done, MANY - 1);
    assert_false(m.calls[5].done);
    wait_many(&m);
    assert_int_equal(m.calls[5].rc, 0);
    assert_int_equal(m.r[5].outcome, SG_ROTATED);
}

/* Two instances that use the same tokens in different orders: nobody waits for anybody in a circle.
 */
static void
batches_of_two_instances_do_not_deadlock(void **state)
{
    struct sg_store *second;
    struct many one, two;
    int i, round;

    (void)state;
    assert_int_equal(sg_store_new(&env.loop, sg_clock_system(), env.shards, &second, &env.err), 0);
    for (round = 0; round < 5; round++) {
        env_sql(&env, 0, "TRUNCATE segue.session, segue.refresh_token");
        put_many();
        use_many(&one, env.store, 8);
        use_many(&two, second, 13);
        wait_many(&one);
        wait_many(&two);
        for (i = 1; i <= MANY; i++) {
            assert_int_equal(one.calls[i].rc, 0);
            assert_int_equal(two.calls[i].rc, 0);
            assert_int_equal((one.r[i].outcome == SG_ROTATED) + (two.r[i].outcome == SG_ROTATED),
                             1);
        }
    }
    assert_int_equal(
        env_sql(&env, 0,
                "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"),
        0);
    sg_store_free(second);
}

static void
more_than_can_wait_are_told_so(void **state)
{
    enum { N = 4200 };
    struct sg_rotate *r = calloc(N, sizeof *r);
    struct env_call *calls = calloc(N, sizeof *calls);
    int i, refused = 0;

    (void)state;
    for (i = 0; i < N; i++) {
        r[i] = use(100, 101, "x");
        sg_store_rotate(env.store, &r[i], env_deadline(10000), env_done, &calls[i]);
    }
    for (i = 0; i < N; i++) {
        if (!calls[i].done)
            env_wait(&env, &calls[i]);
        refused += calls[i].rc != 0;
        if (calls[i].rc != 0)
            assert_int_equal(calls[i].err.code, SG_E_LIMIT);
        sg_buf_free(&r[i].successor_sealed);
    }
    assert_int_equal(refused, N - 4097);
    free(r);
    free(calls);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_retry_within_the_grace_gets_the_same_successor, reset),
        cmocka_unit_test_setup(a_use_after_the_grace_ends_the_chain, reset),
        cmocka_unit_test_setup(the_grace_is_counted, reset),
        cmocka_unit_test_setup(a_token_of_another_client_or_nobody_is_unknown, reset),
        cmocka_unit_test_setup(an_expired_token_is_refused, reset),
        cmocka_unit_test_setup(no_token_outlives_its_session, reset),
        cmocka_unit_test_setup(a_session_idle_for_too_long_is_told_apart_and_loses_nothing, reset),
        cmocka_unit_test_setup(a_token_tells_whose_it_is_without_being_used, reset),
        cmocka_unit_test_setup(any_number_of_uses_at_once_agree_on_one_successor, reset),
        cmocka_unit_test_setup(an_end_racing_uses_leaves_no_token, reset),
        cmocka_unit_test_setup(an_end_waits_for_a_use_under_way_and_takes_its_successor_too, reset),
        cmocka_unit_test_setup(independent_uses_share_transactions, reset),
        cmocka_unit_test_setup(a_refused_one_spoils_nothing_for_the_others, reset),
        cmocka_unit_test_setup(one_that_fails_fails_alone, reset),
        cmocka_unit_test_setup(one_whose_session_is_locked_holds_up_itself_alone, reset),
        cmocka_unit_test_setup(batches_of_two_instances_do_not_deadlock, reset),
        cmocka_unit_test_setup(more_than_can_wait_are_told_so, reset),
    };

    return cmocka_run_group_tests_name("store_refresh", tests, start, stop);
}
