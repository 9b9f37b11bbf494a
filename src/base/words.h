/* SPDX-License-Identifier: MIT */
#ifndef SG_BASE_WORDS_H
#define SG_BASE_WORDS_H

#include "base/buf.h"
#include "base/slice.h"

/* Lists of words with a space between, as a scope is one (RFC 6749 section 3.3). A word comes once;
 * its place means nothing. */

/* Takes the next word off the front of *rest; false where there is none. */
bool sg_words_next(struct sg_slice *rest, struct sg_slice *word);
bool sg_words_has(struct sg_slice list, struct sg_slice word);
/* Whether each word of `some` is in `all`. */
bool sg_words_within(struct sg_slice some, struct sg_slice all);
/* Appends a word unless it is there. */
void sg_words_add(struct sg_buf *list, struct sg_slice word);
/* Appends those words of a that are in b too. */
void sg_words_common(struct sg_buf *list, struct sg_slice a, struct sg_slice b);
/* Appends each of the NULL-ended names. */
void sg_words_add_all(struct sg_buf *list, const char *const *names);

#endif
