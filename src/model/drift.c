/* SPDX-License-Identifier: MIT */
#include "model/drift.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct finder {
    const struct sg_mapping *m;
    const struct sg_profile *p;
    struct sg_drift *out;
    int table;
};

static void add(struct finder *f, uint64_t rejects, const char *place, const char *fmt, ...)
    SG_PRINTF(4, 5);

static void
add(struct finder *f, uint64_t rejects, const char *place, const char *fmt, ...)
{
    struct sg_drift_item *item;
    va_list ap;

    f->out->rejects = f->out->rejects || rejects > 0;
    if (f->out->n == SG_DRIFT_MAX) {
        f->out->more++;
        return;
    }
    item = &f->out->items[f->out->n++];
    item->rejects = rejects;
    snprintf(item->place, sizeof item->place, "%.150s", place);
    va_start(ap, fmt);
    vsnprintf(item->text, sizeof item->text, fmt, ap);
    va_end(ap);
}

static void
column_place(const struct finder *f, const struct sg_model_column *c, char out[160])
{
    struct sg_buf path = SG_BUF_INIT(1 << 16);

    sg_model_path_text(&c->from, &path);
    snprintf(out, 160, "%.60s.%.60s (%.30s)", f->m->tables[f->table].name, c->name, path.ptr);
    sg_buf_free(&path);
}

/* ---- columns ---- */

static uint64_t
texts_taken(const struct sg_model_column *c, const struct sg_field *f)
{
    uint64_t isos = f->formats[SG_FMT_ISO_MS] + f->formats[SG_FMT_ISO_S] + f->formats[SG_FMT_ISO];

    switch (c->convert) {
    case SG_CONVERT_ISO_MS:
        return f->formats[SG_FMT_ISO_MS];
    case SG_CONVERT_ISO_S:
        return f->formats[SG_FMT_ISO_S];
    case SG_CONVERT_ISO:
        return isos;
    case SG_CONVERT_PARSE:
        return c->type == SG_MODEL_BOOLEAN ? f->formats[SG_FMT_BOOL]
               : c->type == SG_MODEL_NUMERIC
                   ? f->formats[SG_FMT_INTEGER] + f->formats[SG_FMT_DECIMAL]
                   : f->formats[SG_FMT_INTEGER];
    case SG_CONVERT_NONE:
        return c->type == SG_MODEL_TEXT   ? f->types[SG_DOC_STRING] - f->nul - f->bad_utf8
               : c->type == SG_MODEL_UUID ? f->formats[SG_FMT_UUID]
               : c->type == SG_MODEL_DATE ? f->formats[SG_FMT_DATE]
                                          : 0;
    default:
        return 0;
    }
}

/* How many of the field's values (not null) the column's type takes. */
static uint64_t
taken(const struct sg_model_column *c, const struct sg_field *f)
{
    uint64_t ints = f->types[SG_DOC_INT], reals = f->types[SG_DOC_DOUBLE];

    if (c->type == SG_MODEL_JSONB)
        return sg_field_not_null(f);
    if (c->convert == SG_CONVERT_EPOCH_S || c->convert == SG_CONVERT_EPOCH_MS)
        return ints + reals - f->not_finite;
    if (c->convert == SG_CONVERT_OID)
        return f->types[SG_DOC_OID];
    if (c->convert != SG_CONVERT_NONE)
        return texts_taken(c, f);
    switch (c->type) {
    case SG_MODEL_BOOLEAN:
        return f->types[SG_DOC_BOOL];
    case SG_MODEL_SMALLINT:
    case SG_MODEL_INTEGER:
    case SG_MODEL_BIGINT:
        return ints;
    case SG_MODEL_DOUBLE:
        return ints - f->past_double + reals;
    case SG_MODEL_NUMERIC:
        return ints + reals - f->not_finite + f->types[SG_DOC_DECIMAL];
    case SG_MODEL_TIMESTAMPTZ:
        return f->types[SG_DOC_TIME];
    case SG_MODEL_BYTEA:
        return f->types[SG_DOC_BYTES];
    default:
        return texts_taken(c, f);
    }
}

static void
check_values(struct finder *f, const struct sg_model_column *c, const struct sg_field *field,
             const char *place)
{
    const char *const *values = c->lookup >= 0 ? f->m->lookups[c->lookup].values : c->values;
    int i, k, n = c->lookup >= 0 ? f->m->lookups[c->lookup].n_values : c->n_values;

    if (values == NULL)
        return;
    if (field->many_values) {
        add(f, 1, place, "more than the %d values it may have", n);
        return;
    }
    for (i = 0; i < field->n_values; i++) {
        for (k = 0; k < n && strcmp(values[k], field->values[i].text) != 0; k++)
            ;
        if (k < n)
            continue;
        if (sg_field_is_enum(field))
            add(f, field->values[i].n, place, "a new value: %s", field->values[i].text);
        else
            add(f, field->values[i].n, place, "a new value");
    }
}

static void
check_limits(struct finder *f, const struct sg_model_column *c, const struct sg_field *field,
             const char *place)
{
    int64_t most = c->type == SG_MODEL_SMALLINT ? INT16_MAX : INT32_MAX;

    if ((c->type == SG_MODEL_SMALLINT || c->type == SG_MODEL_INTEGER) &&
        field->types[SG_DOC_INT] > 0 && (field->int_max > most || field->int_min < -most - 1))
        add(f, 1, place, "%" PRId64 " to %" PRId64 ", beyond its type", field->int_min,
            field->int_max);
    if (c->limit > 0 && field->len_max > (uint64_t)c->limit * 4)
        add(f, 1, place, "up to %" PRIu64 " bytes, beyond varchar(%d)", field->len_max, c->limit);
}

static void
check_column(struct finder *f, const struct sg_model_column *c, const struct sg_field *field,
             uint64_t rows)
{
    const struct sg_field *scalar = field;
    uint64_t good, not_null;
    char place[160];

    column_place(f, c, place);
    if (field == NULL || field->n == 0) {
        add(f, c->not_null ? rows : 0, place, "no record has it any more");
        return;
    }
    not_null = sg_field_not_null(field);
    if (c->not_null && not_null < rows)
        add(f, rows - not_null, place, "missing or null in %" PRIu64 " of %" PRIu64,
            rows - not_null, rows);
    if (c->array) {
        if (field->types[SG_DOC_ARRAY] < not_null)
            add(f, not_null - field->types[SG_DOC_ARRAY], place, "not an array in %" PRIu64,
                not_null - field->types[SG_DOC_ARRAY]);
        if ((scalar = field->each) == NULL)
            return;
    }
    good = taken(c, scalar);
    if (good < sg_field_not_null(scalar))
        add(f, sg_field_not_null(scalar) - good, place,
            "%" PRIu64 " of %" PRIu64 " values are of another type or form",
            sg_field_not_null(scalar) - good, sg_field_not_null(scalar));
    check_values(f, c, scalar, place);
    check_limits(f, c, scalar, place);
}

/* ---- fields without a place ---- */

/* Whether a column or a child of the table is at the path (1) or below it (2). */
static int
mapped(const struct finder *f, const struct sg_slice *path, int depth)
{
    int i, k, found = 0;

    for (i = -1; i < f->m->n_tables; i++) {
        const struct sg_model_table *t = &f->m->tables[i < 0 ? f->table : i];
        int n = i < 0 ? t->n_columns : i > f->table && t->root == f->table;

        for (k = 0; k < n; k++) {
            const struct sg_model_path *p = i < 0 ? &t->columns[k].from : &t->from;
            int d = 0;

            while (d < depth && d < p->n && sg_slice_eq(p->names[d], path[d]))
                d++;
            if (d == depth && p->n == depth && !p->is_key)
                return 1;
            if (d == depth && p->n > depth)
                found = 2;
        }
    }
    return found;
}

static void
check_new(struct finder *f, const struct sg_field *parent, struct sg_slice *path, int depth,
          uint64_t rows)
{
    const struct sg_model_table *t = &f->m->tables[f->table];
    const struct sg_field *m;

    for (m = parent->first; m != NULL && depth < SG_PROFILE_DEPTH_MAX; m = m->next) {
        char place[160];
        int how;

        path[depth] = sg_slice(m->name, m->name_len);
        how = mapped(f, path, depth + 1);
        if (how == 2)
            check_new(f, m, path, depth + 1, rows);
        if (how != 0 || sg_field_not_null(m) == 0)
            continue;
        if (t->rest != NULL && sg_field_not_null(m) * 100 < rows)
            continue; /* the rest is for these */
        {
            struct sg_buf text = SG_BUF_INIT(1 << 16);

            sg_field_path(m, &text);
            snprintf(place, sizeof place, "%.60s: %.80s", t->collection, text.ptr);
            sg_buf_free(&text);
        }
        add(f, t->rest == NULL ? sg_field_not_null(m) : 0, place, "new, in %.1f %%: %s",
            100.0 * (double)sg_field_not_null(m) / (double)(rows > 0 ? rows : 1),
            t->rest != NULL ? "kept in the rest" : "has no place");
    }
}

/* ---- tables ---- */

static const struct sg_field *
field_at(const struct sg_field *from, const struct sg_model_path *path)
{
    int i;

    for (i = 0; i < path->n && from != NULL; i++)
        from = sg_field_member(from, path->names[i]);
    return from;
}

static void
check_table(struct finder *f, int table, const struct sg_field *record, uint64_t rows)
{
    const struct sg_model_table *t = &f->m->tables[table];
    struct sg_slice path[SG_PROFILE_DEPTH_MAX + 1];
    int i;

    f->table = table;
    for (i = 0; i < t->n_columns; i++)
        check_column(f, &t->columns[i],
                     t->columns[i].from.is_key ? &f->p->key : field_at(record, &t->columns[i].from),
                     rows);
    if (t->kind == SG_MODEL_ROOT || t->columns[0].from.n > 0)
        check_new(f, record, path, 0, rows);
}

static void
check_child(struct finder *f, int table)
{
    const struct sg_model_table *t = &f->m->tables[table];
    const struct sg_field *holder = field_at(&f->p->root, &t->from);
    enum sg_doc_type wanted = t->kind == SG_MODEL_ARRAY ? SG_DOC_ARRAY : SG_DOC_OBJECT;
    uint64_t bad;

    if (holder == NULL) {
        add(f, 0, t->name, "no record has it any more");
        return;
    }
    bad = sg_field_not_null(holder) - holder->types[wanted];
    if (bad > 0)
        add(f, bad, t->name, "%" PRIu64 " are no %s", bad,
            wanted == SG_DOC_ARRAY ? "array" : "object");
    if (holder->each != NULL)
        check_table(f, table, holder->each, holder->each->n);
    else if (t->kind == SG_MODEL_MAP && holder->first != NULL)
        add(f, 0, t->name, "its names do not look like data any more");
}

int
sg_drift_find(const struct sg_mapping *m, const struct sg_profile *const *profiles, int n,
              struct sg_drift *out, struct sg_err *err)
{
    struct finder f = {.m = m, .out = out};
    int i, k;

    *out = (struct sg_drift){.items = calloc(SG_DRIFT_MAX, sizeof *out->items)};
    if (out->items == NULL)
        return sg_fail(err, SG_E_INTERNAL, "drift", "out of memory");
    for (i = 0; i < m->n_tables; i++) {
        if (m->tables[i].kind != SG_MODEL_ROOT)
            continue;
        for (k = 0; k < n && strcmp(profiles[k]->name, m->tables[i].collection) != 0; k++)
            ;
        if (k == n) {
            add(&f, 0, m->tables[i].collection, "was not read, or is gone");
            continue;
        }
        f.p = profiles[k];
        check_table(&f, i, &f.p->root, f.p->records);
        for (k = i + 1; k < m->n_tables && m->tables[k].root == i; k++)
            check_child(&f, k);
    }
    for (k = 0; k < n; k++)
        if (sg_mapping_find(m, profiles[k]->name) < 0)
            add(&f, 0, profiles[k]->name, "a new collection of %" PRIu64 " records",
                profiles[k]->records);
    return 0;
}

void
sg_drift_free(struct sg_drift *d)
{
    free(d->items);
    *d = (struct sg_drift){0};
}
