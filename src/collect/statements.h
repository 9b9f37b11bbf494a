/* SPDX-License-Identifier: MIT */
#ifndef SG_COLLECT_STATEMENTS_H
#define SG_COLLECT_STATEMENTS_H

#include "base/buf.h"
#include "model/mapping.h"

/* The SQL that a mapping's tables are written and read with. All append. A table's stage is a
 * temporary table of the same columns, empty at the start of each transaction. */

/* schema.table */
void sg_collect_table(const struct sg_mapping *m, int table, struct sg_buf *out);
/* COPY … FROM STDIN into the table, or into its stage. */
void sg_collect_copy_in(const struct sg_mapping *m, int table, bool stage, struct sg_buf *out);
/* COPY … TO STDOUT of the whole table, or of the buckets where is_in holds "1,2,…";
 * then expired ones too, which are left out of the whole. */
void sg_collect_copy_out(const struct sg_mapping *m, int table, const char *is_in,
                         struct sg_buf *out);
/* Makes the stages of a root and its children unless they are there; empties them. */
void sg_collect_stages(const struct sg_mapping *m, int root, struct sg_buf *out);
void sg_collect_stages_clear(const struct sg_mapping *m, int root, struct sg_buf *out);
/* From the stages into the tables: the root's rows where the stage's version is not older, or
 * in any case with force, and their children in place of the ones they had. */
void sg_collect_merge(const struct sg_mapping *m, int root, bool force, struct sg_buf *out);
/* Deletes the staged records. */
void sg_collect_delete(const struct sg_mapping *m, int root, struct sg_buf *out);
/* Of the rows with one key keeps those of the latest transaction: a record's rows all came in one.
 * For tables that have no keys yet. */
void sg_collect_dedupe(const struct sg_mapping *m, int root, struct sg_buf *out);

#endif
