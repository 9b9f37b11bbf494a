/* SPDX-License-Identifier: MIT */
#include "store/columns.h"

#include <assert.h>
#include <inttypes.h>

void
sg_columns_init(struct sg_columns *columns)
{
    int c;

    *columns = (struct sg_columns){0};
    for (c = 0; c < SG_PG_MAX_PARAMS; c++)
        columns->text[c] = SG_BUF_INIT(SG_COLUMN_BYTES_MAX);
}

void
sg_columns_free(struct sg_columns *columns)
{
    int c;

    for (c = 0; c < SG_PG_MAX_PARAMS; c++)
        sg_buf_free(&columns->text[c]);
}

/* The array's buffer, ready for the next element. */
static struct sg_buf *
element(struct sg_columns *columns, int c)
{
    struct sg_buf *b = &columns->text[c];

    assert(c >= 0 && c < SG_PG_MAX_PARAMS && !columns->closed[c]);
    sg_buf_puts(b, b->len == 0 ? "{" : ",");
    return b;
}

void
sg_column_null(struct sg_columns *columns, int c)
{
    sg_buf_puts(element(columns, c), "NULL");
}

/* Always in quotes: so a NULL, a comma, a brace or a blank in it is only text. */
void
sg_column_text(struct sg_columns *columns, int c, const char *text)
{
    struct sg_buf *b;
    size_t run;

    if (text == NULL) {
        sg_column_null(columns, c);
        return;
    }
    b = element(columns, c);
    sg_buf_puts(b, "\"");
    for (;; text += run + 1) {
        run = strcspn(text, "\"\\");
        sg_buf_add(b, sg_slice(text, run));
        if (text[run] == '\0')
            break;
        sg_buf_puts(b, "\\");
        sg_buf_add(b, sg_slice(text + run, 1));
    }
    sg_buf_puts(b, "\"");
}

void
sg_column_int(struct sg_columns *columns, int c, int64_t number)
{
    sg_buf_printf(element(columns, c), "%" PRId64, number);
}

void
sg_column_bool(struct sg_columns *columns, int c, bool yes)
{
    sg_buf_puts(element(columns, c), yes ? "t" : "f");
}

static void
add_hex(struct sg_buf *b, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    char piece[512];
    size_t i, k;

    for (i = 0; i < n; i += k) {
        for (k = 0; i + k < n && k < sizeof piece / 2; k++) {
            piece[2 * k] = digits[bytes[i + k] >> 4];
            piece[2 * k + 1] = digits[bytes[i + k] & 15];
        }
        sg_buf_add(b, sg_slice(piece, 2 * k));
    }
}

void
sg_column_bytes(struct sg_columns *columns, int c, const void *bytes, size_t n)
{
    struct sg_buf *b;

    if (bytes == NULL) {
        sg_column_null(columns, c);
        return;
    }
    b = element(columns, c);
    sg_buf_puts(b, "\"\\\\x");
    add_hex(b, bytes, n);
    sg_buf_puts(b, "\"");
}

static struct sg_buf *
plain(struct sg_columns *columns, int c)
{
    assert(c >= 0 && c < SG_PG_MAX_PARAMS && columns->text[c].len == 0);
    columns->closed[c] = true;
    return &columns->text[c];
}

void
sg_column_value(struct sg_columns *columns, int c, struct sg_slice value)
{
    sg_buf_add(plain(columns, c), value);
}

void
sg_column_int_value(struct sg_columns *columns, int c, int64_t number)
{
    sg_buf_printf(plain(columns, c), "%" PRId64, number);
}

void
sg_column_bytes_value(struct sg_columns *columns, int c, const void *bytes, size_t n)
{
    struct sg_buf *b = plain(columns, c);

    sg_buf_puts(b, "\\x");
    add_hex(b, bytes, n);
}

struct sg_slice
sg_column_param(struct sg_columns *columns, int c)
{
    struct sg_buf *b = &columns->text[c];

    if (!columns->closed[c]) {
        sg_buf_puts(b, b->len == 0 ? "{}" : "}");
        columns->closed[c] = true;
    }
    return b->ptr != NULL ? sg_buf_slice(b) : sg_slice("", 0);
}

bool
sg_columns_failed(const struct sg_columns *columns)
{
    int c;

    for (c = 0; c < SG_PG_MAX_PARAMS; c++)
        if (columns->text[c].failed)
            return true;
    return false;
}
