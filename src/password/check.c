/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "password/password.h"

#include <crypt.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>

static const char place[] = "password check";

/* crypt(3) wants a C string, and Django's bcrypt_sha256 the hex of the password's SHA-256. */
static void
as_string(const struct sg_password_hash *h, struct sg_slice password, char out[SG_PASSWORD_MAX + 1])
{
    uint8_t digest[crypto_hash_sha256_BYTES];

    if (h->sha256_first) {
        crypto_hash_sha256(digest, (const unsigned char *)password.ptr, password.len);
        sg_hex(digest, sizeof digest, out);
        sodium_memzero(digest, sizeof digest);
    } else {
        memcpy(out, password.ptr, password.len);
        out[password.len] = '\0';
    }
}

static int
check_crypt(const struct sg_password_hash *h, struct sg_slice password, bool *match,
            struct sg_err *err)
{
    struct crypt_data *data = calloc(1, sizeof *data);
    char string[SG_PASSWORD_MAX + 1];
    /* bcrypt's salt may come back with the unused bits of its last character put right. */
    size_t n = strlen(h->text), from = h->text[1] == '2' ? n - 31 : 0;
    const char *got;
    int rc = 0;

    if (data == NULL)
        return sg_fail(err, SG_E_INTERNAL, place, "out of memory");
    as_string(h, password, string);
    got = crypt_rn(string, h->text, data, sizeof *data);
    if (got == NULL)
        rc = sg_fail(err, SG_E_INTERNAL, place, "crypt(3) failed");
    else
        *match = strlen(got) == n && sodium_memcmp(got + from, h->text + from, n - from) == 0 &&
                 (h->sha256_first || memchr(password.ptr, '\0', password.len) == NULL);
    sodium_memzero(string, sizeof string);
    sodium_memzero(data, sizeof *data);
    free(data);
    return rc;
}

static int
check_derived(const struct sg_password_hash *h, struct sg_slice password, bool *match,
              struct sg_err *err)
{
    uint8_t got[sizeof h->digest];
    int ok;

    if (h->kind == SG_PASSWORD_SCRYPT)
        ok = crypto_pwhash_scryptsalsa208sha256_ll(
                 (const uint8_t *)password.ptr, password.len, h->salt, h->salt_len, (uint64_t)h->n,
                 (uint32_t)h->r, (uint32_t)h->p, got, h->digest_len) == 0;
    else
        ok =
            PKCS5_PBKDF2_HMAC(password.ptr, (int)password.len, h->salt, (int)h->salt_len, (int)h->n,
                              EVP_get_digestbyname(h->digest_name), (int)h->digest_len, got) == 1;
    if (!ok)
        return sg_fail(err, SG_E_INTERNAL, place, "the derivation failed");
    *match = sodium_memcmp(got, h->digest, h->digest_len) == 0;
    sodium_memzero(got, sizeof got);
    return 0;
}

int
sg_password_check(const struct sg_password_hash *h, struct sg_slice password, bool *match,
                  struct sg_err *err)
{
    if (password.len == 0 || password.len > SG_PASSWORD_MAX)
        return sg_fail(err, SG_E_INVALID, place, "expected a password of 1 to %d bytes",
                       SG_PASSWORD_MAX);
    switch (h->kind) {
    case SG_PASSWORD_CRYPT:
        return check_crypt(h, password, match, err);
    case SG_PASSWORD_SCRYPT:
    case SG_PASSWORD_PBKDF2:
        return check_derived(h, password, match, err);
    case SG_PASSWORD_ARGON2:
        break;
    }
    /* It says no in the same way where memory is short: the bound on it keeps that away. */
    *match = crypto_pwhash_str_verify(h->text, password.ptr, password.len) == 0;
    return 0;
}
