/* SPDX-License-Identifier: MIT */
/* Requests to the "redis" store. */
#include "legacy_redis.h"

#include <signal.h>
#include <string.h>

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
    say("SET segue:sentinel:web %064d", 7); /* longer than any of ours */
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
proving_reads_the_counters_and_writes_nothing(void **state)
{
    struct call *c;
    int64_t flushes;

    (void)state;
    say("SET segue:sentinel:web s-1");
    c = ask(SG_LEGACY_PROVE, "", NULL, 0);
    assert_int_equal(c->q.rc, 0);
    assert_string_equal(c->q.proof.sentinel, "s-1");
    assert_int_equal(say("DBSIZE"), 1);
    flushes = c->q.flushes;
    say("FLUSHALL");
    c = ask(SG_LEGACY_PROVE, "", NULL, 0);
    assert_int_equal(c->q.flushes, flushes + 1);
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
close_ends_what_is_under_way_as_cancelled(void **state)
{
    struct sg_legacy_store *s = open_at(url, "sess:");
    struct page p = {.scan.cursor = "0"};
    struct call c;

    (void)state;
    begin_page(s, &p, 10);
    begin_at(&c, s, SG_LEGACY_READ, "sess:a", NULL, 0, 3000);
    close_store(s);
    assert_true(c.done);
    assert_int_equal(c.q.err.code, SG_E_CANCELLED);
    assert_true(p.done);
    assert_int_equal(p.scan.err.code, SG_E_CANCELLED);
}

/* A page that reads values is several batches: all of them end before the page does. */
static void
connection_lost_within_a_page_fails_the_page(void **state)
{
    struct page p = {.scan.cursor = "0"};
    int i;

    (void)state;
    ask(SG_LEGACY_READ, "sess:0", NULL, 0);
    for (i = 0; i < 100; i++)
        say("SETRANGE sess:%d 500000 x", i);
    begin_page(store, &p, 1000);
    for (i = 0; i < 100 && !p.done; i++) {
        uv_run(&loop, UV_RUN_ONCE);
        if (i == 5)
            say("CLIENT KILL TYPE normal SKIPME yes");
    }
    test_run_until(&loop, &p.done, 8000);
    assert_int_equal(p.scan.rc, -1);
    assert_true(p.scan.err.retryable);
    assert_string_equal(p.scan.cursor, "0");
    assert_int_equal(p.scan.n_items, 0);
    do {
        next_page(store, &p, 100);
        assert_int_equal(p.scan.rc, 0);
        sg_legacy_scan_clear(&p.scan);
    } while (strcmp(p.scan.cursor, "0") != 0);
}

static void
page_over_its_bound_asks_for_fewer_keys(void **state)
{
    struct page p = {.scan.cursor = "0"};
    int i, found = 0;

    (void)state;
    for (i = 0; i < 70; i++)
        say("SETRANGE sess:%d %d x", i, SG_LEGACY_VALUE_MAX - 1);
    next_page(store, &p, 1000);
    assert_int_equal(p.scan.rc, -1);
    assert_int_equal(p.scan.err.code, SG_E_LIMIT);
    do {
        next_page(store, &p, 10);
        assert_int_equal(p.scan.rc, 0);
        found += p.scan.n_items;
        sg_legacy_scan_clear(&p.scan);
    } while (strcmp(p.scan.cursor, "0") != 0);
    assert_int_equal(found, 70);
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
host_and_port_are_reached(void **state)
{
    struct sg_legacy_store *s;
    char at[160];
    struct call c;

    (void)state;
    say("CONFIG SET requirepass p%%40ss");
    snprintf(at, sizeof at, "redis://:p%%2540ss@127.0.0.1:%d/2", server.port);
    s = open_at(at, "sess:");
    begin_at(&c, s, SG_LEGACY_CREATE, "sess:a", "v", 60000, 3000);
    test_run_until(&loop, &c.done, 5000);
    assert_int_equal(c.q.rc, 0);
    assert_true(s->type->is_up(s));
    say("SELECT 2");
    assert_value("sess:a", "v");
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(read_tells_value_ttl_and_proof),
        WITH_SERVER(empty_value_is_found),
        WITH_SERVER(other_type_is_invalid),
        WITH_SERVER(record_over_the_bound_is_refused_and_the_connection_stays),
        WITH_SERVER(touch_lengthens_never_shortens_and_keeps_the_value),
        WITH_SERVER(create_writes_only_where_nothing_is),
        WITH_SERVER(end_tells_whether_it_was_there),
        WITH_SERVER(sentinel_is_read_with_every_answer),
        WITH_SERVER(heartbeat_counts_flushes_and_evictions),
        WITH_SERVER(proving_reads_the_counters_and_writes_nothing),
        WITH_SERVER(answers_carry_the_run_id_of_who_answered),
        WITH_SERVER(stopped_server_costs_the_deadline_and_no_more),
        WITH_SERVER(close_ends_what_is_under_way_as_cancelled),
        WITH_SERVER(connection_lost_within_a_page_fails_the_page),
        WITH_SERVER(page_over_its_bound_asks_for_fewer_keys),
        WITH_SERVER(wrong_password_is_told_without_it),
        WITH_SERVER(host_and_port_are_reached),
        WITH_SERVER(refused_command_is_told_without_its_arguments),
        WITH_SERVER(scan_finds_every_key_once_with_value_and_ttl),
        WITH_SERVER(scan_tells_other_types_and_hides_own_keys),
        WITH_SERVER(prefix_is_taken_literally),
        WITH_SERVER(bad_cursor_fails_and_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
