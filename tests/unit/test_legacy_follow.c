/* SPDX-License-Identifier: MIT */
/* Following changes in the "redis" store. */
#include "legacy_redis.h"

#include <string.h>

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

static void
unfollow_works_at_any_moment(void **state)
{
    struct sg_legacy_follower *f;
    struct told t;
    int turns, i;

    (void)state;
    for (turns = 0; turns < 30; turns++) {
        f = start_following(store, &t);
        for (i = 0; i < turns; i++)
            uv_run(&loop, UV_RUN_NOWAIT);
        stop_following(store, f);
    }
}

static void
nothing_is_told_twice_where_the_prefix_takes_in_every_key(void **state)
{
    struct sg_legacy_store *all = open_at(url, "");
    struct told t;
    struct sg_legacy_follower *f = start_following(all, &t);

    (void)state;
    test_run_until(&loop, &t.up, 3000);
    say("SET segue:heartbeat:web x");
    say("SET segue:sentinel:web x");
    say("SET a x");
    await_line(&t, "SET a\n");
    assert_string_equal(t.log, "HEARTBEAT web\nSET a\n");
    stop_following(all, f);
    close_store(all);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(every_kind_of_change_is_told),
        WITH_SERVER(eviction_is_not_told_as_deletion),
        WITH_SERVER(own_heartbeat_comes_back),
        WITH_SERVER(missing_notifications_are_added_to_what_was_there),
        WITH_SERVER(taking_notifications_away_breaks_continuity_and_is_repaired),
        WITH_SERVER(forbidden_setting_is_named_exactly),
        WITH_SERVER(lost_connection_is_down_then_up_with_the_new_run_id),
        WITH_SERVER(unfollow_works_at_any_moment),
        WITH_SERVER(nothing_is_told_twice_where_the_prefix_takes_in_every_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
