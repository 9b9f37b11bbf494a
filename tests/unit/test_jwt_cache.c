/* SPDX-License-Identifier: MIT */
#include "jwt_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define NOW INT64_C(1700000000)
#define EXP (NOW + 300)

static struct segue_key *keys[2], *stranger;
static struct segue_keyset *set;
static struct segue_cache *cache;
static struct segue_verify_buf buf;
static struct segue_claims claims;
static const char *const audiences[] = {"https://api.example", NULL};
static const char *const others[] = {"https://other.example", NULL};
static const struct segue_policy policy = {
    .issuer = "https://id.example", .audiences = audiences, .leeway_sec = 30};

static struct segue_slice
str(const char *s)
{
    return (struct segue_slice){s, strlen(s)};
}

static int
set_up(void **state)
{
    (void)state;
    assert_int_equal(segue_keyset_new(&set), SEGUE_OK);
    assert_int_equal(segue_key_generate(SEGUE_HS256, "a", &keys[0], NULL), SEGUE_OK);
    assert_int_equal(segue_key_generate(SEGUE_EDDSA, "b", &keys[1], NULL), SEGUE_OK);
    assert_int_equal(segue_key_generate(SEGUE_HS256, "a", &stranger, NULL), SEGUE_OK);
    assert_int_equal(segue_keyset_add(set, keys[0]), SEGUE_OK);
    assert_int_equal(segue_keyset_add(set, keys[1]), SEGUE_OK);
    assert_int_equal(segue_cache_new(SEGUE_CACHE_BYTES_MIN, &cache), SEGUE_OK);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    segue_key_free(keys[0]);
    segue_key_free(keys[1]);
    segue_key_free(stranger);
    segue_keyset_free(set);
    segue_cache_free(cache);
    return 0;
}

struct token {
    char text[SEGUE_TOKEN_BYTES + 1];
    size_t len;
};

static void
mint(const struct segue_key *key, int i, int64_t exp, struct token *t)
{
    struct segue_slice aud = str(audiences[0]), role = str("r\"1");
    struct segue_extra extra = {str("n\xc3\xa9"), SEGUE_JSON, str("[1,\"x\"]"), 0};
    struct segue_claims c = SEGUE_CLAIMS_INIT;
    char jti[16];

    snprintf(jti, sizeof jti, "j-%d", i);
    c.iss = str(policy.issuer);
    c.sub = str("u-1");
    c.client_id = str("web");
    c.jti = str(jti);
    c.aud = &aud;
    c.n_aud = 1;
    c.iat = NOW;
    c.nbf = NOW + 10;
    c.exp = exp;
    c.roles = &role;
    c.n_roles = 1;
    c.bkt = i % 4096;
    c.extra = &extra;
    c.n_extra = 1;
    assert_int_equal(segue_mint(key, &c, t->text, sizeof t->text, &t->len, NULL), SEGUE_OK);
}

static enum segue_status
ask(const struct segue_policy *p, int64_t now, const struct token *t)
{
    return segue_cache_verify(cache, set, p, now, t->text, t->len, &buf, &claims);
}

static uint64_t
hits(void)
{
    struct segue_cache_stats stats;

    segue_cache_get_stats(cache, &stats);
    return stats.hits;
}

static uint64_t
kept(void)
{
    struct segue_cache_stats stats;

    segue_cache_get_stats(cache, &stats);
    return stats.kept;
}

static void
a_hit_gives_the_claims_of_the_first_time(void **state)
{
    struct segue_verify_buf first_buf;
    struct segue_claims first;
    struct token t;
    int i;

    (void)state;
    for (i = 0; i < 2; i++) {
        mint(keys[i], i, EXP, &t);
        assert_int_equal(segue_verify(set, &policy, NOW, t.text, t.len, &first_buf, &first),
                         SEGUE_OK);
        assert_int_equal(ask(&policy, NOW, &t), SEGUE_OK);
        assert_int_equal(hits(), i);
        memset(&buf, 0xa5, sizeof buf);
        assert_int_equal(ask(&policy, NOW, &t), SEGUE_OK);
        assert_int_equal(hits(), i + 1);
        jwt_same_claims(&claims, &first);
    }
}

static void
time_is_judged_on_every_hit(void **state)
{
    struct segue_policy strict = policy;
    struct token t;
    uint64_t before;

    (void)state;
    mint(keys[0], 0, EXP, &t);
    assert_int_equal(ask(&policy, NOW, &t), SEGUE_OK);
    assert_int_equal(ask(&policy, NOW - 31, &t), SEGUE_NOT_YET);
    assert_int_equal(ask(&policy, EXP + 29, &t), SEGUE_OK);
    strict.leeway_sec = 0;
    assert_int_equal(ask(&strict, NOW + 9, &t), SEGUE_NOT_YET);
    assert_int_equal(hits(), 3);
    assert_int_equal(ask(&policy, EXP + 30, &t), SEGUE_EXPIRED);
    assert_int_equal(claims.exp, EXP);
    assert_int_equal(hits(), 4);
    /* and dropped there: no entry outlives its token */
    before = kept();
    assert_int_equal(ask(&policy, EXP + 30, &t), SEGUE_EXPIRED);
    assert_int_equal(hits(), 4);
    assert_int_equal(kept(), before);
}

static void
policy_is_judged_on_every_hit(void **state)
{
    struct segue_policy p;
    struct token t;

    (void)state;
    mint(keys[0], 0, EXP, &t);
    assert_int_equal(ask(&policy, NOW, &t), SEGUE_OK);
#define EXPECT(change, status)                                                                     \
    do {                                                                                           \
        p = policy;                                                                                \
        change;                                                                                    \
        assert_int_equal(ask(&p, NOW, &t), status);                                                \
    } while (0)
    EXPECT(p.issuer = "https://id2.example", SEGUE_WRONG_ISSUER);
    EXPECT(p.audiences = others, SEGUE_WRONG_AUDIENCE);
    EXPECT(p.typ = "logout+jwt", SEGUE_WRONG_TYPE);
    EXPECT(p.typ = "AT+jwt", SEGUE_OK);
    EXPECT(p.max_token_bytes = t.len - 1, SEGUE_TOO_LARGE);
    EXPECT(p.leeway_sec = -1, SEGUE_INVALID);
#undef EXPECT
    assert_int_equal(ask(&policy, NOW, &t), SEGUE_OK);
}

static void
a_key_that_went_or_was_replaced_no_longer_answers(void **state)
{
    struct segue_keyset *copy;
    struct token t;

    (void)state;
    mint(keys[0], 0, EXP, &t);
    assert_int_equal(ask(&policy, NOW, &t), SEGUE_OK);
    assert_int_equal(segue_keyset_copy(set, &copy), SEGUE_OK);
    assert_true(segue_keyset_remove(set, "a"));
    assert_int_equal(ask(&policy, NOW, &t), SEGUE_UNKNOWN_KEY);
    assert_int_equal(segue_keyset_add(set, stranger), SEGUE_OK);
    assert_int_equal(ask(&policy, NOW, &t), SEGUE_BAD_SIGNATURE);
    assert_int_equal(hits(), 0);
    /* the very key again, wherever it stands, and a set that never lost it */
    assert_true(segue_keyset_remove(set, "a"));
    assert_int_equal(segue_keyset_add(set, keys[0]), SEGUE_OK);
    assert_int_equal(ask(&policy, NOW, &t), SEGUE_OK);
    assert_int_equal(segue_cache_verify(cache, copy, &policy, NOW, t.text, t.len, &buf, &claims),
                     SEGUE_OK);
    assert_int_equal(hits(), 2);
    segue_keyset_free(copy);
}

static void
whole_tokens_are_compared(void **state)
{
    struct token t;
    size_t i;

    (void)state;
    mint(keys[1], 0, EXP, &t);
    assert_int_equal(ask(&policy, NOW, &t), SEGUE_OK);
    for (i = 0; i < t.len; i++) {
        char was = t.text[i];

        t.text[i] = was == 'A' ? 'B' : 'A';
        assert_int_not_equal(ask(&policy, NOW, &t), SEGUE_OK);
        t.text[i] = was;
    }
    for (i = 0; i < t.len; i++) {
        struct token cut = {.len = t.len - i - 1};

        memcpy(cut.text, t.text + i + 1, cut.len);
        assert_int_not_equal(ask(&policy, NOW, &cut), SEGUE_OK);
    }
    assert_int_equal(hits(), 0);
    assert_int_equal(kept(), 1);
    assert_int_equal(ask(&policy, NOW, &t), SEGUE_OK);
}

static void
refused_tokens_are_not_kept(void **state)
{
    struct segue_policy other = policy;
    struct token t;
    int i;

    (void)state;
    other.audiences = others;
    for (i = 0; i < 3; i++) {
        mint(stranger, i, EXP, &t);
        assert_int_equal(ask(&policy, NOW, &t), SEGUE_BAD_SIGNATURE);
        mint(keys[0], i, NOW + 1, &t);
        assert_int_equal(ask(&policy, NOW + 100, &t), SEGUE_EXPIRED);
        assert_int_equal(ask(&policy, NOW - 100, &t), SEGUE_NOT_YET);
        assert_int_equal(ask(&other, NOW, &t), SEGUE_WRONG_AUDIENCE);
    }
    assert_int_equal(kept(), 0);
}

static void
the_oldest_make_room_when_it_is_full(void **state)
{
    static struct token t[400];
    size_t i, held = 0;
    uint64_t before;

    (void)state;
    for (i = 0; i < 400; i++) {
        mint(keys[0], (int)i, EXP, &t[i]);
        assert_int_equal(ask(&policy, NOW, &t[i]), SEGUE_OK);
    }
    assert_int_equal(hits(), 0);
    /* Looking for them from the newest on: those of the last 64 KiB, less what the index took. */
    for (i = 400; i-- > 0;) {
        before = kept();
        assert_int_equal(ask(&policy, NOW, &t[i]), SEGUE_OK);
        if (kept() != before)
            break;
        held++;
    }
    assert_in_range(held, 40, SEGUE_CACHE_BYTES_MIN / t[0].len);
}

static void
the_longest_token_fits_the_smallest_cache(void **state)
{
    struct segue_slice aud = str(audiences[0]);
    struct segue_claims c = SEGUE_CLAIMS_INIT;
    struct token t[3];
    char *scope = malloc(5900);
    int i;

    (void)state;
    memset(scope, 's', 5900);
    c.iss = str(policy.issuer);
    c.sub = c.client_id = c.jti = str("x");
    c.aud = &aud;
    c.n_aud = 1;
    c.iat = NOW;
    c.exp = EXP;
    for (i = 0; i < 3; i++) {
        c.scope = (struct segue_slice){scope, 5897 + (size_t)i};
        assert_int_equal(segue_mint(keys[1], &c, t[i].text, sizeof t[i].text, &t[i].len, NULL),
                         SEGUE_OK);
        assert_int_equal(ask(&policy, NOW, &t[i]), SEGUE_OK);
        assert_int_equal(ask(&policy, NOW, &t[i]), SEGUE_OK);
        assert_int_equal(claims.scope.len, 5897 + i);
    }
    assert_int_equal(hits(), 3);
    free(scope);
}

static void
its_size_has_bounds(void **state)
{
    struct segue_cache *c;

    (void)state;
    assert_int_equal(segue_cache_new(SEGUE_CACHE_BYTES_MIN - 1, &c), SEGUE_INVALID);
    assert_int_equal(segue_cache_new(SEGUE_CACHE_BYTES_MAX + 1, &c), SEGUE_INVALID);
    assert_int_equal(segue_cache_new(SEGUE_CACHE_BYTES_MIN + 3, &c), SEGUE_OK);
    segue_cache_free(c);
    segue_cache_free(NULL);
}

/* Tokens, times, policies and keys at random: never another answer than segue_verify()'s. */
static void
it_never_differs_from_verifying(void **state)
{
    static struct token t[150];
    static struct segue_verify_buf plain_buf;
    struct segue_claims plain;
    int i, n, answers[SEGUE_INTERNAL + 1] = {0};

    (void)state;
    srandom(7);
    for (i = 0; i < 150; i++)
        mint(i % 10 == 9 ? stranger : keys[i % 2], i, NOW + 1 + random() % 300, &t[i]);
    for (n = 0; n < 30000; n++) {
        struct segue_policy p = policy;
        int64_t now = NOW - 40 + random() % 400;
        const struct token *one = &t[random() % 150];
        enum segue_status want;

        p.leeway_sec = (int)(random() % 31);
        if (random() % 8 == 0)
            p.audiences = others;
        if (random() % 50 == 0 && segue_keyset_find(set, "a") == keys[0])
            assert_true(segue_keyset_remove(set, "a"));
        else if (random() % 50 == 0 && segue_keyset_find(set, "a") == NULL)
            assert_int_equal(segue_keyset_add(set, random() % 4 ? keys[0] : stranger), SEGUE_OK);
        else if (random() % 20 == 0 && segue_keyset_find(set, "a") == stranger)
            assert_true(segue_keyset_remove(set, "a"));
        want = segue_verify(set, &p, now, one->text, one->len, &plain_buf, &plain);
        answers[want]++;
        assert_int_equal(ask(&p, now, one), want);
        if (want == SEGUE_OK || want == SEGUE_EXPIRED)
            jwt_same_claims(&claims, &plain);
    }
    assert_true(hits() > 5000);
    assert_true(answers[SEGUE_OK] > 1000 && answers[SEGUE_EXPIRED] > 1000);
    assert_true(answers[SEGUE_UNKNOWN_KEY] > 100 && answers[SEGUE_BAD_SIGNATURE] > 100);
}

int
main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        FRESH(a_hit_gives_the_claims_of_the_first_time),
        FRESH(time_is_judged_on_every_hit),
        FRESH(policy_is_judged_on_every_hit),
        FRESH(a_key_that_went_or_was_replaced_no_longer_answers),
        FRESH(whole_tokens_are_compared),
        FRESH(refused_tokens_are_not_kept),
        FRESH(the_oldest_make_room_when_it_is_full),
        FRESH(the_longest_token_fits_the_smallest_cache),
        FRESH(its_size_has_bounds),
        FRESH(it_never_differs_from_verifying),
    };
#undef FRESH

    return cmocka_run_group_tests(tests, NULL, NULL);
}
