/* SPDX-License-Identifier: MIT */
#include "model/names.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* PostgreSQL 15's reserved words, and those that only functions and types may be called. */
static const char *const reserved[] = {
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "binary",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "session_user",
    "similar",
    "some",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
};

static int
compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool
sg_sql_is_reserved(const char *name)
{
    return bsearch(&name, reserved, sizeof reserved / sizeof *reserved, sizeof *reserved,
                   compare) != NULL;
}

void
sg_sql_ident(struct sg_buf *out, const char *name)
{
    const char *p;
    bool plain = islower((unsigned char)name[0]) || name[0] == '_';

    for (p = name; *p != '\0'; p++)
        plain = plain && (islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '_');
    if (plain && !sg_sql_is_reserved(name)) {
        sg_buf_puts(out, name);
        return;
    }
    sg_buf_puts(out, "\"");
    for (p = name; *p != '\0'; p++)
        sg_buf_add(out, *p == '"' ? sg_str("\"\"") : sg_slice(p, 1));
    sg_buf_puts(out, "\"");
}

void
sg_sql_string(struct sg_buf *out, const char *text)
{
    const char *p;

    /* E'' is needed for a backslash only where standard_conforming_strings is off; it is said here
     * so that the text means the same everywhere. */
    sg_buf_puts(out, strchr(text, '\\') != NULL ? "E'" : "'");
    for (p = text; *p != '\0'; p++)
        sg_buf_add(out, *p == '\'' ? sg_str("''") : *p == '\\' ? sg_str("\\\\") : sg_slice(p, 1));
    sg_buf_puts(out, "'");
}

void
sg_snake(struct sg_slice name, char out[64])
{
    size_t i, n = 0;
    bool gap = false;

    for (i = 0; i < name.len && n < 62; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        bool hump =
            isupper(c) && i > 0 &&
            (islower((unsigned char)name.ptr[i - 1]) || isdigit((unsigned char)name.ptr[i - 1]) ||
             (i + 1 < name.len && isupper((unsigned char)name.ptr[i - 1]) &&
              islower((unsigned char)name.ptr[i + 1])));

        if (c >= 0x80 || !isalnum(c)) {
            gap = true;
            continue;
        }
        if ((gap || hump) && n > 0)
            out[n++] = '_';
        gap = false;
        if (n == 0 && isdigit(c))
            out[n++] = 'n';
        out[n++] = (char)tolower(c);
    }
    out[n] = '\0';
    if (n == 0)
        snprintf(out, 64, "field");
}

void
sg_plural(const char *name, char out[64])
{
    size_t n = strlen(name);

    if (n == 0 || n > 60 || name[n - 1] == 's')
        snprintf(out, 64, "%s", name);
    else if (n > 1 && name[n - 1] == 'y' && strchr("aeiou", name[n - 2]) == NULL)
        snprintf(out, 64, "%.*sies", (int)n - 1, name);
    else if (name[n - 1] == 'x' || (n > 1 && name[n - 1] == 'h' && strchr("cs", name[n - 2])))
        snprintf(out, 64, "%ses", name);
    else
        snprintf(out, 64, "%ss", name);
}

void
sg_singular(const char *name, char out[64])
{
    size_t n = strlen(name);

    if (n > 4 && strcmp(name + n - 3, "ies") == 0)
        snprintf(out, 64, "%.*sy", (int)n - 3, name);
    else if (n > 4 && (strcmp(name + n - 4, "sses") == 0 || strcmp(name + n - 3, "xes") == 0 ||
                       strcmp(name + n - 4, "ches") == 0 || strcmp(name + n - 4, "shes") == 0))
        snprintf(out, 64, "%.*s", (int)n - 2, name);
    else if (n > 2 && name[n - 1] == 's' && name[n - 2] != 's' && name[n - 2] != 'u')
        snprintf(out, 64, "%.*s", (int)n - 1, name);
    else
        snprintf(out, 64, "%s", name);
}
