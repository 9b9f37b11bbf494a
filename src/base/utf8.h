/* SPDX-License-Identifier: MIT */
#ifndef SG_BASE_UTF8_H
#define SG_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length of the UTF-8 sequence (RFC 3629: shortest form, no surrogates, up to U+10FFFF) that the
 * n >= 1 bytes at p begin with; 0 if they begin with none. */
size_t sg_utf8_len(const char *p, size_t n);

/* Writes a code point (0..10FFFF, no surrogate); returns its length. */
size_t sg_utf8_put(int32_t code, char out[4]);

#endif
