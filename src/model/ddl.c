/* SPDX-License-Identifier: MIT */
#include "model/ddl.h"

#include "base/buf.h"
#include "base/encode.h"
#include "base/hash.h"
#include "model/names.h"

#include <stdio.h>

#define TEXT_BYTES_MAX (16 << 20)

struct ddl {
    const struct sg_mapping *m;
    struct sg_buf *out;
};

void
sg_mapping_digest(const struct sg_mapping *m, char out[65])
{
    struct sg_buf text = SG_BUF_INIT(TEXT_BYTES_MAX);
    struct sg_slice field;
    struct sg_hash h;

    sg_mapping_write(m, false, &text);
    field = sg_buf_slice(&text);
    h = sg_hash_fields("segue mapping", &field, 1);
    sg_hex(h.b, sizeof h.b, out);
    sg_buf_free(&text);
}

static void
put_table(const struct ddl *d, const char *name)
{
    sg_sql_ident(d->out, d->m->schema);
    sg_buf_puts(d->out, ".");
    sg_sql_ident(d->out, name);
}

static void
put_names(const struct ddl *d, const char *const *names, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        if (i > 0)
            sg_buf_puts(d->out, ", ");
        sg_sql_ident(d->out, names[i]);
    }
}

static void
put_strings(const struct ddl *d, const char *const *values, int n, const char *before,
            const char *after)
{
    int i;

    for (i = 0; i < n; i++) {
        sg_buf_puts(d->out, i > 0 ? ", " : "");
        sg_buf_puts(d->out, before);
        sg_sql_string(d->out, values[i]);
        sg_buf_puts(d->out, after);
    }
}

/* ---- tables ---- */

static void
create_lookup(const struct ddl *d, const struct sg_model_lookup *l)
{
    sg_buf_puts(d->out, "CREATE TABLE ");
    put_table(d, l->name);
    sg_buf_puts(d->out, " (\n    value text PRIMARY KEY\n);\nINSERT INTO ");
    put_table(d, l->name);
    sg_buf_puts(d->out, " (value) VALUES ");
    put_strings(d, l->values, l->n_values, "(", ")");
    sg_buf_puts(d->out, ";\n");
}

static void
create_table(const struct ddl *d, int table)
{
    const struct sg_model_table *t = &d->m->tables[table];
    struct sg_model_physical p[SG_MODEL_PHYSICAL_MAX];
    char type[32];
    int i, n = sg_mapping_physical(d->m, table, p);

    sg_buf_puts(d->out, "CREATE TABLE ");
    put_table(d, t->name);
    sg_buf_puts(d->out, " (");
    for (i = 0; i < n; i++) {
        sg_buf_puts(d->out, i > 0 ? ",\n    " : "\n    ");
        sg_sql_ident(d->out, p[i].name);
        sg_model_type_text(p[i].type, p[i].array, p[i].limit, type);
        sg_buf_printf(d->out, " %s%s", type, p[i].not_null ? " NOT NULL" : "");
        if (p[i].part == SG_PART_BUCKET)
            sg_buf_puts(d->out, " CHECK (bucket BETWEEN 0 AND 4095)");
        if (p[i].part == SG_PART_COLUMN && t->columns[p[i].index].values != NULL) {
            sg_buf_puts(d->out, " CHECK (");
            sg_sql_ident(d->out, p[i].name);
            sg_buf_puts(d->out, " IN (");
            put_strings(d, t->columns[p[i].index].values, t->columns[p[i].index].n_values, "", "");
            sg_buf_puts(d->out, "))");
        }
    }
    sg_buf_puts(d->out, "\n);\n");
}

static void
comment_on(const struct ddl *d, int table)
{
    const struct sg_model_table *t = &d->m->tables[table];
    struct sg_buf text = SG_BUF_INIT(1 << 16);
    int i;

    sg_buf_printf(&text, "%s", t->collection);
    if (t->kind != SG_MODEL_ROOT) {
        sg_buf_puts(&text, t->kind == SG_MODEL_ARRAY ? ", elements of " : ", members of ");
        sg_model_path_text(&t->from, &text);
    }
    sg_buf_puts(d->out, "COMMENT ON TABLE ");
    put_table(d, t->name);
    sg_buf_puts(d->out, " IS ");
    sg_sql_string(d->out, text.ptr);
    sg_buf_puts(d->out, ";\n");
    for (i = 0; i < t->n_columns; i++) {
        sg_buf_reset(&text);
        sg_model_path_text(&t->columns[i].from, &text);
        sg_buf_puts(d->out, "COMMENT ON COLUMN ");
        put_table(d, t->name);
        sg_buf_puts(d->out, ".");
        sg_sql_ident(d->out, t->columns[i].name);
        sg_buf_puts(d->out, " IS ");
        sg_sql_string(d->out, text.ptr);
        sg_buf_puts(d->out, ";\n");
    }
    sg_buf_free(&text);
}

/* ---- keys ---- */

static void
alter(const struct ddl *d, const char *table)
{
    sg_buf_puts(d->out, "ALTER TABLE ");
    put_table(d, table);
    sg_buf_puts(d->out, " ADD ");
}

static int
key_names(const struct sg_mapping *m, int table, const char *names[SG_MODEL_KEY_MAX + 1])
{
    const struct sg_model_table *t = &m->tables[table];
    int i;

    names[0] = "bucket";
    for (i = 0; i < t->n_key; i++)
        names[i + 1] = t->kind == SG_MODEL_ROOT ? t->columns[t->key[i]].name : t->parents[i];
    return t->n_key + 1;
}

static void
add_keys(const struct ddl *d, int table)
{
    const struct sg_model_table *t = &d->m->tables[table];
    const char *names[SG_MODEL_KEY_MAX + 2];
    int i, n = key_names(d->m, table, names);

    if (t->kind != SG_MODEL_ROOT)
        names[n++] = t->position;
    alter(d, t->name);
    sg_buf_puts(d->out, "PRIMARY KEY (");
    put_names(d, names, n);
    sg_buf_puts(d->out, ");\n");
    for (i = 0; i < t->n_columns; i++)
        if (t->columns[i].unique) {
            alter(d, t->name);
            sg_buf_puts(d->out, "UNIQUE (");
            sg_sql_ident(d->out, t->columns[i].name);
            sg_buf_puts(d->out, ");\n");
        }
    /* what stands beside another row is found by it */
    if (t->kind == SG_MODEL_ROOT && t->shard_key != t->key[0]) {
        sg_buf_puts(d->out, "CREATE INDEX ON ");
        put_table(d, t->name);
        sg_buf_puts(d->out, " (bucket, ");
        sg_sql_ident(d->out, t->columns[t->shard_key].name);
        sg_buf_puts(d->out, ");\n");
    }
}

static void
refer(const struct ddl *d, const char *table, const char *const *names, int n, const char *to,
      const char *const *keys, const char *action)
{
    alter(d, table);
    sg_buf_puts(d->out, "FOREIGN KEY (");
    put_names(d, names, n);
    sg_buf_puts(d->out, ") REFERENCES ");
    put_table(d, to);
    sg_buf_puts(d->out, " (");
    put_names(d, keys, n);
    sg_buf_printf(d->out, ")%s;\n", action);
}

static void
add_inner_references(const struct ddl *d, int table)
{
    const struct sg_model_table *t = &d->m->tables[table];
    const char *names[SG_MODEL_KEY_MAX + 1], *keys[SG_MODEL_KEY_MAX + 1], *value = "value";
    int i, n = key_names(d->m, table, names);

    if (t->kind != SG_MODEL_ROOT) {
        key_names(d->m, t->root, keys);
        refer(d, t->name, names, n, d->m->tables[t->root].name, keys, " ON DELETE CASCADE");
    }
    for (i = 0; i < t->n_columns; i++)
        if (t->columns[i].lookup >= 0)
            refer(d, t->name, &t->columns[i].name, 1, d->m->lookups[t->columns[i].lookup].name,
                  &value, "");
}

static void
add_references(const struct ddl *d, int table)
{
    const struct sg_model_table *t = &d->m->tables[table];
    const char *names[2] = {"bucket", NULL}, *keys[SG_MODEL_KEY_MAX + 1];
    int i;

    for (i = 0; i < t->n_columns; i++)
        if (t->columns[i].references >= 0) {
            names[1] = t->columns[i].name;
            key_names(d->m, t->columns[i].references, keys);
            refer(d, t->name, names, 2, d->m->tables[t->columns[i].references].name, keys, "");
        }
}

void
sg_mapping_ddl(const struct sg_mapping *m, unsigned parts, struct sg_buf *out)
{
    struct ddl d = {.m = m, .out = out};
    char digest[65];
    int i;

    if (parts & SG_DDL_TABLES) {
        sg_buf_puts(out, "CREATE SCHEMA IF NOT EXISTS ");
        sg_sql_ident(out, m->schema);
        sg_buf_puts(out, ";\n");
        for (i = 0; i < m->n_lookups; i++)
            create_lookup(&d, &m->lookups[i]);
        for (i = 0; i < m->n_tables; i++)
            create_table(&d, i);
        for (i = 0; i < m->n_tables; i++)
            comment_on(&d, i);
        sg_mapping_digest(m, digest);
        sg_buf_puts(out, "COMMENT ON SCHEMA ");
        sg_sql_ident(out, m->schema);
        sg_buf_printf(out, " IS 'segue mapping %s';\n", digest);
    }
    for (i = 0; (parts & SG_DDL_KEYS) && i < m->n_tables; i++)
        add_keys(&d, i);
    for (i = 0; (parts & SG_DDL_KEYS) && i < m->n_tables; i++)
        add_inner_references(&d, i);
    for (i = 0; (parts & SG_DDL_REFERENCES) && i < m->n_tables; i++)
        add_references(&d, i);
}
