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

struct sg_doc {
    enum sg_doc_type type;
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

/* bytes_max bounds everything allocated from it between two resets. */
SG_MUST_USE int sg_arena_new(size_t bytes_max, struct sg_arena **out, struct sg_err *err);
void sg_arena_free(struct sg_arena *arena);
/* Keeps the memory for the next batch. */
void sg_arena_reset(struct sg_arena *arena);
/* Aligned for any type, not zeroed; NULL past the bound or without memory. */
void *sg_arena_alloc(struct sg_arena *arena, size_t bytes);

/* Parses one JSON value, strictly (RFC 8259, UTF-8, nothing after it). Integers that fit become
 * INT; other numbers become DOUBLE where that loses nothing and DECIMAL where it does. Duplicate
 * member names are SG_E_INVALID. Slices point into `json` where they need no unescaping, so it must
 * live as long as the document. Errors are placed "byte N"; SG_E_LIMIT past depth, size or the
 * arena's bound. */
SG_MUST_USE int sg_doc_from_json(struct sg_arena *arena, struct sg_slice json, struct sg_doc *out,
                                 struct sg_err *err);

struct sg_buf;
/* Appends it as JSON text. Types that JSON lacks are written as MongoDB's canonical extended JSON
 * ({"$date": …}, {"$oid": …}, {"$numberDecimal": …}, {"$binary": …}), NaN and infinities too. */
SG_MUST_USE int sg_doc_to_json(const struct sg_doc *doc, struct sg_buf *out, struct sg_err *err);

/* The member of an object, or NULL. */
const struct sg_doc *sg_doc_get(const struct sg_doc *object, struct sg_slice name);

/* The same type and value; members in any order. An INT equals a DOUBLE of the same value. */
bool sg_doc_equal(const struct sg_doc *a, const struct sg_doc *b);

/* "null", "bool", "int", … Static storage. */
const char *sg_doc_type_name(enum sg_doc_type type);

#endif
