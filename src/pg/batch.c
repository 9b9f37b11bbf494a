/* SPDX-License-Identifier: MIT */
#include "pg/pg.h"

#include <assert.h>
#include <stdlib.h>

void
sg_pg_batch_clear(struct sg_pg_batch *batch)
{
    int i;

    for (i = 0; i < SG_PG_MAX_STATEMENTS; i++) {
        PQclear(batch->results[i]);
        batch->results[i] = NULL;
    }
}

int
sg_pg_rows(const struct sg_pg_batch *batch, int call)
{
    return PQntuples(batch->results[call]);
}

struct sg_slice
sg_pg_value(const struct sg_pg_batch *batch, int call, int row, int column)
{
    const PGresult *r = batch->results[call];

    assert(row >= 0 && row < PQntuples(r) && column >= 0 && column < PQnfields(r));
    if (PQgetisnull(r, row, column))
        return sg_slice(NULL, 0);
    return sg_slice(PQgetvalue(r, row, column), (size_t)PQgetlength(r, row, column));
}

/* Binary integers are big-endian, of the column's width. */
static int64_t
binary_int(struct sg_slice v)
{
    uint64_t n = v.len > 0 && (v.ptr[0] & 0x80) != 0 ? UINT64_MAX : 0;
    size_t i;

    assert(v.len == 2 || v.len == 4 || v.len == 8);
    for (i = 0; i < v.len; i++)
        n = n << 8 | (uint8_t)v.ptr[i];
    return (int64_t)n;
}

int64_t
sg_pg_int(const struct sg_pg_batch *batch, int call, int row, int column, int64_t if_null)
{
    struct sg_slice v = sg_pg_value(batch, call, row, column);

    if (v.ptr == NULL)
        return if_null;
    if (PQfformat(batch->results[call], column) == 1)
        return binary_int(v);
    return strtoll(v.ptr, NULL, 10); /* libpq ends every value with NUL */
}
