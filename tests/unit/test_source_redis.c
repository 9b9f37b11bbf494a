/* SPDX-License-Identifier: MIT */
/* The "redis" source against real servers. */
#include "base/clock.h"
#include "servers.h"
#include "source/redis_keys.h"
#include "source/source.h"

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka.h wants some of the above first */
#include <cmocka.h>

#define MB ((int64_t)1 << 20)

static struct test_redis server;
static redisContext *app;
static char url[160];
static struct sg_err err;
static atomic_bool stop;

static void
connect_app(void)
{
    int i;

    /* The port was there first. */
    for (i = 0; (app = redisConnectUnix(server.socket)) != NULL && app->err != 0 && i < 1000; i++) {
        redisFree(app);
        test_sleep_ms(1);
    }
    assert_non_null(app);
    assert_int_equal(app->err, 0);
}

static int
setup(void **state)
{
    static const char *const args[] = {"--notify-keyspace-events", "Kg$lshzxe",
                                       "--proto-max-bulk-len", "64mb", NULL};

    (void)state;
    memset(&server, 0, sizeof server);
    test_redis_start(&server, args);
    snprintf(url, sizeof url, "unix://%s", server.socket);
    connect_app();
    atomic_store(&stop, false);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    redisFree(app);
    test_redis_stop(&server);
    return 0;
}

/* What the app does; the integer, or the length of a text, or -1. */
static long long
say(const char *format, ...)
{
    long long n;
    redisReply *r;
    va_list ap;

    va_start(ap, format);
    r = redisvCommand(app, format, ap);
    va_end(ap);
    assert_non_null(r);
    if (r->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, r->str);
    n = r->type == REDIS_REPLY_INTEGER ? r->integer : (long long)r->len;
    freeReplyObject(r);
    return n;
}

static struct sg_source *
open_with(int64_t bytes_max, int batch)
{
    struct sg_source_options o = {.url = url,
                                  .timeout_ms = 3000,
                                  .bytes_max = bytes_max,
                                  .batch_records = batch,
                                  .stop = &stop,
                                  .poll_ms = 100};
    struct sg_source *s;

    if (sg_source_open(&o, &s, &err) != 0)
        fail_msg("%s: %s", err.place, err.text);
    return s;
}

/* ---- what was emitted ---- */

struct got {
    int n, gone, batches, most;
    int64_t bytes, most_bytes;
    int stop_after;                                         /* batches; 0 = never */
    int seen[20000];                                        /* of keys ending in ":N" */
    char json[8][512], key[8][64], odd[8][80], type[8][16]; /* of the first ones */
    int64_t expires_ms[8];
};

static int
take(void *ctx, const struct sg_source_record *records, int n, struct sg_err *e)
{
    struct got *g = ctx;
    int64_t bytes = 0;
    int i;

    for (i = 0; i < n; i++) {
        const struct sg_source_record *r = &records[i];
        const char *colon = memrchr(r->key.ptr, ':', r->key.len);
        struct sg_buf json = SG_BUF_INIT(64 << 20);
        long number = colon != NULL ? strtol(colon + 1, NULL, 10) : -1;

        bytes += (int64_t)r->raw.len;
        if (r->doc != NULL) {
            assert_int_equal(sg_doc_to_json(r->doc, &json, e), 0);
        } else if (r->odd == NULL) {
            g->gone++;
        }
        if (number >= 0 && number < 20000 && (r->doc != NULL || r->odd != NULL))
            g->seen[number]++;
        if (g->n < 8) {
            snprintf(g->json[g->n], 512, "%.511s", json.ptr != NULL ? json.ptr : "");
            snprintf(g->key[g->n], 64, "%.*s", (int)r->key.len, r->key.ptr);
            snprintf(g->odd[g->n], 80, "%s", r->odd != NULL ? r->odd : "");
            snprintf(g->type[g->n], 16, "%s", r->redis_type != NULL ? r->redis_type : "");
            g->expires_ms[g->n] = r->expires_ms;
        }
        g->n++;
        sg_buf_free(&json);
    }
    g->bytes += bytes;
    g->most_bytes = bytes > g->most_bytes ? bytes : g->most_bytes;
    g->most = n > g->most ? n : g->most;
    g->batches++;
    return g->batches == g->stop_after ? sg_fail(e, SG_E_CANCELLED, "test", "enough") : 0;
}

static struct got *
new_got(void)
{
    struct got *g = calloc(1, sizeof *g);

    assert_non_null(g);
    return g;
}

static int
read_all(struct sg_source *s, const char *collection, char *position, struct got *g)
{
    struct sg_source_piece piece;
    int n;

    assert_int_equal(s->type->pieces(s, collection, &piece, 1, &n, &err), 0);
    assert_int_equal(n, 1);
    return s->type->read(s, collection, &piece, position, take, g, &err);
}

/* One key's document as JSON. */
static struct got
fetched(struct sg_source *s, const char *key)
{
    static struct got g;
    struct sg_slice k = sg_str(key);

    memset(&g, 0, sizeof g);
    if (s->type->fetch(s, "*", &k, 1, take, &g, &err) != 0)
        fail_msg("%s: %s", err.place, err.text);
    assert_int_equal(g.n, 1);
    return g;
}

/* ---- tests ---- */

static void
every_type_becomes_a_document(void **state)
{
    struct sg_source *s = open_with(64 * MB, 100);
    static const char *const strings[][2] = {
        {"{\"a\":[1,2.5,null]}", "{\"a\":[1,2.5,null]}"},
        {"[ 1 ]", "[1]"},
        {"42", "42"},
        {"042", "\"042\""},
        {"1.50", "\"1.50\""},
        {"true", "true"},
        {"\"quoted\"", "\"\\\"quoted\\\"\""},
        {"{not json", "\"{not json\""},
        {"plain", "\"plain\""},
        {"", "\"\""},
        {"\xff\xfe", "{\"$binary\":{\"base64\":\"//4=\",\"subType\":\"00\"}}"},
        {"{\"a\":1,\"a\":2}", "\"{\\\"a\\\":1,\\\"a\\\":2}\""},
    };
    struct got g;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        say("SET k %b", strings[i][0], strlen(strings[i][0]));
        g = fetched(s, "k");
        assert_string_equal(g.json[0], strings[i][1]);
        assert_string_equal(g.type[0], "string");
        assert_int_equal(g.expires_ms[0], -1);
    }
    say("SET k 1 PXAT 4102444800123");
    assert_int_equal(fetched(s, "k").expires_ms[0], 4102444800123);
    say("HSET h name ann n 7");
    say("PEXPIREAT h 4102444800999");
    g = fetched(s, "h");
    assert_string_equal(g.json[0], "{\"name\":\"ann\",\"n\":\"7\"}");
    assert_string_equal(g.type[0], "hash");
    assert_int_equal(g.expires_ms[0], 4102444800999);
    say("RPUSH l b a b");
    assert_string_equal(fetched(s, "l").json[0], "[\"b\",\"a\",\"b\"]");
    say("SADD s x");
    assert_string_equal(fetched(s, "s").json[0], "[\"x\"]");
    say("ZADD z 2.5 b 1 a -inf c");
    assert_string_equal(fetched(s, "z").json[0],
                        "[{\"member\":\"c\",\"score\":{\"$numberDouble\":\"-Infinity\"}},"
                        "{\"member\":\"a\",\"score\":1.0},{\"member\":\"b\",\"score\":2.5}]");
    say("XADD x * a 1");
    g = fetched(s, "x");
    assert_string_equal(g.odd[0], "redis type stream");
    g = fetched(s, "none");
    assert_int_equal(g.gone, 1);
    sg_source_close(s);
}

static void
fill(const char *prefix, int n)
{
    int i;

    for (i = 0; i < n; i++)
        redisAppendCommand(app, "SET %s:%d {\"n\":%d} PX 600000", prefix, i, i);
    for (i = 0; i < n; i++) {
        void *r;

        assert_int_equal(redisGetReply(app, &r), REDIS_OK);
        freeReplyObject(r);
    }
}

static void
assert_all_seen(const struct got *g, int n)
{
    int i;

    for (i = 0; i < n; i++)
        if (g->seen[i] == 0)
            fail_msg("%d was not read", i);
}

static void
a_collection_is_read_whole_in_bounded_batches(void **state)
{
    struct sg_source *s = open_with(8 * MB, 100);
    struct got *g = new_got();
    char position[SG_SOURCE_PIECE_MAX] = "";

    (void)state;
    fill("user", 5000);
    fill("order", 1000);
    say("SET segue:sentinel:x 1");
    say("HSET user:5000 n 5000");
    assert_int_equal(read_all(s, "user:*", position, g), 0);
    assert_all_seen(g, 5001);
    assert_in_range(g->n, 5001, 5200);
    assert_true(g->most <= 100);
    assert_true(strstr(position, " end") != NULL);
    assert_int_equal(read_all(s, "user:*", position, g), 0);
    assert_in_range(g->n, 5001, 5200); /* there is no more behind the end */
    free(g);
    sg_source_close(s);
}

static void
reading_goes_on_at_a_position_in_another_handle(void **state)
{
    struct sg_source *s = open_with(8 * MB, 100);
    struct got *g = new_got();
    char position[SG_SOURCE_PIECE_MAX] = "";
    int parts = 0;

    (void)state;
    fill("user", 5000);
    g->stop_after = 10;
    while (read_all(s, "user:*", position, g) != 0) {
        assert_int_equal(err.code, SG_E_CANCELLED);
        sg_source_close(s); /* as a kill would */
        s = open_with(8 * MB, 100);
        g->stop_after += 10;
        parts++;
    }
    assert_true(parts >= 4);
    assert_all_seen(g, 5000);
    assert_in_range(g->n, 5000, 6500); /* a page that was cut off comes again */
    free(g);
    sg_source_close(s);
}

static void
a_position_of_another_server_process_is_refused(void **state)
{
    struct sg_source *s = open_with(8 * MB, 100);
    struct got *g = new_got();
    char position[SG_SOURCE_PIECE_MAX] = "";

    (void)state;
    fill("user", 1000);
    g->stop_after = 5;
    assert_int_equal(read_all(s, "user:*", position, g), -1);
    assert_true(position[0] != '\0');
    test_redis_kill(&server);
    redisFree(app);
    test_redis_start(&server, NULL);
    connect_app();
    assert_int_equal(read_all(s, "user:*", position, g), -1);
    assert_int_equal(err.code, SG_E_CONFLICT);
    free(g);
    sg_source_close(s);
}

static void
a_lost_server_ends_the_read_and_the_handle_comes_back(void **state)
{
    struct sg_source *s = open_with(8 * MB, 100);
    char position[SG_SOURCE_PIECE_MAX] = "";
    struct got *g = new_got();

    (void)state;
    fill("user", 10);
    say("CLIENT KILL TYPE normal SKIPME yes");
    assert_int_equal(read_all(s, "user:*", position, g), -1);
    assert_int_equal(err.code, SG_E_UNAVAILABLE);
    assert_int_equal(read_all(s, "user:*", position, g), 0);
    assert_int_equal(g->n, 10);
    free(g);
    sg_source_close(s);
}

static int
change_under(void *ctx, const struct sg_source_record *records, int n, struct sg_err *e)
{
    struct got *g = ctx;

    if (g->batches == 1) {
        say("DEL user:1 user:2");
        say("SET user:3 changed");
        say("DEL user:4");
        say("RPUSH user:4 a b");
        fill("user", 3000); /* the table is rehashed meanwhile */
    }
    return take(ctx, records, n, e);
}

static void
records_that_change_under_the_read_break_nothing(void **state)
{
    struct sg_source *s = open_with(8 * MB, 50);
    char position[SG_SOURCE_PIECE_MAX] = "";
    struct sg_source_piece piece = {"scan"};
    struct got *g = new_got();
    int i;

    (void)state;
    fill("user", 1000);
    assert_int_equal(s->type->read(s, "user:*", &piece, position, change_under, g, &err), 0);
    for (i = 5; i < 1000; i++) /* those that were there all the while */
        assert_true(g->seen[i] > 0);
    free(g);
    sg_source_close(s);
}

static void
large_values_stay_within_the_batchs_memory(void **state)
{
    struct sg_source *s = open_with(96 * MB, 100);
    char position[SG_SOURCE_PIECE_MAX] = "", *text = malloc(20 * (size_t)MB);
    struct got *g = new_got();
    int i;

    (void)state;
    memset(text, 'x', 20 * (size_t)MB);
    for (i = 0; i < 6; i++)
        say("SET user:%d %b", i, text, (size_t)(16 * MB));
    say("SET user:6 %b", text, (size_t)(20 * MB));
    for (i = 0; i < 20; i++)
        say("RPUSH user:7 %b", text, (size_t)MB);
    for (i = 0; i < 20; i++)
        say("HSET user:8 f%d %b", i, text, (size_t)(2 * MB));
    assert_int_equal(read_all(s, "user:*", position, g), 0);
    assert_int_equal(g->n, 9);
    assert_all_seen(g, 9);
    assert_true(g->most_bytes <= 24 * MB);
    for (i = 0; i < 8; i++)
        assert_string_equal(
            g->odd[i], strchr("678", g->key[i][5]) != NULL ? "larger than a batch may be" : "");
    free(text);
    free(g);
    sg_source_close(s);
}

static void
a_sample_is_as_large_as_wanted(void **state)
{
    struct sg_source *s = open_with(8 * MB, 100);
    struct got *g = new_got();

    (void)state;
    fill("user", 3000);
    assert_int_equal(s->type->sample(s, "user:*", 250, take, g, &err), 0);
    assert_int_equal(g->n, 250);
    memset(g, 0, sizeof *g);
    assert_int_equal(s->type->sample(s, "user:*", 5000, take, g, &err), 0);
    assert_in_range(g->n, 3000, 3200);
    free(g);
    sg_source_close(s);
}

static void
patterns_are_told_apart_by_their_parts(void **state)
{
    static const struct {
        const char *pattern, *key;
        bool fits;
    } t[] = {
        {"user:*", "user:1", true},
        {"user:*", "user:", true},
        {"user:*", "user:1:cart", false},
        {"user:*", "users:1", false},
        {"user:**", "user:1:cart", true},
        {"order:*:lines", "order:7:lines", true},
        {"order:*:lines", "order:7:line", false},
        {"order:*:lines", "order:a:b:lines", false},
        {"*", "a", true},
        {"*", "a:b", false},
        {"session_*", "session_x", true},
        {"a*b*c", "abxbc", true},
        {"a*b*c", "ab", false},
        {"k?[x]", "k?[x]", true},
        {"k?[x]", "kax", false},
        {"", "", true},
        {"", "a", false},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof t / sizeof t[0]; i++)
        if (sg_redis_keys_match(t[i].pattern, sg_str(t[i].key)) != t[i].fits)
            fail_msg("%s %s", t[i].pattern, t[i].key);
}

static void
collections_are_found_in_the_keys(void **state)
{
    static const struct {
        const char *name;
        int64_t records;
    } want[] = {
        {"counter", 1}, {"order:*", 20},        {"order:*:lines", 20},  {"order:*:notes", 20},
        {"sess_*", 10}, {"shop:eu:cart:*", 30}, {"shop:us:cart:*", 30}, {"user:*", 50},
    };
    struct sg_source *s = open_with(8 * MB, 100);
    struct sg_source_collection found[32];
    int n = 0, i;

    (void)state;
    for (i = 0; i < 50; i++)
        say("SET user:%d 1", i);
    for (i = 0; i < 20; i++) {
        say("SET order:%d 1", i);
        say("SET order:%d:lines 1", i);
        say("SET order:%d:notes 1", i);
    }
    for (i = 0; i < 30; i++) {
        say("SET shop:eu:cart:%d 1", i);
        say("SET shop:us:cart:%d 1", i);
    }
    for (i = 0; i < 10; i++)
        say("SET sess_%d 1", i * 7919);
    say("SET counter 1");
    say("SET segue:own 1");
    assert_int_equal(s->type->collections(s, found, 32, &n, &err), 0);
    assert_int_equal(n, 8);
    for (i = 0; i < n; i++) {
        assert_string_equal(found[i].name, want[i].name);
        assert_int_equal(found[i].records, want[i].records);
    }
    assert_int_equal(s->type->collections(s, found, 3, &n, &err), 0);
    assert_int_equal(n, 3);
    sg_source_close(s);
}

/* ---- writing ---- */

static struct sg_arena *arena;

static int
write_json(struct sg_source *s, const char *key, const char *type, const char *json,
           int64_t expires_ms)
{
    struct sg_source_record r = {.key = sg_str(key), .expires_ms = expires_ms, .redis_type = type};
    struct sg_doc doc;

    if (json != NULL) {
        assert_int_equal(sg_doc_from_json(arena, sg_str(json), &doc, &err), 0);
        r.doc = &doc;
    }
    return s->type->write(s, "*", &r, &err);
}

static void
what_is_written_is_read_again_in_the_same_encoding(void **state)
{
    static const struct {
        const char *key, *type, *json;
    } t[] = {
        {"a", NULL, "{\"x\":[1,null,{\"y\":\"\\u0000\"}]}"},
        {"b", "string", "\"plain\""},
        {"c", "string", "17"},
        {"d", "hash", "{\"f\":\"1\",\"g\":\"two\"}"},
        {"e", "list", "[\"z\",\"a\",\"z\"]"},
        {"f", "set", "[\"m\"]"},
        {"g", "zset", "[{\"member\":\"m\",\"score\":1.5},{\"member\":\"n\",\"score\":2.0}]"},
    };
    struct sg_source *s = open_with(8 * MB, 100);
    size_t i;

    (void)state;
    assert_int_equal(sg_arena_new(64 << 20, &arena, &err), 0);
    for (i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct got g;

        if (write_json(s, t[i].key, t[i].type, t[i].json, 4102444800123) != 0)
            fail_msg("%s: %s", t[i].key, err.text);
        g = fetched(s, t[i].key);
        assert_string_equal(g.json[0], t[i].json);
        assert_string_equal(g.type[0], t[i].type != NULL ? t[i].type : "string");
        assert_int_equal(g.expires_ms[0], 4102444800123);
        assert_int_equal(write_json(s, t[i].key, NULL, t[i].json, -2), 0); /* as it is there */
        g = fetched(s, t[i].key);
        assert_string_equal(g.type[0], t[i].type != NULL ? t[i].type : "string");
        assert_int_equal(g.expires_ms[0], 4102444800123);
        assert_int_equal(write_json(s, t[i].key, NULL, t[i].json, -1), 0);
        assert_int_equal(fetched(s, t[i].key).expires_ms[0], -1);
        assert_int_equal(write_json(s, t[i].key, NULL, NULL, -1), 0);
        assert_int_equal(fetched(s, t[i].key).gone, 1);
    }
    say("XADD x * a 1");
    assert_int_equal(write_json(s, "x", NULL, "{}", -1), -1);
    assert_int_equal(err.code, SG_E_INVALID);
    assert_int_equal(write_json(s, "h", "hash", "[1]", -1), -1);
    assert_int_equal(err.code, SG_E_INVALID);
    assert_int_equal(fetched(s, "h").gone, 1);
    sg_arena_free(arena);
    sg_source_close(s);
}

static void
a_large_list_is_written_whole(void **state)
{
    struct sg_source *s = open_with(64 * MB, 100);
    struct sg_buf json = SG_BUF_INIT(MB);
    int i;

    (void)state;
    assert_int_equal(sg_arena_new(64 << 20, &arena, &err), 0);
    for (i = 0; i < 5000; i++)
        sg_buf_printf(&json, "%c%d", i != 0 ? ',' : '[', i);
    sg_buf_puts(&json, "]");
    assert_int_equal(write_json(s, "l", "list", json.ptr, -1), 0);
    assert_int_equal(say("LLEN l"), 5000);
    sg_buf_free(&json);
    sg_arena_free(arena);
    sg_source_close(s);
}

/* ---- following ---- */

struct follower {
    struct sg_source_follow follow;
    struct sg_source *s;
    pthread_t thread;
    atomic_int beats, events, rc;
    atomic_bool done;
    pthread_mutex_t mutex;
    char log[4096];
    struct sg_err err;
};

static int
changed(void *ctx, enum sg_source_change what, const char *collection,
        const struct sg_source_record *r, const char *position, struct sg_err *e)
{
    struct follower *f = ctx;
    struct sg_buf json = SG_BUF_INIT(4096);

    (void)e;
    assert_string_equal(position, "live");
    if (what == SG_SOURCE_BEAT) {
        atomic_fetch_add(&f->beats, 1);
        return 0;
    }
    if (r->doc != NULL)
        assert_int_equal(sg_doc_to_json(r->doc, &json, NULL), 0);
    pthread_mutex_lock(&f->mutex);
    snprintf(f->log + strlen(f->log), sizeof f->log - strlen(f->log), "%s %s %.*s %s;",
             what == SG_SOURCE_PUT ? "put" : "delete", collection, (int)r->key.len, r->key.ptr,
             r->doc != NULL ? json.ptr : (r->odd != NULL ? r->odd : ""));
    pthread_mutex_unlock(&f->mutex);
    atomic_fetch_add(&f->events, 1);
    sg_buf_free(&json);
    return 0;
}

static void *
follow_thread(void *arg)
{
    struct follower *f = arg;

    atomic_store(&f->rc, f->s->type->follow(f->s, &f->follow, &f->err));
    atomic_store(&f->done, true);
    return NULL;
}

static void
start_follow(struct follower *f, const char *const *collections)
{
    memset(f, 0, sizeof *f);
    pthread_mutex_init(&f->mutex, NULL);
    f->s = open_with(8 * MB, 100);
    f->follow = (struct sg_source_follow){.collections = collections, .change = changed, .ctx = f};
    pthread_create(&f->thread, NULL, follow_thread, f);
}

static void
wait_for(atomic_int *count, int least)
{
    int i;

    for (i = 0; atomic_load(count) < least; i++) {
        if (i > 3000)
            fail_msg("%d of %d", atomic_load(count), least);
        test_sleep_ms(1);
    }
}

static void
end_follow(struct follower *f)
{
    pthread_join(f->thread, NULL);
    sg_source_close(f->s);
}

static void
changes_are_told_with_what_is_there_now(void **state)
{
    static const char *const collections[] = {"user:*", NULL};
    struct follower f;

    (void)state;
    start_follow(&f, collections);
    wait_for(&f.beats, 1);
    say("SET user:1 {\"a\":1}");
    wait_for(&f.events, 1);
    say("HSET user:2 f v");
    wait_for(&f.events, 2);
    say("SET other:1 x");
    say("DEL user:1");
    wait_for(&f.events, 3);
    say("SET user:3 x PX 60");
    while (strstr(f.log, "expired") == NULL && atomic_load(&f.events) < 8)
        test_sleep_ms(5);
    wait_for(&f.beats, 3);
    assert_in_range(f.s->type->staleness_ms(f.s), 0, 1000);
    atomic_store(&stop, true);
    end_follow(&f);
    assert_int_equal(f.err.code, SG_E_CANCELLED);
    assert_string_equal(f.follow.position, "live");
    assert_non_null(strstr(f.log, "put user:* user:1 {\"a\":1};put user:* user:2 {\"f\":\"v\"};"
                                  "delete user:* user:1 ;put user:* user:3 \"x\";"));
    assert_non_null(strstr(f.log, "delete user:* user:3 expired;"));
    assert_null(strstr(f.log, "other"));
}

static void
a_flush_ends_the_following(void **state)
{
    static const char *const collections[] = {"user:*", NULL};
    struct follower f;

    (void)state;
    start_follow(&f, collections);
    wait_for(&f.beats, 1);
    say("FLUSHALL");
    end_follow(&f);
    assert_int_equal(f.err.code, SG_E_CONFLICT);
}

static void
a_position_is_never_taken_up_again(void **state)
{
    struct sg_source *s = open_with(8 * MB, 100);
    struct sg_source_follow follow = {.position = "live", .change = changed};

    (void)state;
    assert_int_equal(s->type->follow(s, &follow, &err), -1);
    assert_int_equal(err.code, SG_E_CONFLICT);
    sg_source_close(s);
}

static void
missing_events_are_named(void **state)
{
    static const char *const collections[] = {"user:*", NULL};
    struct follower f;

    (void)state;
    say("CONFIG SET notify-keyspace-events Kgx");
    start_follow(&f, collections);
    end_follow(&f);
    assert_int_equal(f.err.code, SG_E_INVALID);
    assert_non_null(strstr(f.err.text, "CONFIG SET notify-keyspace-events KA"));
    /* Where CONFIG is forbidden the heartbeat that is not heard tells. */
    say("ACL SETUSER seg on >pw ~* &* +@all -config");
    say("CONFIG SET notify-keyspace-events %s", "");
    snprintf(url, sizeof url, "unix://seg:pw@%s", server.socket);
    start_follow(&f, collections);
    end_follow(&f);
    assert_int_equal(f.err.code, SG_E_UNAVAILABLE);
    assert_non_null(strstr(f.err.text, "notify-keyspace-events"));
}

/* ---- connecting ---- */

static void
make_certificates(char *ca, size_t cap)
{
    char command[1024];

    snprintf(ca, cap, "%s/ca.pem", server.dir);
    snprintf(
        command, sizeof command,
        "cd %s && openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=ca -keyout ca.key -out "
        "ca.pem 2>/dev/null && openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "
        "s.key -out s.csr 2>/dev/null && printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' "
        ">ext && openssl x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out "
        "s.pem -extfile ext 2>/dev/null && chmod 644 *",
        server.dir);
    assert_int_equal(system(command), 0);
}

static int
try_open(const char *at, const char *ca, struct sg_source **s)
{
    struct sg_source_options o = {.url = at,
                                  .ca_file = ca,
                                  .timeout_ms = 1000,
                                  .bytes_max = 8 * MB,
                                  .batch_records = 10,
                                  .stop = &stop};

    memset(&err, 0, sizeof err);
    return sg_source_open(&o, s, &err);
}

static void
tls_and_users_and_databases_work(void **state)
{
    char ca[128], tls[8], at[160];
    const char *args[] = {"--tls-port",
                          tls,
                          "--tls-cert-file",
                          "s.pem",
                          "--tls-key-file",
                          "s.key",
                          "--tls-auth-clients",
                          "no",
                          NULL};
    int tls_port = test_free_port();
    struct sg_source *s;

    (void)state;
    make_certificates(ca, sizeof ca);
    test_redis_kill(&server);
    redisFree(app);
    snprintf(tls, sizeof tls, "%d", tls_port);
    test_redis_start(&server, args);
    connect_app();
    say("ACL SETUSER seg on >p@ss ~* &* +@all");
    say("SELECT 3");
    say("SET k here");
    snprintf(at, sizeof at, "rediss://seg:p%%40ss@localhost:%d/3", tls_port);
    if (try_open(at, ca, &s) != 0)
        fail_msg("%s: %s", err.place, err.text);
    assert_string_equal(fetched(s, "k").json[0], "\"here\"");
    sg_source_close(s);
    snprintf(at, sizeof at, "rediss://seg:p%%40ss@127.0.0.1:%d/3", tls_port);
    assert_int_equal(try_open(at, ca, &s), 0);
    sg_source_close(s);
    snprintf(at, sizeof at, "redis://seg:p%%40ss@127.0.0.1:%d/3", server.port);
    assert_int_equal(try_open(at, NULL, &s), 0);
    sg_source_close(s);
    /* A certificate that nobody signed for us, a plain port, a wrong password, a wrong CA file. */
    snprintf(at, sizeof at, "rediss://seg:hunter2@localhost:%d/3", tls_port);
    assert_int_equal(try_open(at, NULL, &s), -1);
    assert_non_null(strstr(err.text, "certificate"));
    assert_int_equal(try_open(at, "/nowhere", &s), -1);
    assert_int_equal(err.code, SG_E_INVALID);
    assert_int_equal(try_open(at, ca, &s), -1);
    assert_int_equal(err.code, SG_E_DENIED);
    assert_null(strstr(err.text, "hunter2"));
    snprintf(at, sizeof at, "rediss://localhost:%d", server.port);
    assert_int_equal(try_open(at, ca, &s), -1);
    snprintf(at, sizeof at, "redis://localhost:%d", tls_port);
    assert_int_equal(try_open(at, ca, &s), -1);
}

static void
mistakes_in_the_url_are_told_without_the_password(void **state)
{
    static const char *const bad[] = {
        "",
        "hunter2",
        "http://u:hunter2@h/",
        "redis://u:hunter2@h:99999",
        "redis://u:hunter2@",
        "rediss://u:hunter2@h:6379/x",
        "unix://u:hunter2@relative",
        "redis://u:hunter2@256.0.0.1:1",
        "unix://u:hunter2@/nowhere/at/all",
    };
    struct sg_source *s;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(try_open(bad[i], NULL, &s), -1);
        assert_true(err.text[0] != '\0');
        assert_null(strstr(err.text, "hunter2"));
        assert_null(strstr(err.place, "hunter2"));
    }
}

struct stopper {
    int after_ms;
};

static void *
stop_later(void *arg)
{
    const struct stopper *s = arg;

    test_sleep_ms(s->after_ms);
    atomic_store(&stop, true);
    return NULL;
}

static void
a_silent_server_ends_in_a_timeout_or_by_the_stop_flag(void **state)
{
    struct stopper stopper = {200};
    struct sg_source *s;
    pthread_t thread;
    uint64_t start;

    (void)state;
    kill(server.pid, SIGSTOP);
    assert_int_equal(try_open(url, NULL, &s), -1);
    assert_int_equal(err.code, SG_E_TIMEOUT);
    start = sg_mono_ns(sg_clock_system());
    pthread_create(&thread, NULL, stop_later, &stopper);
    assert_int_equal(try_open(url, NULL, &s), -1);
    pthread_join(thread, NULL);
    assert_int_equal(err.code, SG_E_CANCELLED);
    assert_true(sg_mono_ns(sg_clock_system()) - start < 600 * SG_NS_PER_MS);
    kill(server.pid, SIGCONT);
}

static void
a_stop_ends_a_read_between_two_pages(void **state)
{
    struct sg_source *s = open_with(8 * MB, 100);
    char position[SG_SOURCE_PIECE_MAX] = "";
    struct got *g = new_got();

    (void)state;
    fill("user", 1000);
    atomic_store(&stop, true);
    assert_int_equal(read_all(s, "user:*", position, g), -1);
    assert_int_equal(err.code, SG_E_CANCELLED);
    free(g);
    sg_source_close(s);
}

#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(every_type_becomes_a_document),
        WITH_SERVER(a_collection_is_read_whole_in_bounded_batches),
        WITH_SERVER(reading_goes_on_at_a_position_in_another_handle),
        WITH_SERVER(a_position_of_another_server_process_is_refused),
        WITH_SERVER(a_lost_server_ends_the_read_and_the_handle_comes_back),
        WITH_SERVER(records_that_change_under_the_read_break_nothing),
        WITH_SERVER(large_values_stay_within_the_batchs_memory),
        WITH_SERVER(a_sample_is_as_large_as_wanted),
        cmocka_unit_test(patterns_are_told_apart_by_their_parts),
        WITH_SERVER(collections_are_found_in_the_keys),
        WITH_SERVER(what_is_written_is_read_again_in_the_same_encoding),
        WITH_SERVER(a_large_list_is_written_whole),
        WITH_SERVER(changes_are_told_with_what_is_there_now),
        WITH_SERVER(a_flush_ends_the_following),
        WITH_SERVER(a_position_is_never_taken_up_again),
        WITH_SERVER(missing_events_are_named),
        WITH_SERVER(tls_and_users_and_databases_work),
        WITH_SERVER(mistakes_in_the_url_are_told_without_the_password),
        WITH_SERVER(a_silent_server_ends_in_a_timeout_or_by_the_stop_flag),
        WITH_SERVER(a_stop_ends_a_read_between_two_pages),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
