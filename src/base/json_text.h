/* SPDX-License-Identifier: MIT */
#ifndef SG_BASE_JSON_TEXT_H
#define SG_BASE_JSON_TEXT_H

#include <stdint.h>
#include <string.h>

/* The pieces of JSON text (RFC 8259) that every reader of it needs. */

/* Moves past bytes that stand for themselves: neither '"', '\\', a control byte nor beyond ASCII.
 * Eight at a time: subtracting lets the top bit of a byte show that it was below, and what carries
 * from a lower byte can only stop the run early. */
static inline const char *
sg_json_plain(const char *p, const char *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t w, quote, backslash;

    for (; end - p >= 8; p += 8) {
        memcpy(&w, p, 8);
        quote = w ^ ones * '"';
        backslash = w ^ ones * '\\';
        if (((w | (w - ones * 0x20) | (quote - ones) | (backslash - ones)) & tops) != 0)
            break;
    }
    while (p != end && *p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* The code point of the escape whose backslash is at *p, which moves past it; -1 if it is none or a
 * lone surrogate. */
int32_t sg_json_escape(const char **p, const char *end);

#endif
