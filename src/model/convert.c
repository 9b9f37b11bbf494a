/* SPDX-License-Identifier: MIT */
#include "model/convert.h"

#include "model/convert_rest.h"
#include "model/pgvalue.h"
#include "model/profile.h"

#include <stdio.h>
#include <stdlib.h>

#define JSON_BYTES_MAX ((size_t)64 << 20)
#define PAIRWISE 32 /* members compared each with each */

struct sg_model_converter {
    const struct sg_mapping *m;
    sg_model_bucket_of bucket_of;
    void *ctx;
    struct sg_buf json;
};

/* While one record is converted. */
struct work {
    struct sg_model_converter *c;
    struct sg_arena *arena;
    const struct sg_model_record *record;
    struct sg_model_rows *out;
    int row_cap;
    int root;
    struct sg_slice keys[SG_MODEL_KEY_MAX];
    struct sg_slice bucket;
};

const char *
sg_model_reject_name(enum sg_model_reject reason)
{
    static const char *const names[] = {"none",     "type",        "range",         "nul",
                                        "encoding", "missing-key", "duplicate-key", "too-large"};

    return names[reason];
}

int
sg_model_converter_new(const struct sg_mapping *m, sg_model_bucket_of bucket_of, void *ctx,
                       struct sg_model_converter **out, struct sg_err *err)
{
    struct sg_model_converter *c = calloc(1, sizeof *c);

    if (c == NULL)
        return sg_fail(err, SG_E_INTERNAL, "mapping", "out of memory");
    *c = (struct sg_model_converter){
        .m = m, .bucket_of = bucket_of, .ctx = ctx, .json = SG_BUF_INIT(JSON_BYTES_MAX)};
    *out = c;
    return 0;
}

void
sg_model_converter_free(struct sg_model_converter *c)
{
    if (c == NULL)
        return;
    sg_buf_free(&c->json);
    free(c);
}

/* ---- saying no ---- */

static enum sg_model_reject
reject(struct work *w, enum sg_model_reject reason, const char *table, const char *column,
       const struct sg_model_path *from)
{
    struct sg_buf path = SG_BUF_INIT(120);

    if (from != NULL)
        sg_model_path_text(from, &path);
    w->out->reason = reason;
    snprintf(w->out->place, sizeof w->out->place, "%.60s%s%.60s%s%.64s%s", table,
             column != NULL ? "." : "", column != NULL ? column : "", path.len > 0 ? " (" : "",
             path.len > 0 ? path.ptr : "", path.len > 0 ? ")" : "");
    sg_buf_free(&path);
    return reason;
}

static enum sg_model_reject
full(struct work *w, int table)
{
    return reject(w, SG_REJECT_TOO_LARGE, w->c->m->tables[table].name, NULL, NULL);
}

/* ---- finding values ---- */

static int
compare_names(const void *a, const void *b)
{
    const struct sg_slice *x = &(*(const struct sg_doc_member *const *)a)->name,
                          *y = &(*(const struct sg_doc_member *const *)b)->name;
    size_t n = x->len < y->len ? x->len : y->len;
    int order = n > 0 ? memcmp(x->ptr, y->ptr, n) : 0;

    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

/* Whether an object has a name twice; *room is false without memory to know. */
static bool
has_twice(struct sg_arena *arena, const struct sg_doc *o, bool *room)
{
    const struct sg_doc_member **sorted;
    uint32_t i, k;

    for (i = 1; i < o->n && o->n <= PAIRWISE; i++)
        for (k = 0; k < i; k++)
            if (sg_slice_eq(o->members[i].name, o->members[k].name))
                return true;
    if (o->n <= PAIRWISE)
        return false;
    if ((sorted = sg_arena_alloc(arena, o->n * sizeof *sorted)) == NULL) {
        *room = false;
        return false;
    }
    for (i = 0; i < o->n; i++)
        sorted[i] = &o->members[i];
    qsort(sorted, o->n, sizeof *sorted, compare_names);
    for (i = 1; i < o->n; i++)
        if (compare_names(&sorted[i - 1], &sorted[i]) == 0)
            return true;
    return false;
}

static enum sg_model_reject
check_twice(struct work *w, const struct sg_doc *v)
{
    bool room = true;
    uint32_t i;

    if (v->type == SG_DOC_OBJECT && has_twice(w->arena, v, &room))
        return reject(w, SG_REJECT_DUPLICATE_KEY, w->c->m->tables[w->root].name, NULL, NULL);
    if (!room)
        return full(w, w->root);
    for (i = 0; i < v->n && (v->type == SG_DOC_OBJECT || v->type == SG_DOC_ARRAY); i++) {
        const struct sg_doc *m = v->type == SG_DOC_ARRAY ? &v->items[i] : &v->members[i].value;

        if ((m->type == SG_DOC_OBJECT || m->type == SG_DOC_ARRAY) &&
            check_twice(w, m) != SG_REJECT_NONE)
            return w->out->reason;
    }
    return SG_REJECT_NONE;
}

/* ---- rows ---- */

static enum sg_model_reject
encode_rest(struct work *w, int table, const struct sg_doc *doc, struct sg_slice *out)
{
    const struct sg_model_table *t = &w->c->m->tables[table];
    enum sg_model_reject why = sg_model_rest(w->c->m, table, doc, w->arena, &w->c->json, out);

    return why != SG_REJECT_NONE ? reject(w, why, t->name, t->rest, NULL) : SG_REJECT_NONE;
}

static enum sg_model_reject
encode_column(struct work *w, int table, int column, const struct sg_doc *doc, struct sg_slice *out)
{
    const struct sg_model_table *t = &w->c->m->tables[table];
    const struct sg_model_column *c = &t->columns[column];
    const struct sg_doc key = {.type = SG_DOC_STRING, .text = w->record->key}, *v;
    enum sg_model_reject why;
    struct sg_model_column allowed = *c;

    *out = sg_slice(NULL, 0);
    v = c->from.is_key ? (key.text.ptr != NULL ? &key : NULL) : sg_model_value_at(doc, &c->from);
    if (v == NULL || v->type == SG_DOC_NULL)
        return c->not_null ? reject(w, SG_REJECT_MISSING_KEY, t->name, c->name, &c->from)
                           : SG_REJECT_NONE;
    if (c->lookup >= 0) {
        allowed.values = w->c->m->lookups[c->lookup].values;
        allowed.n_values = w->c->m->lookups[c->lookup].n_values;
    }
    why = sg_pgvalue_encode(&allowed, v, w->arena, &w->c->json, out);
    return why != SG_REJECT_NONE ? reject(w, why, t->name, c->name, &c->from) : SG_REJECT_NONE;
}

static struct sg_model_row *
new_row(struct work *w, int table, int n)
{
    struct sg_model_row *row, *more;

    if (w->out->n == w->row_cap) {
        int cap = w->row_cap > 0 ? w->row_cap * 2 : 8;

        if ((more = sg_arena_alloc(w->arena, (size_t)cap * sizeof *more)) == NULL)
            return NULL;
        if (w->out->n > 0)
            memcpy(more, w->out->rows, (size_t)w->out->n * sizeof *more);
        w->out->rows = more;
        w->row_cap = cap;
    }
    row = &w->out->rows[w->out->n];
    *row = (struct sg_model_row){.table = table, .n = n};
    row->values = sg_arena_alloc(w->arena, (size_t)n * sizeof *row->values);
    if (row->values == NULL)
        return NULL;
    memset(row->values, 0, (size_t)n * sizeof *row->values);
    w->out->n++;
    return row;
}

/* Columns, in order from values[at] on; returns the reason. */
static enum sg_model_reject
fill_columns(struct work *w, struct sg_model_row *row, int at, const struct sg_doc *doc)
{
    const struct sg_model_table *t = &w->c->m->tables[row->table];
    int i;

    for (i = 0; i < t->n_columns; i++)
        if (encode_column(w, row->table, i, doc, &row->values[at + i]) != SG_REJECT_NONE)
            return w->out->reason;
    return SG_REJECT_NONE;
}

static enum sg_model_reject
child_row(struct work *w, int table, const struct sg_doc *v, uint32_t ordinal, struct sg_slice name)
{
    const struct sg_model_table *t = &w->c->m->tables[table];
    int i, n = 1 + t->n_key + 1 + t->n_columns + (t->rest != NULL);
    struct sg_model_row *row = new_row(w, table, n);
    const struct sg_doc key = {.type = SG_DOC_STRING, .text = name};
    const struct sg_model_column text = {.type = SG_MODEL_TEXT};
    enum sg_model_reject why;

    if (row == NULL)
        return full(w, table);
    row->values[0] = w->bucket;
    for (i = 0; i < t->n_key; i++)
        row->values[1 + i] = w->keys[i];
    if (t->kind == SG_MODEL_ARRAY)
        row->values[1 + t->n_key] = sg_pgvalue_int(w->arena, ordinal, 4);
    else if ((why = sg_pgvalue_encode(&text, &key, w->arena, &w->c->json,
                                      &row->values[1 + t->n_key])) != SG_REJECT_NONE)
        return reject(w, why, t->name, t->position, NULL);
    else if (name.len > SG_MODEL_KEY_BYTES_MAX / 2)
        return reject(w, SG_REJECT_TOO_LARGE, t->name, t->position, NULL);
    if (row->values[1 + t->n_key].ptr == NULL)
        return full(w, table);
    if (t->columns[0].from.n > 0 && v->type != SG_DOC_OBJECT)
        return reject(w, SG_REJECT_TYPE, t->name, NULL, &t->from);
    if (fill_columns(w, row, 2 + t->n_key, v) != SG_REJECT_NONE)
        return w->out->reason;
    return t->columns[0].from.n > 0
               ? encode_rest(w, table, v, &row->values[n - 1 + (t->rest == NULL)])
               : SG_REJECT_NONE;
}

static enum sg_model_reject
child_rows(struct work *w, int table, const struct sg_doc *doc)
{
    const struct sg_model_table *t = &w->c->m->tables[table];
    const struct sg_doc *v = sg_model_value_at(doc, &t->from);
    enum sg_doc_type wanted = t->kind == SG_MODEL_ARRAY ? SG_DOC_ARRAY : SG_DOC_OBJECT;
    uint32_t i;

    if (v == NULL || v->type == SG_DOC_NULL)
        return SG_REJECT_NONE;
    if (v->type != wanted)
        return reject(w, SG_REJECT_TYPE, t->name, NULL, &t->from);
    for (i = 0; i < v->n; i++)
        if (child_row(w, table, wanted == SG_DOC_ARRAY ? &v->items[i] : &v->members[i].value, i,
                      wanted == SG_DOC_ARRAY ? sg_slice(NULL, 0) : v->members[i].name) !=
            SG_REJECT_NONE)
            return w->out->reason;
    return SG_REJECT_NONE;
}

/* What all rows of the record have: its key and its bucket. */
static enum sg_model_reject
take_keys(struct work *w, struct sg_model_row *row, const struct sg_doc *doc)
{
    const struct sg_model_table *t = &w->c->m->tables[w->root];
    const struct sg_model_column *c = &t->columns[t->shard_key];
    const struct sg_doc *v = c->from.is_key ? NULL : sg_model_value_at(doc, &c->from);
    char scratch[64], *text;
    struct sg_slice key = v != NULL ? sg_scalar_text(v, scratch) : w->record->key;
    size_t bytes = 0;
    int i;

    for (i = 0; i < t->n_key; i++) {
        w->keys[i] = row->values[1 + t->key[i]];
        bytes += w->keys[i].len;
    }
    for (i = 0; i < t->n_columns; i++)
        if (t->columns[i].unique && row->values[1 + i].len > SG_MODEL_KEY_BYTES_MAX)
            return reject(w, SG_REJECT_TOO_LARGE, t->name, t->columns[i].name, &t->columns[i].from);
    if (bytes > SG_MODEL_KEY_BYTES_MAX)
        return reject(w, SG_REJECT_TOO_LARGE, t->name, t->columns[t->key[0]].name,
                      &t->columns[t->key[0]].from);
    if ((text = sg_arena_alloc(w->arena, key.len + 1)) == NULL)
        return full(w, w->root);
    if (key.len > 0)
        memcpy(text, key.ptr, key.len);
    w->out->shard_key = sg_slice(text, key.len);
    w->out->bucket = w->c->bucket_of(w->c->ctx, w->out->shard_key);
    w->bucket = sg_pgvalue_int(w->arena, w->out->bucket, 4);
    return w->bucket.ptr == NULL ? full(w, w->root) : SG_REJECT_NONE;
}

static enum sg_model_reject
root_row(struct work *w, const struct sg_doc *doc)
{
    const struct sg_model_table *t = &w->c->m->tables[w->root];
    int at = 1 + t->n_columns;
    struct sg_model_row *row =
        new_row(w, w->root, at + (t->version != NULL) + (t->expires != NULL) + (t->rest != NULL));
    enum sg_model_reject why;

    if (row == NULL)
        return full(w, w->root);
    if (fill_columns(w, row, 1, doc) != SG_REJECT_NONE || take_keys(w, row, doc) != SG_REJECT_NONE)
        return w->out->reason;
    row->values[0] = w->bucket;
    if (t->version != NULL)
        row->values[at++] = sg_pgvalue_int(w->arena, w->record->version, 8);
    if (t->expires != NULL && w->record->expires_ms >= 0) {
        why = sg_pgvalue_time(w->arena, w->record->expires_ms, &row->values[at]);
        if (why != SG_REJECT_NONE)
            return reject(w, why, t->name, t->expires, NULL);
    }
    at += t->expires != NULL;
    return encode_rest(w, w->root, doc, t->rest != NULL ? &row->values[at] : NULL);
}

/* A record that is no object needs a column or a child that takes the whole of it. */
static bool
takes_whole(const struct sg_mapping *m, int root)
{
    int i;

    for (i = 0; i < m->tables[root].n_columns; i++)
        if (!m->tables[root].columns[i].from.is_key && m->tables[root].columns[i].from.n == 0)
            return true;
    for (i = root + 1; i < m->n_tables && m->tables[i].root == root; i++)
        if (m->tables[i].from.n == 0)
            return true;
    return false;
}

enum sg_model_reject
sg_model_convert(struct sg_model_converter *c, int root, const struct sg_model_record *record,
                 struct sg_arena *arena, struct sg_model_rows *out)
{
    struct work w = {.c = c, .arena = arena, .record = record, .out = out, .root = root};
    int i;

    *out = (struct sg_model_rows){.reason = SG_REJECT_NONE};
    if (record->doc->type != SG_DOC_OBJECT && !takes_whole(c->m, root))
        return reject(&w, SG_REJECT_TYPE, c->m->tables[root].name, NULL, NULL);
    if (check_twice(&w, record->doc) != SG_REJECT_NONE ||
        root_row(&w, record->doc) != SG_REJECT_NONE)
        return out->reason;
    for (i = root + 1; i < c->m->n_tables && c->m->tables[i].root == root; i++)
        if (child_rows(&w, i, record->doc) != SG_REJECT_NONE)
            return out->reason;
    return SG_REJECT_NONE;
}

/* ---- COPY BINARY ---- */

static void
put(struct sg_buf *out, uint32_t v, int bytes)
{
    char p[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};

    sg_buf_add(out, sg_slice(p + 4 - bytes, (size_t)bytes));
}

void
sg_model_copy_header(struct sg_buf *out)
{
    sg_buf_add(out, sg_slice("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19));
}

void
sg_model_copy_row(const struct sg_model_row *row, struct sg_buf *out)
{
    int i;

    put(out, (uint32_t)row->n, 2);
    for (i = 0; i < row->n; i++) {
        put(out, row->values[i].ptr != NULL ? (uint32_t)row->values[i].len : UINT32_MAX, 4);
        sg_buf_add(out, row->values[i]);
    }
}

void
sg_model_copy_trailer(struct sg_buf *out)
{
    put(out, UINT32_MAX, 2);
}
