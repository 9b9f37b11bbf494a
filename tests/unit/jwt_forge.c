/* SPDX-License-Identifier: MIT */
#include "jwt_forge.h"

#include "base/encode.h"
#include "jwt/sign.h"
#include "jwt_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>
#include <stdio.h>

const enum segue_alg forge_algs[FORGE_KEYS] = {SEGUE_ES256, SEGUE_EDDSA, SEGUE_RS256, SEGUE_HS256};
const char *const forge_kids[FORGE_KEYS] = {"es", "ed", "rs", "hs"};
struct segue_key *forge_keys[FORGE_KEYS], *forge_strangers[FORGE_KEYS];
struct segue_keyset *forge_set;
static const char *const audiences[] = {AUD, "https://app.example", NULL};
const struct segue_policy forge_policy = {.issuer = ISS, .audiences = audiences, .leeway_sec = 30};
struct sg_buf forge_token = SG_BUF_INIT(64 * 1024);
static int hostile, accepted;

int
forge_set_up(void **state)
{
    int i;

    (void)state;
    assert_int_equal(segue_keyset_new(&forge_set), SEGUE_OK);
    for (i = 0; i < FORGE_KEYS; i++) {
        assert_int_equal(segue_key_generate(forge_algs[i], forge_kids[i], &forge_keys[i], NULL),
                         SEGUE_OK);
        assert_int_equal(
            segue_key_generate(forge_algs[i], forge_kids[i], &forge_strangers[i], NULL), SEGUE_OK);
        assert_int_equal(segue_keyset_add(forge_set, forge_keys[i]), SEGUE_OK);
    }
    return 0;
}

int
forge_tear_down(void **state)
{
    int i;

    (void)state;
    printf("# %d hostile tokens, %d accepted\n", hostile, accepted);
    for (i = 0; i < FORGE_KEYS; i++) {
        segue_key_free(forge_keys[i]);
        segue_key_free(forge_strangers[i]);
    }
    segue_keyset_free(forge_set);
    sg_buf_free(&forge_token);
    return 0;
}

struct sg_slice
forge_text(struct sg_slice text, int key)
{
    static char out[2][20000];
    static int turn;
    int other = (key + 1) % FORGE_KEYS;
    char *at = out[turn];
    size_t i, n = 0;

    for (i = 0; i < text.len; i++) {
        const char *word = NULL;

        if (text.ptr[i] == '$' && i + 1 < text.len)
            word = text.ptr[i + 1] == 'a'   ? segue_alg_name(forge_algs[key])
                   : text.ptr[i + 1] == 'k' ? forge_kids[key]
                   : text.ptr[i + 1] == 'o' ? segue_alg_name(forge_algs[other])
                   : text.ptr[i + 1] == 'l' ? forge_kids[other]
                                            : NULL;
        assert_true(n + 16 < sizeof out[0]);
        if (word != NULL) {
            memcpy(at + n, word, strlen(word));
            n += strlen(word);
            i++;
        } else {
            at[n++] = text.ptr[i];
        }
    }
    turn = !turn;
    return sg_slice(at, n);
}

struct sg_slice
forge_header(int key)
{
    return forge_text(sg_str("{\"alg\":\"$a\",\"typ\":\"at+jwt\",\"kid\":\"$k\"}"), key);
}

struct sg_slice
forge_claims(void)
{
    return sg_str("{\"iss\":\"" ISS "\",\"sub\":\"u\",\"aud\":\"" AUD
                  "\",\"client_id\":\"w\",\"iat\":1700000000,\"exp\":1700000300,\"jti\":\"j\"}");
}

void
forge_raw(struct sg_slice header, struct sg_slice claims, struct sg_slice signature)
{
    sg_buf_reset(&forge_token);
    sg_b64url_add(&forge_token, header);
    sg_buf_puts(&forge_token, ".");
    sg_b64url_add(&forge_token, claims);
    sg_buf_puts(&forge_token, ".");
    sg_b64url_add(&forge_token, signature);
    assert_false(forge_token.failed);
}

void
forge_signed(const struct segue_key *key, struct sg_slice header, struct sg_slice claims)
{
    unsigned char sig[SG_SIGNATURE_MAX];
    size_t len;

    forge_raw(header, claims, sg_slice(NULL, 0));
    assert_int_equal(sg_sign(key, sg_slice(forge_token.ptr, forge_token.len - 1), sig, &len),
                     SEGUE_OK);
    sg_b64url_add(&forge_token, sg_slice((char *)sig, len));
    assert_false(forge_token.failed);
}

static enum segue_status
check(bool is_hostile)
{
    struct segue_claims claims;
    enum segue_status got =
        jwt_check(forge_set, &forge_policy, NOW, forge_token.ptr, forge_token.len, &claims);

    hostile += is_hostile;
    accepted += is_hostile && got == SEGUE_OK;
    return got;
}

void
forge_expect(const char *why, enum segue_status want)
{
    enum segue_status got = check(want != SEGUE_OK);

    if (got != want)
        fail_msg("%s: %s, not %s: %s", why, segue_status_name(got), segue_status_name(want),
                 forge_token.ptr);
}

void
forge_refused(const char *why)
{
    if (check(true) == SEGUE_OK)
        fail_msg("%s: accepted: %s", why, forge_token.ptr);
}
