/* SPDX-License-Identifier: MIT */
#include "jwt_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>
#include <string.h>

#define NOW INT64_C(1700000000)

static struct segue_key *keys[4];
static struct segue_keyset *set;
static const char *const kids[] = {"es", "ed", "rs", "hs"};
static const char *const audiences[] = {"https://api.example", "https://app.example", NULL};
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
    static const enum segue_alg algs[] = {SEGUE_ES256, SEGUE_EDDSA, SEGUE_RS256, SEGUE_HS256};
    int i;

    (void)state;
    assert_int_equal(segue_keyset_new(&set), SEGUE_OK);
    for (i = 0; i < 4; i++) {
        assert_int_equal(segue_key_generate(algs[i], kids[i], &keys[i], NULL), SEGUE_OK);
        assert_int_equal(segue_keyset_add(set, keys[i]), SEGUE_OK);
    }
    return 0;
}

static int
tear_down(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < 4; i++)
        segue_key_free(keys[i]);
    segue_keyset_free(set);
    return 0;
}

static enum segue_status
check_at(const char *token, size_t len, int64_t now, struct segue_claims *claims)
{
    return jwt_check(set, &policy, now, token, len, claims);
}

static struct segue_claims
plain_claims(void)
{
    static const struct segue_slice aud = {"https://api.example", 19};
    struct segue_claims c = SEGUE_CLAIMS_INIT;

    c.iss = str("https://id.example");
    c.sub = str("u-1");
    c.client_id = str("web");
    c.jti = str("j-1");
    c.aud = &aud;
    c.n_aud = 1;
    c.iat = NOW;
    c.exp = NOW + 300;
    return c;
}

static struct segue_claims
full_claims(void)
{
    static struct segue_slice aud[2], roles[3], permissions[1];
    static struct segue_extra extra[4];
    struct segue_claims c = plain_claims();

    aud[0] = str("https://other.example");
    aud[1] = str("https://app.example");
    roles[0] = str("admin");
    roles[1] = str("r\xc3\xb4le \"x\" \\ \n");
    roles[2] = str("");
    permissions[0] = str("orders:read");
    extra[0] = (struct segue_extra){str("tenant"), SEGUE_STRING, str("t/9"), 0};
    extra[1] = (struct segue_extra){str("level"), SEGUE_INT, {NULL, 0}, INT64_MIN};
    extra[2] = (struct segue_extra){str("cnf"), SEGUE_JSON, str("{\"a\":[1,2.5,\"\\u00e9\"]}"), 0};
    extra[3] = (struct segue_extra){str("n\"\xc3\xa9"), SEGUE_JSON, str("true"), 0};
    c.aud = aud;
    c.n_aud = 2;
    c.nbf = NOW - 5;
    c.sid = str("s-1");
    c.scope = str("openid orders");
    c.roles = roles;
    c.n_roles = 3;
    c.permissions = permissions;
    c.n_permissions = 1;
    c.bkt = 4095;
    c.sv = INT32_MAX;
    c.rv = INT64_MAX;
    c.re = 0;
    c.lh = str("AAECAwQFBgcICQoL");
    c.extra = extra;
    c.n_extra = 4;
    return c;
}

static void
assert_slice(struct segue_slice got, struct segue_slice want)
{
    assert_int_equal(got.len, want.len);
    if (want.len != 0)
        assert_memory_equal(got.ptr, want.ptr, want.len);
}

static void
assert_list(const struct segue_slice *got, size_t n, const struct segue_slice *want, size_t m)
{
    size_t i;

    assert_int_equal(n, m);
    for (i = 0; i < n; i++)
        assert_slice(got[i], want[i]);
}

static void
assert_claims(const struct segue_claims *got, const struct segue_claims *want)
{
    size_t i;

    assert_slice(got->iss, want->iss);
    assert_slice(got->sub, want->sub);
    assert_slice(got->client_id, want->client_id);
    assert_slice(got->jti, want->jti);
    assert_slice(got->sid, want->sid);
    assert_slice(got->scope, want->scope);
    assert_slice(got->lh, want->lh);
    assert_list(got->aud, got->n_aud, want->aud, want->n_aud);
    assert_list(got->roles, got->n_roles, want->roles, want->n_roles);
    assert_list(got->permissions, got->n_permissions, want->permissions, want->n_permissions);
    assert_int_equal(got->iat, want->iat);
    assert_int_equal(got->exp, want->exp);
    assert_int_equal(got->nbf, want->nbf);
    assert_int_equal(got->bkt, want->bkt);
    assert_int_equal(got->sv, want->sv);
    assert_int_equal(got->rv, want->rv);
    assert_int_equal(got->re, want->re);
    assert_int_equal(got->n_extra, want->n_extra);
    for (i = 0; i < got->n_extra; i++) {
        assert_slice(got->extra[i].name, want->extra[i].name);
        assert_int_equal(got->extra[i].kind, want->extra[i].kind);
        if (want->extra[i].kind == SEGUE_INT)
            assert_int_equal(got->extra[i].number, want->extra[i].number);
        else
            assert_slice(got->extra[i].text, want->extra[i].text);
    }
}

static void
every_alg_carries_every_claim_there_and_back(void **state)
{
    struct segue_claims in[2] = {full_claims(), plain_claims()}, out;
    char token[SEGUE_TOKEN_BYTES + 1];
    size_t len;
    int i, k;

    (void)state;
    for (i = 0; i < 4; i++)
        for (k = 0; k < 2; k++) {
            assert_int_equal(segue_mint(keys[i], &in[k], token, sizeof token, &len, NULL),
                             SEGUE_OK);
            assert_int_equal(len, strlen(token));
            assert_int_equal(check_at(token, len, NOW, &out), SEGUE_OK);
            assert_claims(&out, &in[k]);
            assert_slice(out.kid, str(kids[i]));
            assert_int_equal(out.alg, segue_key_alg(keys[i]));
        }
}

/* ---- minting ---- */

static enum segue_status
mint(const struct segue_claims *c, struct segue_error *err)
{
    char token[SEGUE_TOKEN_BYTES + 1];
    size_t len;

    return segue_mint(keys[1], c, token, sizeof token, &len, err);
}

static void
minting_names_the_claim_that_is_wrong(void **state)
{
    struct segue_slice dup[1] = {str("a\0b")};
    struct segue_extra e[2] = {{str("x"), SEGUE_INT, {NULL, 0}, 1},
                               {str("x"), SEGUE_INT, {NULL, 0}, 1}};
    struct segue_claims c;
    struct segue_error err;

    (void)state;
#define EXPECT(change, status, part)                                                               \
    do {                                                                                           \
        c = plain_claims();                                                                        \
        change;                                                                                    \
        assert_int_equal(mint(&c, &err), status);                                                  \
        assert_non_null(strstr(err.text, part));                                                   \
    } while (0)
    EXPECT(c.iss.ptr = NULL, SEGUE_MISSING_CLAIM, "'iss'");
    EXPECT(c.sub.len = 0, SEGUE_MISSING_CLAIM, "'sub'");
    EXPECT(c.client_id.ptr = NULL, SEGUE_MISSING_CLAIM, "'client_id'");
    EXPECT(c.jti.ptr = NULL, SEGUE_MISSING_CLAIM, "'jti'");
    EXPECT(c.n_aud = 0, SEGUE_MISSING_CLAIM, "'aud'");
    EXPECT(c.iat = SEGUE_ABSENT, SEGUE_MISSING_CLAIM, "'iat'");
    EXPECT(c.exp = SEGUE_ABSENT, SEGUE_MISSING_CLAIM, "'exp'");
    EXPECT(c.exp = c.iat, SEGUE_INVALID, "'exp'");
    EXPECT(c.exp = INT64_MAX, SEGUE_INVALID, "'exp'");
    EXPECT(c.nbf = -2, SEGUE_INVALID, "'nbf'");
    EXPECT(c.bkt = 4096, SEGUE_INVALID, "'bkt'");
    EXPECT(c.sv = INT64_C(1) << 31, SEGUE_INVALID, "'sv'");
    EXPECT(c.sub = str("\xff"), SEGUE_INVALID, "'sub'");
    dup[0].len = 3;
    EXPECT((c.roles = dup, c.n_roles = 1), SEGUE_INVALID, "'roles'");
    EXPECT(c.n_roles = SEGUE_NAMES_MAX + 1, SEGUE_TOO_LARGE, "'roles'");
    EXPECT(c.n_extra = SEGUE_EXTRA_MAX + 1, SEGUE_TOO_LARGE, "32");
    EXPECT((c.extra = e, c.n_extra = 2), SEGUE_INVALID, "repeat");
    e[0].name = str("exp");
    EXPECT((c.extra = e, c.n_extra = 1), SEGUE_INVALID, "'exp'");
    e[0].name = str("");
    EXPECT((c.extra = e, c.n_extra = 1), SEGUE_INVALID, "empty");
    e[0] = (struct segue_extra){str("j"), SEGUE_JSON, str("{\"a\":1}, \"sub\":\"root\""), 0};
    EXPECT((c.extra = e, c.n_extra = 1), SEGUE_INVALID, "'j'");
    e[0].text = str("[[[[[[[[]]]]]]]]");
    EXPECT((c.extra = e, c.n_extra = 1), SEGUE_TOO_LARGE, "deep");
#undef EXPECT
}

static void
minting_stays_within_its_bounds(void **state)
{
    static char long_text[7000];
    char token[SEGUE_TOKEN_BYTES + 100];
    struct segue_claims c = plain_claims(), out;
    struct segue_keyset *public;
    char jwks[SEGUE_JWK_BYTES];
    struct segue_error err;
    size_t len = 0, exact, fits = 0, n;

    (void)state;
    assert_int_equal(segue_mint(keys[1], &c, token, sizeof token, &exact, NULL), SEGUE_OK);
    assert_int_equal(segue_mint(keys[1], &c, token, exact, &len, &err), SEGUE_TOO_LARGE);
    assert_int_equal(token[0], '\0');
    assert_int_equal(segue_mint(keys[1], &c, token, exact + 1, &len, NULL), SEGUE_OK);
    assert_int_equal(segue_mint(keys[1], &c, token, 0, &len, NULL), SEGUE_INVALID);
    memset(long_text, 'x', sizeof long_text);
    for (n = 5000; n < sizeof long_text; n += 7) {
        c.scope = (struct segue_slice){long_text, n};
        if (segue_mint(keys[1], &c, token, sizeof token, &len, NULL) != SEGUE_OK)
            break;
        fits = n;
        assert_true(len <= SEGUE_TOKEN_BYTES);
        assert_int_equal(check_at(token, len, NOW, &out), SEGUE_OK);
    }
    assert_in_range(fits, 5001, 6144);
    c = plain_claims();
    assert_int_equal(segue_keyset_to_jwks(set, jwks, sizeof jwks, &len), SEGUE_OK);
    assert_int_equal(segue_keyset_from_jwks(jwks, len, &public, NULL, NULL), SEGUE_OK);
    assert_int_equal(segue_mint(segue_keyset_at(public, 0), &c, token, sizeof token, &len, &err),
                     SEGUE_INVALID);
    segue_keyset_free(public);
}

static void
an_expired_token_still_gives_its_claims(void **state)
{
    struct segue_claims in = full_claims(), out;
    char token[SEGUE_TOKEN_BYTES + 1];
    size_t len;
    int i;

    (void)state;
    for (i = 0; i < 4; i++) {
        assert_int_equal(segue_mint(keys[i], &in, token, sizeof token, &len, NULL), SEGUE_OK);
        assert_int_equal(check_at(token, len, in.exp + 29, &out), SEGUE_OK);
        assert_int_equal(check_at(token, len, in.exp + 30, &out), SEGUE_EXPIRED);
        assert_claims(&out, &in);
        token[len - 20] = token[len - 20] == 'A' ? 'B' : 'A';
        assert_int_equal(check_at(token, len, in.exp + 30, &out), SEGUE_BAD_SIGNATURE);
    }
}

static void
a_wrong_policy_is_the_callers_mistake(void **state)
{
    struct segue_policy p = policy;
    struct segue_verify_buf buf;
    struct segue_claims out;

    (void)state;
#define WRONG(change)                                                                              \
    do {                                                                                           \
        p = policy;                                                                                \
        change;                                                                                    \
        assert_int_equal(segue_verify(set, &p, NOW, "a.b.c", 5, &buf, &out), SEGUE_INVALID);       \
    } while (0)
    WRONG(p.issuer = NULL);
    WRONG(p.audiences = NULL);
    WRONG(p.leeway_sec = -1);
    WRONG(p.leeway_sec = SEGUE_LEEWAY_MAX + 1);
    WRONG(p.max_token_bytes = SEGUE_TOKEN_BYTES + 1);
#undef WRONG
}

static void
a_removed_key_no_longer_verifies(void **state)
{
    struct segue_claims in = plain_claims(), out;
    struct segue_keyset *mine;
    struct segue_verify_buf buf;
    char token[SEGUE_TOKEN_BYTES + 1];
    size_t len;

    (void)state;
    assert_int_equal(segue_keyset_copy(set, &mine), SEGUE_OK);
    assert_int_equal(segue_mint(keys[0], &in, token, sizeof token, &len, NULL), SEGUE_OK);
    assert_int_equal(segue_verify(mine, &policy, NOW, token, len, &buf, &out), SEGUE_OK);
    assert_true(segue_keyset_remove(mine, "es"));
    assert_int_equal(segue_verify(mine, &policy, NOW, token, len, &buf, &out), SEGUE_UNKNOWN_KEY);
    segue_keyset_free(mine);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_alg_carries_every_claim_there_and_back),
        cmocka_unit_test(minting_names_the_claim_that_is_wrong),
        cmocka_unit_test(minting_stays_within_its_bounds),
        cmocka_unit_test(an_expired_token_still_gives_its_claims),
        cmocka_unit_test(a_wrong_policy_is_the_callers_mistake),
        cmocka_unit_test(a_removed_key_no_longer_verifies),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
