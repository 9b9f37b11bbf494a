/* SPDX-License-Identifier: MIT */
#include "model/pgvalue.h"

#include <ctype.h>
#include <stdlib.h>

/* PostgreSQL's numeric on the wire: ndigits, weight, sign, dscale, then digits of base 10,000, of
 * which the first counts 10,000 ^ weight. */
#define INT_DIGITS_MAX 131072 /* before the point */
#define FRACTION_MAX 16383    /* behind it */
#define NEGATIVE 0x4000

static void
put16(char *p, unsigned v)
{
    p[0] = (char)(v >> 8);
    p[1] = (char)v;
}

static unsigned
get16(const char *p)
{
    return (unsigned)(uint8_t)p[0] << 8 | (uint8_t)p[1];
}

struct decimal {
    bool negative;
    const char *digits; /* without the point */
    int n;
    int point; /* how many of them, zeroes added, stand before it; may be negative */
    int scale; /* as written: digits behind the point */
};

/* Splits "-12.50e3". */
static enum sg_model_reject
split(struct sg_slice text, char *digits, struct decimal *d)
{
    long exponent = 0;
    int behind = -1;
    size_t i;

    *d = (struct decimal){.digits = digits};
    for (i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (isdigit((unsigned char)c)) {
            digits[d->n++] = c;
            behind += behind >= 0;
        } else if (c == '.' && behind < 0) {
            behind = 0;
        } else if (c == 'e' || c == 'E') {
            char number[16];
            size_t len = text.len - i - 1;

            if (len >= sizeof number)
                return SG_REJECT_RANGE;
            memcpy(number, text.ptr + i + 1, len);
            number[len] = '\0';
            exponent = strtol(number, NULL, 10);
            break;
        } else if (c == '-' && i == 0) {
            d->negative = true;
        } else if (c != '+' || i != 0)
            return SG_REJECT_TYPE;
    }
    if (d->n == 0)
        return SG_REJECT_TYPE;
    if (behind < 0)
        behind = 0;
    if (exponent > INT_DIGITS_MAX || exponent < -2 * FRACTION_MAX)
        return SG_REJECT_RANGE;
    d->point = d->n - behind + (int)exponent;
    d->scale = behind - (int)exponent > 0 ? behind - (int)exponent : 0;
    return SG_REJECT_NONE;
}

/* The digit at a place counted from the point: 0 is the one right before it, -1 behind it. */
static int
digit_at(const struct decimal *d, int place)
{
    int i = d->point - 1 - place;

    return i >= 0 && i < d->n ? d->digits[i] - '0' : 0;
}

enum sg_model_reject
sg_pgnumeric_encode(struct sg_slice text, struct sg_arena *arena, struct sg_slice *out)
{
    char *digits = sg_arena_alloc(arena, text.len + 1), *p;
    int first = 0, high, low, group, weight, n = 0, skip;
    enum sg_model_reject r;
    struct decimal d;

    if (digits == NULL)
        return SG_REJECT_TOO_LARGE;
    if ((r = split(text, digits, &d)) != SG_REJECT_NONE)
        return r;
    while (first < d.n && d.digits[first] == '0')
        first++;
    if (d.scale > FRACTION_MAX || (first < d.n && d.point - first > INT_DIGITS_MAX))
        return SG_REJECT_RANGE;
    high = first < d.n ? d.point - first - 1 : 0; /* place of the first digit that counts */
    low = -d.scale;
    weight = high >= 0 ? high / 4 : -((-high + 3) / 4);
    group = low >= 0 ? low / 4 : -((-low + 3) / 4);
    p = sg_arena_alloc(arena, 8 + 2 * (size_t)(weight - group + 1));
    if (p == NULL)
        return SG_REJECT_TOO_LARGE;
    for (skip = weight; first < d.n && skip >= group; skip--, n++) {
        int k, v = 0;

        for (k = 3; k >= 0; k--)
            v = v * 10 + digit_at(&d, skip * 4 + k);
        put16(p + 8 + 2 * n, (unsigned)v);
    }
    while (n > 0 && get16(p + 8 + 2 * (n - 1)) == 0)
        n--;
    put16(p, (unsigned)n);
    put16(p + 2, n > 0 ? (unsigned)weight & 0xffff : 0);
    put16(p + 4, d.negative && n > 0 ? NEGATIVE : 0);
    put16(p + 6, (unsigned)d.scale);
    *out = sg_slice(p, 8 + 2 * (size_t)n);
    return SG_REJECT_NONE;
}

bool
sg_pgnumeric_decode(struct sg_slice bytes, struct sg_arena *arena, struct sg_slice *text)
{
    int n, weight, scale, place, group, high;
    char *p, *at;

    if (bytes.len < 8)
        return false;
    n = (int)get16(bytes.ptr);
    weight = (int16_t)get16(bytes.ptr + 2);
    scale = (int)get16(bytes.ptr + 6) & 0x3fff;
    if (bytes.len != 8 + 2 * (size_t)n ||
        (get16(bytes.ptr + 4) != 0 && get16(bytes.ptr + 4) != NEGATIVE))
        return false;
    high = weight >= 0 ? weight * 4 + 3 : 0;
    p = at = sg_arena_alloc(arena, (size_t)(high + 1 + scale) + 4);
    if (p == NULL)
        return false;
    if (get16(bytes.ptr + 4) == NEGATIVE)
        *at++ = '-';
    for (place = high; place >= -scale; place--) {
        int div[] = {1, 10, 100, 1000}, v = 0;

        group = place >= 0 ? place / 4 : -((-place + 3) / 4);
        if (weight - group >= 0 && weight - group < n)
            v = (int)get16(bytes.ptr + 8 + 2 * (weight - group)) / div[place - group * 4] % 10;
        if (place == -1)
            *at++ = '.';
        if (v == 0 && place > 0 && (at == p || (at == p + 1 && *p == '-')))
            continue; /* leading zero */
        *at++ = (char)('0' + v);
    }
    *text = sg_slice(p, (size_t)(at - p));
    return true;
}
