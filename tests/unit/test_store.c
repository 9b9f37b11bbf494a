/* SPDX-License-Identifier: MIT */
#include "store_env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants the above first */
#include <cmocka.h>

/* Identities, and what every operation has in common: bounds and failures. */
static struct store_env env;

static int
reset(void **state)
{
    (void)state;
    env_reset(&env);
    return 0;
}

static int
start(void **state)
{
    (void)state;
    env_start(&env);
    return 0;
}

static int
stop(void **state)
{
    (void)state;
    env_stop(&env);
    return 0;
}

static void
put_one(struct sg_session_row *row)
{
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, row, 1), 0);
}

/* ---- subjects ---- */

static struct sg_subject_row
subject(const char *name, int64_t version)
{
    return (struct sg_subject_row){.realm = REALM,
                                   .bucket = 5,
                                   .subject = name,
                                   .active = true,
                                   .roles = "{user}",
                                   .permissions = "{}",
                                   .source_version = version};
}

static void
put_one_subject(struct sg_subject_row *row)
{
    assert_int_equal(ENV_CALL(&env, sg_store_put_subjects, row, 1), 0);
}

static long
feed_rows(void)
{
    return env_sql(&env, 0, "SELECT count(*) FROM segue.revocation WHERE kind = 'subject'");
}

static void
an_older_reading_of_an_identity_changes_nothing(void **state)
{
    struct sg_subject_row u = subject("u1", 5);
    struct sg_session_row s = env_session(1, 5);

    (void)state;
    put_one(&s);
    assert_int_equal(s.source_version, -1);
    put_one_subject(&u);
    assert_int_equal(u.stored_version, 5);
    assert_int_equal(feed_rows(), 1);
    u.source_version = 4;
    u.roles = "{admin}";
    u.active = false;
    put_one_subject(&u);
    assert_int_equal(u.stored_version, 5);
    assert_false(u.banned);
    assert_int_equal(u.epoch, 0);
    assert_int_equal(feed_rows(), 1);
    u.source_version = 6;
    u.active = true;
    put_one_subject(&u);
    assert_int_equal(u.stored_version, 6);
    assert_int_equal(feed_rows(), 2);
    u.source_version = 7; /* the same identity: only the version moves on */
    put_one_subject(&u);
    assert_int_equal(u.stored_version, 7);
    assert_int_equal(feed_rows(), 2);
    put_one(&s);
    assert_int_equal(s.source_version, 7);
}

static void
a_ban_raises_the_epoch_once_and_is_lifted_by_a_newer_reading(void **state)
{
    struct sg_subject_row u = subject("u1", 5);
    struct sg_session_row s = env_session(1, 5);

    (void)state;
    put_one_subject(&u);
    u.active = false;
    u.source_version = 6;
    put_one_subject(&u);
    assert_true(u.banned);
    assert_int_equal(u.epoch, 1);
    put_one_subject(&u);
    assert_int_equal(u.epoch, 1);
    assert_int_equal(feed_rows(), 1);
    put_one(&s);
    assert_true(s.banned);
    assert_int_equal(s.epoch, 1);
    u.active = true;
    u.source_version = 7;
    put_one_subject(&u);
    assert_false(u.banned);
    assert_int_equal(u.epoch, 1);
    u.raise_epoch = true;
    u.source_version = -1;
    u.active = false; /* of an old reading: only the epoch counts */
    put_one_subject(&u);
    assert_false(u.banned);
    assert_int_equal(u.epoch, 2);
    assert_int_equal(feed_rows(), 3);
}

static void
prewarming_subjects_without_sessions_fills_no_feed(void **state)
{
    struct sg_subject_row u[3] = {subject("u1", 1), subject("u2", 1), subject("u3", 1)};

    (void)state;
    u[2].active = false;
    assert_int_equal(ENV_CALL(&env, sg_store_put_subjects, u, 3), 0);
    assert_int_equal(feed_rows(), 1); /* the banned one */
    assert_int_equal(u[2].epoch, 1);
    u[0].roles = "{admin}";
    u[0].source_version = 2;
    assert_int_equal(ENV_CALL(&env, sg_store_put_subjects, u, 1), 0);
    assert_int_equal(feed_rows(), 2);
}

/* ---- bounds and failures ---- */

static void
an_operation_without_rows_is_done_from_the_loop(void **state)
{
    struct sg_session_row r = env_session(1, 5);

    (void)state;
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, &r, 0), 0);
    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, NULL, 0), 0);
}

static void
what_is_out_of_bounds_is_refused_with_its_bound(void **state)
{
    static struct sg_ref_row rows[SG_STORE_ROWS_MAX + 1];
    char name[SG_STORE_ROWS_MAX];
    struct sg_session_row s = env_session(1, 5);
    int i;

    (void)state;
    for (i = 0; i <= SG_STORE_ROWS_MAX; i++)
        rows[i] = env_ref(i, 1, "x", false);
    assert_int_equal(ENV_CALL(&env, sg_store_put_refs, rows, SG_STORE_ROWS_MAX + 1), -1);
    assert_int_equal(env.err.code, SG_E_LIMIT);
    rows[0].bucket = SG_BUCKETS;
    assert_int_equal(ENV_CALL(&env, sg_store_put_refs, rows, 1), -1);
    assert_int_equal(env.err.code, SG_E_INVALID);
    memset(name, 'n', sizeof name);
    name[201] = '\0';
    s.subject = name;
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, &s, 1), -1);
    assert_int_equal(env.err.code, SG_E_INVALID);
    name[200] = '\0';
    put_one(&s);
}

static void
rows_too_large_for_one_call_are_refused(void **state)
{
    size_t bytes = 20u << 20;
    char *record = calloc(1, bytes);
    struct sg_session_row s = env_session(1, 5);

    (void)state;
    s.record = sg_slice(record, bytes);
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, &s, 1), -1);
    assert_int_equal(env.err.code, SG_E_LIMIT);
    free(record);
}

static void
a_bucket_that_is_not_owned_refuses_every_kind_of_write(void **state)
{
    struct sg_session_row s[2] = {env_session(1, 5), env_session(2, 4000)};
    struct sg_ref_row r = env_ref(1, 5, "x", false);
    struct sg_end_row e = env_end(1, 5);
    struct sg_subject_row u = subject("u1", 1);
    struct sg_hold_row h = {.realm = REALM, .bucket = 5};
    struct sg_outbox_row o = {.bucket = 5};

    (void)state;
    env_sql(&env, 0, "UPDATE segue.bucket_owner SET owned = false WHERE bucket = 5");
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, s, 2), -1);
    assert_int_equal(env.err.code, SG_E_NOT_OWNER);
    assert_true(env.err.retryable);
    assert_true(s[1].live); /* the other shard's rows are stored */
    assert_int_equal(ENV_CALL(&env, sg_store_put_refs, &r, 1), -1);
    assert_int_equal(env.err.code, SG_E_NOT_OWNER);
    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, &e, 1), -1);
    assert_int_equal(env.err.code, SG_E_NOT_OWNER);
    assert_int_equal(ENV_CALL(&env, sg_store_put_subjects, &u, 1), -1);
    assert_int_equal(env.err.code, SG_E_NOT_OWNER);
    assert_int_equal(ENV_CALL(&env, sg_store_hold_sessions, &h, 1), -1);
    assert_int_equal(env.err.code, SG_E_NOT_OWNER);
    assert_int_equal(ENV_CALL(&env, sg_store_outbox_done, 0, REALM, &o, 1), -1);
    assert_int_equal(env.err.code, SG_E_NOT_OWNER);
    assert_int_equal(env_sql(&env, 0,
                             "SELECT (SELECT count(*) FROM segue.session) + (SELECT count(*) FROM "
                             "segue.token_ref) + (SELECT count(*) FROM segue.subject) + "
                             "(SELECT count(*) FROM segue.revocation)"),
                     0);
}

static int
check_versions(void)
{
    struct env_call call = {0};

    sg_store_check_versions(env.store, env_deadline(10000), env_done, &call);
    return env_wait(&env, &call);
}

static void
a_shard_with_another_schema_or_another_place_is_named(void **state)
{
    uint8_t map[SG_BUCKETS];
    int i;

    (void)state;
    assert_int_equal(check_versions(), 0);
    env_sql(&env, 1, "UPDATE segue.schema_version SET version = 99");
    assert_int_equal(check_versions(), -1);
    assert_string_equal(env.err.text,
                        "shard 1 has schema 99, this binary needs 1: run a newer segue");
    env_sql(&env, 1, "UPDATE segue.schema_version SET version = 1");
    env_sql(&env, 1, "ALTER TABLE segue.schema_version RENAME TO away");
    assert_int_equal(check_versions(), -1);
    assert_string_equal(env.err.text, "shard 1 has schema 0, this binary needs 1: run segue init");
    env_sql(&env, 1, "ALTER TABLE segue.away RENAME TO schema_version");
    for (i = 0; i < SG_BUCKETS; i++)
        map[i] = (uint8_t)(1 - sg_shard_initial(i, 2));
    sg_shards_set_map(env.shards, map);
    assert_int_equal(check_versions(), -1);
    assert_non_null(strstr(env.err.text, "order of the shards"));
    for (i = 0; i < SG_BUCKETS; i++)
        map[i] = (uint8_t)sg_shard_initial(i, 2);
    sg_shards_set_map(env.shards, map);
    assert_int_equal(check_versions(), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_older_reading_of_an_identity_changes_nothing, reset),
        cmocka_unit_test_setup(a_ban_raises_the_epoch_once_and_is_lifted_by_a_newer_reading, reset),
        cmocka_unit_test_setup(prewarming_subjects_without_sessions_fills_no_feed, reset),
        cmocka_unit_test_setup(an_operation_without_rows_is_done_from_the_loop, reset),
        cmocka_unit_test_setup(what_is_out_of_bounds_is_refused_with_its_bound, reset),
        cmocka_unit_test_setup(rows_too_large_for_one_call_are_refused, reset),
        cmocka_unit_test_setup(a_bucket_that_is_not_owned_refuses_every_kind_of_write, reset),
        cmocka_unit_test_setup(a_shard_with_another_schema_or_another_place_is_named, reset),
    };

    return cmocka_run_group_tests_name("store", tests, start, stop);
}
