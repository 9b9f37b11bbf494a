/* SPDX-License-Identifier: MIT */
#include "collect/digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define JSON_BYTES_MAX ((size_t)64 << 20)

/* ---- what a JSON text says, written in one way only ---- */

/* 120, 1.2e2 and 120.00 are one number: its digits without zeros at either end, and where they
 * stand. */
static void
put_number(struct sg_slice text, struct sg_buf *out)
{
    bool minus = text.len > 0 && text.ptr[0] == '-', point = false;
    size_t i, start = out->len + 1, end;
    int64_t exponent = 0;

    sg_buf_puts(out, minus ? "-" : "+");
    for (i = minus; i < text.len && text.ptr[i] != 'e' && text.ptr[i] != 'E'; i++) {
        if (text.ptr[i] == '.') {
            point = true;
            continue;
        }
        exponent -= point;
        if (text.ptr[i] != '0' || out->len > start)
            sg_buf_add(out, sg_slice(text.ptr + i, 1));
    }
    if (i < text.len) {
        char digits[24];

        snprintf(digits, sizeof digits, "%.*s", (int)(text.len - i - 1), text.ptr + i + 1);
        exponent += strtoll(digits, NULL, 10);
    }
    for (end = out->len; end > start && out->ptr[end - 1] == '0'; end--)
        exponent++;
    if (out->failed)
        return;
    out->len = end;
    if (end == start)
        out->ptr[start - 1] = '+', exponent = 0; /* -0 is 0 */
    sg_buf_printf(out, "e%" PRId64 ",", exponent);
}

static int
compare_members(const void *a, const void *b)
{
    struct sg_slice x = ((const struct sg_doc_member *)a)->name,
                    y = ((const struct sg_doc_member *)b)->name;
    size_t n = x.len < y.len ? x.len : y.len;
    int order = n > 0 ? memcmp(x.ptr, y.ptr, n) : 0;

    return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

/* doc is the caller's own: its members are sorted in place. */
static void
put_canonical(const struct sg_doc *d, struct sg_buf *out)
{
    char text[SG_DOC_DOUBLE_TEXT];
    uint32_t i;

    switch (d->type) {
    case SG_DOC_INT:
        snprintf(text, sizeof text, "%" PRId64, d->integer);
        put_number(sg_str(text), out);
        break;
    case SG_DOC_DOUBLE:
        sg_doc_double_text(d->real, text);
        put_number(sg_str(text), out);
        break;
    case SG_DOC_DECIMAL:
        put_number(d->text, out);
        break;
    case SG_DOC_STRING:
        sg_buf_printf(out, "\"%zu:", d->text.len);
        sg_buf_add(out, d->text);
        break;
    case SG_DOC_ARRAY:
        sg_buf_printf(out, "[%u:", d->n);
        for (i = 0; i < d->n; i++)
            put_canonical(&d->items[i], out);
        break;
    case SG_DOC_OBJECT:
        sg_buf_printf(out, "{%u:", d->n);
        if (d->n > 0)
            qsort(d->members, d->n, sizeof *d->members, compare_members);
        for (i = 0; i < d->n; i++) {
            sg_buf_printf(out, "%zu:", d->members[i].name.len);
            sg_buf_add(out, d->members[i].name);
            put_canonical(&d->members[i].value, out);
        }
        break;
    default:
        sg_buf_puts(out, d->type == SG_DOC_NULL ? "n" : d->boolean ? "t" : "f");
    }
}

static int
json_of(struct sg_slice v, struct sg_arena *scratch, struct sg_buf *out, struct sg_err *err)
{
    struct sg_doc doc;

    if (v.len < 1)
        return sg_fail(err, SG_E_INVALID, "jsonb", "empty");
    if (sg_doc_from_json(scratch, sg_slice(v.ptr + 1, v.len - 1), &doc, err) != 0)
        return -1;
    put_canonical(&doc, out);
    return out->failed ? sg_fail(err, SG_E_LIMIT, "jsonb", "too large") : 0;
}

static bool
is_json(const struct sg_model_physical *p)
{
    return p->type == SG_MODEL_JSONB && !p->array;
}

/* ---- rows ---- */

int
sg_row_hash(const struct sg_row_shape *shape, const struct sg_slice *values, int n,
            struct sg_arena *scratch, struct sg_hash *out, struct sg_err *err)
{
    struct sg_slice fields[SG_MODEL_PHYSICAL_MAX + 1];
    struct sg_buf json = SG_BUF_INIT(JSON_BYTES_MAX);
    char nulls[SG_MODEL_PHYSICAL_MAX];
    size_t at[SG_MODEL_PHYSICAL_MAX];
    int i;

    if (n != shape->n)
        return sg_fail(err, SG_E_INVALID, "row", "%d values in place of %d", n, shape->n);
    for (i = 0; i < n; i++) {
        bool counts = shape->columns[i].part != SG_PART_VERSION;

        nulls[i] = !counts ? '-' : values[i].ptr == NULL ? '0' : '1';
        fields[i + 1] = counts ? values[i] : sg_slice(NULL, 0);
        at[i] = json.len;
        if (counts && values[i].ptr != NULL && is_json(&shape->columns[i]) &&
            json_of(values[i], scratch, &json, err) != 0) {
            sg_buf_free(&json);
            return -1;
        }
    }
    for (i = 0; i < n; i++)
        if (nulls[i] == '1' && is_json(&shape->columns[i]))
            fields[i + 1] = sg_slice(json.ptr + at[i], (i + 1 < n ? at[i + 1] : json.len) - at[i]);
    fields[0] = sg_slice(nulls, (size_t)n);
    *out = sg_hash_fields("segue.row", fields, n + 1);
    sg_buf_free(&json);
    return 0;
}

bool
sg_row_same(const struct sg_row_shape *shape, int i, struct sg_slice a, struct sg_slice b,
            struct sg_arena *scratch)
{
    struct sg_buf x = SG_BUF_INIT(JSON_BYTES_MAX), y = SG_BUF_INIT(JSON_BYTES_MAX);
    struct sg_err ignored;
    bool same;

    if (shape->columns[i].part == SG_PART_VERSION)
        return true;
    if (a.ptr == NULL || b.ptr == NULL)
        return a.ptr == b.ptr;
    if (!is_json(&shape->columns[i]))
        return sg_slice_eq(a, b);
    same = json_of(a, scratch, &x, &ignored) == 0 && json_of(b, scratch, &y, &ignored) == 0 &&
           sg_slice_eq(sg_buf_slice(&x), sg_buf_slice(&y));
    sg_buf_free(&x);
    sg_buf_free(&y);
    return same;
}

void
sg_row_sum_add(struct sg_row_sum *sum, const struct sg_hash *hash)
{
    uint64_t words[SG_HASH_BYTES / 8];
    size_t i;

    memcpy(words, hash->b, sizeof words);
    for (i = 0; i < SG_HASH_BYTES / 8; i++)
        sum->words[i] += words[i];
    sum->rows++;
}

bool
sg_row_sum_eq(const struct sg_row_sum *a, const struct sg_row_sum *b)
{
    return a->rows == b->rows && memcmp(a->words, b->words, sizeof a->words) == 0;
}
