/* SPDX-License-Identifier: MIT */
#include "transfer/load_internal.h"

#include "base/fault.h"

#include <stdlib.h>

int
sg_load_new(const struct sg_bridge *bridge, int records, struct sg_load **out, struct sg_err *err)
{
    struct sg_load *l;

    if (records > SG_STORE_ROWS_MAX)
        return sg_fail(err, SG_E_LIMIT, bridge->realm,
                       "%d records in one batch; at most %d are stored at a time", records,
                       SG_STORE_ROWS_MAX);
    l = calloc(1, sizeof *l);
    if (l == NULL || (l->items = calloc((size_t)records + 1, sizeof *l->items)) == NULL ||
        (l->of = calloc((size_t)records + 1, sizeof *l->of)) == NULL) {
        sg_load_free(l);
        return sg_fail(err, SG_E_INTERNAL, bridge->realm, "out of memory");
    }
    l->bridge = bridge;
    l->capacity = records;
    l->asked_ns = sg_mono_ns(bridge->clock);
    *out = l;
    return 0;
}

void
sg_load_asked_at(struct sg_load *l, uint64_t mono_ns)
{
    l->asked_ns = mono_ns;
}

void
sg_load_drop_step(struct sg_load *l)
{
    free(l->rows.any);
    free(l->rejects);
    free(l->ledger_buckets);
    free(l->again);
    l->rows.any = NULL;
    l->rejects = NULL;
    l->ledger_buckets = NULL;
    l->again = NULL;
}

void
sg_load_free(struct sg_load *l)
{
    int i;

    if (l == NULL)
        return;
    sg_load_drop_step(l);
    for (i = 0; i < l->n; i++) {
        if (l->items[i].bytes != NULL) /* a session token and what it opens */
            explicit_bzero(l->items[i].bytes,
                           l->items[i].record.key.len + l->items[i].record.value.len);
        free(l->items[i].bytes);
        sg_buf_free(&l->items[i].handle);
        sg_buf_free(&l->items[i].value);
    }
    free(l->items);
    free(l->of);
    free(l);
}

int
sg_load_add(struct sg_load *l, struct sg_slice key, struct sg_slice value, int64_t ttl_ms,
            const char *found, struct sg_err *err)
{
    struct item *it = &l->items[l->n];

    if (l->n >= l->capacity)
        return sg_fail(err, SG_E_LIMIT, l->bridge->realm, "the batch is full");
    it->bytes = malloc(key.len + value.len + 1);
    if (it->bytes == NULL)
        return sg_fail(err, SG_E_INTERNAL, l->bridge->realm, "out of memory");
    memcpy(it->bytes, key.ptr, key.len);
    if (value.len > 0)
        memcpy(it->bytes + key.len, value.ptr, value.len);
    it->record.key = sg_slice(it->bytes, key.len);
    it->record.value = sg_slice(it->bytes + key.len, value.len);
    it->record.ttl_ms = ttl_ms;
    it->found = found;
    l->n++;
    return 0;
}

int
sg_load_count(const struct sg_load *l)
{
    return l->n;
}

int
sg_load_result(const struct sg_load *l, struct sg_err *err)
{
    if (l->rc != 0)
        *err = l->err;
    return l->rc;
}

int
sg_load_blocked_on(const struct sg_load *l, int i)
{
    return l->items[i].blocked_on;
}

struct sg_load_counts
sg_load_counted(const struct sg_load *l)
{
    return l->counts;
}

/* ---- failures ---- */

void
sg_load_failed(struct sg_load *l, const struct sg_err *err)
{
    if (l->rc == 0)
        l->err = *err;
    l->rc = -1;
}

void
sg_load_no_memory(struct sg_load *l)
{
    struct sg_err err;
    int i;

    sg_fail(&err, SG_E_INTERNAL, l->bridge->realm, "out of memory");
    sg_load_failed(l, &err);
    for (i = 0; i < l->n; i++)
        l->items[i].blocked_on = sg_bridge_shard_of_digest(l->bridge, l->items[i].record.digest);
}

void
sg_load_finish(struct sg_load *l)
{
    sg_load_drop_step(l);
    l->options.done(l->options.ctx, l);
}

/* One call over all rows came back: its failure is every row's. */
static void
step_done(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_load *l = ctx;
    int i;

    if (rc != 0) {
        sg_load_failed(l, err);
        for (i = 0; i < l->n; i++)
            if (sg_load_goes_on(&l->items[i]))
                l->items[i].blocked_on =
                    sg_bridge_shard_of_digest(l->bridge, l->items[i].record.digest);
    }
    l->then(l);
}

void
sg_load_part_done(void *ctx, int rc, const struct sg_err *err)
{
    struct part *part = ctx;
    struct sg_load *l = part->load;
    int i;

    if (rc != 0) {
        sg_load_failed(l, err);
        for (i = part->first; i < part->first + part->n; i++)
            l->items[l->of[i]].blocked_on = part->shard;
    }
    if (--l->pending == 0)
        l->then(l);
}

int
sg_load_session_shard(const struct sg_load *l, const struct item *it, const char *subject)
{
    return sg_shard_of_bucket(l->bridge->shards,
                              sg_bridge_session_bucket(l->bridge, subject, it->record.digest));
}

/* ---- 3: token_refs ---- */

static void
on_put_refs(struct sg_load *l)
{
    struct sg_err err;
    int i;

    for (i = 0; i < l->n_rows; i++) {
        const struct sg_ref_row *row = &l->rows.refs[i];
        struct item *it = &l->items[l->of[i]];

        it->ended = row->ended;
        it->generation = row->generation;
        /* Somebody else was between the read and this: end what they put there. */
        if (row->previous_generation >= 0 && !it->was_ended) {
            memcpy(it->was, row->previous_subject, sizeof it->was);
            it->was_generation = row->previous_generation;
            it->changed = true;
        }
    }
    if (sg_fault("transfer.after_refs")) {
        sg_fail(&err, SG_E_UNAVAILABLE, "fault", "transfer.after_refs");
        sg_load_failed(l, &err);
        sg_load_finish(l);
        return;
    }
    sg_load_store_rows(l);
}

static void
put_refs(struct sg_load *l)
{
    int i;

    sg_load_drop_step(l);
    if (l->rc != 0 && !l->options.by_shard) {
        sg_load_finish(l);
        return;
    }
    l->n_rows = 0;
    l->rows.refs = calloc((size_t)l->n + 1, sizeof *l->rows.refs);
    if (l->rows.refs == NULL) {
        sg_load_no_memory(l);
        sg_load_finish(l);
        return;
    }
    for (i = 0; i < l->n; i++) {
        const struct item *it = &l->items[i];
        struct sg_ref_row *row = &l->rows.refs[l->n_rows];

        if (!sg_load_goes_on(it))
            continue;
        row->realm = l->bridge->realm;
        row->bucket = it->record.bucket;
        memcpy(row->digest, it->record.digest, sizeof row->digest);
        row->subject = it->record.subject;
        row->reuses_ids = l->bridge->codec->reuses_ids;
        l->of[l->n_rows++] = i;
    }
    l->then = on_put_refs;
    if (l->n_rows == 0)
        sg_load_store_rows(l);
    else
        sg_store_put_refs(l->bridge->store, l->rows.refs, l->n_rows,
                          sg_bridge_deadline(l->bridge, l->options.timeout_ms), step_done, l);
}

/* ---- 2: who it was before ---- */

static void
on_got_refs(struct sg_load *l)
{
    int i;

    for (i = 0; l->rc == 0 && i < l->n_rows; i++) {
        const struct sg_ref_read *row = &l->rows.reads[i];
        struct item *it = &l->items[l->of[i]];

        if (!row->found || row->ended || strcmp(row->subject, it->record.subject) == 0)
            continue;
        memcpy(it->was, row->subject, sizeof it->was);
        it->was_generation = row->generation;
        it->changed = true;
    }
    sg_load_end_changed(l, put_refs);
}

static void
get_refs(struct sg_load *l)
{
    int i;

    sg_load_drop_step(l);
    l->n_rows = 0;
    l->rows.reads = calloc((size_t)l->n + 1, sizeof *l->rows.reads);
    if (l->rows.reads == NULL) {
        sg_load_no_memory(l);
        sg_load_finish(l);
        return;
    }
    for (i = 0; i < l->n; i++) {
        const struct item *it = &l->items[i];
        struct sg_ref_read *row = &l->rows.reads[l->n_rows];

        if (!sg_load_goes_on(it))
            continue;
        row->realm = l->bridge->realm;
        row->bucket = it->record.bucket;
        memcpy(row->digest, it->record.digest, sizeof row->digest);
        l->of[l->n_rows++] = i;
    }
    l->then = on_got_refs;
    if (l->n_rows == 0)
        sg_load_store_rows(l);
    else
        sg_store_get_refs(l->bridge->store, l->rows.reads, l->n_rows,
                          sg_bridge_deadline(l->bridge, l->options.timeout_ms), step_done, l);
}

/* ---- 1: decode ---- */

void
sg_load_start(struct sg_load *l, const struct sg_load_options *options)
{
    int i;

    l->options = *options;
    l->rc = 0;
    l->counts = (struct sg_load_counts){0};
    for (i = 0; i < l->n; i++) {
        struct item *it = &l->items[i];

        sg_record_decode(l->bridge, &it->record, it->found);
        it->blocked_on = -1;
        it->ended = it->changed = it->was_ended = false;
        it->was[0] = '\0';
    }
    get_refs(l);
}
