/* SPDX-License-Identifier: MIT */
#ifndef SG_JWT_JWK_H
#define SG_JWT_JWK_H

#include "base/buf.h"
#include "jwt/key.h"

/* Reads one JWK object. With private false a private half is passed over. SEGUE_UNSUPPORTED: a key
 * of another kind, to be skipped in a set. */
enum segue_status sg_jwk_read(struct sg_slice json, bool private, struct segue_key **out,
                              struct segue_error *err);

/* Appends the JWK. With private true, out is the caller's to wipe. False when libcrypto fails; a
 * full out is seen on it. */
bool sg_jwk_write(const struct segue_key *key, bool private, struct sg_buf *out);

/* RFC 7638 with SHA-256, base64url, NUL-terminated. */
bool sg_jwk_thumbprint(const struct segue_key *key, char out[44]);

#endif
