/* SPDX-License-Identifier: MIT */
/* segue_verify over a whole token, and over a header and claims that a known key signs, so that
 * what lies behind the signature is reached. First byte 's': the rest is HEADER '\n' CLAIMS, to be
 * signed; anything else: the whole input is the token. */
#include "base/buf.h"
#include "base/encode.h"
#include "fuzz/fuzz.h"
#include "jwt/sign.h"

#include <stdlib.h>

static const char JWK[] = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"ed\","
                          "\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\","
                          "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";

static struct segue_key *key;
static struct segue_keyset *set;

static void
set_up(void)
{
    if (set == NULL &&
        (segue_key_from_jwk(JWK, sizeof JWK - 1, &key, NULL) != SEGUE_OK ||
         segue_keyset_new(&set) != SEGUE_OK || segue_keyset_add(set, key) != SEGUE_OK))
        abort();
}

static void
sign(struct sg_slice in, struct sg_buf *token)
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
        c->exp < 0 || c->alg != SEGUE_EDDSA || c->kid.len != 2)
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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const audiences[] = {"aud", "aud2", NULL};
    static const struct segue_policy policy = {
        .issuer = "iss", .audiences = audiences, .leeway_sec = 10};
    struct sg_buf token = SG_BUF_INIT(16384);
    struct segue_verify_buf *buf = malloc(sizeof *buf);
    struct segue_claims claims;

    set_up();
    if (buf == NULL)
        abort();
    if (size > 0 && data[0] == 's')
        sign(sg_slice((const char *)data + 1, size - 1), &token);
    else
        sg_buf_add(&token, sg_slice((const char *)data, size));
    if (!token.failed)
        check(segue_verify(set, &policy, 1000, token.ptr, token.len, buf, &claims), &claims);
    free(buf);
    sg_buf_free(&token);
    return 0;
}
