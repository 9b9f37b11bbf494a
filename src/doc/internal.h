/* SPDX-License-Identifier: MIT */
#ifndef SG_DOC_INTERNAL_H
#define SG_DOC_INTERNAL_H

#include "doc/doc.h"

/* Within doc/. */

/* The end of the JSON number that begins at p, or NULL; *whole: neither fraction nor exponent. */
const char *sg_doc_number_end(const char *p, const char *end, bool *whole);

/* Of the number in text, which sg_doc_number_end found the end of. */
void sg_doc_number_value(struct sg_slice text, bool whole, struct sg_doc *out);

/* Whether two texts are the same number; texts that are no JSON numbers ("NaN") are compared as
 * they stand. */
bool sg_doc_number_equal(struct sg_slice a, struct sg_slice b);

/* "NaN", "Infinity" or "-Infinity"; NULL for a finite number. */
const char *sg_doc_not_finite(double real);

/* For qsort of pointers into one object's members: those of one name side by side, in their order.
 */
int sg_doc_compare_members(const void *a, const void *b);

#endif
