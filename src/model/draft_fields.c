/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "model/draft.h"
#include "model/names.h"

#include <stdio.h>

#define RARE 100              /* a field of less than one row in so many stays in the rest */
#define ARRAY_COLUMN_MAX 1000 /* elements; longer arrays are rows */

/* ---- names ---- */

static bool
taken(const struct sg_draft_builder *b, const char *name)
{
    const struct sg_draft_table *t = b->t, *root = &b->d->tables[t->t.root];
    int i;

    if (strcmp(name, "bucket") == 0 || (t->t.position != NULL && strcmp(name, t->t.position) == 0))
        return true;
    for (i = 0; i < t->t.n_key && t != root; i++)
        if (strcmp(name, t->t.parents[i]) == 0)
            return true;
    for (i = 0; i < t->n_columns; i++)
        if (strcmp(name, t->columns[i].c.name) == 0)
            return true;
    return false;
}

const char *
sg_draft_free_name(struct sg_draft_builder *b, const char *wanted)
{
    char name[64];
    int i;

    snprintf(name, sizeof name, "%s", wanted);
    for (i = 2; taken(b, name); i++)
        snprintf(name, sizeof name, "%.50s_%d", wanted, i);
    return sg_draft_text(b->d, "%s", name);
}

bool
sg_draft_table_taken(const struct sg_draft *d, const char *name)
{
    int i;

    for (i = 0; i < d->n_tables; i++)
        if (d->tables[i].t.name != NULL && strcmp(d->tables[i].t.name, name) == 0)
            return true;
    for (i = 0; i < d->n_lookups; i++)
        if (d->lookups[i].name != NULL && strcmp(d->lookups[i].name, name) == 0)
            return true;
    return false;
}

const char *
sg_draft_free_table_name(struct sg_draft *d, const char *wanted)
{
    char name[64];
    int i;

    snprintf(name, sizeof name, "%s", wanted);
    for (i = 2; sg_draft_table_taken(d, name); i++)
        snprintf(name, sizeof name, "%.50s_%d", wanted, i);
    return sg_draft_text(d, "%s", name);
}

/* The path as a name: shipping.city -> shipping_city. */
static void
joined(const struct sg_draft_builder *b, char out[64])
{
    struct sg_buf text = SG_BUF_INIT(4096);
    int i;

    for (i = 0; i < b->depth; i++) {
        sg_buf_puts(&text, i > 0 ? "_" : "");
        sg_buf_add(&text, b->path[i]);
    }
    sg_snake(sg_buf_slice(&text), out);
    sg_buf_free(&text);
}

static struct sg_model_path
kept_path(struct sg_draft_builder *b)
{
    struct sg_slice *names = sg_arena_alloc(b->d->arena, (size_t)(b->depth + 1) * sizeof *names);
    char *text;
    int i;

    for (i = 0; names != NULL && i < b->depth; i++) {
        if ((text = sg_arena_alloc(b->d->arena, b->path[i].len + 1)) == NULL)
            break;
        memcpy(text, b->path[i].ptr, b->path[i].len);
        names[i] = sg_slice(text, b->path[i].len);
    }
    if (names == NULL || i < b->depth) {
        b->d->failed = true;
        return (struct sg_model_path){0};
    }
    return (struct sg_model_path){.names = names, .n = b->depth};
}

/* ---- columns ---- */

struct sg_draft_column *
sg_draft_column_new(struct sg_draft_builder *b, const struct sg_field *f, const char *name)
{
    struct sg_draft_table *t = b->t;
    struct sg_draft_column *c;

    if (t->n_columns == SG_MODEL_COLUMNS_MAX)
        return NULL; /* the rest has it */
    if (t->columns == NULL)
        t->columns = sg_arena_alloc(b->d->arena, SG_MODEL_COLUMNS_MAX * sizeof *t->columns);
    if (t->columns == NULL) {
        b->d->failed = true;
        return NULL;
    }
    name = sg_draft_free_name(b, name);
    c = &t->columns[t->n_columns++];
    *c = (struct sg_draft_column){
        .c = {.name = name, .lookup = -1, .references = -1}, .field = f, .refers = -1};
    c->c.from = kept_path(b);
    if (f->name != NULL || b->depth > 0) {
        c->c.not_null = sg_field_not_null(f) == t->rows && t->rows >= SG_DRAFT_SURE_ROWS;
        c->c.absent_null = f->types[SG_DOC_NULL] > 0 && f->n == t->rows;
    }
    return c;
}

void
sg_draft_scalar_column(struct sg_draft_builder *b, const struct sg_field *f)
{
    struct sg_draft_column *c;
    char name[64];

    joined(b, name);
    if ((c = sg_draft_column_new(b, f, name)) == NULL)
        return;
    sg_draft_scalar(b->d, f, b->t->profile->untyped > 0, b->t->rows, &c->c);
}

static void
build_jsonb(struct sg_draft_builder *b, const struct sg_field *f, const char *why)
{
    struct sg_draft_column *c;
    char name[64];

    joined(b, name);
    if ((c = sg_draft_column_new(b, f, name)) == NULL)
        return;
    c->c.type = SG_MODEL_JSONB;
    sg_draft_why(b->d, &c->c.why, sg_draft_text(b->d, "stays jsonb: %s", why));
}

bool
sg_field_is_only(const struct sg_field *f, enum sg_doc_type type)
{
    return f->types[type] > 0 && f->types[type] == sg_field_not_null(f);
}

bool
sg_field_is_scalar(const struct sg_field *f)
{
    return f->types[SG_DOC_ARRAY] == 0 && f->types[SG_DOC_OBJECT] == 0 &&
           f->types[SG_DOC_OTHER] == 0 && sg_field_not_null(f) > 0;
}

/* ---- children ---- */

static void
build_child_columns(struct sg_draft_builder *b, const struct sg_field *each, struct sg_slice from)
{
    const struct sg_field *m;
    struct sg_draft_column *c;
    char name[64], snake[64];

    if (sg_field_is_only(each, SG_DOC_OBJECT) && !each->is_map && each->first != NULL) {
        b->t->t.rest = "extra";
        for (m = each->first; m != NULL; m = m->next)
            sg_draft_member(b, m);
        if (b->t->n_columns > 0)
            return;
        b->t->t.rest = NULL;
    }
    sg_snake(from, snake);
    sg_singular(snake, name);
    if ((c = sg_draft_column_new(
             b, each, strcmp(name, snake) == 0 || b->t->t.kind == SG_MODEL_MAP ? "value" : name)) ==
        NULL)
        return;
    c->c.not_null = each->types[SG_DOC_NULL] == 0 && b->t->rows >= SG_DRAFT_SURE_ROWS;
    if (sg_field_is_scalar(each))
        sg_draft_scalar(b->d, each, b->t->profile->untyped > 0, each->n, &c->c);
    else {
        c->c.type = SG_MODEL_JSONB;
        sg_draft_why(b->d, &c->c.why, "stays jsonb: nested deeper than one level");
    }
    c->c.absent_null = false;
}

void
sg_draft_child(struct sg_draft_builder *b, const struct sg_field *f)
{
    struct sg_draft_builder child = {.d = b->d, .table = b->d->n_tables};
    struct sg_slice last = b->depth > 0 ? b->path[b->depth - 1] : sg_str("value");
    struct sg_draft_table *root = b->t, *t = &b->d->tables[b->d->n_tables];
    bool map = f->is_map;
    char path[64], name[128], singular[64];

    if (b->d->n_tables == SG_MODEL_TABLES_MAX) {
        build_jsonb(b, f, "no more tables");
        return;
    }
    joined(b, path);
    snprintf(name, sizeof name, "%s_%s", root->t.name, path);
    name[SG_MODEL_NAME_MAX] = '\0';
    *t = (struct sg_draft_table){
        .t = {.kind = map ? SG_MODEL_MAP : SG_MODEL_ARRAY,
              .root = b->table,
              .collection = root->t.collection,
              .position = map ? "key" : "ordinal",
              .n_key = 1,
              .absent_empty = f->types[SG_DOC_ARRAY] + f->types[SG_DOC_OBJECT] == root->rows},
        .profile = root->profile,
        .field = f->each,
        .holder = f,
        .rows = f->each->n,
        .refers = -1};
    t->t.name = sg_draft_free_table_name(b->d, name);
    t->t.from = kept_path(b);
    sg_singular(root->t.name, singular);
    t->t.parents[0] = sg_draft_text(b->d, "%.30s_%.30s", singular, root->columns[root->key].c.name);
    t->t.why =
        map ? sg_draft_text(b->d, "%s names in %s objects: they are data",
                            sg_draft_number(b->d, sg_distinct_estimate(&f->distinct)),
                            sg_draft_number(b->d, f->types[SG_DOC_OBJECT]))
            : sg_draft_text(b->d, "%s elements in %s arrays of %s to %s",
                            sg_draft_number(b->d, f->each->n),
                            sg_draft_number(b->d, f->types[SG_DOC_ARRAY]),
                            sg_draft_number(b->d, f->size_min), sg_draft_number(b->d, f->size_max));
    b->d->n_tables++;
    child.t = t;
    build_child_columns(&child, f->each, last);
}

static void
build_array(struct sg_draft_builder *b, const struct sg_field *f)
{
    const struct sg_field *each = f->each;
    struct sg_draft_column *c;
    char name[64];

    if (each == NULL || sg_field_not_null(each) == 0)
        return; /* only empty ones: no type to choose, the rest has them */
    if (sg_field_is_scalar(each) && !sg_field_is_enum(each) && f->size_max <= ARRAY_COLUMN_MAX) {
        struct sg_model_column probe = {.lookup = -1};

        sg_draft_scalar(b->d, each, b->t->profile->untyped > 0, each->n, &probe);
        if (probe.type == SG_MODEL_JSONB) {
            build_jsonb(b, f, "an array of several types");
            return;
        }
        joined(b, name);
        if ((c = sg_draft_column_new(b, f, name)) == NULL)
            return;
        c->c.type = probe.type;
        c->c.convert = probe.convert;
        c->c.array = true;
        c->c.why =
            sg_draft_text(b->d, "%s to %s values that refer to nothing%s%s",
                          sg_draft_number(b->d, f->size_min), sg_draft_number(b->d, f->size_max),
                          probe.why != NULL ? "; " : "", probe.why != NULL ? probe.why : "");
    } else if (b->t->t.kind != SG_MODEL_ROOT)
        build_jsonb(b, f, "nested deeper than one level");
    else
        sg_draft_child(b, f);
}

static void
build_value(struct sg_draft_builder *b, const struct sg_field *f)
{
    const struct sg_field *m;

    if (sg_field_is_scalar(f))
        sg_draft_scalar_column(b, f);
    else if (sg_field_is_only(f, SG_DOC_ARRAY))
        build_array(b, f);
    else if (!sg_field_is_only(f, SG_DOC_OBJECT))
        build_jsonb(b, f, "objects, arrays and others");
    else if (f->is_map && b->t->t.kind == SG_MODEL_ROOT && f->each != NULL)
        sg_draft_child(b, f);
    else if (f->is_map)
        build_jsonb(b, f, "nested deeper than one level");
    else
        for (m = f->first; m != NULL; m = m->next)
            sg_draft_member(b, m);
}

void
sg_draft_member(struct sg_draft_builder *b, const struct sg_field *f)
{
    uint64_t n = sg_field_not_null(f);

    if (b->depth == SG_DRAFT_PATH_MAX || n == 0 || f->name_len == 0 ||
        memchr(f->name, 0, f->name_len) != NULL || !sg_utf8_valid(sg_slice(f->name, f->name_len)))
        return;
    /* an object is passed through: it is its members that are rare or not */
    if (n * RARE < b->t->rows && b->t->rows >= SG_DRAFT_SURE_ROWS &&
        !sg_field_is_only(f, SG_DOC_OBJECT))
        return;
    b->path[b->depth++] = sg_slice(f->name, f->name_len);
    build_value(b, f);
    b->depth--;
}
