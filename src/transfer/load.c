/* SPDX-License-Identifier: MIT */
#include "transfer/load.h"

#include "base/fault.h"
#include "store/sealed.h"
#include "transfer/record.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define KEPT_KEY_BYTES 65536

struct item {
    struct sg_record record;
    char *bytes; /* key, then value */
    const char *found;
    struct sg_buf handle, value; /* sealed */
    int blocked_on;
    bool ended; /* its ref is a tombstone */
    int generation;
    char was[SG_SUBJECT_MAX + 1]; /* the subject before, while `changed` */
    int was_generation;
    bool changed, was_ended;
};

/* The rows of one shard in a step. */
struct part {
    struct sg_load *load;
    int shard, first, n;
};

struct end_again {
    struct sg_legacy_request request;
    struct sg_load *load;
    int item;
};

struct sg_load {
    const struct sg_bridge *bridge;
    struct sg_load_options options;
    int capacity, n;
    struct item *items;
    int *of; /* row -> item, for the step under way */
    union {
        struct sg_ref_read *reads;
        struct sg_ref_row *refs;
        struct sg_end_row *ends;
        struct sg_session_row *sessions;
        void *any;
    } rows;
    struct sg_reject_row *rejects;
    int *ledger_buckets;
    struct sg_chunk chunk;
    struct end_again *again;
    struct part parts[SG_SHARDS_MAX + 1];
    void (*then)(struct sg_load *);
    int pending, n_rows, n_rejects;
    int rc;
    struct sg_err err;
    struct sg_load_counts counts;
};

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
    *out = l;
    return 0;
}

static void
drop_step(struct sg_load *l)
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
    drop_step(l);
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

static void
failed(struct sg_load *l, const struct sg_err *err)
{
    if (l->rc == 0)
        l->err = *err;
    l->rc = -1;
}

static void
no_memory(struct sg_load *l)
{
    struct sg_err err;
    int i;

    sg_fail(&err, SG_E_INTERNAL, l->bridge->realm, "out of memory");
    failed(l, &err);
    for (i = 0; i < l->n; i++)
        l->items[i].blocked_on = sg_bridge_shard_of_digest(l->bridge, l->items[i].record.digest);
}

/* Still to be stored: decodable, and nothing has failed for it. */
static bool
goes_on(const struct item *it)
{
    return it->record.reject == NULL && it->blocked_on < 0;
}

static void
finish(struct sg_load *l)
{
    drop_step(l);
    l->options.done(l->options.ctx, l);
}

/* One call over all rows came back: its failure is every row's. */
static void
step_done(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_load *l = ctx;
    int i;

    if (rc != 0) {
        failed(l, err);
        for (i = 0; i < l->n; i++)
            if (goes_on(&l->items[i]))
                l->items[i].blocked_on =
                    sg_bridge_shard_of_digest(l->bridge, l->items[i].record.digest);
    }
    l->then(l);
}

static void
part_done(void *ctx, int rc, const struct sg_err *err)
{
    struct part *part = ctx;
    struct sg_load *l = part->load;
    int i;

    if (rc != 0) {
        failed(l, err);
        for (i = part->first; i < part->first + part->n; i++)
            l->items[l->of[i]].blocked_on = part->shard;
    }
    if (--l->pending == 0)
        l->then(l);
}

/* ---- 5: what ended and came back ---- */

static void
again_done(struct sg_legacy_request *request)
{
    struct end_again *a = sg_container_of(request, struct end_again, request);
    struct sg_load *l = a->load;

    if (request->rc != 0) {
        failed(l, &request->err);
        l->items[a->item].blocked_on = sg_shards_count(l->bridge->shards);
    }
    sg_legacy_request_clear(request);
    if (--l->pending == 0)
        finish(l);
}

static void
end_again(struct sg_load *l)
{
    int i, n = 0;

    drop_step(l);
    for (i = 0; i < l->n; i++)
        n += goes_on(&l->items[i]) && l->items[i].ended;
    if (n == 0) {
        finish(l);
        return;
    }
    l->again = calloc((size_t)n, sizeof *l->again);
    if (l->again == NULL) {
        no_memory(l);
        finish(l);
        return;
    }
    l->pending = n;
    for (i = 0, n = 0; i < l->n; i++) {
        const struct item *it = &l->items[i];
        struct end_again *a = &l->again[n];

        if (!goes_on(it) || !it->ended)
            continue;
        n++;
        a->load = l;
        a->item = i;
        a->request.op = SG_LEGACY_END;
        memcpy(a->request.key, it->record.key.ptr, it->record.key.len);
        a->request.deadline_ns = sg_bridge_deadline(l->bridge, l->options.timeout_ms);
        a->request.done = again_done;
        l->bridge->legacy->type->submit(l->bridge->legacy, &a->request);
    }
}

/* ---- sessions whose subject changed in place ---- */

static int
shard_of_session(const struct sg_load *l, const struct item *it, const char *subject)
{
    return sg_shard_of_bucket(l->bridge->shards,
                              sg_bridge_session_bucket(l->bridge, subject, it->record.digest));
}

static const char *
why_changed(const struct item *it)
{
    if (it->record.subject[0] == '\0')
        return "app-logout";
    return it->was[0] == '\0' ? "anonymous" : "subject-changed";
}

/* Ends them shard by shard, then goes on with `then`. */
static void
end_changed(struct sg_load *l, void (*then)(struct sg_load *))
{
    int shard, i, shards = sg_shards_count(l->bridge->shards);
    struct sg_err silent;

    drop_step(l);
    l->then = then;
    l->n_rows = 0;
    l->pending = 1;
    for (i = 0; i < l->n; i++)
        l->n_rows += l->items[i].changed && goes_on(&l->items[i]);
    if (l->n_rows > 0) {
        l->rows.ends = calloc((size_t)l->n_rows, sizeof *l->rows.ends);
        if (l->rows.ends == NULL)
            no_memory(l);
    }
    l->n_rows = 0;
    for (shard = 0; shard < shards && l->rows.ends != NULL; shard++) {
        struct part *part = &l->parts[shard];

        *part = (struct part){.load = l, .shard = shard, .first = l->n_rows};
        for (i = 0; i < l->n; i++) {
            struct item *it = &l->items[i];
            struct sg_end_row *row = &l->rows.ends[l->n_rows];

            if (!it->changed || !goes_on(it) || shard_of_session(l, it, it->was) != shard)
                continue;
            it->changed = false;
            it->was_ended = true;
            row->realm = l->bridge->realm;
            row->has_sid = true;
            sg_record_sid(l->bridge, it->record.digest, it->was, it->was_generation, row->sid,
                          &row->sid_bucket);
            row->subject = it->was;
            row->reason = why_changed(it);
            l->of[l->n_rows++] = i;
            part->n++;
        }
        if (part->n == 0)
            continue;
        l->pending++;
        l->counts.ended += part->n;
        if (l->options.by_shard && sg_bridge_is_silent(l->bridge, shard, &silent)) {
            part_done(part, -1, &silent);
            continue;
        }
        sg_store_end_sessions(l->bridge->store, &l->rows.ends[part->first], part->n,
                              sg_bridge_deadline(l->bridge, l->options.timeout_ms), part_done,
                              part);
    }
    if (--l->pending == 0)
        then(l);
}

static void
end_changed_late(struct sg_load *l)
{
    if (sg_fault("transfer.after_sessions")) {
        struct sg_err err;

        sg_fail(&err, SG_E_UNAVAILABLE, "fault", "transfer.after_sessions");
        failed(l, &err);
    }
    end_changed(l, end_again);
}

/* ---- 4: sessions and rejects ---- */

static int
seal(struct sg_load *l, struct item *it, const uint8_t *sid, struct sg_err *err)
{
    const struct sg_bridge *b = l->bridge;

    sg_buf_free(&it->handle);
    sg_buf_free(&it->value);
    it->handle = SG_BUF_INIT(SG_LEGACY_KEY_MAX + SG_SEAL_OVERHEAD);
    it->value = SG_BUF_INIT(SG_LEGACY_VALUE_MAX + SG_SEAL_OVERHEAD);
    return sg_seal_handle(b->ring, b->realm, sid, it->record.key, &it->handle, err) == 0 &&
                   sg_seal_record(b->ring, b->realm, sid, it->record.value, &it->value, err) == 0
               ? 0
               : -1;
}

static int
seal_reject(struct sg_load *l, struct item *it, struct sg_err *err)
{
    const struct sg_bridge *b = l->bridge;
    const struct sg_record *r = &it->record;
    /* Nobody names a session so; its beginning is enough to find it by hand. */
    size_t key_bytes = r->key.len < KEPT_KEY_BYTES ? r->key.len : KEPT_KEY_BYTES;

    sg_buf_free(&it->handle);
    sg_buf_free(&it->value);
    it->handle = SG_BUF_INIT(KEPT_KEY_BYTES + SG_SEAL_OVERHEAD);
    it->value = SG_BUF_INIT(SG_LEGACY_VALUE_MAX + SG_SEAL_OVERHEAD);
    if (sg_seal_reject_key(b->ring, b->realm, r->digest, sg_slice(r->key.ptr, key_bytes),
                           &it->handle, err) != 0)
        return -1;
    if (r->value.len == 0 || r->value.len > SG_LEGACY_VALUE_MAX)
        return 0; /* to be read again from the source by its key */
    return sg_seal_reject_value(b->ring, b->realm, r->digest, r->value, &it->value, err);
}

static void
add_reject(struct sg_load *l, struct item *it)
{
    struct sg_reject_row *row = &l->rejects[l->n_rejects];
    struct sg_err err;

    if (seal_reject(l, it, &err) != 0) {
        failed(l, &err);
        return;
    }
    row->realm = l->bridge->realm;
    row->bucket = it->record.bucket;
    memcpy(row->key_digest, it->record.digest, sizeof row->key_digest);
    row->key_sealed = sg_buf_slice(&it->handle);
    row->value_sealed = sg_buf_slice(&it->value);
    row->reason = it->record.reject;
    row->place = it->record.place;
    l->n_rejects++;
}

static void
add_session(struct sg_load *l, int i)
{
    struct item *it = &l->items[i];
    struct sg_session_row *row = &l->rows.sessions[l->n_rows];
    struct sg_err err;

    memset(row, 0, sizeof *row);
    row->realm = l->bridge->realm;
    sg_record_sid(l->bridge, it->record.digest, it->record.subject, it->generation, row->sid,
                  &row->bucket);
    if (seal(l, it, row->sid, &err) != 0) {
        failed(l, &err);
        it->blocked_on = sg_shard_of_bucket(l->bridge->shards, row->bucket);
        return;
    }
    row->subject = it->record.subject;
    row->generation = it->generation;
    row->origin = "legacy";
    row->client_id = "";
    memcpy(row->store_digest, it->record.digest, sizeof row->store_digest);
    row->has_store_digest = true;
    row->handle = sg_buf_slice(&it->handle);
    row->record = sg_buf_slice(&it->value);
    row->idle_ms = it->record.idle_ms;
    row->exp_source_in_ms = it->record.expires_in_ms;
    row->exp_segue_in_ms = -1;
    row->exp_absolute_in_ms = l->bridge->config->session_absolute_ms;
    row->jwt_until_in_ms = -1;
    row->seen_in_source = true;
    l->ledger_buckets[l->n_rows] = it->record.bucket;
    l->of[l->n_rows++] = i;
}

static void
count(struct sg_load *l)
{
    int i;

    l->counts.stored = l->counts.anonymous = l->counts.rejected = l->counts.refused = 0;
    for (i = 0; i < l->n; i++) {
        const struct item *it = &l->items[i];

        if (it->record.reject != NULL)
            l->counts.rejected++;
        else if (it->ended)
            l->counts.refused++;
        else {
            l->counts.stored++;
            l->counts.anonymous += it->record.subject[0] == '\0';
        }
    }
}

static void
submit_chunk(struct sg_load *l, int n_sessions)
{
    l->chunk = (struct sg_chunk){
        .realm = l->bridge->realm,
        .job = l->options.job,
        .chunk = l->options.chunk,
        .sessions = l->rows.sessions,
        .session_ledger_bucket = l->ledger_buckets,
        .n_sessions = n_sessions,
        .rejects = l->rejects,
        .n_rejects = l->n_rejects,
    };
}

/* As one transaction a shard with the ledger, or each shard's sessions by themselves. */
static void
put_sessions(struct sg_load *l)
{
    uint64_t deadline = sg_bridge_deadline(l->bridge, l->options.timeout_ms);
    struct sg_err silent;
    int shard, i;

    l->then = end_changed_late;
    l->pending = 1;
    if (!l->options.by_shard || l->n_rejects > 0) {
        struct part *part = &l->parts[SG_SHARDS_MAX];

        submit_chunk(l, l->options.by_shard ? 0 : l->n_rows);
        *part = (struct part){.load = l, .n = l->chunk.n_sessions};
        l->pending++;
        sg_store_put_chunk(l->bridge->store, &l->chunk, deadline, part_done, part);
    }
    for (i = 0; l->options.by_shard && i < l->n_rows;) {
        struct part *part;
        int first = i;

        shard = sg_shard_of_bucket(l->bridge->shards, l->rows.sessions[i].bucket);
        while (i < l->n_rows &&
               sg_shard_of_bucket(l->bridge->shards, l->rows.sessions[i].bucket) == shard)
            i++;
        part = &l->parts[shard];
        *part = (struct part){.load = l, .shard = shard, .first = first, .n = i - first};
        l->pending++;
        if (sg_bridge_is_silent(l->bridge, shard, &silent)) {
            part_done(part, -1, &silent);
            continue;
        }
        sg_store_put_sessions(l->bridge->store, &l->rows.sessions[first], part->n, deadline,
                              part_done, part);
    }
    if (--l->pending == 0)
        l->then(l);
}

static void
build_rows(struct sg_load *l)
{
    int shard, i, shards = sg_shards_count(l->bridge->shards);

    drop_step(l);
    l->n_rows = l->n_rejects = 0;
    l->rows.sessions = calloc((size_t)l->n + 1, sizeof *l->rows.sessions);
    l->rejects = calloc((size_t)l->n + 1, sizeof *l->rejects);
    l->ledger_buckets = calloc((size_t)l->n + 1, sizeof *l->ledger_buckets);
    if (l->rows.sessions == NULL || l->rejects == NULL || l->ledger_buckets == NULL) {
        no_memory(l);
        finish(l);
        return;
    }
    for (i = 0; i < l->n; i++)
        if (l->items[i].record.reject != NULL)
            add_reject(l, &l->items[i]);
    for (shard = 0; shard < shards; shard++)
        for (i = 0; i < l->n; i++) {
            const struct item *it = &l->items[i];

            if (goes_on(it) && !it->ended && shard_of_session(l, it, it->record.subject) == shard)
                add_session(l, i);
        }
    count(l);
    if (l->rc != 0 && !l->options.by_shard)
        finish(l); /* a chunk is stored whole or not at all */
    else
        put_sessions(l);
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
        failed(l, &err);
        finish(l);
        return;
    }
    build_rows(l);
}

static void
put_refs(struct sg_load *l)
{
    int i;

    drop_step(l);
    if (l->rc != 0 && !l->options.by_shard) {
        finish(l);
        return;
    }
    l->n_rows = 0;
    l->rows.refs = calloc((size_t)l->n + 1, sizeof *l->rows.refs);
    if (l->rows.refs == NULL) {
        no_memory(l);
        finish(l);
        return;
    }
    for (i = 0; i < l->n; i++) {
        const struct item *it = &l->items[i];
        struct sg_ref_row *row = &l->rows.refs[l->n_rows];

        if (!goes_on(it))
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
        build_rows(l);
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
    end_changed(l, put_refs);
}

static void
get_refs(struct sg_load *l)
{
    int i;

    drop_step(l);
    l->n_rows = 0;
    l->rows.reads = calloc((size_t)l->n + 1, sizeof *l->rows.reads);
    if (l->rows.reads == NULL) {
        no_memory(l);
        finish(l);
        return;
    }
    for (i = 0; i < l->n; i++) {
        const struct item *it = &l->items[i];
        struct sg_ref_read *row = &l->rows.reads[l->n_rows];

        if (!goes_on(it))
            continue;
        row->realm = l->bridge->realm;
        row->bucket = it->record.bucket;
        memcpy(row->digest, it->record.digest, sizeof row->digest);
        l->of[l->n_rows++] = i;
    }
    l->then = on_got_refs;
    if (l->n_rows == 0)
        build_rows(l);
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
