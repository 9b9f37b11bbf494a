/* SPDX-License-Identifier: MIT */
/* Mints an access token that is good for five minutes, and publishes what others verify it with:
 *   mint KEY.jwk JWKS.json ISSUER AUDIENCE SUBJECT
 * KEY.jwk holds the private key; it is made where there is none. The token goes to the output. */
#include <segue/segue.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct segue_slice
text(const char *s)
{
    return (struct segue_slice){s, strlen(s)};
}

static int
write_file(const char *path, mode_t mode, const char *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    int rc = fd >= 0 && write(fd, data, len) == (ssize_t)len ? 0 : -1;

    if (fd >= 0 && close(fd) != 0)
        rc = -1;
    if (rc != 0)
        perror(path);
    return rc;
}

/* The key of the file, or a new one in it. */
static struct segue_key *
load_key(const char *path)
{
    struct segue_error why = {""};
    struct segue_key *key = NULL;
    char jwk[SEGUE_JWK_BYTES];
    FILE *f = fopen(path, "r");
    size_t len;

    if (f != NULL) {
        len = fread(jwk, 1, sizeof jwk, f);
        fclose(f);
        if (segue_key_from_jwk(jwk, len, &key, &why) != SEGUE_OK)
            fprintf(stderr, "%s: %s\n", path, why.text);
    } else if (segue_key_generate(SEGUE_ES256, NULL, &key, &why) != SEGUE_OK ||
               segue_key_private_jwk(key, jwk, sizeof jwk, &len) != SEGUE_OK) {
        fprintf(stderr, "could not make a key: %s\n", why.text);
    } else if (write_file(path, 0600, jwk, len) != 0) {
        segue_key_free(key);
        key = NULL;
    }
    memset(jwk, 0, sizeof jwk);
    return key;
}

/* In a running issuer the set also holds the key to come and the one before. */
static int
publish(const struct segue_key *key, const char *path)
{
    struct segue_keyset *set = NULL;
    char jwks[2 * SEGUE_JWK_BYTES];
    size_t len;
    int rc = -1;

    if (segue_keyset_new(&set) == SEGUE_OK && segue_keyset_add(set, key) == SEGUE_OK &&
        segue_keyset_to_jwks(set, jwks, sizeof jwks, &len) == SEGUE_OK)
        rc = write_file(path, 0644, jwks, len);
    segue_keyset_free(set);
    return rc;
}

int
main(int argc, char **argv)
{
    struct segue_slice aud, roles[] = {text("editor"), text("reviewer")};
    struct segue_claims claims = SEGUE_CLAIMS_INIT;
    char token[SEGUE_TOKEN_BYTES + 1], jti[32];
    struct segue_extra tenant = {text("tenant"), SEGUE_STRING, text("t-9"), 0};
    struct segue_error why = {""};
    struct segue_key *key;
    struct timespec now;
    size_t len;
    int rc = 1;

    if (argc != 6) {
        fprintf(stderr, "usage: mint KEY.jwk JWKS.json ISSUER AUDIENCE SUBJECT\n");
        return 2;
    }
    if ((key = load_key(argv[1])) == NULL)
        return 1;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(jti, sizeof jti, "%lld-%09ld", (long long)now.tv_sec, now.tv_nsec);
    aud = text(argv[4]);
    claims.iss = text(argv[3]);
    claims.sub = text(argv[5]);
    claims.aud = &aud;
    claims.n_aud = 1;
    claims.client_id = text("example");
    claims.jti = text(jti);
    claims.iat = now.tv_sec;
    claims.exp = now.tv_sec + 300;
    claims.roles = roles;
    claims.n_roles = 2;
    claims.extra = &tenant;
    claims.n_extra = 1;
    if (publish(key, argv[2]) == 0) {
        if (segue_mint(key, &claims, token, sizeof token, &len, &why) == SEGUE_OK) {
            printf("%s\n", token);
            rc = 0;
        } else {
            fprintf(stderr, "could not mint: %s\n", why.text);
        }
    }
    segue_key_free(key);
    return rc;
}
