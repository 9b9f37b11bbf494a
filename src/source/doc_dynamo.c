/* SPDX-License-Identifier: MIT */
#include "source/doc_dynamo.h"

#include "base/encode.h"

#include <inttypes.h>
#include <math.h>

/* ---- from DynamoDB ---- */

static int
bad(struct sg_err *err, const char *what)
{
    return sg_fail(err, SG_E_INVALID, "dynamodb item", "%s", what);
}

static int
no_room(struct sg_err *err)
{
    return sg_fail(err, SG_E_LIMIT, "dynamodb item",
                   "the document takes more memory than a batch may");
}

static int
read_number(const struct sg_doc *v, struct sg_doc *out, struct sg_err *err)
{
    struct sg_doc text = {.type = SG_DOC_DECIMAL, .text = v->text};

    if (v->type != SG_DOC_STRING || sg_doc_from_number(v->text, out, NULL) != 0)
        return bad(err, "a number that is none");
    if (out->type == SG_DOC_DOUBLE && !sg_doc_equal(out, &text))
        *out = text;
    return 0;
}

static int
sextet(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c != '\0' ? strchr(digits, c) : NULL;

    return p != NULL ? (int)(p - digits) : -1;
}

/* Standard base64 with padding (RFC 4648 section 4). */
static int
read_bytes(struct sg_arena *arena, const struct sg_doc *v, struct sg_doc *out, struct sg_err *err)
{
    size_t n = v->type == SG_DOC_STRING ? v->text.len : 1, pad = 0, i;
    uint8_t *bytes, *w;
    uint32_t bits = 0;

    if (n % 4 != 0)
        return bad(err, "bytes that are not base64");
    while (pad < 2 && pad < n && v->text.ptr[n - 1 - pad] == '=')
        pad++;
    if ((w = bytes = sg_arena_alloc(arena, n / 4 * 3)) == NULL)
        return no_room(err);
    for (i = 0; i < n; i++) {
        int s = i < n - pad ? sextet(v->text.ptr[i]) : 0;

        if (s < 0)
            return bad(err, "bytes that are not base64");
        bits = bits << 6 | (uint32_t)s;
        if (i % 4 == 3) {
            *w++ = (uint8_t)(bits >> 16);
            *w++ = (uint8_t)(bits >> 8);
            *w++ = (uint8_t)bits;
        }
    }
    if (pad != 0 && (bits & (pad == 1 ? 0xff : 0xffff)) != 0)
        return bad(err, "bytes that are not base64");
    *out = (struct sg_doc){.type = SG_DOC_BYTES,
                           .text = {(const char *)bytes, (size_t)(w - bytes) - pad}};
    return 0;
}

static int read_value(struct sg_arena *arena, const struct sg_doc *typed, struct sg_doc *out,
                      struct sg_err *err);

/* "S", "N" or "B" of a bare value. */
static int
read_scalar(struct sg_arena *arena, char type, const struct sg_doc *v, struct sg_doc *out,
            struct sg_err *err)
{
    if (type == 'N')
        return read_number(v, out, err);
    if (type == 'B')
        return read_bytes(arena, v, out, err);
    if (v->type != SG_DOC_STRING)
        return bad(err, "a string that is none");
    *out = *v;
    return 0;
}

/* "L", or a set of `type`s. */
static int
read_array(struct sg_arena *arena, char type, const struct sg_doc *v, struct sg_doc *out,
           struct sg_err *err)
{
    uint32_t i;
    int rc = 0;

    if (v->type != SG_DOC_ARRAY)
        return bad(err, "a list or set that is none");
    *out = (struct sg_doc){
        .type = SG_DOC_ARRAY, .origin = type != 'L' ? SG_DOC_ORIGIN_SET : 0, .n = v->n};
    if (v->n != 0 && (out->items = sg_arena_alloc(arena, v->n * sizeof *out->items)) == NULL)
        return no_room(err);
    for (i = 0; i < v->n && rc == 0; i++)
        rc = type == 'L' ? read_value(arena, &v->items[i], &out->items[i], err)
                         : read_scalar(arena, type, &v->items[i], &out->items[i], err);
    return rc;
}

static int
read_value(struct sg_arena *arena, const struct sg_doc *typed, struct sg_doc *out,
           struct sg_err *err)
{
    const struct sg_doc *v;
    struct sg_slice type;

    if (typed->type != SG_DOC_OBJECT || typed->n != 1)
        return bad(err, "a value without its type");
    type = typed->members[0].name;
    v = &typed->members[0].value;
    if (type.len == 1 && strchr("SNB", type.ptr[0]) != NULL)
        return read_scalar(arena, type.ptr[0], v, out, err);
    if (type.len == 2 && type.ptr[1] == 'S' && strchr("SNB", type.ptr[0]) != NULL)
        return read_array(arena, type.ptr[0], v, out, err);
    if (sg_slice_eq(type, sg_str("L")))
        return read_array(arena, 'L', v, out, err);
    if (sg_slice_eq(type, sg_str("M")))
        return sg_doc_from_dynamo(arena, v, out, err);
    if (v->type != SG_DOC_BOOL)
        return bad(err, "a value of an unknown type");
    if (sg_slice_eq(type, sg_str("BOOL")))
        *out = *v;
    else if (sg_slice_eq(type, sg_str("NULL")))
        *out = (struct sg_doc){.type = SG_DOC_NULL};
    else
        return bad(err, "a value of an unknown type");
    return 0;
}

/* Recursion is bounded by the depth of the JSON. */
int
sg_doc_from_dynamo(struct sg_arena *arena, const struct sg_doc *typed, struct sg_doc *out,
                   struct sg_err *err)
{
    struct sg_doc doc = {.type = SG_DOC_OBJECT, .n = typed->n};
    uint32_t i;

    if (typed->type != SG_DOC_OBJECT)
        return bad(err, "an item or map that is none");
    if (doc.n != 0 && (doc.members = sg_arena_alloc(arena, doc.n * sizeof *doc.members)) == NULL)
        return no_room(err);
    for (i = 0; i < doc.n; i++) {
        doc.members[i].name = typed->members[i].name;
        if (read_value(arena, &typed->members[i].value, &doc.members[i].value, err) != 0)
            return -1;
    }
    *out = doc;
    return 0;
}

/* ---- to DynamoDB ---- */

static int
cannot(struct sg_err *err, const char *what)
{
    return sg_fail(err, SG_E_INVALID, "document", "DynamoDB cannot hold %s", what);
}

static int put(const struct sg_doc *v, struct sg_buf *out, int depth, struct sg_err *err);

static int
put_string(const struct sg_slice text, struct sg_buf *out, struct sg_err *err)
{
    struct sg_doc string = {.type = SG_DOC_STRING, .text = text};

    return sg_doc_to_json(&string, out, err);
}

static int
put_map(const struct sg_doc *object, struct sg_buf *out, int depth, struct sg_err *err)
{
    uint32_t i;

    if (depth > SG_DOC_DEPTH_MAX / 2) /* each level is two of JSON */
        return sg_fail(err, SG_E_LIMIT, "document", "nested deeper than %d", SG_DOC_DEPTH_MAX / 2);
    sg_buf_puts(out, "{");
    for (i = 0; i < object->n; i++) {
        if (i != 0)
            sg_buf_puts(out, ",");
        if (put_string(object->members[i].name, out, err) != 0)
            return -1;
        sg_buf_puts(out, ":");
        if (put(&object->members[i].value, out, depth, err) != 0)
            return -1;
    }
    sg_buf_puts(out, "}");
    return 0;
}

/* The text of a value without its type; *type = 'S', 'N' or 'B', or 0 if it has none of these. */
static int
put_scalar(const struct sg_doc *v, struct sg_buf *out, char *type, struct sg_err *err)
{
    char text[SG_DOC_DOUBLE_TEXT];
    struct sg_doc number;

    *type = 'N';
    switch (v->type) {
    case SG_DOC_INT:
        sg_buf_printf(out, "\"%" PRId64 "\"", v->integer);
        return 0;
    case SG_DOC_DOUBLE:
        if (!isfinite(v->real))
            return cannot(err, "NaN or an infinity");
        sg_doc_double_text(v->real, text);
        sg_buf_printf(out, "\"%s\"", text);
        return 0;
    case SG_DOC_DECIMAL:
        if (sg_doc_from_number(v->text, &number, NULL) != 0)
            return cannot(err, "NaN or an infinity");
        sg_buf_puts(out, "\"");
        sg_buf_add(out, v->text);
        sg_buf_puts(out, "\"");
        return 0;
    case SG_DOC_STRING:
        *type = 'S';
        return put_string(v->text, out, err);
    case SG_DOC_BYTES:
        *type = 'B';
        sg_buf_puts(out, "\"");
        sg_b64_add(out, v->text, true);
        sg_buf_puts(out, "\"");
        return 0;
    default:
        *type = '\0';
        return 0;
    }
}

static int
put_set(const struct sg_doc *set, struct sg_buf *out, struct sg_err *err)
{
    char type = '\0', each;
    size_t at = out->len;
    uint32_t i;

    sg_buf_puts(out, "{\"?S\":[");
    for (i = 0; i < set->n; i++) {
        if (i != 0)
            sg_buf_puts(out, ",");
        if (put_scalar(&set->items[i], out, &each, err) != 0)
            return -1;
        if (each == '\0' || (i != 0 && each != type))
            return cannot(err, "a set of several types");
        type = each;
    }
    if (set->n == 0)
        return cannot(err, "an empty set");
    sg_buf_puts(out, "]}");
    if (!out->failed)
        out->ptr[at + 2] = type;
    return 0;
}

static int
put_list(const struct sg_doc *list, struct sg_buf *out, int depth, struct sg_err *err)
{
    uint32_t i;

    if (depth > SG_DOC_DEPTH_MAX / 2)
        return sg_fail(err, SG_E_LIMIT, "document", "nested deeper than %d", SG_DOC_DEPTH_MAX / 2);
    sg_buf_puts(out, "{\"L\":[");
    for (i = 0; i < list->n; i++) {
        if (i != 0)
            sg_buf_puts(out, ",");
        if (put(&list->items[i], out, depth, err) != 0)
            return -1;
    }
    sg_buf_puts(out, "]}");
    return 0;
}

static int
put(const struct sg_doc *v, struct sg_buf *out, int depth, struct sg_err *err)
{
    size_t at = out->len;
    char type;

    switch (v->type) {
    case SG_DOC_NULL:
        sg_buf_puts(out, "{\"NULL\":true}");
        return 0;
    case SG_DOC_BOOL:
        sg_buf_puts(out, v->boolean ? "{\"BOOL\":true}" : "{\"BOOL\":false}");
        return 0;
    case SG_DOC_ARRAY:
        return v->origin == SG_DOC_ORIGIN_SET ? put_set(v, out, err)
                                              : put_list(v, out, depth + 1, err);
    case SG_DOC_OBJECT:
        sg_buf_puts(out, "{\"M\":");
        if (put_map(v, out, depth + 1, err) != 0)
            return -1;
        sg_buf_puts(out, "}");
        return 0;
    case SG_DOC_TIME:
    case SG_DOC_OID:
    case SG_DOC_OTHER:
        return cannot(err, "what another store calls its own");
    default:
        sg_buf_puts(out, "{\"?\":");
        if (put_scalar(v, out, &type, err) != 0)
            return -1;
        sg_buf_puts(out, "}");
        if (!out->failed)
            out->ptr[at + 2] = type;
        return 0;
    }
}

static int
whole(const struct sg_buf *out, struct sg_err *err)
{
    return out->failed
               ? sg_fail(err, SG_E_LIMIT, "document", "longer than %zu bytes", out->max_bytes)
               : 0;
}

int
sg_doc_value_to_dynamo(const struct sg_doc *value, struct sg_buf *out, struct sg_err *err)
{
    return put(value, out, 1, err) != 0 ? -1 : whole(out, err);
}

int
sg_doc_to_dynamo(const struct sg_doc *object, struct sg_buf *out, struct sg_err *err)
{
    if (object->type != SG_DOC_OBJECT)
        return sg_fail(err, SG_E_INVALID, "document", "DynamoDB items are objects, not %s",
                       sg_doc_type_name(object->type));
    return put_map(object, out, 1, err) != 0 ? -1 : whole(out, err);
}
