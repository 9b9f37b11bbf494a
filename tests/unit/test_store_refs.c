/* SPDX-License-Identifier: MIT */
#include "store_env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants the above first */
#include <cmocka.h>

/* token_ref: generations, displaced sessions, tombstones. */
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
put_one_ref(struct sg_ref_row *row)
{
    assert_int_equal(ENV_CALL(&env, sg_store_put_refs, row, 1), 0);
}

static void
end_one(int number, int bucket)
{
    struct sg_end_row row = env_end(number, bucket);

    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, &row, 1), 0);
}

static void
another_subject_in_place_is_a_new_generation_and_the_old_one_is_told(void **state)
{
    struct sg_ref_row r = env_ref(1, 7, "", false);

    (void)state;
    put_one_ref(&r);
    assert_int_equal(r.generation, 0);
    assert_int_equal(r.previous_generation, -1);
    put_one_ref(&r);
    assert_int_equal(r.generation, 0);
    assert_int_equal(r.previous_generation, -1);

    r.subject = "anna";
    put_one_ref(&r);
    assert_int_equal(r.generation, 1);
    assert_int_equal(r.previous_generation, 0);
    assert_string_equal(r.previous_subject, "");

    r.subject = "bert";
    put_one_ref(&r);
    assert_int_equal(r.generation, 2);
    assert_int_equal(r.previous_generation, 1);
    assert_string_equal(r.previous_subject, "anna");
    assert_false(r.ended);
}

static void
of_changes_at_once_each_tells_the_one_it_displaced(void **state)
{
    enum { N = 12, ROUNDS = 10 };
    static char names[N][16];
    struct sg_ref_row rows[N];
    struct env_call calls[N];
    int round, i, k, told[N + 1];

    (void)state;
    for (round = 0; round < ROUNDS; round++) {
        memset(calls, 0, sizeof calls);
        memset(told, 0, sizeof told);
        for (i = 0; i < N; i++) {
            snprintf(names[i], sizeof names[i], "user %d", i);
            rows[i] = env_ref(round, 7, names[i], false);
            sg_store_put_refs(env.store, &rows[i], 1, env_deadline(10000), env_done, &calls[i]);
        }
        for (i = 0; i < N; i++) {
            if (!calls[i].done)
                env_wait(&env, &calls[i]);
            assert_int_equal(calls[i].rc, 0);
            assert_in_range(rows[i].generation, 0, N - 1);
            assert_int_equal(rows[i].previous_generation, rows[i].generation - 1);
            told[rows[i].generation]++;
        }
        for (i = 0; i < N; i++) {
            assert_int_equal(told[i], 1);
            for (k = 0; k < N; k++)
                if (rows[k].generation == rows[i].previous_generation)
                    assert_string_equal(rows[k].subject, rows[i].previous_subject);
        }
    }
}

static void
an_ended_ref_is_refused_unless_the_store_reuses_keys(void **state)
{
    struct sg_ref_row r = env_ref(1, 7, "anna", false);
    struct sg_ref_read read = {.realm = REALM, .bucket = 7};

    (void)state;
    put_one_ref(&r);
    end_one(1, 7);
    r.subject = "bert";
    put_one_ref(&r);
    assert_true(r.ended);
    assert_int_equal(r.generation, 0);
    assert_int_equal(r.previous_generation, -1);

    env_digest(read.digest, 1);
    assert_int_equal(ENV_CALL(&env, sg_store_get_refs, &read, 1), 0);
    assert_true(read.found && read.ended);
    assert_string_equal(read.subject, "anna");

    r.reuses_ids = true;
    put_one_ref(&r);
    assert_false(r.ended);
    assert_int_equal(r.generation, 1);
    assert_int_equal(r.previous_generation, -1);
    assert_int_equal(ENV_CALL(&env, sg_store_get_refs, &read, 1), 0);
    assert_true(read.found && !read.ended);
    assert_string_equal(read.subject, "bert");
    assert_int_equal(read.generation, 1);
}

static void
a_tombstone_is_laid_for_a_token_that_was_never_seen(void **state)
{
    struct sg_ref_row r = env_ref(9, 4000, "anna", false);
    struct sg_ref_read read = {.realm = REALM, .bucket = 4000};

    (void)state;
    env_digest(read.digest, 9);
    assert_int_equal(ENV_CALL(&env, sg_store_get_refs, &read, 1), 0);
    assert_false(read.found);
    end_one(9, 4000);
    put_one_ref(&r);
    assert_true(r.ended);
}

static void
two_thousand_rows_with_duplicates_go_to_both_shards_and_every_row_is_answered(void **state)
{
    static struct sg_ref_row rows[SG_STORE_ROWS_MAX];
    int i;

    (void)state;
    for (i = 0; i < SG_STORE_ROWS_MAX; i++) {
        rows[i] = env_ref(i / 2, (i / 2) * 4 % SG_BUCKETS, "old", false);
        rows[i].generation = -5;
    }
    assert_int_equal(ENV_CALL(&env, sg_store_put_refs, rows, SG_STORE_ROWS_MAX), 0);
    for (i = 0; i < SG_STORE_ROWS_MAX; i++) {
        assert_int_equal(rows[i].generation, 0);
        rows[i].subject = i % 2 == 0 ? "not the last" : "last";
    }
    assert_int_equal(ENV_CALL(&env, sg_store_put_refs, rows, SG_STORE_ROWS_MAX), 0);
    for (i = 0; i < SG_STORE_ROWS_MAX; i++) {
        assert_int_equal(rows[i].generation, 1);
        assert_string_equal(rows[i].previous_subject, "old");
    }
    for (i = 0; i < ENV_SHARDS; i++)
        assert_int_equal(
            env_sql(&env, i, "SELECT count(*) FROM segue.token_ref WHERE subject = 'last'"),
            i == 0 ? 512 : 488);
}

static void
any_text_is_stored_as_it_is(void **state)
{
    static const char *const subjects[] = {
        "NULL", "null",  "{}",    "a,b", "a\"b", "a\\b", "a\\\"b", " a ", "ä\xf0\x9f\x90\x98",
        "a\nb", "\\x00", "'; --", "\\"};
    enum { N = sizeof subjects / sizeof subjects[0] };
    struct sg_ref_row rows[N];
    struct sg_ref_read reads[N];
    int i;

    (void)state;
    for (i = 0; i < N; i++) {
        rows[i] = env_ref(i, i, subjects[i], false);
        reads[i] = (struct sg_ref_read){.realm = REALM, .bucket = i};
        env_digest(reads[i].digest, i);
    }
    assert_int_equal(ENV_CALL(&env, sg_store_put_refs, rows, N), 0);
    assert_int_equal(ENV_CALL(&env, sg_store_get_refs, reads, N), 0);
    for (i = 0; i < N; i++) {
        assert_true(reads[i].found);
        assert_string_equal(reads[i].subject, subjects[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(another_subject_in_place_is_a_new_generation_and_the_old_one_is_told,
                               reset),
        cmocka_unit_test_setup(of_changes_at_once_each_tells_the_one_it_displaced, reset),
        cmocka_unit_test_setup(an_ended_ref_is_refused_unless_the_store_reuses_keys, reset),
        cmocka_unit_test_setup(a_tombstone_is_laid_for_a_token_that_was_never_seen, reset),
        cmocka_unit_test_setup(
            two_thousand_rows_with_duplicates_go_to_both_shards_and_every_row_is_answered, reset),
        cmocka_unit_test_setup(any_text_is_stored_as_it_is, reset),
    };

    return cmocka_run_group_tests_name("store_refs", tests, start, stop);
}
