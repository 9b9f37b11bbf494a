/* SPDX-License-Identifier: MIT */
#include "store_env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants the above first */
#include <cmocka.h>

/* Sessions: writing, reading, holding, ending, in any order and at once. */
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

static void
put_one_ref(struct sg_ref_row *row)
{
    assert_int_equal(ENV_CALL(&env, sg_store_put_refs, row, 1), 0);
}

static void
put_one(struct sg_session_row *row)
{
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, row, 1), 0);
}

static struct sg_session_read
get_one(int number, int bucket)
{
    struct sg_session_read read = {.realm = REALM, .bucket = bucket};

    env_sid(read.sid, number);
    assert_int_equal(ENV_CALL(&env, sg_store_get_sessions, &read, 1), 0);
    return read;
}

static void
assert_about(int64_t value, int64_t expected)
{
    if (value > expected || value < expected - 3000)
        fail_msg("%lld is not about %lld", (long long)value, (long long)expected);
}

static void
a_session_ends_at_the_later_of_two_words_but_never_past_its_limit(void **state)
{
    struct sg_session_row r = env_session(1, 5);

    (void)state;
    r.exp_absolute_in_ms = 500000;
    put_one(&r);
    assert_true(r.live);
    assert_int_equal(r.version, 1);
    assert_about(r.expires_in_ms, 60000);
    assert_about(r.absolute_in_ms, 500000);

    r.exp_source_in_ms = -1; /* not said: stays */
    r.exp_segue_in_ms = 200000;
    put_one(&r);
    assert_int_equal(r.version, 2);
    assert_about(r.expires_in_ms, 200000);

    r.exp_source_in_ms = 100000;
    r.exp_segue_in_ms = 50000; /* only extends */
    r.exp_absolute_in_ms = 900000;
    put_one(&r);
    assert_about(r.expires_in_ms, 200000);
    assert_about(r.absolute_in_ms, 500000);

    r.exp_source_in_ms = 700000;
    put_one(&r);
    assert_about(r.expires_in_ms, 500000);

    r.exp_source_in_ms = 300000; /* the source's last word may shorten its own */
    r.exp_segue_in_ms = INT64_MAX;
    put_one(&r);
    assert_about(r.expires_in_ms, 500000);
}

static void
what_was_read_from_the_source_earlier_does_not_overwrite_what_was_read_later(void **state)
{
    struct sg_session_row later = env_session(1, 5), earlier = env_session(1, 5);
    struct sg_session_row both[2];

    (void)state;
    later.seen_in_source = earlier.seen_in_source = true;
    later.exp_source_in_ms = 900000;
    earlier.exp_source_in_ms = 60000;
    earlier.seen_ms_ago = 5000; /* a page of a scan that was long on its way */
    put_one(&later);
    put_one(&earlier);
    assert_about(earlier.expires_in_ms, 900000);
    both[0] = env_session(2, 5);
    both[1] = env_session(2, 5);
    both[0].seen_in_source = both[1].seen_in_source = true;
    both[0].exp_source_in_ms = 900000;
    both[1].exp_source_in_ms = 60000;
    both[1].seen_ms_ago = 5000;
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, both, 2), 0);
    assert_about(both[1].expires_in_ms, 900000);
    later.exp_source_in_ms = 30000; /* the app shortened it */
    put_one(&later);
    assert_about(later.expires_in_ms, 30000);
}

static void
a_session_without_any_known_end_says_so(void **state)
{
    struct sg_session_row r = env_session(1, 5);

    (void)state;
    r.exp_source_in_ms = -1;
    put_one(&r);
    assert_true(r.expires_in_ms == INT64_MAX);
    assert_true(r.absolute_in_ms == INT64_MAX);
}

static void
a_session_knows_whether_a_jwt_was_handed_over_before(void **state)
{
    struct sg_session_row r = env_session(1, 5);
    struct sg_session_read read;

    (void)state;
    put_one(&r);
    assert_false(r.has_jwt);
    r.jwt_until_in_ms = 300000;
    put_one(&r);
    assert_false(r.has_jwt);
    r.jwt_until_in_ms = -1;
    put_one(&r);
    assert_true(r.has_jwt);
    r.jwt_until_in_ms = 1000;
    put_one(&r);
    assert_true(r.has_jwt);
    read = get_one(1, 5);
    assert_true(read.found && read.has_jwt && !read.ended && !read.held);
    sg_session_read_clear(&read);
    assert_int_equal(
        env_sql(&env, 0, "SELECT count(*) FROM segue.session WHERE jwt_until > now() + '200 s'"),
        1);
}

static void
a_session_is_read_as_it_was_written(void **state)
{
    struct sg_session_row r = env_session(3, 2500);
    struct sg_subject_row u = {.realm = REALM,
                               .bucket = 2500,
                               .subject = "u3",
                               .active = true,
                               .roles = "{admin,\"a b\"}",
                               .permissions = "{}",
                               .source_version = 4};
    struct sg_session_read read;
    char record[5000];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof record; i++)
        record[i] = (char)i;
    r.record = sg_slice(record, sizeof record);
    put_one(&r);
    r.handle = r.record = sg_slice(NULL, 0); /* not given: kept */
    r.client_id = "";
    put_one(&r);
    assert_int_equal(ENV_CALL(&env, sg_store_put_subjects, &u, 1), 0);
    read = get_one(3, 2500);
    assert_string_equal(read.subject, "u3");
    assert_string_equal(read.client_id, "web");
    assert_true(sg_slice_eq(sg_buf_slice(&read.handle), sg_str("handle")));
    assert_true(sg_slice_eq(sg_buf_slice(&read.record), sg_slice(record, sizeof record)));
    assert_true(read.has_store_digest);
    assert_memory_equal(read.store_digest, r.store_digest, sizeof r.store_digest);
    assert_true(sg_slice_eq(sg_buf_slice(&read.roles), sg_str("{admin,\"a b\"}")));
    assert_int_equal(read.source_version, 4);
    assert_int_equal(read.idle_ms, 60000);
    assert_int_equal(read.version, 2);
    assert_true(read.created_ms == r.created_ms);
    sg_session_read_clear(&read);
    read = get_one(4, 2500);
    assert_false(read.found);
    sg_session_read_clear(&read);
}

static void
a_dirty_session_is_in_the_outbox_with_its_version(void **state)
{
    struct sg_session_row r[2] = {env_session(1, 5), env_session(1, 5)};

    (void)state;
    put_one(&r[0]);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.outbox"), 0);
    r[0].mark_dirty = true; /* the other row of the same session does not take it back */
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, r, 2), 0);
    assert_int_equal(r[0].version, 2);
    assert_int_equal(r[1].version, 2);
    assert_int_equal(env_sql(&env, 0, "SELECT version FROM segue.outbox"), 2);
}

static void
a_hold_lasts_until_the_source_shows_the_session_again(void **state)
{
    struct sg_session_row r = env_session(1, 5);
    struct sg_hold_row h[2] = {{.realm = REALM, .bucket = 5}, {.realm = REALM, .bucket = 6}};
    struct sg_session_read read;

    (void)state;
    env_sid(h[0].sid, 1);
    env_sid(h[1].sid, 2);
    put_one(&r);
    assert_int_equal(ENV_CALL(&env, sg_store_hold_sessions, h, 2), 0);
    assert_int_equal(h[1].held_for_ms, -1);
    test_sleep_ms(30);
    assert_int_equal(ENV_CALL(&env, sg_store_hold_sessions, h, 1), 0);
    assert_in_range(h[0].held_for_ms, 30, 5000);
    r.seen_in_source = false;
    put_one(&r);
    read = get_one(1, 5);
    assert_true(read.held && read.held_for_ms >= 30);
    sg_session_read_clear(&read);
    r.seen_in_source = true;
    put_one(&r);
    read = get_one(1, 5);
    assert_false(read.held);
    sg_session_read_clear(&read);
}

static void
an_end_is_told_once_and_mirrored_as_often_as_asked(void **state)
{
    struct sg_session_row r = env_session(1, 5);
    struct sg_end_row e = env_end(1, 5);
    struct sg_session_read read;

    (void)state;
    put_one(&r);
    e.mirror = true;
    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, &e, 1), 0);
    assert_true(e.changed);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.revocation"), 1);
    assert_int_equal(env_sql(&env, 0, "SELECT version FROM segue.outbox"), 3);
    e.reason = "app-logout";
    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, &e, 1), 0);
    assert_false(e.changed);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.revocation"), 1);
    assert_int_equal(env_sql(&env, 0, "SELECT version FROM segue.outbox"), 4);
    put_one(&r);
    assert_false(r.live);
    read = get_one(1, 5);
    assert_true(read.found && read.ended);
    assert_string_equal(read.end_reason, "logout");
    sg_session_read_clear(&read);
}

static void
an_end_that_comes_before_its_session_still_wins(void **state)
{
    struct sg_session_row r = env_session(1, 3000);
    struct sg_end_row e = env_end(1, 3000);

    (void)state;
    e.mirror = true;
    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, &e, 1), 0);
    assert_true(e.changed);
    assert_int_equal(env_sql(&env, 1, "SELECT count(*) FROM segue.revocation"), 1);
    put_one(&r);
    assert_false(r.live);
    assert_int_equal(env_sql(&env, 1, "SELECT count(*) FROM segue.session WHERE ended_at IS NULL"),
                     0);
}

static void
ends_of_a_call_may_share_a_token_or_a_session(void **state)
{
    struct sg_end_row e[4] = {env_end(1, 5), env_end(1, 5), env_end(2, 5), env_end(3, 4000)};
    struct sg_ref_row refs[2] = {env_ref(2, 5, "x", false), env_ref(3, 4000, "x", false)};

    (void)state;
    e[2].has_sid = false;
    e[3].tombstone_ref = false;
    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, e, 4), 0);
    assert_true(e[0].changed && e[1].changed && !e[2].changed && e[3].changed);
    assert_int_equal(ENV_CALL(&env, sg_store_put_refs, refs, 2), 0);
    assert_true(refs[0].ended);
    assert_false(refs[1].ended);
}

/* Random histories over a few sessions, several operations under way at a time: once an end was
 * answered, no put ever answers live again, and at the end the tables say the same. */
static void
no_order_of_puts_and_ends_brings_a_session_back(void **state)
{
    enum { SESSIONS = 6, ROUNDS = 120, AT_ONCE = 5 };
    static struct sg_session_row puts[AT_ONCE][SESSIONS];
    static struct sg_end_row ends[AT_ONCE][SESSIONS];
    const char *given = getenv("SEGUE_TEST_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    bool ended[SESSIONS] = {false}, before[SESSIONS];
    struct env_call calls[AT_ONCE];
    int is_end[AT_ONCE], n[AT_ONCE], round, k, i, id;

    (void)state;
    print_message("# seed %u\n", seed);
    for (round = 0; round < ROUNDS; round++) {
        memcpy(before, ended, sizeof before);
        for (k = 0; k < AT_ONCE; k++) {
            is_end[k] = rand_r(&seed) % 40 == 0;
            n[k] = 1 + rand_r(&seed) % SESSIONS;
            for (i = 0; i < n[k]; i++) {
                id = rand_r(&seed) % SESSIONS;
                puts[k][i] = env_session(id, id * 700);
                puts[k][i].mark_dirty = rand_r(&seed) % 2;
                ends[k][i] = env_end(id, id * 700);
                ends[k][i].mirror = rand_r(&seed) % 2;
                if (is_end[k] && i > 0)
                    n[k] = 1; /* else all would be over at once */
            }
            calls[k] = (struct env_call){0};
            if (is_end[k])
                sg_store_end_sessions(env.store, ends[k], n[k], env_deadline(10000), env_done,
                                      &calls[k]);
            else
                sg_store_put_sessions(env.store, puts[k], n[k], env_deadline(10000), env_done,
                                      &calls[k]);
        }
        for (k = 0; k < AT_ONCE; k++)
            if (!calls[k].done)
                assert_int_equal(env_wait(&env, &calls[k]), 0);
        for (k = 0; k < AT_ONCE; k++) {
            assert_int_equal(calls[k].rc, 0);
            for (i = 0; i < n[k]; i++) {
                memcpy(&id, is_end[k] ? ends[k][i].sid : puts[k][i].sid, sizeof id);
                if (is_end[k])
                    ended[id] = true;
                else if (before[id])
                    assert_false(puts[k][i].live);
            }
        }
    }
    for (id = 0; id < SESSIONS; id++) {
        assert_int_equal(
            env_sql(&env, id * 700 / 2048,
                    "SELECT count(*) FROM segue.session WHERE bucket = %d AND ended_at "
                    "IS NOT NULL",
                    id * 700),
            ended[id]);
        assert_int_equal(env_sql(&env, id * 700 / 2048,
                                 "SELECT count(*) FROM segue.revocation WHERE bucket = %d",
                                 id * 700),
                         ended[id]);
    }
}

/* Every kind of write at once, over the same few rows named in any order: no batch may be the
 * victim of a deadlock. */
static void
batches_over_the_same_rows_never_deadlock(void **state)
{
    enum { KINDS = 6, KEYS = 40, ROWS = 25, ROUNDS = 40 };
    static struct sg_session_row puts[ROWS], more[ROWS];
    static struct sg_end_row ends[ROWS];
    static struct sg_subject_row subjects[ROWS];
    static struct sg_ref_row refs[ROWS];
    static struct sg_outbox_row dones[ROWS];
    struct env_call calls[KINDS];
    unsigned seed = (unsigned)time(NULL);
    int round, i, k;

    (void)state;
    print_message("# seed %u\n", seed);
    for (round = 0; round < ROUNDS; round++) {
        for (i = 0; i < ROWS; i++) {
            int key[KINDS];

            for (k = 0; k < KINDS; k++)
                key[k] = round * KEYS + rand_r(&seed) % KEYS;
            puts[i] = env_session(key[0], 5);
            more[i] = env_session(key[1], 5);
            puts[i].mark_dirty = more[i].mark_dirty = true;
            ends[i] = env_end(key[2], 5);
            ends[i].mirror = true;
            subjects[i] = (struct sg_subject_row){.realm = REALM,
                                                  .bucket = 5,
                                                  .subject = env_session(key[3], 5).subject,
                                                  .active = true,
                                                  .roles = "{a}",
                                                  .source_version = round};
            refs[i] = env_ref(key[4], 5, "x", true);
            dones[i] = (struct sg_outbox_row){.bucket = 5, .version = rand_r(&seed) % 4};
            env_sid(dones[i].sid, key[5]);
        }
        memset(calls, 0, sizeof calls);
        sg_store_put_sessions(env.store, puts, ROWS, env_deadline(10000), env_done, &calls[0]);
        sg_store_put_subjects(env.store, subjects, ROWS, env_deadline(10000), env_done, &calls[1]);
        sg_store_end_sessions(env.store, ends, ROWS, env_deadline(10000), env_done, &calls[2]);
        sg_store_outbox_done(env.store, 0, REALM, dones, ROWS, env_deadline(10000), env_done,
                             &calls[3]);
        sg_store_put_refs(env.store, refs, ROWS, env_deadline(10000), env_done, &calls[4]);
        sg_store_put_sessions(env.store, more, ROWS, env_deadline(10000), env_done, &calls[5]);
        for (k = 0; k < KINDS; k++) {
            if (!calls[k].done)
                env_wait(&env, &calls[k]);
            if (calls[k].rc != 0)
                fail_msg("call %d of round %d: %s", k, round, calls[k].err.text);
        }
    }
    assert_int_equal(env_sql(&env, 0,
                             "SELECT deadlocks FROM pg_stat_database WHERE datname = "
                             "current_database()"),
                     0);
}

/* The tombstone is laid first: after a failure in between nothing can be exchanged, and doing it
 * again ends the rest. */
static void
an_end_that_breaks_off_half_way_is_completed_by_the_next(void **state)
{
    struct sg_session_row s = env_session(1, 5);
    struct sg_end_row e = env_end(1, 5);
    struct sg_ref_row r = env_ref(1, 5, "u1", false);

    (void)state;
    put_one_ref(&r);
    put_one(&s);
    env_sql(&env, 0,
            "CREATE FUNCTION segue.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE "
            "EXCEPTION 'made to fail'; END $$; CREATE TRIGGER fail BEFORE INSERT ON "
            "segue.revocation EXECUTE FUNCTION segue.fail()");
    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, &e, 1), -1);
    env_sql(&env, 0, "DROP TRIGGER fail ON segue.revocation; DROP FUNCTION segue.fail()");
    put_one_ref(&r);
    assert_true(r.ended);
    put_one(&s);
    assert_true(s.live); /* session and feed are one transaction */
    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, &e, 1), 0);
    assert_true(e.changed);
    put_one(&s);
    assert_false(s.live);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(
            what_was_read_from_the_source_earlier_does_not_overwrite_what_was_read_later, reset),
        cmocka_unit_test_setup(a_session_ends_at_the_later_of_two_words_but_never_past_its_limit,
                               reset),
        cmocka_unit_test_setup(a_session_without_any_known_end_says_so, reset),
        cmocka_unit_test_setup(a_session_knows_whether_a_jwt_was_handed_over_before, reset),
        cmocka_unit_test_setup(a_session_is_read_as_it_was_written, reset),
        cmocka_unit_test_setup(a_dirty_session_is_in_the_outbox_with_its_version, reset),
        cmocka_unit_test_setup(a_hold_lasts_until_the_source_shows_the_session_again, reset),
        cmocka_unit_test_setup(an_end_is_told_once_and_mirrored_as_often_as_asked, reset),
        cmocka_unit_test_setup(an_end_that_comes_before_its_session_still_wins, reset),
        cmocka_unit_test_setup(ends_of_a_call_may_share_a_token_or_a_session, reset),
        cmocka_unit_test_setup(no_order_of_puts_and_ends_brings_a_session_back, reset),
        cmocka_unit_test_setup(batches_over_the_same_rows_never_deadlock, reset),
        cmocka_unit_test_setup(an_end_that_breaks_off_half_way_is_completed_by_the_next, reset),
    };

    return cmocka_run_group_tests_name("store_sessions", tests, start, stop);
}
