/* SPDX-License-Identifier: MIT */
#include "session/truth.h"

static void
finish(struct truth *t, enum presence presence)
{
    t->presence = presence;
    t->realm->engine->open_ops--;
    t->done(t);
}

static void
submit(struct truth *t, void (*done)(struct sg_legacy_request *))
{
    t->request.deadline_ns = engine_deadline(t->realm->engine, t->wait_ms);
    t->request.done = done;
    t->realm->legacy->type->submit(t->realm->legacy, &t->request);
}

/* Somebody follows the store: continuity is only as good as the last heartbeat that came back. A
 * capture that was killed could not write that it is gone. */
static bool
is_followed(const struct sg_realm *r)
{
    const struct sg_engine *e = r->engine;
    uint64_t now = sg_mono_ns(e->clock), newest = 0;
    int i;

    for (i = 0; i < e->options.config->n_shards; i++)
        if (r->beat_seen_ns[i] > newest)
            newest = r->beat_seen_ns[i];
    return newest != 0 &&
           (int64_t)((now - newest) / SG_NS_PER_MS) <= e->options.config->feed_stale_after_ms;
}

/* Run id and sentinel came in the same atomic step as the record, or its absence. */
static bool
stands(const struct truth *t)
{
    const struct continuity *c = &t->realm->continuity;
    const struct sg_legacy_proof *proof = &t->request.proof;

    return c->proven && is_followed(t->realm) && strcmp(proof->run_id, c->run_id) == 0 &&
           strcmp(proof->sentinel, c->sentinel) == 0;
}

/* The counters as they are now, after the absence was seen: had anything been evicted or flushed
 * before, it shows. */
static void
proved(struct sg_legacy_request *request)
{
    struct truth *t = sg_container_of(request, struct truth, request);
    const struct continuity *c = &t->realm->continuity;
    bool holds = request->rc == 0 && stands(t) && request->evicted_keys == c->evicted &&
                 request->flushes == c->flushes;

    sg_legacy_request_clear(request);
    finish(t, holds ? TRUTH_GONE : TRUTH_UNPROVEN);
}

static void
answered(struct sg_legacy_request *request)
{
    struct truth *t = sg_container_of(request, struct truth, request);

    if (request->rc != 0) {
        t->err = request->err;
        finish(t, request->err.code == SG_E_INVALID ? TRUTH_UNDECODABLE : TRUTH_DOWN);
        return;
    }
    if (!request->found) {
        /* The counters cost more and are asked for only where the rest holds. */
        if (!stands(t)) {
            sg_legacy_request_clear(request);
            finish(t, TRUTH_UNPROVEN);
            return;
        }
        sg_legacy_request_clear(request);
        request->op = SG_LEGACY_PROVE;
        submit(t, proved);
        return;
    }
    t->proven = stands(t);
    t->value = request->read_value;
    request->read_value = SG_BUF_INIT(0);
    t->ttl_ms = request->read_ttl_ms;
    sg_legacy_request_clear(request);
    if (t->realm->codec->decode(&t->realm->codec_config, sg_buf_slice(&t->value), &t->record,
                                &t->err) != 0) {
        t->realm->counters.legacy_undecodable++;
        finish(t, TRUTH_UNDECODABLE);
        return;
    }
    if (t->record.idle_ms <= 0)
        t->record.idle_ms = t->realm->config->legacy.default_idle_ms;
    if (t->ttl_ms < 0)
        t->ttl_ms = t->record.idle_ms;
    finish(t, t->record.subject[0] != '\0' ? TRUTH_SUBJECT : TRUTH_ANONYMOUS);
}

void
truth_read(struct truth *t, struct sg_realm *realm, const char *key, int64_t wait_ms,
           void (*done)(struct truth *truth))
{
    memset(t, 0, sizeof *t);
    t->realm = realm;
    t->done = done;
    t->wait_ms = wait_ms;
    t->asked_ns = sg_mono_ns(realm->engine->clock);
    t->request.op = SG_LEGACY_READ;
    snprintf(t->request.key, sizeof t->request.key, "%s", key);
    realm->engine->open_ops++;
    submit(t, answered);
}

void
truth_clear(struct truth *t)
{
    sg_buf_wipe(&t->value);
}
