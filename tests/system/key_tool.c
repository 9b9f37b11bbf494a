/* SPDX-License-Identifier: MIT */
/* Seals a private JWK from stdin as the control database keeps signing keys, so that a test can
 * sign what Segue would never: key_tool KEYRING REALM. Prints one JSON object. */
#include "base/encode.h"
#include "keys/signing.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

int
main(int argc, char **argv)
{
    struct sg_buf sealed = SG_BUF_INIT(SEGUE_JWK_BYTES + SG_SEAL_OVERHEAD);
    char jwk[SEGUE_JWK_BYTES], public_jwk[SEGUE_JWK_BYTES], *hex;
    struct sg_keyring *ring = NULL;
    struct segue_key *key = NULL;
    struct segue_error why;
    struct sg_err err;
    size_t len;

    if (argc != 3 || sodium_init() < 0)
        return 2;
    len = fread(jwk, 1, sizeof jwk, stdin);
    if (sg_keyring_load(argv[1], &ring, &err) != 0 ||
        segue_key_from_jwk(jwk, len, &key, &why) != SEGUE_OK ||
        segue_key_public_jwk(key, public_jwk, sizeof public_jwk, &len) != SEGUE_OK ||
        sg_signing_key_seal(ring, argv[2], key, &sealed, &err) != 0 ||
        (hex = malloc(2 * sealed.len + 1)) == NULL)
        return 1;
    sg_hex((const uint8_t *)sealed.ptr, sealed.len, hex);
    printf("{\"kid\":\"%s\",\"alg\":\"%s\",\"sealed\":\"%s\",\"with\":\"%s\",\"public\":%s}\n",
           segue_key_kid(key), segue_alg_name(segue_key_alg(key)), hex, sg_keyring_sealing_id(ring),
           public_jwk);
    free(hex);
    sg_buf_free(&sealed);
    segue_key_free(key);
    sg_keyring_free(ring);
    return 0;
}
