/* SPDX-License-Identifier: MIT */
#include "model/convert_rest.h"
#include "model/extended.h"
#include "model/pgvalue.h"

#include <stdlib.h>

struct restore {
    const struct sg_mapping *m;
    struct sg_arena *arena;
    struct sg_err *err;
};

static int
fail(const struct restore *r, const char *place)
{
    return sg_fail(r->err, SG_E_INVALID, place, "not a value of this column");
}

static int
no_room(const struct restore *r)
{
    return sg_fail(r->err, SG_E_LIMIT, "mapping", "the document is too large");
}

/* ---- objects that grow ---- */

/* The member of that name, new (NULL-typed) where there is none; NULL without memory. */
static struct sg_doc *
member(struct sg_arena *arena, struct sg_doc *o, struct sg_slice name)
{
    struct sg_doc_member *more;
    uint32_t i;

    for (i = 0; i < o->n; i++)
        if (sg_slice_eq(o->members[i].name, name))
            return &o->members[i].value;
    if ((o->n & (o->n - 1)) == 0) { /* room for as many again, when a power of two is full */
        if ((more = sg_arena_alloc(arena, ((size_t)o->n * 2 + 1) * sizeof *more)) == NULL)
            return NULL;
        if (o->n > 0)
            memcpy(more, o->members, o->n * sizeof *more);
        o->members = more;
    }
    o->members[o->n] = (struct sg_doc_member){.name = name, .value = {.type = SG_DOC_NULL}};
    return &o->members[o->n++].value;
}

static struct sg_doc *
at_path(struct sg_arena *arena, struct sg_doc *doc, const struct sg_model_path *path)
{
    int i;

    for (i = 0; i < path->n && doc != NULL; i++) {
        if (doc->type != SG_DOC_OBJECT)
            *doc = (struct sg_doc){.type = SG_DOC_OBJECT};
        doc = member(arena, doc, path->names[i]);
    }
    return doc;
}

/* Lays the rest over what the columns made. */
static bool
lay_over(struct sg_arena *arena, struct sg_doc *doc, const struct sg_doc *rest)
{
    struct sg_doc *to;
    uint32_t i;

    for (i = 0; i < rest->n; i++) {
        const struct sg_doc_member *m = &rest->members[i];

        if ((to = member(arena, doc, m->name)) == NULL)
            return false;
        if (to->type != SG_DOC_OBJECT || m->value.type != SG_DOC_OBJECT)
            *to = m->value;
        else if (!lay_over(arena, to, &m->value))
            return false;
    }
    return true;
}

/* ---- a row ---- */

struct rest {
    struct sg_doc doc;            /* NULL-typed, or an object without $missing */
    const struct sg_doc *missing; /* its $missing; NULL */
};

static int
read_rest(const struct restore *r, const struct sg_model_table *t, struct sg_slice bytes,
          struct rest *out)
{
    const struct sg_model_column jsonb = {.type = SG_MODEL_JSONB};
    uint32_t i;

    *out = (struct rest){.doc = {.type = SG_DOC_NULL}};
    if (bytes.ptr == NULL)
        return 0;
    if (!sg_pgvalue_decode(&jsonb, bytes, r->arena, &out->doc) || out->doc.type != SG_DOC_OBJECT)
        return fail(r, t->rest);
    for (i = 0; i < out->doc.n; i++)
        if (sg_slice_eq(out->doc.members[i].name, sg_str(SG_MODEL_MISSING))) {
            struct sg_doc *list = sg_arena_alloc(r->arena, sizeof *list);

            if (list == NULL)
                return no_room(r);
            *list = out->doc.members[i].value;
            out->missing = list;
            out->doc.members[i] = out->doc.members[--out->doc.n];
            break;
        }
    return 0;
}

static bool
is_missing(const struct rest *rest, const struct sg_model_path *path)
{
    struct sg_buf text = SG_BUF_INIT(1 << 16);
    bool found = false;
    uint32_t i;

    if (rest->missing == NULL || rest->missing->type != SG_DOC_ARRAY)
        return false;
    sg_model_path_text(path, &text);
    for (i = 0; i < rest->missing->n && !found; i++)
        found = rest->missing->items[i].type == SG_DOC_STRING &&
                sg_slice_eq(rest->missing->items[i].text, sg_buf_slice(&text));
    sg_buf_free(&text);
    return found;
}

static int
read_columns(const struct restore *r, const struct sg_model_table *t, const struct sg_slice *values,
             const struct rest *rest, struct sg_doc *doc)
{
    struct sg_doc *to;
    int i;

    for (i = 0; i < t->n_columns; i++) {
        const struct sg_model_column *c = &t->columns[i];
        struct sg_doc v = {.type = SG_DOC_NULL};

        if (c->from.is_key || (values[i].ptr == NULL && c->from.n > 0 &&
                               (!c->absent_null || is_missing(rest, &c->from))))
            continue;
        if (values[i].ptr != NULL && !sg_pgvalue_decode(c, values[i], r->arena, &v))
            return fail(r, c->name);
        if ((to = at_path(r->arena, doc, &c->from)) == NULL)
            return no_room(r);
        *to = v;
    }
    return 0;
}

/* ---- children ---- */

static int
read_child(const struct restore *r, const struct sg_model_row *row, struct sg_doc *out)
{
    const struct sg_model_table *t = &r->m->tables[row->table];
    int at = 2 + t->n_key;
    struct rest rest;

    if (row->n != at + t->n_columns + (t->rest != NULL))
        return fail(r, t->name);
    if (read_rest(r, t, t->rest != NULL ? row->values[row->n - 1] : sg_slice(NULL, 0), &rest) != 0)
        return -1;
    *out = (struct sg_doc){.type = t->columns[0].from.n > 0 ? SG_DOC_OBJECT : SG_DOC_NULL};
    if (read_columns(r, t, row->values + at, &rest, out) != 0)
        return -1;
    if (rest.doc.type == SG_DOC_OBJECT && !lay_over(r->arena, out, &rest.doc))
        return no_room(r);
    return 0;
}

static int
read_children(const struct restore *r, int table, const struct sg_model_row *rows, int n,
              const struct rest *rest, struct sg_doc *doc)
{
    const struct sg_model_table *t = &r->m->tables[table];
    bool array = t->kind == SG_MODEL_ARRAY;
    struct sg_doc list = {.type = array ? SG_DOC_ARRAY : SG_DOC_OBJECT}, *to;
    int64_t ordinal;
    uint32_t count = 0;
    int i;

    for (i = 0; i < n; i++)
        count += rows[i].table == table;
    if (count == 0 && (!t->absent_empty || is_missing(rest, &t->from)))
        return 0;
    if (array && (list.items = sg_arena_alloc(r->arena, (count + 1) * sizeof *list.items)) == NULL)
        return no_room(r);
    if (!array &&
        (list.members = sg_arena_alloc(r->arena, (count + 1) * sizeof *list.members)) == NULL)
        return no_room(r);
    for (i = 0; array && i < (int)count; i++)
        list.items[i] = (struct sg_doc){.type = SG_DOC_NULL};
    for (i = 0; i < n; i++) {
        struct sg_slice position;

        if (rows[i].table != table)
            continue;
        position = rows[i].values[1 + t->n_key];
        ordinal = list.n;
        if (array && (!sg_pgvalue_get_int(position, &ordinal) || ordinal < 0 || ordinal >= count))
            return fail(r, t->position);
        if (!array)
            list.members[ordinal].name = position;
        if (read_child(r, &rows[i], array ? &list.items[ordinal] : &list.members[ordinal].value) !=
            0)
            return -1;
        list.n++;
    }
    if ((to = at_path(r->arena, doc, &t->from)) == NULL)
        return no_room(r);
    *to = list;
    return 0;
}

int
sg_model_restore(const struct sg_mapping *m, const struct sg_model_row *rows, int n,
                 struct sg_arena *arena, struct sg_doc *out, struct sg_err *err)
{
    const struct restore r = {.m = m, .arena = arena, .err = err};
    const struct sg_model_table *t = &m->tables[rows[0].table];
    struct sg_doc doc = {.type = SG_DOC_OBJECT};
    struct rest rest;
    int i, root = rows[0].table,
           last = 1 + t->n_columns + (t->version != NULL) + (t->expires != NULL);

    if (t->kind != SG_MODEL_ROOT || rows[0].n != last + (t->rest != NULL))
        return fail(&r, t->name);
    if (read_rest(&r, t, t->rest != NULL ? rows[0].values[last] : sg_slice(NULL, 0), &rest) != 0 ||
        read_columns(&r, t, rows[0].values + 1, &rest, &doc) != 0)
        return -1;
    for (i = root + 1; i < m->n_tables && m->tables[i].root == root; i++)
        if (read_children(&r, i, rows + 1, n - 1, &rest, &doc) != 0)
            return -1;
    if (rest.doc.type == SG_DOC_OBJECT && !lay_over(arena, &doc, &rest.doc))
        return no_room(&r);
    *out = doc;
    return 0;
}
