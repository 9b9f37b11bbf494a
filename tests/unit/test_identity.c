/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "identity/identity.h"
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

static const char lookup_sql[] =
    "SELECT name, active, roles, permissions, version FROM people WHERE name = $1";
static const char changes_sql[] =
    "SELECT name, active, roles, permissions, version, version::text FROM people "
    "WHERE version > coalesce(nullif($1, '')::bigint, 0) ORDER BY people.version LIMIT 2";

/* ---- names ---- */

static void
array_literals_are_read_and_written_back(void **state)
{
    static const struct {
        const char *literal;
        int n;
        const char *last;
    } good[] = {{"{}", 0, NULL},
                {"{admin}", 1, "admin"},
                {"{admin,orders:read}", 2, "orders:read"},
                {"{\"a b\",\"c,d\",\"e}f\"}", 3, "e}f"},
                {"{\"say \\\"hi\\\"\",\"back\\\\slash\"}", 2, "back\\slash"},
                {"{\"NULL\"}", 1, "NULL"},
                {"{a,a,b,a}", 2, "b"}};
    struct sg_names names, again;
    struct sg_buf b = SG_BUF_INIT(10000);
    struct sg_err err;
    size_t i;
    int k;

    (void)state;
    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        sg_names_clear(&names);
        assert_int_equal(sg_names_from_array(&names, sg_str(good[i].literal), &err), 0);
        assert_int_equal(names.n, good[i].n);
        if (good[i].n > 0)
            assert_string_equal(names.name[names.n - 1], good[i].last);
        sg_buf_reset(&b);
        sg_names_to_array(&names, &b);
        assert_int_equal(sg_names_from_array(&again, sg_buf_slice(&b), &err), 0);
        assert_int_equal(again.n, names.n);
        for (k = 0; k < names.n; k++)
            assert_string_equal(again.name[k], names.name[k]);
    }
    sg_buf_free(&b);
}

static void
broken_array_literals_are_refused_and_change_nothing(void **state)
{
    static const char *const bad[] = {"",       "{",        "}",         "a,b",      "{a,b",
                                      "{a}b}",  "{a,}",     "{,a}",      "{a,,b}",   "{{a},{b}}",
                                      "{NULL}", "{a,null}", "[0:0]={a}", "{\"a}",    "{\"a\"b}",
                                      "{a\"b}", "{\"\"}",   "{a\nb}",    "{\"a\\\"}"};
    struct sg_names names;
    struct sg_err err;
    size_t i;

    (void)state;
    sg_names_clear(&names);
    assert_int_equal(sg_names_add(&names, sg_str("kept"), &err), 0);
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (sg_names_from_array(&names, sg_str(bad[i]), &err) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(err.code, SG_E_INVALID);
        assert_int_equal(names.n, 1);
        assert_string_equal(names.name[0], "kept");
    }
}

static void
names_stop_at_their_bounds(void **state)
{
    struct sg_names names;
    static char big[SG_NAMES_BYTES + 1];
    char text[16];
    struct sg_err err;
    int i;

    (void)state;
    sg_names_clear(&names);
    for (i = 0; i < SG_ROLES_MAX; i++) {
        snprintf(text, sizeof text, "role%d", i);
        assert_int_equal(sg_names_add(&names, sg_str(text), &err), 0);
    }
    assert_int_equal(sg_names_add(&names, sg_str("one more"), &err), -1);
    assert_int_equal(err.code, SG_E_LIMIT);
    assert_int_equal(sg_names_add(&names, sg_str("role0"), &err), 0); /* there already */
    sg_names_clear(&names);
    memset(big, 'x', sizeof big);
    assert_int_equal(sg_names_add(&names, sg_slice(big, SG_NAMES_BYTES), &err), -1);
    assert_int_equal(err.code, SG_E_LIMIT);
    assert_int_equal(sg_names_add(&names, sg_slice(big, SG_NAMES_BYTES - 1), &err), 0);
}

static void
a_copy_of_names_stands_on_its_own(void **state)
{
    struct sg_names a, b;
    struct sg_err err;

    (void)state;
    sg_names_clear(&a);
    assert_int_equal(sg_names_from_array(&a, sg_str("{x,y}"), &err), 0);
    sg_names_copy(&b, &a);
    memset(&a, 'z', sizeof a);
    assert_int_equal(b.n, 2);
    assert_string_equal(b.name[0], "x");
    assert_string_equal(b.name[1], "y");
}

/* ---- the sql source ---- */

static bool request_done;

static void
on_lookup(struct sg_identity_request *request)
{
    request_done = true;
}

static void
on_changes(struct sg_identity_changes *changes)
{
    request_done = true;
}

static void
set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static uint64_t
in_ms(int ms)
{
    return sg_mono_ns(sg_clock_system()) + (uint64_t)ms * SG_NS_PER_MS;
}

static struct sg_identity_source *
open_source(const char *lookup)
{
    struct sg_identity_source_options o = {.conninfo = server.conninfo,
                                           .name = "people",
                                           .lookup_sql = lookup,
                                           .changes_sql = changes_sql,
                                           .timeout_ms = 1000,
                                           .connections = 1};
    struct sg_identity_source *s;
    struct sg_err err;

    assert_null(sg_identity_source_find("nothing"));
    assert_int_equal(sg_identity_source_find("sql")->open(&loop, sg_clock_system(), &o, &s, &err),
                     0);
    return s;
}

static void
close_source(struct sg_identity_source *s)
{
    bool closed = false;

    s->type->close(s, set_flag, &closed);
    test_run_until(&loop, &closed, 1000);
}

static void
look_up(struct sg_identity_source *s, struct sg_identity_request *r, const char *subject)
{
    memset(r, 0, sizeof *r);
    snprintf(r->subject, sizeof r->subject, "%s", subject);
    r->deadline_ns = in_ms(2000);
    r->done = on_lookup;
    request_done = false;
    s->type->lookup(s, r);
    assert_false(request_done);
    test_run_until(&loop, &request_done, 3000);
}

static void
a_subject_comes_with_roles_and_permissions(void **state)
{
    struct sg_identity_source *s = open_source(lookup_sql);
    struct sg_identity_request r;

    (void)state;
    look_up(s, &r, "ann");
    assert_int_equal(r.rc, 0);
    assert_true(r.found);
    assert_true(r.identity.active);
    assert_string_equal(r.identity.subject, "ann");
    assert_int_equal(r.identity.roles.n, 2);
    assert_string_equal(r.identity.roles.name[1], "order, desk");
    assert_int_equal(r.identity.permissions.n, 0); /* NULL */
    assert_int_equal(r.identity.version, 7);
    look_up(s, &r, "bob");
    assert_int_equal(r.rc, 0);
    assert_false(r.identity.active);
    look_up(s, &r, "nobody");
    assert_int_equal(r.rc, 0);
    assert_false(r.found);
    close_source(s);
}

static void
what_does_not_fit_is_an_error_that_names_the_column(void **state)
{
    static const struct {
        const char *sql, *text;
    } cases[] = {
        {"SELECT $1, true, '{}'::text[], '{}'::text[]", "4 columns"},
        {"SELECT $1, NULL::boolean, '{}', '{}', 1", "2 (active)"},
        {"SELECT $1, true, '{a,NULL}'::text[], '{}', 1", "3 (roles)"},
        {"SELECT $1, true, '{}', '{{a},{b}}'::text[], 1", "4 (permissions)"},
        {"SELECT $1, true, '{}', '{}', NULL", "5 (version)"},
        {"SELECT $1, true, '{}', '{}', 99999999999999999999", "5 (version)"},
        {"SELECT upper($1), true, '{}', '{}', 1", "another subject"},
        {"SELECT $1, true, '{}', '{}', 1 FROM generate_series(1, 2)", "2 rows"},
        {"SELECT $1, true, '{}', '{}', 1 FROM nowhere", "nowhere"},
    };
    struct sg_identity_request r;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sg_identity_source *s = open_source(cases[i].sql);

        look_up(s, &r, "ann");
        assert_int_equal(r.rc, -1);
        assert_false(r.found);
        assert_string_equal(r.err.place, "people");
        if (strstr(r.err.text, cases[i].text) == NULL)
            fail_msg("%s: %s", cases[i].sql, r.err.text);
        close_source(s);
    }
}

static void
changes_are_followed_by_their_cursor(void **state)
{
    struct sg_identity_source *s = open_source(lookup_sql);
    struct sg_identity_changes c = {.done = on_changes};
    static const struct {
        int n;
        const char *first, *cursor;
    } pages[] = {{2, "ann", "8"}, {1, "cyd", "9"}, {0, NULL, "9"}};
    size_t i;

    (void)state;
    for (i = 0; i < 3; i++) {
        c.deadline_ns = in_ms(2000);
        request_done = false;
        s->type->changes(s, &c);
        test_run_until(&loop, &request_done, 3000);
        if (c.rc != 0)
            fail_msg("%s", c.err.text);
        assert_int_equal(c.n_items, pages[i].n);
        assert_string_equal(c.cursor, pages[i].cursor);
        if (c.n_items > 0)
            assert_string_equal(c.items[0].subject, pages[i].first);
        sg_identity_changes_clear(&c);
    }
    close_source(s);
}

static struct sg_identity_source *
open_changes(const char *changes)
{
    struct sg_identity_source_options o = {.conninfo = server.conninfo,
                                           .name = "people",
                                           .lookup_sql = lookup_sql,
                                           .changes_sql = changes,
                                           .timeout_ms = 1000,
                                           .connections = 1};
    struct sg_identity_source *s;
    struct sg_err err;

    assert_int_equal(sg_identity_source_find("sql")->open(&loop, sg_clock_system(), &o, &s, &err),
                     0);
    return s;
}

static void
a_changed_subject_that_makes_no_sense_is_left_out_and_told_of(void **state)
{
    struct sg_identity_source *s = open_changes(
        "SELECT n::text, true, CASE WHEN n IN (2, 4) THEN ARRAY[E'a\nb'] ELSE '{a}' END, "
        "'{}'::text[], 7, CASE WHEN n = 3 THEN NULL ELSE '{ \"x\": [1, \"\u00fc\"] }'::jsonb "
        "END, (n || $1)::text FROM generate_series(1, 5) n");
    struct sg_identity_changes c = {.done = on_changes, .cursor = ":"};

    (void)state;
    c.deadline_ns = in_ms(2000);
    request_done = false;
    s->type->changes(s, &c);
    test_run_until(&loop, &request_done, 3000);
    assert_int_equal(c.rc, 0);
    assert_int_equal(c.n_items, 3);
    assert_int_equal(c.n_refused, 2);
    assert_non_null(strstr(c.refused.text, "3 (roles)"));
    assert_false(c.full);
    assert_string_equal(c.cursor, "5:");
    assert_string_equal(c.items[0].subject, "1");
    assert_string_equal(c.items[0].attributes, "{\"x\":[1,\"\xc3\xbc\"]}");
    assert_string_equal(c.items[1].subject, "3");
    assert_string_equal(c.items[1].attributes, "");
    assert_string_equal(c.items[2].subject, "5");
    sg_identity_changes_clear(&c);
    close_source(s);
}

static void
attributes_are_one_strict_object_within_their_bound(void **state)
{
    static const char *const bad[] = {"",
                                      "1",
                                      "[]",
                                      "null",
                                      "{\"a\":1,\"a\":2}",
                                      "{\"a\":",
                                      "{} {}",
                                      "{a}",
                                      "{\"a\":\"\\u0000\"}",
                                      "{\"a\":\"\\ud800\"}"};
    struct sg_identity who = {.attributes = "kept"};
    char big[SG_ATTRIBUTES_BYTES + 64];
    struct sg_err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (sg_identity_set_attributes(&who, sg_str(bad[i]), &err) == 0)
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(err.code, SG_E_INVALID);
        assert_string_equal(who.attributes, "kept");
    }
    snprintf(big, sizeof big, "{ \"a\" : \"%0*d\" }", SG_ATTRIBUTES_BYTES - 8, 0);
    assert_int_equal(sg_identity_set_attributes(&who, sg_str(big), &err), 0);
    assert_int_equal(strlen(who.attributes), SG_ATTRIBUTES_BYTES);
    snprintf(big, sizeof big, "{\"a\":\"%0*d\"}", SG_ATTRIBUTES_BYTES - 7, 0);
    assert_int_equal(sg_identity_set_attributes(&who, sg_str(big), &err), -1);
    assert_int_equal(err.code, SG_E_LIMIT);
}

static void
a_lookup_that_is_closed_over_is_told_once(void **state)
{
    struct sg_identity_source *s = open_source(lookup_sql);
    struct sg_identity_request r = {.subject = "ann", .done = on_lookup};

    (void)state;
    r.deadline_ns = in_ms(2000);
    request_done = false;
    s->type->lookup(s, &r);
    assert_false(request_done);
    close_source(s);
    assert_true(request_done);
    assert_int_equal(r.err.code, SG_E_CANCELLED);
}

static int
setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    test_pg_start(&server);
    test_pg_sql(&server, "CREATE TABLE people(name text PRIMARY KEY, active boolean NOT NULL, "
                         "roles text[], permissions text[], version bigint NOT NULL)");
    test_pg_sql(&server, "INSERT INTO people VALUES ('ann', true, '{admin,\"order, desk\"}', NULL, "
                         "7), ('bob', false, '{}', '{a}', 8), ('cyd', true, '{a}', '{b}', 9)");
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
        cmocka_unit_test(array_literals_are_read_and_written_back),
        cmocka_unit_test(broken_array_literals_are_refused_and_change_nothing),
        cmocka_unit_test(names_stop_at_their_bounds),
        cmocka_unit_test(a_copy_of_names_stands_on_its_own),
        cmocka_unit_test(a_subject_comes_with_roles_and_permissions),
        cmocka_unit_test(what_does_not_fit_is_an_error_that_names_the_column),
        cmocka_unit_test(changes_are_followed_by_their_cursor),
        cmocka_unit_test(a_changed_subject_that_makes_no_sense_is_left_out_and_told_of),
        cmocka_unit_test(attributes_are_one_strict_object_within_their_bound),
        cmocka_unit_test(a_lookup_that_is_closed_over_is_told_once),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
