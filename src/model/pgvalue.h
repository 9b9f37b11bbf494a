/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_PGVALUE_H
#define SG_MODEL_PGVALUE_H

#include "base/buf.h"
#include "model/convert.h"

/* Within model/: one value of a document as one of a column, and back. */

/* *out in the arena or in the value. json is scratch. v is not NULL-typed. */
enum sg_model_reject sg_pgvalue_encode(const struct sg_model_column *c, const struct sg_doc *v,
                                       struct sg_arena *arena, struct sg_buf *json,
                                       struct sg_slice *out);

/* The same for the parts that no document holds. NULL where the arena is full. */
struct sg_slice sg_pgvalue_int(struct sg_arena *arena, int64_t v, int bytes);
enum sg_model_reject sg_pgvalue_time(struct sg_arena *arena, int64_t unix_ms, struct sg_slice *out);
enum sg_model_reject sg_pgvalue_json(const struct sg_doc *v, struct sg_arena *arena,
                                     struct sg_buf *json, struct sg_slice *out);

/* false: not of the column's form, or no memory. */
bool sg_pgvalue_decode(const struct sg_model_column *c, struct sg_slice bytes,
                       struct sg_arena *arena, struct sg_doc *out);
bool sg_pgvalue_get_int(struct sg_slice bytes, int64_t *out);

/* numeric: from a decimal text as JSON writes numbers, and back. */
enum sg_model_reject sg_pgnumeric_encode(struct sg_slice text, struct sg_arena *arena,
                                         struct sg_slice *out);
bool sg_pgnumeric_decode(struct sg_slice bytes, struct sg_arena *arena, struct sg_slice *text);

#endif
