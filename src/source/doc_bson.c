/* SPDX-License-Identifier: MIT */
#include "source/doc_bson.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define DECIMAL_MAX 4096 /* bytes of a decimal's text that is looked at */

struct reader {
    struct sg_arena *arena;
    const uint8_t *start;
    struct sg_err *err;
};

static int
bad(struct reader *r, const uint8_t *at, enum sg_code code, const char *what)
{
    char place[32];

    snprintf(place, sizeof place, "byte %zu", (size_t)(at - r->start));
    return sg_fail(r->err, code, place, "%s", what);
}

static int
no_room(struct reader *r)
{
    return bad(r, r->start, SG_E_LIMIT, "the document takes more memory than a batch may");
}

static bool
is_utf8(struct sg_slice s)
{
    size_t i = 0, n;

    while (i < s.len) {
        if ((n = sg_utf8_len(s.ptr + i, s.len - i)) == 0)
            return false;
        i += n;
    }
    return true;
}

static int
keep(struct reader *r, const void *bytes, size_t len, struct sg_slice *out)
{
    char *copy = sg_arena_alloc(r->arena, len);

    if (copy == NULL)
        return no_room(r);
    memcpy(copy, bytes, len);
    *out = sg_slice(copy, len);
    return 0;
}

/* ---- from BSON ---- */

static int read_nested(struct reader *r, const uint8_t *bytes, uint32_t len, bool array, int depth,
                       struct sg_doc *out);

/* libbson writes the canonical extended JSON of {"v": value}; the value is cut out of it. */
static int
read_other(struct reader *r, const bson_iter_t *it, struct sg_doc *out)
{
    bson_t one = BSON_INITIALIZER;
    struct sg_slice whole;
    char *json = NULL, *from;
    size_t n;
    int rc;

    if (bson_append_value(&one, "v", 1, bson_iter_value((bson_iter_t *)it)))
        json = bson_as_canonical_extended_json(&one, &n);
    bson_destroy(&one);
    if (json == NULL || (from = strchr(json, ':')) == NULL)
        rc = bad(r, it->raw + it->off, SG_E_INVALID, "text that is not UTF-8");
    else {
        for (from++; *from == ' '; from++) {
        }
        whole = sg_slice(from, (size_t)(strrchr(json, '}') - from));
        while (whole.len != 0 && whole.ptr[whole.len - 1] == ' ')
            whole.len--;
        out->type = SG_DOC_OTHER;
        rc = keep(r, whole.ptr, whole.len, &out->text);
    }
    bson_free(json);
    return rc;
}

static int
read_text(struct reader *r, const bson_iter_t *it, struct sg_doc *out)
{
    uint32_t len;
    const char *text = bson_iter_utf8(it, &len);

    out->type = SG_DOC_STRING;
    out->text = sg_slice(text, len);
    return is_utf8(out->text)
               ? 0
               : bad(r, (const uint8_t *)text, SG_E_INVALID, "a string is not UTF-8");
}

static int
read_decimal(struct reader *r, const bson_iter_t *it, struct sg_doc *out)
{
    char text[BSON_DECIMAL128_STRING];
    bson_decimal128_t d;

    bson_iter_decimal128(it, &d);
    bson_decimal128_to_string(&d, text);
    out->type = SG_DOC_DECIMAL;
    return keep(r, text, strlen(text), &out->text);
}

static void
read_bytes(const bson_iter_t *it, struct sg_doc *out)
{
    bson_subtype_t subtype;
    const uint8_t *bytes;
    uint32_t len;

    bson_iter_binary(it, &subtype, &len, &bytes);
    out->type = SG_DOC_BYTES;
    out->origin = (unsigned)subtype & 0xff;
    out->text = sg_slice((const char *)bytes, len);
}

static int
read_value(struct reader *r, const bson_iter_t *it, int depth, struct sg_doc *out)
{
    const uint8_t *bytes;
    uint32_t len;

    *out = (struct sg_doc){.type = SG_DOC_NULL};
    switch (bson_iter_type(it)) {
    case BSON_TYPE_NULL:
        return 0;
    case BSON_TYPE_BOOL:
        out->type = SG_DOC_BOOL;
        out->boolean = bson_iter_bool(it);
        return 0;
    case BSON_TYPE_INT32:
        out->origin = SG_DOC_ORIGIN_INT32;
        out->type = SG_DOC_INT;
        out->integer = bson_iter_int32(it);
        return 0;
    case BSON_TYPE_INT64:
        out->type = SG_DOC_INT;
        out->integer = bson_iter_int64(it);
        return 0;
    case BSON_TYPE_DOUBLE:
        out->type = SG_DOC_DOUBLE;
        out->real = bson_iter_double(it);
        return 0;
    case BSON_TYPE_DATE_TIME:
        out->type = SG_DOC_TIME;
        out->integer = bson_iter_date_time(it);
        return 0;
    case BSON_TYPE_OID:
        out->type = SG_DOC_OID;
        out->text = sg_slice((const char *)bson_iter_oid(it)->bytes, 12);
        return 0;
    case BSON_TYPE_BINARY:
        read_bytes(it, out);
        return 0;
    case BSON_TYPE_DECIMAL128:
        return read_decimal(r, it, out);
    case BSON_TYPE_UTF8:
        return read_text(r, it, out);
    case BSON_TYPE_DOCUMENT:
        bson_iter_document(it, &len, &bytes);
        return read_nested(r, bytes, len, false, depth + 1, out);
    case BSON_TYPE_ARRAY:
        bson_iter_array(it, &len, &bytes);
        return read_nested(r, bytes, len, true, depth + 1, out);
    default:
        return read_other(r, it, out);
    }
}

static int
count(struct reader *r, const bson_t *bson, const uint8_t *bytes, uint32_t *n)
{
    bson_iter_t it;

    *n = 0;
    if (!bson_iter_init(&it, bson))
        return bad(r, bytes, SG_E_INVALID, "damaged BSON");
    while (bson_iter_next(&it))
        ++*n;
    return it.err_off == 0 ? 0 : bad(r, bytes + it.err_off, SG_E_INVALID, "damaged BSON");
}

static int
read_nested(struct reader *r, const uint8_t *bytes, uint32_t len, bool array, int depth,
            struct sg_doc *out)
{
    uint32_t n, i;
    bson_iter_t it;
    bson_t bson;
    size_t size;

    if (depth > SG_DOC_DEPTH_MAX)
        return bad(r, bytes, SG_E_LIMIT, "nested too deeply");
    if (bytes == NULL || !bson_init_static(&bson, bytes, len) || count(r, &bson, bytes, &n) != 0)
        return bad(r, bytes != NULL ? bytes : r->start, SG_E_INVALID, "damaged BSON");
    *out = (struct sg_doc){.type = array ? SG_DOC_ARRAY : SG_DOC_OBJECT, .n = n};
    size = n * (array ? sizeof *out->items : sizeof *out->members);
    if (n != 0 && (out->items = sg_arena_alloc(r->arena, size)) == NULL)
        return no_room(r);
    if (!bson_iter_init(&it, &bson))
        return bad(r, bytes, SG_E_INVALID, "damaged BSON");
    for (i = 0; i < n && bson_iter_next(&it); i++) {
        struct sg_slice name = sg_slice(bson_iter_key(&it), bson_iter_key_len(&it));

        if (!array && !is_utf8(name))
            return bad(r, (const uint8_t *)name.ptr, SG_E_INVALID, "a name is not UTF-8");
        if (!array)
            out->members[i].name = name;
        if (read_value(r, &it, depth, array ? &out->items[i] : &out->members[i].value) != 0)
            return -1;
    }
    return 0;
}

int
sg_doc_from_bson(struct sg_arena *arena, struct sg_slice bytes, struct sg_doc *out,
                 struct sg_err *err)
{
    struct reader r = {arena, (const uint8_t *)bytes.ptr, err};
    struct sg_doc doc;

    if (bytes.len > SG_DOC_BYTES_MAX)
        return sg_fail(err, SG_E_LIMIT, "byte 0", "%zu bytes, at most %d", bytes.len,
                       SG_DOC_BYTES_MAX);
    if (read_nested(&r, r.start, (uint32_t)bytes.len, false, 1, &doc) != 0)
        return -1;
    *out = doc;
    return 0;
}

/* ---- to BSON ---- */

static int
cannot(struct sg_err *err, const char *what)
{
    return sg_fail(err, SG_E_INVALID, "document", "BSON cannot hold %s", what);
}

static int append(bson_t *out, struct sg_slice name, const struct sg_doc *v, int depth,
                  struct sg_err *err);

static int
append_nested(bson_t *out, struct sg_slice name, const struct sg_doc *v, int depth,
              struct sg_err *err)
{
    bool array = v->type == SG_DOC_ARRAY;
    char number[16];
    bson_t nested;
    uint32_t i;
    int rc = 0;

    if (depth == SG_DOC_DEPTH_MAX)
        return sg_fail(err, SG_E_LIMIT, "document", "nested deeper than %d", SG_DOC_DEPTH_MAX);
    if (!(array ? bson_append_array_begin(out, name.ptr, (int)name.len, &nested)
                : bson_append_document_begin(out, name.ptr, (int)name.len, &nested)))
        return cannot(err, "so much");
    for (i = 0; i < v->n && rc == 0; i++) {
        if (array)
            snprintf(number, sizeof number, "%" PRIu32, i);
        rc = append(&nested, array ? sg_str(number) : v->members[i].name,
                    array ? &v->items[i] : &v->members[i].value, depth + 1, err);
    }
    /* Also after a failure: the parent is broken otherwise. */
    if (!(array ? bson_append_array_end(out, &nested) : bson_append_document_end(out, &nested)) &&
        rc == 0)
        rc = cannot(err, "so much");
    return rc;
}

/* From canonical extended JSON, as libbson reads it. */
static bool
append_other(bson_t *out, struct sg_slice name, struct sg_slice text)
{
    struct sg_buf json = SG_BUF_INIT(text.len + 16);
    bool good = false;
    bson_t *one = NULL;
    bson_iter_t it;

    sg_buf_puts(&json, "{\"v\":");
    sg_buf_add(&json, text);
    sg_buf_puts(&json, "}");
    if (!json.failed)
        one = bson_new_from_json((const uint8_t *)json.ptr, (ssize_t)json.len, NULL);
    if (one != NULL && bson_iter_init_find(&it, one, "v"))
        good = bson_append_value(out, name.ptr, (int)name.len, bson_iter_value(&it));
    if (one != NULL)
        bson_destroy(one);
    sg_buf_free(&json);
    return good;
}

static bool
append_decimal(bson_t *out, struct sg_slice name, struct sg_slice text)
{
    char copy[DECIMAL_MAX + 1]; /* libbson reads an exponent beyond the length it is given */
    bson_decimal128_t d;

    if (text.len > DECIMAL_MAX)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return bson_decimal128_from_string(copy, &d) &&
           bson_append_decimal128(out, name.ptr, (int)name.len, &d);
}

static int
append(bson_t *out, struct sg_slice name, const struct sg_doc *v, int depth, struct sg_err *err)
{
    const char *p = name.ptr;
    int n = (int)name.len;
    bool good = false;
    bson_oid_t oid;

    if (name.len != 0 && memchr(p, '\0', name.len) != NULL)
        return cannot(err, "a name with a NUL");
    if (name.len == 0)
        p = "";
    switch (v->type) {
    case SG_DOC_NULL:
        good = bson_append_null(out, p, n);
        break;
    case SG_DOC_BOOL:
        good = bson_append_bool(out, p, n, v->boolean);
        break;
    case SG_DOC_INT:
        good = v->origin == SG_DOC_ORIGIN_INT32 && v->integer == (int32_t)v->integer
                   ? bson_append_int32(out, p, n, (int32_t)v->integer)
                   : bson_append_int64(out, p, n, v->integer);
        break;
    case SG_DOC_DOUBLE:
        good = bson_append_double(out, p, n, v->real);
        break;
    case SG_DOC_DECIMAL:
        if (!append_decimal(out, name, v->text))
            return cannot(err, "a decimal of more than 34 digits");
        return 0;
    case SG_DOC_STRING:
        good = bson_append_utf8(out, p, n, v->text.len != 0 ? v->text.ptr : "", (int)v->text.len);
        break;
    case SG_DOC_BYTES:
        good = bson_append_binary(out, p, n, (bson_subtype_t)v->origin,
                                  (const uint8_t *)v->text.ptr, (uint32_t)v->text.len);
        break;
    case SG_DOC_TIME:
        good = bson_append_date_time(out, p, n, v->integer);
        break;
    case SG_DOC_OID:
        memcpy(oid.bytes, v->text.ptr, 12);
        good = bson_append_oid(out, p, n, &oid);
        break;
    case SG_DOC_OTHER:
        if (!append_other(out, sg_slice(p, name.len), v->text))
            return cannot(err, "what another store calls its own");
        return 0;
    case SG_DOC_ARRAY:
    case SG_DOC_OBJECT:
        return append_nested(out, sg_slice(p, name.len), v, depth, err);
    }
    return good ? 0 : cannot(err, "so much");
}

int
sg_doc_append_bson(bson_t *out, const char *name, const struct sg_doc *value, struct sg_err *err)
{
    return append(out, sg_str(name), value, 1, err);
}

int
sg_doc_to_bson(const struct sg_doc *object, bson_t *out, struct sg_err *err)
{
    uint32_t i;

    if (object->type != SG_DOC_OBJECT)
        return sg_fail(err, SG_E_INVALID, "document", "BSON documents are objects, not %s",
                       sg_doc_type_name(object->type));
    for (i = 0; i < object->n; i++)
        if (append(out, object->members[i].name, &object->members[i].value, 1, err) != 0)
            return -1;
    return 0;
}

/* ---- _id ---- */

int
sg_doc_id_text(const struct sg_doc *id, struct sg_buf *out, struct sg_err *err)
{
    struct sg_doc number = *id;

    if (id->type == SG_DOC_DOUBLE && fabs(id->real) < 0x1p63 && id->real == trunc(id->real))
        number = (struct sg_doc){.type = SG_DOC_INT, .integer = (int64_t)id->real};
    else if (id->type == SG_DOC_DECIMAL &&
             (sg_doc_from_number(id->text, &number, NULL) != 0 || number.type != SG_DOC_INT)) {
        /* As plain JSON it would be read as a double. */
        sg_buf_puts(out, "{\"$numberDecimal\":\"");
        sg_buf_add(out, id->text);
        sg_buf_puts(out, "\"}");
        return out->failed ? sg_fail(err, SG_E_LIMIT, "document", "its _id is too long") : 0;
    }
    return sg_doc_to_json(&number, out, err);
}

bson_t *
sg_doc_id_bson(struct sg_slice text)
{
    struct sg_buf json = SG_BUF_INIT(text.len + 16);
    bson_t *id = NULL;

    sg_buf_puts(&json, "{\"_id\":");
    sg_buf_add(&json, text);
    sg_buf_puts(&json, "}");
    if (!json.failed)
        id = bson_new_from_json((const uint8_t *)json.ptr, (ssize_t)json.len, NULL);
    sg_buf_free(&json);
    return id;
}
