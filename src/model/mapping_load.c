/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/nearest.h"
#include "base/yaml.h"
#include "model/check.h"
#include "model/mapping.h"

#include <stdio.h>
#include <stdlib.h>

#define ARENA_BYTES (16 << 20)

struct loader {
    struct sg_mapping *m;
    struct sg_model_table *tables;
    struct sg_model_lookup *lookups;
    struct sg_model_places places;
    struct sg_err *err;
};

static void *
keep(struct loader *l, size_t bytes)
{
    void *p = sg_arena_alloc(l->m->arena, bytes != 0 ? bytes : 1);

    if (p != NULL)
        memset(p, 0, bytes);
    else
        sg_fail(l->err, SG_E_LIMIT, "mapping", "more than 16 MiB in memory");
    return p;
}

static const char *
keep_text(struct loader *l, const char *text)
{
    char *p = keep(l, strlen(text) + 1);

    return p != NULL ? strcpy(p, text) : NULL;
}

static int
count(struct sg_yaml_node *node)
{
    int n = 0;

    while (sg_yaml_item(node, n) != NULL)
        n++;
    return n;
}

/* A name as PostgreSQL takes it; fallback NULL = required. */
static int
read_name(struct loader *l, struct sg_yaml_node *map, const char *key, bool required,
          const char **out)
{
    const char *text;

    *out = NULL;
    if (!required && sg_yaml_get(map, key) == NULL)
        return 0;
    if (sg_yaml_string(map, key, NULL, &text, l->err) != 0 ||
        sg_model_check_name(sg_yaml_get(map, key), text, l->err) != 0)
        return -1;
    *out = keep_text(l, text);
    return *out != NULL ? 0 : -1;
}

static int
read_texts(struct loader *l, struct sg_yaml_node *seq, const char *const **out, int *n)
{
    const char **texts, *text;
    int i;

    if (!sg_yaml_is_seq(seq) || sg_yaml_item(seq, 0) == NULL)
        return sg_yaml_fail(seq, l->err, "expected a list, [a, b]");
    *n = count(seq);
    if ((texts = keep(l, (size_t)*n * sizeof *texts)) == NULL)
        return -1;
    for (i = 0; i < *n; i++) {
        if (sg_yaml_text(sg_yaml_item(seq, i), &text, l->err) != 0)
            return -1;
        if ((texts[i] = keep_text(l, text)) == NULL)
            return -1;
    }
    *out = texts;
    return 0;
}

/* Cuts "a.b\.c" into its names. */
static int
read_path(struct loader *l, struct sg_yaml_node *map, struct sg_model_path *out)
{
    struct sg_slice *names;
    const char *text, *p;
    char *to;
    int n = 1;

    if (sg_yaml_string(map, "from", NULL, &text, l->err) != 0)
        return -1;
    if (strcmp(text, ".") == 0)
        return 0;
    if (strcmp(text, "$key") == 0) {
        out->is_key = true;
        return 0;
    }
    if (text[0] == '$')
        return sg_yaml_fail(sg_yaml_get(map, "from"), l->err,
                            "'%.60s': did you mean $key? A field of that name is written \\%.60s",
                            text, text);
    for (p = text; *p != '\0'; p++)
        if (*p == '\\' && p[1] != '\0')
            p++;
        else
            n += *p == '.';
    names = keep(l, (size_t)(n + 1) * sizeof *names);
    to = keep(l, strlen(text) + 1);
    if (names == NULL || to == NULL)
        return -1;
    names[0].ptr = to;
    for (p = text; *p != '\0'; p++) {
        if (*p == '\\' && p[1] != '\0') {
            *to++ = *++p;
            names[out->n].len++;
        } else if (*p == '.' && out->n + 1 < n) {
            names[++out->n].ptr = to;
        } else {
            *to++ = *p;
            names[out->n].len++;
        }
    }
    out->names = names;
    out->n++;
    return 0;
}

static int
read_type(struct loader *l, struct sg_yaml_node *map, struct sg_model_column *c)
{
    static const struct {
        const char *name;
        enum sg_model_type type;
    } also[] = {{"bool", SG_MODEL_BOOLEAN},    {"int2", SG_MODEL_SMALLINT},
                {"int4", SG_MODEL_INTEGER},    {"int", SG_MODEL_INTEGER},
                {"int8", SG_MODEL_BIGINT},     {"float8", SG_MODEL_DOUBLE},
                {"decimal", SG_MODEL_NUMERIC}, {"timestamp with time zone", SG_MODEL_TIMESTAMPTZ}};
    const char *text, *near = NULL;
    char base[32], known[32];
    int i, best = SG_NEAREST_LIMIT, used = 0;
    size_t len;

    if (sg_yaml_string(map, "type", NULL, &text, l->err) != 0)
        return -1;
    len = strlen(text);
    c->array = len > 2 && strcmp(text + len - 2, "[]") == 0;
    snprintf(base, sizeof base, "%.*s", (int)(c->array ? len - 2 : len), text);
    c->type = SG_MODEL_TEXT;
    if (sscanf(base, "varchar(%d)%n", &c->limit, &used) == 1 && base[used] == '\0' &&
        c->limit > 0 && c->limit <= 10485760)
        return 0;
    c->limit = 0;
    for (i = 0; i <= SG_MODEL_JSONB; i++) {
        sg_model_type_text((enum sg_model_type)i, false, 0, known);
        c->type = (enum sg_model_type)i;
        if (strcmp(known, base) == 0)
            return 0;
        if (sg_edit_distance(base, known) < best) {
            best = sg_edit_distance(base, known);
            near = i == SG_MODEL_BOOLEAN ? "boolean" : NULL;
            used = i;
        }
    }
    for (i = 0; i < (int)(sizeof also / sizeof *also); i++)
        if (strcmp(also[i].name, base) == 0) {
            c->type = also[i].type;
            return 0;
        }
    if (best < SG_NEAREST_LIMIT) {
        sg_model_type_text((enum sg_model_type)used, false, 0, known);
        near = known;
    }
    return sg_yaml_fail(sg_yaml_get(map, "type"), l->err,
                        "type '%.40s' is none that a mapping can hold%s%s%s", text,
                        near != NULL ? ": did you mean " : "", near != NULL ? near : "",
                        near != NULL ? "?"
                                     : ": boolean, smallint, integer, bigint, double precision, "
                                       "numeric, text, varchar(n), uuid, timestamptz, date, bytea, "
                                       "jsonb, and arrays of them (text[])");
}

static int
read_column(struct loader *l, struct sg_yaml_node *node, struct sg_model_column *c,
            struct sg_model_place *place)
{
    static const char *const converts[] = {"none", "epoch_s", "epoch_ms", "iso_ms", "iso_s",
                                           "iso",  "oid",     "parse",    NULL};
    static const char *const absents[] = {"missing", "null", NULL};
    const bool no = false;
    struct sg_yaml_node *values;
    int convert, absent;

    c->lookup = c->references = -1;
    c->name = keep_text(l, sg_yaml_key(node));
    if (c->name == NULL || sg_model_check_name(node, c->name, l->err) != 0)
        return -1;
    if (!sg_yaml_is_map(node))
        return sg_yaml_fail(node, l->err, "expected {from: …, type: …}");
    if (read_path(l, node, &c->from) != 0 || read_type(l, node, c) != 0 ||
        sg_yaml_word(node, "convert", converts, 0, &convert, l->err) != 0 ||
        sg_yaml_bool(node, "not_null", &no, &c->not_null, l->err) != 0 ||
        sg_yaml_bool(node, "unique", &no, &c->unique, l->err) != 0 ||
        sg_yaml_word(node, "absent", absents, 0, &absent, l->err) != 0)
        return -1;
    c->convert = (enum sg_model_convert)convert;
    c->absent_null = absent == 1;
    if ((values = sg_yaml_get(node, "values")) != NULL &&
        read_texts(l, values, &c->values, &c->n_values) != 0)
        return -1;
    place->node = node;
    place->lookup = sg_yaml_get(node, "lookup");
    place->references = sg_yaml_get(node, "references");
    return 0;
}

static int
read_columns(struct loader *l, struct sg_yaml_node *node, int table)
{
    struct sg_yaml_node *list = sg_yaml_get(node, "columns"), *item;
    struct sg_model_column *columns;
    struct sg_model_place *places;
    int i, n;

    if (!sg_yaml_is_map(list) || (n = count(list)) == 0)
        return sg_yaml_fail(list != NULL ? list : node, l->err,
                            "'columns' is missing: expected column: {from: …, type: …}");
    if (n > SG_MODEL_COLUMNS_MAX)
        return sg_yaml_fail(list, l->err, "%d columns: a table takes %d", n, SG_MODEL_COLUMNS_MAX);
    columns = keep(l, (size_t)n * sizeof *columns);
    places = keep(l, (size_t)n * sizeof *places);
    if (columns == NULL || places == NULL)
        return -1;
    for (i = 0, item = sg_yaml_item(list, 0); i < n; item = sg_yaml_item(list, ++i))
        if (read_column(l, item, &columns[i], &places[i]) != 0)
            return -1;
    l->tables[table].columns = columns;
    l->tables[table].n_columns = n;
    l->places.columns[table] = places;
    return 0;
}

static int
column_index(struct loader *l, const struct sg_model_table *t, struct sg_yaml_node *at,
             const char *name)
{
    const char *near = NULL;
    int i, best = SG_NEAREST_LIMIT;

    for (i = 0; i < t->n_columns; i++) {
        int d = sg_edit_distance(name, t->columns[i].name);

        if (strcmp(name, t->columns[i].name) == 0)
            return i;
        if (d < best) {
            best = d;
            near = t->columns[i].name;
        }
    }
    return sg_yaml_fail(at, l->err, "there is no column '%.63s' in %s%s%s%s", name, t->name,
                        near != NULL ? ": did you mean '" : "", near != NULL ? near : "",
                        near != NULL ? "'?" : "");
}

static struct sg_model_table *
new_table(struct loader *l, struct sg_yaml_node *node)
{
    if (l->m->n_tables == SG_MODEL_TABLES_MAX) {
        sg_yaml_fail(node, l->err, "more than %d tables", SG_MODEL_TABLES_MAX);
        return NULL;
    }
    l->places.tables[l->m->n_tables] = node;
    return &l->tables[l->m->n_tables++];
}

static int
read_key(struct loader *l, struct sg_yaml_node *node, struct sg_model_table *t)
{
    struct sg_yaml_node *key = sg_yaml_get(node, "key"), *shard = sg_yaml_get(node, "shard_key");
    const char *const *names, *name;
    int i;

    if (key == NULL)
        return sg_yaml_fail(node, l->err, "'key' is missing: the columns that tell records apart");
    if (read_texts(l, key, &names, &t->n_key) != 0)
        return -1;
    if (t->n_key > SG_MODEL_KEY_MAX)
        return sg_yaml_fail(key, l->err, "a key has at most %d columns", SG_MODEL_KEY_MAX);
    for (i = 0; i < t->n_key; i++)
        if ((t->key[i] = column_index(l, t, key, names[i])) < 0)
            return -1;
    if (shard == NULL)
        return sg_yaml_fail(node, l->err,
                            "'shard_key' is missing: the column whose value decides about the "
                            "shard, such as %s",
                            names[0]);
    if (sg_yaml_string(node, "shard_key", NULL, &name, l->err) != 0)
        return -1;
    t->shard_key = column_index(l, t, shard, name);
    return t->shard_key < 0 ? -1 : 0;
}

static int
read_child(struct loader *l, struct sg_yaml_node *node, int root)
{
    static const char *const kinds[] = {"array", "map", NULL};
    static const char *const absents[] = {"missing", "empty", NULL};
    const struct sg_model_table *r = &l->tables[root];
    struct sg_yaml_node *parents;
    struct sg_model_table *t;
    const char *const *names;
    int kind, absent, i, n;

    if ((t = new_table(l, node)) == NULL || (t->name = keep_text(l, sg_yaml_key(node))) == NULL ||
        sg_model_check_name(node, t->name, l->err) != 0)
        return -1;
    if (!sg_yaml_is_map(node))
        return sg_yaml_fail(node, l->err, "expected a table with from, kind, parent, columns");
    if (read_path(l, node, &t->from) != 0 ||
        sg_yaml_word(node, "kind", kinds, -1, &kind, l->err) != 0 ||
        sg_yaml_word(node, "absent", absents, 0, &absent, l->err) != 0 ||
        read_name(l, node, "position", true, &t->position) != 0 ||
        read_name(l, node, "rest", false, &t->rest) != 0)
        return -1;
    t->kind = kind == 0 ? SG_MODEL_ARRAY : SG_MODEL_MAP;
    t->absent_empty = absent == 1;
    t->root = root;
    t->collection = r->collection;
    t->n_key = r->n_key;
    if ((parents = sg_yaml_get(node, "parent")) == NULL)
        return sg_yaml_fail(node, l->err, "'parent' is missing: columns for the key of %s",
                            r->name);
    if (read_texts(l, parents, &names, &n) != 0)
        return -1;
    if (n != r->n_key)
        return sg_yaml_fail(parents, l->err, "the key of %s has %d columns, here are %d", r->name,
                            r->n_key, n);
    for (i = 0; i < n; i++) {
        if (sg_model_check_name(parents, names[i], l->err) != 0)
            return -1;
        t->parents[i] = names[i];
    }
    return read_columns(l, node, l->m->n_tables - 1);
}

static int
read_collection(struct loader *l, struct sg_yaml_node *node)
{
    struct sg_yaml_node *children, *child;
    struct sg_model_table *t;
    int i, root = l->m->n_tables;

    if (!sg_yaml_is_map(node))
        return sg_yaml_fail(node, l->err, "expected a collection with table, key, columns");
    if ((t = new_table(l, node)) == NULL ||
        (t->collection = keep_text(l, sg_yaml_key(node))) == NULL)
        return -1;
    t->root = root;
    if (read_name(l, node, "table", true, &t->name) != 0 ||
        read_name(l, node, "version", false, &t->version) != 0 ||
        read_name(l, node, "expires", false, &t->expires) != 0 ||
        read_name(l, node, "rest", false, &t->rest) != 0 || read_columns(l, node, root) != 0 ||
        read_key(l, node, t) != 0)
        return -1;
    if ((children = sg_yaml_get(node, "children")) == NULL)
        return 0;
    if (!sg_yaml_is_map(children))
        return sg_yaml_fail(children, l->err, "expected table: {from: …, kind: …}");
    for (i = 0; (child = sg_yaml_item(children, i)) != NULL; i++)
        if (read_child(l, child, root) != 0)
            return -1;
    return 0;
}

static int
read_lookups(struct loader *l, struct sg_yaml_node *map)
{
    struct sg_yaml_node *item;
    int i, n = map != NULL ? count(map) : 0;

    if (map != NULL && !sg_yaml_is_map(map))
        return sg_yaml_fail(map, l->err, "expected name: [value, …]");
    l->places.lookups = map;
    if (n > SG_MODEL_TABLES_MAX)
        return sg_yaml_fail(map, l->err, "more than %d lookup tables", SG_MODEL_TABLES_MAX);
    if ((l->lookups = keep(l, (size_t)n * sizeof *l->lookups)) == NULL)
        return -1;
    for (i = 0; i < n; i++) {
        item = sg_yaml_item(map, i);
        l->lookups[i].name = keep_text(l, sg_yaml_key(item));
        if (l->lookups[i].name == NULL ||
            sg_model_check_name(item, l->lookups[i].name, l->err) != 0 ||
            read_texts(l, item, &l->lookups[i].values, &l->lookups[i].n_values) != 0)
            return -1;
    }
    l->m->lookups = l->lookups;
    l->m->n_lookups = n;
    return 0;
}

static int
read_mapping(struct loader *l, struct sg_yaml *doc)
{
    struct sg_yaml_node *root = sg_yaml_root(doc), *collections, *item;
    int64_t version;
    int i;

    if (sg_yaml_int(root, "mapping", 1, 1, NULL, &version, l->err) != 0 ||
        read_name(l, root, "schema", true, &l->m->schema) != 0)
        return -1;
    if (strncmp(l->m->schema, "segue", 5) == 0)
        return sg_yaml_fail(sg_yaml_get(root, "schema"), l->err,
                            "schemas whose name begins with segue are Segue's own");
    collections = sg_yaml_get(root, "collections");
    if (!sg_yaml_is_map(collections) || sg_yaml_item(collections, 0) == NULL)
        return sg_yaml_fail(collections != NULL ? collections : root, l->err,
                            "'collections' is missing: what is to be mapped?");
    l->tables = keep(l, SG_MODEL_TABLES_MAX * sizeof *l->tables);
    if (l->tables == NULL || read_lookups(l, sg_yaml_get(root, "lookups")) != 0)
        return -1;
    l->m->tables = l->tables;
    for (i = 0; (item = sg_yaml_item(collections, i)) != NULL; i++)
        if (read_collection(l, item) != 0)
            return -1;
    if (sg_yaml_check_unknown(doc, l->err) != 0)
        return -1;
    return sg_model_check(l->m, l->tables, &l->places, l->err);
}

static int
build(struct sg_yaml *doc, struct sg_mapping **out, struct sg_err *err)
{
    struct loader *l = calloc(1, sizeof *l);
    struct sg_mapping *m = calloc(1, sizeof *m);
    int rc = -1;

    if (l == NULL || m == NULL || sg_arena_new(ARENA_BYTES, &m->arena, err) != 0)
        rc = sg_fail(err, SG_E_INTERNAL, "mapping", "out of memory");
    else {
        l->m = m;
        l->err = err;
        rc = read_mapping(l, doc);
    }
    free(l);
    if (rc == 0)
        *out = m;
    else
        sg_mapping_free(m);
    return rc;
}

int
sg_mapping_load(const char *path, struct sg_mapping **out, struct sg_err *err)
{
    struct sg_yaml *doc;
    int rc;

    if (sg_yaml_load(path, &doc, err) != 0)
        return -1;
    rc = build(doc, out, err);
    sg_yaml_free(doc);
    return rc;
}

int
sg_mapping_parse(const char *name, struct sg_slice text, struct sg_mapping **out,
                 struct sg_err *err)
{
    struct sg_yaml *doc;
    int rc;

    if (sg_yaml_parse(name, text.ptr, text.len, &doc, err) != 0)
        return -1;
    rc = build(doc, out, err);
    sg_yaml_free(doc);
    return rc;
}
