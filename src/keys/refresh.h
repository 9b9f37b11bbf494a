/* SPDX-License-Identifier: MIT */
#ifndef SG_KEYS_REFRESH_H
#define SG_KEYS_REFRESH_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Refresh tokens: "sgr_" (for secret scanners) and 52 base64url characters of
 *
 *   version byte 1 | bucket, 2 bytes big-endian | 32 random bytes | checksum, 4 bytes
 *
 * The bucket routes to a shard without a lookup. The checksum (first 4 bytes of
 * sg_hash_fields("segue.refresh_checksum", {the 35 bytes before it})) is no secret: it lets
 * scanners and us drop mistyped and made-up tokens before any database is asked. */
#define SG_REFRESH_CHARS 56

struct sg_refresh {
    unsigned bucket;
    char text[SG_REFRESH_CHARS + 1];
};

/* A new token of a bucket (0..4095). */
void sg_refresh_generate(unsigned bucket, struct sg_refresh *out);

/* Strict: exact length, alphabet, version, bucket, checksum. SG_E_INVALID otherwise, without
 * showing the token. */
SG_MUST_USE int sg_refresh_parse(struct sg_slice text, struct sg_refresh *out, struct sg_err *err);

/* The successor, readable only by whoever shows the parent: appended to out as version byte 1 |
 * nonce (24) | ciphertext and tag (72), under the key sg_hmac_fields(parent text,
 * "segue.refresh_successor", {0x01}). So a retry within the grace gets the same successor, and a
 * copied table gives nobody one. */
#define SG_SUCCESSOR_BYTES (1 + 24 + SG_REFRESH_CHARS + 16)
SG_MUST_USE int sg_refresh_seal_successor(const struct sg_refresh *parent,
                                          const struct sg_refresh *successor, struct sg_buf *out,
                                          struct sg_err *err);

/* SG_E_DENIED when sealed is not of this parent, or was changed. */
SG_MUST_USE int sg_refresh_open_successor(const struct sg_refresh *parent, struct sg_slice sealed,
                                          struct sg_refresh *successor, struct sg_err *err);

#endif
