/* SPDX-License-Identifier: MIT */
#include "transfer/absence.h"
#include "transfer/dirty.h"
#include "transfer/recent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>

/* ---- what an absence means ---- */

static void
absence_is_judged_by_the_table(void **state)
{
    static const struct {
        const char *what;
        struct sg_absence a;
        enum sg_absence_verdict verdict;
    } cases[] = {
        {"it is there",
         {.found = true, .held = true, .expires_in_ms = -5, .proven = true, .lossy_from_ms = -1},
         SG_ABSENCE_NONE},
        {"its life was over",
         {.expires_in_ms = 0, .proven = true, .lossy_from_ms = -1},
         SG_ABSENCE_EXPIRED},
        {"its life was over while it was held",
         {.held = true, .expires_in_ms = -1, .lossy_from_ms = -1},
         SG_ABSENCE_EXPIRED},
        {"proven", {.expires_in_ms = 9, .proven = true, .lossy_from_ms = -1}, SG_ABSENCE_DELETED},
        {"held before, proven now: still the operator's",
         {.held = true, .expires_in_ms = 9, .proven = true, .kept = true, .lossy_from_ms = -1},
         SG_ABSENCE_HELD},
        {"nothing proven", {.expires_in_ms = 9, .lossy_from_ms = -1}, SG_ABSENCE_UNPROVEN},
        {"the same process kept everything",
         {.expires_in_ms = 9, .unseen_for_ms = 5000, .kept = true, .lossy_from_ms = -1},
         SG_ABSENCE_DELETED},
        {"kept over a restart, seen long before the beat that was found",
         {.expires_in_ms = 9,
          .unseen_for_ms = 60000,
          .kept = true,
          .lossy_from_ms = 10000,
          .lossy_to_ms = 9000},
         SG_ABSENCE_DELETED},
        {"seen after that beat and before the restart: it may be lost",
         {.expires_in_ms = 9,
          .unseen_for_ms = 9500,
          .kept = true,
          .lossy_from_ms = 10000,
          .lossy_to_ms = 9000},
         SG_ABSENCE_UNPROVEN},
        {"just before the beat, by another clock",
         {.expires_in_ms = 9,
          .unseen_for_ms = 10900,
          .kept = true,
          .lossy_from_ms = 10000,
          .lossy_to_ms = 9000},
         SG_ABSENCE_UNPROVEN},
        {"seen after the restart",
         {.expires_in_ms = 9,
          .unseen_for_ms = 7000,
          .kept = true,
          .lossy_from_ms = 10000,
          .lossy_to_ms = 9000},
         SG_ABSENCE_DELETED},
        {"a restart that lost something",
         {.expires_in_ms = 9,
          .unseen_for_ms = 60000,
          .kept = false,
          .lossy_from_ms = 10000,
          .lossy_to_ms = 9000},
         SG_ABSENCE_UNPROVEN},
        {"it ran out in the source while somebody followed: the mirror makes it again",
         {.expires_in_ms = 9, .proven = true, .lossy_from_ms = -1, .source_expires_in_ms = -5000},
         SG_ABSENCE_EXPIRED},
        {"it ran out while nobody did: expired or ended, who knows",
         {.expires_in_ms = 9,
          .kept = true,
          .lossy_from_ms = -1,
          .source_expires_in_ms = -5000,
          .unwatched_from_ms = 9000,
          .unwatched_to_ms = 2000},
         SG_ABSENCE_UNPROVEN},
        {"it ran out before that",
         {.expires_in_ms = 9,
          .kept = true,
          .lossy_from_ms = -1,
          .source_expires_in_ms = -20000,
          .unwatched_from_ms = 9000,
          .unwatched_to_ms = 2000},
         SG_ABSENCE_EXPIRED},
        {"before that, but a touch may not have been noted",
         {.expires_in_ms = 9,
          .kept = true,
          .lossy_from_ms = -1,
          .source_expires_in_ms = -20000,
          .idle_ms = 96000,
          .unwatched_from_ms = 9000,
          .unwatched_to_ms = 2000},
         SG_ABSENCE_UNPROVEN},
        {"it ran out after that, followed again",
         {.expires_in_ms = 9,
          .kept = true,
          .lossy_from_ms = -1,
          .source_expires_in_ms = -500,
          .unwatched_from_ms = 9000,
          .unwatched_to_ms = 2000},
         SG_ABSENCE_EXPIRED},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sg_absence a = cases[i].a;

        /* What a case does not say: it has life left in the source, and was followed. */
        if (a.source_expires_in_ms == 0)
            a.source_expires_in_ms = a.expires_in_ms;
        if (a.unwatched_from_ms == 0)
            a.unwatched_from_ms = -1;
        if (sg_absence_judge(&a) != cases[i].verdict)
            fail_msg("%s: %d", cases[i].what, sg_absence_judge(&a));
    }
}

static void
bound_is_fifty_or_half_a_percent(void **state)
{
    (void)state;
    assert_int_equal(sg_absence_bound(0), 50);
    assert_int_equal(sg_absence_bound(10000), 50);
    assert_int_equal(sg_absence_bound(10200), 51);
    assert_int_equal(sg_absence_bound(1000000), 5000);
}

static const struct sg_stream sound = {"run1", "sentinel", 3, 1, 100};

static struct sg_stream
changed(const char *run_id, const char *sentinel, int64_t evicted, int64_t flushes, int64_t beat)
{
    struct sg_stream s = {.evicted = evicted, .flushes = flushes, .beat = beat};

    snprintf(s.run_id, sizeof s.run_id, "%s", run_id);
    snprintf(s.sentinel, sizeof s.sentinel, "%s", sentinel);
    return s;
}

static void
anything_that_moves_breaks_the_stream(void **state)
{
    const struct sg_stream moved[] = {
        changed("run2", "sentinel", 3, 1, 101), changed("run1", "", 3, 1, 101),
        changed("run1", "other", 3, 1, 101),    changed("run1", "sentinel", 4, 1, 101),
        changed("run1", "sentinel", 3, 2, 101),
    };
    const struct sg_stream still = changed("run1", "sentinel", 3, 1, 101);
    size_t i;

    (void)state;
    assert_null(sg_stream_broken(&sound, &still));
    for (i = 0; i < sizeof moved / sizeof moved[0]; i++)
        assert_non_null(sg_stream_broken(&sound, &moved[i]));
}

static void
a_store_kept_everything_only_if_the_last_beat_is_found(void **state)
{
    static const struct {
        const char *run_id, *sentinel;
        int64_t evicted, flushes, beat;
        bool kept;
    } cases[] = {
        {"run1", "sentinel", 3, 1, 100, true},  {"run1", "sentinel", 3, 1, 99, false},
        {"run1", "sentinel", 4, 1, 100, false}, {"run1", "sentinel", 3, 2, 100, false},
        {"run1", "", 3, 1, 100, false},         {"run1", "other", 3, 1, 100, false},
        {"run2", "sentinel", 0, 0, 100, true},  {"run2", "sentinel", 0, 0, 101, true},
        {"run2", "sentinel", 0, 0, 99, false},  {"run2", "sentinel", 1, 0, 100, false},
        {"run2", "sentinel", 0, 1, 100, false}, {"run2", "", 0, 0, 100, false},
        {"run2", "sentinel", 0, 0, 0, false},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct sg_stream is = changed(cases[i].run_id, cases[i].sentinel, cases[i].evicted,
                                            cases[i].flushes, cases[i].beat);

        if (sg_stream_kept(&sound, &is) != cases[i].kept)
            fail_msg("case %zu", i);
    }
}

/* ---- changed keys ---- */

static struct sg_dirty *
dirty_of(int keys, int lanes)
{
    struct sg_dirty *d;
    struct sg_err err;

    assert_int_equal(sg_dirty_new(keys, lanes, &d, &err), 0);
    return d;
}

static void
changes_of_a_key_are_coalesced(void **state)
{
    struct sg_dirty *d = dirty_of(10, 1);
    struct sg_dirty_key *k[4];

    (void)state;
    assert_true(sg_dirty_written(d, sg_str("a"), 0));
    assert_true(sg_dirty_written(d, sg_str("a"), 0));
    assert_true(sg_dirty_deleted(d, sg_str("a"), 0));
    assert_int_equal(sg_dirty_count(d), 1);
    assert_int_equal(sg_dirty_take(d, 0, k, 4), 1);
    assert_true(k[0]->deleted && k[0]->written);
    assert_int_equal(sg_dirty_take(d, 0, k + 1, 3), 0);
    sg_dirty_done(d, k[0]);
    assert_int_equal(sg_dirty_count(d), 0);
    sg_dirty_free(d);
}

static void
deleted_keys_come_first_the_rest_in_order(void **state)
{
    struct sg_dirty *d = dirty_of(10, 2);
    struct sg_dirty_key *k[4];

    (void)state;
    assert_true(sg_dirty_written(d, sg_str("a"), 0));
    assert_true(sg_dirty_written(d, sg_str("b"), 0));
    assert_true(sg_dirty_written(d, sg_str("other"), 1));
    assert_true(sg_dirty_deleted(d, sg_str("c"), 0));
    assert_int_equal(sg_dirty_take(d, 0, k, 4), 3);
    assert_string_equal(k[0]->key.ptr, "c");
    assert_string_equal(k[1]->key.ptr, "a");
    assert_string_equal(k[2]->key.ptr, "b");
    assert_int_equal(sg_dirty_queued(d, 1), 1);
    sg_dirty_free(d);
}

static void
a_key_under_work_is_given_again_with_what_came_meanwhile(void **state)
{
    struct sg_dirty *d = dirty_of(10, 1);
    struct sg_dirty_key *k[1];

    (void)state;
    assert_true(sg_dirty_written(d, sg_str("a"), 0));
    assert_int_equal(sg_dirty_take(d, 0, k, 1), 1);
    assert_true(sg_dirty_deleted(d, sg_str("a"), 0));
    assert_false(k[0]->deleted); /* not under the worker's hands */
    assert_int_equal(sg_dirty_take(d, 0, k + 0, 0), 0);
    sg_dirty_done(d, k[0]);
    assert_int_equal(sg_dirty_take(d, 0, k, 1), 1);
    assert_true(k[0]->deleted);
    assert_false(k[0]->written);
    sg_dirty_free(d);
}

static void
a_full_set_says_so_and_still_takes_known_keys(void **state)
{
    struct sg_dirty *d = dirty_of(2, 1);

    (void)state;
    assert_true(sg_dirty_written(d, sg_str("a"), 0));
    assert_true(sg_dirty_written(d, sg_str("b"), 0));
    assert_false(sg_dirty_written(d, sg_str("c"), 0));
    assert_false(sg_dirty_renamed(d, sg_str("x"), sg_str("y"), 0));
    assert_true(sg_dirty_deleted(d, sg_str("a"), 0));
    assert_int_equal(sg_dirty_count(d), 2);
    sg_dirty_free(d);
}

static void
a_renamed_key_knows_its_former_name(void **state)
{
    struct sg_dirty *d = dirty_of(4, 1);
    struct sg_dirty_key *k[2];

    (void)state;
    assert_true(sg_dirty_renamed(d, sg_str("from"), sg_str("to"), 0));
    assert_int_equal(sg_dirty_take(d, 0, k, 2), 1);
    assert_string_equal(k[0]->key.ptr, "to");
    assert_string_equal(k[0]->renamed_from, "from");
    assert_true(k[0]->written);
    assert_true(sg_dirty_renamed(d, sg_str("later"), sg_str("to"), 0));
    assert_string_equal(k[0]->renamed_from, "from");
    sg_dirty_done(d, k[0]);
    assert_int_equal(sg_dirty_take(d, 0, k, 2), 1);
    assert_string_equal(k[0]->renamed_from, "later");
    sg_dirty_free(d);
}

static void
a_heartbeat_waits_for_the_changes_before_it_only(void **state)
{
    struct sg_dirty *d = dirty_of(10, 2);
    struct sg_dirty_key *k[2];
    uint64_t beat;

    (void)state;
    beat = sg_dirty_close_epoch(d);
    assert_true(sg_dirty_passed(d, beat, 0));
    assert_true(sg_dirty_written(d, sg_str("a"), 0));
    beat = sg_dirty_close_epoch(d);
    assert_true(sg_dirty_written(d, sg_str("b"), 1));
    assert_false(sg_dirty_passed(d, beat, 0));
    assert_false(sg_dirty_passed(d, beat, 1)); /* it may belong to a subject of any shard */
    assert_int_equal(sg_dirty_take(d, 0, k, 2), 1);
    assert_false(sg_dirty_passed(d, beat, 0));
    assert_true(sg_dirty_written(d, sg_str("a"), 0)); /* after the beat */
    sg_dirty_done(d, k[0]);
    assert_true(sg_dirty_passed(d, beat, 0));
    assert_true(sg_dirty_passed(d, beat, 1));
    assert_false(sg_dirty_passed(d, sg_dirty_close_epoch(d), 0));
    sg_dirty_free(d);
}

static void
what_waits_for_a_shard_holds_up_that_shard_only(void **state)
{
    struct sg_dirty *d = dirty_of(10, 3);
    struct sg_dirty_key *k[2];
    uint64_t beat;

    (void)state;
    assert_true(sg_dirty_written(d, sg_str("a"), 0));
    beat = sg_dirty_close_epoch(d);
    assert_int_equal(sg_dirty_take(d, 0, k, 2), 1);
    assert_true(sg_dirty_deleted(d, sg_str("a"), 0));
    sg_dirty_blocked(d, k[0], 2);
    assert_true(sg_dirty_passed(d, beat, 0));
    assert_false(sg_dirty_passed(d, beat, 2));
    assert_int_equal(sg_dirty_waiting(d, 2), 1);
    assert_int_equal(sg_dirty_take(d, 0, k, 2), 0);
    assert_int_equal(sg_dirty_unblock(d, 2, 10), 1);
    assert_int_equal(sg_dirty_take(d, 0, k, 2), 1);
    assert_true(k[0]->deleted && k[0]->written); /* what came meanwhile is in it */
    assert_true(sg_dirty_passed(d, beat, 1));    /* tried again, it still holds up its shard only */
    assert_false(sg_dirty_passed(d, beat, 2));
    sg_dirty_done(d, k[0]);
    assert_true(sg_dirty_passed(d, beat, 2));
    assert_int_equal(sg_dirty_count(d), 0);
    sg_dirty_free(d);
}

static void
epochs_run_on_when_too_many_are_open(void **state)
{
    struct sg_dirty *d = dirty_of(10, 1);
    struct sg_dirty_key *k[1];
    uint64_t last = 0;
    int i;

    (void)state;
    assert_true(sg_dirty_written(d, sg_str("a"), 0));
    for (i = 0; i < 3 * SG_DIRTY_EPOCHS; i++)
        last = sg_dirty_close_epoch(d);
    assert_false(sg_dirty_passed(d, last, 0));
    assert_true(last < SG_DIRTY_EPOCHS);
    assert_int_equal(sg_dirty_take(d, 0, k, 1), 1);
    sg_dirty_done(d, k[0]);
    assert_true(sg_dirty_passed(d, last, 0));
    sg_dirty_free(d);
}

/* Against a plain model: whatever happens, a beat passes exactly when nothing of before it is left.
 */
static void
heartbeats_agree_with_a_model(void **state)
{
    enum { KEYS = 8, SHARDS = 2 };
    struct sg_dirty *d = dirty_of(KEYS, SHARDS);
    struct sg_dirty_key *busy[KEYS] = {0};
    int oldest[KEYS], later[KEYS], waits[KEYS]; /* epoch of what is open; -1 = nothing */
    uint64_t random = 88172645463325252u, epoch = 0;
    int step, i;

    (void)state;
    for (i = 0; i < KEYS; i++)
        oldest[i] = later[i] = waits[i] = -1;
    for (step = 0; step < 20000; step++) {
        struct sg_dirty_key *k[1];
        char name[2] = "a";
        int which;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        which = (int)((random >> 20) % KEYS);
        name[0] = (char)('a' + which);
        switch ((random >> 40) % 6) {
        case 0:
        case 1:
            assert_true((random & 1) ? sg_dirty_written(d, sg_str(name), 0)
                                     : sg_dirty_deleted(d, sg_str(name), 0));
            if (busy[which] != NULL)
                later[which] = later[which] < 0 ? (int)epoch : later[which];
            else if (oldest[which] < 0 && waits[which] < 0)
                oldest[which] = (int)epoch;
            break;
        case 2:
            if (sg_dirty_take(d, 0, k, 1) == 1)
                busy[k[0]->key.ptr[0] - 'a'] = k[0];
            break;
        case 3:
            if (busy[which] == NULL)
                break;
            sg_dirty_done(d, busy[which]);
            busy[which] = NULL;
            waits[which] = -1;
            oldest[which] = later[which];
            later[which] = -1;
            break;
        case 4:
            if (busy[which] == NULL)
                break;
            waits[which] = (int)(random % SHARDS);
            sg_dirty_blocked(d, busy[which], waits[which]);
            busy[which] = NULL;
            oldest[which] = later[which] = -1;
            break;
        default:
            sg_dirty_unblock(d, (int)(random % SHARDS), 1);
            assert_int_equal(sg_dirty_close_epoch(d), epoch);
            epoch++;
            break;
        }
        for (i = 0; i < SHARDS && epoch > 0; i++) {
            bool passed = true;
            int n;

            for (n = 0; n < KEYS; n++)
                passed = passed && waits[n] != i &&
                         !(oldest[n] >= 0 && (uint64_t)oldest[n] < epoch) &&
                         !(later[n] >= 0 && (uint64_t)later[n] < epoch);
            if (sg_dirty_passed(d, epoch - 1, i) != passed)
                fail_msg("step %d, shard %d: expected %d", step, i, passed);
        }
        if (epoch >= SG_DIRTY_EPOCHS / 2) { /* the ring's own bound is another test */
            sg_dirty_free(d);
            d = dirty_of(KEYS, SHARDS);
            epoch = 0;
            for (i = 0; i < KEYS; i++) {
                busy[i] = NULL;
                oldest[i] = later[i] = waits[i] = -1;
            }
        }
    }
    sg_dirty_free(d);
}

/* ---- what was stored lately ---- */

static void
a_small_touch_is_recent_a_large_one_or_another_value_is_not(void **state)
{
    uint8_t key[32] = {1}, twin[32] = {2};
    struct sg_hash value = {{7}}, other = {{8}};
    struct sg_recent *r;
    struct sg_err err;

    (void)state;
    assert_int_equal(sg_recent_new(&r, &err), 0);
    assert_false(sg_recent_has(r, key, &value, 80000, 80000));
    sg_recent_put(r, key, &value, 80000);
    assert_true(sg_recent_has(r, key, &value, 80000, 80000));
    assert_true(sg_recent_has(r, key, &value, 89999, 80000));
    assert_false(sg_recent_has(r, key, &value, 90000, 80000));
    assert_false(sg_recent_has(r, key, &value, 70000, 80000));
    assert_false(sg_recent_has(r, key, &other, 80000, 80000));
    assert_false(sg_recent_has(r, twin, &value, 80000, 80000));
    sg_recent_put(r, twin, &value, 80000); /* the same slot */
    assert_false(sg_recent_has(r, key, &value, 80000, 80000));
    sg_recent_drop(r, key);
    assert_true(sg_recent_has(r, twin, &value, 80000, 80000));
    sg_recent_drop(r, twin);
    assert_false(sg_recent_has(r, twin, &value, 80000, 80000));
    sg_recent_put(r, twin, &value, 80000);
    sg_recent_clear(r);
    assert_false(sg_recent_has(r, twin, &value, 80000, 80000));
    sg_recent_free(r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absence_is_judged_by_the_table),
        cmocka_unit_test(bound_is_fifty_or_half_a_percent),
        cmocka_unit_test(anything_that_moves_breaks_the_stream),
        cmocka_unit_test(a_store_kept_everything_only_if_the_last_beat_is_found),
        cmocka_unit_test(changes_of_a_key_are_coalesced),
        cmocka_unit_test(deleted_keys_come_first_the_rest_in_order),
        cmocka_unit_test(a_key_under_work_is_given_again_with_what_came_meanwhile),
        cmocka_unit_test(a_full_set_says_so_and_still_takes_known_keys),
        cmocka_unit_test(a_renamed_key_knows_its_former_name),
        cmocka_unit_test(a_heartbeat_waits_for_the_changes_before_it_only),
        cmocka_unit_test(what_waits_for_a_shard_holds_up_that_shard_only),
        cmocka_unit_test(epochs_run_on_when_too_many_are_open),
        cmocka_unit_test(heartbeats_agree_with_a_model),
        cmocka_unit_test(a_small_touch_is_recent_a_large_one_or_another_value_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
