/* SPDX-License-Identifier: MIT */
#include "store/op.h"

#include "base/encode.h"

#include <stdlib.h>

/* bytea comes as text: "\x" and two digits a byte. */
static struct sg_slice
hex_of(const struct sg_part *part, int call, int row, int column)
{
    struct sg_slice v = sg_pg_value(&part->batch, call, row, column);

    return v.len >= 2 ? sg_slice(v.ptr + 2, v.len - 2) : sg_slice(NULL, 0);
}

void
sg_read_bytes(const struct sg_part *part, int call, int row, int column, uint8_t *out, size_t n)
{
    if (sg_unhex(hex_of(part, call, row, column), out, n) != 0)
        memset(out, 0, n);
}

struct sg_buf
sg_read_bytea(const struct sg_part *part, int call, int row, int column)
{
    struct sg_slice hex = hex_of(part, call, row, column);
    size_t n = hex.len / 2, i, k;
    struct sg_buf b = SG_BUF_INIT(n);
    uint8_t piece[256];

    for (i = 0; i < n; i += k) {
        k = n - i < sizeof piece ? n - i : sizeof piece;
        if (sg_unhex(sg_slice(hex.ptr + 2 * i, 2 * k), piece, k) != 0)
            break;
        sg_buf_add(&b, sg_slice((const char *)piece, k));
    }
    return b;
}

struct sg_buf
sg_read_text(const struct sg_part *part, int call, int row, int column)
{
    struct sg_slice v = sg_pg_value(&part->batch, call, row, column);
    struct sg_buf b = SG_BUF_INIT(v.len);

    sg_buf_add(&b, v);
    return b;
}

void
sg_copy_string(char *out, size_t cap, struct sg_slice s)
{
    size_t n = s.len < cap - 1 ? s.len : cap - 1;

    if (n > 0)
        memcpy(out, s.ptr, n);
    out[n] = '\0';
}

void
sg_read_string(const struct sg_part *part, int call, int row, int column, char *out, size_t cap)
{
    sg_copy_string(out, cap, sg_pg_value(&part->batch, call, row, column));
}

bool
sg_read_bool(const struct sg_part *part, int call, int row, int column)
{
    struct sg_slice v = sg_pg_value(&part->batch, call, row, column);

    return v.len == 1 && v.ptr[0] == 't';
}
