/* SPDX-License-Identifier: MIT */
#include "store/op.h"

#include "base/fault.h"

#include <assert.h>
#include <stdlib.h>

static const struct sg_pg_stmt st_fence = {"store.fence", "SELECT segue.fence($1::int[])", 1, 0,
                                           false};

/* ---- grouping rows ---- */

static int
compare_keys(const struct sg_entry *a, const struct sg_entry *b)
{
    size_t n = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
    int by;

    if (a->shard != b->shard)
        return a->shard < b->shard ? -1 : 1;
    if ((by = strcmp(a->realm, b->realm)) != 0)
        return by;
    if (a->bucket != b->bucket)
        return a->bucket < b->bucket ? -1 : 1;
    if (n > 0 && (by = memcmp(a->key, b->key, n)) != 0)
        return by;
    return a->key_bytes < b->key_bytes ? -1 : a->key_bytes > b->key_bytes;
}

static int
compare_entries(const void *x, const void *y)
{
    const struct sg_entry *a = x, *b = y;
    int by = compare_keys(a, b);

    return by != 0 ? by : a->row < b->row ? -1 : a->row > b->row;
}

static void
drop_groups(struct sg_store_op *op)
{
    free(op->entries);
    free(op->group);
    op->entries = NULL;
    op->group = NULL;
    op->n_entries = op->n_groups = 0;
}

/* The same key twice in one statement would make PostgreSQL refuse it, and every statement locks
 * its rows in the order made here, so that concurrent batches cannot block each other. */
static int
group_rows(struct sg_store_op *op)
{
    const struct sg_phase_of_op *phase = op->phase;
    size_t n = (size_t)op->n_rows;
    enum sg_use use;
    int i;

    drop_groups(op);
    if (op->n_rows < 0 || op->n_rows > phase->rows_max)
        return sg_fail(&op->err, SG_E_LIMIT, "store", "expected at most %d rows in a call, not %d",
                       phase->rows_max, op->n_rows);
    op->entries = calloc(n + 1, sizeof *op->entries);
    op->group = calloc(n + 1, sizeof *op->group);
    if (op->entries == NULL || op->group == NULL)
        return sg_fail(&op->err, SG_E_INTERNAL, "store", "out of memory");
    for (i = 0; i < op->n_rows; i++) {
        struct sg_entry *e = &op->entries[op->n_entries];

        use = phase->entry(op, i, e, &op->err);
        if (use == SG_REFUSE_ROW)
            return -1;
        if (use == SG_SKIP_ROW)
            continue;
        e->shard = sg_shard_of_bucket(op->store->shards, e->bucket);
        e->row = i;
        op->n_entries++;
    }
    qsort(op->entries, (size_t)op->n_entries, sizeof *op->entries, compare_entries);
    for (i = 0; i < op->n_entries; i++)
        if (i == 0 || compare_keys(&op->entries[i - 1], &op->entries[i]) != 0)
            op->group[op->n_groups++] = i;
    op->group[op->n_groups] = op->n_entries;
    return 0;
}

enum sg_use
sg_entry_of(struct sg_entry *entry, const char *realm, int bucket, const void *key,
            size_t key_bytes, struct sg_err *err)
{
    if (bucket < 0 || bucket >= SG_BUCKETS || realm == NULL || realm[0] == '\0') {
        (void)sg_fail(err, SG_E_INVALID, "store", "expected a realm and a bucket of 0..%d, not %d",
                      SG_BUCKETS - 1, bucket);
        return SG_REFUSE_ROW;
    }
    *entry =
        (struct sg_entry){.realm = realm, .bucket = bucket, .key = key, .key_bytes = key_bytes};
    return SG_USE_ROW;
}

enum sg_use
sg_check_subject(const char *subject, struct sg_err *err)
{
    if (subject == NULL || strlen(subject) <= SG_SUBJECT_BYTES_MAX)
        return SG_USE_ROW;
    (void)sg_fail(err, SG_E_INVALID, "store", "subject is %zu bytes long, at most %d are possible",
                  strlen(subject), SG_SUBJECT_BYTES_MAX);
    return SG_REFUSE_ROW;
}

/* ---- the course of an operation ---- */

void *
sg_op_new(size_t bytes, struct sg_store *store, const struct sg_phase_of_op *phase, int n_rows,
          uint64_t deadline_ns, sg_store_done done, void *ctx)
{
    struct sg_store_op *op = calloc(1, bytes);

    if (op == NULL)
        abort();
    op->store = store;
    op->phase = phase;
    op->n_rows = n_rows;
    op->only_shard = -1;
    op->deadline_ns = deadline_ns;
    op->done = done;
    op->ctx = ctx;
    return op;
}

static void
finish(struct sg_store_op *op)
{
    sg_store_done done = op->done;
    struct sg_err err = op->err;
    void *ctx = op->ctx;
    int rc = op->rc;

    drop_groups(op);
    free(op);
    done(ctx, rc, &err);
}

static void
on_later_closed(uv_handle_t *handle)
{
    finish(sg_container_of(handle, struct sg_store_op, later));
}

static void
on_later(uv_timer_t *later)
{
    uv_close((uv_handle_t *)later, on_later_closed);
}

static void
finish_later(struct sg_store_op *op)
{
    uv_timer_init(op->store->loop, &op->later);
    uv_timer_start(&op->later, on_later, 0, 0);
}

void
sg_op_fail(struct sg_store_op *op, enum sg_code code, const char *place, const char *text)
{
    if (op->rc == 0)
        op->rc = sg_fail(&op->err, code, place, "%s", text);
}

static int run_phase(struct sg_store_op *op);

/* Every batch of the phase is over, or there was none. */
static void
phase_over(struct sg_store_op *op, bool in_call)
{
    do {
        if (op->rc == 0 && !op->again && op->phase->over != NULL)
            op->phase->over(op);
        if (op->rc != 0 || (!op->again && op->phase->next == NULL)) {
            if (in_call)
                finish_later(op);
            else
                finish(op);
            return;
        }
        if (!op->again) {
            if (op->phase->after != NULL && sg_fault(op->phase->after)) {
                sg_op_fail(op, SG_E_UNAVAILABLE, "fault", "this step was made to fail");
                continue;
            }
            op->phase = op->phase->next;
        }
        op->again = false;
    } while (op->rc != 0 || run_phase(op) == 0);
}

static void
on_batch(struct sg_pg_batch *batch)
{
    struct sg_part *part = sg_container_of(batch, struct sg_part, batch);
    struct sg_store_op *op = part->op;

    if (batch->rc == 0)
        op->phase->take(op, part);
    else if (op->phase->failed != NULL)
        op->phase->failed(op, part);
    if (batch->rc != 0 && op->rc == 0) {
        op->rc = -1;
        op->err = batch->err;
    }
    sg_pg_batch_clear(batch);
    free(part);
    if (--op->under_way == 0)
        phase_over(op, false);
}

static void
start_part(struct sg_store_op *op, int shard, int from, int to)
{
    struct sg_part *part = calloc(1, sizeof *part);
    struct sg_columns columns;

    if (part == NULL) {
        sg_op_fail(op, SG_E_INTERNAL, "store", "out of memory");
        return;
    }
    part->op = op;
    part->shard = shard;
    part->from = from;
    part->to = to;
    part->batch.deadline_ns = op->deadline_ns;
    part->batch.done = on_batch;
    sg_columns_init(&columns);
    op->phase->build(op, part, &columns);
    if (sg_columns_failed(&columns))
        sg_op_fail(op, SG_E_LIMIT, "store", "the rows of one call are too large: send fewer");
    if (op->rc == 0) {
        op->under_way++;
        sg_pg_submit(sg_shards_pool(op->store->shards, shard), &part->batch);
    } else {
        free(part);
    }
    sg_columns_free(&columns);
}

/* Returns how many batches are under way. */
static int
run_phase(struct sg_store_op *op)
{
    int shard, from, to = 0;

    if (op->phase->rows_max > 0 && group_rows(op) != 0) {
        op->rc = -1;
        return 0;
    }
    for (shard = 0; shard < sg_shards_count(op->store->shards) && op->rc == 0; shard++) {
        from = to;
        while (to < op->n_groups && op->entries[op->group[to]].shard == shard)
            to++;
        if (to > from || op->phase->every_shard || op->only_shard == shard)
            start_part(op, shard, from, to);
    }
    return op->under_way;
}

void
sg_op_start(struct sg_store_op *op)
{
    if (op->only_shard >= sg_shards_count(op->store->shards))
        sg_op_fail(op, SG_E_INVALID, "store", "there is no shard of that number");
    if (op->rc != 0 || run_phase(op) == 0)
        phase_over(op, true);
}

/* ---- for building and reading batches ---- */

int
sg_group_row(const struct sg_store_op *op, int group)
{
    return op->entries[op->group[group + 1] - 1].row;
}

int
sg_part_rows_of(const struct sg_part *part, int call, int result_row, const struct sg_entry **first)
{
    int64_t number = sg_pg_int(&part->batch, call, result_row, 0, 0);
    int group = part->from + (int)number - 1;

    assert(number >= 1 && group < part->to);
    *first = &part->op->entries[part->op->group[group]];
    return part->op->group[group + 1] - part->op->group[group];
}

int
sg_part_call(struct sg_part *part, const struct sg_pg_stmt *stmt, struct sg_columns *columns,
             const uint8_t *which)
{
    struct sg_pg_call *call = &part->batch.calls[part->batch.n_calls];
    int k;

    assert(part->batch.n_calls < SG_PG_MAX_STATEMENTS);
    call->stmt = stmt;
    for (k = 0; k < stmt->n_params; k++)
        call->params[k] = sg_column_param(columns, which != NULL ? which[k] : k);
    return part->batch.n_calls++;
}

void
sg_part_fence(struct sg_part *part, struct sg_columns *columns, int c)
{
    assert(part->batch.n_calls == 0);
    sg_part_call(part, &st_fence, columns, (const uint8_t[]){(uint8_t)c});
}

void
sg_part_place(struct sg_part *part, struct sg_columns *columns, int group)
{
    const struct sg_entry *e = &part->op->entries[part->op->group[group]];

    sg_column_text(columns, 0, e->realm);
    sg_column_int(columns, 1, e->bucket);
}
