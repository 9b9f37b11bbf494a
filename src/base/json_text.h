/* SPDX-License-Identifier: MIT */
#ifndef SG_BASE_JSON_TEXT_H
#define SG_BASE_JSON_TEXT_H

#include <stdint.h>
#include <string.h>

/* The pieces of JSON text (RFC 8259) that every reader of it needs. */

/* Moves past bytes that stand for themselves: neither '"', '\\', a control byte nor beyond ASCII.
 * Eight at a time: subtracting lets the top bit of a byte show that it was below. What carries from
 * there can only mark bytes behind it, so the first one marked is right. */
static inline const char *
sg_json_plain(const char *p, const char *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t w, quote, backslash, found;

    for (; end - p >= 8; p += 8) {
        memcpy(&w, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        w = __builtin_bswap64(w);
#endif
        quote = w ^ ones * '"';
        backslash = w ^ ones * '\\';
        found = (w | (w - ones * 0x20) | (quote - ones) | (backslash - ones)) & tops;
        if (found != 0)
            return p + __builtin_ctzll(found) / 8;
    }
    while (p != end && (signed char)*p >= 0x20 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* The code point of the escape whose backslash is at *p, which moves past it; -1 if it is none or a
 * lone surrogate. */
int32_t sg_json_escape(const char **p, const char *end);

#endif
