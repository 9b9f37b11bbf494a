/* SPDX-License-Identifier: MIT */
/* The text of a password hash, as a row of somebody's user table holds it. What is taken must be
 * within the bounds and blot itself out; where its check is cheap it is done. */
#include "password/password.h"
#include "fuzz/fuzz.h"

#include <sodium.h>
#include <stdlib.h>

static void
must(bool ok)
{
    if (!ok)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sg_slice text = sg_slice((const char *)data, size);
    struct sg_password_hash hash, again;
    struct sg_err err;
    bool match = false;

    if (sodium_init() < 0 || sg_password_parse(text, &hash, &err) != 0)
        return 0;
    must(strlen(hash.decoy) == size && strlen(hash.text) <= SG_PASSWORD_HASH_MAX);
    must(hash.salt_len <= sizeof hash.salt && hash.digest_len <= sizeof hash.digest);
    must(sg_password_parse(sg_str(hash.decoy), &again, &err) == 0);
    must(strcmp(again.decoy, hash.decoy) == 0);
    if ((hash.kind == SG_PASSWORD_PBKDF2 && hash.n <= 100) ||
        (hash.kind == SG_PASSWORD_SCRYPT && hash.n * hash.r * hash.p <= 1024))
        must(sg_password_check(&hash, sg_str("password"), &match, &err) == 0);
    return 0;
}
