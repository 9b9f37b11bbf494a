/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_CHECK_H
#define SG_MODEL_CHECK_H

#include "base/yaml.h"
#include "model/mapping.h"

/* Within model/: what must hold of a mapping beyond its syntax. */

/* Where things stood in the file. */
struct sg_model_place {
    struct sg_yaml_node *node, *lookup, *references;
};
struct sg_model_places {
    struct sg_yaml_node *tables[SG_MODEL_TABLES_MAX];
    struct sg_model_place *columns[SG_MODEL_TABLES_MAX];
    struct sg_yaml_node *lookups;
};

/* A name PostgreSQL can give to a table or a column. */
SG_MUST_USE int sg_model_check_name(const struct sg_yaml_node *at, const char *name,
                                    struct sg_err *err);

/* Resolves lookups and references, then checks names, types, keys and places of values. */
SG_MUST_USE int sg_model_check(const struct sg_mapping *m, struct sg_model_table *tables,
                               const struct sg_model_places *places, struct sg_err *err);

/* Whether a column of this type can be (part of) a key. */
bool sg_model_can_be_key(const struct sg_model_column *c);
/* Of the same type, so that one can refer to the other. */
bool sg_model_same_type(const struct sg_model_column *a, const struct sg_model_column *b);

#endif
