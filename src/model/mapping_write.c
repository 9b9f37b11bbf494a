/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "model/mapping.h"

#include <ctype.h>

struct writer {
    struct sg_buf *out;
    const struct sg_mapping *m;
    bool comments;
};

/* Words that YAML readers take for something else than text. */
static bool
is_yaml_word(const char *s)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no",  "on",
                                        "off",  "y",    "n",     "~",   "nan", NULL};
    int i;

    for (i = 0; words[i] != NULL; i++)
        if (strcasecmp(words[i], s) == 0)
            return true;
    return false;
}

/* Plain where any reader takes it for text, else double-quoted. */
static void
put_text(struct sg_buf *out, const char *s)
{
    bool plain = isalpha((unsigned char)s[0]) || s[0] == '_' || s[0] == '$';
    const char *p;

    for (p = s; *p != '\0'; p++)
        plain = plain && (isalnum((unsigned char)*p) || strchr("_.$-", *p) != NULL ||
                          (*p == ' ' && p[1] != '\0'));
    if (plain && !is_yaml_word(s)) {
        sg_buf_puts(out, s);
        return;
    }
    sg_buf_puts(out, "\"");
    for (p = s; *p != '\0'; p++)
        if (*p == '"' || *p == '\\')
            sg_buf_printf(out, "\\%c", *p);
        else if ((unsigned char)*p < 0x20 || *p == 0x7f)
            sg_buf_printf(out, "\\x%02x", (unsigned char)*p);
        else
            sg_buf_add(out, sg_slice(p, 1));
    sg_buf_puts(out, "\"");
}

/* On one line, whatever it was made of. */
static void
put_comment(const struct writer *w, const char *why)
{
    const char *p;

    if (!w->comments || why == NULL)
        return;
    sg_buf_puts(w->out, " # ");
    for (p = why; *p != '\0'; p++)
        sg_buf_add(w->out, (unsigned char)*p < 0x20 || *p == 0x7f ? sg_str(" ") : sg_slice(p, 1));
}

static void
put_list(struct sg_buf *out, const char *const *items, int n)
{
    int i;

    sg_buf_puts(out, "[");
    for (i = 0; i < n; i++) {
        if (i > 0)
            sg_buf_puts(out, ", ");
        put_text(out, items[i]);
    }
    sg_buf_puts(out, "]");
}

static void
put_path(struct sg_buf *out, const struct sg_model_path *path)
{
    struct sg_buf text = SG_BUF_INIT(1 << 16);

    sg_model_path_text(path, &text);
    out->failed = out->failed || text.failed;
    if (!text.failed)
        put_text(out, text.ptr);
    sg_buf_free(&text);
}

static void
put_column(const struct writer *w, int indent, const struct sg_model_column *c)
{
    struct sg_buf *out = w->out;
    const char *convert = sg_model_convert_name(c->convert);
    char type[32];

    sg_buf_printf(out, "%*s", indent, "");
    put_text(out, c->name);
    sg_buf_puts(out, ": {from: ");
    put_path(out, &c->from);
    sg_model_type_text(c->type, c->array, c->limit, type);
    sg_buf_puts(out, ", type: ");
    put_text(out, type);
    if (convert != NULL)
        sg_buf_printf(out, ", convert: %s", convert);
    if (c->not_null)
        sg_buf_puts(out, ", not_null: true");
    if (c->unique)
        sg_buf_puts(out, ", unique: true");
    if (c->absent_null)
        sg_buf_puts(out, ", absent: \"null\"");
    if (c->values != NULL) {
        sg_buf_puts(out, ", values: ");
        put_list(out, c->values, c->n_values);
    }
    if (c->lookup >= 0) {
        sg_buf_puts(out, ", lookup: ");
        put_text(out, w->m->lookups[c->lookup].name);
    }
    if (c->references >= 0) {
        const struct sg_model_table *t = &w->m->tables[c->references];
        struct sg_buf text = SG_BUF_INIT(256);

        sg_buf_printf(&text, "%s.%s", t->name, t->columns[t->key[0]].name);
        sg_buf_puts(out, ", references: ");
        put_text(out, text.ptr);
        sg_buf_free(&text);
    }
    sg_buf_puts(out, "}");
    put_comment(w, c->why);
    sg_buf_puts(out, "\n");
}

static void
put_member(struct sg_buf *out, int indent, const char *key, const char *text)
{
    if (text == NULL)
        return;
    sg_buf_printf(out, "%*s%s: ", indent, "", key);
    put_text(out, text);
    sg_buf_puts(out, "\n");
}

static void
put_columns(const struct writer *w, int indent, const struct sg_model_table *t)
{
    int i;

    sg_buf_printf(w->out, "%*scolumns:\n", indent, "");
    for (i = 0; i < t->n_columns; i++)
        put_column(w, indent + 2, &t->columns[i]);
}

static void
put_child(const struct writer *w, const struct sg_model_table *t)
{
    struct sg_buf *out = w->out;

    sg_buf_puts(out, "      ");
    put_text(out, t->name);
    sg_buf_puts(out, ":");
    put_comment(w, t->why);
    sg_buf_puts(out, "\n        from: ");
    put_path(out, &t->from);
    sg_buf_printf(
        out, "\n        kind: %s\n        parent: ", t->kind == SG_MODEL_ARRAY ? "array" : "map");
    put_list(out, t->parents, t->n_key);
    sg_buf_puts(out, "\n");
    put_member(out, 8, "position", t->position);
    if (t->absent_empty)
        sg_buf_puts(out, "        absent: empty\n");
    put_member(out, 8, "rest", t->rest);
    put_columns(w, 8, t);
}

static void
put_root(const struct writer *w, int table)
{
    const struct sg_model_table *t = &w->m->tables[table];
    const char *key[SG_MODEL_KEY_MAX];
    struct sg_buf *out = w->out;
    int i;

    sg_buf_puts(out, "  ");
    put_text(out, t->collection);
    sg_buf_puts(out, ":");
    put_comment(w, t->why);
    sg_buf_puts(out, "\n");
    put_member(out, 4, "table", t->name);
    for (i = 0; i < t->n_key; i++)
        key[i] = t->columns[t->key[i]].name;
    sg_buf_puts(out, "    key: ");
    put_list(out, key, t->n_key);
    sg_buf_puts(out, "\n");
    put_member(out, 4, "shard_key", t->columns[t->shard_key].name);
    put_member(out, 4, "version", t->version);
    put_member(out, 4, "expires", t->expires);
    put_member(out, 4, "rest", t->rest);
    put_columns(w, 4, t);
    for (i = table + 1; i < w->m->n_tables && w->m->tables[i].root == table; i++) {
        if (i == table + 1)
            sg_buf_puts(out, "    children:\n");
        put_child(w, &w->m->tables[i]);
    }
}

void
sg_mapping_write(const struct sg_mapping *m, bool comments, struct sg_buf *out)
{
    struct writer w = {.out = out, .m = m, .comments = comments};
    const char *p;
    int i;

    if (comments && m->why != NULL) {
        sg_buf_puts(out, "# ");
        for (p = m->why; *p != '\0'; p++)
            sg_buf_add(out, *p == '\n' ? sg_str("\n# ") : sg_slice(p, 1));
        sg_buf_puts(out, "\n");
    }
    sg_buf_puts(out, "mapping: 1\n");
    put_member(out, 0, "schema", m->schema);
    sg_buf_puts(out, "collections:\n");
    for (i = 0; i < m->n_tables; i++)
        if (m->tables[i].kind == SG_MODEL_ROOT)
            put_root(&w, i);
    if (m->n_lookups > 0)
        sg_buf_puts(out, "lookups:\n");
    for (i = 0; i < m->n_lookups; i++) {
        sg_buf_puts(out, "  ");
        put_text(out, m->lookups[i].name);
        sg_buf_puts(out, ": ");
        put_list(out, m->lookups[i].values, m->lookups[i].n_values);
        sg_buf_puts(out, "\n");
    }
}
