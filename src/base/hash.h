/* SPDX-License-Identifier: MIT */
#ifndef SG_BASE_HASH_H
#define SG_BASE_HASH_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

#define SG_HASH_BYTES 32

struct sg_hash {
    uint8_t b[SG_HASH_BYTES];
};

/* SHA-256 and HMAC-SHA-256 over a domain tag and fields, each preceded by its length as
 * 8 bytes big-endian, so that no two different lists of fields have the same input. Vectors:
 * tests/vectors/hash.json. These two cannot fail on valid input; should libcrypto fail to give the
 * digest, the process aborts. */
struct sg_hash sg_hash_fields(const char *domain, const struct sg_slice *fields, int n);
struct sg_hash sg_hmac_fields(struct sg_slice key, const char *domain,
                              const struct sg_slice *fields, int n);

/* Plain HMAC-SHA-256 over the bytes, for formats that others define (express-session's cookie). */
struct sg_hash sg_hmac_sha256(struct sg_slice key, struct sg_slice bytes);

/* Equal length and bytes, in time that depends only on the length. */
bool sg_equal_const_time(struct sg_slice a, struct sg_slice b);

/* n random bytes from the kernel. */
void sg_random(void *out, size_t n);

#endif
