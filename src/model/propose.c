/* SPDX-License-Identifier: MIT */
#include "model/propose.h"

#include "base/buf.h"
#include "model/draft.h"
#include "model/names.h"

#include <stdio.h>
#include <stdlib.h>

#define ARENA_BYTES (32 << 20)
#define SURE_ROWS 100         /* fewer prove nothing about what is always there */
#define RARE 100              /* a field of less than one row in so many stays in the rest */
#define ARRAY_COLUMN_MAX 1000 /* elements; longer arrays are rows */
#define PATH_MAX_NAMES 16

struct builder {
    struct sg_draft *d;
    struct sg_draft_table *t;
    int table;
    struct sg_slice path[PATH_MAX_NAMES];
    int depth;
};

static void build_member(struct builder *b, const struct sg_field *f);

/* ---- names ---- */

static bool
taken(const struct builder *b, const char *name)
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

static const char *
free_name(struct builder *b, const char *wanted)
{
    char name[64];
    int i;

    snprintf(name, sizeof name, "%s", wanted);
    for (i = 2; taken(b, name); i++)
        snprintf(name, sizeof name, "%.50s_%d", wanted, i);
    return sg_draft_text(b->d, "%s", name);
}

static bool
table_taken(const struct sg_draft *d, const char *name)
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

static const char *
free_table_name(struct sg_draft *d, const char *wanted)
{
    char name[64];
    int i;

    snprintf(name, sizeof name, "%s", wanted);
    for (i = 2; table_taken(d, name); i++)
        snprintf(name, sizeof name, "%.50s_%d", wanted, i);
    return sg_draft_text(d, "%s", name);
}

/* The path as a name: shipping.city -> shipping_city. */
static void
joined(const struct builder *b, char out[64])
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
kept_path(struct builder *b)
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

static struct sg_draft_column *
new_column(struct builder *b, const struct sg_field *f, const char *name)
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
    name = free_name(b, name);
    c = &t->columns[t->n_columns++];
    *c = (struct sg_draft_column){
        .c = {.name = name, .lookup = -1, .references = -1}, .field = f, .refers = -1};
    c->c.from = kept_path(b);
    if (f->name != NULL || b->depth > 0) {
        c->c.not_null = sg_field_not_null(f) == t->rows && t->rows >= SURE_ROWS;
        c->c.absent_null = f->types[SG_DOC_NULL] > 0 && f->n == t->rows;
    }
    return c;
}

static void
build_scalar(struct builder *b, const struct sg_field *f)
{
    struct sg_draft_column *c;
    char name[64];

    joined(b, name);
    if ((c = new_column(b, f, name)) == NULL)
        return;
    sg_draft_scalar(b->d, f, b->t->profile->untyped > 0, b->t->rows, &c->c);
}

static void
build_jsonb(struct builder *b, const struct sg_field *f, const char *why)
{
    struct sg_draft_column *c;
    char name[64];

    joined(b, name);
    if ((c = new_column(b, f, name)) == NULL)
        return;
    c->c.type = SG_MODEL_JSONB;
    sg_draft_why(b->d, &c->c.why, sg_draft_text(b->d, "stays jsonb: %s", why));
}

static bool
is_only(const struct sg_field *f, enum sg_doc_type type)
{
    return f->types[type] > 0 && f->types[type] == sg_field_not_null(f);
}

static bool
is_scalar(const struct sg_field *f)
{
    return f->types[SG_DOC_ARRAY] == 0 && f->types[SG_DOC_OBJECT] == 0 &&
           f->types[SG_DOC_OTHER] == 0 && sg_field_not_null(f) > 0;
}

/* ---- children ---- */

static void
build_child_columns(struct builder *b, const struct sg_field *each, struct sg_slice from)
{
    const struct sg_field *m;
    struct sg_draft_column *c;
    char name[64], snake[64];

    if (is_only(each, SG_DOC_OBJECT) && !each->is_map && each->first != NULL) {
        b->t->t.rest = "extra";
        for (m = each->first; m != NULL; m = m->next)
            build_member(b, m);
        if (b->t->n_columns > 0)
            return;
        b->t->t.rest = NULL;
    }
    sg_snake(from, snake);
    sg_singular(snake, name);
    if ((c = new_column(
             b, each, strcmp(name, snake) == 0 || b->t->t.kind == SG_MODEL_MAP ? "value" : name)) ==
        NULL)
        return;
    c->c.not_null = each->types[SG_DOC_NULL] == 0 && b->t->rows >= SURE_ROWS;
    if (is_scalar(each))
        sg_draft_scalar(b->d, each, b->t->profile->untyped > 0, each->n, &c->c);
    else {
        c->c.type = SG_MODEL_JSONB;
        sg_draft_why(b->d, &c->c.why, "stays jsonb: nested deeper than one level");
    }
    c->c.absent_null = false;
}

static void
build_child(struct builder *b, const struct sg_field *f)
{
    struct builder child = {.d = b->d, .table = b->d->n_tables};
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
    t->t.name = free_table_name(b->d, name);
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
build_array(struct builder *b, const struct sg_field *f)
{
    const struct sg_field *each = f->each;
    struct sg_draft_column *c;
    char name[64];

    if (each == NULL || sg_field_not_null(each) == 0)
        return; /* only empty ones: no type to choose, the rest has them */
    if (is_scalar(each) && !sg_field_is_enum(each) && f->size_max <= ARRAY_COLUMN_MAX) {
        struct sg_model_column probe = {.lookup = -1};

        sg_draft_scalar(b->d, each, b->t->profile->untyped > 0, each->n, &probe);
        if (probe.type == SG_MODEL_JSONB) {
            build_jsonb(b, f, "an array of several types");
            return;
        }
        joined(b, name);
        if ((c = new_column(b, f, name)) == NULL)
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
        build_child(b, f);
}

static void
build_value(struct builder *b, const struct sg_field *f)
{
    const struct sg_field *m;

    if (is_scalar(f))
        build_scalar(b, f);
    else if (is_only(f, SG_DOC_ARRAY))
        build_array(b, f);
    else if (!is_only(f, SG_DOC_OBJECT))
        build_jsonb(b, f, "objects, arrays and others");
    else if (f->is_map && b->t->t.kind == SG_MODEL_ROOT && f->each != NULL)
        build_child(b, f);
    else if (f->is_map)
        build_jsonb(b, f, "nested deeper than one level");
    else
        for (m = f->first; m != NULL; m = m->next)
            build_member(b, m);
}

static void
build_member(struct builder *b, const struct sg_field *f)
{
    uint64_t n = sg_field_not_null(f);

    if (b->depth == PATH_MAX_NAMES || n == 0 || f->name_len == 0 ||
        memchr(f->name, 0, f->name_len) != NULL || !sg_utf8_valid(sg_slice(f->name, f->name_len)))
        return;
    /* an object is passed through: it is its members that are rare or not */
    if (n * RARE < b->t->rows && b->t->rows >= SURE_ROWS && !is_only(f, SG_DOC_OBJECT))
        return;
    b->path[b->depth++] = sg_slice(f->name, f->name_len);
    build_value(b, f);
    b->depth--;
}

/* ---- a collection ---- */

/* What tells its records apart: the field that is the store's key, `_id`, or any that is unique. */
static const struct sg_field *
key_field(const struct sg_profile *p)
{
    static const char *const likely[] = {"_id", "id", "key", "uuid", "sid", NULL};
    const struct sg_field *f;
    int i;

    if (p->key.n == p->records) {
        for (f = p->root.first; f != NULL; f = f->next)
            if (f->equals_key == p->records && is_scalar(f))
                return f;
        return &p->key;
    }
    for (i = 0; likely[i] != NULL; i++) {
        f = sg_field_member(&p->root, sg_str(likely[i]));
        if (f != NULL && is_scalar(f) && sg_field_not_null(f) == p->records &&
            sg_distinct_repeated(&f->distinct) == 0)
            return f;
    }
    for (f = p->root.first; f != NULL; f = f->next)
        if (is_scalar(f) && sg_field_not_null(f) == p->records &&
            sg_distinct_repeated(&f->distinct) == 0)
            return f;
    return NULL;
}

static void
build_key(struct builder *b, const struct sg_field *f)
{
    struct sg_draft_column *c;

    if (f != &b->t->profile->key) {
        build_member(b, f);
        b->t->key = 0;
    } else if ((c = new_column(b, f, "id")) != NULL) {
        c->c.from.is_key = true;
        sg_draft_scalar(b->d, f, true, b->t->rows, &c->c);
        c->c.values = NULL;
        c->c.lookup = -1;
    }
    if (b->t->n_columns == 0)
        return;
    b->t->columns[0].c.not_null = true;
    sg_draft_why(b->d, &b->t->columns[0].c.why,
                 f == &b->t->profile->key ? "the record's key"
                 : f->equals_key > 0      ? "the same as the record's key"
                                          : "the record's key");
}

static bool
is_unique_name(const char *name)
{
    static const char *const names[] = {"email", "username", "user_name", "handle", "login",
                                        "slug",  "sku",      "nickname",  NULL};
    int i;

    for (i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static void
find_unique(struct builder *b)
{
    struct sg_draft_column *c;
    uint64_t n;
    int i;

    for (i = 1; i < b->t->n_columns; i++) {
        c = &b->t->columns[i];
        n = sg_field_not_null(c->field);
        if (c->c.array || c->c.type == SG_MODEL_JSONB || n < SURE_ROWS ||
            !is_unique_name(c->c.name) || sg_distinct_repeated(&c->field->distinct) > 0)
            continue;
        c->c.unique = true;
        sg_draft_why(b->d, &c->c.why,
                     sg_draft_text(b->d,
                                   "none twice among %s; within a shard PostgreSQL sees to it",
                                   sg_draft_number(b->d, n)));
    }
}

static void
table_name(const struct sg_profile *p, char out[64])
{
    size_t len = strlen(p->name);
    char snake[64];

    while (len > 0 && strchr(":*./-_", p->name[len - 1]) != NULL)
        len--;
    sg_snake(sg_slice(p->name, len), snake);
    sg_plural(snake, out);
}

static void
build_collection(struct builder *b, const struct sg_profile *p, const struct sg_field *key)
{
    const struct sg_field *f;
    char name[64];

    b->table = b->d->n_tables++;
    b->t = &b->d->tables[b->table];
    b->depth = 0;
    table_name(p, name);
    *b->t = (struct sg_draft_table){.t = {.kind = SG_MODEL_ROOT, .root = b->table, .n_key = 1},
                                    .profile = p,
                                    .field = &p->root,
                                    .rows = p->records,
                                    .refers = -1};
    b->t->t.name = free_table_name(b->d, name);
    b->t->t.collection = sg_draft_text(b->d, "%s", p->name);
    b->t->t.why = sg_draft_text(b->d, "%s records", sg_draft_number(b->d, p->records));
    build_key(b, key);
    if (p->root.first != NULL && is_only(&p->root, SG_DOC_OBJECT)) {
        for (f = p->root.first; f != NULL; f = f->next)
            if (f != key)
                build_member(b, f);
    } else if (p->root.each != NULL && is_only(&p->root, SG_DOC_ARRAY))
        build_child(b, &p->root);
    else if (is_scalar(&p->root)) {
        b->path[0] = sg_str("value"); /* names the column; its path is the record itself */
        b->depth = 1;
        build_scalar(b, &p->root);
        b->t->columns[b->t->n_columns - 1].c.from = (struct sg_model_path){0};
        b->depth = 0;
    }
    b->t->t.version = free_name(b, "row_version");
    b->t->t.expires = p->expiring > 0 ? free_name(b, "expires_at") : NULL;
    b->t->t.rest = is_scalar(&p->root) ? NULL : free_name(b, "extra");
    find_unique(b);
}

/* ---- the whole ---- */

static void
name_lookups(struct builder *b)
{
    struct sg_draft *d = b->d;
    char snake[64], name[128];
    int i, k;

    for (i = 0; i < d->n_tables; i++)
        for (k = 0; k < d->tables[i].n_columns; k++) {
            const struct sg_model_column *c = &d->tables[i].columns[k].c;
            struct sg_model_lookup *l;

            if (c->lookup < 0 || (l = &d->lookups[c->lookup])->name != NULL)
                continue;
            sg_plural(c->name, snake);
            snprintf(name, sizeof name, "%s", snake);
            if (table_taken(d, name))
                snprintf(name, sizeof name, "%.30s_%.30s", d->tables[i].t.name, snake);
            l->name = free_table_name(d, name);
        }
}

static int
compare_columns(const void *a, const void *b)
{
    const struct sg_draft_column *x = a, *y = b;

    return strcmp(x->c.name, y->c.name);
}

static int
compare_profiles(const void *a, const void *b)
{
    return strcmp((*(const struct sg_profile *const *)a)->name,
                  (*(const struct sg_profile *const *)b)->name);
}

/* Key first, then the shard key, then by name: the same data, the same file. */
static int
finish_table(struct sg_draft *d, struct sg_draft_table *t, struct sg_model_table *out)
{
    struct sg_model_column *columns;
    struct sg_draft_column swap;
    int i, first = t->t.kind == SG_MODEL_ROOT ? 1 : 0;

    if (t->n_columns == 0)
        return -1;
    t->t.shard_key = 0;
    if (first == 1 && t->shard_key > 0) {
        swap = t->columns[1];
        t->columns[1] = t->columns[t->shard_key];
        t->columns[t->shard_key] = swap;
        t->t.shard_key = 1;
        first = 2;
    }
    qsort(t->columns + first, (size_t)(t->n_columns - first), sizeof *t->columns, compare_columns);
    columns = sg_arena_alloc(d->arena, (size_t)t->n_columns * sizeof *columns);
    if (columns == NULL) {
        d->failed = true;
        return -1;
    }
    for (i = 0; i < t->n_columns; i++)
        columns[i] = t->columns[i].c;
    t->t.columns = columns;
    t->t.n_columns = t->n_columns;
    *out = t->t;
    return 0;
}

/* Each root is followed by its children, by name. */
static void
finish(struct sg_draft *d, struct sg_mapping *m, struct sg_model_table *tables)
{
    int i, k, best, to[SG_MODEL_TABLES_MAX], root;

    for (i = 0; i < d->n_tables; i++) {
        if (d->tables[i].t.kind != SG_MODEL_ROOT)
            continue;
        root = to[i] = m->n_tables;
        if (finish_table(d, &d->tables[i], &tables[m->n_tables]) == 0)
            tables[m->n_tables++].root = root;
        do {
            best = -1;
            for (k = 0; k < d->n_tables; k++)
                if (d->tables[k].t.root == i && d->tables[k].t.kind != SG_MODEL_ROOT &&
                    d->tables[k].t.columns == NULL && d->tables[k].n_columns > 0 &&
                    (best < 0 || strcmp(d->tables[k].t.name, d->tables[best].t.name) < 0))
                    best = k;
            if (best >= 0 && finish_table(d, &d->tables[best], &tables[m->n_tables]) == 0)
                tables[m->n_tables++].root = root;
        } while (best >= 0 && !d->failed);
    }
    for (i = 0; i < m->n_tables; i++)
        for (k = 0; k < tables[i].n_columns; k++) {
            struct sg_model_column *c = (struct sg_model_column *)&tables[i].columns[k];

            c->references = c->references >= 0 ? to[c->references] : -1;
        }
}

static int
propose(struct builder *b, const struct sg_profile *const *profiles, int n,
        const struct sg_propose_options *options, struct sg_mapping *m, struct sg_err *err)
{
    struct sg_model_table *tables;
    const struct sg_field *key;
    const char *why = options->about;
    int i;

    tables = sg_arena_alloc(m->arena, SG_MODEL_TABLES_MAX * sizeof *tables);
    b->d->tables = sg_arena_alloc(m->arena, SG_MODEL_TABLES_MAX * sizeof *b->d->tables);
    b->d->lookups = sg_arena_alloc(m->arena, SG_MODEL_TABLES_MAX * sizeof *b->d->lookups);
    if (tables == NULL || b->d->tables == NULL || b->d->lookups == NULL)
        return sg_fail(err, SG_E_LIMIT, "proposal", "more than %d bytes", ARENA_BYTES);
    for (i = 0; i < n && b->d->n_tables < SG_MODEL_TABLES_MAX; i++) {
        key = profiles[i]->records > 0 ? key_field(profiles[i]) : NULL;
        if (key != NULL)
            build_collection(b, profiles[i], key);
        else
            why = sg_draft_text(
                b->d, "%s\nLeft out: %s, %s.", why != NULL ? why : "", profiles[i]->name,
                profiles[i]->records > 0 ? "nothing tells its records apart" : "it has no records");
    }
    if (b->d->n_tables == 0)
        return sg_fail(err, SG_E_INVALID, "proposal",
                       "no collection has records and anything that tells them apart");
    sg_draft_relate(b->d);
    name_lookups(b);
    m->schema = sg_draft_text(b->d, "%s", options->schema);
    m->why = why != NULL ? sg_draft_text(b->d, "%s", why) : NULL;
    m->tables = tables;
    finish(b->d, m, tables);
    m->lookups = b->d->lookups;
    m->n_lookups = b->d->n_lookups;
    if (b->d->failed)
        return sg_fail(err, SG_E_LIMIT, "proposal", "more than %d bytes", ARENA_BYTES);
    return 0;
}

int
sg_propose(const struct sg_profile *const *profiles, int n,
           const struct sg_propose_options *options, struct sg_mapping **out, struct sg_err *err)
{
    struct sg_mapping *m = calloc(1, sizeof *m);
    struct sg_draft draft = {.people = -1};
    struct builder b = {.d = &draft};
    const struct sg_profile **sorted = calloc((size_t)n + 1, sizeof *sorted);
    int rc;

    if (m == NULL || sorted == NULL || sg_arena_new(ARENA_BYTES, &m->arena, err) != 0) {
        rc = sg_fail(err, SG_E_INTERNAL, "proposal", "out of memory");
    } else {
        memcpy(sorted, profiles, (size_t)n * sizeof *sorted);
        qsort(sorted, (size_t)n, sizeof *sorted, compare_profiles);
        draft.arena = m->arena;
        rc = propose(&b, sorted, n, options, m, err);
    }
    free(sorted);
    if (rc == 0)
        *out = m;
    else
        sg_mapping_free(m);
    return rc;
}
