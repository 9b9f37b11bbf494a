/* SPDX-License-Identifier: MIT */
#include "model/extended.h"

#include "base/encode.h"
#include "model/format.h"

#include <math.h>
#include <stdlib.h>

static const struct sg_doc *
text_member(const struct sg_doc *doc, const char *name)
{
    const struct sg_doc *m = doc->n == 1 ? sg_doc_get(doc, sg_str(name)) : NULL;

    return m != NULL && m->type == SG_DOC_STRING ? m : NULL;
}

static int
value_of(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* Padded base64 into out; the count, or -1. */
static ptrdiff_t
unbase64(struct sg_slice text, char *out)
{
    size_t i, n = text.len;
    ptrdiff_t o = 0;
    uint32_t bits = 0;

    if (n % 4 != 0)
        return -1;
    while (n > 0 && text.len - n < 2 && text.ptr[n - 1] == '=')
        n--;
    for (i = 0; i < n; i++) {
        int v = value_of(text.ptr[i]);

        if (v < 0)
            return -1;
        bits = bits << 6 | (uint32_t)v;
        if (i % 4 != 0)
            out[o++] = (char)(bits >> (6 - i % 4 * 2) & 0xff);
    }
    return o;
}

static bool
take_oid(struct sg_arena *arena, struct sg_doc *doc, const struct sg_doc *text)
{
    uint8_t *bytes = sg_arena_alloc(arena, 12);

    if (bytes == NULL || sg_unhex(text->text, bytes, 12) != 0)
        return bytes != NULL;
    *doc = (struct sg_doc){.type = SG_DOC_OID, .text = sg_slice((char *)bytes, 12)};
    return true;
}

static bool
take_bytes(struct sg_arena *arena, struct sg_doc *doc, const struct sg_doc *binary)
{
    const struct sg_doc *text =
        binary->type == SG_DOC_OBJECT ? sg_doc_get(binary, sg_str("base64")) : NULL;
    const struct sg_doc *sub =
        binary->type == SG_DOC_OBJECT ? sg_doc_get(binary, sg_str("subType")) : NULL;
    char *bytes;
    ptrdiff_t n;

    if (text == NULL || text->type != SG_DOC_STRING)
        return true;
    if ((bytes = sg_arena_alloc(arena, text->text.len + 1)) == NULL)
        return false;
    if ((n = unbase64(text->text, bytes)) >= 0) {
        unsigned origin = 0;

        if (sub != NULL && sub->type == SG_DOC_STRING && sub->text.len <= 2)
            origin = (unsigned)strtoul(sub->text.len == 2
                                           ? (char[3]){sub->text.ptr[0], sub->text.ptr[1], 0}
                                       : sub->text.len == 1 ? (char[2]){sub->text.ptr[0], 0}
                                                            : "0",
                                       NULL, 16);
        *doc = (struct sg_doc){
            .type = SG_DOC_BYTES, .text = sg_slice(bytes, (size_t)n), .origin = origin & 0xff};
    }
    return true;
}

static void
take_number(struct sg_doc *doc, const struct sg_doc *text, const char *name)
{
    struct sg_doc n;
    struct sg_err err;

    if (strcmp(name, "$numberDouble") == 0 && !sg_slice_eq(text->text, sg_str("")) &&
        (sg_slice_eq(text->text, sg_str("NaN")) || sg_slice_eq(text->text, sg_str("Infinity")) ||
         sg_slice_eq(text->text, sg_str("-Infinity")))) {
        *doc = (struct sg_doc){.type = SG_DOC_DOUBLE,
                               .real = text->text.ptr[0] == 'N'   ? (double)NAN
                                       : text->text.ptr[0] == '-' ? -(double)INFINITY
                                                                  : (double)INFINITY};
        return;
    }
    if (sg_doc_from_number(text->text, &n, &err) != 0) {
        if (strcmp(name, "$numberDecimal") == 0) /* NaN, Infinity */
            *doc = (struct sg_doc){.type = SG_DOC_DECIMAL, .text = text->text};
        return;
    }
    if (strcmp(name, "$numberDecimal") == 0)
        n = (struct sg_doc){.type = SG_DOC_DECIMAL, .text = text->text};
    else if (strcmp(name, "$numberDouble") == 0 && n.type == SG_DOC_INT)
        n = (struct sg_doc){.type = SG_DOC_DOUBLE, .real = (double)n.integer};
    else if (strcmp(name, "$numberDouble") != 0 && n.type != SG_DOC_INT)
        return;
    *doc = n;
}

static void
take_date(struct sg_doc *doc, const struct sg_doc *date)
{
    const struct sg_doc *n = NULL;
    int64_t us;

    if (date->type == SG_DOC_STRING && sg_iso_parse(date->text, &us) == 0 && us % 1000 == 0) {
        *doc = (struct sg_doc){.type = SG_DOC_TIME, .integer = us / 1000};
        return;
    }
    if (date->type == SG_DOC_INT)
        n = date;
    if (n != NULL)
        *doc = (struct sg_doc){.type = SG_DOC_TIME, .integer = n->integer};
}

static bool
take_uuid(struct sg_arena *arena, struct sg_doc *doc, const struct sg_doc *text)
{
    char hex[33];
    uint8_t *bytes;
    size_t i, o = 0;

    for (i = 0; i < text->text.len && o < 33; i++)
        if (text->text.ptr[i] != '-')
            hex[o++] = text->text.ptr[i];
    if (o != 32)
        return true;
    if ((bytes = sg_arena_alloc(arena, 16)) == NULL)
        return false;
    if (sg_unhex(sg_slice(hex, 32), bytes, 16) == 0)
        *doc =
            (struct sg_doc){.type = SG_DOC_BYTES, .text = sg_slice((char *)bytes, 16), .origin = 4};
    return true;
}

/* An object with one member that begins with a dollar. false: no memory. */
static bool
take(struct sg_arena *arena, struct sg_doc *doc)
{
    static const char *const numbers[] = {"$numberLong", "$numberInt", "$numberDouble",
                                          "$numberDecimal", NULL};
    const struct sg_doc *m;
    int i;

    if ((m = text_member(doc, "$oid")) != NULL)
        return take_oid(arena, doc, m);
    if ((m = text_member(doc, "$uuid")) != NULL)
        return take_uuid(arena, doc, m);
    if ((m = sg_doc_get(doc, sg_str("$binary"))) != NULL)
        return take_bytes(arena, doc, m);
    if ((m = sg_doc_get(doc, sg_str("$date"))) != NULL) {
        take_date(doc, m);
        return true;
    }
    for (i = 0; numbers[i] != NULL; i++)
        if ((m = text_member(doc, numbers[i])) != NULL) {
            take_number(doc, m, numbers[i]);
            return true;
        }
    return true;
}

/* Depth is bounded by the parser's, SG_DOC_DEPTH_MAX. */
int
sg_doc_from_extended(struct sg_arena *arena, struct sg_doc *doc, struct sg_err *err)
{
    uint32_t i;

    if (doc->type != SG_DOC_OBJECT && doc->type != SG_DOC_ARRAY)
        return 0;
    for (i = 0; i < doc->n; i++)
        if (sg_doc_from_extended(
                arena, doc->type == SG_DOC_ARRAY ? &doc->items[i] : &doc->members[i].value, err) !=
            0)
            return -1;
    if (doc->type == SG_DOC_OBJECT && doc->n == 1 && doc->members[0].name.len > 1 &&
        doc->members[0].name.ptr[0] == '$' && !take(arena, doc))
        return sg_fail(err, SG_E_LIMIT, "", "the document is too large");
    return 0;
}
