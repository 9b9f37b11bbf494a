/* SPDX-License-Identifier: MIT */
#include "redis/redis.h"
#include "servers.h"

#include <hiredis/hiredis.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants the above first */
#include <cmocka.h>

static struct test_redis server;
static uv_loop_t loop;
static int done_count;

/* One batch and what became of it. */
struct op {
    struct sg_redis_batch batch;
    bool done;
    int order;
};

static void
on_done(struct sg_redis_batch *batch)
{
    struct op *op = sg_container_of(batch, struct op, batch);

    assert_false(op->done);
    op->done = true;
    op->order = ++done_count;
}

/* Splits "SET a b" at spaces; the text must live until submit. */
static void
add_command(struct op *op, const char *text)
{
    struct sg_redis_command *c = &op->batch.commands[op->batch.n_commands++];

    while (*text != '\0') {
        size_t n = strcspn(text, " ");

        c->args[c->n_args++] = sg_slice(text, n);
        text += n + (text[n] == ' ');
    }
}

static void
submit(struct sg_redis *r, struct op *op, int deadline_ms)
{
    op->batch.deadline_ns = sg_mono_ns(sg_clock_system()) + (uint64_t)deadline_ms * SG_NS_PER_MS;
    op->batch.done = on_done;
    sg_redis_submit(r, &op->batch);
    assert_false(op->done);
}

static struct op *
send_one(struct sg_redis *r, const char *text, int deadline_ms)
{
    struct op *op = calloc(1, sizeof *op);

    add_command(op, text);
    submit(r, op, deadline_ms);
    return op;
}

static void
finish(struct op *op)
{
    sg_redis_batch_clear(&op->batch);
    free(op);
}

static struct sg_redis_options
options(void)
{
    return (struct sg_redis_options){.host = "127.0.0.1",
                                     .port = server.port,
                                     .user = "",
                                     .password = "",
                                     .name = "test",
                                     .connect_timeout_ms = 500,
                                     .max_queued = 1000,
                                     .max_reply_bytes = 1 << 20};
}

static struct sg_redis *
open_with(const struct sg_redis_options *o)
{
    struct sg_redis *r;
    struct sg_err err;

    assert_int_equal(sg_redis_open(&loop, sg_clock_system(), o, &r, &err), 0);
    return r;
}

static struct sg_redis *
open_one(void)
{
    struct sg_redis_options o = options();

    return open_with(&o);
}

static void
set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static void
close_one(struct sg_redis *r)
{
    bool closed = false;

    sg_redis_close(r, set_flag, &closed);
    test_run_until(&loop, &closed, 1000);
}

static void
batches_are_pipelined_and_answered_in_order(void **state)
{
    struct sg_redis *r = open_one();
    struct op *ops[400];
    int i;

    (void)state;
    done_count = 0;
    finish(({
        struct op *op = send_one(r, "DEL counter", 2000);
        test_run_until(&loop, &op->done, 2000);
        op;
    }));
    done_count = 0;
    for (i = 0; i < 400; i++)
        ops[i] = send_one(r, "INCR counter", 2000);
    test_run_until(&loop, &ops[399]->done, 2000);
    for (i = 0; i < 400; i++) {
        assert_int_equal(ops[i]->batch.rc, 0);
        assert_int_equal(ops[i]->order, i + 1);
        assert_int_equal(ops[i]->batch.replies[0]->integer, i + 1);
        finish(ops[i]);
    }
    assert_int_equal(strlen(sg_redis_run_id(r)), 40);
    assert_int_equal(sg_redis_generation(r), 1);
    close_one(r);
}

static int
setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    test_redis_start(&server, NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    test_redis_stop(&server);
    return uv_loop_close(&loop); /* nonzero: a handle was left open */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_pipelined_and_answered_in_order),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
