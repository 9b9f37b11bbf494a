/* SPDX-License-Identifier: MIT */
#include "collect/statements.h"

#include "model/names.h"

void
sg_collect_table(const struct sg_mapping *m, int table, struct sg_buf *out)
{
    sg_sql_ident(out, m->schema);
    sg_buf_puts(out, ".");
    sg_sql_ident(out, m->tables[table].name);
}

static void
put_stage(int table, struct sg_buf *out)
{
    sg_buf_printf(out, "pg_temp.segue_stage_%d", table);
}

/* Every column, each behind `before`. */
static void
put_columns(const struct sg_mapping *m, int table, const char *before, struct sg_buf *out)
{
    struct sg_model_physical p[SG_MODEL_PHYSICAL_MAX];
    int i, n = sg_mapping_physical(m, table, p);

    for (i = 0; i < n; i++) {
        sg_buf_puts(out, i > 0 ? ", " : "");
        sg_buf_puts(out, before);
        sg_sql_ident(out, p[i].name);
    }
}

static bool
is_key(const struct sg_model_table *t, const struct sg_model_physical *p)
{
    int i;

    for (i = 0; i < t->n_key; i++)
        if (p->part == SG_PART_COLUMN && t->key[i] == p->index)
            return true;
    return p->part == SG_PART_BUCKET;
}

/* "a.bucket = b.bucket AND a.k = b.k": rows of a table, or of children, that belong to a root's. */
static void
put_same_key(const struct sg_mapping *m, int table, const char *a, const char *b,
             struct sg_buf *out)
{
    const struct sg_model_table *t = &m->tables[table], *root = &m->tables[t->root];
    int i;

    sg_buf_printf(out, "%s.bucket = %s.bucket", a, b);
    for (i = 0; i < root->n_key; i++) {
        const char *key = root->columns[root->key[i]].name;

        sg_buf_printf(out, " AND %s.", a);
        sg_sql_ident(out, t->kind == SG_MODEL_ROOT ? key : t->parents[i]);
        sg_buf_printf(out, " = %s.", b);
        sg_sql_ident(out, key);
    }
}

static bool
is_child(const struct sg_mapping *m, int root, int table)
{
    return table < m->n_tables && m->tables[table].root == root;
}

void
sg_collect_copy_in(const struct sg_mapping *m, int table, bool stage, struct sg_buf *out)
{
    sg_buf_puts(out, "COPY ");
    if (stage)
        put_stage(table, out);
    else
        sg_collect_table(m, table, out);
    sg_buf_puts(out, " (");
    put_columns(m, table, "", out);
    sg_buf_puts(out, ") FROM STDIN (FORMAT binary)");
}

void
sg_collect_copy_out(const struct sg_mapping *m, int table, const char *is_in, struct sg_buf *out)
{
    int root = m->tables[table].root;
    const char *expires = m->tables[root].expires;

    sg_buf_puts(out, "COPY (SELECT ");
    put_columns(m, table, "c.", out);
    sg_buf_puts(out, " FROM ");
    sg_collect_table(m, table, out);
    sg_buf_puts(out, " AS c");
    if (is_in != NULL) {
        sg_buf_printf(out, " WHERE c.bucket IN (%s)", is_in);
    } else if (expires != NULL) {
        sg_buf_puts(out, " WHERE EXISTS (SELECT FROM ");
        sg_collect_table(m, root, out);
        sg_buf_puts(out, " AS s WHERE ");
        put_same_key(m, table, "c", "s", out);
        sg_buf_puts(out, " AND (s.");
        sg_sql_ident(out, expires);
        sg_buf_puts(out, " IS NULL OR s.");
        sg_sql_ident(out, expires);
        sg_buf_puts(out, " > clock_timestamp()))");
    }
    sg_buf_puts(out, ") TO STDOUT (FORMAT binary)");
}

void
sg_collect_stages(const struct sg_mapping *m, int root, struct sg_buf *out)
{
    int i;

    for (i = root; is_child(m, root, i); i++) {
        sg_buf_printf(out, "CREATE TEMP TABLE IF NOT EXISTS segue_stage_%d (LIKE ", i);
        sg_collect_table(m, i, out);
        sg_buf_puts(out, ") ON COMMIT DELETE ROWS;");
    }
}

void
sg_collect_stages_clear(const struct sg_mapping *m, int root, struct sg_buf *out)
{
    int i;

    sg_buf_puts(out, "TRUNCATE ");
    for (i = root; is_child(m, root, i); i++) {
        sg_buf_puts(out, i > root ? ", " : "");
        put_stage(i, out);
    }
}

static void
merge_root(const struct sg_mapping *m, int root, bool force, struct sg_buf *out)
{
    const struct sg_model_table *t = &m->tables[root];
    struct sg_model_physical p[SG_MODEL_PHYSICAL_MAX];
    int i, n = sg_mapping_physical(m, root, p), set = 0;

    sg_buf_puts(out, "INSERT INTO ");
    sg_collect_table(m, root, out);
    sg_buf_puts(out, " AS t (");
    put_columns(m, root, "", out);
    sg_buf_puts(out, ") SELECT ");
    put_columns(m, root, "", out);
    sg_buf_puts(out, " FROM ");
    put_stage(root, out);
    sg_buf_puts(out, " ON CONFLICT (bucket");
    for (i = 0; i < t->n_key; i++) {
        sg_buf_puts(out, ", ");
        sg_sql_ident(out, t->columns[t->key[i]].name);
    }
    sg_buf_puts(out, ") DO ");
    for (i = 0; i < n; i++)
        if (!is_key(t, &p[i])) {
            sg_buf_puts(out, set++ > 0 ? ", " : "UPDATE SET ");
            sg_sql_ident(out, p[i].name);
            sg_buf_puts(out, " = excluded.");
            sg_sql_ident(out, p[i].name);
        }
    if (set == 0)
        sg_buf_puts(out, "NOTHING");
    if (set > 0 && t->version != NULL && !force) {
        sg_buf_puts(out, " WHERE excluded.");
        sg_sql_ident(out, t->version);
        sg_buf_puts(out, " >= t.");
        sg_sql_ident(out, t->version);
    }
    sg_buf_puts(out, ";");
}

/* What ties a root's staged row to the one that is stored now: it was taken. */
static void
put_taken(const struct sg_mapping *m, int root, struct sg_buf *out)
{
    put_same_key(m, root, "t", "s", out);
    sg_buf_puts(out, " AND t.");
    sg_sql_ident(out, m->tables[root].version);
    sg_buf_puts(out, " = s.");
    sg_sql_ident(out, m->tables[root].version);
}

static void
merge_child(const struct sg_mapping *m, int table, bool force, struct sg_buf *out)
{
    int root = m->tables[table].root;
    bool guarded = m->tables[root].version != NULL && !force;

    sg_buf_puts(out, "DELETE FROM ");
    sg_collect_table(m, table, out);
    sg_buf_puts(out, " AS c USING ");
    put_stage(root, out);
    sg_buf_puts(out, " AS s");
    if (guarded) {
        sg_buf_puts(out, ", ");
        sg_collect_table(m, root, out);
        sg_buf_puts(out, " AS t");
    }
    sg_buf_puts(out, " WHERE ");
    put_same_key(m, table, "c", "s", out);
    if (guarded) {
        sg_buf_puts(out, " AND ");
        put_taken(m, root, out);
    }
    sg_buf_puts(out, ";INSERT INTO ");
    sg_collect_table(m, table, out);
    sg_buf_puts(out, " (");
    put_columns(m, table, "", out);
    sg_buf_puts(out, ") SELECT ");
    put_columns(m, table, "c.", out);
    sg_buf_puts(out, " FROM ");
    put_stage(table, out);
    sg_buf_puts(out, " AS c");
    if (guarded) {
        sg_buf_puts(out, " JOIN ");
        put_stage(root, out);
        sg_buf_puts(out, " AS s ON ");
        put_same_key(m, table, "c", "s", out);
        sg_buf_puts(out, " JOIN ");
        sg_collect_table(m, root, out);
        sg_buf_puts(out, " AS t ON ");
        put_taken(m, root, out);
    }
    sg_buf_puts(out, ";");
}

void
sg_collect_merge(const struct sg_mapping *m, int root, bool force, struct sg_buf *out)
{
    int i;

    merge_root(m, root, force, out);
    for (i = root + 1; is_child(m, root, i); i++)
        merge_child(m, i, force, out);
}

void
sg_collect_delete(const struct sg_mapping *m, int root, struct sg_buf *out)
{
    int i;

    for (i = root; is_child(m, root, i); i++)
        ;
    while (--i >= root) {
        sg_buf_puts(out, "DELETE FROM ");
        sg_collect_table(m, i, out);
        sg_buf_puts(out, " AS c USING ");
        put_stage(root, out);
        sg_buf_puts(out, " AS s WHERE ");
        put_same_key(m, i, "c", "s", out);
        sg_buf_puts(out, ";");
    }
}

/* "bucket, k" of a root. */
static void
put_key(const struct sg_model_table *t, const char *before, struct sg_buf *out)
{
    int i;

    sg_buf_printf(out, "%sbucket", before);
    for (i = 0; i < t->n_key; i++) {
        sg_buf_printf(out, ", %s", before);
        sg_sql_ident(out, t->columns[t->key[i]].name);
    }
}

void
sg_collect_dedupe(const struct sg_mapping *m, int root, struct sg_buf *out)
{
    const struct sg_model_table *t = &m->tables[root];
    int i;

    sg_buf_puts(out, "CREATE TEMP TABLE segue_twice ON COMMIT DROP AS SELECT DISTINCT ON (");
    put_key(t, "", out);
    sg_buf_puts(out, ") ");
    put_key(t, "", out);
    sg_buf_puts(out, ", r.xmin AS tx FROM ");
    sg_collect_table(m, root, out);
    sg_buf_puts(out, " AS r JOIN (SELECT ");
    put_key(t, "", out);
    sg_buf_puts(out, " FROM ");
    sg_collect_table(m, root, out);
    sg_buf_puts(out, " GROUP BY ");
    put_key(t, "", out);
    sg_buf_puts(out, " HAVING count(*) > 1) AS d USING (");
    put_key(t, "", out);
    sg_buf_puts(out, ") ORDER BY ");
    put_key(t, "", out);
    sg_buf_puts(out, ", age(r.xmin);");
    for (i = root; is_child(m, root, i); i++) {
        sg_buf_puts(out, "DELETE FROM ");
        sg_collect_table(m, i, out);
        sg_buf_puts(out, " AS c USING pg_temp.segue_twice AS s WHERE ");
        put_same_key(m, i, "c", "s", out);
        sg_buf_puts(out, " AND c.xmin <> s.tx;");
    }
    sg_buf_puts(out, "DROP TABLE pg_temp.segue_twice;");
}
