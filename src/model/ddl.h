/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_DDL_H
#define SG_MODEL_DDL_H

#include "model/mapping.h"

/* The SQL that makes a mapping's tables on one shard, in three parts so that a bulk load can go
 * into tables without indexes, and so that collections can be followed in any order. Nothing is
 * IF NOT EXISTS but the schema: a table that is there already may be another one, and to pass over
 * it in silence would load into the wrong shape. */
enum sg_ddl_part {
    SG_DDL_TABLES = 1,     /* schema, lookup tables with their values, tables with their checks */
    SG_DDL_KEYS = 2,       /* after the load: primary keys, unique, indexes, children to parents */
    SG_DDL_REFERENCES = 4, /* once the source is no longer followed: foreign keys between records */
};

void sg_mapping_ddl(const struct sg_mapping *m, unsigned parts, struct sg_buf *out);

/* SHA-256 of the mapping's text without comments, in hexadecimal; it is in the schema's comment,
 * by which a later run knows the tables for its own. */
void sg_mapping_digest(const struct sg_mapping *m, char out[65]);

#endif
