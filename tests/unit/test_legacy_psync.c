/* SPDX-License-Identifier: MIT */
/* Following the "redis" store as a replica. */
#include "legacy/expiries.h"
#include "legacy_redis.h"

#include <stdlib.h>
#include <string.h>

static struct sg_legacy_store *by_psync;
static struct told t;
static struct sg_legacy_follower *follower;

static void
follow_by_psync(void)
{
    say("CONFIG SET repl-diskless-sync-delay 0");
    by_psync = open_psync_at(url, "sess:");
    follower = start_following(by_psync, &t);
}

static void
stop_by_psync(void)
{
    stop_following(by_psync, follower);
    close_store(by_psync);
}

static void
cut_the_stream(void)
{
    say("CLIENT KILL TYPE replica");
}

static void
every_kind_of_change_is_told(void **state)
{
    (void)state;
    say("SET sess:old x EX 100");
    follow_by_psync();
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
    say("SET other:b x");
    say("RENAME other:b sess:d");
    say("RENAME sess:d other:d");
    say("SELECT 4");
    say("SET sess:elsewhere x");
    say("SELECT 0");
    say("DEL sess:old");
    await_line(&t, "DELETED sess:old\n");
    assert_string_equal(t.log, "SET sess:a\nSET sess:a\nSET sess:a\nDELETED sess:a\n"
                               "SET sess:b\nRENAMED_FROM sess:b\nRENAMED_TO sess:c\n"
                               "DELETED sess:c\nRENAMED_TO sess:d\nRENAMED_FROM sess:d\n"
                               "DELETED sess:old\n");
    stop_by_psync();
}

static void
expiry_is_not_told_as_deletion(void **state)
{
    (void)state;
    say("SET sess:copied x PX 400");
    follow_by_psync();
    test_run_until(&loop, &t.up, 3000);
    say("SET sess:short x PX 30");
    say("SET sess:touched x PX 60000");
    say("PEXPIRE sess:touched 30");
    say("SET sess:kept x PX 30");
    say("PERSIST sess:kept");
    say("SET sess:several x PX 30");
    say("MSET sess:several y other:several z");
    test_run_for(&loop, 500);
    say("GET sess:short");
    say("GET sess:touched");
    say("GET sess:copied");
    say("DEL sess:several sess:kept");
    await_line(&t, "DELETED sess:kept\n");
    assert_non_null(strstr(t.log, "DELETED sess:several\n"));
    assert_non_null(strstr(t.log, "EXPIRED sess:short\n"));
    assert_non_null(strstr(t.log, "EXPIRED sess:touched\n"));
    assert_non_null(strstr(t.log, "EXPIRED sess:copied\n"));
    assert_null(strstr(t.log, "DELETED sess:short"));
    stop_by_psync();
}

static void
what_ran_out_while_no_heartbeat_came_is_in_doubt(void **state)
{
    char beat[64];

    (void)state;
    follow_by_psync();
    test_run_until(&loop, &t.up, 3000);
    snprintf(beat, sizeof beat, "web:7:%lld", (long long)sg_wall_ms(sg_clock_system()));
    ask(SG_LEGACY_HEARTBEAT, "", beat, 0);
    await_line(&t, "HEARTBEAT web\n");
    say("SET sess:fresh x PX 20");
    test_run_for(&loop, 60);
    say("GET sess:fresh");
    await_line(&t, "EXPIRED sess:fresh\n");
    assert_int_equal(t.downs, 0);
    snprintf(beat, sizeof beat, "web:8:%lld", (long long)sg_wall_ms(sg_clock_system()) - 9000);
    ask(SG_LEGACY_HEARTBEAT, "", beat, 0);
    say("SET sess:late x PX 20");
    test_run_for(&loop, 60);
    say("GET sess:late");
    say("SET sess:next x");
    await_line(&t, "SET sess:next\n");
    assert_int_equal(t.downs, 1);
    assert_int_equal(t.ups, 2);
    assert_non_null(strstr(t.err.text, "no heartbeat"));
    stop_by_psync();
}

static void
heartbeat_comes_back(void **state)
{
    (void)state;
    follow_by_psync();
    test_run_until(&loop, &t.up, 3000);
    ask(SG_LEGACY_HEARTBEAT, "", "7", 0);
    await_line(&t, "HEARTBEAT web\n");
    stop_by_psync();
}

static void
a_lost_connection_misses_nothing_and_breaks_nothing(void **state)
{
    int i;

    (void)state;
    follow_by_psync();
    test_run_until(&loop, &t.up, 3000);
    say("SET sess:first x");
    await_line(&t, "SET sess:first\n");
    for (i = 0; i < 3; i++) {
        cut_the_stream();
        say("SET sess:%d x", i);
        say("DEL sess:%d", i);
    }
    await_line(&t, "DELETED sess:2\n");
    for (i = 0; i < 3; i++) {
        char line[40];

        snprintf(line, sizeof line, "SET sess:%d\nDELETED sess:%d\n", i, i);
        assert_non_null(strstr(t.log, line));
    }
    assert_int_equal(t.ups, 1);
    assert_int_equal(t.downs, 0);
    stop_by_psync();
}

static void
changes_beyond_the_backlog_break_it_and_it_comes_up_again(void **state)
{
    char *big = malloc(40000);
    int i;

    (void)state;
    memset(big, 'x', 40000);
    say("CONFIG SET repl-backlog-size 16384");
    follow_by_psync();
    test_run_until(&loop, &t.up, 3000);
    cut_the_stream();
    for (i = 0; i < 5; i++)
        say("SET other:%d %b", i, big, (size_t)40000);
    test_run_until(&loop, &t.down, 5000);
    assert_non_null(strstr(t.err.text, "repl-backlog-size"));
    test_run_until(&loop, &t.up, 5000);
    assert_int_equal(t.ups, 2);
    free(big);
    stop_by_psync();
}

static void
a_restarted_server_breaks_it(void **state)
{
    (void)state;
    follow_by_psync();
    test_run_until(&loop, &t.up, 3000);
    kill_server();
    test_run_for(&loop, 200);
    start_server();
    say("CONFIG SET repl-diskless-sync-delay 0");
    test_run_until(&loop, &t.down, 5000);
    test_run_until(&loop, &t.up, 5000);
    say("SET sess:new x");
    await_line(&t, "SET sess:new\n");
    stop_by_psync();
}

static void
a_server_that_may_evict_is_not_followed(void **state)
{
    (void)state;
    say("CONFIG SET maxmemory-policy allkeys-lru");
    say("CONFIG SET maxmemory 100000000");
    follow_by_psync();
    test_run_until(&loop, &t.down, 3000);
    assert_int_equal(t.ups, 0);
    assert_non_null(strstr(t.err.text, "capture: events"));
    say("CONFIG SET maxmemory 0");
    test_run_until(&loop, &t.up, 3000);
    t.down = false;
    say("CONFIG SET maxmemory 100000000");
    test_run_until(&loop, &t.down, 3000);
    stop_by_psync();
}

static void
stops_while_the_server_is_away(void **state)
{
    (void)state;
    follow_by_psync();
    test_run_until(&loop, &t.up, 3000);
    kill_server();
    test_run_for(&loop, 100);
    stop_by_psync();
    start_server();
}

/* ---- when keys expire ---- */

static void
expiries_are_known_until_taken_and_bounded(void **state)
{
    struct sg_expiries *e;
    struct sg_err err;
    char key[32];
    int64_t at;
    int i, round;

    (void)state;
    assert_int_equal(sg_expiries_new(5000, &e, &err), 0);
    for (round = 0; round < 3; round++) {
        for (i = 0; i < 10000; i++) {
            snprintf(key, sizeof key, "sess:%d", i);
            sg_expiries_put(e, sg_str(key), i);
        }
        assert_int_equal(sg_expiries_count(e), 8192); /* the bound, and no more */
        for (i = 0; i < 8192; i++) {
            snprintf(key, sizeof key, "sess:%d", i);
            assert_true(sg_expiries_take(e, sg_str(key), &at));
            assert_int_equal(at, i);
            assert_false(sg_expiries_take(e, sg_str(key), &at));
        }
        assert_int_equal(sg_expiries_count(e), 0);
    }
    sg_expiries_put(e, sg_str("a"), 1);
    sg_expiries_put(e, sg_str("a"), SG_EXPIRIES_NEVER);
    assert_int_equal(sg_expiries_count(e), 1);
    assert_true(sg_expiries_take(e, sg_str("a"), &at));
    assert_true(at == SG_EXPIRIES_NEVER);
    sg_expiries_put(e, sg_str("b"), 1);
    sg_expiries_clear(e);
    assert_false(sg_expiries_take(e, sg_str("b"), &at));
    sg_expiries_free(e);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expiries_are_known_until_taken_and_bounded),
        WITH_SERVER(every_kind_of_change_is_told),
        WITH_SERVER(expiry_is_not_told_as_deletion),
        WITH_SERVER(what_ran_out_while_no_heartbeat_came_is_in_doubt),
        WITH_SERVER(heartbeat_comes_back),
        WITH_SERVER(a_lost_connection_misses_nothing_and_breaks_nothing),
        WITH_SERVER(changes_beyond_the_backlog_break_it_and_it_comes_up_again),
        WITH_SERVER(a_restarted_server_breaks_it),
        WITH_SERVER(a_server_that_may_evict_is_not_followed),
        WITH_SERVER(stops_while_the_server_is_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
