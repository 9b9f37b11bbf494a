/* SPDX-License-Identifier: MIT */
#include "transfer/bulk.h"

#include "base/clock.h"
#include "base/fault.h"
#include "legacy/read_all.h"
#include "store/bulk.h"
#include "store/sealed.h"
#include "transfer/record.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define WORKERS 3 /* while one waits for a shard the others go on */
#define QUEUE_BATCHES 8
#define ROWS_BYTES 131072        /* gathered for a shard before they are sent */
#define ROWS_BYTES_MAX (8 << 20) /* a row of the largest record fits on top */
#define NOTE_EVERY_MS 2000
#define CONNECT_TIMEOUT_MS 5000

struct sg_bulk_load {
    const struct sg_bridge *bridge;
    struct sg_bulk_load_events events;
    int64_t job;
    uint8_t shard_of[SG_BUCKETS]; /* as the map was at the start: it is the loop's */
    struct sg_bulk *bulk;
    atomic_bool stop;
    pthread_t thread;
    uv_async_t over;
    uv_timer_t timer;
    int open_handles;
    /* shared, under the lock */
    pthread_mutex_t lock;
    pthread_cond_t fuller, emptier;
    struct sg_read_batch *queue[QUEUE_BATCHES];
    int queued;
    bool read; /* to the end */
    struct sg_scan_counts counts;
    struct sg_bulk_counts shards[SG_SHARDS_MAX];
    int rc;
    struct sg_err err;
};

/* One thread's own. */
struct worker {
    struct sg_bulk_load *load;
    pthread_t thread;
    struct sg_buf rows[SG_SHARDS_MAX][SG_BULK_REJECTS + 1];
    struct sg_buf handle, value;
    uint64_t asked_ns; /* when what it works on was read */
    struct sg_scan_counts counts;
    struct sg_bulk_counts shards[SG_SHARDS_MAX];
};

/* ---- one record ---- */

static int
send_rows(struct worker *w, int shard, enum sg_bulk_table table, struct sg_err *err)
{
    struct sg_buf *rows = &w->rows[shard][table];

    if (rows->len == 0)
        return 0;
    if (sg_bulk_put(w->load->bulk, shard, table, sg_buf_slice(rows), err) != 0)
        return -1;
    sg_buf_reset(rows);
    return 0;
}

static int
send_if_full(struct worker *w, int shard, enum sg_bulk_table table, struct sg_err *err)
{
    return w->rows[shard][table].len < ROWS_BYTES ? 0 : send_rows(w, shard, table, err);
}

static int
add_ref(struct worker *w, const struct sg_record *r, struct sg_err *err)
{
    int shard = w->load->shard_of[r->bucket];
    struct sg_ref_row row = {
        .realm = w->load->bridge->realm, .bucket = r->bucket, .subject = r->subject};

    memcpy(row.digest, r->digest, sizeof row.digest);
    if (sg_bulk_add_ref(w->load->bulk, shard, &row, &w->rows[shard][SG_BULK_REFS], err) != 0)
        return -1;
    w->shards[shard].stored++;
    w->shards[shard].anonymous += r->subject[0] == '\0';
    return send_if_full(w, shard, SG_BULK_REFS, err);
}

static int
add_session(struct worker *w, const struct sg_record *r, struct sg_err *err)
{
    const struct sg_bridge *b = w->load->bridge;
    struct sg_session_row row = {
        .realm = b->realm,
        .subject = r->subject,
        .client_id = "",
        .has_store_digest = true,
        .idle_ms = r->idle_ms,
        .exp_source_in_ms = r->expires_in_ms,
        .seen_ms_ago = (int64_t)((sg_mono_ns(sg_clock_system()) - w->asked_ns) / SG_NS_PER_MS),
        .exp_absolute_in_ms = b->config->session_absolute_ms,
    };
    int shard;

    memcpy(row.store_digest, r->digest, sizeof row.store_digest);
    sg_record_sid(b, r->digest, r->subject, 0, row.sid, &row.bucket);
    sg_buf_reset(&w->handle);
    sg_buf_reset(&w->value);
    if (sg_seal_handle(b->ring, b->realm, row.sid, r->key, &w->handle, err) != 0 ||
        sg_seal_record(b->ring, b->realm, row.sid, r->value, &w->value, err) != 0)
        return -1;
    row.handle = sg_buf_slice(&w->handle);
    row.record = sg_buf_slice(&w->value);
    shard = w->load->shard_of[row.bucket];
    if (sg_bulk_add_session(w->load->bulk, shard, &row, &w->rows[shard][SG_BULK_SESSIONS], err) !=
        0)
        return -1;
    w->counts.stored++;
    w->counts.anonymous += r->subject[0] == '\0';
    return send_if_full(w, shard, SG_BULK_SESSIONS, err);
}

static int
add_reject(struct worker *w, const struct sg_record *r, struct sg_err *err)
{
    const struct sg_bridge *b = w->load->bridge;
    struct sg_reject_row row = {
        .realm = b->realm, .bucket = r->bucket, .reason = r->reject, .place = r->place};
    int shard = w->load->shard_of[r->bucket];

    memcpy(row.key_digest, r->digest, sizeof row.key_digest);
    sg_buf_reset(&w->handle);
    sg_buf_reset(&w->value);
    if (sg_record_seal_reject(b, r, &w->handle, &w->value, err) != 0)
        return -1;
    row.key_sealed = sg_buf_slice(&w->handle);
    row.value_sealed = sg_buf_slice(&w->value);
    if (sg_bulk_add_reject(w->load->bulk, shard, &row, &w->rows[shard][SG_BULK_REJECTS], err) != 0)
        return -1;
    w->counts.rejected++;
    w->shards[shard].rejected++;
    return send_if_full(w, shard, SG_BULK_REJECTS, err);
}

static int
add_item(struct worker *w, const struct sg_legacy_item *item, struct sg_err *err)
{
    struct sg_record r = {.key = item->key, .value = item->value, .ttl_ms = item->ttl_ms};

    sg_record_decode(w->load->bridge, &r, item->wrong_type ? SG_REJECT_TYPE : NULL);
    w->counts.read++;
    if (r.reject != NULL)
        return add_reject(w, &r, err);
    return add_ref(w, &r, err) != 0 ? -1 : add_session(w, &r, err);
}

/* ---- the threads ---- */

static void
failed(struct sg_bulk_load *l, const struct sg_err *err)
{
    pthread_mutex_lock(&l->lock);
    if (l->rc == 0)
        l->err = *err;
    l->rc = -1;
    pthread_cond_broadcast(&l->emptier);
    pthread_cond_broadcast(&l->fuller);
    pthread_mutex_unlock(&l->lock);
}

/* The next batch; NULL when there is none any more. */
static struct sg_read_batch *
next_batch(struct sg_bulk_load *l)
{
    struct sg_read_batch *batch = NULL;

    pthread_mutex_lock(&l->lock);
    while (l->queued == 0 && !l->read && l->rc == 0)
        pthread_cond_wait(&l->fuller, &l->lock);
    if (l->queued > 0 && l->rc == 0) {
        batch = l->queue[--l->queued];
        pthread_cond_signal(&l->emptier);
    }
    pthread_mutex_unlock(&l->lock);
    return batch;
}

static int
work_on(struct worker *w, struct sg_read_batch *batch, struct sg_err *err)
{
    const struct sg_legacy_item *items;
    int i, n, rc = 0;

    items = sg_read_batch_items(batch, &n);
    w->asked_ns = sg_read_batch_asked_ns(batch);
    if (sg_fault("transfer.bulk.before_store"))
        rc = sg_fail(err, SG_E_UNAVAILABLE, "fault", "transfer.bulk.before_store");
    for (i = 0; i < n && rc == 0; i++)
        rc = add_item(w, &items[i], err);
    sg_read_batch_free(batch);
    return rc;
}

static int
send_all(struct worker *w, struct sg_err *err)
{
    int shard, table;

    for (shard = 0; shard < w->load->bridge->all->n_shards; shard++)
        for (table = 0; table <= SG_BULK_REJECTS; table++)
            if (send_rows(w, shard, (enum sg_bulk_table)table, err) != 0)
                return -1;
    return 0;
}

/* Adds what the thread counted since it last did so. */
static void
report(struct worker *w)
{
    struct sg_bulk_load *l = w->load;
    int i;

    pthread_mutex_lock(&l->lock);
    l->counts.read += w->counts.read;
    l->counts.stored += w->counts.stored;
    l->counts.anonymous += w->counts.anonymous;
    l->counts.rejected += w->counts.rejected;
    for (i = 0; i < l->bridge->all->n_shards; i++) {
        l->shards[i].stored += w->shards[i].stored;
        l->shards[i].rejected += w->shards[i].rejected;
        l->shards[i].anonymous += w->shards[i].anonymous;
    }
    pthread_mutex_unlock(&l->lock);
    memset(&w->counts, 0, sizeof w->counts);
    memset(w->shards, 0, sizeof w->shards);
}

static void *
work(void *ctx)
{
    struct worker *w = ctx;
    struct sg_read_batch *batch;
    struct sg_err err;

    while ((batch = next_batch(w->load)) != NULL) {
        if (work_on(w, batch, &err) != 0)
            failed(w->load, &err);
        report(w);
    }
    if (send_all(w, &err) != 0)
        failed(w->load, &err);
    return NULL;
}

static int
take_batch(void *ctx, struct sg_read_batch *batch, struct sg_err *err)
{
    struct sg_bulk_load *l = ctx;
    int rc;

    pthread_mutex_lock(&l->lock);
    while (l->queued == QUEUE_BATCHES && l->rc == 0)
        pthread_cond_wait(&l->emptier, &l->lock);
    rc = l->rc;
    if (rc == 0) {
        l->queue[l->queued++] = batch;
        pthread_cond_signal(&l->fuller);
    } else {
        *err = l->err;
    }
    pthread_mutex_unlock(&l->lock);
    if (rc != 0)
        sg_read_batch_free(batch);
    return rc;
}

static struct worker *
new_worker(struct sg_bulk_load *l)
{
    struct worker *w = calloc(1, sizeof *w);
    int shard, table;

    if (w == NULL)
        return NULL;
    w->load = l;
    w->handle = SG_BUF_INIT(SG_RECORD_KEPT_BYTES);
    w->value = SG_BUF_INIT(SG_RECORD_KEPT_BYTES);
    for (shard = 0; shard < SG_SHARDS_MAX; shard++)
        for (table = 0; table <= SG_BULK_REJECTS; table++)
            w->rows[shard][table] = SG_BUF_INIT(ROWS_BYTES_MAX);
    if (pthread_create(&w->thread, NULL, work, w) == 0)
        return w;
    free(w);
    return NULL;
}

static void
end_worker(struct worker *w)
{
    int shard, table;

    pthread_join(w->thread, NULL);
    for (shard = 0; shard < SG_SHARDS_MAX; shard++)
        for (table = 0; table <= SG_BULK_REJECTS; table++)
            sg_buf_free(&w->rows[shard][table]);
    sg_buf_free(&w->handle);
    sg_buf_free(&w->value);
    free(w);
}

/* Reads everything and has it written. */
static int
pump(struct sg_bulk_load *l, struct sg_err *err)
{
    const struct sg_legacy_store_options store = {.url = l->bridge->config->legacy.url,
                                                  .realm = l->bridge->realm,
                                                  .key_prefix =
                                                      l->bridge->config->legacy.key_prefix,
                                                  .timeout_ms = CONNECT_TIMEOUT_MS};
    const struct sg_read_all all = {
        .store = &store, .stop = &l->stop, .take = take_batch, .ctx = l};
    struct worker *workers[WORKERS];
    int i, n = 0, rc = 0;

    while (n < WORKERS && (workers[n] = new_worker(l)) != NULL)
        n++;
    if (n == 0)
        rc = sg_fail(err, SG_E_INTERNAL, l->bridge->realm, "no thread could be started");
    else
        rc = sg_redis_read_all(&all, err);
    if (rc != 0)
        failed(l, err);
    pthread_mutex_lock(&l->lock);
    l->read = true;
    pthread_cond_broadcast(&l->fuller);
    pthread_mutex_unlock(&l->lock);
    for (i = 0; i < n; i++)
        end_worker(workers[i]);
    while (l->queued > 0)
        sg_read_batch_free(l->queue[--l->queued]);
    *err = l->err;
    return l->rc;
}

static int
load_all(struct sg_bulk_load *l, struct sg_err *err)
{
    const struct sg_config *c = l->bridge->all;
    const struct sg_bulk_options options = {.conninfos = c->shards,
                                            .n_shards = c->n_shards,
                                            .control = c->control,
                                            .realm = l->bridge->realm,
                                            .job = l->job,
                                            .stop = &l->stop};

    if (sg_bulk_open(&options, &l->bulk, err) != 0 || pump(l, err) != 0)
        return -1;
    if (sg_fault("transfer.bulk.before_commit"))
        return sg_fail(err, SG_E_UNAVAILABLE, "fault", "transfer.bulk.before_commit");
    return sg_bulk_finish(l->bulk, l->shards, err);
}

static void *
run(void *ctx)
{
    struct sg_bulk_load *l = ctx;
    struct sg_err err;

    if (load_all(l, &err) != 0)
        failed(l, &err);
    sg_bulk_close(l->bulk);
    uv_async_send(&l->over);
    return NULL;
}

/* ---- the loop ---- */

static void
on_handle_closed(uv_handle_t *handle)
{
    struct sg_bulk_load *l = handle->data;

    if (--l->open_handles == 0)
        l->events.done(l->events.ctx, l->rc, &l->err);
}

static void
on_over(uv_async_t *over)
{
    struct sg_bulk_load *l = over->data;

    pthread_join(l->thread, NULL);
    uv_close((uv_handle_t *)&l->over, on_handle_closed);
    uv_close((uv_handle_t *)&l->timer, on_handle_closed);
}

static void
on_timer(uv_timer_t *timer)
{
    struct sg_bulk_load *l = timer->data;
    char text[120];

    pthread_mutex_lock(&l->lock);
    snprintf(text, sizeof text, "bulk load: %" PRId64 " records read, %" PRId64 " rejected",
             l->counts.read, l->counts.rejected);
    pthread_mutex_unlock(&l->lock);
    l->events.note(l->events.ctx, text);
}

int
sg_bulk_load_start(const struct sg_bridge *bridge, int64_t job,
                   const struct sg_bulk_load_events *events, struct sg_bulk_load **out,
                   struct sg_err *err)
{
    struct sg_bulk_load *l = calloc(1, sizeof *l);
    int bucket;

    if (l == NULL)
        return sg_fail(err, SG_E_INTERNAL, bridge->realm, "out of memory");
    l->bridge = bridge;
    l->events = *events;
    l->job = job;
    for (bucket = 0; bucket < SG_BUCKETS; bucket++)
        l->shard_of[bucket] = (uint8_t)sg_shard_of_bucket(bridge->shards, bucket);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->fuller, NULL);
    pthread_cond_init(&l->emptier, NULL);
    uv_async_init(bridge->loop, &l->over, on_over);
    uv_timer_init(bridge->loop, &l->timer);
    l->over.data = l->timer.data = l;
    l->open_handles = 2;
    if (pthread_create(&l->thread, NULL, run, l) != 0)
        abort(); /* a process that cannot have one more thread has nothing to go on with */
    uv_timer_start(&l->timer, on_timer, NOTE_EVERY_MS, NOTE_EVERY_MS);
    *out = l;
    return 0;
}

void
sg_bulk_load_stop(struct sg_bulk_load *l)
{
    atomic_store(&l->stop, true);
}

const struct sg_scan_counts *
sg_bulk_load_counted(const struct sg_bulk_load *l)
{
    return &l->counts;
}

void
sg_bulk_load_free(struct sg_bulk_load *l)
{
    if (l == NULL)
        return;
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->fuller);
    pthread_cond_destroy(&l->emptier);
    free(l);
}
