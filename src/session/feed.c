/* SPDX-License-Identifier: MIT */
#include "session/engine_internal.h"

/* A row matters until no token minted before it can be alive. */
static int64_t
remember_until(const struct sg_realm *r, int64_t at_ms)
{
    return at_ms + r->config->token.lifetime_ms + r->config->token.leeway_ms + 60000;
}

static void
on_row(void *ctx, const struct sg_feed_row *row)
{
    struct feed *f = ctx;
    struct sg_realm *r = engine_find_realm(f->engine, row->realm);
    struct sg_err err;
    int64_t until;
    int rc;

    if (r == NULL)
        return;
    r->counters.feed_rows++;
    until = remember_until(r, row->at_ms);
    if (until < sg_wall_ms(f->engine->clock))
        return;
    if (row->is_session)
        rc = sg_revoked_add_session(r->revoked, row->sid, until, &err);
    else {
        identity_forget(r, row->subject);
        rc = sg_revoked_add_subject(r->revoked, row->subject, row->banned, row->epoch,
                                    row->source_version, row->roles, row->permissions,
                                    row->attributes, until, &err);
    }
    if (rc != 0 && !r->revoked_full) {
        r->revoked_full = true;
        engine_event(f->engine, true, "the set of revocations is full: every token is asked about",
                     &err);
    }
}

static void
on_beat(void *ctx, const char *realm, int64_t beat, int64_t sent_ms)
{
    struct feed *f = ctx;
    struct sg_realm *r = engine_find_realm(f->engine, realm);
    int shard = f->poll.shard;

    (void)sent_ms; /* the sender's clock: only growth counts here */
    if (r == NULL || beat == r->shard_beat[shard])
        return;
    /* The first one read may be hours old: only the next tells that the capture lives. */
    if (r->shard_beat[shard] != 0)
        r->beat_seen_ns[shard] = sg_mono_ns(f->engine->clock);
    r->shard_beat[shard] = beat;
}

static void start_poll(struct feed *f);

static void
polled(void *ctx, int rc, const struct sg_err *err)
{
    struct feed *f = ctx;
    struct sg_engine *e = f->engine;

    f->busy = false;
    e->open_ops--;
    if (e->closing)
        return;
    if (rc == 0 && !f->from_start)
        f->good_ns = sg_mono_ns(e->clock);
    else if (e->n_realms > 0)
        e->realms[0]->counters.feed_errors++;
    (void)err; /* readiness and the feed's age tell; a line each 100 ms would drown the log */
    if (f->again && rc == 0)
        start_poll(f);
}

static void
start_poll(struct feed *f)
{
    if (f->engine->closing)
        return;
    if (f->busy) {
        f->again = true;
        return;
    }
    if (f->from_start)
        snprintf(f->poll.cursor, sizeof f->poll.cursor, "0");
    f->busy = true;
    f->again = f->from_start = false;
    f->engine->open_ops++;
    sg_store_poll_feed(f->engine->store, &f->poll, engine_deadline(f->engine, OP_TIMEOUT_MS),
                       polled, f);
}

static void
on_up(void *ctx)
{
    start_poll(ctx);
}

static void
on_notify(void *ctx, const char *channel, const char *payload)
{
    (void)channel;
    (void)payload;
    start_poll(ctx);
}

static void
on_down(void *ctx, const struct sg_err *err)
{
    struct feed *f = ctx;

    engine_event(f->engine, true, "the feed's connection was lost; polling goes on", err);
}

int
feed_start(struct sg_engine *e, struct sg_err *err)
{
    int i;

    for (i = 0; i < e->options.config->n_shards; i++) {
        struct feed *f = &e->feeds[i];
        struct sg_pg_listener_events events = {on_up, on_notify, on_down, f};
        char name[32];
        struct sg_pg_options options = {.conninfo = e->options.config->shards[i],
                                        .name = name,
                                        .connections = 1,
                                        .connect_timeout_ms = OP_TIMEOUT_MS,
                                        .max_queued = 16};

        snprintf(name, sizeof name, "shard %d feed", i);
        f->engine = e;
        f->poll = (struct sg_feed_poll){
            .shard = i, .cursor = "0", .row = on_row, .beat = on_beat, .ctx = f};
        if (sg_pg_listen(e->loop, e->clock, &options, "segue_feed", &events, &f->listener, err) !=
            0)
            return -1;
    }
    return 0;
}

void
feed_poll_all(struct sg_engine *e)
{
    int i;

    for (i = 0; i < e->options.config->n_shards; i++)
        start_poll(&e->feeds[i]);
}

void
feed_reread(struct sg_engine *e)
{
    int i;

    for (i = 0; i < e->options.config->n_shards; i++) {
        e->feeds[i].from_start = true;
        e->feeds[i].good_ns = 0;
    }
}

int64_t
sg_engine_feed_age_ms(const struct sg_engine *e, int shard)
{
    uint64_t good = e->feeds[shard].good_ns;

    return good == 0 ? INT64_MAX : (int64_t)((sg_mono_ns(e->clock) - good) / SG_NS_PER_MS);
}

static int64_t
beat_age_ms(const struct sg_realm *r, int shard)
{
    uint64_t seen = r->beat_seen_ns[shard];

    return seen == 0 ? INT64_MAX : (int64_t)((sg_mono_ns(r->engine->clock) - seen) / SG_NS_PER_MS);
}

int64_t
sg_realm_beat_age_ms(const struct sg_realm *r)
{
    int64_t worst = 0;
    int i;

    for (i = 0; i < r->engine->options.config->n_shards; i++)
        if (beat_age_ms(r, i) > worst)
            worst = beat_age_ms(r, i);
    return worst;
}

bool
feed_is_answered(const struct sg_realm *r, int bucket)
{
    const struct sg_engine *e = r->engine;

    return sg_engine_feed_age_ms(e, sg_shard_of_bucket(e->shards, bucket)) < FEED_SILENT_MS;
}

bool
feed_is_stale(const struct sg_realm *r, int bucket)
{
    const struct sg_engine *e = r->engine;
    int64_t bound = e->options.config->feed_stale_after_ms;
    int shard = sg_shard_of_bucket(e->shards, bucket);

    if (r->revoked_full || sg_engine_feed_age_ms(e, shard) > bound)
        return true;
    /* Once finalized nothing comes from the legacy store any more, so no beat is due. */
    return r->policy.phase != SG_FINALIZED && beat_age_ms(r, shard) > bound;
}
