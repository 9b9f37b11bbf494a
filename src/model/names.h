/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_NAMES_H
#define SG_MODEL_NAMES_H

#include "base/buf.h"

/* Names of PostgreSQL. */

/* A word that cannot be a column's or a table's name unless it is quoted. */
bool sg_sql_is_reserved(const char *name);
/* Appends an identifier, quoted where it must be. */
void sg_sql_ident(struct sg_buf *out, const char *name);
/* Appends a string constant. */
void sg_sql_string(struct sg_buf *out, const char *text);

/* createdAt -> created_at, _id -> id, "Déjà vu" -> d_j_vu; at most 63 bytes, never empty. */
void sg_snake(struct sg_slice name, char out[64]);
/* user -> users, category -> categories, news -> news; and back. */
void sg_plural(const char *name, char out[64]);
void sg_singular(const char *name, char out[64]);

#endif
