/* SPDX-License-Identifier: MIT */
#ifndef SG_SOURCE_DOC_DYNAMO_H
#define SG_SOURCE_DOC_DYNAMO_H

#include "base/buf.h"
#include "doc/doc.h"

/* DynamoDB's typed JSON ({"name": {"S": "ann"}, "n": {"N": "1"}}) and documents; pure. Sets become
 * arrays with SG_DOC_ORIGIN_SET. A number keeps its decimal value: it is a DOUBLE only where the
 * shortest text of that is the same number. */

/* `typed` is an item, or a map's inside, as sg_doc_from_json read it; *out shares its memory.
 * SG_E_INVALID for what is not of that form, SG_E_LIMIT past the arena's bound. */
SG_MUST_USE int sg_doc_from_dynamo(struct sg_arena *arena, const struct sg_doc *typed,
                                   struct sg_doc *out, struct sg_err *err);

/* Appends an item. SG_E_INVALID for what DynamoDB cannot hold: times, ObjectIds, NaN and
 * infinities, empty sets, other stores' own types; SG_E_LIMIT as sg_doc_to_json. */
SG_MUST_USE int sg_doc_to_dynamo(const struct sg_doc *object, struct sg_buf *out,
                                 struct sg_err *err);
/* Appends one typed value: {"S": "ann"}. */
SG_MUST_USE int sg_doc_value_to_dynamo(const struct sg_doc *value, struct sg_buf *out,
                                       struct sg_err *err);

#endif
