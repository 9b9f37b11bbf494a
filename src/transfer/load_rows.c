/* SPDX-License-Identifier: MIT */
#include "transfer/load_internal.h"

#include "base/fault.h"
#include "store/sealed.h"

#include <stdlib.h>

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
    sg_buf_free(&it->handle);
    sg_buf_free(&it->value);
    it->handle = SG_BUF_INIT(SG_RECORD_KEPT_BYTES);
    it->value = SG_BUF_INIT(SG_RECORD_KEPT_BYTES);
    return sg_record_seal_reject(l->bridge, &it->record, &it->handle, &it->value, err);
}

static void
add_reject(struct sg_load *l, struct item *it)
{
    struct sg_reject_row *row = &l->rejects[l->n_rejects];
    struct sg_err err;

    if (seal_reject(l, it, &err) != 0) {
        sg_load_failed(l, &err);
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
        sg_load_failed(l, &err);
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
    row->seen_ms_ago = (int64_t)((sg_mono_ns(l->bridge->clock) - l->asked_ns) / SG_NS_PER_MS);
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

static void
end_changed_late(struct sg_load *l)
{
    if (sg_fault("transfer.after_sessions")) {
        struct sg_err err;

        sg_fail(&err, SG_E_UNAVAILABLE, "fault", "transfer.after_sessions");
        sg_load_failed(l, &err);
    }
    sg_load_end_changed(l, sg_load_end_again);
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
        sg_store_put_chunk(l->bridge->store, &l->chunk, deadline, sg_load_part_done, part);
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
            sg_load_part_done(part, -1, &silent);
            continue;
        }
        sg_store_put_sessions(l->bridge->store, &l->rows.sessions[first], part->n, deadline,
                              sg_load_part_done, part);
    }
    if (--l->pending == 0)
        l->then(l);
}

void
sg_load_store_rows(struct sg_load *l)
{
    int shard, i, shards = sg_shards_count(l->bridge->shards);

    sg_load_drop_step(l);
    l->n_rows = l->n_rejects = 0;
    l->rows.sessions = calloc((size_t)l->n + 1, sizeof *l->rows.sessions);
    l->rejects = calloc((size_t)l->n + 1, sizeof *l->rejects);
    l->ledger_buckets = calloc((size_t)l->n + 1, sizeof *l->ledger_buckets);
    if (l->rows.sessions == NULL || l->rejects == NULL || l->ledger_buckets == NULL) {
        sg_load_no_memory(l);
        sg_load_finish(l);
        return;
    }
    for (i = 0; i < l->n; i++)
        if (l->items[i].record.reject != NULL)
            add_reject(l, &l->items[i]);
    for (shard = 0; shard < shards; shard++)
        for (i = 0; i < l->n; i++) {
            const struct item *it = &l->items[i];

            if (sg_load_goes_on(it) && !it->ended &&
                sg_load_session_shard(l, it, it->record.subject) == shard)
                add_session(l, i);
        }
    count(l);
    if (l->rc != 0 && !l->options.by_shard)
        sg_load_finish(l); /* a chunk is stored whole or not at all */
    else
        put_sessions(l);
}
