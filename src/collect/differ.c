/* SPDX-License-Identifier: MIT */
/* Which rows and columns differ, in the buckets whose sums do; looked at twice. */
#include "base/clock.h"
#include "base/encode.h"
#include "collect/statements.h"
#include "collect/verify_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SQL_BYTES_MAX (1 << 20)
#define SIDE_BYTES_MAX ((size_t)512 << 20)
#define SECOND_LOOK_MS 300
#define MS_TO_2000 INT64_C(946684800000)

/* A row, and where it belongs. */
struct entry {
    size_t id_at, id_len; /* in ids: the record it is of */
    int table;            /* counted from the root */
    struct sg_slice position, tuple;
    const char *ids; /* the side's, once it is whole */
};

/* One side's rows of the buckets that are looked into. */
struct side {
    struct sg_batch rows; /* the source's also know their records */
    struct sg_buf ids;
    struct entry *entries;
    int n, cap;
};

/* What differs of one record. */
struct mismatch {
    struct sg_slice id;
    struct sg_difference d;
    bool accounted; /* it was rejected */
};

struct look {
    struct sg_verify *v;
    struct side source, tables;
    int64_t now_ms;
    struct mismatch *found;
    int n_found, cap_found;
    struct sg_copy_reader reader;
    int shard, table;
};

static struct sg_slice
id_of(const struct entry *e)
{
    return sg_slice(e->ids + e->id_at, e->id_len);
}

static int
order(struct sg_slice a, struct sg_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int o = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0;

    return o != 0 ? o : (a.len > b.len) - (a.len < b.len);
}

static int
compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int o = order(id_of(x), id_of(y));

    if (o == 0)
        o = (x->table > y->table) - (x->table < y->table);
    return o != 0 ? o : order(x->position, y->position);
}

/* A batch's id has the table before it. */
static struct sg_slice
record_id(const struct sg_batch *b, const struct sg_batch_record *r)
{
    return sg_slice(b->keys.ptr + r->id_at + 4, r->id_len - 4);
}

/* ---- a side's rows ---- */

static int
add_entry(struct look *k, struct side *s, int table, struct sg_slice tuple, struct sg_err *err)
{
    const struct sg_row_shape *shape = &k->v->shapes[table];
    const struct sg_model_table *root = &k->v->m->tables[k->v->root];
    struct sg_slice values[SG_MODEL_PHYSICAL_MAX];
    struct entry *e;
    int i;

    if (sg_tuple_split(tuple, values, SG_MODEL_PHYSICAL_MAX) != shape->n)
        return sg_fail(err, SG_E_INVALID, k->v->m->tables[k->v->root + table].name, "not a row");
    if (s->n == s->cap) {
        int cap = s->cap > 0 ? s->cap * 2 : 1024;

        if ((e = realloc(s->entries, (size_t)cap * sizeof *e)) == NULL)
            return sg_fail(err, SG_E_INTERNAL, "verify", "out of memory");
        s->entries = e;
        s->cap = cap;
    }
    e = &s->entries[s->n++];
    *e = (struct entry){.table = table, .tuple = tuple, .id_at = s->ids.len};
    sg_buf_add(&s->ids, values[0]);
    for (i = 0; i < root->n_key; i++) {
        struct sg_slice key = values[1 + (table == 0 ? root->key[i] : i)];
        uint32_t len = (uint32_t)key.len;

        sg_buf_add(&s->ids, sg_slice((const char *)&len, sizeof len));
        sg_buf_add(&s->ids, key);
    }
    e->id_len = s->ids.len - e->id_at;
    if (table > 0)
        e->position = values[1 + root->n_key];
    return s->ids.failed ? sg_fail(err, SG_E_LIMIT, "verify", "too many keys") : 0;
}

/* Once all rows are in, and their memory stays where it is. */
static int
settle(struct look *k, struct side *s, struct sg_err *err)
{
    struct sg_slice tuple;
    size_t at;
    int i, table;

    for (i = 0; i < s->rows.n_records; i++)
        for (at = s->rows.records[i].rows_at;
             !s->rows.records[i].dropped &&
             sg_batch_next(&s->rows, &at, s->rows.records[i].rows_end, &table, &tuple);)
            if (add_entry(k, s, table - k->v->root, tuple, err) != 0)
                return -1;
    for (i = 0; i < s->n; i++)
        s->entries[i].ids = s->ids.ptr;
    if (s->n > 0)
        qsort(s->entries, (size_t)s->n, sizeof *s->entries, compare_entries);
    return 0;
}

static void
open_side(struct side *s)
{
    *s = (struct side){.ids = SG_BUF_INIT(SIDE_BYTES_MAX)};
    sg_batch_init(&s->rows);
}

static void
close_side(struct side *s)
{
    sg_batch_free(&s->rows);
    sg_buf_free(&s->ids);
    free(s->entries);
}

static int
take_row(void *ctx, struct sg_slice bytes, struct sg_err *err)
{
    struct look *k = ctx;
    struct sg_slice tuple, first[SG_MODEL_PHYSICAL_MAX];
    int bucket;

    if (!sg_copy_reader_row(&k->reader, bytes, &tuple))
        return 0;
    if (sg_tuple_split(tuple, first, SG_MODEL_PHYSICAL_MAX) < 1 ||
        (bucket = sg_verify_bucket(first[0])) < 0 || k->v->target.shard_of[bucket] != k->shard)
        return 0;
    return sg_batch_add_tuple(&k->tables.rows, k->v->root + k->table, bucket, tuple, err);
}

static int
read_tables(struct look *k, struct sg_err *err)
{
    struct sg_verify *v = k->v;
    struct sg_buf in = SG_BUF_INIT(SQL_BYTES_MAX), sql = SG_BUF_INIT(SQL_BYTES_MAX);
    int bucket, rc = 0;

    for (k->shard = 0; k->shard < v->target.options.n_shards && rc == 0; k->shard++) {
        sg_buf_reset(&in);
        for (bucket = 0; bucket < SG_BUCKETS; bucket++)
            if (v->differs[bucket] && v->target.shard_of[bucket] == k->shard)
                sg_buf_printf(&in, "%s%d", in.len > 0 ? "," : "", bucket);
        for (k->table = 0; in.len > 0 && k->table < v->n_tables && rc == 0; k->table++) {
            sg_buf_reset(&sql);
            sg_collect_copy_out(v->m, v->root + k->table, in.ptr, &sql);
            k->reader.begun = false;
            rc = sg_lane_copy_out(&v->target.shards[k->shard], sql.ptr, take_row, k, err);
        }
    }
    sg_buf_free(&in);
    sg_buf_free(&sql);
    return rc;
}

/* ---- telling a key ---- */

static void
put_key(const struct sg_model_physical *p, struct sg_slice v, struct sg_buf *out)
{
    int64_t n = 0;
    char hex[33];
    size_t i;

    switch (p->type) {
    case SG_MODEL_TEXT:
        sg_buf_add(out, sg_slice(v.ptr, v.len < 100 ? v.len : 100));
        break;
    case SG_MODEL_SMALLINT:
    case SG_MODEL_INTEGER:
    case SG_MODEL_BIGINT:
        for (i = 0; i < v.len; i++)
            n = (int64_t)((uint64_t)n << 8 | (uint8_t)v.ptr[i]);
        if (v.len == 4)
            n = (int32_t)n;
        if (v.len == 2)
            n = (int16_t)n;
        sg_buf_printf(out, "%" PRId64, n);
        break;
    default:
        sg_hex((const uint8_t *)v.ptr, v.len < 16 ? v.len : 16, hex);
        if (p->type == SG_MODEL_UUID && v.len == 16)
            sg_buf_printf(out, "%.8s-%.4s-%.4s-%.4s-%s", hex, hex + 8, hex + 12, hex + 16,
                          hex + 20);
        else
            sg_buf_puts(out, hex);
    }
}

/* "42" of a record's own row, "42/3" of an element's. */
static void
tell_key(const struct look *k, const struct entry *e, char *out, size_t cap)
{
    const struct sg_row_shape *shape = &k->v->shapes[e->table];
    const struct sg_model_table *root = &k->v->m->tables[k->v->root];
    struct sg_slice values[SG_MODEL_PHYSICAL_MAX];
    struct sg_buf text = SG_BUF_INIT(4096);
    int i, at, n = root->n_key + (e->table > 0);

    sg_tuple_split(e->tuple, values, SG_MODEL_PHYSICAL_MAX);
    for (i = 0; i < n; i++) {
        at = 1 + (e->table == 0 ? root->key[i] : i);
        sg_buf_puts(&text, i > 0 ? "/" : "");
        put_key(&shape->columns[at], values[at], &text);
    }
    snprintf(out, cap, "%s", text.len > 0 ? text.ptr : "");
    sg_buf_free(&text);
}

/* Two records of the source for one row: the row can only be one of them. */
static int
tell_clash(struct look *k, struct sg_slice key, const struct sg_model_rows *rows,
           struct sg_err *err)
{
    struct sg_verify *v = k->v;
    struct sg_difference d = {.kind = SG_DIFFERENCE_MISSING,
                              .table = v->m->tables[v->root].name,
                              .bucket = rows->bucket,
                              .shard = v->target.shard_of[rows->bucket],
                              .columns = "another record of the source has the same key"};
    struct sg_buf tuple = SG_BUF_INIT(SIDE_BYTES_MAX);
    struct entry e = {0};
    bool rejected;

    if (sg_target_is_rejected(&v->target, v->root, key, rows->bucket, &rejected, err) != 0)
        return -1;
    if (rejected)
        return 0;
    sg_model_copy_row(&rows->rows[0], &tuple);
    e.tuple = sg_buf_slice(&tuple);
    tell_key(k, &e, d.key, sizeof d.key);
    sg_buf_free(&tuple);
    v->stats.differences++;
    if (v->options->found != NULL)
        v->options->found(v->options->ctx, &d);
    return 0;
}

static int
take_record(struct sg_verify *v, void *ctx, struct sg_slice key, const struct sg_model_rows *rows,
            struct sg_err *err)
{
    struct look *k = ctx;
    bool clash = false;

    if (!v->differs[rows->bucket])
        return 0;
    if (sg_batch_add(&k->source.rows, v->m, v->root, key, rows, &clash, err) != 0)
        return -1;
    return clash ? tell_clash(k, key, rows, err) : 0;
}

/* ---- walking both sides ---- */

static int
find(struct look *k, enum sg_difference_kind kind, const struct entry *e, const char *columns,
     struct sg_err *err)
{
    struct mismatch *m;
    struct sg_slice values[SG_MODEL_PHYSICAL_MAX];

    if (k->n_found == k->cap_found) {
        int cap = k->cap_found > 0 ? k->cap_found * 2 : 64;

        if ((m = realloc(k->found, (size_t)cap * sizeof *m)) == NULL)
            return sg_fail(err, SG_E_INTERNAL, "verify", "out of memory");
        k->found = m;
        k->cap_found = cap;
    }
    m = &k->found[k->n_found++];
    sg_tuple_split(e->tuple, values, SG_MODEL_PHYSICAL_MAX);
    *m = (struct mismatch){.id = id_of(e)};
    m->d.kind = kind;
    m->d.table = k->v->m->tables[k->v->root + e->table].name;
    m->d.bucket = sg_verify_bucket(values[0]);
    m->d.shard = k->v->target.shard_of[m->d.bucket];
    tell_key(k, e, m->d.key, sizeof m->d.key);
    snprintf(m->d.columns, sizeof m->d.columns, "%s", columns);
    return 0;
}

static int
compare_rows(struct look *k, const struct entry *a, const struct entry *b, struct sg_err *err)
{
    const struct sg_row_shape *shape = &k->v->shapes[a->table];
    struct sg_slice x[SG_MODEL_PHYSICAL_MAX], y[SG_MODEL_PHYSICAL_MAX];
    struct sg_buf columns = SG_BUF_INIT(65536);
    int i, rc = 0;

    sg_tuple_split(a->tuple, x, SG_MODEL_PHYSICAL_MAX);
    sg_tuple_split(b->tuple, y, SG_MODEL_PHYSICAL_MAX);
    for (i = 0; i < shape->n; i++) {
        sg_arena_reset(k->v->scratch);
        if (!sg_row_same(shape, i, x[i], y[i], k->v->scratch))
            sg_buf_printf(&columns, "%s%s", columns.len > 0 ? ", " : "", shape->columns[i].name);
    }
    if (columns.len > 0)
        rc = find(k, SG_DIFFERENCE_VALUE, b, columns.ptr, err);
    sg_buf_free(&columns);
    return rc;
}

/* Whether the record that a row of the tables is of ran out: the source no longer has it. */
static bool
has_expired(const struct look *k, const struct entry *e)
{
    const struct sg_row_shape *shape = &k->v->shapes[0];
    struct sg_slice values[SG_MODEL_PHYSICAL_MAX];
    int64_t us = 0;
    int i, j;

    while (e > k->tables.entries && order(id_of(e - 1), id_of(e)) == 0)
        e--;
    if (e->table != 0)
        return false;
    sg_tuple_split(e->tuple, values, SG_MODEL_PHYSICAL_MAX);
    for (i = 0; i < shape->n && shape->columns[i].part != SG_PART_EXPIRES; i++)
        ;
    if (i == shape->n || values[i].len != 8)
        return false;
    for (j = 0; j < 8; j++)
        us = (int64_t)((uint64_t)us << 8 | (uint8_t)values[i].ptr[j]);
    return us / 1000 + MS_TO_2000 <= k->now_ms;
}

/* The first that differs of this record; n where none does. They stand in the order of the walk. */
static int
find_id(const struct mismatch *found, int n, struct sg_slice id)
{
    int low = 0, high = n;

    while (low < high) {
        int middle = low + (high - low) / 2;

        if (order(found[middle].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && sg_slice_eq(found[low].id, id) ? low : n;
}

static bool
is_among(const struct look *k, struct sg_slice id)
{
    return find_id(k->found, k->n_found, id) < k->n_found;
}

/* first: only records of these are looked at; NULL = all. */
static int
walk(struct look *k, const struct look *first, struct sg_err *err)
{
    const struct side *a = &k->source, *b = &k->tables;
    int i = 0, j = 0, rc = 0;

    while ((i < a->n || j < b->n) && rc == 0) {
        int o = i == a->n ? 1 : j == b->n ? -1 : compare_entries(&a->entries[i], &b->entries[j]);
        const struct entry *x = &a->entries[i], *y = &b->entries[j], *e = o <= 0 ? x : y;
        bool asked = first == NULL || is_among(first, id_of(e));

        if (asked && o < 0)
            rc = find(k, SG_DIFFERENCE_MISSING, x, "", err);
        else if (asked && o > 0 && !has_expired(k, y))
            rc = find(k, SG_DIFFERENCE_EXTRA, y, "", err);
        else if (asked && o == 0)
            rc = compare_rows(k, x, y, err);
        i += o <= 0;
        j += o >= 0;
    }
    return rc;
}

/* ---- the two looks ---- */

static void
close_look(struct look *k)
{
    close_side(&k->source);
    close_side(&k->tables);
    free(k->found);
}

static void
open_look(struct look *k, struct sg_verify *v)
{
    *k = (struct look){.v = v, .now_ms = sg_wall_ms(sg_clock_system())};
    open_side(&k->source);
    open_side(&k->tables);
}

/* Takes as many buckets as one run looks into. */
static void
choose(struct sg_verify *v)
{
    int64_t rows = 0;
    int bucket, table;

    for (bucket = 0; bucket < SG_BUCKETS; bucket++) {
        if (!v->differs[bucket])
            continue;
        for (table = 0; table < v->n_tables; table++)
            rows += v->ours[table * SG_BUCKETS + bucket].rows +
                    v->theirs[table * SG_BUCKETS + bucket].rows;
        if (rows > LOOK_ROWS_MAX) {
            v->differs[bucket] = false;
            v->stats.not_looked_into++;
        }
    }
}

static int
first_look(struct look *k, struct sg_err *err)
{
    int64_t ignored;

    if (sg_verify_read(k->v, take_record, k, &ignored, err) != 0 || read_tables(k, err) != 0 ||
        settle(k, &k->source, err) != 0 || settle(k, &k->tables, err) != 0)
        return -1;
    return walk(k, NULL, err);
}

/* The keys of the records that differed, as the source calls them. */
static int
keys_of(const struct look *first, struct sg_slice **out, int *n, struct sg_err *err)
{
    const struct sg_batch *b = &first->source.rows;
    struct sg_slice *keys = calloc((size_t)b->n_records + 1, sizeof *keys);
    int i;

    if (keys == NULL)
        return sg_fail(err, SG_E_INTERNAL, "verify", "out of memory");
    for (i = 0, *n = 0; i < b->n_records; i++) {
        const struct sg_batch_record *r = &b->records[i];
        struct sg_slice id = record_id(b, r);

        if (!r->dropped && is_among(first, id))
            keys[(*n)++] = sg_slice(b->keys.ptr + r->key_at, r->key_len);
    }
    *out = keys;
    return 0;
}

static int
second_look(struct look *k, const struct look *first, struct sg_err *err)
{
    struct timespec wait = {.tv_nsec = SECOND_LOOK_MS * 1000000L};
    struct sg_slice *keys = NULL;
    int n = 0, rc;

    nanosleep(&wait, NULL);
    if (keys_of(first, &keys, &n, err) != 0)
        return -1;
    rc = sg_verify_fetch(k->v, keys, n, take_record, k, err);
    free(keys);
    if (rc != 0 || read_tables(k, err) != 0 || settle(k, &k->source, err) != 0 ||
        settle(k, &k->tables, err) != 0)
        return -1;
    return walk(k, first, err);
}

/* ---- mending ---- */

static int
mend_shard(struct look *k, int shard, struct sg_err *err)
{
    struct sg_verify *v = k->v;
    struct sg_write write = {.root = v->root, .merge = true, .force = true};
    const struct sg_batch *from = &k->source.rows;
    struct sg_batch put, gone;
    int i, rc = 0;

    sg_batch_init(&put);
    sg_batch_init(&gone);
    for (i = 0; i < from->n_records && rc == 0; i++) {
        const struct sg_batch_record *r = &from->records[i];

        if (!r->dropped && v->target.shard_of[r->bucket] == shard &&
            is_among(k, record_id(from, r)))
            rc = sg_batch_take(&put, from, r, err);
    }
    for (i = 0; i < k->tables.n && rc == 0; i++) {
        const struct entry *e = &k->tables.entries[i];
        struct sg_slice values[SG_MODEL_PHYSICAL_MAX];
        int bucket;

        sg_tuple_split(e->tuple, values, SG_MODEL_PHYSICAL_MAX);
        bucket = sg_verify_bucket(values[0]);
        if (e->table == 0 && v->target.shard_of[bucket] == shard && is_among(k, id_of(e)) &&
            bsearch(e, k->source.entries, (size_t)k->source.n, sizeof *e, compare_entries) == NULL)
            rc = sg_batch_add_tuple(&gone, v->root, bucket, e->tuple, err);
    }
    if (rc == 0 && gone.n_records > 0)
        rc = sg_target_delete(&v->target, shard, v->root, &gone, err);
    if (rc == 0 && put.n_records > 0)
        rc = sg_target_write(&v->target, shard, &put, &write, err);
    if (rc == 0)
        v->stats.mended += gone.n_records + put.n_records - write.rejected;
    sg_batch_free(&put);
    sg_batch_free(&gone);
    return rc;
}

/* A record that was rejected is accounted for. */
static int
leave_out_rejects(struct look *k, struct sg_err *err)
{
    const struct sg_batch *b = &k->source.rows;
    int i, j, kept = 0;

    for (i = 0; i < b->n_records; i++) {
        const struct sg_batch_record *r = &b->records[i];
        struct sg_slice id = record_id(b, r);
        bool rejected;

        j = r->dropped ? k->n_found : find_id(k->found, k->n_found, id);
        if (j == k->n_found)
            continue;
        if (sg_target_is_rejected(&k->v->target, k->v->root,
                                  sg_slice(b->keys.ptr + r->key_at, r->key_len), r->bucket,
                                  &rejected, err) != 0)
            return -1;
        k->v->stats.rejected += rejected;
        for (; rejected && j < k->n_found && sg_slice_eq(k->found[j].id, id); j++)
            k->found[j].accounted = true;
    }
    for (j = 0; j < k->n_found; j++)
        if (!k->found[j].accounted)
            k->found[kept++] = k->found[j];
    k->n_found = kept;
    return 0;
}

static int
conclude(struct look *k, struct sg_err *err)
{
    struct sg_verify *v = k->v;
    int i;

    if (leave_out_rejects(k, err) != 0)
        return -1;
    v->stats.differences += k->n_found;
    for (i = 0; i < k->n_found && v->options->found != NULL; i++)
        v->options->found(v->options->ctx, &k->found[i].d);
    for (i = 0; v->options->repair && i < v->target.options.n_shards; i++)
        if (mend_shard(k, i, err) != 0)
            return -1;
    return 0;
}

int
sg_verify_differ(struct sg_verify *v, struct sg_err *err)
{
    struct look first, second;
    int bucket, rc;

    for (bucket = 0; bucket < SG_BUCKETS && !v->differs[bucket]; bucket++)
        ;
    if (bucket == SG_BUCKETS)
        return 0;
    choose(v);
    open_look(&first, v);
    open_look(&second, v);
    rc = first_look(&first, err);
    if (rc == 0 && first.n_found > 0) {
        rc = second_look(&second, &first, err);
        if (rc == 0)
            rc = conclude(&second, err);
    }
    close_look(&first);
    close_look(&second);
    return rc;
}
