/* SPDX-License-Identifier: MIT */
/* The "redis" store against a real redis-server, over its Unix socket; "the app" is
 * a plain blocking connection beside it. */
#include "legacy/legacy.h"
#include "legacy/redis_url.h"
#include "servers.h"

#include <hiredis/hiredis.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants stdarg.h, stdint.h and setjmp.h first */
#include <cmocka.h>

static struct test_redis server;
static char url[128];
static redisContext *app;
static uv_loop_t loop;
static struct sg_legacy_store *store;

/* ---- the server ---- */

static void
start_server(void)
{
    static const char *const args[] = {"--hz", "100", NULL};
    int tries;

    test_redis_start(&server, args);
    /* the Unix socket opens a moment after the port */
    for (tries = 0; (app = redisConnectUnix(server.socket)) == NULL || app->err != 0; tries++) {
        redisFree(app);
        assert_in_range(tries, 0, 200);
        test_sleep_ms(10);
    }
}

static void
kill_server(void)
{
    redisFree(app);
    app = NULL;
    test_redis_kill(&server);
}

/* What the app says to the server; returns the integer, or the length of a string, or -1. */
static long long
say(const char *format, ...)
{
    redisReply *r;
    long long n = -1;
    va_list ap;

    va_start(ap, format);
    r = redisvCommand(app, format, ap);
    va_end(ap);
    assert_non_null(r);
    if (r->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, r->str);
    if (r->type == REDIS_REPLY_INTEGER)
        n = r->integer;
    if (r->type == REDIS_REPLY_STRING)
        n = (long long)r->len;
    freeReplyObject(r);
    return n;
}

static void
assert_value(const char *key, const char *want)
{
    redisReply *r = redisCommand(app, "GET %s", key);

    assert_non_null(r);
    assert_int_equal(r->type, REDIS_REPLY_STRING);
    assert_string_equal(r->str, want);
    freeReplyObject(r);
}

/* ---- the loop ---- */

static void
set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static struct sg_legacy_store *
open_at(const char *at, const char *prefix)
{
    const struct sg_legacy_store_options options = {
        .url = at, .realm = "web", .key_prefix = prefix, .timeout_ms = 1000};
    struct sg_legacy_store *s = NULL;
    struct sg_err err;

    if (sg_legacy_store_find("redis")->open(&loop, sg_clock_system(), &options, &s, &err) != 0)
        fail_msg("%s: %s", err.place, err.text);
    return s;
}

static void
close_store(struct sg_legacy_store *s)
{
    bool closed = false;

    s->type->close(s, set_flag, &closed);
    test_run_until(&loop, &closed, 3000);
}

static int
setup(void **state)
{
    (void)state;
    memset(&server, 0, sizeof server);
    start_server();
    snprintf(url, sizeof url, "unix://%s", server.socket);
    uv_loop_init(&loop);
    store = open_at(url, "sess:");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    close_store(store);
    assert_int_equal(uv_loop_close(&loop), 0);
    redisFree(app);
    test_redis_stop(&server);
    return 0;
}

/* ---- requests ---- */

struct call {
    struct sg_legacy_request q;
    bool done;
};

static void
call_done(struct sg_legacy_request *q)
{
    struct call *c = sg_container_of(q, struct call, q);

    assert_false(c->done);
    c->done = true;
}

static void
begin_at(struct call *c, struct sg_legacy_store *s, enum sg_legacy_op op, const char *key,
         const char *value, int64_t ttl_ms, int deadline_ms)
{
    memset(c, 0, sizeof *c);
    c->q.op = op;
    snprintf(c->q.key, sizeof c->q.key, "%s", key);
    c->q.value = sg_str(value);
    c->q.ttl_ms = ttl_ms;
    c->q.deadline_ns = sg_mono_ns(sg_clock_system()) + (uint64_t)deadline_ms * SG_NS_PER_MS;
    c->q.done = call_done;
    s->type->submit(s, &c->q);
    assert_false(c->done);
}

static struct call *
ask(enum sg_legacy_op op, const char *key, const char *value, int64_t ttl_ms)
{
    static struct call c;

    sg_legacy_request_clear(&c.q);
    begin_at(&c, store, op, key, value, ttl_ms, 3000);
    test_run_until(&loop, &c.done, 5000);
    if (c.q.rc != 0)
        fprintf(stderr, "# %s: %s: %s\n", sg_code_name(c.q.err.code), c.q.err.place, c.q.err.text);
    return &c;
}

static void
clear_call(struct call *c)
{
    sg_legacy_request_clear(&c->q);
}

static void
read_tells_value_ttl_and_proof(void **state)
{
    struct call *c;

    (void)state;
    say("SET sess:a hello PX 60000");
    say("SET sess:forever %b", "x\0y", (size_t)3);
    c = ask(SG_LEGACY_READ, "sess:a", NULL, 0);
    assert_int_equal(c->q.rc, 0);
    assert_true(c->q.found);
    assert_string_equal(c->q.read_value.ptr, "hello");
    assert_in_range(c->q.read_ttl_ms, 50000, 60000);
    assert_int_equal(strlen(c->q.proof.run_id), 40);
    assert_true(c->q.proof.generation > 0);
    c = ask(SG_LEGACY_READ, "sess:forever", NULL, 0);
    assert_true(c->q.found);
    assert_int_equal(c->q.read_ttl_ms, -1);
    assert_int_equal(c->q.read_value.len, 3);
    assert_memory_equal(c->q.read_value.ptr, "x\0y", 3);
    c = ask(SG_LEGACY_READ, "sess:none", NULL, 0);
    assert_int_equal(c->q.rc, 0);
    assert_false(c->q.found);
    clear_call(c);
}

static void
empty_value_is_found(void **state)
{
    struct call *c;

    (void)state;
    say("SET sess:empty %s PX 60000", "");
    c = ask(SG_LEGACY_READ, "sess:empty", NULL, 0);
    assert_int_equal(c->q.rc, 0);
    assert_true(c->q.found);
    assert_int_equal(c->q.read_value.len, 0);
    clear_call(c);
}

static void
other_type_is_invalid(void **state)
{
    struct call *c;

    (void)state;
    say("HSET sess:h f v");
    c = ask(SG_LEGACY_READ, "sess:h", NULL, 0);
    assert_int_equal(c->q.rc, -1);
    assert_int_equal(c->q.err.code, SG_E_INVALID);
    assert_non_null(strstr(c->q.err.text, "not a string"));
    assert_null(strstr(c->q.err.text, "sess:h"));
}

static void
record_over_the_bound_is_refused_and_the_connection_stays(void **state)
{
    struct call *c;
    uint64_t generation;

    (void)state;
    say("SETRANGE sess:max %d x", SG_LEGACY_VALUE_MAX - 1);
    say("SETRANGE sess:over %d x", SG_LEGACY_VALUE_MAX);
    say("SETRANGE sess:huge %d x", 20 * SG_LEGACY_VALUE_MAX);
    c = ask(SG_LEGACY_READ, "sess:max", NULL, 0);
    assert_int_equal(c->q.rc, 0);
    assert_int_equal(c->q.read_value.len, SG_LEGACY_VALUE_MAX);
    generation = c->q.proof.generation;
    c = ask(SG_LEGACY_READ, "sess:over", NULL, 0);
    assert_int_equal(c->q.rc, -1);
    assert_int_equal(c->q.err.code, SG_E_INVALID);
    c = ask(SG_LEGACY_READ, "sess:huge", NULL, 0);
    assert_int_equal(c->q.rc, -1);
    c = ask(SG_LEGACY_READ, "sess:none", NULL, 0);
    assert_int_equal(c->q.rc, 0);
    assert_int_equal(c->q.proof.generation, generation);
}

static void
touch_lengthens_never_shortens_and_keeps_the_value(void **state)
{
    struct call *c;

    (void)state;
    say("SET sess:a hello PX 60000");
    c = ask(SG_LEGACY_TOUCH, "sess:a", NULL, 600000);
    assert_int_equal(c->q.rc, 0);
    assert_true(c->q.found);
    assert_in_range(say("PTTL sess:a"), 590000, 600000);
    ask(SG_LEGACY_TOUCH, "sess:a", NULL, 1000);
    assert_in_range(say("PTTL sess:a"), 590000, 600000);
    ask(SG_LEGACY_TOUCH, "sess:a", NULL, -5);
    assert_in_range(say("PTTL sess:a"), 590000, 600000);
    assert_value("sess:a", "hello");
    say("SET sess:forever x");
    c = ask(SG_LEGACY_TOUCH, "sess:forever", NULL, 1000);
    assert_true(c->q.found);
    assert_int_equal(say("PTTL sess:forever"), -1);
    c = ask(SG_LEGACY_TOUCH, "sess:none", NULL, 1000);
    assert_int_equal(c->q.rc, 0);
    assert_false(c->q.found);
    assert_int_equal(say("EXISTS sess:none"), 0);
}

static void
create_writes_only_where_nothing_is(void **state)
{
    struct call *c;

    (void)state;
    c = ask(SG_LEGACY_CREATE, "sess:new", "one", 60000);
    assert_int_equal(c->q.rc, 0);
    assert_false(c->q.found);
    assert_value("sess:new", "one");
    assert_in_range(say("PTTL sess:new"), 50000, 60000);
    c = ask(SG_LEGACY_CREATE, "sess:new", "two", 90000);
    assert_int_equal(c->q.rc, 0);
    assert_true(c->q.found);
    assert_value("sess:new", "one");
    assert_in_range(say("PTTL sess:new"), 50000, 60000);
    c = ask(SG_LEGACY_CREATE, "sess:zero", "x", 0);
    assert_int_equal(c->q.rc, -1);
    assert_int_equal(say("EXISTS sess:zero"), 0);
}

static void
end_tells_whether_it_was_there(void **state)
{
    struct call *c;

    (void)state;
    say("SET sess:a hello");
    c = ask(SG_LEGACY_END, "sess:a", NULL, 0);
    assert_int_equal(c->q.rc, 0);
    assert_true(c->q.found);
    assert_int_equal(say("EXISTS sess:a"), 0);
    c = ask(SG_LEGACY_END, "sess:a", NULL, 0);
    assert_int_equal(c->q.rc, 0);
    assert_false(c->q.found);
}

static void
sentinel_is_read_with_every_answer(void **state)
{
    static const enum sg_legacy_op ops[] = {SG_LEGACY_READ, SG_LEGACY_TOUCH, SG_LEGACY_CREATE,
                                            SG_LEGACY_END, SG_LEGACY_HEARTBEAT};
    struct call *c;
    size_t i;

    (void)state;
    c = ask(SG_LEGACY_READ, "sess:a", NULL, 0);
    assert_string_equal(c->q.proof.sentinel, "");
    c = ask(SG_LEGACY_PUT_SENTINEL, "", "s-1", 0);
    assert_int_equal(c->q.rc, 0);
    assert_string_equal(c->q.proof.sentinel, "s-1");
    assert_value("segue:sentinel:web", "s-1");
    assert_int_equal(say("PTTL segue:sentinel:web"), -1);
    for (i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        c = ask(ops[i], "sess:a", "v", 1000);
        assert_int_equal(c->q.rc, 0);
        assert_string_equal(c->q.proof.sentinel, "s-1");
    }
    say("FLUSHDB");
    c = ask(SG_LEGACY_READ, "sess:a", NULL, 0);
    assert_string_equal(c->q.proof.sentinel, "");
    say("HSET segue:sentinel:web f v");
    c = ask(SG_LEGACY_READ, "sess:a", NULL, 0);
    assert_int_equal(c->q.rc, 0);
    assert_string_equal(c->q.proof.sentinel, "");
    say("SETRANGE segue:sentinel:other %d x", 100);
    say("RENAME segue:sentinel:other segue:sentinel:web");
    c = ask(SG_LEGACY_READ, "sess:a", NULL, 0);
    assert_string_equal(c->q.proof.sentinel, "");
}

static void
heartbeat_counts_flushes_and_evictions(void **state)
{
    struct call *c;
    int64_t flushes;

    (void)state;
    c = ask(SG_LEGACY_HEARTBEAT, "", "beat", 0);
    assert_int_equal(c->q.rc, 0);
    assert_value("segue:heartbeat:web", "beat");
    assert_int_equal(say("PTTL segue:heartbeat:web"), -1);
    assert_int_equal(c->q.evicted_keys, 0);
    flushes = c->q.flushes;
    say("FLUSHALL");
    say("FLUSHDB");
    c = ask(SG_LEGACY_HEARTBEAT, "", "beat", 0);
    assert_int_equal(c->q.flushes, flushes + 2);
}

static void
answers_carry_the_run_id_of_who_answered(void **state)
{
    struct call *c = ask(SG_LEGACY_READ, "sess:a", NULL, 0);
    struct sg_legacy_proof before = c->q.proof;

    (void)state;
    kill_server();
    start_server();
    do
        c = ask(SG_LEGACY_READ, "sess:a", NULL, 0);
    while (c->q.rc != 0);
    assert_int_equal(strlen(c->q.proof.run_id), 40);
    assert_string_not_equal(c->q.proof.run_id, before.run_id);
    assert_true(c->q.proof.generation > before.generation);
}

static void
stopped_server_costs_the_deadline_and_no_more(void **state)
{
    struct call c, cancelled;
    uint64_t from;

    (void)state;
    ask(SG_LEGACY_READ, "sess:a", NULL, 0);
    kill(server.pid, SIGSTOP);
    from = sg_mono_ns(sg_clock_system());
    begin_at(&c, store, SG_LEGACY_READ, "sess:a", NULL, 0, 200);
    begin_at(&cancelled, store, SG_LEGACY_READ, "sess:a", NULL, 0, 5000);
    store->type->cancel(&cancelled.q);
    test_run_until(&loop, &c.done, 3000);
    assert_true(sg_mono_ns(sg_clock_system()) - from < 1000 * SG_NS_PER_MS);
    kill(server.pid, SIGCONT);
    assert_int_equal(c.q.rc, -1);
    assert_int_equal(c.q.err.code, SG_E_TIMEOUT);
    assert_true(c.q.err.retryable);
    test_run_until(&loop, &cancelled.done, 3000);
    assert_int_equal(cancelled.q.rc, -1);
    assert_int_equal(cancelled.q.err.code, SG_E_CANCELLED);
}

static void
wrong_password_is_told_without_it(void **state)
{
    struct sg_legacy_store *s;
    char at[160];
    struct call c;

    (void)state;
    say("ACL SETUSER ann on >right ~* &* +@all");
    snprintf(at, sizeof at, "unix://ann:hunter2@%s", server.socket);
    s = open_at(at, "sess:");
    begin_at(&c, s, SG_LEGACY_READ, "sess:a", NULL, 0, 500);
    test_run_until(&loop, &c.done, 3000);
    assert_int_equal(c.q.rc, -1);
    assert_null(strstr(c.q.err.text, "hunter2"));
    assert_null(strstr(c.q.err.place, "hunter2"));
    close_store(s);
    snprintf(at, sizeof at, "unix://ann:right@%s?db=3", server.socket);
    s = open_at(at, "sess:");
    begin_at(&c, s, SG_LEGACY_CREATE, "sess:a", "v", 60000, 3000);
    test_run_until(&loop, &c.done, 3000);
    assert_int_equal(c.q.rc, 0);
    assert_int_equal(say("EXISTS sess:a"), 0);
    say("SELECT 3");
    assert_int_equal(say("EXISTS sess:a"), 1);
    say("SELECT 0");
    close_store(s);
}

static void
refused_command_is_told_without_its_arguments(void **state)
{
    struct sg_legacy_store *s;
    char at[160];
    struct call c;

    (void)state;
    say("ACL SETUSER bob on >pw ~* &* +@all -del");
    snprintf(at, sizeof at, "unix://bob:pw@%s", server.socket);
    s = open_at(at, "sess:");
    begin_at(&c, s, SG_LEGACY_END, "sess:secret", NULL, 0, 3000);
    test_run_until(&loop, &c.done, 3000);
    assert_int_equal(c.q.rc, -1);
    assert_null(strstr(c.q.err.text, "sess:secret"));
    close_store(s);
}

/* ---- scan ---- */

struct page {
    struct sg_legacy_scan scan;
    bool done;
};

static void
page_done(struct sg_legacy_scan *scan)
{
    sg_container_of(scan, struct page, scan)->done = true;
}

static struct page *
next_page(struct sg_legacy_store *s, struct page *p, int keys)
{
    p->done = false;
    p->scan.page_keys = keys;
    p->scan.done = page_done;
    p->scan.deadline_ns = sg_mono_ns(sg_clock_system()) + 5000 * SG_NS_PER_MS;
    s->type->scan(s, &p->scan);
    assert_false(p->done);
    test_run_until(&loop, &p->done, 8000);
    return p;
}

static void
scan_finds_every_key_once_with_value_and_ttl(void **state)
{
    enum { KEYS = 500 };
    static unsigned char seen[KEYS];
    struct page p = {.scan.cursor = "0"};
    int i, n;

    (void)state;
    memset(seen, 0, sizeof seen);
    for (i = 0; i < KEYS; i++)
        say("SET sess:%d value-%d PX %d", i, i, 100000 + i);
    for (i = 0; i < KEYS; i++)
        say("SET other:%d x", i);
    ask(SG_LEGACY_PUT_SENTINEL, "", "s-1", 0);
    do {
        next_page(store, &p, 40);
        assert_int_equal(p.scan.rc, 0);
        assert_string_equal(p.scan.proof.sentinel, "s-1");
        assert_int_equal(strlen(p.scan.proof.run_id), 40);
        for (i = 0; i < p.scan.n_items; i++) {
            const struct sg_legacy_item *it = &p.scan.items[i];
            char value[32];

            assert_true(sg_slice_starts(it->key, "sess:"));
            n = atoi(it->key.ptr + 5);
            assert_in_range(n, 0, KEYS - 1);
            seen[n]++;
            snprintf(value, sizeof value, "value-%d", n);
            assert_true(sg_slice_eq(it->value, sg_str(value)));
            assert_in_range(it->ttl_ms, 50000, 100000 + n);
            assert_false(it->wrong_type);
        }
        sg_legacy_scan_clear(&p.scan);
    } while (strcmp(p.scan.cursor, "0") != 0);
    for (i = 0; i < KEYS; i++)
        assert_int_equal(seen[i], 1);
}

static void
scan_tells_other_types_and_hides_own_keys(void **state)
{
    struct sg_legacy_store *all = open_at(url, "");
    struct page p = {.scan.cursor = "0"};
    int i;

    (void)state;
    say("HSET h f v");
    say("SET forever x");
    say("SET empty %s", "");
    say("SETRANGE huge %d x", 3 * SG_LEGACY_VALUE_MAX);
    say("SET segue:sentinel:web s");
    say("SET segue:anything s");
    next_page(all, &p, 1000);
    assert_int_equal(p.scan.rc, 0);
    assert_string_equal(p.scan.cursor, "0");
    assert_int_equal(p.scan.n_items, 4);
    for (i = 0; i < p.scan.n_items; i++) {
        const struct sg_legacy_item *it = &p.scan.items[i];

        assert_int_equal(it->ttl_ms, -1);
        assert_int_equal(it->wrong_type, it->key.len == 1);
        assert_int_equal(it->value.ptr == NULL, it->key.len == 1);
        if (sg_slice_starts(it->key, "huge"))
            assert_int_equal(it->value.len, SG_LEGACY_VALUE_MAX + 1);
        if (sg_slice_starts(it->key, "empty"))
            assert_int_equal(it->value.len, 0);
    }
    sg_legacy_scan_clear(&p.scan);
    close_store(all);
}

static void
prefix_is_taken_literally(void **state)
{
    struct sg_legacy_store *odd = open_at(url, "s*[a]?\\^:");
    struct page p = {.scan.cursor = "0"};

    (void)state;
    say("SET %s x", "s*[a]?\\^:1");
    say("SET %s x", "sXa?\\^:2");
    say("SET %s x", "s*a?^:3");
    next_page(odd, &p, 1000);
    assert_int_equal(p.scan.rc, 0);
    assert_int_equal(p.scan.n_items, 1);
    assert_true(sg_slice_eq(p.scan.items[0].key, sg_str("s*[a]?\\^:1")));
    sg_legacy_scan_clear(&p.scan);
    close_store(odd);
}

static void
bad_cursor_fails_and_is_kept(void **state)
{
    struct page p = {.scan.cursor = "nonsense"};

    (void)state;
    next_page(store, &p, 10);
    assert_int_equal(p.scan.rc, -1);
    assert_string_equal(p.scan.cursor, "nonsense");
    assert_null(p.scan.items);
}

/* ---- follow ---- */

struct told {
    bool up;
    int ups, downs;
    char run_id[48];
    struct sg_err err;
    char log[4096]; /* "SET sess:a\n…" */
    const char *wanted;
    bool seen, down;
};

static void
told_up(void *ctx, const char *run_id)
{
    struct told *t = ctx;

    assert_false(t->up);
    t->up = true;
    t->down = false;
    t->ups++;
    snprintf(t->run_id, sizeof t->run_id, "%s", run_id);
}

static void
told_down(void *ctx, const struct sg_err *err)
{
    struct told *t = ctx;

    t->up = false;
    t->down = true;
    t->downs++;
    t->err = *err;
}

static void
told_change(void *ctx, enum sg_legacy_change change, struct sg_slice key)
{
    static const char *const names[] = {"SET",          "DELETED",    "EXPIRED",  "EVICTED",
                                        "RENAMED_FROM", "RENAMED_TO", "HEARTBEAT"};
    struct told *t = ctx;
    size_t n = strlen(t->log);

    assert_true(t->up);
    snprintf(t->log + n, sizeof t->log - n, "%s %.*s\n", names[change], (int)key.len, key.ptr);
    t->seen = t->wanted != NULL && strstr(t->log, t->wanted) != NULL;
}

static struct sg_legacy_follower *
start_following(struct sg_legacy_store *s, struct told *t)
{
    const struct sg_legacy_follow_events events = {
        .up = told_up, .change = told_change, .down = told_down, .ctx = t};
    struct sg_legacy_follower *f;
    struct sg_err err;

    memset(t, 0, sizeof *t);
    assert_int_equal(s->type->follow(s, &events, &f, &err), 0);
    return f;
}

static void
stop_following(struct sg_legacy_store *s, struct sg_legacy_follower *f)
{
    bool closed = false;

    s->type->unfollow(f, set_flag, &closed);
    test_run_until(&loop, &closed, 3000);
}

static void
await_line(struct told *t, const char *line)
{
    t->wanted = line;
    t->seen = strstr(t->log, line) != NULL;
    test_run_until(&loop, &t->seen, 3000);
}

static void
every_kind_of_change_is_told(void **state)
{
    struct told t;
    struct sg_legacy_follower *f = start_following(store, &t);

    (void)state;
    test_run_until(&loop, &t.up, 3000);
    assert_int_equal(strlen(t.run_id), 40);
    say("SET sess:a x");
    say("EXPIRE sess:a 100");
    say("APPEND sess:a y");
    say("SET other:a x");
    say("SET segue:sentinel:web x");
    say("DEL sess:a other:a");
    say("SET sess:b x EX 100");
    say("RENAME sess:b sess:c");
    say("UNLINK sess:c");
    say("SET sess:short x PX 30");
    await_line(&t, "EXPIRED sess:short\n");
    assert_string_equal(t.log, "SET sess:a\nSET sess:a\nSET sess:a\nDELETED sess:a\n"
                               "SET sess:b\nSET sess:b\nRENAMED_FROM sess:b\nRENAMED_TO sess:c\n"
                               "DELETED sess:c\nSET sess:short\nSET sess:short\n"
                               "EXPIRED sess:short\n");
    stop_following(store, f);
}

static void
eviction_is_not_told_as_deletion(void **state)
{
    struct told t;
    struct sg_legacy_follower *f = start_following(store, &t);
    struct call *c;
    int i;

    (void)state;
    test_run_until(&loop, &t.up, 3000);
    for (i = 0; i < 20; i++)
        say("SETRANGE sess:%d 100000 x", i);
    say("CONFIG SET maxmemory-policy allkeys-lru");
    say("CONFIG SET maxmemory 1500000");
    redisReply *r = redisCommand(app, "SET other x"); /* evicts; may itself be refused */
    freeReplyObject(r);
    say("CONFIG SET maxmemory 0");
    await_line(&t, "EVICTED sess:");
    assert_null(strstr(t.log, "DELETED"));
    c = ask(SG_LEGACY_HEARTBEAT, "", "x", 0);
    assert_true(c->q.evicted_keys > 0);
    stop_following(store, f);
}

static void
own_heartbeat_comes_back(void **state)
{
    struct told t;
    struct sg_legacy_follower *f = start_following(store, &t);

    (void)state;
    test_run_until(&loop, &t.up, 3000);
    say("SET segue:heartbeat:other x");
    ask(SG_LEGACY_HEARTBEAT, "", "1", 0);
    await_line(&t, "HEARTBEAT web\n");
    assert_string_equal(t.log, "HEARTBEAT web\n");
    stop_following(store, f);
}

static bool
setting_is(const char *want)
{
    redisReply *r = redisCommand(app, "CONFIG GET notify-keyspace-events");
    bool same = r != NULL && r->elements == 2 && strcmp(r->element[1]->str, want) == 0;

    if (!same && r != NULL && r->elements == 2)
        fprintf(stderr, "# setting is %s\n", r->element[1]->str);
    freeReplyObject(r);
    return same;
}

static void
missing_notifications_are_added_to_what_was_there(void **state)
{
    struct sg_legacy_follower *f;
    struct told t;

    (void)state;
    say("CONFIG SET notify-keyspace-events Elx");
    f = start_following(store, &t);
    test_run_until(&loop, &t.up, 3000);
    assert_true(setting_is("g$lxeKE"));
    stop_following(store, f);
    say("CONFIG SET notify-keyspace-events KA");
    f = start_following(store, &t);
    test_run_until(&loop, &t.up, 3000);
    assert_true(setting_is("AK"));
    stop_following(store, f);
}

static void
taking_notifications_away_breaks_continuity_and_is_repaired(void **state)
{
    struct told t;
    struct sg_legacy_follower *f = start_following(store, &t);

    (void)state;
    test_run_until(&loop, &t.up, 3000);
    say("CONFIG SET notify-keyspace-events %s", "");
    test_run_until(&loop, &t.down, 3000);
    assert_non_null(strstr(t.err.text, "notify-keyspace-events"));
    test_run_until(&loop, &t.up, 3000);
    say("SET sess:a x");
    await_line(&t, "SET sess:a\n");
    stop_following(store, f);
}

static void
forbidden_setting_is_named_exactly(void **state)
{
    struct sg_legacy_follower *f;
    struct sg_legacy_store *s;
    struct told t;
    char at[160];

    (void)state;
    say("CONFIG SET notify-keyspace-events Elx");
    say("ACL SETUSER bob on >pw ~* &* +@all -config|set");
    snprintf(at, sizeof at, "unix://bob:pw@%s", server.socket);
    s = open_at(at, "sess:");
    f = start_following(s, &t);
    test_run_until(&loop, &t.down, 3000);
    assert_int_equal(t.ups, 0);
    assert_int_equal(t.err.code, SG_E_DENIED);
    assert_non_null(strstr(t.err.text, "notify-keyspace-events \"lxEKg$e\""));
    /* the operator follows the advice */
    say("CONFIG SET notify-keyspace-events lxEKg$e");
    test_run_until(&loop, &t.up, 3000);
    assert_int_equal(t.downs, 1);
    stop_following(s, f);
    say("ACL SETUSER bob -config");
    f = start_following(s, &t);
    test_run_until(&loop, &t.down, 3000);
    assert_non_null(strstr(t.err.text, "CONFIG GET"));
    stop_following(s, f);
    close_store(s);
}

static void
lost_connection_is_down_then_up_with_the_new_run_id(void **state)
{
    struct told t;
    struct sg_legacy_follower *f = start_following(store, &t);
    char before[48];

    (void)state;
    test_run_until(&loop, &t.up, 3000);
    snprintf(before, sizeof before, "%s", t.run_id);
    say("CLIENT KILL TYPE pubsub");
    test_run_until(&loop, &t.down, 3000);
    test_run_until(&loop, &t.up, 3000);
    assert_string_equal(t.run_id, before);
    t.down = false;
    kill_server();
    test_run_until(&loop, &t.down, 3000);
    start_server();
    test_run_until(&loop, &t.up, 8000);
    assert_string_not_equal(t.run_id, before);
    say("SET sess:a x");
    await_line(&t, "SET sess:a\n");
    stop_following(store, f);
}

/* ---- URLs ---- */

static void
urls_are_read(void **state)
{
    static const struct {
        const char *url, *host, *user, *password, *name;
        int port, database;
    } t[] = {
        {"redis://127.0.0.1:6380/2", "127.0.0.1", "", "", "redis 127.0.0.1:6380", 6380, 2},
        {"redis://localhost", "localhost", "", "", "redis localhost:6379", 6379, 0},
        {"redis://:p%40ss@h:1/", "h", "", "p@ss", "redis h:1", 1, 0},
        {"redis://ann:a:b@h", "h", "ann", "a:b", "redis h:6379", 6379, 0},
        {"redis://ann:a@b@h", "h", "ann", "a@b", "redis h:6379", 6379, 0},
        {"redis://[::1]:7000/1", "::1", "", "", "redis ::1:7000", 7000, 1},
        {"unix:///run/redis.sock", "/run/redis.sock", "", "", "redis /run/redis.sock", 6379, 0},
        {"unix:///a%20b?db=4", "/a b", "", "", "redis /a b", 6379, 4},
        {"unix://u:p@/s", "/s", "u", "p", "redis /s", 6379, 0},
    };
    struct sg_redis_url u;
    struct sg_err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof t / sizeof t[0]; i++) {
        assert_int_equal(sg_redis_url_parse(t[i].url, &u, &err), 0);
        assert_string_equal(u.host, t[i].host);
        assert_string_equal(u.user, t[i].user);
        assert_string_equal(u.password, t[i].password);
        assert_string_equal(u.name, t[i].name);
        assert_int_equal(u.port, t[i].port);
        assert_int_equal(u.database, t[i].database);
    }
}

static void
bad_urls_are_refused_without_an_echo(void **state)
{
    static const char *const bad[] = {
        "",
        "hunter2",
        "http://u:hunter2@h",
        "rediss://u:hunter2@h",
        "redis://",
        "redis://u:hunter2@",
        "redis://hunter2@h",
        "redis://u:hunter2@h:0",
        "redis://u:hunter2@h:65536",
        "redis://u:hunter2@h:6379/x",
        "redis://u:hunter2@h:6379/-1",
        "redis://u:hunter2@h:6379/0?x=1",
        "redis://u:hunter2@h?x",
        "redis://u:hunter2%4@h",
        "redis://u:hunter2%00@h",
        "redis://u:hun/ter2@h:6379/0",
        "redis://u:hunter2@[::1",
        "redis://u:hunter2@[::1]6379",
        "unix://u:hunter2@",
        "unix://u:hunter2@/",
        "unix://u:hunter2@/s?db=x",
        "unix://u:hunter2@/s?x=1",
        "unix://hunter2/s",
    };
    struct sg_redis_url u;
    struct sg_err err;
    char longest[2048];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memset(&err, 0, sizeof err);
        assert_int_equal(sg_redis_url_parse(bad[i], &u, &err), -1);
        assert_int_equal(err.code, SG_E_INVALID);
        assert_null(strstr(err.text, "hun"));
        assert_null(strstr(err.place, "hun"));
    }
    snprintf(longest, sizeof longest, "redis://u:%01000d@h", 7);
    assert_int_equal(sg_redis_url_parse(longest, &u, &err), -1);
    snprintf(longest, sizeof longest, "redis://%01000d", 7);
    assert_int_equal(sg_redis_url_parse(longest, &u, &err), -1);
}

#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_read),
        cmocka_unit_test(bad_urls_are_refused_without_an_echo),
        WITH_SERVER(read_tells_value_ttl_and_proof),
        WITH_SERVER(empty_value_is_found),
        WITH_SERVER(other_type_is_invalid),
        WITH_SERVER(record_over_the_bound_is_refused_and_the_connection_stays),
        WITH_SERVER(touch_lengthens_never_shortens_and_keeps_the_value),
        WITH_SERVER(create_writes_only_where_nothing_is),
        WITH_SERVER(end_tells_whether_it_was_there),
        WITH_SERVER(sentinel_is_read_with_every_answer),
        WITH_SERVER(heartbeat_counts_flushes_and_evictions),
        WITH_SERVER(answers_carry_the_run_id_of_who_answered),
        WITH_SERVER(stopped_server_costs_the_deadline_and_no_more),
        WITH_SERVER(wrong_password_is_told_without_it),
        WITH_SERVER(refused_command_is_told_without_its_arguments),
        WITH_SERVER(scan_finds_every_key_once_with_value_and_ttl),
        WITH_SERVER(scan_tells_other_types_and_hides_own_keys),
        WITH_SERVER(prefix_is_taken_literally),
        WITH_SERVER(bad_cursor_fails_and_is_kept),
        WITH_SERVER(every_kind_of_change_is_told),
        WITH_SERVER(eviction_is_not_told_as_deletion),
        WITH_SERVER(own_heartbeat_comes_back),
        WITH_SERVER(missing_notifications_are_added_to_what_was_there),
        WITH_SERVER(taking_notifications_away_breaks_continuity_and_is_repaired),
        WITH_SERVER(forbidden_setting_is_named_exactly),
        WITH_SERVER(lost_connection_is_down_then_up_with_the_new_run_id),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
