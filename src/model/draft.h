/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_DRAFT_H
#define SG_MODEL_DRAFT_H

#include "model/mapping.h"
#include "model/profile.h"

/* Within model/: a mapping while it is being proposed. */

/* A column, and the field it was made of. */
struct sg_draft_column {
    struct sg_model_column c;
    const struct sg_field *field;
    int refers;          /* index of the draft table whose key it holds; -1 */
    double refers_share; /* of its values that were found there */
};

struct sg_draft_table {
    struct sg_model_table t;
    const struct sg_profile *profile;
    const struct sg_field *field;  /* what its rows are: the record, an element, a map's value */
    const struct sg_field *holder; /* of a child: the array or map */
    uint64_t rows;
    struct sg_draft_column *columns;
    int n_columns;
    int key, shard_key; /* of a root */
    int refers;         /* of a map: whose keys its names are; -1 */
};

struct sg_draft {
    struct sg_arena *arena;
    struct sg_draft_table *tables;
    int n_tables;
    struct sg_model_lookup *lookups;
    int n_lookups;
    int people;  /* index of the table that others stand beside; -1 */
    bool failed; /* the arena's bound was met */
};

/* While one collection's tables are drafted. */
#define SG_DRAFT_PATH_MAX 16
#define SG_DRAFT_SURE_ROWS 100 /* fewer prove nothing about what is always there */
struct sg_draft_builder {
    struct sg_draft *d;
    struct sg_draft_table *t;
    int table;
    struct sg_slice path[SG_DRAFT_PATH_MAX];
    int depth;
};

/* Formatted text that lives with the draft. */
const char *sg_draft_text(struct sg_draft *d, const char *fmt, ...) SG_PRINTF(2, 3);
/* Puts another reason behind the one there is. */
void sg_draft_why(struct sg_draft *d, const char **why, const char *more);

/* Type, conversion, enumeration and reason for a scalar field of which `rows` could hold one. */
void sg_draft_scalar(struct sg_draft *d, const struct sg_field *f, bool untyped, uint64_t rows,
                     struct sg_model_column *c);
/* "12,345" */
const char *sg_draft_number(struct sg_draft *d, uint64_t n);
/* "60.2 %" */
const char *sg_draft_share(struct sg_draft *d, uint64_t part, uint64_t of);

/* What the field becomes: columns of the table at hand, child tables, or nothing. */
void sg_draft_member(struct sg_draft_builder *b, const struct sg_field *f);
void sg_draft_scalar_column(struct sg_draft_builder *b, const struct sg_field *f);
void sg_draft_child(struct sg_draft_builder *b, const struct sg_field *f);
/* NULL when the table has as many as it can. */
struct sg_draft_column *sg_draft_column_new(struct sg_draft_builder *b, const struct sg_field *f,
                                            const char *name);
/* The wanted name, or with a number behind it where that is taken. */
const char *sg_draft_free_name(struct sg_draft_builder *b, const char *wanted);
const char *sg_draft_free_table_name(struct sg_draft *d, const char *wanted);
bool sg_draft_table_taken(const struct sg_draft *d, const char *name);
/* Every value that is not null is of this type; is neither array nor object. */
bool sg_field_is_only(const struct sg_field *f, enum sg_doc_type type);
bool sg_field_is_scalar(const struct sg_field *f);

/* Which columns hold other tables' keys; the shard keys; which become foreign keys, and why others
 * do not. */
void sg_draft_relate(struct sg_draft *d);

#endif
