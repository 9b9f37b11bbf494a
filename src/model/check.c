/* SPDX-License-Identifier: MIT */
#include "model/check.h"

#include "base/buf.h"
#include "base/nearest.h"
#include "model/format.h"

#include <stdio.h>

int
sg_model_check_name(const struct sg_yaml_node *at, const char *name, struct sg_err *err)
{
    size_t len = strlen(name);

    if (len == 0)
        return sg_yaml_fail(at, err, "a name is empty");
    if (len > SG_MODEL_NAME_MAX)
        return sg_yaml_fail(at, err, "'%.40s…' has %zu bytes: PostgreSQL would cut it at %d", name,
                            len, SG_MODEL_NAME_MAX);
    if (!sg_utf8_valid(sg_slice(name, len)))
        return sg_yaml_fail(at, err, "a name is not valid UTF-8");
    return 0;
}

bool
sg_model_can_be_key(const struct sg_model_column *c)
{
    return !c->array && c->type != SG_MODEL_JSONB && c->type != SG_MODEL_DOUBLE;
}

bool
sg_model_same_type(const struct sg_model_column *a, const struct sg_model_column *b)
{
    return a->type == b->type && a->array == b->array;
}

/* ---- one column ---- */

static int
check_convert(const struct sg_model_column *c, const struct sg_yaml_node *at, struct sg_err *err)
{
    const char *name = sg_model_convert_name(c->convert), *wants = NULL;
    char type[32];

    sg_model_type_text(c->type, false, c->limit, type);
    if (c->convert >= SG_CONVERT_EPOCH_S && c->convert <= SG_CONVERT_ISO)
        wants = c->type == SG_MODEL_TIMESTAMPTZ ? NULL : "timestamptz";
    else if (c->convert == SG_CONVERT_OID)
        wants = c->type == SG_MODEL_TEXT && (c->limit == 0 || c->limit >= 24) ? NULL : "text";
    else if (c->convert == SG_CONVERT_PARSE)
        wants = c->type <= SG_MODEL_BIGINT || c->type == SG_MODEL_NUMERIC
                    ? NULL
                    : "bigint, numeric or boolean";
    if (wants != NULL)
        return sg_yaml_fail(at, err, "convert %s makes %s, which %s cannot hold: write type: %s",
                            name, wants, type, wants);
    if (c->from.is_key && c->convert == SG_CONVERT_NONE && c->type != SG_MODEL_TEXT &&
        c->type != SG_MODEL_UUID && c->type != SG_MODEL_DATE)
        return sg_yaml_fail(at, err, "$key is text, which %s cannot hold: add convert: parse",
                            type);
    if (c->array && c->type == SG_MODEL_JSONB)
        return sg_yaml_fail(at, err, "jsonb holds arrays by itself: write type: jsonb");
    return 0;
}

static int
check_column(const struct sg_mapping *m, const struct sg_model_table *t,
             const struct sg_model_column *c, const struct sg_yaml_node *at, struct sg_err *err)
{
    if (check_convert(c, at, err) != 0)
        return -1;
    if (c->from.is_key && t->kind != SG_MODEL_ROOT)
        return sg_yaml_fail(at, err, "a child has its parent's key already: $key is for %s",
                            m->tables[t->root].name);
    if ((c->values != NULL || c->lookup >= 0) && (c->type != SG_MODEL_TEXT || c->array))
        return sg_yaml_fail(at, err, "only a text column has values or a lookup");
    if (c->values != NULL && c->lookup >= 0)
        return sg_yaml_fail(at, err, "values or lookup, not both");
    if (c->unique && !sg_model_can_be_key(c))
        return sg_yaml_fail(at, err, "a column of this type cannot be unique");
    if (c->absent_null && c->not_null)
        return sg_yaml_fail(at, err,
                            "absent: null says what NULL stands for, and this column is "
                            "not_null");
    return 0;
}

static int
check_references(const struct sg_mapping *m, const struct sg_model_table *t,
                 const struct sg_model_column *c, const struct sg_yaml_node *at, struct sg_err *err)
{
    const struct sg_model_table *to;
    const struct sg_model_column *key;

    if (c->references < 0)
        return 0;
    to = &m->tables[c->references];
    key = &to->columns[to->key[0]];
    if (t->kind != SG_MODEL_ROOT || &t->columns[t->shard_key] != c || to->shard_key != to->key[0])
        return sg_yaml_fail(at, err,
                            "a row of %s and the one of %s it refers to are in one bucket only if "
                            "both are found by it: %s is not the shard_key of both",
                            t->name, to->name, c->name);
    if (!sg_model_same_type(c, key))
        return sg_yaml_fail(at, err, "%s.%s has another type", to->name, key->name);
    return 0;
}

/* ---- what stands beside one another ---- */

static bool
starts_with(const struct sg_model_path *path, const struct sg_model_path *begin)
{
    int i;

    if (path->n < begin->n)
        return false;
    for (i = 0; i < begin->n; i++)
        if (!sg_slice_eq(path->names[i], begin->names[i]))
            return false;
    return true;
}

/* Each value has one place: no column or child begins where another is. */
static int
check_paths(const struct sg_mapping *m, int table, const struct sg_model_places *places,
            struct sg_err *err)
{
    const struct sg_model_table *t = &m->tables[table];
    struct {
        const struct sg_model_path *path;
        const char *name;
        const struct sg_yaml_node *at;
    } all[SG_MODEL_COLUMNS_MAX + SG_MODEL_TABLES_MAX];
    int i, k, n = 0;

    for (i = 0; i < t->n_columns; i++, n++) {
        all[n].path = &t->columns[i].from;
        all[n].name = t->columns[i].name;
        all[n].at = places->columns[table][i].node;
    }
    for (i = table + 1; i < m->n_tables && t->kind == SG_MODEL_ROOT; i++)
        if (m->tables[i].root == table) {
            all[n].path = &m->tables[i].from;
            all[n].name = m->tables[i].name;
            all[n++].at = places->tables[i];
        }
    for (i = 0; i < n; i++)
        for (k = 0; k < n; k++)
            if (all[i].path->is_key || all[k].path->is_key
                    ? i > k && all[i].path->is_key && all[k].path->is_key
                    : i != k && starts_with(all[i].path, all[k].path) &&
                          (i > k || all[i].path->n > all[k].path->n))
                return sg_yaml_fail(all[i].at, err, "what %s is made of has a place in %s already",
                                    all[i].name, all[k].name);
    return 0;
}

static int
check_physical(const struct sg_mapping *m, int table, const struct sg_model_places *places,
               struct sg_err *err)
{
    struct sg_model_physical p[SG_MODEL_PHYSICAL_MAX];
    int i, k, n = sg_mapping_physical(m, table, p);

    for (i = 0; i < n; i++)
        for (k = 0; k < i; k++)
            if (strcmp(p[i].name, p[k].name) == 0)
                return sg_yaml_fail(
                    p[i].part == SG_PART_COLUMN   ? places->columns[table][p[i].index].node
                    : p[k].part == SG_PART_COLUMN ? places->columns[table][p[k].index].node
                                                  : places->tables[table],
                    err, "two columns of %s are named '%s'%s", m->tables[table].name, p[i].name,
                    strcmp(p[i].name, "bucket") == 0
                        ? ": bucket is the one that Segue finds a row by"
                        : "");
    return 0;
}

static int
check_key(const struct sg_mapping *m, int table, const struct sg_model_places *places,
          struct sg_err *err)
{
    const struct sg_model_table *t = &m->tables[table];
    int i, c;

    for (i = 0; i <= t->n_key; i++) {
        c = i < t->n_key ? t->key[i] : t->shard_key;
        if (!t->columns[c].not_null)
            return sg_yaml_fail(places->columns[table][c].node, err,
                                "%s is a key of %s: write not_null: true", t->columns[c].name,
                                t->name);
        if (!sg_model_can_be_key(&t->columns[c]))
            return sg_yaml_fail(places->columns[table][c].node, err,
                                "a column of this type cannot be a key");
    }
    return 0;
}

static int
check_table(const struct sg_mapping *m, int table, const struct sg_model_places *places,
            struct sg_err *err)
{
    const struct sg_model_table *t = &m->tables[table];
    int i;

    for (i = 0; i < t->n_columns; i++) {
        const struct sg_yaml_node *at = places->columns[table][i].node;

        if (check_column(m, t, &t->columns[i], at, err) != 0 ||
            check_references(m, t, &t->columns[i], at, err) != 0)
            return -1;
    }
    if (t->kind != SG_MODEL_ROOT && t->from.is_key)
        return sg_yaml_fail(places->tables[table], err, "$key is no array");
    if (t->kind != SG_MODEL_ROOT && t->columns[0].from.n == 0 && t->rest != NULL)
        return sg_yaml_fail(places->tables[table], err,
                            "'%s' takes the whole of each row: there is nothing left for '%s'",
                            t->columns[0].name, t->rest);
    if (t->kind == SG_MODEL_ROOT && check_key(m, table, places, err) != 0)
        return -1;
    if (check_paths(m, table, places, err) != 0)
        return -1;
    return check_physical(m, table, places, err);
}

/* ---- names that stand for something elsewhere ---- */

static int
find_lookup(const struct sg_mapping *m, const struct sg_yaml_node *at, const char *name,
            struct sg_err *err)
{
    const char *near = NULL;
    int i, best = SG_NEAREST_LIMIT;

    for (i = 0; i < m->n_lookups; i++) {
        if (strcmp(m->lookups[i].name, name) == 0)
            return i;
        if (sg_edit_distance(name, m->lookups[i].name) < best) {
            best = sg_edit_distance(name, m->lookups[i].name);
            near = m->lookups[i].name;
        }
    }
    return sg_yaml_fail(at, err, "there is no lookup '%.63s'%s%s%s", name,
                        near != NULL ? ": did you mean '" : "", near != NULL ? near : "",
                        near != NULL ? "'?" : "");
}

static int
find_target(const struct sg_mapping *m, const struct sg_yaml_node *at, const char *text,
            struct sg_err *err)
{
    const char *near = NULL;
    char own[140], suggestion[140];
    int i, best = SG_NEAREST_LIMIT;

    for (i = 0; i < m->n_tables; i++) {
        const struct sg_model_table *t = &m->tables[i];

        if (t->kind != SG_MODEL_ROOT || t->n_key != 1)
            continue;
        snprintf(own, sizeof own, "%s.%s", t->name, t->columns[t->key[0]].name);
        if (strcmp(own, text) == 0)
            return i;
        if (sg_edit_distance(own, text) < best) {
            best = sg_edit_distance(own, text);
            snprintf(suggestion, sizeof suggestion, "%s", own);
            near = suggestion;
        }
    }
    return sg_yaml_fail(at, err, "'%.80s' is not the key of a table here%s%s%s", text,
                        near != NULL ? ": did you mean '" : "", near != NULL ? near : "",
                        near != NULL ? "'?" : "");
}

static int
resolve(const struct sg_mapping *m, struct sg_model_column *c, const struct sg_model_place *place,
        struct sg_err *err)
{
    const char *text;

    if (place->lookup != NULL) {
        if (sg_yaml_text(place->lookup, &text, err) != 0 ||
            (c->lookup = find_lookup(m, place->lookup, text, err)) < 0)
            return -1;
    }
    if (place->references != NULL) {
        if (sg_yaml_text(place->references, &text, err) != 0 ||
            (c->references = find_target(m, place->references, text, err)) < 0)
            return -1;
    }
    return 0;
}

static int
check_table_names(const struct sg_mapping *m, const struct sg_model_places *places,
                  struct sg_err *err)
{
    int i, k;

    for (i = 0; i < m->n_tables; i++) {
        for (k = 0; k < i; k++)
            if (strcmp(m->tables[i].name, m->tables[k].name) == 0)
                return sg_yaml_fail(places->tables[i], err, "two tables are named '%s'",
                                    m->tables[i].name);
        for (k = 0; k < m->n_lookups; k++)
            if (strcmp(m->tables[i].name, m->lookups[k].name) == 0)
                return sg_yaml_fail(places->tables[i], err,
                                    "a table and a lookup are both named '%s'", m->tables[i].name);
    }
    return 0;
}

int
sg_model_check(const struct sg_mapping *m, struct sg_model_table *tables,
               const struct sg_model_places *places, struct sg_err *err)
{
    int i, k;

    for (i = 0; i < m->n_tables; i++)
        for (k = 0; k < tables[i].n_columns; k++)
            if (resolve(m, (struct sg_model_column *)&tables[i].columns[k], &places->columns[i][k],
                        err) != 0)
                return -1;
    if (check_table_names(m, places, err) != 0)
        return -1;
    for (i = 0; i < m->n_tables; i++)
        if (check_table(m, i, places, err) != 0)
            return -1;
    return 0;
}
