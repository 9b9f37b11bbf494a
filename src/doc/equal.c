/* SPDX-License-Identifier: MIT */
#include "doc/internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ON_STACK 64 /* members of an object */

const char *
sg_doc_type_name(enum sg_doc_type type)
{
    static const char *const names[] = {
        [SG_DOC_NULL] = "null",     [SG_DOC_BOOL] = "bool",       [SG_DOC_INT] = "int",
        [SG_DOC_DOUBLE] = "double", [SG_DOC_DECIMAL] = "decimal", [SG_DOC_STRING] = "string",
        [SG_DOC_BYTES] = "bytes",   [SG_DOC_TIME] = "time",       [SG_DOC_OID] = "oid",
        [SG_DOC_ARRAY] = "array",   [SG_DOC_OBJECT] = "object",   [SG_DOC_OTHER] = "other",
    };

    return names[type];
}

const struct sg_doc *
sg_doc_get(const struct sg_doc *object, struct sg_slice name)
{
    uint32_t i;

    for (i = 0; i < object->n; i++)
        if (sg_slice_eq(object->members[i].name, name))
            return &object->members[i].value;
    return NULL;
}

int
sg_doc_compare_members(const void *a, const void *b)
{
    const struct sg_doc_member *x = *(const struct sg_doc_member *const *)a;
    const struct sg_doc_member *y = *(const struct sg_doc_member *const *)b;
    int order = (x->name.len > y->name.len) - (x->name.len < y->name.len);

    if (order == 0 && x->name.len != 0)
        order = memcmp(x->name.ptr, y->name.ptr, x->name.len);
    return order != 0 ? order : (x > y) - (x < y);
}

/* Both objects in the order of their names. */
static bool
equal_sorted(const struct sg_doc *a, const struct sg_doc *b)
{
    const struct sg_doc_member *few[2 * ON_STACK], **x = few, **y;
    bool same = true;
    uint32_t i;

    if (a->n > ON_STACK && (x = malloc(2 * (size_t)a->n * sizeof *x)) == NULL)
        return false;
    y = x + a->n;
    for (i = 0; i < a->n; i++) {
        x[i] = &a->members[i];
        y[i] = &b->members[i];
    }
    qsort(x, a->n, sizeof *x, sg_doc_compare_members);
    qsort(y, a->n, sizeof *y, sg_doc_compare_members);
    for (i = 0; i < a->n && same; i++)
        same = sg_slice_eq(x[i]->name, y[i]->name) && sg_doc_equal(&x[i]->value, &y[i]->value);
    if (x != few)
        free(x);
    return same;
}

static bool
equal_objects(const struct sg_doc *a, const struct sg_doc *b)
{
    uint32_t i;

    if (a->n != b->n)
        return false;
    for (i = 0; i < a->n; i++)
        if (!sg_slice_eq(a->members[i].name, b->members[i].name))
            return equal_sorted(a, b);
    for (i = 0; i < a->n; i++)
        if (!sg_doc_equal(&a->members[i].value, &b->members[i].value))
            return false;
    return true;
}

static bool
equal_arrays(const struct sg_doc *a, const struct sg_doc *b)
{
    uint32_t i;

    if (a->n != b->n)
        return false;
    for (i = 0; i < a->n; i++)
        if (!sg_doc_equal(&a->items[i], &b->items[i]))
            return false;
    return true;
}

static struct sg_slice
number_text(const struct sg_doc *n, char buf[SG_DOC_DOUBLE_TEXT])
{
    const char *name;

    if (n->type == SG_DOC_DECIMAL)
        return n->text;
    if (n->type == SG_DOC_INT) {
        snprintf(buf, SG_DOC_DOUBLE_TEXT, "%" PRId64, n->integer);
    } else {
        if ((name = sg_doc_not_finite(n->real)) != NULL)
            return sg_str(name);
        sg_doc_double_text(n->real, buf);
    }
    return sg_str(buf);
}

static bool
is_number(const struct sg_doc *d)
{
    return d->type == SG_DOC_INT || d->type == SG_DOC_DOUBLE || d->type == SG_DOC_DECIMAL;
}

static bool
int_is_double(int64_t i, double d)
{
    return d >= -0x1p63 && d < 0x1p63 && (int64_t)d == i && (double)i == d;
}

static bool
equal_numbers(const struct sg_doc *a, const struct sg_doc *b)
{
    char x[SG_DOC_DOUBLE_TEXT], y[SG_DOC_DOUBLE_TEXT];

    if (a->type == SG_DOC_INT && b->type == SG_DOC_INT)
        return a->integer == b->integer;
    if (a->type == SG_DOC_DOUBLE && b->type == SG_DOC_DOUBLE)
        return a->real == b->real || (isnan(a->real) && isnan(b->real));
    if (a->type == SG_DOC_INT && b->type == SG_DOC_DOUBLE)
        return int_is_double(a->integer, b->real);
    if (a->type == SG_DOC_DOUBLE && b->type == SG_DOC_INT)
        return int_is_double(b->integer, a->real);
    return sg_doc_number_equal(number_text(a, x), number_text(b, y));
}

/* Recursion is bounded: no document is deeper than SG_DOC_DEPTH_MAX. */
bool
sg_doc_equal(const struct sg_doc *a, const struct sg_doc *b)
{
    if (is_number(a) && is_number(b))
        return equal_numbers(a, b);
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case SG_DOC_NULL:
        return true;
    case SG_DOC_BOOL:
        return a->boolean == b->boolean;
    case SG_DOC_TIME:
        return a->integer == b->integer;
    case SG_DOC_STRING:
    case SG_DOC_BYTES:
    case SG_DOC_OID:
    case SG_DOC_OTHER:
        return sg_slice_eq(a->text, b->text);
    case SG_DOC_ARRAY:
        return equal_arrays(a, b);
    case SG_DOC_OBJECT:
        return equal_objects(a, b);
    case SG_DOC_INT:
    case SG_DOC_DOUBLE:
    case SG_DOC_DECIMAL:
        break;
    }
    return false;
}
