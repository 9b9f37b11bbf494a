/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "jwt/claims.h"
#include "jwt/sign.h"
#include "jwt/status.h"

/* What of a token can be claims: the rest is header, signature and two dots. */
#define CLAIMS_BYTES (SEGUE_TOKEN_BYTES / 4 * 3)

static enum segue_status
write_input(const struct segue_key *key, const struct segue_claims *claims, struct sg_buf *token,
            struct segue_error *err)
{
    struct sg_buf json = SG_BUF_INIT(CLAIMS_BYTES);
    enum segue_status status;

    sg_buf_printf(&json, "{\"alg\":\"%s\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}",
                  segue_alg_name(key->alg), key->kid);
    sg_b64url_add(token, sg_buf_slice(&json));
    sg_buf_puts(token, ".");
    sg_buf_reset(&json);
    status = sg_claims_write(claims, &json, err);
    if (status == SEGUE_OK)
        sg_b64url_add(token, sg_buf_slice(&json));
    sg_buf_free(&json);
    return status;
}

static enum segue_status
write_token(const struct segue_key *key, const struct segue_claims *claims, struct sg_buf *token,
            struct segue_error *err)
{
    enum segue_status status = write_input(key, claims, token, err);
    unsigned char sig[SG_SIGNATURE_MAX];
    size_t len;

    if (status != SEGUE_OK)
        return status;
    if (!token->failed) {
        status = sg_sign(key, sg_buf_slice(token), sig, &len);
        if (status != SEGUE_OK)
            return sg_jwt_fail(err, status, "could not sign with key '%s'", key->kid);
        sg_buf_puts(token, ".");
        sg_b64url_add(token, sg_slice((char *)sig, len));
    }
    if (token->failed)
        return sg_jwt_fail(err, SEGUE_TOO_LARGE, "the token is longer than %zu bytes",
                           token->max_bytes);
    return SEGUE_OK;
}

enum segue_status
segue_mint(const struct segue_key *key, const struct segue_claims *claims, char *out, size_t cap,
           size_t *len, struct segue_error *err)
{
    struct sg_buf token = SG_BUF_INIT(cap > SEGUE_TOKEN_BYTES ? SEGUE_TOKEN_BYTES : cap - 1);
    enum segue_status status;

    if (cap == 0)
        return sg_jwt_fail(err, SEGUE_INVALID, "no room for the token");
    out[0] = '\0';
    if (!key->private)
        return sg_jwt_fail(err, SEGUE_INVALID, "key '%s' has no private half", key->kid);
    status = write_token(key, claims, &token, err);
    if (status == SEGUE_OK) {
        memcpy(out, token.ptr, token.len + 1);
        *len = token.len;
    }
    sg_buf_free(&token);
    return status;
}
