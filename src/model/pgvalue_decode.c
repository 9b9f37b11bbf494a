/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "model/extended.h"
#include "model/format.h"
#include "model/pgvalue.h"

#include <inttypes.h>
#include <stdio.h>

#define PG_EPOCH_S INT64_C(946684800)

static bool
set_text(struct sg_doc *out, enum sg_doc_type type, struct sg_slice text)
{
    *out = (struct sg_doc){.type = type, .text = text};
    return true;
}

static bool
copy_text(struct sg_arena *arena, struct sg_doc *out, const char *text, size_t n)
{
    char *p = sg_arena_alloc(arena, n + 1);

    if (p == NULL)
        return false;
    memcpy(p, text, n);
    return set_text(out, SG_DOC_STRING, sg_slice(p, n));
}

static bool
decode_int(const struct sg_model_column *c, struct sg_slice bytes, struct sg_arena *arena,
           struct sg_doc *out)
{
    char text[24];
    int64_t v;

    if (!sg_pgvalue_get_int(bytes, &v))
        return false;
    if (c->convert == SG_CONVERT_PARSE)
        return copy_text(arena, out, text, (size_t)snprintf(text, sizeof text, "%" PRId64, v));
    *out = (struct sg_doc){.type = SG_DOC_INT, .integer = v};
    return true;
}

static bool
decode_numeric(const struct sg_model_column *c, struct sg_slice bytes, struct sg_arena *arena,
               struct sg_doc *out)
{
    struct sg_slice text;
    struct sg_err err;

    if (!sg_pgnumeric_decode(bytes, arena, &text))
        return false;
    if (c->convert == SG_CONVERT_PARSE)
        return set_text(out, SG_DOC_STRING, text);
    return sg_doc_from_number(text, out, &err) == 0;
}

static bool
decode_uuid(struct sg_slice bytes, struct sg_arena *arena, struct sg_doc *out)
{
    char hex[33], text[37];

    if (bytes.len != 16)
        return false;
    sg_hex((const uint8_t *)bytes.ptr, 16, hex);
    snprintf(text, sizeof text, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
             hex + 20);
    return copy_text(arena, out, text, 36);
}

/* A number of units since 1970 of microseconds since 2000. */
static bool
epoch(int64_t us, int64_t unit_us, struct sg_doc *out)
{
    if (us % unit_us == 0)
        *out = (struct sg_doc){.type = SG_DOC_INT,
                               .integer = us / unit_us + PG_EPOCH_S * (1000000 / unit_us)};
    else if (__builtin_add_overflow(us, PG_EPOCH_S * 1000000, &us))
        return false;
    else
        *out = (struct sg_doc){.type = SG_DOC_DOUBLE, .real = (double)us / (double)unit_us};
    return true;
}

static bool
decode_time(const struct sg_model_column *c, struct sg_slice bytes, struct sg_arena *arena,
            struct sg_doc *out)
{
    char text[32];
    int64_t us;

    if (bytes.len != 8 || !sg_pgvalue_get_int(bytes, &us))
        return false;
    switch (c->convert) {
    case SG_CONVERT_NONE:
        *out = (struct sg_doc){.type = SG_DOC_TIME,
                               .integer = us / 1000 - (us % 1000 < 0) + PG_EPOCH_S * 1000};
        return true;
    case SG_CONVERT_EPOCH_S:
        return epoch(us, 1000000, out);
    case SG_CONVERT_EPOCH_MS:
        return epoch(us, 1000, out);
    default:
        if (__builtin_add_overflow(us, PG_EPOCH_S * 1000000, &us) ||
            us < -INT64_C(62135596800) * 1000000 || us >= INT64_C(253402300800) * 1000000)
            return false; /* years 1 to 9999 are what ISO 8601 writes */
        return copy_text(arena, out, text,
                         (size_t)sg_iso_write(us, c->convert != SG_CONVERT_ISO_S, text));
    }
}

static bool
decode_scalar(const struct sg_model_column *c, struct sg_slice bytes, struct sg_arena *arena,
              struct sg_doc *out)
{
    struct sg_err err;
    char text[32];
    uint8_t *oid;
    int64_t v;

    switch (c->type) {
    case SG_MODEL_BOOLEAN:
        if (bytes.len != 1)
            return false;
        if (c->convert == SG_CONVERT_PARSE)
            return set_text(out, SG_DOC_STRING, sg_str(bytes.ptr[0] ? "true" : "false"));
        *out = (struct sg_doc){.type = SG_DOC_BOOL, .boolean = bytes.ptr[0] != 0};
        return true;
    case SG_MODEL_SMALLINT:
    case SG_MODEL_INTEGER:
    case SG_MODEL_BIGINT:
        return decode_int(c, bytes, arena, out);
    case SG_MODEL_DOUBLE:
        if (bytes.len != 8 || !sg_pgvalue_get_int(bytes, &v))
            return false;
        out->type = SG_DOC_DOUBLE;
        memcpy(&out->real, &v, sizeof v);
        return true;
    case SG_MODEL_NUMERIC:
        return decode_numeric(c, bytes, arena, out);
    case SG_MODEL_TEXT:
        if (c->convert != SG_CONVERT_OID)
            return set_text(out, SG_DOC_STRING, bytes);
        if ((oid = sg_arena_alloc(arena, 12)) == NULL || sg_unhex(bytes, oid, 12) != 0)
            return false;
        return set_text(out, SG_DOC_OID, sg_slice((char *)oid, 12));
    case SG_MODEL_UUID:
        return decode_uuid(bytes, arena, out);
    case SG_MODEL_TIMESTAMPTZ:
        return decode_time(c, bytes, arena, out);
    case SG_MODEL_DATE:
        if (bytes.len != 4 || !sg_pgvalue_get_int(bytes, &v))
            return false;
        v += PG_EPOCH_S / 86400;
        return v >= -719162 && v <= 2932896 && /* years 1 to 9999 */
               copy_text(arena, out, text, (size_t)sg_date_write(v, text));
    case SG_MODEL_BYTEA:
        return set_text(out, SG_DOC_BYTES, bytes);
    case SG_MODEL_JSONB:
        return bytes.len > 1 && bytes.ptr[0] == 1 &&
               sg_doc_from_json(arena, sg_slice(bytes.ptr + 1, bytes.len - 1), out, &err) == 0 &&
               sg_doc_from_extended(arena, out, &err) == 0;
    }
    return false;
}

static bool
take32(struct sg_slice *bytes, int64_t *out)
{
    if (bytes->len < 4 || !sg_pgvalue_get_int(sg_slice(bytes->ptr, 4), out))
        return false;
    *bytes = sg_slice(bytes->ptr + 4, bytes->len - 4);
    return true;
}

static bool
decode_array(const struct sg_model_column *c, struct sg_slice bytes, struct sg_arena *arena,
             struct sg_doc *out)
{
    int64_t dims, flags, oid, n = 0, low, len;
    struct sg_doc *items;
    uint32_t i;

    if (!take32(&bytes, &dims) || !take32(&bytes, &flags) || !take32(&bytes, &oid) || dims < 0 ||
        dims > 1)
        return false;
    if (dims == 1 &&
        (!take32(&bytes, &n) || !take32(&bytes, &low) || n < 0 || (size_t)n > bytes.len / 4))
        return false;
    if ((items = sg_arena_alloc(arena, ((size_t)n + 1) * sizeof *items)) == NULL)
        return false;
    for (i = 0; i < n; i++) {
        items[i] = (struct sg_doc){.type = SG_DOC_NULL};
        if (!take32(&bytes, &len) || (len >= 0 && (size_t)len > bytes.len))
            return false;
        if (len >= 0 && !decode_scalar(c, sg_slice(bytes.ptr, (size_t)len), arena, &items[i]))
            return false;
        if (len >= 0)
            bytes = sg_slice(bytes.ptr + len, bytes.len - (size_t)len);
    }
    *out = (struct sg_doc){.type = SG_DOC_ARRAY, .n = (uint32_t)n, .items = items};
    return bytes.len == 0;
}

bool
sg_pgvalue_decode(const struct sg_model_column *c, struct sg_slice bytes, struct sg_arena *arena,
                  struct sg_doc *out)
{
    struct sg_doc v = {.type = SG_DOC_NULL};

    if (c->array ? !decode_array(c, bytes, arena, &v) : !decode_scalar(c, bytes, arena, &v))
        return false;
    *out = v;
    return true;
}
