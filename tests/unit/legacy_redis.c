/* SPDX-License-Identifier: MIT */
#include "legacy_redis.h"

#include <signal.h>
#include <string.h>

struct test_redis server;
char url[128];
redisContext *app;
uv_loop_t loop;
struct sg_legacy_store *store;
static struct call asked;

/* ---- the server ---- */

void
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

void
kill_server(void)
{
    redisFree(app);
    app = NULL;
    test_redis_kill(&server);
}

long long
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

void
assert_value(const char *key, const char *want)
{
    redisReply *r = redisCommand(app, "GET %s", key);

    assert_non_null(r);
    assert_int_equal(r->type, REDIS_REPLY_STRING);
    assert_string_equal(r->str, want);
    freeReplyObject(r);
}

/* ---- the loop ---- */

void
set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static struct sg_legacy_store *
open_by(const char *at, const char *prefix, bool psync)
{
    const struct sg_legacy_store_options options = {
        .url = at, .realm = "web", .key_prefix = prefix, .timeout_ms = 1000, .psync = psync};
    struct sg_legacy_store *s = NULL;
    struct sg_err err;

    if (sg_legacy_store_find("redis")->open(&loop, sg_clock_system(), &options, &s, &err) != 0)
        fail_msg("%s: %s", err.place, err.text);
    return s;
}

struct sg_legacy_store *
open_at(const char *at, const char *prefix)
{
    return open_by(at, prefix, false);
}

struct sg_legacy_store *
open_psync_at(const char *at, const char *prefix)
{
    return open_by(at, prefix, true);
}

void
close_store(struct sg_legacy_store *s)
{
    bool closed = false;

    s->type->close(s, set_flag, &closed);
    test_run_until(&loop, &closed, 3000);
}

int
setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* as the program does */
    memset(&server, 0, sizeof server);
    start_server();
    snprintf(url, sizeof url, "unix://%s", server.socket);
    uv_loop_init(&loop);
    store = open_at(url, "sess:");
    return 0;
}

int
teardown(void **state)
{
    (void)state;
    sg_legacy_request_clear(&asked.q);
    close_store(store);
    assert_int_equal(uv_loop_close(&loop), 0);
    redisFree(app);
    test_redis_stop(&server);
    return 0;
}

/* ---- requests ---- */

static void
call_done(struct sg_legacy_request *q)
{
    struct call *c = sg_container_of(q, struct call, q);

    assert_false(c->done);
    c->done = true;
}

void
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

struct call *
ask(enum sg_legacy_op op, const char *key, const char *value, int64_t ttl_ms)
{
    struct call *c = &asked;

    sg_legacy_request_clear(&c->q);
    begin_at(c, store, op, key, value, ttl_ms, 3000);
    test_run_until(&loop, &c->done, 5000);
    if (c->q.rc != 0)
        fprintf(stderr, "# %s: %s: %s\n", sg_code_name(c->q.err.code), c->q.err.place,
                c->q.err.text);
    return c;
}

static void
page_done(struct sg_legacy_scan *scan)
{
    sg_container_of(scan, struct page, scan)->done = true;
}

void
begin_page(struct sg_legacy_store *s, struct page *p, int keys)
{
    p->done = false;
    p->scan.page_keys = keys;
    p->scan.done = page_done;
    p->scan.deadline_ns = sg_mono_ns(sg_clock_system()) + 5000 * SG_NS_PER_MS;
    s->type->scan(s, &p->scan);
    assert_false(p->done);
}

void
next_page(struct sg_legacy_store *s, struct page *p, int keys)
{
    begin_page(s, p, keys);
    test_run_until(&loop, &p->done, 8000);
}

/* ---- following ---- */

static void
told_up(void *ctx, const char *run_id)
{
    struct told *t = ctx;

    assert_false(t->up);
    t->up = true;
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

struct sg_legacy_follower *
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

void
stop_following(struct sg_legacy_store *s, struct sg_legacy_follower *f)
{
    bool closed = false;

    s->type->unfollow(f, set_flag, &closed);
    test_run_until(&loop, &closed, 3000);
}

void
await_line(struct told *t, const char *line)
{
    t->wanted = line;
    t->seen = strstr(t->log, line) != NULL;
    test_run_until(&loop, &t->seen, 3000);
}
