/* SPDX-License-Identifier: MIT */
#include "pg/pg.h"
#include "servers.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants the above first */
#include <cmocka.h>

static struct test_pg server;
static uv_loop_t loop;

static const struct sg_pg_stmt st_echo = {"echo", "SELECT $1::text", 1, 0, false};
static const struct sg_pg_stmt st_sleep = {"sleep", "SELECT pg_sleep($1::float8)", 1, 0, false};
static const struct sg_pg_stmt st_insert = {"insert", "INSERT INTO t(id) VALUES ($1::int)", 1, 0,
                                            false};
static const struct sg_pg_stmt st_count = {"count", "SELECT count(*) FROM t WHERE id = $1::int", 1,
                                           0, true};
static const struct sg_pg_stmt st_read_only = {
    "read_only", "SET default_transaction_read_only = on", 0, 0, false};
static const struct sg_pg_stmt st_self = {"self", "SELECT pg_backend_pid()", 0, 0, false};
static const struct sg_pg_stmt st_prepared = {
    "prepared", "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT $1::%'",
    0, 0, false};

/* One batch and what became of it. */
struct op {
    struct sg_pg_batch batch;
    bool done;
    int order;
};

static int done_count;

static void
on_done(struct sg_pg_batch *batch)
{
    struct op *op = sg_container_of(batch, struct op, batch);

    assert_false(op->done);
    op->done = true;
    op->order = ++done_count;
}

static uint64_t
in_ms(int ms)
{
    return sg_mono_ns(sg_clock_system()) + (uint64_t)ms * SG_NS_PER_MS;
}

static void
add_call(struct op *op, const struct sg_pg_stmt *stmt, const char *param)
{
    struct sg_pg_call *call = &op->batch.calls[op->batch.n_calls++];

    call->stmt = stmt;
    call->params[0] = sg_str(param);
}

static void
submit(struct sg_pg *pg, struct op *op, int deadline_ms)
{
    op->batch.deadline_ns = in_ms(deadline_ms);
    op->batch.done = on_done;
    sg_pg_submit(pg, &op->batch);
    assert_false(op->done);
}

static struct op *
send_one(struct sg_pg *pg, const struct sg_pg_stmt *stmt, const char *param, int deadline_ms)
{
    struct op *op = calloc(1, sizeof *op);

    add_call(op, stmt, param);
    submit(pg, op, deadline_ms);
    return op;
}

static struct op *
run_one(struct sg_pg *pg, const struct sg_pg_stmt *stmt, const char *param)
{
    struct op *op = send_one(pg, stmt, param, 2000);

    test_run_until(&loop, &op->done, 3000);
    return op;
}

static void
finish(struct op *op)
{
    sg_pg_batch_clear(&op->batch);
    free(op);
}

static struct sg_pg *
open_pool_at(const char *conninfo, int connections, int max_queued)
{
    struct sg_pg_options o = {conninfo, "test", connections, 1000, max_queued};
    struct sg_pg *pg;
    struct sg_err err;

    assert_int_equal(sg_pg_open(&loop, sg_clock_system(), &o, &pg, &err), 0);
    return pg;
}

static struct sg_pg *
open_pool(int connections)
{
    return open_pool_at(server.conninfo, connections, 1000);
}

static void
set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static void
close_pool(struct sg_pg *pg)
{
    bool closed = false;

    sg_pg_close(pg, set_flag, &closed);
    test_run_until(&loop, &closed, 1000);
}

static void
batches_are_pipelined_and_answered_in_order(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *ops[100];
    char text[100][16];
    int i;

    (void)state;
    done_count = 0;
    for (i = 0; i < 100; i++) {
        snprintf(text[i], sizeof text[i], "value %d", i);
        ops[i] = send_one(pg, &st_echo, text[i], 5000);
    }
    memset(text[99], 'x', 5); /* parameters were copied */
    test_run_until(&loop, &ops[99]->done, 5000);
    for (i = 0; i < 100; i++) {
        char want[16];

        snprintf(want, sizeof want, "value %d", i);
        assert_int_equal(ops[i]->batch.rc, 0);
        assert_int_equal(ops[i]->order, i + 1);
        assert_int_equal(sg_pg_rows(&ops[i]->batch, 0), 1);
        assert_string_equal(sg_pg_value(&ops[i]->batch, 0, 0, 0).ptr, want);
        finish(ops[i]);
    }
    close_pool(pg);
}

static void
an_error_rolls_back_its_batch_and_no_other(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *bad = calloc(1, sizeof *bad), *good, *check;

    (void)state;
    test_pg_sql(&server, "TRUNCATE t");
    add_call(bad, &st_insert, "1");
    add_call(bad, &st_insert, "1"); /* 23505 */
    add_call(bad, &st_insert, "2");
    submit(pg, bad, 5000);
    good = send_one(pg, &st_insert, "3", 5000);
    check = send_one(pg, &st_count, "1", 5000);
    test_run_until(&loop, &check->done, 5000);
    assert_int_equal(bad->batch.rc, -1);
    assert_string_equal(bad->batch.sqlstate, "23505");
    assert_int_equal(bad->batch.err.code, SG_E_INVALID);
    assert_false(bad->batch.err.retryable);
    assert_null(bad->batch.results[0]);
    assert_int_equal(good->batch.rc, 0);
    assert_int_equal(sg_pg_int(&check->batch, 0, 0, 0, -1), 0);
    assert_int_equal(test_pg_sql(&server, "SELECT sum(id) FROM t"), 3);
    finish(bad);
    finish(good);
    finish(check);
    close_pool(pg);
}

/* ---- statements ---- */

static const struct sg_pg_stmt st_later = {"later", "SELECT n FROM made_later", 0, 0, false};
static const struct sg_pg_stmt st_not_owner = {
    "not_owner", "DO $$ BEGIN RAISE EXCEPTION 'moved' USING ERRCODE = 'SG001'; END $$", 0, 0,
    false};
static const struct sg_pg_stmt st_number = {"number", "SELECT $1::int", 1, 0, false};
static const struct sg_pg_stmt st_bytes = {"bytes", "SELECT $1::bytea, $2::text", 2, 1, true};
static const struct sg_pg_stmt st_star = {"star", "SELECT * FROM changing", 0, 0, false};
static const struct sg_pg_stmt st_deferred = {
    "deferred", "INSERT INTO deferred(id) VALUES ($1::int)", 1, 0, false};
static const struct sg_pg_stmt st_lines = {
    "lines", "SELECT repeat('x', 5000) FROM generate_series(1, $1::int)", 1, 0, false};

static void
a_statement_is_prepared_once_a_connection(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *first = send_one(pg, &st_echo, "a", 2000);
    struct op *second = send_one(pg, &st_echo, "b", 2000);
    struct op *count = send_one(pg, &st_prepared, "", 2000);

    (void)state;
    test_run_until(&loop, &count->done, 2000);
    assert_int_equal(first->batch.rc, 0);
    assert_int_equal(second->batch.rc, 0);
    assert_int_equal(sg_pg_int(&count->batch, 0, 0, 0, -1), 1);
    finish(first);
    finish(second);
    finish(count);
    close_pool(pg);
}

static void
a_failed_prepare_is_told_with_its_reason_and_tried_again(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *bad = calloc(1, sizeof *bad), *behind, *other, *again;

    (void)state;
    add_call(bad, &st_later, ""); /* fails to prepare, and must not keep st_echo from it */
    add_call(bad, &st_echo, "x");
    submit(pg, bad, 2000);
    behind = send_one(pg, &st_later, "", 2000); /* sent while the prepare is under way */
    other = send_one(pg, &st_echo, "y", 2000);
    test_run_until(&loop, &other->done, 2000);
    assert_string_equal(bad->batch.sqlstate, "42P01");
    assert_string_equal(behind->batch.sqlstate, "42P01");
    assert_non_null(strstr(behind->batch.err.text, "made_later"));
    assert_int_equal(other->batch.rc, 0);
    test_pg_sql(&server, "CREATE TABLE made_later AS SELECT 5 AS n");
    again = send_one(pg, &st_later, "", 2000);
    test_run_until(&loop, &again->done, 2000);
    assert_int_equal(again->batch.rc, 0);
    assert_int_equal(sg_pg_int(&again->batch, 0, 0, 0, -1), 5);
    finish(bad);
    finish(behind);
    finish(other);
    finish(again);
    close_pool(pg);
}

static void
a_prepare_survives_the_failure_of_its_batch(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *bad = calloc(1, sizeof *bad), *count, *good;

    (void)state;
    add_call(bad, &st_number, "no number");
    add_call(bad, &st_echo, "never reached");
    submit(pg, bad, 2000);
    good = send_one(pg, &st_echo, "x", 2000);
    count = send_one(pg, &st_prepared, "", 2000);
    test_run_until(&loop, &count->done, 2000);
    assert_string_equal(bad->batch.sqlstate, "22P02");
    assert_int_equal(good->batch.rc, 0);
    assert_int_equal(sg_pg_int(&count->batch, 0, 0, 0, -1), 2);
    finish(bad);
    finish(good);
    finish(count);
    close_pool(pg);
}

static void
a_changed_result_type_is_prepared_anew(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *op = send_one(pg, &st_star, "", 2000);

    (void)state;
    test_run_until(&loop, &op->done, 2000);
    assert_int_equal(op->batch.rc, 0);
    finish(op);
    test_pg_sql(&server, "ALTER TABLE changing ALTER COLUMN a TYPE text");
    op = send_one(pg, &st_star, "", 2000);
    test_run_until(&loop, &op->done, 2000);
    assert_int_equal(op->batch.rc, -1);
    assert_true(op->batch.err.retryable);
    finish(op);
    op = send_one(pg, &st_star, "", 2000);
    test_run_until(&loop, &op->done, 2000);
    assert_int_equal(op->batch.rc, 0);
    finish(op);
    close_pool(pg);
}

static void
an_error_at_commit_fails_the_batch(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *bad = calloc(1, sizeof *bad), *good;

    (void)state;
    add_call(bad, &st_deferred, "1");
    add_call(bad, &st_deferred, "1"); /* a deferred constraint: both succeed, the commit does not */
    submit(pg, bad, 2000);
    good = send_one(pg, &st_deferred, "2", 2000);
    test_run_until(&loop, &good->done, 2000);
    assert_int_equal(bad->batch.rc, -1);
    assert_string_equal(bad->batch.sqlstate, "23505");
    assert_int_equal(good->batch.rc, 0);
    assert_int_equal(test_pg_sql(&server, "SELECT sum(id) FROM deferred"), 2);
    finish(bad);
    finish(good);
    close_pool(pg);
}

static void
errors_carry_their_code_and_no_value(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *moved = send_one(pg, &st_not_owner, "", 2000);
    struct op *value = send_one(pg, &st_number, "topsecret", 2000);
    struct op *nul = calloc(1, sizeof *nul);

    (void)state;
    add_call(nul, &st_echo, "");
    nul->batch.calls[0].params[0] = sg_slice("a\0b", 3);
    submit(pg, nul, 2000);
    test_run_until(&loop, &value->done, 2000);
    assert_int_equal(moved->batch.err.code, SG_E_NOT_OWNER);
    assert_true(moved->batch.err.retryable);
    assert_string_equal(moved->batch.sqlstate, "SG001");
    assert_int_equal(value->batch.err.code, SG_E_INVALID);
    assert_null(strstr(value->batch.err.text, "topsecret"));
    assert_string_equal(value->batch.err.place, "test");
    assert_true(nul->done);
    assert_int_equal(nul->batch.err.code, SG_E_INVALID);
    finish(moved);
    finish(value);
    finish(nul);
    close_pool(pg);
}

static void
a_connection_string_that_cannot_be_read_is_not_quoted(void **state)
{
    struct sg_pg_options o = {"host=x password topsecret", "test", 1, 100, 10};
    struct sg_pg *pg;
    struct sg_err err;

    (void)state;
    assert_int_equal(sg_pg_open(&loop, sg_clock_system(), &o, &pg, &err), -1);
    assert_int_equal(err.code, SG_E_INVALID);
    assert_null(strstr(err.text, "topsecret"));
}

static void
binary_and_null_values_pass(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *op = calloc(1, sizeof *op);

    (void)state;
    add_call(op, &st_bytes, "");
    op->batch.calls[0].params[0] = sg_slice("a\0\xff", 3);
    op->batch.calls[0].params[1] = sg_slice(NULL, 0);
    submit(pg, op, 2000);
    test_run_until(&loop, &op->done, 2000);
    assert_int_equal(op->batch.rc, 0);
    assert_true(sg_slice_eq(sg_pg_value(&op->batch, 0, 0, 0), sg_slice("a\0\xff", 3)));
    assert_null(sg_pg_value(&op->batch, 0, 0, 1).ptr);
    assert_int_equal(sg_pg_int(&op->batch, 0, 0, 1, 77), 77);
    finish(op);
    close_pool(pg);
}

/* ---- deadlines, losses ---- */

static uint64_t last_beat, longest_gap;

static void
on_beat(uv_timer_t *timer)
{
    uint64_t now = uv_hrtime();

    if (last_beat != 0 && now - last_beat > longest_gap)
        longest_gap = now - last_beat;
    last_beat = now;
}

static void
a_stopped_server_times_out_without_blocking_and_comes_back(void **state)
{
    struct sg_pg *pg = open_pool(2);
    struct op *warm = send_one(pg, &st_echo, "x", 2000), *ops[10], *later;
    uv_timer_t beat;
    int i;

    (void)state;
    test_run_until(&loop, &warm->done, 2000);
    finish(warm);
    uv_timer_init(&loop, &beat);
    last_beat = longest_gap = 0;
    uv_timer_start(&beat, on_beat, 0, 5);
    test_pg_signal(&server, SIGSTOP);
    for (i = 0; i < 10; i++)
        ops[i] = send_one(pg, &st_echo, "x", 100);
    test_run_until(&loop, &ops[9]->done, 1000);
    for (i = 0; i < 10; i++) {
        assert_int_equal(ops[i]->batch.err.code, SG_E_TIMEOUT);
        assert_true(ops[i]->batch.err.retryable);
        finish(ops[i]); /* the answers come later: nobody may need the batch then */
    }
    test_run_for(&loop, 1600); /* stuck connections are dropped, connecting hangs too */
    assert_false(sg_pg_is_up(pg));
    later = send_one(pg, &st_echo, "y", 5000);
    test_run_for(&loop, 300);
    test_pg_signal(&server, SIGCONT);
    test_run_until(&loop, &later->done, 5000);
    assert_int_equal(later->batch.rc, 0);
    finish(later);
    assert_true(longest_gap < 100 * SG_NS_PER_MS);
    uv_close((uv_handle_t *)&beat, NULL);
    close_pool(pg);
}

static void
a_late_answer_is_ignored_and_the_connection_kept(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *self = send_one(pg, &st_self, "", 2000);
    struct op *slow = send_one(pg, &st_sleep, "0.2", 60), *after;
    int64_t pid;

    (void)state;
    test_run_until(&loop, &slow->done, 1000);
    pid = sg_pg_int(&self->batch, 0, 0, 0, -1);
    assert_int_equal(slow->batch.err.code, SG_E_TIMEOUT);
    finish(slow);
    finish(self);
    after = send_one(pg, &st_self, "", 2000);
    test_run_until(&loop, &after->done, 2000);
    assert_int_equal(after->batch.rc, 0);
    assert_int_equal(sg_pg_int(&after->batch, 0, 0, 0, -1), pid);
    finish(after);
    close_pool(pg);
}

static void
a_statement_that_hangs_costs_its_connection_and_its_backend_ends(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *slow = send_one(pg, &st_sleep, "60", 100), *behind, *after;
    int i;

    (void)state;
    behind = send_one(pg, &st_echo, "x", 5000);
    test_run_until(&loop, &slow->done, 1000);
    after = send_one(pg, &st_echo, "x", 5000); /* not sent behind what is overdue */
    test_run_until(&loop, &after->done, 5000);
    assert_int_equal(slow->batch.err.code, SG_E_TIMEOUT);
    assert_int_equal(behind->batch.err.code, SG_E_UNAVAILABLE);
    finish(slow);
    finish(behind);
    assert_int_equal(after->batch.rc, 0);
    finish(after);
    for (i = 0; test_pg_sql(&server, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE "
                                     "'SELECT pg_sleep%' AND state = 'active'") != 0;
         i++) {
        assert_true(i < 60);
        test_sleep_ms(50);
    }
    close_pool(pg);
}

static void
a_lost_connection_fails_what_was_sent_and_comes_back(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *self = send_one(pg, &st_self, "", 2000), *slow, *behind, *after;
    char sql[64];

    (void)state;
    test_run_until(&loop, &self->done, 2000);
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%d)",
             (int)sg_pg_int(&self->batch, 0, 0, 0, -1));
    slow = send_one(pg, &st_sleep, "30", 5000);
    behind = send_one(pg, &st_echo, "x", 5000);
    test_run_for(&loop, 50);
    test_pg_sql(&server, sql);
    test_run_until(&loop, &behind->done, 2000);
    assert_int_equal(slow->batch.err.code, SG_E_UNAVAILABLE);
    assert_string_equal(slow->batch.sqlstate, "57P01");
    assert_int_equal(behind->batch.err.code, SG_E_UNAVAILABLE);
    assert_true(behind->batch.err.retryable);
    after = send_one(pg, &st_echo, "x", 2000);
    test_run_until(&loop, &after->done, 2000);
    assert_int_equal(after->batch.rc, 0);
    finish(self);
    finish(slow);
    finish(behind);
    finish(after);
    close_pool(pg);
}

static void
an_idle_connection_that_ends_is_replaced(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *op = send_one(pg, &st_echo, "x", 2000);

    (void)state;
    test_run_until(&loop, &op->done, 2000);
    finish(op);
    test_pg_sql(&server, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                         "application_name = 'segue'");
    test_run_for(&loop, 100);
    assert_true(sg_pg_is_up(pg));
    op = send_one(pg, &st_echo, "x", 2000);
    test_run_until(&loop, &op->done, 2000);
    assert_int_equal(op->batch.rc, 0);
    finish(op);
    close_pool(pg);
}

static void
without_a_server_a_batch_waits_until_its_deadline(void **state)
{
    char conninfo[128];
    struct sg_pg *pg;
    struct op *op;

    (void)state;
    snprintf(conninfo, sizeof conninfo, "host=127.0.0.1 port=%d user=u password=topsecret",
             test_free_port());
    pg = open_pool_at(conninfo, 1, 10);
    op = send_one(pg, &st_echo, "x", 150);
    test_run_for(&loop, 50);
    assert_false(op->done);
    test_run_until(&loop, &op->done, 500);
    assert_int_equal(op->batch.err.code, SG_E_UNAVAILABLE);
    assert_true(op->batch.err.retryable);
    assert_non_null(strstr(op->batch.err.text, "refused"));
    assert_null(strstr(op->batch.err.text, "topsecret"));
    assert_null(strstr(op->batch.err.text, "127.0.0.1")); /* the name stands for it */
    finish(op);
    close_pool(pg);
}

static void
a_server_that_became_read_only_is_left(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *self = send_one(pg, &st_self, "", 2000), *write, *read;
    int64_t pid;

    (void)state;
    test_run_until(&loop, &self->done, 2000);
    pid = sg_pg_int(&self->batch, 0, 0, 0, -1);
    finish(self);
    finish(run_one(pg, &st_read_only, ""));
    write = send_one(pg, &st_insert, "77", 2000);
    read = send_one(pg, &st_echo, "x", 2000);
    test_run_until(&loop, &read->done, 2000);
    assert_int_equal(write->batch.err.code, SG_E_UNAVAILABLE);
    assert_int_equal(read->batch.rc, 0); /* what was sent is still answered */
    finish(write);
    finish(read);
    self = run_one(pg, &st_self, "");
    assert_int_not_equal(sg_pg_int(&self->batch, 0, 0, 0, -1), pid);
    finish(self);
    close_pool(pg);
}

/* ---- the pool ---- */

static void
a_slow_batch_does_not_hold_the_other_connection(void **state)
{
    struct sg_pg *pg = open_pool(2);
    struct op *a = send_one(pg, &st_echo, "x", 2000), *slow, *quick;

    (void)state;
    test_run_until(&loop, &a->done, 2000);
    test_run_for(&loop, 50); /* both are up */
    slow = send_one(pg, &st_sleep, "0.3", 2000);
    quick = send_one(pg, &st_echo, "x", 2000);
    test_run_until(&loop, &quick->done, 2000);
    assert_false(slow->done);
    test_run_until(&loop, &slow->done, 2000);
    finish(a);
    finish(slow);
    finish(quick);
    close_pool(pg);
}

static void
one_batch_more_than_the_queue_holds_is_refused(void **state)
{
    struct sg_pg *pg = open_pool_at(server.conninfo, 1, 3);
    struct op *ops[4];
    int i;

    (void)state;
    for (i = 0; i < 4; i++)
        ops[i] = send_one(pg, &st_echo, "x", 2000);
    test_run_until(&loop, &ops[2]->done, 2000);
    assert_true(ops[3]->done);
    assert_int_equal(ops[3]->batch.err.code, SG_E_LIMIT);
    for (i = 0; i < 3; i++)
        assert_int_equal(ops[i]->batch.rc, 0);
    for (i = 0; i < 4; i++)
        finish(ops[i]);
    close_pool(pg);
}

static void
a_cancelled_batch_is_told_once_wherever_it_was(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *queued = send_one(pg, &st_echo, "x", 2000), *sent, *after;

    (void)state;
    sg_pg_cancel(&queued->batch);
    sg_pg_cancel(&queued->batch);
    assert_false(queued->done);
    test_run_until(&loop, &queued->done, 1000);
    assert_int_equal(queued->batch.err.code, SG_E_CANCELLED);
    sent = send_one(pg, &st_sleep, "0.1", 2000);
    test_run_for(&loop, 50);
    sg_pg_cancel(&sent->batch);
    test_run_until(&loop, &sent->done, 50);
    assert_int_equal(sent->batch.err.code, SG_E_CANCELLED);
    finish(queued);
    finish(sent);
    after = send_one(pg, &st_echo, "x", 2000);
    test_run_until(&loop, &after->done, 2000);
    assert_int_equal(after->batch.rc, 0);
    sg_pg_cancel(&after->batch); /* it is over */
    finish(after);
    close_pool(pg);
}

static void
closing_cancels_what_is_under_way(void **state)
{
    struct sg_pg *pg = open_pool(1);
    struct op *warm = send_one(pg, &st_echo, "x", 2000), *sent, *queued;
    bool closed = false;

    (void)state;
    test_run_until(&loop, &warm->done, 2000);
    sent = send_one(pg, &st_sleep, "1", 2000);
    test_run_for(&loop, 20);
    queued = send_one(pg, &st_echo, "x", 2000);
    sg_pg_close(pg, set_flag, &closed);
    assert_true(sent->done && queued->done);
    assert_int_equal(sent->batch.err.code, SG_E_CANCELLED);
    assert_int_equal(queued->batch.err.code, SG_E_CANCELLED);
    test_run_until(&loop, &closed, 1000);
    finish(warm);
    finish(sent);
    finish(queued);
}

struct chain {
    struct op op;
    struct sg_pg *pg;
    int left;
    bool closed;
};

static void
on_chain(struct sg_pg_batch *batch)
{
    struct chain *c = sg_container_of(batch, struct chain, op.batch);

    sg_pg_batch_clear(batch);
    assert_int_equal(batch->rc, 0);
    batch->deadline_ns = in_ms(2000);
    if (--c->left > 0)
        sg_pg_submit(c->pg, batch);
    else
        sg_pg_close(c->pg, set_flag, &c->closed);
}

static void
done_may_submit_again_and_close_the_pool(void **state)
{
    struct chain c = {.pg = open_pool(1), .left = 20};

    (void)state;
    add_call(&c.op, &st_echo, "x");
    c.op.batch.deadline_ns = in_ms(2000);
    c.op.batch.done = on_chain;
    sg_pg_submit(c.pg, &c.op.batch);
    test_run_until(&loop, &c.closed, 2000);
    assert_int_equal(c.left, 0);
}

static void
large_results_arrive_over_tls(void **state)
{
    char conninfo[256];
    struct sg_pg *pg;
    struct op *ops[5];
    int i;

    (void)state;
    test_pg_enable_tls(&server);
    snprintf(conninfo, sizeof conninfo, "%s sslmode=require", server.conninfo);
    pg = open_pool_at(conninfo, 1, 100);
    for (i = 0; i < 5; i++)
        ops[i] = send_one(pg, &st_lines, i % 2 == 0 ? "700" : "3", 5000);
    test_run_until(&loop, &ops[4]->done, 6000);
    for (i = 0; i < 5; i++) {
        assert_int_equal(ops[i]->batch.rc, 0);
        assert_int_equal(sg_pg_rows(&ops[i]->batch, 0), i % 2 == 0 ? 700 : 3);
        finish(ops[i]);
    }
    close_pool(pg);
}

/* ---- listener ---- */

struct heard {
    int ups, downs, notes;
    bool up, down, note;
    char last[32];
};

static void
on_up(void *ctx)
{
    struct heard *h = ctx;

    h->ups++;
    h->up = true;
}

static void
on_note(void *ctx, const char *channel, const char *payload)
{
    struct heard *h = ctx;

    assert_string_equal(channel, "Feed 1");
    snprintf(h->last, sizeof h->last, "%s", payload);
    h->notes++;
    h->note = true;
}

static void
on_down(void *ctx, const struct sg_err *err)
{
    struct heard *h = ctx;

    assert_int_equal(err->code, SG_E_UNAVAILABLE);
    h->downs++;
    h->down = true;
}

static struct sg_pg_listener *
open_listener(struct heard *h)
{
    struct sg_pg_options o = {server.conninfo, "test", 1, 1000, 1};
    struct sg_pg_listener_events events = {on_up, on_note, on_down, h};
    struct sg_pg_listener *l;
    struct sg_err err;

    assert_int_equal(sg_pg_listen(&loop, sg_clock_system(), &o, "Feed 1", &events, &l, &err), 0);
    test_run_until(&loop, &h->up, 2000);
    return l;
}

static void
close_listener(struct sg_pg_listener *l)
{
    bool closed = false;

    sg_pg_listener_close(l, set_flag, &closed);
    test_run_until(&loop, &closed, 1000);
}

static void
a_listener_hears_and_comes_back_after_a_loss(void **state)
{
    struct heard h = {0};
    struct sg_pg_listener *l = open_listener(&h);

    (void)state;
    test_pg_sql(&server, "NOTIFY \"Feed 1\", 'one'");
    test_run_until(&loop, &h.note, 1000);
    assert_string_equal(h.last, "one");
    h.up = h.note = false;
    test_pg_sql(&server, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                         "application_name = 'segue'");
    test_run_until(&loop, &h.down, 1000);
    test_run_until(&loop, &h.up, 2000);
    test_pg_sql(&server, "NOTIFY \"Feed 1\", 'two'");
    test_run_until(&loop, &h.note, 1000);
    assert_string_equal(h.last, "two");
    assert_int_equal(h.ups, 2);
    assert_int_equal(h.downs, 1);
    close_listener(l);
}

static void
a_listener_notices_a_silent_server(void **state)
{
    struct heard h = {0};
    struct sg_pg_listener *l = open_listener(&h);

    (void)state;
    h.up = false;
    test_pg_signal(&server, SIGSTOP);
    test_run_until(&loop, &h.down, 4500);
    test_run_for(&loop, 1500);
    assert_int_equal(h.downs, 1); /* once an outage */
    test_pg_signal(&server, SIGCONT);
    test_run_until(&loop, &h.up, 4000);
    close_listener(l);
}

static int
setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    test_pg_start(&server);
    test_pg_sql(&server, "CREATE TABLE t(id int PRIMARY KEY, n int NOT NULL DEFAULT 0)");
    test_pg_sql(&server, "CREATE TABLE changing AS SELECT 1 AS a");
    test_pg_sql(&server, "CREATE TABLE deferred(id int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    test_pg_stop(&server);
    return uv_loop_close(&loop); /* nonzero: a handle was left open */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_pipelined_and_answered_in_order),
        cmocka_unit_test(an_error_rolls_back_its_batch_and_no_other),
        cmocka_unit_test(a_statement_is_prepared_once_a_connection),
        cmocka_unit_test(a_failed_prepare_is_told_with_its_reason_and_tried_again),
        cmocka_unit_test(a_prepare_survives_the_failure_of_its_batch),
        cmocka_unit_test(a_changed_result_type_is_prepared_anew),
        cmocka_unit_test(an_error_at_commit_fails_the_batch),
        cmocka_unit_test(errors_carry_their_code_and_no_value),
        cmocka_unit_test(a_connection_string_that_cannot_be_read_is_not_quoted),
        cmocka_unit_test(binary_and_null_values_pass),
        cmocka_unit_test(a_stopped_server_times_out_without_blocking_and_comes_back),
        cmocka_unit_test(a_late_answer_is_ignored_and_the_connection_kept),
        cmocka_unit_test(a_statement_that_hangs_costs_its_connection_and_its_backend_ends),
        cmocka_unit_test(a_lost_connection_fails_what_was_sent_and_comes_back),
        cmocka_unit_test(an_idle_connection_that_ends_is_replaced),
        cmocka_unit_test(without_a_server_a_batch_waits_until_its_deadline),
        cmocka_unit_test(a_server_that_became_read_only_is_left),
        cmocka_unit_test(a_slow_batch_does_not_hold_the_other_connection),
        cmocka_unit_test(one_batch_more_than_the_queue_holds_is_refused),
        cmocka_unit_test(a_cancelled_batch_is_told_once_wherever_it_was),
        cmocka_unit_test(closing_cancels_what_is_under_way),
        cmocka_unit_test(done_may_submit_again_and_close_the_pool),
        cmocka_unit_test(large_results_arrive_over_tls),
        cmocka_unit_test(a_listener_hears_and_comes_back_after_a_loss),
        cmocka_unit_test(a_listener_notices_a_silent_server),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
