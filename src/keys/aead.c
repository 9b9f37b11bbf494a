/* SPDX-License-Identifier: MIT */
#include "keys/aead.h"

#include <sodium.h>
#include <stdlib.h>

_Static_assert(SG_AEAD_NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(SG_AEAD_TAG_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");

int
sg_aead_add(struct sg_buf *out, const struct sg_hash *key, const struct sg_hash *bound,
            struct sg_slice plain)
{
    size_t n = plain.len + SG_AEAD_TAG_BYTES;
    unsigned char nonce[SG_AEAD_NONCE_BYTES], *box = malloc(n);

    if (box == NULL)
        return -1;
    sg_random(nonce, sizeof nonce);
    crypto_aead_xchacha20poly1305_ietf_encrypt(box, NULL, (const unsigned char *)plain.ptr,
                                               plain.len, bound->b, sizeof bound->b, NULL, nonce,
                                               key->b);
    sg_buf_add(out, sg_slice((char *)nonce, sizeof nonce));
    sg_buf_add(out, sg_slice((char *)box, n));
    free(box);
    return out->failed ? -1 : 0;
}

int
sg_aead_open(struct sg_buf *out, const struct sg_hash *key, const struct sg_hash *bound,
             struct sg_slice box)
{
    const unsigned char *nonce = (const unsigned char *)box.ptr;
    unsigned char *plain;
    size_t n;
    int rc;

    if (box.len < SG_AEAD_OVERHEAD)
        return -1;
    n = box.len - SG_AEAD_OVERHEAD;
    if ((plain = malloc(n + 1)) == NULL)
        return -1;
    rc = crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, nonce + SG_AEAD_NONCE_BYTES,
                                                    n + SG_AEAD_TAG_BYTES, bound->b,
                                                    sizeof bound->b, nonce, key->b);
    if (rc == 0)
        sg_buf_add(out, sg_slice((char *)plain, n));
    sodium_memzero(plain, n);
    free(plain);
    return rc == 0 && !out->failed ? 0 : -1;
}
