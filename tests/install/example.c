/* SPDX-License-Identifier: MIT */
/* How a program uses libsegue. Built against the installed header and library by check.sh:
 *   cc example.c $(pkg-config --cflags --libs segue)
 * An issuer makes a key, publishes its JWKS and mints; a resource server, which knows only the
 * JWKS, verifies. */
#include <segue/segue.h>
#include <stdio.h>
#include <string.h>

static struct segue_slice
text(const char *s)
{
    return (struct segue_slice){s, strlen(s)};
}

static int
issue(char *jwks, size_t jwks_cap, size_t *jwks_len, char *token, size_t token_cap,
      size_t *token_len, int64_t now_sec)
{
    struct segue_slice aud = text("https://api.example"), role = text("editor");
    struct segue_extra tenant = {text("tenant"), SEGUE_STRING, text("t-9"), 0};
    struct segue_claims claims = SEGUE_CLAIMS_INIT;
    struct segue_keyset *set = NULL;
    struct segue_key *key = NULL;
    struct segue_error why = {""};
    int rc = -1;

    claims.iss = text("https://id.example");
    claims.sub = text("u-1");
    claims.aud = &aud;
    claims.n_aud = 1;
    claims.client_id = text("web");
    claims.jti = text("0001");
    claims.iat = now_sec;
    claims.exp = now_sec + 300;
    claims.roles = &role;
    claims.n_roles = 1;
    claims.extra = &tenant;
    claims.n_extra = 1;
    if (segue_key_generate(SEGUE_ES256, NULL, &key, &why) == SEGUE_OK &&
        segue_keyset_new(&set) == SEGUE_OK && segue_keyset_add(set, key) == SEGUE_OK &&
        segue_keyset_to_jwks(set, jwks, jwks_cap, jwks_len) == SEGUE_OK &&
        segue_mint(key, &claims, token, token_cap, token_len, &why) == SEGUE_OK)
        rc = 0;
    else
        fprintf(stderr, "could not issue: %s\n", why.text);
    segue_keyset_free(set);
    segue_key_free(key);
    return rc;
}

static enum segue_status
accept_token(const char *jwks, size_t jwks_len, const char *token, size_t token_len,
             int64_t now_sec)
{
    static const char *const audiences[] = {"https://api.example", NULL};
    const struct segue_policy policy = {
        .issuer = "https://id.example", .audiences = audiences, .leeway_sec = 30};
    struct segue_verify_buf buf;
    struct segue_claims claims;
    struct segue_keyset *set; /* in a server: made once for each thread */
    enum segue_status status = segue_keyset_from_jwks(jwks, jwks_len, &set, NULL, NULL);

    if (status != SEGUE_OK)
        return status;
    status = segue_verify(set, &policy, now_sec, token, token_len, &buf, &claims);
    printf("%s", segue_status_name(status));
    if (status == SEGUE_OK || status == SEGUE_EXPIRED)
        printf(": sub %.*s, role %.*s, %.*s %.*s", (int)claims.sub.len, claims.sub.ptr,
               (int)claims.roles[0].len, claims.roles[0].ptr, (int)claims.extra[0].name.len,
               claims.extra[0].name.ptr, (int)claims.extra[0].text.len, claims.extra[0].text.ptr);
    printf("\n");
    segue_keyset_free(set);
    return status;
}

int
main(void)
{
    char jwks[2 * SEGUE_JWK_BYTES], token[SEGUE_TOKEN_BYTES + 1];
    size_t jwks_len, token_len;
    int64_t now_sec = 1700000000;

    if (issue(jwks, sizeof jwks, &jwks_len, token, sizeof token, &token_len, now_sec) != 0)
        return 1;
    if (accept_token(jwks, jwks_len, token, token_len, now_sec) != SEGUE_OK)
        return 1;
    return accept_token(jwks, jwks_len, token, token_len, now_sec + 3600) == SEGUE_EXPIRED ? 0 : 1;
}
