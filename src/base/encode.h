/* SPDX-License-Identifier: MIT */
#ifndef SG_BASE_ENCODE_H
#define SG_BASE_ENCODE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

/* base64url without padding (RFC 4648 section 5, RFC 7515 section 2). */
void sg_b64url_add(struct sg_buf *out, struct sg_slice bytes);

/* The same of n bytes into out[(4n + 2) / 3 + 1], NUL-terminated; returns its length. */
size_t sg_b64url_text(const uint8_t *bytes, size_t n, char *out);

/* Strict: no padding, no foreign byte, no stray bits in the last character. Writes at most cap
 * bytes to out; returns the count, or -1 (malformed or too long). out may be overwritten on
 * failure. */
ptrdiff_t sg_b64url_decode(struct sg_slice text, uint8_t *out, size_t cap);

/* Standard base64 (section 4); with pad false the trailing '=' are left out, as express-session
 * signs. */
void sg_b64_add(struct sg_buf *out, struct sg_slice bytes, bool pad);

/* Lower-case hex of n bytes into out[2n + 1], NUL-terminated. */
void sg_hex(const uint8_t *bytes, size_t n, char *out);

/* Hex text of exactly 2n digits, either case, into out[n]; -1 otherwise. */
int sg_unhex(struct sg_slice text, uint8_t *out, size_t n);

/* Percent-decoding (RFC 3986) appended to out; -1 on a broken escape. '+' stays '+'. */
int sg_percent_decode(struct sg_buf *out, struct sg_slice text);

/* Percent-encodes every byte but A-Z a-z 0-9 - _ . ! ~ * ' ( ), as JavaScript's encodeURIComponent.
 */
void sg_percent_encode(struct sg_buf *out, struct sg_slice text);

#endif
