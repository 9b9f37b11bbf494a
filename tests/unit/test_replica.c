/* SPDX-License-Identifier: MIT */
/* A replica of a real redis-server: the copy, the stream, and going on after a loss. What it was
 * told is kept as a map, and must come to what the server holds. */
#include "base/clock.h"
#include "legacy_redis.h"
#include "redis/replica.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 4096
#define VALUE_MAX 65536

struct known {
    char key[80];
    char type[12]; /* "" = gone */
    char *value;
    size_t bytes;
    bool too_large;
    int64_t expires_ms;
    int database;
};

struct follower {
    struct sg_replica_options options;
    struct sg_replica_position position;
    atomic_bool stop;
    pthread_t thread;
    pthread_mutex_t lock;
    struct sg_err err;
    struct known keys[KEYS];
    int n, copies, resumes, effects, flushes;
    bool following;
    struct sg_replica_position quiet;
    char renamed[160];
};

static struct follower *f;

static struct known *
find(int database, struct sg_slice key)
{
    int i;

    for (i = 0; i < f->n; i++)
        if (f->keys[i].database == database && sg_slice_eq(sg_str(f->keys[i].key), key))
            return &f->keys[i];
    if (f->n == KEYS || key.len >= sizeof f->keys[0].key)
        abort();
    memcpy(f->keys[f->n].key, key.ptr, key.len);
    f->keys[f->n].database = database;
    return &f->keys[f->n++];
}

static void
keep(int database, struct sg_slice key, const char *type, struct sg_slice value, int64_t expires_ms)
{
    struct known *k = find(database, key);

    snprintf(k->type, sizeof k->type, "%s", type);
    free(k->value);
    k->value = malloc(value.len + 1);
    memcpy(k->value, value.len > 0 ? value.ptr : "", value.len);
    k->value[value.len] = '\0';
    k->bytes = value.len;
    k->expires_ms = expires_ms;
}

static void
forget_all(void)
{
    int i;

    for (i = 0; i < f->n; i++)
        free(f->keys[i].value);
    memset(f->keys, 0, sizeof f->keys);
    f->n = 0;
}

static int
on_copying(void *ctx, struct sg_err *err)
{
    (void)ctx, (void)err;
    pthread_mutex_lock(&f->lock);
    f->copies++;
    f->following = false;
    forget_all();
    pthread_mutex_unlock(&f->lock);
    return 0;
}

static int
on_record(void *ctx, const struct sg_rdb_record *r, struct sg_err *err)
{
    (void)ctx, (void)err;
    pthread_mutex_lock(&f->lock);
    keep(r->database, r->key, r->type, r->value, r->expires_ms);
    find(r->database, r->key)->too_large = r->too_large;
    pthread_mutex_unlock(&f->lock);
    return 0;
}

static int
on_following(void *ctx, bool resumed, struct sg_err *err)
{
    (void)ctx, (void)err;
    pthread_mutex_lock(&f->lock);
    f->resumes += resumed;
    f->following = true;
    pthread_mutex_unlock(&f->lock);
    return 0;
}

static int
on_effect(void *ctx, const struct sg_effect_told *t, struct sg_err *err)
{
    (void)ctx, (void)err;
    pthread_mutex_lock(&f->lock);
    f->effects++;
    switch (t->effect) {
    case SG_EFFECT_SET:
        keep(t->database, t->key, "string", t->value, t->expires_ms);
        break;
    case SG_EFFECT_EXPIRES:
        find(t->database, t->key)->expires_ms = t->expires_ms;
        break;
    case SG_EFFECT_WRITTEN:
        keep(t->database, t->key, "written", sg_str(""), -1);
        break;
    case SG_EFFECT_GONE:
        find(t->database, t->key)->type[0] = '\0';
        break;
    case SG_EFFECT_RENAMED:
        snprintf(f->renamed, sizeof f->renamed, "%.*s>%.*s", (int)t->key.len, t->key.ptr,
                 (int)t->other.len, t->other.ptr);
        break;
    case SG_EFFECT_FLUSHED:
        f->flushes++;
        forget_all();
        break;
    default:
        break;
    }
    pthread_mutex_unlock(&f->lock);
    return 0;
}

static int
on_quiet(void *ctx, const struct sg_replica_position *position, struct sg_err *err)
{
    (void)ctx, (void)err;
    pthread_mutex_lock(&f->lock);
    f->quiet = *position;
    pthread_mutex_unlock(&f->lock);
    return 0;
}

static void *
run(void *ctx)
{
    static const struct sg_replica_events events = {.copying = on_copying,
                                                    .record = on_record,
                                                    .following = on_following,
                                                    .effect = on_effect,
                                                    .quiet = on_quiet};

    (void)ctx;
    assert_int_equal(sg_replica_run(&f->options, &f->position, &events, &f->err), -1);
    return NULL;
}

static void
start(void)
{
    atomic_store(&f->stop, false);
    f->following = false;
    assert_int_equal(pthread_create(&f->thread, NULL, run, NULL), 0);
}

static void
stop(void)
{
    uint64_t began = sg_mono_ns(sg_clock_system());

    atomic_store(&f->stop, true);
    pthread_join(f->thread, NULL);
    assert_true(sg_mono_ns(sg_clock_system()) - began < 1000 * SG_NS_PER_MS);
}

/* Servers would wait 5 s for other replicas to come. */
static void
do_not_wait(void)
{
    say("CONFIG SET repl-diskless-sync-delay 0");
}

static void
make_follower(void)
{
    do_not_wait();
    f = calloc(1, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    f->options = (struct sg_replica_options){
        .wire = {.host = server.socket, .name = "redis test", .timeout_ms = 2000, .stop = &f->stop},
        .user = "",
        .password = "",
        .value_max = VALUE_MAX};
}

static void
free_follower(void)
{
    forget_all();
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* Until what was told reaches a mark that is written now. */
static void
catch_up(void)
{
    static int mark;
    char want[16];
    bool there = false;
    int i;

    snprintf(want, sizeof want, "%d", ++mark);
    for (i = 0; i < 500 && !there; i++) {
        if (i == 0 || !f->following)
            say("SET mark %s", want);
        test_sleep_ms(10);
        pthread_mutex_lock(&f->lock);
        there = f->following && strcmp(find(0, sg_str("mark"))->type, "string") == 0 &&
                strcmp(find(0, sg_str("mark"))->value, want) == 0;
        pthread_mutex_unlock(&f->lock);
    }
    if (!there)
        print_message("%s: %s\n", f->err.place, f->err.text);
    assert_true(there);
}

static void
wait_for_end(void)
{
    pthread_join(f->thread, NULL);
}

static void
assert_known(const char *key, const char *type, const char *value)
{
    struct known *k = find(0, sg_str(key));

    assert_string_equal(k->type, type);
    if (value != NULL)
        assert_string_equal(k->value, value);
}

static void
fill(void)
{
    char big[20001];
    int i;

    memset(big, 'a', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    say("SET plain value");
    say("SET number 12345");
    say("SET small -7");
    say("SET wide -2147483648");
    say("SET repeated %s", big); /* compressed in the dump */
    say("SET empty %b", "", (size_t)0);
    say("SET timed x PX 600000");
    for (i = 0; i < 600; i++) {
        say("RPUSH list item%d", i);
        say("SADD set member%d", i);
        say("SADD numbers %d", i);
        say("ZADD zset %d.5 member%d", i, i);
        say("HSET hash field%d value%d", i, i);
        say("XADD stream * field value%d", i);
    }
    say("RPUSH shortlist a b c");
    say("SADD shortset a b");
    say("SADD shortnumbers 1 2 3");
    say("ZADD shortzset 1 a");
    say("HSET shorthash a b");
    say("XGROUP CREATE stream group 0");
    say("XREADGROUP GROUP group consumer COUNT 5 STREAMS stream >");
    say("SETBIT bits 300000 1");
    say("PFADD hyper a b c d");
    say("SET last value");
}

static void
copy_tells_every_key_with_its_type_value_and_expiry(void **state)
{
    static const char *const others[][2] = {
        {"list", "list"},        {"set", "set"},        {"numbers", "set"},    {"zset", "zset"},
        {"hash", "hash"},        {"stream", "stream"},  {"shortlist", "list"}, {"shortset", "set"},
        {"shortnumbers", "set"}, {"shortzset", "zset"}, {"shorthash", "hash"},
    };
    int64_t left;
    size_t i;

    (void)state;
    fill();
    make_follower();
    start();
    catch_up();
    stop();
    assert_int_equal(f->err.code, SG_E_CANCELLED);
    assert_int_equal(f->copies, 1);
    assert_known("plain", "string", "value");
    assert_known("number", "string", "12345");
    assert_known("small", "string", "-7");
    assert_known("wide", "string", "-2147483648");
    assert_known("empty", "string", "");
    assert_int_equal(find(0, sg_str("repeated"))->bytes, 20000);
    assert_int_equal(strspn(find(0, sg_str("repeated"))->value, "a"), 20000);
    left = find(0, sg_str("timed"))->expires_ms - sg_wall_ms(sg_clock_system());
    assert_true(left > 500000 && left <= 600000);
    assert_int_equal(find(0, sg_str("plain"))->expires_ms, -1);
    assert_int_equal(find(0, sg_str("bits"))->bytes, 37501);
    for (i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_known(others[i][0], others[i][1], NULL);
    assert_known("last", "string", "value");
    free_follower();
}

static void
a_value_above_the_bound_is_told_without_it(void **state)
{
    char *big = malloc(VALUE_MAX + 2);
    int i;

    (void)state;
    srand(7);
    for (i = 0; i < VALUE_MAX + 1; i++)
        big[i] = (char)(' ' + rand() % 90);
    big[VALUE_MAX + 1] = '\0';
    say("SET fits %b", big, (size_t)VALUE_MAX);
    say("SET over %b", big, (size_t)VALUE_MAX + 1);
    make_follower();
    start();
    catch_up();
    say("SET later %b", big, (size_t)VALUE_MAX + 1);
    catch_up();
    stop();
    assert_int_equal(find(0, sg_str("fits"))->bytes, VALUE_MAX);
    assert_false(find(0, sg_str("fits"))->too_large);
    assert_true(find(0, sg_str("over"))->too_large);
    assert_known("later", "written", NULL); /* whoever wants it reads it */
    free(big);
    free_follower();
}

static void
stream_tells_what_each_command_does(void **state)
{
    (void)state;
    make_follower();
    start();
    catch_up();
    say("SET a 1");
    say("SET b 2 EX 100");
    say("SET c 3");
    say("EXPIRE a 100");
    say("SET p 1 EX 50");
    say("PERSIST p");
    say("SET gone x PX 30");
    say("MSET d 4 e 5");
    say("UNLINK d");
    say("EVAL %s 1 f", "redis.call('set', KEYS[1], 'by script') redis.call('del', 'e')");
    say("RENAME c c2");
    say("GETDEL f");
    say("HSET h x y");
    test_sleep_ms(150);
    say("GET gone");
    catch_up();
    say("SELECT 3");
    say("SET elsewhere 1");
    say("SELECT 0");
    catch_up();
    stop();
    assert_known("a", "string", "1");
    assert_true(find(0, sg_str("a"))->expires_ms > sg_wall_ms(sg_clock_system()) + 90000);
    assert_known("p", "string", "1");
    assert_int_equal(find(0, sg_str("p"))->expires_ms, -1);
    assert_known("b", "string", "2");
    assert_true(find(0, sg_str("b"))->expires_ms > sg_wall_ms(sg_clock_system()) + 90000);
    assert_known("gone", "", NULL);
    assert_known("d", "", NULL);
    assert_known("e", "", NULL);
    assert_known("f", "", NULL);
    assert_known("h", "written", NULL);
    assert_string_equal(f->renamed, "c>c2");
    assert_string_equal(find(3, sg_str("elsewhere"))->type, "string");
    free_follower();
}

static void
goes_on_from_its_position_in_the_same_database(void **state)
{
    (void)state;
    make_follower();
    say("SELECT 5");
    start();
    say("SET before 1");
    say("SELECT 0");
    catch_up();
    say("SELECT 5");
    say("SET between 1");
    test_sleep_ms(300);
    stop();
    say("SET while-away 1");
    start();
    say("SET after 1");
    say("SELECT 0");
    catch_up();
    stop();
    assert_int_equal(f->copies, 1);
    assert_int_equal(f->resumes, 1);
    assert_string_equal(find(5, sg_str("while-away"))->type, "string");
    assert_string_equal(find(5, sg_str("after"))->type, "string");
    free_follower();
}

static void
an_unknown_history_is_copied_anew(void **state)
{
    (void)state;
    make_follower();
    say("SET old 1");
    start();
    catch_up();
    stop();
    kill_server();
    start_server();
    do_not_wait();
    say("SET new 1");
    start();
    catch_up();
    stop();
    assert_int_equal(f->copies, 2);
    assert_int_equal(f->resumes, 0);
    assert_known("new", "string", "1");
    free_follower();
}

static void
a_flush_is_told(void **state)
{
    (void)state;
    make_follower();
    say("SET a 1");
    start();
    catch_up();
    test_sleep_ms(
        200); /* a flush ends the child that copied, and replicas that still wait for it */
    say("FLUSHALL");
    catch_up();
    stop();
    assert_int_equal(f->flushes, 1);
    assert_int_equal(find(0, sg_str("a"))->type[0], 0);
    free_follower();
}

static void
a_lost_server_ends_it_and_keeps_the_position(void **state)
{
    int64_t offset;

    (void)state;
    make_follower();
    start();
    catch_up();
    offset = f->quiet.offset;
    kill_server();
    wait_for_end();
    assert_int_equal(f->err.code, SG_E_UNAVAILABLE);
    assert_true(f->position.id[0] != '\0' && f->position.offset >= offset);
    start();
    wait_for_end();
    assert_int_equal(f->err.code, SG_E_UNAVAILABLE);
    start_server();
    free_follower();
}

static void
without_the_right_it_says_what_is_needed(void **state)
{
    (void)state;
    say("ACL SETUSER reader on >secret-word ~* +get +ping");
    make_follower();
    f->options.user = "reader";
    f->options.password = "secret-word";
    start();
    wait_for_end();
    assert_int_equal(f->err.code, SG_E_DENIED);
    assert_non_null(strstr(f->err.text, "+psync"));
    f->options.password = "wrong-word";
    start();
    wait_for_end();
    assert_int_equal(f->err.code, SG_E_DENIED);
    assert_null(strstr(f->err.text, "wrong-word"));
    say("ACL SETUSER replica on >secret-word +psync +replconf +ping");
    f->options.user = "replica";
    f->options.password = "secret-word";
    start();
    catch_up();
    stop();
    free_follower();
}

/* Such a copy says how long it is, and has no mark at its end. */
static void
a_copy_by_way_of_the_disk_with_functions_in_it_is_read_too(void **state)
{
    int i;

    (void)state;
    say("CONFIG SET repl-diskless-sync no");
    say("FUNCTION LOAD %s",
        "#!lua name=lib\nredis.register_function('f', function() return 1 end)");
    fill();
    make_follower();
    start();
    catch_up();
    assert_known("plain", "string", "value");
    assert_int_equal(f->copies, 1);
    say("MULTI");
    for (i = 0; i < 50; i++)
        say("SET many%d x", i);
    say("EXEC");
    catch_up();
    stop();
    assert_known("many49", "string", "x");
    free_follower();
}

static void
who_is_cut_off_for_reading_too_slowly_has_a_new_copy(void **state)
{
    char *big = malloc(60001);
    int i;

    (void)state;
    memset(big, 'a', 60000);
    big[60000] = '\0';
    make_follower();
    start();
    catch_up();
    say("CONFIG SET repl-backlog-size 16384");
    say("CONFIG SET client-output-buffer-limit %s", "replica 1mb 1mb 1");
    pthread_mutex_lock(&f->lock); /* which its callbacks take */
    for (i = 0; i < 200; i++)
        say("SET big%d %s", i % 7, big);
    pthread_mutex_unlock(&f->lock);
    wait_for_end();
    assert_int_equal(f->err.code, SG_E_UNAVAILABLE);
    start();
    catch_up();
    stop();
    assert_int_equal(f->copies, 2);
    assert_int_equal(find(0, sg_str("big6"))->bytes, 60000);
    free(big);
    free_follower();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(copy_tells_every_key_with_its_type_value_and_expiry),
        WITH_SERVER(a_value_above_the_bound_is_told_without_it),
        WITH_SERVER(stream_tells_what_each_command_does),
        WITH_SERVER(goes_on_from_its_position_in_the_same_database),
        WITH_SERVER(an_unknown_history_is_copied_anew),
        WITH_SERVER(a_flush_is_told),
        WITH_SERVER(a_lost_server_ends_it_and_keeps_the_position),
        WITH_SERVER(a_copy_by_way_of_the_disk_with_functions_in_it_is_read_too),
        WITH_SERVER(who_is_cut_off_for_reading_too_slowly_has_a_new_copy),
        WITH_SERVER(without_the_right_it_says_what_is_needed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
