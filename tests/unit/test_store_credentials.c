/* SPDX-License-Identifier: MIT */
#include "store/credentials.h"
#include "store/subject_sessions.h"
#include "store_env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants the above first */
#include <cmocka.h>

/* Credentials, a subject's sessions, and ending them all. */
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

static struct sg_credential_row
credential(int login, int bucket, const char *subject, const char *hash, int64_t version)
{
    struct sg_credential_row row = {.realm = REALM,
                                    .bucket = bucket,
                                    .subject = subject,
                                    .hash = sg_str(hash),
                                    .decoy = "decoy",
                                    .version = version};

    env_digest(row.login, login);
    return row;
}

static void
assert_stored(int login, int bucket, const char *subject, const char *hash)
{
    struct sg_credential_read read = {.realm = REALM, .bucket = bucket};

    env_digest(read.login, login);
    assert_int_equal(ENV_CALL(&env, sg_store_get_credential, &read), 0);
    assert_int_equal(read.found, hash != NULL);
    if (hash != NULL) {
        assert_string_equal(read.subject, subject);
        assert_true(sg_slice_eq(sg_buf_slice(&read.hash), sg_str(hash)));
    }
    sg_buf_free(&read.hash);
}

static void
the_newer_version_wins_in_whatever_order(void **state)
{
    struct sg_credential_row rows[] = {credential(1, 5, "u1", "new", 7),
                                       credential(2, 3000, "u2", "other", 1)};
    struct sg_credential_row old = credential(1, 5, "u1", "old", 6);
    struct sg_credential_row same = credential(1, 5, "u1", "again", 7);

    (void)state;
    assert_int_equal(ENV_CALL(&env, sg_store_put_credentials, rows, 2), 0);
    assert_true(rows[0].stored && rows[1].stored);
    assert_int_equal(ENV_CALL(&env, sg_store_put_credentials, &old, 1), 0);
    assert_true(!old.stored && !old.taken);
    assert_stored(1, 5, "u1", "new");
    assert_int_equal(ENV_CALL(&env, sg_store_put_credentials, &same, 1), 0);
    assert_true(same.stored);
    assert_stored(1, 5, "u1", "again");
    assert_stored(2, 3000, "u2", "other");
    assert_stored(3, 3000, NULL, NULL);
}

static void
a_login_does_not_become_anothers_by_as_new_a_version(void **state)
{
    struct sg_credential_row batch[] = {
        credential(1, 5, "u1", "mine", 0), credential(1, 5, "thief", "theirs", 0),
        credential(1, 5, "u1", "mine too", 0), credential(2, 5, "u2", "first", 1),
        credential(2, 5, "u3", "moved", 2)};
    struct sg_credential_row later = credential(1, 5, "thief", "theirs", 0);

    (void)state;
    assert_int_equal(ENV_CALL(&env, sg_store_put_credentials, batch, 5), 0);
    assert_true(batch[0].stored && batch[2].stored && !batch[1].stored && batch[1].taken);
    assert_stored(1, 5, "u1", "mine too");
    assert_true(batch[4].stored && !batch[3].stored && !batch[3].taken);
    assert_stored(2, 5, "u3", "moved");
    assert_int_equal(ENV_CALL(&env, sg_store_put_credentials, &later, 1), 0);
    assert_true(later.taken && !later.stored);
    assert_stored(1, 5, "u1", "mine too");
}

struct sample {
    int n, shard1;
};

static void
on_decoy(void *ctx, struct sg_slice decoy, struct sg_slice subject)
{
    struct sample *s = ctx;

    assert_true(sg_slice_eq(decoy, sg_str("decoy")));
    s->n++;
    s->shard1 += subject.ptr[0] == 'b';
}

static void
a_sample_goes_around_and_stays_on_its_shard(void **state)
{
    struct sg_credential_row rows[40];
    struct sample sample = {0};
    struct sg_decoys_read read = {.shard = 0,
                                  .realm = REALM,
                                  .from_bucket = 15,
                                  .limit = 18,
                                  .decoy = on_decoy,
                                  .ctx = &sample};
    int i;

    (void)state;
    for (i = 0; i < 40; i++)
        rows[i] = credential(i, i < 20 ? i : 3000 + i, i < 20 ? "a" : "b", "hash", 0);
    assert_int_equal(ENV_CALL(&env, sg_store_put_credentials, rows, 40), 0);
    assert_int_equal(ENV_CALL(&env, sg_store_read_decoys, &read), 0);
    assert_int_equal(sample.n, 18);
    assert_int_equal(sample.shard1, 0);
}

/* ---- sessions of a subject ---- */

static void
put_sessions(int first, int n, int bucket, const char *subject)
{
    struct sg_session_row rows[300];
    int i;

    assert_in_range(n, 1, 300);
    for (i = 0; i < n; i++) {
        rows[i] = env_session(first + i, bucket);
        rows[i].subject = subject;
        rows[i].handle = sg_str("sealed handle");
    }
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, rows, n), 0);
}

static void
pages_show_each_live_session_once_newest_first(void **state)
{
    struct sg_sessions_page page = {
        .realm = REALM, .bucket = 7, .subject = "u", .limit = 4, .before_us = INT64_MAX};
    struct sg_end_row end = env_end(3, 7);
    int64_t last = INT64_MAX;
    int seen = 0, pages = 0, i;

    (void)state;
    put_sessions(1, 5, 7, "u");
    put_sessions(6, 5, 7, "u");
    put_sessions(20, 5, 7, "other");
    end.subject = "u";
    assert_int_equal(ENV_CALL(&env, sg_store_end_sessions, &end, 1), 0);
    do {
        assert_int_equal(ENV_CALL(&env, sg_store_page_sessions, &page), 0);
        for (i = 0; i < page.n_rows; i++) {
            assert_true(page.rows[i].created_us <= last);
            last = page.rows[i].created_us;
            seen++;
        }
        page.before_us = page.rows[page.n_rows - 1].created_us;
        memcpy(page.before_sid, page.rows[page.n_rows - 1].sid, SG_SID_BYTES);
        pages++;
    } while (page.more);
    assert_int_equal(seen, 9);
    assert_int_equal(pages, 3);
}

static void
ending_a_subject_ends_all_of_it_page_by_page_and_raises_its_epoch_once(void **state)
{
    static struct sg_subject_end end = {
        .realm = REALM, .bucket = 7, .subject = "u", .reason = "logout-everywhere", .mirror = true};
    struct sg_session_row again;
    int ended = 0, calls = 0;

    (void)state;
    put_sessions(1, 250, 7, "u");
    put_sessions(300, 3, 7, "other");
    do {
        assert_int_equal(ENV_CALL(&env, sg_store_end_subject, &end), 0);
        ended += end.n_rows;
        end.again = true;
        calls++;
        assert_int_equal(end.epoch, 1);
        assert_true(end.rows[0].has_digest && end.rows[0].handle.len > 0);
        sg_subject_end_clear(&end);
    } while (end.more);
    assert_int_equal(ended, 250);
    assert_int_equal(calls, 2);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.outbox"), 250);
    assert_int_equal(
        env_sql(&env, 0, "SELECT count(*) FROM segue.revocation WHERE kind = 'session'"), 250);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.session WHERE ended_at IS NULL"),
                     3);
    again = env_session(5, 7);
    again.subject = "u";
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, &again, 1), 0);
    assert_false(again.live);
    assert_in_range(again.logout_ago_ms, 0, 60000);
    again = env_session(400, 7);
    again.subject = "u";
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, &again, 1), 0);
    assert_true(again.live);
    assert_int_equal(again.epoch, 1);
}

static void
a_lock_holds_whatever_the_source_says(void **state)
{
    static struct sg_subject_end end = {
        .realm = REALM, .bucket = 7, .subject = "u", .reason = "banned", .lock = SG_LOCK_SET};
    struct sg_subject_row said = {
        .realm = REALM, .bucket = 7, .subject = "u", .active = true, .source_version = 9};
    struct sg_session_row row = env_session(1, 7);

    (void)state;
    put_sessions(1, 1, 7, "u");
    assert_int_equal(ENV_CALL(&env, sg_store_end_subject, &end), 0);
    assert_int_equal(end.n_rows, 1);
    sg_subject_end_clear(&end);
    assert_int_equal(ENV_CALL(&env, sg_store_put_subjects, &said, 1), 0);
    assert_true(said.banned);
    row = env_session(2, 7);
    row.subject = "u";
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, &row, 1), 0);
    assert_true(row.banned);
    end.lock = SG_LOCK_CLEAR;
    assert_int_equal(ENV_CALL(&env, sg_store_end_subject, &end), 0);
    assert_int_equal(end.n_rows, 0);
    assert_int_equal(end.epoch, 1);
    row = env_session(2, 7);
    row.subject = "u";
    assert_int_equal(ENV_CALL(&env, sg_store_put_sessions, &row, 1), 0);
    assert_true(row.live && !row.banned);
    assert_int_equal(env_sql(&env, 0,
                             "SELECT count(*) FROM segue.revocation WHERE kind = 'subject' "
                             "AND status = 'active'"),
                     1);
}

static void
ending_a_subject_is_fenced(void **state)
{
    static struct sg_subject_end end = {
        .realm = REALM, .bucket = 7, .subject = "u", .reason = "logout-everywhere"};

    (void)state;
    (void)env_sql(&env, 0,
                  "UPDATE segue.bucket_owner SET owned = false WHERE bucket = 7 RETURNING 1");
    assert_int_equal(ENV_CALL(&env, sg_store_end_subject, &end), -1);
    assert_int_equal(env.err.code, SG_E_NOT_OWNER);
    assert_int_equal(env_sql(&env, 0, "SELECT count(*) FROM segue.subject"), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_newer_version_wins_in_whatever_order, reset),
        cmocka_unit_test_setup(a_login_does_not_become_anothers_by_as_new_a_version, reset),
        cmocka_unit_test_setup(a_sample_goes_around_and_stays_on_its_shard, reset),
        cmocka_unit_test_setup(pages_show_each_live_session_once_newest_first, reset),
        cmocka_unit_test_setup(
            ending_a_subject_ends_all_of_it_page_by_page_and_raises_its_epoch_once, reset),
        cmocka_unit_test_setup(a_lock_holds_whatever_the_source_says, reset),
        cmocka_unit_test_setup(ending_a_subject_is_fenced, reset),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
