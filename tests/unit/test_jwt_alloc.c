/* SPDX-License-Identifier: MIT */
/* Verifying takes no memory: every malloc of the program is counted here, libcrypto's apart. */
#include "segue/segue.h"

#include <openssl/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>
#include <string.h>

#define NOW INT64_C(1700000000)

/* glibc's own, by the names it keeps for this. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static long total, of_libcrypto;

void *
malloc(size_t n)
{
    total++;
    return __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
    total++;
    return __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
    total++;
    return __libc_realloc(p, n);
}

static void *
crypto_malloc(size_t n, const char *file, int line)
{
    of_libcrypto++;
    return malloc(n);
}

static void *
crypto_realloc(void *p, size_t n, const char *file, int line)
{
    of_libcrypto++;
    return realloc(p, n);
}

static void
crypto_free(void *p, const char *file, int line)
{
    free(p);
}

static struct segue_slice
str(const char *s)
{
    return (struct segue_slice){s, strlen(s)};
}

static void
mint(const struct segue_key *key, const char *scope, char token[SEGUE_TOKEN_BYTES + 1], size_t *len)
{
    struct segue_slice aud = str("https://api.example"), roles[] = {str("a"), str("b\n")};
    struct segue_extra extra = {str("x"), SEGUE_JSON, str("{\"y\":[1,2,{\"z\":\"\\u00e9\"}]}"), 0};
    struct segue_claims c = SEGUE_CLAIMS_INIT;

    c.iss = str("https://id.example");
    c.sub = c.client_id = c.jti = str("x");
    c.aud = &aud;
    c.n_aud = 1;
    c.iat = NOW;
    c.exp = NOW + 300;
    c.scope = str(scope);
    c.roles = roles;
    c.n_roles = 2;
    c.extra = &extra;
    c.n_extra = 1;
    assert_int_equal(segue_mint(key, &c, token, SEGUE_TOKEN_BYTES + 1, len, NULL), SEGUE_OK);
}

static void
verifying_takes_no_memory(void **state)
{
    static const enum segue_alg algs[] = {SEGUE_HS256, SEGUE_EDDSA, SEGUE_ES256, SEGUE_RS256};
    static const char *const audiences[] = {"https://api.example", NULL};
    static const struct segue_policy policy = {.issuer = "https://id.example",
                                               .audiences = audiences};
    static char token[3][SEGUE_TOKEN_BYTES + 1];
    struct segue_verify_buf buf;
    struct segue_claims claims;
    struct segue_keyset *set;
    struct segue_cache *cache;
    struct segue_key *key;
    size_t len[3], i;
    int round, k;

    (void)state;
    assert_int_equal(segue_cache_new(SEGUE_CACHE_BYTES_MIN, &cache), SEGUE_OK);
    for (i = 0; i < 4; i++) {
        long before[2], by_libcrypto = 0;

        assert_int_equal(segue_key_generate(algs[i], NULL, &key, NULL), SEGUE_OK);
        assert_int_equal(segue_keyset_new(&set), SEGUE_OK);
        assert_int_equal(segue_keyset_add(set, key), SEGUE_OK);
        mint(key, "one", token[0], &len[0]);
        mint(key, "two", token[1], &len[1]);
        mint(key, "bad", token[2], &len[2]);
        token[2][len[2] / 2] ^= 1; /* malformed or a wrong signature: refused without memory too */
        assert_int_equal(segue_verify(set, &policy, NOW, token[0], len[0], &buf, &claims),
                         SEGUE_OK);
        before[0] = total;
        before[1] = of_libcrypto;
        for (round = 0; round < 3; round++)
            for (k = 0; k < 3; k++) {
                enum segue_status a =
                    segue_verify(set, &policy, NOW, token[k], len[k], &buf, &claims);
                enum segue_status b =
                    segue_cache_verify(cache, set, &policy, NOW, token[k], len[k], &buf, &claims);

                if (a != b || (a == SEGUE_OK) != (k < 2))
                    fail_msg("%s, %s", segue_status_name(a), segue_status_name(b));
            }
        by_libcrypto = of_libcrypto - before[1];
        if (total - before[0] != by_libcrypto)
            fail_msg("%s: %ld allocations besides libcrypto's", segue_alg_name(algs[i]),
                     total - before[0] - by_libcrypto);
        /* libcrypto's RSA and ECDSA do need some; for the others it is not asked. */
        assert_true((by_libcrypto == 0) == (algs[i] == SEGUE_HS256 || algs[i] == SEGUE_EDDSA));
        segue_keyset_free(set);
        segue_key_free(key);
    }
    segue_cache_free(cache);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(verifying_takes_no_memory)};

    if (CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free) != 1)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
