/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_CONVERT_H
#define SG_MODEL_CONVERT_H

#include "model/mapping.h"

/* A record as rows, and rows as a record. Every record becomes its rows or is rejected with reason
 * and place; what was stored reads back as an equal document (sg_doc_equal), except that `iso`
 * keeps the instant and not how it was written. Pure; a converter is one thread's. */

enum sg_model_reject {
    SG_REJECT_NONE,
    SG_REJECT_TYPE,          /* not what the column is made of, or a value with no place */
    SG_REJECT_RANGE,         /* a number, time or length the type cannot hold; not among `values` */
    SG_REJECT_NUL,           /* PostgreSQL's text and jsonb hold no NUL */
    SG_REJECT_ENCODING,      /* text that is not UTF-8 */
    SG_REJECT_MISSING_KEY,   /* a key, the shard key, or a not_null column is not there */
    SG_REJECT_DUPLICATE_KEY, /* an object has one name twice */
    SG_REJECT_TOO_LARGE,     /* past the arena's bound, or a key longer than an index takes */
};
/* "type", "missing-key", … Static storage. */
const char *sg_model_reject_name(enum sg_model_reject reason);

/* Of a key's columns together: a B-tree takes no entry of more than a third of a page. */
#define SG_MODEL_KEY_BYTES_MAX 2600

struct sg_model_record {
    struct sg_slice key; /* where the store has it apart ("$key"), behind the collection's prefix */
    const struct sg_doc *doc;
    int64_t expires_ms; /* -1 = never */
    int64_t version;
};

/* One row: a value a column of sg_mapping_physical, in PostgreSQL's binary form, as COPY BINARY
 * wants it; ptr NULL = NULL. */
struct sg_model_row {
    int table;
    int n;
    struct sg_slice *values;
};

struct sg_model_rows {
    struct sg_model_row *rows; /* the record's own first */
    int n;
    int bucket;
    struct sg_slice shard_key; /* text the bucket is computed of: 42, a uuid, a name */
    enum sg_model_reject reason;
    char place[200]; /* "orders.user_id (userId)"; without the value */
};

typedef int (*sg_model_bucket_of)(void *ctx, struct sg_slice shard_key);

struct sg_model_converter;
/* m must outlive it. */
SG_MUST_USE int sg_model_converter_new(const struct sg_mapping *m, sg_model_bucket_of bucket_of,
                                       void *ctx, struct sg_model_converter **out,
                                       struct sg_err *err);
void sg_model_converter_free(struct sg_model_converter *c);

/* Everything in *out lives in the arena, or in the record. Returns out->reason. */
enum sg_model_reject sg_model_convert(struct sg_model_converter *c, int root,
                                      const struct sg_model_record *record, struct sg_arena *arena,
                                      struct sg_model_rows *out);

/* The document of which these are the rows: the root's first, then its children's in any order,
 * values as PostgreSQL's binary form has them. SG_E_INVALID, placed at the column, where a value is
 * not of its column's form. */
SG_MUST_USE int sg_model_restore(const struct sg_mapping *m, const struct sg_model_row *rows, int n,
                                 struct sg_arena *arena, struct sg_doc *out, struct sg_err *err);

/* Appends the row as a tuple of COPY BINARY (which begins with sg_model_copy_header and ends with
 * sg_model_copy_trailer). */
void sg_model_copy_row(const struct sg_model_row *row, struct sg_buf *out);
void sg_model_copy_header(struct sg_buf *out);
void sg_model_copy_trailer(struct sg_buf *out);

#endif
