/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_EXTENDED_H
#define SG_MODEL_EXTENDED_H

#include "doc/doc.h"

/* Turns MongoDB's extended JSON, canonical and relaxed, as sg_doc_from_json read it, into the
 * values it stands for, in place: {"$oid": …}, {"$date": …}, {"$numberLong": …},
 * {"$numberDouble": …}, {"$numberDecimal": …}, {"$binary": …}, {"$uuid": …}. What is not well
 * formed stays an object. -1 when the arena's bound is met. */
SG_MUST_USE int sg_doc_from_extended(struct sg_arena *arena, struct sg_doc *doc,
                                     struct sg_err *err);

#endif
