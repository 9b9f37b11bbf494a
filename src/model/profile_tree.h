/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_PROFILE_TREE_H
#define SG_MODEL_PROFILE_TREE_H

#include "model/profile.h"

/* Within model/: fields as a tree, and several of them made one. */

/* name without ptr: an element, or a map's value. NULL past the bound or without memory. */
struct sg_field *sg_field_new(struct sg_profile *p, struct sg_field *parent, struct sg_slice name);
void sg_field_link(struct sg_field *f, struct sg_field *member);
/* Frees what is below it and what it holds, not itself. */
void sg_field_clear(struct sg_field *f);
/* Its members become one, under no name: it is a map. */
void sg_field_fold(struct sg_profile *p, struct sg_field *f);

/* Short strings, as far as they may be kept. */
void sg_field_keep_value(struct sg_field *f, struct sg_slice s, uint64_t times);
void sg_field_drop_values(struct sg_field *f);

#endif
