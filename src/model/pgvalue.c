/* SPDX-License-Identifier: MIT */
#include "model/pgvalue.h"

#include "base/encode.h"
#include "model/extended.h"
#include "model/format.h"
#include "model/profile.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PG_EPOCH_S INT64_C(946684800)             /* 2000-01-01 */
#define TIME_LEAST (-INT64_C(211813488000000000)) /* 4714-11-24 BC, in µs since 2000 */
#define TIME_END INT64_C(9223371331200000000)     /* 294277-01-01 */
#define DOUBLE_WHOLE 9007199254740992.0           /* 2^53 */

/* ---- bytes ---- */

struct sg_slice
sg_pgvalue_int(struct sg_arena *arena, int64_t v, int bytes)
{
    char *p = sg_arena_alloc(arena, (size_t)bytes);
    int i;

    for (i = 0; p != NULL && i < bytes; i++)
        p[i] = (char)((uint64_t)v >> 8 * (bytes - 1 - i));
    return sg_slice(p, p != NULL ? (size_t)bytes : 0);
}

bool
sg_pgvalue_get_int(struct sg_slice bytes, int64_t *out)
{
    uint64_t v = 0;
    size_t i;

    if (bytes.len != 2 && bytes.len != 4 && bytes.len != 8)
        return false;
    for (i = 0; i < bytes.len; i++)
        v = v << 8 | (uint8_t)bytes.ptr[i];
    *out = bytes.len == 2 ? (int16_t)v : bytes.len == 4 ? (int32_t)v : (int64_t)v;
    return true;
}

static enum sg_model_reject
done(struct sg_slice bytes, struct sg_slice *out)
{
    *out = bytes;
    return bytes.ptr != NULL ? SG_REJECT_NONE : SG_REJECT_TOO_LARGE;
}

static enum sg_model_reject
put_time(struct sg_arena *arena, int64_t us, struct sg_slice *out)
{
    if (us < TIME_LEAST || us >= TIME_END)
        return SG_REJECT_RANGE;
    return done(sg_pgvalue_int(arena, us, 8), out);
}

/* Microseconds since 2000, as PostgreSQL counts, of so many units of unit_us since 1970. Its years
 * reach further than microseconds since 1970 do. */
static bool
since_2000(int64_t unix_time, int64_t unit_us, int64_t *us)
{
    return !__builtin_sub_overflow(unix_time, PG_EPOCH_S * (1000000 / unit_us), us) &&
           !__builtin_mul_overflow(*us, unit_us, us);
}

enum sg_model_reject
sg_pgvalue_time(struct sg_arena *arena, int64_t unix_ms, struct sg_slice *out)
{
    int64_t us;

    return since_2000(unix_ms, 1000, &us) ? put_time(arena, us, out) : SG_REJECT_RANGE;
}

/* ---- jsonb ---- */

static enum sg_model_reject
check_text(struct sg_slice s)
{
    if (s.len > 0 && memchr(s.ptr, 0, s.len) != NULL)
        return SG_REJECT_NUL;
    return sg_utf8_valid(s) ? SG_REJECT_NONE : SG_REJECT_ENCODING;
}

static enum sg_model_reject
check_decimal(struct sg_slice s)
{
    const char *e = s.len > 0 ? memchr(s.ptr, 'e', s.len) : NULL;
    char number[16];
    size_t len;

    if (e == NULL && s.len > 0)
        e = memchr(s.ptr, 'E', s.len);
    if (e == NULL)
        return s.len > 16000 ? SG_REJECT_RANGE : SG_REJECT_NONE;
    len = (size_t)(s.ptr + s.len - e) - 1;
    if (len >= sizeof number || s.len > 8000)
        return SG_REJECT_RANGE;
    memcpy(number, e + 1, len);
    number[len] = '\0';
    return labs(strtol(number, NULL, 10)) > 8000 ? SG_REJECT_RANGE : SG_REJECT_NONE;
}

/* What PostgreSQL's jsonb would refuse. Depth is bounded where documents are read. */
static enum sg_model_reject
check_json(const struct sg_doc *v, int depth)
{
    enum sg_model_reject r = SG_REJECT_NONE;
    uint32_t i;

    if (depth > SG_DOC_DEPTH_MAX)
        return SG_REJECT_TOO_LARGE;
    if (v->type == SG_DOC_STRING)
        return check_text(v->text);
    if (v->type == SG_DOC_DECIMAL)
        return check_decimal(v->text);
    if (v->type == SG_DOC_OTHER)
        return memchr(v->text.ptr, '\\', v->text.len) != NULL &&
                       memmem(v->text.ptr, v->text.len, "\\u0000", 6) != NULL
                   ? SG_REJECT_NUL
                   : check_text(v->text);
    for (i = 0; v->type == SG_DOC_ARRAY && i < v->n && r == SG_REJECT_NONE; i++)
        r = check_json(&v->items[i], depth + 1);
    for (i = 0; v->type == SG_DOC_OBJECT && i < v->n && r == SG_REJECT_NONE; i++) {
        r = check_text(v->members[i].name);
        if (r == SG_REJECT_NONE)
            r = check_json(&v->members[i].value, depth + 1);
    }
    return r;
}

enum sg_model_reject
sg_pgvalue_json(const struct sg_doc *v, struct sg_arena *arena, struct sg_buf *json,
                struct sg_slice *out)
{
    enum sg_model_reject r = check_json(v, 0);
    struct sg_err err;
    char *p;

    if (r != SG_REJECT_NONE)
        return r;
    sg_buf_reset(json);
    if (sg_doc_to_json(v, json, &err) != 0 || (p = sg_arena_alloc(arena, json->len + 1)) == NULL)
        return SG_REJECT_TOO_LARGE;
    p[0] = 1; /* the version of jsonb's binary form */
    memcpy(p + 1, json->ptr, json->len);
    return done(sg_slice(p, json->len + 1), out);
}

/* ---- scalars ---- */

static enum sg_model_reject
encode_int(const struct sg_model_column *c, const struct sg_doc *v, struct sg_arena *arena,
           struct sg_slice *out)
{
    int bytes = c->type == SG_MODEL_SMALLINT ? 2 : c->type == SG_MODEL_INTEGER ? 4 : 8;
    int64_t n;

    if (v->type == SG_DOC_INT && c->convert == SG_CONVERT_NONE)
        n = v->integer;
    else if (v->type == SG_DOC_DOUBLE && c->convert == SG_CONVERT_NONE) {
        if (!isfinite(v->real) || v->real != nearbyint(v->real))
            return SG_REJECT_TYPE;
        if (fabs(v->real) > DOUBLE_WHOLE)
            return SG_REJECT_RANGE;
        n = (int64_t)v->real;
    } else if (v->type == SG_DOC_STRING && c->convert == SG_CONVERT_PARSE) {
        char text[24];

        if (sg_format_of(v->text) != SG_FMT_INTEGER)
            return SG_REJECT_TYPE;
        snprintf(text, sizeof text, "%.*s", (int)v->text.len, v->text.ptr);
        n = strtoll(text, NULL, 10);
    } else
        return v->type == SG_DOC_DECIMAL ? SG_REJECT_RANGE : SG_REJECT_TYPE;
    if ((bytes == 2 && n != (int16_t)n) || (bytes == 4 && n != (int32_t)n))
        return SG_REJECT_RANGE;
    return done(sg_pgvalue_int(arena, n, bytes), out);
}

static enum sg_model_reject
encode_double(const struct sg_doc *v, struct sg_arena *arena, struct sg_slice *out)
{
    double real = v->real;
    int64_t bits;

    if (v->type == SG_DOC_INT) {
        real = (double)v->integer;
        if (v->integer > (int64_t)DOUBLE_WHOLE || v->integer < -(int64_t)DOUBLE_WHOLE)
            return SG_REJECT_RANGE; /* where doubles have gaps */
    } else if (v->type != SG_DOC_DOUBLE)
        return v->type == SG_DOC_DECIMAL ? SG_REJECT_RANGE : SG_REJECT_TYPE;
    memcpy(&bits, &real, sizeof bits);
    return done(sg_pgvalue_int(arena, bits, 8), out);
}

static enum sg_model_reject
encode_numeric(const struct sg_model_column *c, const struct sg_doc *v, struct sg_arena *arena,
               struct sg_slice *out)
{
    char text[SG_DOC_DOUBLE_TEXT];
    enum sg_format f;

    if (c->convert == SG_CONVERT_PARSE) {
        f = v->type == SG_DOC_STRING ? sg_format_of(v->text) : SG_FMT_OTHER;
        if (f != SG_FMT_INTEGER && f != SG_FMT_DECIMAL)
            return SG_REJECT_TYPE;
        if (v->text.ptr[0] == '-' && strspn(v->text.ptr, "-0.") >= v->text.len)
            return SG_REJECT_TYPE; /* numeric has no -0 */
        return sg_pgnumeric_encode(v->text, arena, out);
    }
    if (v->type == SG_DOC_INT)
        snprintf(text, sizeof text, "%" PRId64, v->integer);
    else if (v->type == SG_DOC_DOUBLE && isfinite(v->real))
        sg_doc_double_text(v->real, text);
    else if (v->type == SG_DOC_DECIMAL)
        return sg_pgnumeric_encode(v->text, arena, out) == SG_REJECT_TYPE
                   ? SG_REJECT_RANGE /* NaN, Infinity */
                   : sg_pgnumeric_encode(v->text, arena, out);
    else
        return v->type == SG_DOC_DOUBLE ? SG_REJECT_RANGE : SG_REJECT_TYPE;
    return sg_pgnumeric_encode(sg_str(text), arena, out);
}

static bool
is_allowed(const struct sg_model_column *c, struct sg_slice text)
{
    int i;

    for (i = 0; i < c->n_values; i++)
        if (sg_slice_eq(sg_str(c->values[i]), text))
            return true;
    return c->values == NULL;
}

static enum sg_model_reject
encode_text(const struct sg_model_column *c, const struct sg_doc *v, struct sg_arena *arena,
            struct sg_slice *out)
{
    enum sg_model_reject r;
    size_t i, points = 0;
    char *hex;

    if (c->convert == SG_CONVERT_OID) {
        if (v->type != SG_DOC_OID || v->text.len != 12)
            return SG_REJECT_TYPE;
        if ((hex = sg_arena_alloc(arena, 25)) == NULL)
            return SG_REJECT_TOO_LARGE;
        sg_hex((const uint8_t *)v->text.ptr, 12, hex);
        return done(sg_slice(hex, 24), out);
    }
    if (v->type != SG_DOC_STRING)
        return SG_REJECT_TYPE;
    if ((r = check_text(v->text)) != SG_REJECT_NONE)
        return r;
    for (i = 0; c->limit > 0 && i < v->text.len; i++)
        points += ((unsigned char)v->text.ptr[i] & 0xc0) != 0x80;
    if ((c->limit > 0 && points > (size_t)c->limit) || !is_allowed(c, v->text))
        return SG_REJECT_RANGE;
    return done(v->text.len > 0 ? v->text : sg_slice("", 0), out);
}

static enum sg_model_reject
encode_uuid(const struct sg_doc *v, struct sg_arena *arena, struct sg_slice *out)
{
    char hex[33];
    uint8_t *bytes;
    size_t i, o = 0;

    if (v->type != SG_DOC_STRING || sg_format_of(v->text) != SG_FMT_UUID)
        return SG_REJECT_TYPE;
    for (i = 0; i < v->text.len; i++)
        if (v->text.ptr[i] != '-')
            hex[o++] = v->text.ptr[i];
    if ((bytes = sg_arena_alloc(arena, 16)) == NULL)
        return SG_REJECT_TOO_LARGE;
    return sg_unhex(sg_slice(hex, o), bytes, 16) != 0 ? SG_REJECT_TYPE
                                                      : done(sg_slice((char *)bytes, 16), out);
}

/* A number of `unit_us` each, where nothing is lost. */
static enum sg_model_reject
epoch_of(const struct sg_doc *v, int64_t unit_us, int64_t *us)
{
    if (v->type == SG_DOC_INT)
        return since_2000(v->integer, unit_us, us) ? SG_REJECT_NONE : SG_REJECT_RANGE;
    if (v->type != SG_DOC_DOUBLE)
        return SG_REJECT_TYPE;
    if (!isfinite(v->real) || fabs(v->real) > (double)INT64_MAX / 2 / (double)unit_us)
        return SG_REJECT_RANGE;
    *us = llround(v->real * (double)unit_us);
    if ((double)*us / (double)unit_us != v->real)
        return SG_REJECT_RANGE;
    return since_2000(*us, 1, us) ? SG_REJECT_NONE : SG_REJECT_RANGE;
}

static enum sg_model_reject
encode_time(const struct sg_model_column *c, const struct sg_doc *v, struct sg_arena *arena,
            struct sg_slice *out)
{
    enum sg_model_reject r = SG_REJECT_NONE;
    enum sg_format f;
    int64_t us = 0;

    switch (c->convert) {
    case SG_CONVERT_NONE:
        if (v->type != SG_DOC_TIME)
            return SG_REJECT_TYPE;
        if (!since_2000(v->integer, 1000, &us))
            return SG_REJECT_RANGE;
        break;
    case SG_CONVERT_EPOCH_S:
        r = epoch_of(v, 1000000, &us);
        break;
    case SG_CONVERT_EPOCH_MS:
        r = epoch_of(v, 1000, &us);
        break;
    default:
        f = v->type == SG_DOC_STRING ? sg_format_of(v->text) : SG_FMT_OTHER;
        if ((c->convert == SG_CONVERT_ISO_MS && f != SG_FMT_ISO_MS) ||
            (c->convert == SG_CONVERT_ISO_S && f != SG_FMT_ISO_S) || v->type != SG_DOC_STRING ||
            sg_iso_parse(v->text, &us) != 0)
            return SG_REJECT_TYPE;
        us -= PG_EPOCH_S * 1000000; /* years 1 to 9999 */
    }
    return r != SG_REJECT_NONE ? r : put_time(arena, us, out);
}

static enum sg_model_reject
encode_scalar(const struct sg_model_column *c, const struct sg_doc *v, struct sg_arena *arena,
              struct sg_buf *json, struct sg_slice *out)
{
    int64_t days;
    bool yes;

    switch (c->type) {
    case SG_MODEL_BOOLEAN:
        yes = v->type == SG_DOC_STRING ? sg_slice_eq(v->text, sg_str("true")) : v->boolean;
        if (c->convert == SG_CONVERT_PARSE
                ? v->type != SG_DOC_STRING || sg_format_of(v->text) != SG_FMT_BOOL
                : v->type != SG_DOC_BOOL)
            return SG_REJECT_TYPE;
        return done(sg_slice(yes ? "\1" : "\0", 1), out);
    case SG_MODEL_SMALLINT:
    case SG_MODEL_INTEGER:
    case SG_MODEL_BIGINT:
        return encode_int(c, v, arena, out);
    case SG_MODEL_DOUBLE:
        return encode_double(v, arena, out);
    case SG_MODEL_NUMERIC:
        return encode_numeric(c, v, arena, out);
    case SG_MODEL_TEXT:
        return encode_text(c, v, arena, out);
    case SG_MODEL_UUID:
        return encode_uuid(v, arena, out);
    case SG_MODEL_TIMESTAMPTZ:
        return encode_time(c, v, arena, out);
    case SG_MODEL_DATE:
        if (v->type != SG_DOC_STRING || sg_date_parse(v->text, &days) != 0)
            return SG_REJECT_TYPE;
        return done(sg_pgvalue_int(arena, days - PG_EPOCH_S / 86400, 4), out);
    case SG_MODEL_BYTEA:
        if (v->type != SG_DOC_BYTES)
            return SG_REJECT_TYPE;
        return done(v->text.ptr != NULL ? v->text : sg_slice("", 0), out);
    case SG_MODEL_JSONB:
        return sg_pgvalue_json(v, arena, json, out);
    }
    return SG_REJECT_TYPE;
}

/* ---- arrays ---- */

static uint32_t
oid_of(const struct sg_model_column *c)
{
    static const uint32_t oids[] = {16, 21, 23, 20, 701, 1700, 25, 2950, 1184, 1082, 17, 3802};

    return c->limit > 0 ? 1043 : oids[c->type];
}

static void
put32(struct sg_buf *b, uint32_t v)
{
    char p[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};

    sg_buf_add(b, sg_slice(p, 4));
}

static enum sg_model_reject
encode_array(const struct sg_model_column *c, const struct sg_doc *v, struct sg_arena *arena,
             struct sg_buf *json, struct sg_slice *out)
{
    enum sg_model_reject r;
    struct sg_slice *items;
    bool nulls = false;
    uint32_t i;
    char *p;

    if (v->type != SG_DOC_ARRAY)
        return SG_REJECT_TYPE;
    if ((items = sg_arena_alloc(arena, (v->n + 1) * sizeof *items)) == NULL)
        return SG_REJECT_TOO_LARGE;
    for (i = 0; i < v->n; i++) {
        items[i] = sg_slice(NULL, 0);
        nulls = nulls || v->items[i].type == SG_DOC_NULL;
        if (v->items[i].type != SG_DOC_NULL &&
            (r = encode_scalar(c, &v->items[i], arena, json, &items[i])) != SG_REJECT_NONE)
            return r;
    }
    sg_buf_reset(json);
    put32(json, v->n > 0);
    put32(json, nulls);
    put32(json, oid_of(c));
    if (v->n > 0) {
        put32(json, v->n);
        put32(json, 1);
    }
    for (i = 0; i < v->n; i++) {
        put32(json, items[i].ptr != NULL ? (uint32_t)items[i].len : UINT32_MAX);
        sg_buf_add(json, items[i]);
    }
    if (json->failed || (p = sg_arena_alloc(arena, json->len)) == NULL)
        return SG_REJECT_TOO_LARGE;
    memcpy(p, json->ptr, json->len);
    return done(sg_slice(p, json->len), out);
}

enum sg_model_reject
sg_pgvalue_encode(const struct sg_model_column *c, const struct sg_doc *v, struct sg_arena *arena,
                  struct sg_buf *json, struct sg_slice *out)
{
    return c->array ? encode_array(c, v, arena, json, out) : encode_scalar(c, v, arena, json, out);
}
