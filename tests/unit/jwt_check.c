/* SPDX-License-Identifier: MIT */
#include "jwt_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>
#include <string.h>

int jwt_checked, jwt_accepted;

static void
same(struct segue_slice a, struct segue_slice b)
{
    assert_true((a.ptr == NULL) == (b.ptr == NULL));
    assert_int_equal(a.len, b.len);
    if (a.len != 0)
        assert_memory_equal(a.ptr, b.ptr, a.len);
}

static void
same_list(const struct segue_slice *a, size_t n, const struct segue_slice *b, size_t m)
{
    size_t i;

    assert_true((a == NULL) == (b == NULL));
    assert_int_equal(n, m);
    for (i = 0; i < n; i++)
        same(a[i], b[i]);
}

void
jwt_same_claims(const struct segue_claims *a, const struct segue_claims *b)
{
    size_t i;

    same(a->iss, b->iss);
    same(a->sub, b->sub);
    same(a->client_id, b->client_id);
    same(a->jti, b->jti);
    same(a->sid, b->sid);
    same(a->scope, b->scope);
    same(a->lh, b->lh);
    same(a->kid, b->kid);
    same_list(a->aud, a->n_aud, b->aud, b->n_aud);
    same_list(a->roles, a->n_roles, b->roles, b->n_roles);
    same_list(a->permissions, a->n_permissions, b->permissions, b->n_permissions);
    assert_int_equal(a->iat, b->iat);
    assert_int_equal(a->exp, b->exp);
    assert_int_equal(a->nbf, b->nbf);
    assert_int_equal(a->bkt, b->bkt);
    assert_int_equal(a->sv, b->sv);
    assert_int_equal(a->rv, b->rv);
    assert_int_equal(a->re, b->re);
    assert_int_equal(a->alg, b->alg);
    assert_int_equal(a->n_extra, b->n_extra);
    for (i = 0; i < a->n_extra; i++) {
        same(a->extra[i].name, b->extra[i].name);
        assert_int_equal(a->extra[i].kind, b->extra[i].kind);
        same(a->extra[i].text, b->extra[i].text);
        assert_int_equal(a->extra[i].number, b->extra[i].number);
    }
}

enum segue_status
jwt_check(struct segue_keyset *set, const struct segue_policy *policy, int64_t now_sec,
          const char *token, size_t len, struct segue_claims *claims)
{
    static struct segue_verify_buf buf, cached_buf;
    static struct segue_cache *cache;
    struct segue_claims cached;
    char *exact = malloc(len != 0 ? len : 1); /* so that ASan sees a read past the end */
    enum segue_status status;
    int i;

    if (cache == NULL)
        assert_int_equal(segue_cache_new(SEGUE_CACHE_BYTES_MIN, &cache), SEGUE_OK);
    memcpy(exact, token, len);
    status = segue_verify(set, policy, now_sec, exact, len, &buf, claims);
    jwt_checked++;
    jwt_accepted += status == SEGUE_OK;
    for (i = 0; i < 2; i++) {
        enum segue_status again =
            segue_cache_verify(cache, set, policy, now_sec, exact, len, &cached_buf, &cached);

        if (again != status)
            fail_msg("%s, but %s from the cache", segue_status_name(status),
                     segue_status_name(again));
        if (status == SEGUE_OK || status == SEGUE_EXPIRED)
            jwt_same_claims(claims, &cached);
    }
    free(exact); /* nor may the claims point into the token */
    return status;
}
