/* SPDX-License-Identifier: MIT */
/* The one file that calls libcrypto's low-level SHA-256: only there can a half-done hash be kept
 * and copied, which makes an HMAC three times as fast as EVP_MAC. Deprecated since OpenSSL 3.0. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "jwt/hmac.h"

#include <sodium.h>
#include <string.h>

static void
start(SHA256_CTX *ctx, const unsigned char key[SHA256_CBLOCK], unsigned char pad)
{
    unsigned char block[SHA256_CBLOCK];
    size_t i;

    for (i = 0; i < sizeof block; i++)
        block[i] = key[i] ^ pad;
    SHA256_Init(ctx);
    SHA256_Update(ctx, block, sizeof block);
    sodium_memzero(block, sizeof block);
}

void
sg_hmac_init(struct sg_hmac *h, struct sg_slice key)
{
    unsigned char block[SHA256_CBLOCK] = {0};
    SHA256_CTX ctx;

    if (key.len <= sizeof block) {
        memcpy(block, key.ptr, key.len);
    } else {
        SHA256_Init(&ctx);
        SHA256_Update(&ctx, key.ptr, key.len);
        SHA256_Final(block, &ctx);
    }
    start(&h->inner, block, 0x36);
    start(&h->outer, block, 0x5c);
    sodium_memzero(block, sizeof block);
}

void
sg_hmac(const struct sg_hmac *h, struct sg_slice bytes, unsigned char out[SG_HMAC_BYTES])
{
    SHA256_CTX ctx = h->inner;

    SHA256_Update(&ctx, bytes.ptr, bytes.len);
    SHA256_Final(out, &ctx);
    ctx = h->outer;
    SHA256_Update(&ctx, out, SG_HMAC_BYTES);
    SHA256_Final(out, &ctx);
}
