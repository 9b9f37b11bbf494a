/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_CONVERT_REST_H
#define SG_MODEL_CONVERT_REST_H

#include "model/convert.h"

/* Within model/: what of a document has no column and no child table. */

/* Member of the rest: paths whose NULL, or no rows, stand for a missing member this time. */
#define SG_MODEL_MISSING "$missing"

/* *out: jsonb for the rest column, untouched where there is no rest. TYPE: a value has no place, as
 * the table has no rest column, or the document uses the name above itself. */
enum sg_model_reject sg_model_rest(const struct sg_mapping *m, int table, const struct sg_doc *doc,
                                   struct sg_arena *arena, struct sg_buf *json,
                                   struct sg_slice *out);

/* The value at the path; NULL. */
const struct sg_doc *sg_model_value_at(const struct sg_doc *doc, const struct sg_model_path *path);

#endif
