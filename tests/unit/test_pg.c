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
__attribute__((unused)) static const struct sg_pg_stmt st_sleep = {
    "sleep", "SELECT pg_sleep($1::float8)", 1, 0, false};
static const struct sg_pg_stmt st_insert = {"insert", "INSERT INTO t(id) VALUES ($1::int)", 1, 0,
                                            false};
static const struct sg_pg_stmt st_count = {"count", "SELECT count(*) FROM t WHERE id = $1::int", 1,
                                           0, true};
__attribute__((unused)) static const struct sg_pg_stmt st_bad_sql = {
    "bad", "SELECT nothing FROM nowhere", 0, 0, false};
__attribute__((unused)) static const struct sg_pg_stmt st_self = {"self", "SELECT pg_backend_pid()",
                                                                  0, 0, false};
__attribute__((unused)) static const struct sg_pg_stmt st_prepared = {
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

static int
setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    test_pg_start(&server);
    test_pg_sql(&server, "CREATE TABLE t(id int PRIMARY KEY, n int NOT NULL DEFAULT 0)");
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
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
