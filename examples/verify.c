/* SPDX-License-Identifier: MIT */
/* A resource server in small: verifies the token on its input with the keys of a JWKS file:
 *   verify JWKS.json ISSUER AUDIENCE
 * Exits with 0 if the token is good. */
#include <segue/segue.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

static void
print_list(const char *name, const struct segue_slice *list, size_t n)
{
    size_t i;

    printf("%s:", name);
    for (i = 0; i < n; i++)
        printf(" %.*s", (int)list[i].len, list[i].ptr);
    printf("\n");
}

int
main(int argc, char **argv)
{
    static char jwks[64 * 1024], token[SEGUE_TOKEN_BYTES + 2];
    const char *const audiences[] = {argc == 4 ? argv[3] : NULL, NULL};
    struct segue_policy policy = {.audiences = audiences, .leeway_sec = 30};
    struct segue_verify_buf buf;
    struct segue_claims claims;
    struct segue_error why = {""};
    struct segue_keyset *set;
    enum segue_status status;
    size_t len;
    FILE *f;

    if (argc != 4) {
        fprintf(stderr, "usage: verify JWKS.json ISSUER AUDIENCE <TOKEN\n");
        return 2;
    }
    policy.issuer = argv[2];
    if ((f = fopen(argv[1], "r")) == NULL) {
        perror(argv[1]);
        return 2;
    }
    len = fread(jwks, 1, sizeof jwks, f);
    fclose(f);
    if (segue_keyset_from_jwks(jwks, len, &set, NULL, &why) != SEGUE_OK) {
        fprintf(stderr, "%s: %s\n", argv[1], why.text);
        return 2;
    }
    len = fread(token, 1, sizeof token, stdin);
    if (len > 0 && token[len - 1] == '\n')
        len--;
    status = segue_verify(set, &policy, time(NULL), token, len, &buf, &claims);
    printf("%s: %s\n", segue_status_name(status), segue_strerror(status));
    /* Of a token that was refused nothing may be read, but for one that is only too old. */
    if (status == SEGUE_OK) {
        printf("sub: %.*s\n", (int)claims.sub.len, claims.sub.ptr);
        print_list("roles", claims.roles, claims.n_roles);
    }
    segue_keyset_free(set);
    return status == SEGUE_OK ? 0 : 1;
}
