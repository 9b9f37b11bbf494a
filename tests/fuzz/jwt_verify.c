/* SPDX-License-Identifier: MIT */
/* segue_verify over a whole token, and over a header and claims that a known key signs, so that
 * what lies behind the signature is reached. First byte 's' (EdDSA) or 'h' (HS256): the rest is
 * HEADER '\n' CLAIMS, to be signed; anything else: the whole input is the token.
 *
 * A set that remembers headers, one that has none to remember and a cache must answer alike. */
#include "base/buf.h"
#include "base/encode.h"
#include "fuzz/fuzz.h"
#include "jwt/sign.h"

#include <stdlib.h>

static const char ED[] = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"ed\","
                         "\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\","
                         "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
static const char HS[] = "{\"kty\":\"oct\",\"kid\":\"hs\","
                         "\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr8\"}";

static struct segue_key *ed, *hs;
static struct segue_keyset *set, *forgetful;
static struct segue_cache *cache;

static void
set_up(void)
{
    if (set == NULL &&
        (segue_key_from_jwk(ED, sizeof ED - 1, &ed, NULL) != SEGUE_OK ||
         segue_key_from_jwk(HS, sizeof HS - 1, &hs, NULL) != SEGUE_OK ||
         segue_keyset_new(&set) != SEGUE_OK || segue_keyset_new(&forgetful) != SEGUE_OK ||
         segue_keyset_add(set, ed) != SEGUE_OK || segue_keyset_add(set, hs) != SEGUE_OK ||
         segue_cache_new(SEGUE_CACHE_BYTES_MIN, &cache) != SEGUE_OK))
        abort();
    (void)segue_keyset_remove(forgetful, "ed");
    (void)segue_keyset_remove(forgetful, "hs");
    if (segue_keyset_add(forgetful, ed) != SEGUE_OK || segue_keyset_add(forgetful, hs) != SEGUE_OK)
        abort();
}

static void
sign(const struct segue_key *key, struct sg_slice in, struct sg_buf *token)
{
    const char *newline = memchr(in.ptr, '\n', in.len);
    size_t n = newline != NULL ? (size_t)(newline - in.ptr) : in.len;
    unsigned char sig[SG_SIGNATURE_MAX];
    size_t len;

    sg_b64url_add(token, sg_slice(in.ptr, n));
    sg_buf_puts(token, ".");
    if (newline != NULL)
        sg_b64url_add(token, sg_slice(newline + 1, in.len - n - 1));
    if (sg_sign(key, sg_buf_slice(token), sig, &len) != SEGUE_OK)
        abort();
    sg_buf_puts(token, ".");
    sg_b64url_add(token, sg_slice((char *)sig, len));
}

/* What was accepted must hold what was demanded, and every slice must be readable. */
static void
check(enum segue_status status, const struct segue_claims *c)
{
    unsigned sum = 0;
    size_t i;

    if (status != SEGUE_OK && status != SEGUE_EXPIRED)
        return;
    if (c->iss.len != 3 || memcmp(c->iss.ptr, "iss", 3) != 0 || c->n_aud == 0 || c->sub.len == 0 ||
        c->exp < 0 || (c->alg != SEGUE_EDDSA && c->alg != SEGUE_HS256) || c->kid.len != 2)
        abort();
    for (i = 0; i < c->n_roles; i++)
        sum += fuzz_touch(c->roles[i].ptr, c->roles[i].len);
    for (i = 0; i < c->n_permissions; i++)
        sum += fuzz_touch(c->permissions[i].ptr, c->permissions[i].len);
    for (i = 0; i < c->n_extra; i++)
        sum += fuzz_touch(c->extra[i].name.ptr, c->extra[i].name.len) +
               fuzz_touch(c->extra[i].text.ptr, c->extra[i].text.len);
    fuzz_use(sum);
}

static bool
same(struct segue_slice a, struct segue_slice b)
{
    return (a.ptr == NULL) == (b.ptr == NULL) && a.len == b.len &&
           (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static bool
same_list(const struct segue_slice *a, size_t n, const struct segue_slice *b, size_t m)
{
    size_t i;

    for (i = 0; n == m && i < n; i++)
        if (!same(a[i], b[i]))
            return false;
    return n == m && (a == NULL) == (b == NULL);
}

static void
compare(enum segue_status status, const struct segue_claims *a, enum segue_status again,
        const struct segue_claims *b)
{
    size_t i;

    if (status != again)
        abort();
    if (status != SEGUE_OK && status != SEGUE_EXPIRED)
        return;
    if (!same(a->iss, b->iss) || !same(a->sub, b->sub) || !same(a->client_id, b->client_id) ||
        !same(a->jti, b->jti) || !same(a->sid, b->sid) || !same(a->scope, b->scope) ||
        !same(a->lh, b->lh) || !same(a->kid, b->kid) || a->alg != b->alg ||
        !same_list(a->aud, a->n_aud, b->aud, b->n_aud) ||
        !same_list(a->roles, a->n_roles, b->roles, b->n_roles) ||
        !same_list(a->permissions, a->n_permissions, b->permissions, b->n_permissions) ||
        a->iat != b->iat || a->exp != b->exp || a->nbf != b->nbf || a->bkt != b->bkt ||
        a->sv != b->sv || a->rv != b->rv || a->re != b->re || a->n_extra != b->n_extra)
        abort();
    for (i = 0; i < a->n_extra; i++)
        if (!same(a->extra[i].name, b->extra[i].name) || a->extra[i].kind != b->extra[i].kind ||
            !same(a->extra[i].text, b->extra[i].text) || a->extra[i].number != b->extra[i].number)
            abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const audiences[] = {"aud", "aud2", NULL};
    static const struct segue_policy policy = {
        .issuer = "iss", .audiences = audiences, .leeway_sec = 10};
    struct sg_buf token = SG_BUF_INIT(16384);
    struct segue_verify_buf *buf = malloc(sizeof *buf), *again = malloc(sizeof *buf);
    struct segue_claims claims, other;
    enum segue_status status;
    int i;

    set_up();
    if (buf == NULL || again == NULL)
        abort();
    if (size > 0 && (data[0] == 's' || data[0] == 'h'))
        sign(data[0] == 's' ? ed : hs, sg_slice((const char *)data + 1, size - 1), &token);
    else
        sg_buf_add(&token, sg_slice((const char *)data, size));
    if (!token.failed) {
        status = segue_verify(set, &policy, 1000, token.ptr, token.len, buf, &claims);
        check(status, &claims);
        compare(status, &claims,
                segue_verify(forgetful, &policy, 1000, token.ptr, token.len, again, &other),
                &other);
        for (i = 0; i < 2; i++)
            compare(
                status, &claims,
                segue_cache_verify(cache, set, &policy, 1000, token.ptr, token.len, again, &other),
                &other);
    }
    free(buf);
    free(again);
    sg_buf_free(&token);
    return 0;
}
