/* SPDX-License-Identifier: MIT */
#ifndef SG_DOC_DOC_H
#define SG_DOC_DOC_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

/* A document of a NoSQL store as a tree of values, whatever wire format it came in. Every value of
 * JSON, BSON and DynamoDB has exactly one place here, so that what was read can be written back. */
enum sg_doc_type {
    SG_DOC_NULL,
    SG_DOC_BOOL,
    SG_DOC_INT,     /* fits int64 */
    SG_DOC_DOUBLE,  /* IEEE 754, NaN and infinities included */
    SG_DOC_DECIMAL, /* text: a decimal number as the source wrote it, of any size */
    SG_DOC_STRING,  /* text: UTF-8; may hold NUL, which PostgreSQL's text cannot */
    SG_DOC_BYTES,   /* text */
    SG_DOC_TIME,    /* integer: Unix milliseconds, also before 1970 */
    SG_DOC_OID,     /* text: 12 bytes, a MongoDB ObjectId */
    SG_DOC_ARRAY,
    SG_DOC_OBJECT,
    SG_DOC_OTHER, /* a type only the source has; text: its canonical extended JSON */
};

#define SG_DOC_DEPTH_MAX 100        /* as BSON's own limit */
#define SG_DOC_BYTES_MAX (17 << 20) /* a 16 MB document and its frame */

/* How the source held a value, where its type here does not say; only writing back looks at it.
 * 0 = nothing more to say. BYTES: the subtype of BSON's binary. */
enum sg_doc_origin {
    SG_DOC_ORIGIN_SET = 1,    /* ARRAY: DynamoDB's SS, NS, BS */
    SG_DOC_ORIGIN_INT32 = 32, /* INT: BSON's int32 */
};

struct sg_doc {
    enum sg_doc_type type : 16;
    unsigned origin : 16;
    uint32_t n; /* ARRAY, OBJECT: how many */
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct sg_slice text;
        struct sg_doc *items;          /* ARRAY */
        struct sg_doc_member *members; /* OBJECT, in the source's order */
    };
};

struct sg_doc_member {
    struct sg_slice name; /* a name may come twice: the reader decides what that means */
    struct sg_doc value;
};

/* Where documents live until the arena is reset: one per thread and batch. */
struct sg_arena;

/* bytes_max bounds the memory it holds. */
SG_MUST_USE int sg_arena_new(size_t bytes_max, struct sg_arena **out, struct sg_err *err);
void sg_arena_free(struct sg_arena *arena);
/* Keeps the memory for the next batch. */
void sg_arena_reset(struct sg_arena *arena);
/* Aligned for any type, not zeroed; NULL past the bound or without memory. */
void *sg_arena_alloc(struct sg_arena *arena, size_t bytes);
/* What may still be had before the bound, at least. */
size_t sg_arena_left(const struct sg_arena *arena);

/* Parses one JSON value, strictly (RFC 8259, UTF-8, nothing after it). Numbers as
 * sg_doc_from_number has them. Duplicate member names are SG_E_INVALID, lone surrogates too; a NUL
 * ("\u0000") is not. Slices point into `json` where they need no unescaping, so it must live as
 * long as the document. Errors are placed "byte N" (from 0); SG_E_LIMIT past depth, size or the
 * arena's bound, of which parsing takes as much again for itself. */
SG_MUST_USE int sg_doc_from_json(struct sg_arena *arena, struct sg_slice json, struct sg_doc *out,
                                 struct sg_err *err);

/* A decimal number as JSON writes them. Without fraction and exponent and within int64 it becomes
 * INT ("-0" does not). Others become DOUBLE where the nearest double, written with as many digits,
 * is the same number, and DECIMAL, whose text is a slice of `text`, where it is not. SG_E_INVALID,
 * without a place, if it is no such number. */
SG_MUST_USE int sg_doc_from_number(struct sg_slice text, struct sg_doc *out, struct sg_err *err);

struct sg_buf;
/* Appends it as JSON text: a DOUBLE always with a point or an exponent, a DECIMAL as it stands.
 * Types that JSON lacks are written as MongoDB's canonical extended JSON ({"$date": …},
 * {"$oid": …}, {"$binary": …}), {"$numberDouble": "NaN"}, "Infinity" and {"$numberDecimal": "NaN"}
 * too. SG_E_LIMIT past the buffer's bound or SG_DOC_DEPTH_MAX. */
SG_MUST_USE int sg_doc_to_json(const struct sg_doc *doc, struct sg_buf *out, struct sg_err *err);

/* The first member of that name of an object, or NULL. */
const struct sg_doc *sg_doc_get(const struct sg_doc *object, struct sg_slice name);

/* The same type and value; members in any order (of two with one name, in theirs). Numbers are
 * compared by value whatever their type, a DOUBLE with a DECIMAL as the shortest text that reads as
 * it; NaN equals NaN, -0 equals 0. Origins are not compared. */
bool sg_doc_equal(const struct sg_doc *a, const struct sg_doc *b);

#define SG_DOC_DOUBLE_TEXT 32
/* The shortest text that reads as this finite double, with a point or an exponent: "0.1", "1.0",
 * "1e+100". */
void sg_doc_double_text(double real, char out[SG_DOC_DOUBLE_TEXT]);

/* "null", "bool", "int", … Static storage. */
const char *sg_doc_type_name(enum sg_doc_type type);

#endif
