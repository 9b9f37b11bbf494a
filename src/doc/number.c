/* SPDX-License-Identifier: MIT */
#include "doc/internal.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DIGITS_MAX 17  /* so many tell every double apart */
#define EXACT_POW10 22 /* 10^22 is the last power that a double holds exactly */

/* What a decimal text says: 0.d1d2d3… × 10^exponent, d1 and the last digit not 0. */
struct decimal {
    bool negative, zero;
    struct sg_slice digits; /* may hold the point */
    size_t n;               /* digits without it */
    int64_t exponent;
};

static const char *
skip_digits(const char *p, const char *end)
{
    while (p != end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

const char *
sg_doc_number_end(const char *p, const char *end, bool *whole)
{
    const char *start;

    *whole = true;
    if (p != end && *p == '-')
        p++;
    start = p;
    p = skip_digits(p, end);
    if (p == start || (*start == '0' && p - start > 1))
        return NULL;
    if (p != end && *p == '.') {
        *whole = false;
        start = p + 1;
        if ((p = skip_digits(start, end)) == start)
            return NULL;
    }
    if (p != end && (*p == 'e' || *p == 'E')) {
        *whole = false;
        start = p + 1;
        if (start != end && (*start == '+' || *start == '-'))
            start++;
        if ((p = skip_digits(start, end)) == start)
            return NULL;
    }
    return p;
}

/* The number after an 'e', saturated far beyond what a double or a text's length can reach. */
static int64_t
read_exponent(const char *p, const char *end)
{
    bool negative = *p == '-';
    int64_t v = 0;

    if (*p == '-' || *p == '+')
        p++;
    for (; p != end; p++)
        if (v < INT64_C(1000000000000))
            v = v * 10 + (*p - '0');
    return negative ? -v : v;
}

static struct decimal
read_decimal(struct sg_slice text)
{
    const char *p = text.ptr, *end = p + text.len, *e, *from, *to, *point = NULL;
    struct decimal d = {.negative = *p == '-'};

    if (d.negative)
        p++;
    for (e = p; e != end && *e != 'e' && *e != 'E'; e++)
        if (*e == '.')
            point = e;
    for (from = p; from != e && (*from == '0' || *from == '.'); from++) {
    }
    for (to = e; to != from && (to[-1] == '0' || to[-1] == '.'); to--) {
    }
    d.zero = from == to;
    if (d.zero)
        return d;
    d.digits = sg_slice(from, (size_t)(to - from));
    d.n = d.digits.len - (point != NULL && point > from && point < to);
    d.exponent = e != end ? read_exponent(e + 1, end) : 0;
    if (point == NULL)
        point = e;
    d.exponent += point > from ? point - from : point + 1 - from;
    return d;
}

/* The first digits of d as text; n of them. */
static void
copy_digits(const struct decimal *d, char *out)
{
    size_t i;

    for (i = 0; i < d->digits.len; i++)
        if (d->digits.ptr[i] != '.')
            *out++ = d->digits.ptr[i];
}

/* Whether the double `v`, written with as many digits, is the decimal d. */
static bool
reads_back(double v, const struct decimal *d, const char *digits)
{
    char text[40];

    snprintf(text, sizeof text, "%.*e", (int)d->n - 1, v);
    return text[0] == digits[0] && (d->n == 1 || memcmp(text + 2, digits + 1, d->n - 1) == 0) &&
           strtol(strchr(text, 'e') + 1, NULL, 10) == d->exponent - 1;
}

/* The double that holds d, if one does. */
static bool
to_double(const struct decimal *d, double *out)
{
    static const double pow10_exact[EXACT_POW10 + 1] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    };
    char digits[DIGITS_MAX + 1] = "", text[DIGITS_MAX + 8];
    uint64_t whole = 0;
    int64_t scale;
    size_t i;
    double v;

    if (d->n > DIGITS_MAX || d->exponent < -400 || d->exponent > 400)
        return false;
    copy_digits(d, digits);
    scale = d->exponent - (int64_t)d->n;
    if (d->n <= DBL_DIG && scale >= -EXACT_POW10 && scale <= EXACT_POW10) {
        /* Both operands are exact, so the result is the nearest double; and so few digits survive
         * the way there and back. */
        for (i = 0; i < d->n; i++)
            whole = whole * 10 + (uint64_t)(digits[i] - '0');
        v = scale < 0 ? (double)whole / pow10_exact[-scale] : (double)whole * pow10_exact[scale];
    } else {
        snprintf(text, sizeof text, "%se%d", digits, (int)scale);
        v = strtod(text, NULL);
        if (!isfinite(v) || v == 0 || !reads_back(v, d, digits))
            return false;
    }
    *out = d->negative ? -v : v;
    return true;
}

static bool
to_int(struct sg_slice text, int64_t *out)
{
    bool negative = text.ptr[0] == '-';
    int64_t v = 0;
    size_t i;

    for (i = negative; i < text.len; i++)
        /* Counted downwards, where one more number fits. */
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, text.ptr[i] - '0', &v))
            return false;
    if (negative ? v == 0 : __builtin_sub_overflow((int64_t)0, v, &v))
        return false;
    *out = v;
    return true;
}

void
sg_doc_number_value(struct sg_slice text, bool whole, struct sg_doc *out)
{
    struct decimal d;

    *out = (struct sg_doc){.type = SG_DOC_INT};
    if (whole && to_int(text, &out->integer))
        return;
    d = read_decimal(text);
    out->type = SG_DOC_DOUBLE;
    if (d.zero) {
        out->real = d.negative ? -0.0 : 0.0;
    } else if (!to_double(&d, &out->real)) {
        out->type = SG_DOC_DECIMAL;
        out->text = text;
    }
}

int
sg_doc_from_number(struct sg_slice text, struct sg_doc *out, struct sg_err *err)
{
    bool whole;

    if (text.len == 0 ||
        sg_doc_number_end(text.ptr, text.ptr + text.len, &whole) != text.ptr + text.len)
        return sg_fail(err, SG_E_INVALID, "", "not a decimal number");
    sg_doc_number_value(text, whole, out);
    return 0;
}

bool
sg_doc_number_equal(struct sg_slice a, struct sg_slice b)
{
    struct decimal x, y;
    struct sg_doc ignored;
    size_t i, k;

    if (sg_doc_from_number(a, &ignored, NULL) != 0 || sg_doc_from_number(b, &ignored, NULL) != 0)
        return sg_slice_eq(a, b);
    x = read_decimal(a);
    y = read_decimal(b);
    if (x.zero || y.zero)
        return x.zero && y.zero;
    if (x.negative != y.negative || x.n != y.n || x.exponent != y.exponent)
        return false;
    for (i = k = 0; i < x.digits.len; i++, k++) {
        if (x.digits.ptr[i] == '.')
            i++;
        if (y.digits.ptr[k] == '.')
            k++;
        if (x.digits.ptr[i] != y.digits.ptr[k])
            return false;
    }
    return true;
}

const char *
sg_doc_not_finite(double real)
{
    return isnan(real) ? "NaN" : !isinf(real) ? NULL : real > 0 ? "Infinity" : "-Infinity";
}

void
sg_doc_double_text(double real, char out[SG_DOC_DOUBLE_TEXT])
{
    int precision;

    if (fabs(real) < 1e15 && real == (double)(int64_t)real && !(real == 0 && signbit(real))) {
        snprintf(out, SG_DOC_DOUBLE_TEXT, "%" PRId64 ".0", (int64_t)real);
        return;
    }
    /* Only what is denormal has fewer than DBL_DIG digits to tell it apart. */
    for (precision = fabs(real) < DBL_MIN ? 1 : DBL_DIG; precision <= DIGITS_MAX; precision++) {
        snprintf(out, SG_DOC_DOUBLE_TEXT - 2, "%.*g", precision, real);
        if (strtod(out, NULL) == real)
            break;
    }
    if (strpbrk(out, ".e") == NULL)
        strcat(out, ".0");
}
