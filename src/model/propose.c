/* SPDX-License-Identifier: MIT */
#include "model/propose.h"

#include "base/buf.h"
#include "model/draft.h"
#include "model/names.h"

#include <stdio.h>
#include <stdlib.h>

#define ARENA_BYTES (32 << 20)

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
            if (f->equals_key == p->records && sg_field_is_scalar(f))
                return f;
        return &p->key;
    }
    for (i = 0; likely[i] != NULL; i++) {
        f = sg_field_member(&p->root, sg_str(likely[i]));
        if (f != NULL && sg_field_is_scalar(f) && sg_field_not_null(f) == p->records &&
            sg_distinct_repeated(&f->distinct) == 0)
            return f;
    }
    for (f = p->root.first; f != NULL; f = f->next)
        if (sg_field_is_scalar(f) && sg_field_not_null(f) == p->records &&
            sg_distinct_repeated(&f->distinct) == 0)
            return f;
    return NULL;
}

static void
build_key(struct sg_draft_builder *b, const struct sg_field *f)
{
    struct sg_draft_column *c;

    if (f != &b->t->profile->key) {
        sg_draft_member(b, f);
        b->t->key = 0;
    } else if ((c = sg_draft_column_new(b, f, "id")) != NULL) {
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
find_unique(struct sg_draft_builder *b)
{
    struct sg_draft_column *c;
    uint64_t n;
    int i;

    for (i = 1; i < b->t->n_columns; i++) {
        c = &b->t->columns[i];
        n = sg_field_not_null(c->field);
        if (c->c.array || c->c.type == SG_MODEL_JSONB || n < SG_DRAFT_SURE_ROWS ||
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
build_collection(struct sg_draft_builder *b, const struct sg_profile *p, const struct sg_field *key)
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
    b->t->t.name = sg_draft_free_table_name(b->d, name);
    b->t->t.collection = sg_draft_text(b->d, "%s", p->name);
    b->t->t.why = sg_draft_text(b->d, "%s records", sg_draft_number(b->d, p->records));
    build_key(b, key);
    if (p->root.first != NULL && sg_field_is_only(&p->root, SG_DOC_OBJECT)) {
        for (f = p->root.first; f != NULL; f = f->next)
            if (f != key)
                sg_draft_member(b, f);
    } else if (p->root.each != NULL && sg_field_is_only(&p->root, SG_DOC_ARRAY))
        sg_draft_child(b, &p->root);
    else if (sg_field_is_scalar(&p->root)) {
        b->path[0] = sg_str("value"); /* names the column; its path is the record itself */
        b->depth = 1;
        sg_draft_scalar_column(b, &p->root);
        b->t->columns[b->t->n_columns - 1].c.from = (struct sg_model_path){0};
        b->depth = 0;
    }
    b->t->t.version = sg_draft_free_name(b, "row_version");
    b->t->t.expires = p->expiring > 0 ? sg_draft_free_name(b, "expires_at") : NULL;
    b->t->t.rest = sg_field_is_scalar(&p->root) ? NULL : sg_draft_free_name(b, "extra");
    find_unique(b);
}

/* ---- the whole ---- */

static void
name_lookups(struct sg_draft_builder *b)
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
            if (sg_draft_table_taken(d, name))
                snprintf(name, sizeof name, "%.30s_%.30s", d->tables[i].t.name, snake);
            l->name = sg_draft_free_table_name(d, name);
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
propose(struct sg_draft_builder *b, const struct sg_profile *const *profiles, int n,
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
    struct sg_draft_builder b = {.d = &draft};
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
