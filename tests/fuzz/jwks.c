/* SPDX-License-Identifier: MIT */
/* segue_keyset_from_jwks and segue_key_from_jwk: what is read is written without private members
 * and reads back as the same set. */
#include "fuzz/fuzz.h"
#include "segue/segue.h"

#include <stdlib.h>
#include <string.h>

#define OUT_BYTES (SEGUE_KEYS_MAX * SEGUE_JWK_BYTES)

static void
check_set(const char *data, size_t size)
{
    static char first[OUT_BYTES], second[OUT_BYTES];
    struct segue_keyset *set, *again;
    size_t n, m;

    if (segue_keyset_from_jwks(data, size, &set, NULL, NULL) != SEGUE_OK)
        return;
    if (segue_keyset_to_jwks(set, first, sizeof first, &n) != SEGUE_OK ||
        strstr(first, "\"d\":") != NULL || strstr(first, "\"k\":") != NULL ||
        segue_keyset_from_jwks(first, n, &again, NULL, NULL) != SEGUE_OK ||
        segue_keyset_count(again) != segue_keyset_count(set) ||
        segue_keyset_to_jwks(again, second, sizeof second, &m) != SEGUE_OK || n != m ||
        memcmp(first, second, n) != 0)
        abort();
    segue_keyset_free(set);
    segue_keyset_free(again);
}

static void
check_key(const char *data, size_t size)
{
    char text[SEGUE_JWK_BYTES];
    struct segue_key *key, *again;
    size_t n;

    if (segue_key_from_jwk(data, size, &key, NULL) != SEGUE_OK)
        return;
    if ((segue_key_has_private(key) ? segue_key_private_jwk : segue_key_public_jwk)(
            key, text, sizeof text, &n) != SEGUE_OK ||
        segue_key_from_jwk(text, n, &again, NULL) != SEGUE_OK ||
        strcmp(segue_key_kid(key), segue_key_kid(again)) != 0 ||
        segue_key_has_private(key) != segue_key_has_private(again))
        abort();
    segue_key_free(key);
    segue_key_free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_set((const char *)data, size);
    check_key((const char *)data, size);
    return 0;
}
