/* SPDX-License-Identifier: MIT */
#ifndef SG_PASSWORD_PASSWORD_H
#define SG_PASSWORD_PASSWORD_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

/* Checking a password against a hash as others wrote it. Pure; the check takes milliseconds to
 * seconds of one core: for a worker thread (event/work.h). Read are
 *
 *   bcrypt        $2a$ $2b$ $2y$; Django's "bcrypt$" and "bcrypt_sha256$" before it
 *   Argon2        $argon2id$ $argon2i$, v=19, parameters in any order; Django's "argon2$" before it
 *   scrypt        $7$ (crypt(3)), passlib's $scrypt$, Django's scrypt$, Werkzeug's scrypt:
 *   yescrypt      $y$
 *   PBKDF2        Django's pbkdf2_sha256$ pbkdf2_sha1$, passlib's $pbkdf2…$, Werkzeug's pbkdf2:
 *   SHA-crypt     $5$ $6$
 *
 * A hash whose check would cost more than this is refused (SG_E_LIMIT), since whoever can write one
 * row could otherwise stop the service: 128 MiB of memory; 1 GiB of it written (Argon2: memory x
 * passes; scrypt, yescrypt: 128 N r p t); bcrypt's cost 14; 1,000,000 rounds of SHA-crypt;
 * 5,000,000 iterations of PBKDF2. */
#define SG_PASSWORD_MEMORY_MAX (INT64_C(128) << 20)
#define SG_PASSWORD_WRITTEN_MAX (INT64_C(1) << 30)
#define SG_PASSWORD_BCRYPT_COST_MAX 14
#define SG_PASSWORD_SHA_ROUNDS_MAX 1000000
#define SG_PASSWORD_PBKDF2_ITERATIONS_MAX 5000000

#define SG_PASSWORD_HASH_MAX 512 /* bytes of a hash's text */
#define SG_PASSWORD_MAX 1024     /* bytes of a password */

enum sg_password_kind {
    SG_PASSWORD_CRYPT, /* bcrypt, SHA-crypt, $7$, yescrypt: crypt(3) reads the text itself */
    SG_PASSWORD_ARGON2,
    SG_PASSWORD_SCRYPT,
    SG_PASSWORD_PBKDF2,
};

struct sg_password_hash {
    enum sg_password_kind kind;
    bool sha256_first;                   /* Django: bcrypt of the password's SHA-256 in hex */
    char text[SG_PASSWORD_HASH_MAX + 1]; /* for CRYPT and ARGON2, in the form their library reads */
    const char *digest_name;             /* PBKDF2's: "SHA256"; static */
    int64_t n, r, p;                     /* SCRYPT; PBKDF2: n = iterations */
    size_t salt_len, digest_len;         /* of these two: SCRYPT, PBKDF2 */
    uint8_t salt[128], digest[128];
    char decoy[SG_PASSWORD_HASH_MAX + 1]; /* the text as it was given, salt and digest blotted out:
                                             a hash of nobody whose check costs the same */
};

/* SG_E_INVALID: not of a form above; SG_E_LIMIT: past a bound. Errors never show the text. */
SG_MUST_USE int sg_password_parse(struct sg_slice text, struct sg_password_hash *out,
                                  struct sg_err *err);

/* Whether the password is the hash's. The digests are compared in constant time, copies of the
 * password are wiped. crypt(3) cannot be given a NUL: a password with one does not match there.
 * Fails when the library does (no memory): that is no answer. */
SG_MUST_USE int sg_password_check(const struct sg_password_hash *hash, struct sg_slice password,
                                  bool *match, struct sg_err *err);

#endif
