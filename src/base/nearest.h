/* SPDX-License-Identifier: MIT */
#ifndef SG_BASE_NEAREST_H
#define SG_BASE_NEAREST_H

/* Edits (insert, delete, replace a byte) that turn a into b; 99 where either is longer than 40
 * bytes. For "did you mean". */
int sg_edit_distance(const char *a, const char *b);

/* At this distance or beyond, a suggestion would only confuse. */
#define SG_NEAREST_LIMIT 4

#endif
