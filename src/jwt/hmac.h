/* SPDX-License-Identifier: MIT */
#ifndef SG_JWT_HMAC_H
#define SG_JWT_HMAC_H

#include "base/slice.h"

#include <openssl/sha.h>

/* HMAC-SHA-256 (RFC 2104) with the key's blocks hashed beforehand: a message costs its own blocks
 * and two more. Holds what is as good as the key: wipe it. */
#define SG_HMAC_BYTES 32

struct sg_hmac {
    SHA256_CTX inner, outer;
};

void sg_hmac_init(struct sg_hmac *h, struct sg_slice key);

/* Any number of threads at once. */
void sg_hmac(const struct sg_hmac *h, struct sg_slice bytes, unsigned char out[SG_HMAC_BYTES]);

#endif
