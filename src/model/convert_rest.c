/* SPDX-License-Identifier: MIT */
#include "model/convert_rest.h"

#include "model/pgvalue.h"

const struct sg_doc *
sg_model_value_at(const struct sg_doc *doc, const struct sg_model_path *path)
{
    int i;

    for (i = 0; i < path->n && doc != NULL; i++)
        doc = doc->type == SG_DOC_OBJECT ? sg_doc_get(doc, path->names[i]) : NULL;
    return doc;
}

struct rest {
    const struct sg_mapping *m;
    struct sg_arena *arena;
    int table;
    struct sg_slice path[SG_DOC_DEPTH_MAX + 1];
    bool homeless; /* holds a value that is nowhere else */
};

enum place { NOWHERE, ABOVE, COLUMN_HERE, CHILD_HERE };

/* How the value at path[0..depth) stands to this one: not at all, above it, or it is it. */
static enum place
stands(const struct rest *r, int depth, const struct sg_model_path *path, enum place here)
{
    int i;

    if (path->is_key || path->n < depth)
        return NOWHERE;
    for (i = depth - 1; i >= 0; i--) /* the last differs soonest */
        if (!sg_slice_eq(path->names[i], r->path[i]))
            return NOWHERE;
    return path->n == depth ? here : ABOVE;
}

static enum place
place_of(const struct rest *r, int depth, bool *absent)
{
    const struct sg_mapping *m = r->m;
    const struct sg_model_table *t = &m->tables[r->table];
    enum place p, found = NOWHERE;
    int i;

    for (i = 0; i < t->n_columns; i++)
        if ((p = stands(r, depth, &t->columns[i].from, COLUMN_HERE)) != NOWHERE) {
            *absent = t->columns[i].absent_null;
            found = p;
            if (p == COLUMN_HERE)
                return p;
        }
    for (i = r->table + 1; i < m->n_tables && m->tables[i].root == r->table; i++)
        if ((p = stands(r, depth, &m->tables[i].from, CHILD_HERE)) != NOWHERE) {
            *absent = m->tables[i].absent_empty;
            found = p;
            if (p == CHILD_HERE)
                return p;
        }
    return found;
}

/* The members of an object that have no other place: *out is NULL-typed where all have. */
static bool
rest_of(struct rest *r, const struct sg_doc *o, int depth, struct sg_doc *out)
{
    struct sg_doc_member *kept = NULL;
    uint32_t i, n = 0;

    *out = (struct sg_doc){.type = SG_DOC_NULL};
    for (i = 0; i < o->n; i++) {
        const struct sg_doc *v = &o->members[i].value;
        struct sg_doc part = *v;
        bool absent = false, homeless = false;
        enum place p;

        r->path[depth] = o->members[i].name;
        p = place_of(r, depth + 1, &absent);
        if (p == COLUMN_HERE && (v->type != SG_DOC_NULL || absent))
            continue;
        if (p == CHILD_HERE && v->type != SG_DOC_NULL && (v->n > 0 || absent))
            continue;
        if (p == ABOVE && v->type == SG_DOC_OBJECT && v->n > 0 && depth < SG_DOC_DEPTH_MAX) {
            if (!rest_of(r, v, depth + 1, &part))
                return false;
            if (part.type == SG_DOC_NULL)
                continue;
        } else
            homeless = p == NOWHERE || (p == ABOVE && v->type != SG_DOC_NULL && v->n > 0);
        r->homeless = r->homeless || homeless;
        if (kept == NULL && (kept = sg_arena_alloc(r->arena, (o->n + 1) * sizeof *kept)) == NULL)
            return false;
        kept[n].name = o->members[i].name;
        kept[n++].value = part;
    }
    if (n > 0)
        *out = (struct sg_doc){.type = SG_DOC_OBJECT, .n = n, .members = kept};
    return true;
}

/* Adds a path to the rest's list of what is missing where NULL would stand for null. */
static bool
add_missing(struct sg_arena *arena, struct sg_doc *rest, const struct sg_model_path *path)
{
    struct sg_buf text = SG_BUF_INIT(1 << 16);
    struct sg_doc_member *members;
    struct sg_doc *items;
    struct sg_doc *list = NULL;
    uint32_t n = rest->type == SG_DOC_OBJECT ? rest->n : 0;
    char *kept;

    sg_model_path_text(path, &text);
    kept = text.failed ? NULL : sg_arena_alloc(arena, text.len);
    members = sg_arena_alloc(arena, (n + 1) * sizeof *members);
    if (kept == NULL || members == NULL) {
        sg_buf_free(&text);
        return false;
    }
    memcpy(kept, text.ptr, text.len);
    if (n > 0)
        memcpy(members, rest->members, n * sizeof *members);
    if (n > 0 && sg_slice_eq(members[n - 1].name, sg_str(SG_MODEL_MISSING)))
        list = &members[n - 1].value;
    else {
        members[n].name = sg_str(SG_MODEL_MISSING);
        list = &members[n++].value;
        *list = (struct sg_doc){.type = SG_DOC_ARRAY};
    }
    items = sg_arena_alloc(arena, (list->n + 1) * sizeof *items);
    if (items != NULL) {
        if (list->n > 0)
            memcpy(items, list->items, list->n * sizeof *items);
        items[list->n] = (struct sg_doc){.type = SG_DOC_STRING, .text = sg_slice(kept, text.len)};
        *list = (struct sg_doc){.type = SG_DOC_ARRAY, .n = list->n + 1, .items = items};
        *rest = (struct sg_doc){.type = SG_DOC_OBJECT, .n = n, .members = members};
    }
    sg_buf_free(&text);
    return items != NULL;
}

static bool
list_missing(const struct rest *r, const struct sg_doc *doc, struct sg_doc *rest)
{
    const struct sg_mapping *m = r->m;
    const struct sg_model_table *t = &m->tables[r->table];
    int i;

    for (i = 0; i < t->n_columns; i++)
        if (t->columns[i].absent_null && sg_model_value_at(doc, &t->columns[i].from) == NULL &&
            !add_missing(r->arena, rest, &t->columns[i].from))
            return false;
    for (i = r->table + 1; i < m->n_tables && m->tables[i].root == r->table; i++)
        if (m->tables[i].absent_empty && sg_model_value_at(doc, &m->tables[i].from) == NULL &&
            !add_missing(r->arena, rest, &m->tables[i].from))
            return false;
    return true;
}

enum sg_model_reject
sg_model_rest(const struct sg_mapping *m, int table, const struct sg_doc *doc,
              struct sg_arena *arena, struct sg_buf *json, struct sg_slice *out)
{
    const struct sg_model_table *t = &m->tables[table];
    struct rest r = {.m = m, .arena = arena, .table = table};
    struct sg_doc rest = {.type = SG_DOC_NULL};

    if (doc->type != SG_DOC_OBJECT)
        return SG_REJECT_NONE;
    if (!rest_of(&r, doc, 0, &rest))
        return SG_REJECT_TOO_LARGE;
    if (t->rest == NULL)
        return r.homeless ? SG_REJECT_TYPE : SG_REJECT_NONE;
    if (rest.type == SG_DOC_OBJECT && sg_doc_get(&rest, sg_str(SG_MODEL_MISSING)) != NULL)
        return SG_REJECT_TYPE;
    if (!list_missing(&r, doc, &rest))
        return SG_REJECT_TOO_LARGE;
    return rest.type == SG_DOC_NULL ? SG_REJECT_NONE : sg_pgvalue_json(&rest, arena, json, out);
}
