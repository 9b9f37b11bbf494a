/* SPDX-License-Identifier: MIT */
#ifndef SG_STORE_COLUMNS_H
#define SG_STORE_COLUMNS_H

#include "base/buf.h"
#include "pg/pg.h"

#include <stdint.h>

/* Parameters of a statement in text format: a column is an array that grows by one element a row,
 * or one plain value. With them one row and 2,000 rows are the same statement. */
#define SG_COLUMN_BYTES_MAX (32u << 20)

struct sg_columns {
    struct sg_buf text[SG_PG_MAX_PARAMS];
    bool closed[SG_PG_MAX_PARAMS]; /* a plain value, or an array that has its end */
};

void sg_columns_init(struct sg_columns *columns);
void sg_columns_free(struct sg_columns *columns);

/* Each adds one element to array c. NULL text and NULL bytes are SQL NULL. */
void sg_column_text(struct sg_columns *columns, int c, const char *text);
void sg_column_int(struct sg_columns *columns, int c, int64_t number);
void sg_column_bool(struct sg_columns *columns, int c, bool yes);
void sg_column_bytes(struct sg_columns *columns, int c, const void *bytes, size_t n);
void sg_column_null(struct sg_columns *columns, int c);

/* Makes c a plain value. */
void sg_column_value(struct sg_columns *columns, int c, struct sg_slice value);
void sg_column_int_value(struct sg_columns *columns, int c, int64_t number);
void sg_column_bytes_value(struct sg_columns *columns, int c, const void *bytes, size_t n);

/* The parameter; ends the array. A column that nothing was added to is the empty array. Valid until
 * sg_columns_free. */
struct sg_slice sg_column_param(struct sg_columns *columns, int c);

/* True when one of them outgrew SG_COLUMN_BYTES_MAX. */
bool sg_columns_failed(const struct sg_columns *columns);

#endif
