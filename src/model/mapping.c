/* SPDX-License-Identifier: MIT */
#include "model/mapping.h"

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

void
sg_mapping_free(struct sg_mapping *m)
{
    if (m == NULL)
        return;
    sg_arena_free(m->arena); /* m itself is not in it */
    free(m);
}

struct sg_slice
sg_collection_key(const char *collection, struct sg_slice key)
{
    const char *first = strchr(collection, '*'), *last = strrchr(collection, '*');
    size_t before = first != NULL ? (size_t)(first - collection) : 0;
    size_t behind = last != NULL ? strlen(last + 1) : 0;

    if (first == NULL || key.len < before + behind)
        return key;
    return sg_slice(key.ptr + before, key.len - before - behind);
}

int
sg_mapping_find(const struct sg_mapping *m, const char *collection)
{
    int i;

    for (i = 0; i < m->n_tables; i++)
        if (m->tables[i].kind == SG_MODEL_ROOT && strcmp(m->tables[i].collection, collection) == 0)
            return i;
    return -1;
}

int
sg_mapping_physical(const struct sg_mapping *m, int table,
                    struct sg_model_physical out[SG_MODEL_PHYSICAL_MAX])
{
    const struct sg_model_table *t = &m->tables[table], *root = &m->tables[t->root];
    int i, n = 0;

    out[n++] =
        (struct sg_model_physical){SG_PART_BUCKET, 0, "bucket", SG_MODEL_INTEGER, false, true, 0};
    for (i = 0; i < root->n_key && t->kind != SG_MODEL_ROOT; i++) {
        const struct sg_model_column *c = &root->columns[root->key[i]];

        out[n++] = (struct sg_model_physical){SG_PART_PARENT, i,    t->parents[i], c->type,
                                              c->array,       true, c->limit};
    }
    if (t->kind != SG_MODEL_ROOT)
        out[n++] =
            (struct sg_model_physical){SG_PART_POSITION,
                                       0,
                                       t->position,
                                       t->kind == SG_MODEL_ARRAY ? SG_MODEL_INTEGER : SG_MODEL_TEXT,
                                       false,
                                       true,
                                       0};
    for (i = 0; i < t->n_columns; i++) {
        const struct sg_model_column *c = &t->columns[i];

        out[n++] = (struct sg_model_physical){SG_PART_COLUMN, i,           c->name, c->type,
                                              c->array,       c->not_null, c->limit};
    }
    if (t->version != NULL)
        out[n++] = (struct sg_model_physical){SG_PART_VERSION, 0,    t->version, SG_MODEL_BIGINT,
                                              false,           true, 0};
    if (t->expires != NULL)
        out[n++] = (struct sg_model_physical){
            SG_PART_EXPIRES, 0, t->expires, SG_MODEL_TIMESTAMPTZ, false, false, 0};
    if (t->rest != NULL)
        out[n++] =
            (struct sg_model_physical){SG_PART_REST, 0, t->rest, SG_MODEL_JSONB, false, false, 0};
    return n;
}

void
sg_model_type_text(enum sg_model_type type, bool array, int limit, char out[32])
{
    static const char *const names[] = {"boolean",          "smallint", "integer", "bigint",
                                        "double precision", "numeric",  "text",    "uuid",
                                        "timestamptz",      "date",     "bytea",   "jsonb"};

    if (limit > 0)
        snprintf(out, 32, "varchar(%d)%s", limit, array ? "[]" : "");
    else
        snprintf(out, 32, "%s%s", names[type], array ? "[]" : "");
}

const char *
sg_model_convert_name(enum sg_model_convert convert)
{
    static const char *const names[] = {NULL,    "epoch_s", "epoch_ms", "iso_ms",
                                        "iso_s", "iso",     "oid",      "parse"};

    return names[convert];
}

void
sg_model_path_text(const struct sg_model_path *path, struct sg_buf *out)
{
    size_t k;
    int i;

    sg_buf_puts(out, path->is_key ? "$key" : path->n == 0 ? "." : "");
    for (i = 0; i < path->n; i++) {
        if (i > 0)
            sg_buf_puts(out, ".");
        for (k = 0; k < path->names[i].len; k++) {
            if (path->names[i].ptr[k] == '.' || path->names[i].ptr[k] == '\\' ||
                (i == 0 && k == 0 && path->names[i].ptr[k] == '$'))
                sg_buf_puts(out, "\\");
            sg_buf_add(out, sg_slice(path->names[i].ptr + k, 1));
        }
    }
}
