/* SPDX-License-Identifier: MIT */
#include "base/encode.h"

static const char URL_ALPHABET[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char STD_ALPHABET[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void
b64_add(struct sg_buf *out, struct sg_slice in, const char *alphabet, bool pad)
{
    char quad[4];
    size_t i;

    for (i = 0; i < in.len; i += 3) {
        size_t left = in.len - i < 3 ? in.len - i : 3;
        uint32_t v = (uint32_t)(uint8_t)in.ptr[i] << 16;

        if (left > 1)
            v |= (uint32_t)(uint8_t)in.ptr[i + 1] << 8;
        if (left > 2)
            v |= (uint8_t)in.ptr[i + 2];
        quad[0] = alphabet[v >> 18];
        quad[1] = alphabet[v >> 12 & 63];
        quad[2] = left > 1 ? alphabet[v >> 6 & 63] : '=';
        quad[3] = left > 2 ? alphabet[v & 63] : '=';
        sg_buf_add(out, sg_slice(quad, pad ? 4 : left + 1));
    }
}

void
sg_b64url_add(struct sg_buf *out, struct sg_slice bytes)
{
    b64_add(out, bytes, URL_ALPHABET, false);
}

size_t
sg_b64url_text(const uint8_t *bytes, size_t n, char *out)
{
    uint32_t acc = 0;
    size_t at = 0, i;
    int bits = 0;

    for (i = 0; i < n; i++) {
        acc = acc << 8 | bytes[i];
        for (bits += 8; bits >= 6; bits -= 6)
            out[at++] = URL_ALPHABET[acc >> (bits - 6) & 63];
    }
    if (bits > 0)
        out[at++] = URL_ALPHABET[acc << (6 - bits) & 63];
    out[at] = '\0';
    return at;
}

void
sg_b64_add(struct sg_buf *out, struct sg_slice bytes, bool pad)
{
    b64_add(out, bytes, STD_ALPHABET, pad);
}

void
sg_hex(const uint8_t *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    for (i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int
sg_unhex(struct sg_slice text, uint8_t *out, size_t n)
{
    size_t i;

    if (text.len != 2 * n)
        return -1;
    for (i = 0; i < text.len; i++)
        if (hex_value(text.ptr[i]) < 0)
            return -1;
    for (i = 0; i < n; i++)
        out[i] = (uint8_t)(hex_value(text.ptr[2 * i]) << 4 | hex_value(text.ptr[2 * i + 1]));
    return 0;
}

int
sg_percent_decode(struct sg_buf *out, struct sg_slice text)
{
    size_t i;

    for (i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '%') {
            uint8_t v;

            if (text.len - i < 3 || sg_unhex(sg_slice(text.ptr + i + 1, 2), &v, 1) != 0)
                return -1;
            c = (char)v;
            i += 2;
        }
        sg_buf_add(out, sg_slice(&c, 1));
    }
    return out->failed ? -1 : 0;
}

void
sg_percent_encode(struct sg_buf *out, struct sg_slice text)
{
    size_t i;

    for (i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool plain = c != '\0' && (strchr(URL_ALPHABET, c) != NULL || strchr(".!~*'()", c) != NULL);

        if (plain)
            sg_buf_add(out, sg_slice(&c, 1));
        else
            sg_buf_printf(out, "%%%02X", (unsigned)(uint8_t)c);
    }
}
