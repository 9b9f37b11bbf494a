/* SPDX-License-Identifier: MIT */
#include "transfer/load_internal.h"

#include <stdlib.h>

/* ---- 5: what ended and came back ---- */

static void
again_done(struct sg_legacy_request *request)
{
    struct end_again *a = sg_container_of(request, struct end_again, request);
    struct sg_load *l = a->load;

    if (request->rc != 0) {
        sg_load_failed(l, &request->err);
        l->items[a->item].blocked_on = sg_shards_count(l->bridge->shards);
    }
    sg_legacy_request_clear(request);
    if (--l->pending == 0)
        sg_load_finish(l);
}

void
sg_load_end_again(struct sg_load *l)
{
    int i, n = 0;

    sg_load_drop_step(l);
    for (i = 0; i < l->n; i++)
        n += sg_load_goes_on(&l->items[i]) && l->items[i].ended;
    if (n == 0) {
        sg_load_finish(l);
        return;
    }
    l->again = calloc((size_t)n, sizeof *l->again);
    if (l->again == NULL) {
        sg_load_no_memory(l);
        sg_load_finish(l);
        return;
    }
    l->pending = n;
    for (i = 0, n = 0; i < l->n; i++) {
        const struct item *it = &l->items[i];
        struct end_again *a = &l->again[n];

        if (!sg_load_goes_on(it) || !it->ended)
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

static const char *
why_changed(const struct item *it)
{
    if (it->record.subject[0] == '\0')
        return "app-logout";
    return it->was[0] == '\0' ? "anonymous" : "subject-changed";
}

/* Ends them shard by shard, then goes on with `then`. */
void
sg_load_end_changed(struct sg_load *l, void (*then)(struct sg_load *))
{
    int shard, i, shards = sg_shards_count(l->bridge->shards);
    struct sg_err silent;

    sg_load_drop_step(l);
    l->then = then;
    l->n_rows = 0;
    l->pending = 1;
    for (i = 0; i < l->n; i++)
        l->n_rows += l->items[i].changed && sg_load_goes_on(&l->items[i]);
    if (l->n_rows > 0) {
        l->rows.ends = calloc((size_t)l->n_rows, sizeof *l->rows.ends);
        if (l->rows.ends == NULL)
            sg_load_no_memory(l);
    }
    l->n_rows = 0;
    for (shard = 0; shard < shards && l->rows.ends != NULL; shard++) {
        struct part *part = &l->parts[shard];

        *part = (struct part){.load = l, .shard = shard, .first = l->n_rows};
        for (i = 0; i < l->n; i++) {
            struct item *it = &l->items[i];
            struct sg_end_row *row = &l->rows.ends[l->n_rows];

            if (!it->changed || !sg_load_goes_on(it) ||
                sg_load_session_shard(l, it, it->was) != shard)
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
            sg_load_part_done(part, -1, &silent);
            continue;
        }
        sg_store_end_sessions(l->bridge->store, &l->rows.ends[part->first], part->n,
                              sg_bridge_deadline(l->bridge, l->options.timeout_ms),
                              sg_load_part_done, part);
    }
    if (--l->pending == 0)
        then(l);
}
