/* SPDX-License-Identifier: MIT */
#ifndef SG_IDENTITY_ANSWER_H
#define SG_IDENTITY_ANSWER_H

#include "identity/identity.h"

#define SG_ANSWER_BYTES_MAX 65536      /* of a lookup */
#define SG_CHANGES_BYTES_MAX (1 << 20) /* of a reading of changes */

/* Reads a JSON answer by the paths. Strict: no member twice, no NUL, no other type than the paths
 * say; what is nowhere ("") is empty. Pure. SG_E_INVALID and SG_E_LIMIT name the path and
 * what was expected. out is untouched on failure. */
SG_MUST_USE int sg_identity_answer(const struct sg_identity_paths *paths, struct sg_slice body,
                                   struct sg_identity *out, struct sg_err *err);

/* Reads {items, cursor}: fills items, n_items, n_refused, refused, full and cursor. A missing or
 * null cursor leaves it as it was where there are no items. */
SG_MUST_USE int sg_identity_changes_answer(const struct sg_identity_paths *paths,
                                           struct sg_slice body,
                                           struct sg_identity_changes *changes, struct sg_err *err);

#endif
