/* SPDX-License-Identifier: MIT */
#include "redis/rdb.h"

#include <inttypes.h>
#include <lzf.h>
#include <stdio.h>
#include <stdlib.h>

#define VERSION_MOST 12

enum {
    OP_SLOT_INFO = 0xf4,
    OP_FUNCTION = 0xf5,
    OP_MODULE_AUX = 0xf7,
    OP_IDLE = 0xf8,
    OP_FREQ = 0xf9,
    OP_AUX = 0xfa,
    OP_RESIZE = 0xfb,
    OP_EXPIRES_MS = 0xfc,
    OP_EXPIRES_S = 0xfd,
    OP_SELECT = 0xfe,
    OP_END = 0xff,
};

/* How a length's first two bits continue; the last is no length but a special encoding. */
enum { LEN_6 = 0, LEN_14 = 1, LEN_LONG = 2, LEN_SPECIAL = 3 };
enum { SPECIAL_INT8, SPECIAL_INT16, SPECIAL_INT32, SPECIAL_LZF };

struct rdb {
    struct sg_pull *in;
    size_t value_max;
    int version;
    char key[SG_RDB_KEY_MAX];
    char number[16];
    char *unpacked; /* of value_max bytes, made when first needed */
};

static int
broken(struct rdb *r, struct sg_err *err, const char *what, uint64_t value)
{
    return sg_fail(err, SG_E_INVALID, r->in->name,
                   "the dump cannot be read: %s %" PRIu64 " at byte %" PRIu64, what, value,
                   r->in->taken);
}

/* ---- numbers ---- */

static uint64_t
little(const char *p, int bytes)
{
    uint64_t v = 0;
    int i;

    for (i = bytes; i-- > 0;)
        v = v << 8 | (uint8_t)p[i];
    return v;
}

static uint64_t
big(const char *p, int bytes)
{
    uint64_t v = 0;
    int i;

    for (i = 0; i < bytes; i++)
        v = v << 8 | (uint8_t)p[i];
    return v;
}

static int
take_little(struct rdb *r, int bytes, uint64_t *out, struct sg_err *err)
{
    struct sg_slice s;

    if (sg_pull_take(r->in, (size_t)bytes, &s, err) != 0)
        return -1;
    *out = little(s.ptr, bytes);
    return 0;
}

/* A length, or with *special an encoding's number. */
static int
take_length_or_special(struct rdb *r, uint64_t *out, bool *special, struct sg_err *err)
{
    struct sg_slice s;
    uint8_t first;
    int bytes;

    if (sg_pull_byte(r->in, &first, err) != 0)
        return -1;
    *special = first >> 6 == LEN_SPECIAL;
    *out = first & 0x3f;
    if (first >> 6 == LEN_6 || *special)
        return 0;
    if (first >> 6 == LEN_LONG && first != 0x80 && first != 0x81)
        return broken(r, err, "a length that begins with", first);
    bytes = first >> 6 == LEN_14 ? 1 : first == 0x80 ? 4 : 8;
    if (sg_pull_take(r->in, (size_t)bytes, &s, err) != 0)
        return -1;
    *out = first >> 6 == LEN_14 ? *out << 8 | (uint8_t)s.ptr[0] : big(s.ptr, bytes);
    return 0;
}

static int
take_length(struct rdb *r, uint64_t *out, struct sg_err *err)
{
    bool special;

    if (take_length_or_special(r, out, &special, err) != 0)
        return -1;
    return special ? broken(r, err, "expected a length, found encoding", *out) : 0;
}

/* ---- strings ---- */

/* The two lengths of a compressed string. */
static int
take_lzf(struct rdb *r, uint64_t *packed, uint64_t *plain, struct sg_err *err)
{
    return take_length(r, packed, err) != 0 || take_length(r, plain, err) != 0 ? -1 : 0;
}

static int
unpack(struct rdb *r, uint64_t packed, uint64_t plain, struct sg_slice *out, struct sg_err *err)
{
    struct sg_slice s;

    if (r->unpacked == NULL && (r->unpacked = malloc(r->value_max)) == NULL)
        return sg_fail(err, SG_E_INTERNAL, r->in->name, "out of memory");
    if (packed > r->value_max)
        return broken(r, err, "a compressed string of bytes", packed);
    if (sg_pull_take(r->in, (size_t)packed, &s, err) != 0)
        return -1;
    if (lzf_decompress(s.ptr, (unsigned)packed, r->unpacked, (unsigned)plain) != plain)
        return broken(r, err, "a compressed string that does not unpack to", plain);
    *out = sg_slice(r->unpacked, (size_t)plain);
    return 0;
}

static int
take_integer(struct rdb *r, uint64_t encoding, struct sg_slice *out, struct sg_err *err)
{
    static const int bytes[] = {[SPECIAL_INT8] = 1, [SPECIAL_INT16] = 2, [SPECIAL_INT32] = 4};
    struct sg_slice s;
    uint64_t v;
    int shift;

    if (encoding > SPECIAL_INT32)
        return broken(r, err, "a string of encoding", encoding);
    if (sg_pull_take(r->in, (size_t)bytes[encoding], &s, err) != 0)
        return -1;
    shift = 64 - 8 * bytes[encoding];
    v = little(s.ptr, bytes[encoding]) << shift;
    snprintf(r->number, sizeof r->number, "%" PRId64, (int64_t)v >> shift);
    *out = sg_str(r->number);
    return 0;
}

/* A string of at most `most` bytes; a longer one is passed over and *bytes tells how long it was,
 * with out->ptr NULL. */
static int
take_string(struct rdb *r, size_t most, struct sg_slice *out, uint64_t *bytes, struct sg_err *err)
{
    uint64_t n, plain;
    bool special;

    if (take_length_or_special(r, &n, &special, err) != 0)
        return -1;
    if (special && n == SPECIAL_LZF) {
        if (take_lzf(r, &n, &plain, err) != 0)
            return -1;
        *bytes = plain;
        if (plain <= most && plain > 0)
            return unpack(r, n, plain, out, err);
    } else if (special) {
        if (take_integer(r, n, out, err) != 0)
            return -1;
        *bytes = out->len;
        return 0;
    } else {
        *bytes = n;
        if (n <= most)
            return sg_pull_take(r->in, (size_t)n, out, err);
    }
    *out = (struct sg_slice){0};
    return sg_pull_skip(r->in, n, err);
}

/* Passes over n strings. */
static int
skip_strings(struct rdb *r, uint64_t n, struct sg_err *err)
{
    struct sg_slice s;
    uint64_t bytes;

    while (n-- > 0)
        if (take_string(r, 0, &s, &bytes, err) != 0)
            return -1;
    return 0;
}

static int
skip_lengths(struct rdb *r, int n, struct sg_err *err)
{
    uint64_t ignored;

    while (n-- > 0)
        if (take_length(r, &ignored, err) != 0)
            return -1;
    return 0;
}

/* ---- values of other types, passed over ---- */

/* A double as text, its length first; 253 to 255 are NaN and the infinities. */
static int
skip_text_double(struct rdb *r, struct sg_err *err)
{
    uint8_t n;

    if (sg_pull_byte(r->in, &n, err) != 0)
        return -1;
    return n >= 253 ? 0 : sg_pull_skip(r->in, n, err);
}

static int
skip_zset(struct rdb *r, bool binary, struct sg_err *err)
{
    uint64_t n;

    if (take_length(r, &n, err) != 0)
        return -1;
    while (n-- > 0)
        if (skip_strings(r, 1, err) != 0 ||
            (binary ? sg_pull_skip(r->in, 8, err) : skip_text_double(r, err)) != 0)
            return -1;
    return 0;
}

static int
skip_quicklist2(struct rdb *r, struct sg_err *err)
{
    uint64_t n;

    if (take_length(r, &n, err) != 0)
        return -1;
    while (n-- > 0)
        if (skip_lengths(r, 1, err) != 0 || skip_strings(r, 1, err) != 0)
            return -1;
    return 0;
}

static int
skip_hash_with_ttls(struct rdb *r, struct sg_err *err)
{
    uint64_t n;

    if (sg_pull_skip(r->in, 8, err) != 0 || take_length(r, &n, err) != 0)
        return -1;
    while (n-- > 0)
        if (skip_lengths(r, 1, err) != 0 || skip_strings(r, 2, err) != 0)
            return -1;
    return 0;
}

enum { MODULE_END, MODULE_SINT, MODULE_UINT, MODULE_FLOAT, MODULE_DOUBLE, MODULE_STRING };

/* A module's value tells the type of each of its parts. */
static int
skip_module(struct rdb *r, struct sg_err *err)
{
    uint64_t part;

    for (;;) {
        int rc = 0;

        if (take_length(r, &part, err) != 0)
            return -1;
        switch (part) {
        case MODULE_END:
            return 0;
        case MODULE_SINT:
        case MODULE_UINT:
            rc = skip_lengths(r, 1, err);
            break;
        case MODULE_FLOAT:
            rc = sg_pull_skip(r->in, 4, err);
            break;
        case MODULE_DOUBLE:
            rc = sg_pull_skip(r->in, 8, err);
            break;
        case MODULE_STRING:
            rc = skip_strings(r, 1, err);
            break;
        default:
            rc = broken(r, err, "a module's part of type", part);
        }
        if (rc != 0)
            return -1;
    }
}

#define STREAM_ID_BYTES 16

static int
skip_consumer(struct rdb *r, int layout, struct sg_err *err)
{
    uint64_t pending;

    if (skip_strings(r, 1, err) != 0 || sg_pull_skip(r->in, layout >= 3 ? 16 : 8, err) != 0 ||
        take_length(r, &pending, err) != 0)
        return -1;
    while (pending-- > 0)
        if (sg_pull_skip(r->in, STREAM_ID_BYTES, err) != 0)
            return -1;
    return 0;
}

static int
skip_group(struct rdb *r, int layout, struct sg_err *err)
{
    uint64_t n;

    if (skip_strings(r, 1, err) != 0 || skip_lengths(r, layout >= 2 ? 3 : 2, err) != 0 ||
        take_length(r, &n, err) != 0)
        return -1;
    while (n-- > 0)
        if (sg_pull_skip(r->in, STREAM_ID_BYTES + 8, err) != 0 || skip_lengths(r, 1, err) != 0)
            return -1;
    if (take_length(r, &n, err) != 0)
        return -1;
    while (n-- > 0)
        if (skip_consumer(r, layout, err) != 0)
            return -1;
    return 0;
}

/* layout: 1, 2 or 3, as streams were written over time. */
static int
skip_stream(struct rdb *r, int layout, struct sg_err *err)
{
    uint64_t n;

    if (take_length(r, &n, err) != 0)
        return -1;
    while (n-- > 0)
        if (skip_strings(r, 2, err) != 0)
            return -1;
    if (skip_lengths(r, layout >= 2 ? 8 : 3, err) != 0 || take_length(r, &n, err) != 0)
        return -1;
    while (n-- > 0)
        if (skip_group(r, layout, err) != 0)
            return -1;
    return 0;
}

/* n strings after their number, `each` at a time. */
static int
skip_counted(struct rdb *r, unsigned each, struct sg_err *err)
{
    uint64_t n;

    if (take_length(r, &n, err) != 0)
        return -1;
    while (n-- > 0)
        if (skip_strings(r, each, err) != 0)
            return -1;
    return 0;
}

enum layout {
    L_STRING,
    L_STRINGS, /* a number of them */
    L_PAIRS,
    L_PACKED, /* the whole value as one string */
    L_ZSET,
    L_ZSET2,
    L_QUICKLIST2,
    L_HASH_TTL,
    L_PACKED_TTL,
    L_MODULE,
    L_STREAM,
    L_STREAM2,
    L_STREAM3,
};

/* redis/src/rdb.h, RDB_TYPE_*. */
static const struct {
    const char *name;
    enum layout layout;
} types[] = {
    [0] = {"string", L_STRING},    [1] = {"list", L_STRINGS},     [2] = {"set", L_STRINGS},
    [3] = {"zset", L_ZSET},        [4] = {"hash", L_PAIRS},       [5] = {"zset", L_ZSET2},
    [7] = {"module", L_MODULE},    [9] = {"hash", L_PACKED},      [10] = {"list", L_PACKED},
    [11] = {"set", L_PACKED},      [12] = {"zset", L_PACKED},     [13] = {"hash", L_PACKED},
    [14] = {"list", L_STRINGS},    [15] = {"stream", L_STREAM},   [16] = {"hash", L_PACKED},
    [17] = {"zset", L_PACKED},     [18] = {"list", L_QUICKLIST2}, [19] = {"stream", L_STREAM2},
    [20] = {"set", L_PACKED},      [21] = {"stream", L_STREAM3},  [24] = {"hash", L_HASH_TTL},
    [25] = {"hash", L_PACKED_TTL},
};

static int
skip_value(struct rdb *r, enum layout layout, struct sg_err *err)
{
    switch (layout) {
    case L_STRING:
    case L_PACKED:
        return skip_strings(r, 1, err);
    case L_STRINGS:
        return skip_counted(r, 1, err);
    case L_PAIRS:
        return skip_counted(r, 2, err);
    case L_ZSET:
        return skip_zset(r, false, err);
    case L_ZSET2:
        return skip_zset(r, true, err);
    case L_QUICKLIST2:
        return skip_quicklist2(r, err);
    case L_HASH_TTL:
        return skip_hash_with_ttls(r, err);
    case L_PACKED_TTL:
        return sg_pull_skip(r->in, 8, err) != 0 ? -1 : skip_strings(r, 1, err);
    case L_MODULE: /* its type's id comes first */
        return skip_lengths(r, 1, err) != 0 ? -1 : skip_module(r, err);
    case L_STREAM:
        return skip_stream(r, 1, err);
    case L_STREAM2:
        return skip_stream(r, 2, err);
    case L_STREAM3:
        return skip_stream(r, 3, err);
    }
    return sg_fail(err, SG_E_INTERNAL, r->in->name, "a layout that is not handled");
}

/* ---- records ---- */

static int
take_key(struct rdb *r, struct sg_rdb_record *record, struct sg_err *err)
{
    struct sg_slice s;

    if (take_string(r, SG_RDB_KEY_MAX, &s, &record->key_bytes, err) != 0)
        return -1;
    if (s.len > 0)
        memcpy(r->key, s.ptr, s.len);
    record->key = sg_slice(r->key, s.len);
    return 0;
}

static int
take_record(struct rdb *r, uint8_t type, struct sg_rdb_record *record, sg_rdb_told told, void *ctx,
            struct sg_err *err)
{
    uint64_t bytes;

    if (type >= sizeof types / sizeof types[0] || types[type].name == NULL)
        return broken(r, err, "this version of Segue does not know type", type);
    if (take_key(r, record, err) != 0)
        return -1;
    record->type = types[type].name;
    record->value = (struct sg_slice){0};
    record->too_large = false;
    if (types[type].layout != L_STRING) {
        if (skip_value(r, types[type].layout, err) != 0)
            return -1;
    } else {
        if (take_string(r, r->value_max, &record->value, &bytes, err) != 0)
            return -1;
        record->too_large = bytes > r->value_max;
    }
    if (told(ctx, record, err) != 0)
        return -1;
    record->expires_ms = -1;
    return 0;
}

static int
take_magic(struct rdb *r, struct sg_err *err)
{
    struct sg_slice s;
    int i;

    if (sg_pull_take(r->in, 9, &s, err) != 0)
        return -1;
    if (memcmp(s.ptr, "REDIS", 5) != 0)
        return sg_fail(err, SG_E_INVALID, r->in->name,
                       "expected a Redis dump, which begins with REDIS");
    r->version = 0;
    for (i = 5; i < 9; i++)
        r->version = r->version * 10 + (s.ptr[i] - '0');
    if (r->version < 1 || r->version > VERSION_MOST)
        return sg_fail(err, SG_E_INVALID, r->in->name,
                       "a dump of version %d: this version of Segue reads 1 to %d", r->version,
                       VERSION_MOST);
    return 0;
}

/* What is said of the record that follows, or of the dump. 1: the dump is over. */
static int
take_op(struct rdb *r, uint8_t op, struct sg_rdb_record *record, struct sg_err *err)
{
    uint64_t v;

    switch (op) {
    case OP_END:
        return r->version < 5 || sg_pull_skip(r->in, 8, err) == 0 ? 1 : -1;
    case OP_SELECT:
        if (take_length(r, &v, err) != 0)
            return -1;
        record->database = v < INT32_MAX ? (int)v : INT32_MAX;
        return 0;
    case OP_EXPIRES_S:
        if (take_little(r, 4, &v, err) != 0)
            return -1;
        record->expires_ms = (int64_t)v * 1000;
        return 0;
    case OP_EXPIRES_MS:
        if (take_little(r, 8, &v, err) != 0)
            return -1;
        record->expires_ms = v <= INT64_MAX ? (int64_t)v : 0;
        return 0;
    case OP_FREQ:
        return sg_pull_skip(r->in, 1, err);
    case OP_IDLE:
        return skip_lengths(r, 1, err);
    case OP_RESIZE:
        return skip_lengths(r, 2, err);
    case OP_SLOT_INFO:
        return skip_lengths(r, 3, err);
    case OP_AUX:
        return skip_strings(r, 2, err);
    case OP_FUNCTION:
        return skip_strings(r, 1, err);
    case OP_MODULE_AUX: /* the module's id and when it wants to be read, then its parts */
        return skip_lengths(r, 3, err) != 0 ? -1 : skip_module(r, err);
    default:
        return broken(r, err, "unknown opcode", op);
    }
}

static int
take_all(struct rdb *r, sg_rdb_told told, void *ctx, struct sg_err *err)
{
    struct sg_rdb_record record = {.expires_ms = -1};
    uint8_t op;
    int rc;

    if (take_magic(r, err) != 0)
        return -1;
    for (;;) {
        if (sg_pull_byte(r->in, &op, err) != 0)
            return -1;
        if (op < OP_SLOT_INFO) {
            if (take_record(r, op, &record, told, ctx, err) != 0)
                return -1;
            continue;
        }
        rc = take_op(r, op, &record, err);
        if (rc != 0)
            return rc > 0 ? 0 : -1;
    }
}

int
sg_rdb_read(struct sg_pull *in, size_t value_max, sg_rdb_told told, void *ctx, struct sg_err *err)
{
    struct rdb r = {.in = in, .value_max = value_max};
    int rc = take_all(&r, told, ctx, err);

    if (r.unpacked != NULL)
        explicit_bzero(r.unpacked, value_max); /* sessions stood in it */
    free(r.unpacked);
    return rc;
}
