/* SPDX-License-Identifier: MIT */
#ifndef SG_SOURCE_DOC_BSON_H
#define SG_SOURCE_DOC_BSON_H

#include "base/buf.h"
#include "doc/doc.h"

#include <bson/bson.h>

/* BSON and documents; pure. Every BSON type has its place: those that a document lacks (regular
 * expressions, timestamps, code, symbols, MinKey, …) become SG_DOC_OTHER. Both ways give back the
 * same bytes, but for the names of array items. */

/* One BSON document, which must live as long as *out. SG_E_INVALID when it is damaged or text in it
 * is not UTF-8, placed "byte N"; SG_E_LIMIT past SG_DOC_DEPTH_MAX or the arena's bound. */
SG_MUST_USE int sg_doc_from_bson(struct sg_arena *arena, struct sg_slice bytes, struct sg_doc *out,
                                 struct sg_err *err);

/* Appends the members of an object to *out. SG_E_INVALID for what BSON cannot hold: a name with a
 * NUL, a decimal of more than 34 digits; SG_E_LIMIT past SG_DOC_DEPTH_MAX. */
SG_MUST_USE int sg_doc_to_bson(const struct sg_doc *object, bson_t *out, struct sg_err *err);
/* Appends one member. */
SG_MUST_USE int sg_doc_append_bson(bson_t *out, const char *name, const struct sg_doc *value,
                                   struct sg_err *err);

/* Appends an _id as canonical bytes, which are extended JSON: values that MongoDB takes for the
 * same _id (1, 1.0, NumberLong(1)) give the same ones. */
SG_MUST_USE int sg_doc_id_text(const struct sg_doc *id, struct sg_buf *out, struct sg_err *err);
/* Such a text as the value of "_id" in a new document, to be bson_destroy()ed; NULL if it is none.
 */
bson_t *sg_doc_id_bson(struct sg_slice text);

#endif
