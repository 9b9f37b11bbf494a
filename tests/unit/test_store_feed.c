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

/* What is polled: the feed, the outbox, the sessions not seen. */
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

/* ---- the feed ---- */

struct seen {
    struct sg_feed_poll poll;
    int rows, given[20000]; /* how often each number was given */
    int beats;
    int64_t beat;
    int rows_before_beat;
};

static void
on_row(void *ctx, const struct sg_feed_row *row)
{
    struct seen *seen = ctx;
    int number;

    assert_string_equal(row->realm, REALM);
    assert_true(row->is_session);
    memcpy(&number, row->sid, sizeof number);
    assert_in_range(number, 0, 19999);
    seen->given[number]++;
    seen->rows++;
}

static void
on_beat(void *ctx, const char *realm, int64_t beat, int64_t sent_ms)
{
    struct seen *seen = ctx;

    assert_string_equal(realm, REALM);
    assert_true(sent_ms == 1700000000123);
    seen->beats++;
    seen->beat = beat;
    seen->rows_before_beat = seen->rows;
}

static void
follow(struct seen *seen)
{
    *seen = (struct seen){.poll = {.cursor = "0", .row = on_row, .beat = on_beat}};
    seen->poll.ctx = seen;
}

static int
poll_feed(struct seen *seen)
{
    struct env_call call = {0};

    seen->rows = 0;
    sg_store_poll_feed(env.store, &seen->poll, env_deadline(10000), env_done, &call);
    assert_int_equal(env_wait(&env, &call), 0);
    assert_int_equal(seen->poll.n_rows, seen->rows);
    return seen->rows;
}

static void
end_session(int number)
{
    struct sg_end_row e = env_end(number, 5);

    e.tombstone_ref = false;
    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, &e, 1), 0);
}

static PGconn *
open_transaction(int number)
{
    PGconn *c = PQconnectdb(env.conninfo[0]);
    char sql[256];

    snprintf(sql, sizeof sql,
             "BEGIN; INSERT INTO segue.revocation (realm, bucket, kind, sid) VALUES ('" REALM
             "', 5, 'session', set_byte('\\x%08x'::bytea || repeat('Z', 12)::bytea, 0, %d))",
             0, number);
    PQclear(PQexec(c, sql));
    assert_int_equal(PQtransactionStatus(c), PQTRANS_INTRANS);
    return c;
}

static void
commit(PGconn *c)
{
    PGresult *r = PQexec(c, "COMMIT");

    assert_int_equal(PQresultStatus(r), PGRES_COMMAND_OK);
    PQclear(r);
    PQfinish(c);
}

static void
a_row_committed_late_is_not_missed_and_holds_nobody_up(void **state)
{
    static struct seen seen;
    PGconn *late;
    int i;

    (void)state;
    follow(&seen);
    end_session(1);
    assert_int_equal(poll_feed(&seen), 1);
    late = open_transaction(2); /* a lower transaction id and seq than all that follow */
    for (i = 3; i < 10; i++) {
        end_session(i);
        assert_int_equal(poll_feed(&seen), 1); /* at once, and not again */
        assert_int_equal(seen.given[i], 1);
    }
    assert_int_equal(poll_feed(&seen), 0);
    assert_int_equal(seen.given[2], 0);
    commit(late);
    assert_int_equal(poll_feed(&seen), 1);
    assert_int_equal(seen.given[2], 1);
    assert_int_equal(poll_feed(&seen), 0);
    for (i = 1; i < 10; i++)
        assert_int_equal(seen.given[i], 1);
}

static void
many_writers_at_once_lose_no_row(void **state)
{
    enum { OPEN = 12 };
    static struct seen seen;
    PGconn *c[OPEN];
    unsigned seed = (unsigned)time(NULL);
    int i, round, next = 100;

    (void)state;
    print_message("# seed %u\n", seed);
    follow(&seen);
    for (i = 0; i < OPEN; i++)
        c[i] = open_transaction(next++);
    for (round = 0; round < 60 && next < 256; round++) { /* numbers are one byte here */
        i = rand_r(&seed) % OPEN;
        commit(c[i]);
        c[i] = open_transaction(next++);
        if (rand_r(&seed) % 3 == 0)
            poll_feed(&seen);
        assert_true(strlen(seen.poll.cursor) < SG_FEED_CURSOR_BYTES);
    }
    for (i = 0; i < OPEN; i++)
        commit(c[i]);
    poll_feed(&seen);
    for (i = 100; i < next; i++)
        assert_int_equal(seen.given[i], 1);
}

/* More transactions at once than fit the cursor: rows may come twice, but none is missed. */
static void
a_cursor_that_does_not_fit_falls_back_to_the_oldest_transaction(void **state)
{
    static struct seen seen;

    (void)state;
    follow(&seen);
    end_session(1);
    poll_feed(&seen);
    snprintf(seen.poll.cursor, sizeof seen.poll.cursor,
             "%ld:%ld:", env_sql(&env, 0, "SELECT min(xid::text::bigint) FROM segue.revocation"),
             env_sql(&env, 0, "SELECT min(xid::text::bigint) FROM segue.revocation"));
    assert_int_equal(poll_feed(&seen), 1);
    assert_int_equal(seen.given[1], 2);
    assert_int_equal(poll_feed(&seen), 0);
}

static void
more_rows_than_a_page_are_all_given_in_one_poll(void **state)
{
    static struct seen seen;
    int i;

    (void)state;
    follow(&seen);
    env_sql(&env, 0,
            "INSERT INTO segue.revocation (realm, bucket, kind, sid) SELECT '" REALM
            "', 5, 'session', decode(lpad(to_hex(n %% 256), 2, '0') || lpad(to_hex(n / 256), 2, "
            "'0') || '0000' || repeat('5a', 12), 'hex') FROM generate_series(0, 12000) AS n");
    assert_int_equal(poll_feed(&seen), 12001);
    for (i = 0; i <= 12000; i++)
        assert_int_equal(seen.given[i], 1);
    assert_int_equal(poll_feed(&seen), 0);
}

/* With a full page the poll goes on; what commits below the page's end meanwhile must not be lost
 * to the next cursor. */
static void
a_row_that_appears_between_two_pages_is_given(void **state)
{
    static struct seen seen;
    PGconn *late = open_transaction(7);
    struct env_call call = {0};

    (void)state;
    env_sql(&env, 0,
            "INSERT INTO segue.revocation (realm, bucket, kind, sid) SELECT '" REALM
            "', 5, 'session', decode(lpad(to_hex(n %% 256), 2, '0') || lpad(to_hex(n / 256), 2, "
            "'0') || '0000' || repeat('5a', 12), 'hex') FROM generate_series(256, 15255) AS n");
    follow(&seen);
    sg_store_poll_feed(env.store, &seen.poll, env_deadline(10000), env_done, &call);
    while (seen.rows == 0) /* the first page was given */
        uv_run(&env.loop, UV_RUN_ONCE);
    assert_int_equal(seen.rows, 5000);
    commit(late);
    assert_int_equal(env_wait(&env, &call), 0);
    poll_feed(&seen);
    assert_int_equal(seen.given[7], 1);
    assert_true(seen.given[256] >= 1 && seen.given[15255] >= 1);
}

static void
a_beat_comes_after_the_rows_that_were_committed_before_it(void **state)
{
    static struct seen seen;
    struct env_call call = {0};

    (void)state;
    follow(&seen);
    end_session(1);
    sg_store_put_beat(env.store, 0, REALM, 42, 1700000000123, env_deadline(5000), env_done, &call);
    assert_int_equal(env_wait(&env, &call), 0);
    poll_feed(&seen);
    assert_int_equal(seen.beats, 1);
    assert_true(seen.beat == 42);
    assert_int_equal(seen.rows_before_beat, 1);
    assert_int_equal(env_sql(&env, 0, "SELECT beat FROM segue.heartbeat WHERE realm = '" REALM "'"),
                     42);
    assert_int_equal(env_sql(&env, 1, "SELECT count(*) FROM segue.heartbeat"), 0);
}

static void
a_subject_is_told_whole(void *ctx, const struct sg_feed_row *row)
{
    int *count = ctx;

    assert_false(row->is_session);
    assert_string_equal(row->subject, "anna");
    assert_true(row->banned);
    assert_int_equal(row->epoch, 1);
    assert_true(row->source_version == 9);
    assert_true(row->at_ms > 1700000000000);
    assert_true(sg_slice_eq(row->roles, sg_str("{a,b}")));
    assert_true(sg_slice_eq(row->permissions, sg_str("{\"x y\"}")));
    ++*count;
}

static void
the_feed_tells_a_subjects_whole_state(void **state)
{
    struct sg_subject_row u = {.realm = REALM,
                               .bucket = 5,
                               .subject = "anna",
                               .roles = "{a,b}",
                               .permissions = "{\"x y\"}",
                               .source_version = 9};
    int count = 0;
    struct sg_feed_poll poll = {.cursor = "0", .row = a_subject_is_told_whole, .ctx = &count};
    struct env_call call = {0};

    (void)state;
    assert_int_equal(ENV_CALL(&env, sg_store_put_subjects, &u, 1), 0);
    sg_store_poll_feed(env.store, &poll, env_deadline(5000), env_done, &call);
    assert_int_equal(env_wait(&env, &call), 0);
    assert_int_equal(count, 1);
}

static void
an_end_that_changes_nothing_notifies_nobody(void **state)
{
    PGconn *c = PQconnectdb(env.conninfo[0]);
    PGnotify *note;
    int i;

    (void)state;
    PQclear(PQexec(c, "LISTEN segue_feed"));
    end_session(1);
    test_sleep_ms(50);
    for (i = 0; i < 2; i++) {
        PQclear(PQexec(c, "SELECT 1"));
        note = PQnotifies(c);
        assert_true(i == 0 ? note != NULL : note == NULL);
        PQfreemem(note);
        end_session(1); /* again */
        test_sleep_ms(50);
    }
    PQfinish(c);
}

/* ---- the outbox ---- */

static void
the_outbox_gives_the_current_state_and_forgets_only_what_was_written(void **state)
{
    struct sg_session_row s[2] = {env_session(1, 5), env_session(2, 6)};
    struct sg_outbox_poll poll = {.shard = 0, .realm = REALM, .limit = 10};
    struct sg_end_row e = env_end(1, 5);

    (void)state;
    s[0].mark_dirty = s[1].mark_dirty = true;
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, s, 2), 0);
    assert_int_equal(ENV_CALL(&env, sg_store_poll_outbox, &poll), 0);
    assert_int_equal(poll.n_rows, 2);
    assert_int_equal(poll.rows[0].bucket, 5);
    assert_false(poll.rows[0].ended);
    assert_true(sg_slice_eq(poll.rows[0].handle, sg_str("handle")));
    assert_true(sg_slice_eq(poll.rows[0].record, sg_str("record")));
    assert_int_equal(poll.rows[0].idle_ms, 60000);
    assert_in_range(poll.rows[0].expires_in_ms, 50000, 60000);

    e.mirror = true; /* while the first is being written */
    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, &e, 1), 0);
    assert_int_equal(ENV_CALL(&env, sg_store_outbox_done, 0, REALM, poll.rows, poll.n_rows), 0);
    sg_outbox_clear(&poll);
    assert_int_equal(ENV_CALL(&env, sg_store_poll_outbox, &poll), 0);
    assert_int_equal(poll.n_rows, 1);
    assert_true(poll.rows[0].ended);
    assert_in_range(poll.rows[0].ended_for_ms, 0, 5000);
    assert_int_equal(ENV_CALL(&env, sg_store_outbox_done, 0, REALM, poll.rows, poll.n_rows), 0);
    sg_outbox_clear(&poll);
    assert_int_equal(ENV_CALL(&env, sg_store_poll_outbox, &poll), 0);
    assert_int_equal(poll.n_rows, 0);
    sg_outbox_clear(&poll);
    poll.limit = 0;
    assert_int_equal(ENV_CALL(&env, sg_store_poll_outbox, &poll), -1);
    assert_int_equal(env.err.code, SG_E_LIMIT);
}

/* ---- sessions not seen ---- */

static void
unseen_sessions_are_paged_in_key_order_and_only_those_that_should_be_there(void **state)
{
    enum { N = 25 };
    struct sg_session_row s[N];
    struct sg_unseen_poll poll = {
        .shard = 0, .realm = REALM, .unseen_for_at_least_ms = 20, .after_bucket = -1, .limit = 7};
    struct sg_end_row e = env_end(3, 3);
    bool found[N] = {false};
    int i, number, pages = 0;

    (void)state;
    for (i = 0; i < N; i++)
        s[i] = env_session(i, i);
    s[4].seen_in_source = false;   /* never was there */
    s[5].mark_dirty = true;        /* not mirrored yet */
    s[6].exp_source_in_ms = 1;     /* its time is over */
    s[7].has_store_digest = false; /* has no record */
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, s, N), 0);
    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, &e, 1), 0);
    test_sleep_ms(40);
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, &s[8], 1), 0); /* seen just now */
    do {
        assert_int_equal(ENV_CALL(&env, sg_store_poll_unseen, &poll), 0);
        for (i = 0; i < poll.n_rows; i++) {
            memcpy(&number, poll.rows[i].sid, sizeof number);
            assert_false(found[number]);
            found[number] = true;
            assert_int_equal(poll.rows[i].bucket, number);
            assert_string_equal(poll.rows[i].subject, s[number].subject);
            assert_true(poll.rows[i].unseen_for_ms >= 20);
            assert_true(sg_slice_eq(sg_buf_slice(&poll.rows[i].handle), sg_str("handle")));
        }
        number = poll.n_rows;
        sg_unseen_clear(&poll);
        pages++;
    } while (number == poll.limit);
    assert_int_equal(pages, 3);
    for (i = 0; i < N; i++)
        assert_int_equal(found[i], i < 3 || i > 8);
}

/* 9,000 rows between two unseen ones: a page of the table alone has neither. */
static void
unseen_sessions_are_found_behind_any_number_of_others(void **state)
{
    struct sg_session_row s[2] = {env_session(1, 1), env_session(2, 2000)};
    struct sg_unseen_poll poll = {
        .shard = 0, .realm = REALM, .unseen_for_at_least_ms = 10, .after_bucket = -1, .limit = 10};

    (void)state;
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, s, 2), 0);
    env_sql(&env, 0,
            "INSERT INTO segue.session (realm, bucket, sid, origin) SELECT '" REALM
            "', 1000, decode(lpad(to_hex(n), 32, '0'), 'hex'), 'segue' "
            "FROM generate_series(1, 9000) AS n");
    test_sleep_ms(20);
    assert_int_equal(ENV_CALL(&env, sg_store_poll_unseen, &poll), 0);
    assert_int_equal(poll.n_rows, 2);
    assert_int_equal(poll.rows[0].bucket, 1);
    assert_int_equal(poll.rows[1].bucket, 2000);
    sg_unseen_clear(&poll);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_row_committed_late_is_not_missed_and_holds_nobody_up, reset),
        cmocka_unit_test_setup(many_writers_at_once_lose_no_row, reset),
        cmocka_unit_test_setup(a_cursor_that_does_not_fit_falls_back_to_the_oldest_transaction,
                               reset),
        cmocka_unit_test_setup(more_rows_than_a_page_are_all_given_in_one_poll, reset),
        cmocka_unit_test_setup(a_row_that_appears_between_two_pages_is_given, reset),
        cmocka_unit_test_setup(a_beat_comes_after_the_rows_that_were_committed_before_it, reset),
        cmocka_unit_test_setup(the_feed_tells_a_subjects_whole_state, reset),
        cmocka_unit_test_setup(an_end_that_changes_nothing_notifies_nobody, reset),
        cmocka_unit_test_setup(the_outbox_gives_the_current_state_and_forgets_only_what_was_written,
                               reset),
        cmocka_unit_test_setup(
            unseen_sessions_are_paged_in_key_order_and_only_those_that_should_be_there, reset),
        cmocka_unit_test_setup(unseen_sessions_are_found_behind_any_number_of_others, reset),
    };

    return cmocka_run_group_tests_name("store_feed", tests, start, stop);
}
