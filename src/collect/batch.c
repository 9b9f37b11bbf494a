/* SPDX-License-Identifier: MIT */
#include "collect/batch.h"

#include <stdlib.h>

#define HEADER 8
#define FNV_BASE UINT64_C(14695981039346656037)
#define FNV_PRIME UINT64_C(1099511628211)

void
sg_batch_init(struct sg_batch *b)
{
    *b = (struct sg_batch){.rows = SG_BUF_INIT(SG_BATCH_ROWS_MAX),
                           .keys = SG_BUF_INIT(SG_BATCH_ROWS_MAX),
                           .sealed = SG_BUF_INIT(SG_BATCH_REJECTS_MAX)};
}

void
sg_batch_free(struct sg_batch *b)
{
    sg_buf_free(&b->rows);
    sg_buf_free(&b->keys);
    sg_buf_free(&b->sealed);
    free(b->records);
    free(b->rejects);
    free(b->slots);
    sg_batch_init(b);
}

static int
no_room(struct sg_err *err)
{
    return sg_fail(err, SG_E_LIMIT, "batch", "a chunk grew past its bound, or out of memory");
}

/* ---- the same record twice ---- */

static void
add_id(struct sg_buf *out, const struct sg_model_table *t, const struct sg_model_row *row)
{
    uint32_t table = (uint32_t)row->table;
    int i;

    sg_buf_add(out, sg_slice((const char *)&table, sizeof table));
    sg_buf_add(out, row->values[0]);
    for (i = 0; i < t->n_key; i++) {
        struct sg_slice v = row->values[1 + t->key[i]];
        uint32_t len = (uint32_t)v.len;

        sg_buf_add(out, sg_slice((const char *)&len, sizeof len));
        sg_buf_add(out, v);
    }
}

static uint64_t
hash_of(struct sg_slice id)
{
    uint64_t h = FNV_BASE;
    size_t i;

    for (i = 0; i < id.len; i++)
        h = (h ^ (uint8_t)id.ptr[i]) * FNV_PRIME;
    return h;
}

static struct sg_slice
id_of(const struct sg_batch *b, const struct sg_batch_record *r)
{
    return sg_slice(b->keys.ptr + r->id_at, r->id_len);
}

static void
put_slot(struct sg_batch *b, int record)
{
    size_t mask = (size_t)b->n_slots - 1, at = b->records[record].hash & mask;

    while (b->slots[at] >= 0)
        at = (at + 1) & mask;
    b->slots[at] = record;
}

static int
grow(struct sg_batch *b, struct sg_err *err)
{
    int cap = b->cap_records > 0 ? b->cap_records * 2 : 256, i;
    struct sg_batch_record *records = realloc(b->records, (size_t)cap * sizeof *records);
    int *slots = malloc((size_t)cap * 2 * sizeof *slots);

    if (records != NULL)
        b->records = records;
    if (records == NULL || slots == NULL) {
        free(slots);
        return no_room(err);
    }
    free(b->slots);
    b->slots = slots;
    b->cap_records = cap;
    b->n_slots = cap * 2;
    memset(slots, -1, (size_t)b->n_slots * sizeof *slots);
    for (i = 0; i < b->n_records; i++)
        if (!b->records[i].dropped)
            put_slot(b, i);
    return 0;
}

/* The slot of a record with this row key; NULL. */
static int *
find(const struct sg_batch *b, uint64_t hash, struct sg_slice id)
{
    size_t mask = (size_t)b->n_slots - 1, at = hash & mask;

    for (; b->slots[at] >= 0; at = (at + 1) & mask) {
        const struct sg_batch_record *r = &b->records[b->slots[at]];

        if (r->hash == hash && sg_slice_eq(id_of(b, r), id))
            return &b->slots[at];
    }
    return NULL;
}

/* ---- adding ---- */

static void
add_row(struct sg_batch *b, const struct sg_model_row *row)
{
    uint32_t header[2] = {(uint32_t)row->table, 0};
    size_t at = b->rows.len;

    sg_buf_add(&b->rows, sg_slice((const char *)header, HEADER));
    sg_model_copy_row(row, &b->rows);
    if (b->rows.failed)
        return;
    header[1] = (uint32_t)(b->rows.len - at - HEADER);
    memcpy(b->rows.ptr + at, header, HEADER);
}

int
sg_batch_add(struct sg_batch *b, const struct sg_mapping *m, int root, struct sg_slice key,
             const struct sg_model_rows *rows, bool *clash, struct sg_err *err)
{
    struct sg_batch_record r = {.root = root, .bucket = rows->bucket, .rows_at = b->rows.len};
    int i, *same;

    if (b->n_records == b->cap_records && grow(b, err) != 0)
        return -1;
    r.key_at = b->keys.len;
    r.key_len = (uint32_t)key.len;
    sg_buf_add(&b->keys, key);
    r.id_at = b->keys.len;
    add_id(&b->keys, &m->tables[root], &rows->rows[0]);
    if (b->keys.failed)
        return no_room(err);
    r.id_len = (uint32_t)(b->keys.len - r.id_at);
    r.hash = hash_of(id_of(b, &r));
    same = find(b, r.hash, id_of(b, &r));
    *clash = same != NULL && !sg_slice_eq(sg_slice(b->keys.ptr + b->records[*same].key_at,
                                                   b->records[*same].key_len),
                                          sg_slice(b->keys.ptr + r.key_at, r.key_len));
    if (*clash)
        return 0;
    for (i = 0; i < rows->n; i++)
        add_row(b, &rows->rows[i]);
    if (b->rows.failed)
        return no_room(err);
    r.rows_end = b->rows.len;
    b->records[b->n_records] = r;
    if (same != NULL) {
        b->records[*same].dropped = true;
        *same = b->n_records;
    } else {
        put_slot(b, b->n_records);
    }
    b->n_records++;
    return 0;
}

int
sg_batch_take(struct sg_batch *b, const struct sg_batch *from, const struct sg_batch_record *record,
              struct sg_err *err)
{
    struct sg_batch_record r = *record;

    if (b->n_records == b->cap_records && grow(b, err) != 0)
        return -1;
    r.rows_at = b->rows.len;
    sg_buf_add(&b->rows,
               sg_slice(from->rows.ptr + record->rows_at, record->rows_end - record->rows_at));
    r.rows_end = b->rows.len;
    r.key_at = b->keys.len;
    sg_buf_add(&b->keys, sg_slice(from->keys.ptr + record->key_at, record->key_len));
    r.id_at = b->keys.len;
    sg_buf_add(&b->keys, sg_slice(from->keys.ptr + record->id_at, record->id_len));
    if (b->rows.failed || b->keys.failed)
        return no_room(err);
    b->records[b->n_records] = r;
    put_slot(b, b->n_records++);
    return 0;
}

int
sg_batch_add_tuple(struct sg_batch *b, int table, int bucket, struct sg_slice tuple,
                   struct sg_err *err)
{
    struct sg_batch_record r = {.root = table, .bucket = bucket, .rows_at = b->rows.len};
    uint32_t header[2] = {(uint32_t)table, (uint32_t)tuple.len};

    if (b->n_records == b->cap_records && grow(b, err) != 0)
        return -1;
    sg_buf_add(&b->rows, sg_slice((const char *)header, HEADER));
    sg_buf_add(&b->rows, tuple);
    if (b->rows.failed)
        return no_room(err);
    r.rows_end = b->rows.len;
    b->records[b->n_records++] = r;
    return 0;
}

int
sg_batch_add_reject(struct sg_batch *b, const struct sg_batch_reject *reject,
                    struct sg_slice key_sealed, struct sg_slice value_sealed, struct sg_err *err)
{
    struct sg_batch_reject *r;

    if (b->n_rejects == b->cap_rejects) {
        int cap = b->cap_rejects > 0 ? b->cap_rejects * 2 : 16;

        if ((r = realloc(b->rejects, (size_t)cap * sizeof *r)) == NULL)
            return no_room(err);
        b->rejects = r;
        b->cap_rejects = cap;
    }
    r = &b->rejects[b->n_rejects];
    *r = *reject;
    r->key_at = b->sealed.len;
    r->key_len = key_sealed.len;
    sg_buf_add(&b->sealed, key_sealed);
    r->value_at = b->sealed.len;
    r->value_len = value_sealed.len;
    sg_buf_add(&b->sealed, value_sealed);
    if (b->sealed.failed)
        return no_room(err);
    b->n_rejects++;
    return 0;
}

/* ---- reading ---- */

bool
sg_batch_next(const struct sg_batch *b, size_t *at, size_t end, int *table, struct sg_slice *tuple)
{
    uint32_t header[2];

    if (*at >= end)
        return false;
    memcpy(header, b->rows.ptr + *at, HEADER);
    *table = (int)header[0];
    *tuple = sg_slice(b->rows.ptr + *at + HEADER, header[1]);
    *at += HEADER + header[1];
    return true;
}

static uint32_t
get(const char *p, int bytes)
{
    uint32_t v = 0;
    int i;

    for (i = 0; i < bytes; i++)
        v = v << 8 | (uint8_t)p[i];
    return v;
}

int
sg_tuple_split(struct sg_slice t, struct sg_slice *values, int most)
{
    size_t at = 2;
    int n, i;

    if (t.len < 2 || (n = (int)get(t.ptr, 2)) > most)
        return -1;
    for (i = 0; i < n; i++) {
        uint32_t len;

        if (t.len - at < 4)
            return -1;
        len = get(t.ptr + at, 4);
        at += 4;
        values[i] = sg_slice(NULL, 0);
        if (len == UINT32_MAX)
            continue;
        if (t.len - at < len)
            return -1;
        values[i] = sg_slice(t.ptr + at, len);
        at += len;
    }
    return at == t.len ? n : -1;
}
