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

static struct op *
run_one(struct sg_redis *r, const char *text)
{
    struct op *op = send_one(r, text, 2000);

    test_run_until(&loop, &op->done, 3000);
    return op;
}

static void
an_atomic_batch_gives_the_replies_of_exec(void **state)
{
    struct sg_redis *r = open_one();
    struct op *op = calloc(1, sizeof *op);

    (void)state;
    op->batch.atomic = true;
    add_command(op, "SET word abc");
    add_command(op, "INCR word");
    add_command(op, "GET word");
    submit(r, op, 2000);
    test_run_until(&loop, &op->done, 2000);
    assert_int_equal(op->batch.rc, 0);
    assert_int_equal(op->batch.generation, 1);
    assert_string_equal(op->batch.replies[0]->str, "OK");
    assert_int_equal(op->batch.replies[1]->type, REDIS_REPLY_ERROR); /* left where it stands */
    assert_string_equal(op->batch.replies[2]->str, "abc");
    finish(op);
    close_one(r);
}

static void
a_refused_transaction_happens_not_at_all(void **state)
{
    struct sg_redis *r = open_one();
    struct op *op = calloc(1, sizeof *op);

    (void)state;
    finish(run_one(r, "DEL refused"));
    op->batch.atomic = true;
    add_command(op, "SET refused 1");
    add_command(op, "NOSUCHCOMMAND topsecret");
    submit(r, op, 2000);
    test_run_until(&loop, &op->done, 2000);
    assert_int_equal(op->batch.rc, -1);
    assert_int_equal(op->batch.err.code, SG_E_INVALID);
    assert_null(strstr(op->batch.err.text, "topsecret"));
    assert_non_null(strstr(op->batch.err.text, "refused: ERR"));
    assert_null(op->batch.replies[0]);
    finish(op);
    op = run_one(r, "EXISTS refused");
    assert_int_equal(op->batch.replies[0]->integer, 0);
    finish(op);
    close_one(r);
}

static void
a_watched_key_that_changed_is_a_conflict(void **state)
{
    struct sg_redis *r = open_one(), *other = open_one();
    struct op *op = calloc(1, sizeof *op);

    (void)state;
    finish(run_one(r, "WATCH watched"));
    finish(run_one(other, "INCR watched"));
    op->batch.atomic = true;
    add_command(op, "SET watched 0");
    submit(r, op, 2000);
    test_run_until(&loop, &op->done, 2000);
    assert_int_equal(op->batch.rc, -1);
    assert_int_equal(op->batch.err.code, SG_E_CONFLICT);
    finish(op);
    close_one(r);
    close_one(other);
}

static void
binary_arguments_and_large_pipelines_pass(void **state)
{
    struct sg_redis *r = open_one();
    size_t size = 500000;
    char *value = malloc(size);
    struct op *ops[20], *get;
    int i;

    (void)state;
    memset(value, 0, size);
    value[1] = '\r';
    value[2] = '\n';
    for (i = 0; i < 20; i++) { /* 10 MB: more than a socket takes at once */
        ops[i] = calloc(1, sizeof *ops[i]);
        add_command(ops[i], "SET large x");
        ops[i]->batch.commands[0].args[2] = sg_slice(value, size - (size_t)i);
        submit(r, ops[i], 5000);
    }
    free(value);
    get = send_one(r, "GET large", 5000);
    test_run_until(&loop, &get->done, 5000);
    for (i = 0; i < 20; i++) {
        assert_int_equal(ops[i]->batch.rc, 0);
        finish(ops[i]);
    }
    assert_int_equal(get->batch.replies[0]->len, size - 19);
    assert_memory_equal(get->batch.replies[0]->str, "\0\r\n\0", 4);
    finish(get);
    close_one(r);
}

static void
what_is_submitted_during_a_write_follows_it(void **state)
{
    struct sg_redis *r = open_one();
    size_t size = 8000000;
    char *value = malloc(size);
    struct op *large = calloc(1, sizeof *large), *ops[3];
    int i;

    (void)state;
    finish(run_one(r, "PING"));
    kill(server.pid, SIGSTOP);
    memset(value, 'x', size);
    add_command(large, "ECHO x");
    large->batch.commands[0].args[1] = sg_slice(value, 900000);
    add_command(large, "SET large x");
    large->batch.commands[1].args[2] = sg_slice(value, size);
    submit(r, large, 3000);
    free(value);
    for (i = 0; i < 3; i++) { /* the socket is full: these wait behind the write under way */
        test_run_for(&loop, 10);
        ops[i] = send_one(r, "STRLEN large", 3000);
    }
    test_run_for(&loop, 10);
    kill(server.pid, SIGCONT);
    test_run_until(&loop, &ops[2]->done, 3000);
    assert_int_equal(large->batch.rc, 0);
    for (i = 0; i < 3; i++) {
        assert_int_equal(ops[i]->batch.rc, 0);
        assert_int_equal(ops[i]->batch.replies[0]->integer, size);
        finish(ops[i]);
    }
    finish(large);
    close_one(r);
}

static void
a_unix_socket_a_name_and_a_database_work(void **state)
{
    struct sg_redis_options o = options();
    struct sg_redis *r;
    struct op *op;

    (void)state;
    o.host = server.socket;
    o.database = 3;
    r = open_with(&o);
    finish(run_one(r, "SET in3 yes"));
    close_one(r);
    o = options();
    o.host = "localhost";
    r = open_with(&o);
    op = run_one(r, "EXISTS in3");
    assert_int_equal(op->batch.rc, 0);
    assert_int_equal(op->batch.replies[0]->integer, 0); /* database 0 */
    finish(op);
    close_one(r);
    o.database = 3;
    r = open_with(&o);
    op = run_one(r, "GET in3");
    assert_string_equal(op->batch.replies[0]->str, "yes");
    finish(op);
    close_one(r);
}

static void
a_password_is_given_and_never_told(void **state)
{
    static const char *const args[] = {"--requirepass", "right", NULL};
    struct test_redis guarded = {0};
    struct sg_redis_options o = options();
    struct sg_redis *r;
    struct op *op;

    (void)state;
    test_redis_start(&guarded, args);
    o.port = guarded.port;
    o.password = "topsecret";
    r = open_with(&o);
    op = send_one(r, "PING", 300);
    test_run_until(&loop, &op->done, 1000);
    assert_int_equal(op->batch.rc, -1);
    assert_non_null(strstr(op->batch.err.text, "WRONGPASS"));
    assert_null(strstr(op->batch.err.text, "topsecret"));
    finish(op);
    close_one(r);
    o.password = "right";
    r = open_with(&o);
    finish(run_one(r, "ACL SETUSER ann on >annspass ~* +@all"));
    close_one(r);
    o.user = "ann";
    o.password = "annspass";
    r = open_with(&o);
    op = run_one(r, "ACL WHOAMI");
    assert_int_equal(op->batch.rc, 0);
    assert_string_equal(op->batch.replies[0]->str, "ann");
    finish(op);
    close_one(r);
    test_redis_stop(&guarded);
}

/* ---- deadlines, losses ---- */

static void
a_restart_fails_what_was_sent_and_shows_a_new_run_id(void **state)
{
    struct sg_redis *r = open_one();
    struct op *blocked, *op;
    char run_id[64];

    (void)state;
    finish(run_one(r, "PING"));
    snprintf(run_id, sizeof run_id, "%s", sg_redis_run_id(r));
    assert_int_equal(strlen(run_id), 40);
    blocked = send_one(r, "BLPOP nothing 30", 5000);
    test_run_for(&loop, 50);
    test_redis_kill(&server);
    test_run_until(&loop, &blocked->done, 1000);
    assert_int_equal(blocked->batch.err.code, SG_E_UNAVAILABLE);
    assert_true(blocked->batch.err.retryable);
    assert_false(sg_redis_is_up(r));
    assert_string_equal(sg_redis_run_id(r), "");
    finish(blocked);
    op = send_one(r, "PING", 150);
    test_run_until(&loop, &op->done, 1000);
    assert_int_equal(op->batch.err.code, SG_E_UNAVAILABLE); /* it waited until its deadline */
    finish(op);
    op = send_one(r, "PING", 5000);
    test_redis_start(&server, NULL);
    test_run_until(&loop, &op->done, 5000);
    assert_int_equal(op->batch.rc, 0);
    assert_int_equal(op->batch.generation, 2);
    assert_int_equal(sg_redis_generation(r), 2);
    assert_string_not_equal(sg_redis_run_id(r), run_id);
    finish(op);
    close_one(r);
}

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
    struct sg_redis *r = open_one();
    struct op *op = run_one(r, "PING"), *later;
    uv_timer_t beat;

    (void)state;
    finish(op);
    uv_timer_init(&loop, &beat);
    last_beat = longest_gap = 0;
    uv_timer_start(&beat, on_beat, 0, 5);
    kill(server.pid, SIGSTOP);
    op = send_one(r, "PING", 100);
    test_run_until(&loop, &op->done, 500);
    assert_int_equal(op->batch.err.code, SG_E_TIMEOUT);
    finish(op); /* the answer comes later: nobody may need the batch then */
    test_run_for(&loop, 1000);
    assert_false(sg_redis_is_up(r)); /* dropped, and connecting hangs */
    later = send_one(r, "PING", 5000);
    test_run_for(&loop, 100);
    kill(server.pid, SIGCONT);
    test_run_until(&loop, &later->done, 5000);
    assert_int_equal(later->batch.rc, 0);
    finish(later);
    assert_true(longest_gap < 100 * SG_NS_PER_MS);
    uv_close((uv_handle_t *)&beat, NULL);
    close_one(r);
}

static void
a_late_answer_goes_to_nobody_else(void **state)
{
    struct sg_redis *r = open_one();
    struct op *slow, *next;

    (void)state;
    finish(run_one(r, "PING"));
    slow = send_one(r, "BLPOP nothing 0.2", 60);
    next = send_one(r, "ECHO mine", 2000);
    test_run_until(&loop, &next->done, 2000);
    assert_int_equal(slow->batch.err.code, SG_E_TIMEOUT);
    assert_string_equal(next->batch.replies[0]->str, "mine");
    assert_int_equal(sg_redis_generation(r), 1);
    finish(slow);
    finish(next);
    close_one(r);
}

static void
cancelled_refused_and_closed_batches_are_told_once(void **state)
{
    struct sg_redis_options o = options();
    struct op *ops[4];
    struct sg_redis *r;
    bool closed = false;
    int i;

    (void)state;
    o.max_queued = 3;
    r = open_with(&o);
    for (i = 0; i < 4; i++)
        ops[i] = send_one(r, "PING", 2000);
    sg_redis_cancel(&ops[0]->batch);
    sg_redis_cancel(&ops[0]->batch);
    test_run_until(&loop, &ops[2]->done, 2000);
    assert_int_equal(ops[0]->batch.err.code, SG_E_CANCELLED);
    assert_int_equal(ops[1]->batch.rc, 0);
    assert_int_equal(ops[3]->batch.err.code, SG_E_LIMIT);
    sg_redis_cancel(&ops[1]->batch); /* it is over */
    for (i = 0; i < 4; i++)
        finish(ops[i]);
    ops[0] = send_one(r, "BLPOP nothing 5", 2000);
    test_run_for(&loop, 30);
    sg_redis_cancel(&ops[0]->batch);
    ops[1] = send_one(r, "PING", 2000); /* behind the blocked one */
    test_run_for(&loop, 30);
    ops[2] = send_one(r, "PING", 2000);
    sg_redis_close(r, set_flag, &closed);
    for (i = 0; i < 3; i++) {
        assert_true(ops[i]->done);
        assert_int_equal(ops[i]->batch.err.code, SG_E_CANCELLED);
        finish(ops[i]);
    }
    test_run_until(&loop, &closed, 1000);
}

/* ---- a server that lies ---- */

struct liar {
    uv_tcp_t listener, peer;
    const char *lie;
    int reads;
    char buffer[4096];
    int port;
};

static void
liar_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct liar *l = handle->data;

    *buf = uv_buf_init(l->buffer, sizeof l->buffer);
}

/* The greeting is answered as Redis would, whatever comes then with the lie. */
static void
liar_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *unused)
{
    static const char greeting[] =
        "$49\r\nrun_id:0123456789012345678901234567890123456789\r\n\r\n+PONG\r\n";
    struct liar *l = stream->data;
    uv_buf_t buf = l->reads++ == 0 ? uv_buf_init((char *)greeting, sizeof greeting - 1)
                                   : uv_buf_init((char *)l->lie, (unsigned)strlen(l->lie));

    if (n < 0) {
        l->reads = 0;
        uv_close((uv_handle_t *)stream, NULL);
        return;
    }
    uv_try_write(stream, &buf, 1);
}

static void
liar_accept(uv_stream_t *listener, int status)
{
    struct liar *l = listener->data;

    uv_tcp_init(&loop, &l->peer);
    l->peer.data = l;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&l->peer), 0);
    uv_read_start((uv_stream_t *)&l->peer, liar_alloc, liar_read);
}

static void
replies_that_are_too_large_or_broken_drop_the_connection(void **state)
{
    static char endless[200000];
    static const struct {
        const char *lie;
        enum sg_code code;
    } cases[] = {
        {"*1000000000\r\n", SG_E_LIMIT},
        {"*2\r\n*1000\r\n", SG_E_LIMIT},
        {"*-5\r\n", SG_E_UNAVAILABLE},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", SG_E_UNAVAILABLE},
        {"?what\r\n", SG_E_UNAVAILABLE},
        {"+OK\r\n+OK\r\n", SG_OK}, /* the second answers nothing */
        {endless, SG_E_LIMIT},     /* noticed long before its end */
    };
    size_t i;

    (void)state;
    memset(endless, 'x', sizeof endless - 1);
    memcpy(endless, "$900000000\r\n", 12);
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct liar l = {.lie = cases[i].lie, .port = test_free_port()};
        struct sg_redis_options o = options();
        struct sockaddr_in a;
        struct sg_redis *r;
        struct op *op;

        uv_ip4_addr("127.0.0.1", l.port, &a);
        uv_tcp_init(&loop, &l.listener);
        l.listener.data = &l;
        assert_int_equal(uv_tcp_bind(&l.listener, (struct sockaddr *)&a, 0), 0);
        assert_int_equal(uv_listen((uv_stream_t *)&l.listener, 1, liar_accept), 0);
        o.port = l.port;
        o.max_reply_bytes = 10000;
        r = open_with(&o);
        op = run_one(r, "PING");
        assert_int_equal(op->batch.rc, cases[i].code == SG_OK ? 0 : -1);
        if (op->batch.rc != 0)
            assert_int_equal(op->batch.err.code, cases[i].code);
        test_run_for(&loop, 5);
        assert_false(sg_redis_is_up(r));
        finish(op);
        uv_close((uv_handle_t *)&l.listener, NULL);
        close_one(r);
        test_run_for(&loop, 20);
    }
}

static void
a_value_above_the_maximum_is_refused(void **state)
{
    struct sg_redis_options o = options();
    struct sg_redis *r;
    struct op *op;

    (void)state;
    o.max_reply_bytes = 200000;
    r = open_with(&o);
    finish(run_one(r, "SETRANGE toolarge 3000000 x"));
    finish(run_one(r, "SETRANGE fits 190000 x"));
    op = run_one(r, "GET toolarge");
    assert_int_equal(op->batch.err.code, SG_E_LIMIT);
    assert_false(op->batch.err.retryable);
    finish(op);
    op = run_one(r, "GET fits");
    assert_int_equal(op->batch.rc, 0);
    assert_int_equal(op->batch.generation, 2);
    finish(op);
    op = run_one(r, "MGET fits fits"); /* each fits, the reply does not */
    assert_int_equal(op->batch.err.code, SG_E_LIMIT);
    finish(op);
    close_one(r);
}

/* ---- subscriber ---- */

struct heard {
    int ups, downs;
    bool up, down, message;
    char run_id[64], channel[64], payload[64];
};

static void
on_up(void *ctx, const char *run_id)
{
    struct heard *h = ctx;

    snprintf(h->run_id, sizeof h->run_id, "%s", run_id);
    h->ups++;
    h->up = true;
}

static void
on_message(void *ctx, struct sg_slice channel, struct sg_slice payload)
{
    struct heard *h = ctx;

    snprintf(h->channel, sizeof h->channel, "%.*s", (int)channel.len, channel.ptr);
    snprintf(h->payload, sizeof h->payload, "%.*s", (int)payload.len, payload.ptr);
    h->message = true;
}

static void
on_down(void *ctx, const struct sg_err *err)
{
    struct heard *h = ctx;

    h->downs++;
    h->down = true;
}

static struct sg_redis_subscriber *
open_subscriber(struct heard *h)
{
    static const char *const patterns[] = {"__keyevent@0__:*", "news.*", NULL};
    struct sg_redis_subscriber_events events = {on_up, on_message, on_down, h};
    struct sg_redis_options o = options();
    struct sg_redis_subscriber *s;
    struct sg_err err;

    assert_int_equal(sg_redis_subscribe(&loop, sg_clock_system(), &o, patterns, &events, &s, &err),
                     0);
    assert_false(h->up);
    test_run_until(&loop, &h->up, 2000);
    return s;
}

static void
close_subscriber(struct sg_redis_subscriber *s)
{
    bool closed = false;

    sg_redis_subscriber_close(s, set_flag, &closed);
    test_run_until(&loop, &closed, 1000);
}

static void
a_subscriber_hears_every_pattern_and_says_which_server(void **state)
{
    struct sg_redis *r = open_one();
    struct heard h = {0};
    struct sg_redis_subscriber *s = open_subscriber(&h);

    (void)state;
    finish(run_one(r, "CONFIG SET notify-keyspace-events KEA"));
    assert_string_equal(h.run_id, sg_redis_run_id(r));
    h.message = false;
    finish(run_one(r, "PUBLISH news.today hello"));
    test_run_until(&loop, &h.message, 1000);
    assert_string_equal(h.channel, "news.today");
    assert_string_equal(h.payload, "hello");
    h.message = false;
    finish(run_one(r, "SET sess:1 x"));
    test_run_until(&loop, &h.message, 1000);
    assert_string_equal(h.channel, "__keyevent@0__:set");
    assert_string_equal(h.payload, "sess:1");
    test_run_for(&loop, 1500); /* pings are answered */
    assert_int_equal(h.downs, 0);
    close_subscriber(s);
    close_one(r);
}

static void
a_subscriber_tells_a_loss_and_comes_back(void **state)
{
    struct heard h = {0};
    struct sg_redis_subscriber *s = open_subscriber(&h);
    char run_id[64];

    (void)state;
    memcpy(run_id, h.run_id, sizeof run_id);
    h.up = false;
    test_redis_kill(&server);
    test_run_until(&loop, &h.down, 1000);
    test_run_for(&loop, 300);
    assert_int_equal(h.downs, 1); /* once an outage */
    test_redis_start(&server, NULL);
    test_run_until(&loop, &h.up, 3000);
    assert_string_not_equal(h.run_id, run_id);
    assert_int_equal(h.ups, 2);
    close_subscriber(s);
}

static void
a_subscriber_notices_a_silent_server(void **state)
{
    struct heard h = {0};
    struct sg_redis_subscriber *s = open_subscriber(&h);

    (void)state;
    test_run_for(&loop, 300);
    h.up = false;
    kill(server.pid, SIGSTOP);
    test_run_until(&loop, &h.down, 1700);
    kill(server.pid, SIGCONT);
    test_run_until(&loop, &h.up, 3000);
    close_subscriber(s);
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
        cmocka_unit_test(an_atomic_batch_gives_the_replies_of_exec),
        cmocka_unit_test(a_refused_transaction_happens_not_at_all),
        cmocka_unit_test(a_watched_key_that_changed_is_a_conflict),
        cmocka_unit_test(binary_arguments_and_large_pipelines_pass),
        cmocka_unit_test(what_is_submitted_during_a_write_follows_it),
        cmocka_unit_test(a_unix_socket_a_name_and_a_database_work),
        cmocka_unit_test(a_password_is_given_and_never_told),
        cmocka_unit_test(a_restart_fails_what_was_sent_and_shows_a_new_run_id),
        cmocka_unit_test(a_stopped_server_times_out_without_blocking_and_comes_back),
        cmocka_unit_test(a_late_answer_goes_to_nobody_else),
        cmocka_unit_test(cancelled_refused_and_closed_batches_are_told_once),
        cmocka_unit_test(replies_that_are_too_large_or_broken_drop_the_connection),
        cmocka_unit_test(a_value_above_the_maximum_is_refused),
        cmocka_unit_test(a_subscriber_hears_every_pattern_and_says_which_server),
        cmocka_unit_test(a_subscriber_tells_a_loss_and_comes_back),
        cmocka_unit_test(a_subscriber_notices_a_silent_server),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
