/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "session/engine_internal.h"
#include "session/held_keys.h"
#include "session/identities.h"
#include "session/reread.h"
#include "session/rotation.h"

#include <stdlib.h>

#define TICK_MS 100
#define PURGE_TICKS 600 /* a minute */
#define ROTATE_TICKS 10 /* the schedule of the signing keys, by loop 0 */
#define SWEEP_TICKS 20  /* one bounded step of one realm every 2 s, by loop 0 */
#define MINUTE_MS INT64_C(60000)

void
engine_event(struct sg_engine *e, bool bad, const char *what, const struct sg_err *err)
{
    if (e->options.event != NULL)
        e->options.event(e->options.ctx, bad, what, err);
}

void
realm_identity_trouble(struct sg_realm *r, const struct sg_err *err)
{
    uint64_t now = sg_mono_ns(r->engine->clock);

    if (r->identity_told_ns != 0 && now - r->identity_told_ns < IDENTITY_TELL_MS * SG_NS_PER_MS)
        return;
    r->identity_told_ns = now;
    engine_event(r->engine, true, "the identity source is of no use for a token", err);
}

struct sg_realm *
engine_find_realm(struct sg_engine *e, const char *name)
{
    int i;

    for (i = 0; i < e->n_realms; i++)
        if (strcmp(e->realms[i]->config->name, name) == 0)
            return e->realms[i];
    return NULL;
}

static int
open_realm(struct sg_engine *e, const struct sg_realm_config *config, struct sg_err *err)
{
    const struct sg_legacy_store_type *store = sg_legacy_store_find(config->legacy.store);
    struct sg_legacy_store_options legacy = {.url = config->legacy.url,
                                             .realm = config->name,
                                             .key_prefix = config->legacy.key_prefix,
                                             .timeout_ms = OP_TIMEOUT_MS};
    struct sg_realm *r = calloc(1, sizeof *r);
    struct sg_hash check;

    if (r == NULL)
        return sg_fail(err, SG_E_INTERNAL, config->name, "out of memory");
    e->realms[e->n_realms++] = r;
    r->engine = e;
    r->config = config;
    r->digest_key = sg_realm_key(e->options.ring, config->name, SG_PURPOSE_DIGEST);
    check = sg_realm_key(e->options.ring, config->name, SG_PURPOSE_CHECK);
    sg_hex(check.b, sizeof check.b, r->root_check);
    r->codec = sg_codec_find(config->legacy.codec);
    if (r->codec == NULL || store == NULL)
        return sg_fail(err, SG_E_INVALID, config->name, "there is no %s '%s'",
                       r->codec == NULL ? "codec" : "legacy store",
                       r->codec == NULL ? config->legacy.codec : config->legacy.store);
    r->codec_config = (struct sg_codec_config){
        .secrets = config->legacy.secrets,
        .key_prefix = config->legacy.key_prefix,
        .cookie_name = config->legacy.cookie,
        .default_idle_ms = config->legacy.default_idle_ms,
        .subject_path = config->legacy.subject_path,
        .cookie_secure = config->legacy.cookie_secure,
        .cookie_domain =
            config->legacy.cookie_domain[0] != '\0' ? config->legacy.cookie_domain : NULL};
    if (segue_keyset_new(&r->keys) != SEGUE_OK || segue_keyset_new(&r->old_keys) != SEGUE_OK ||
        segue_cache_new(VERIFIED_BYTES, &r->verified) != SEGUE_OK)
        return sg_fail(err, SG_E_INTERNAL, config->name, "out of memory");
    if (sg_revoked_new(&r->revoked, err) != 0 || reread_new(r, &r->reread, err) != 0 ||
        store->open(e->loop, e->clock, &legacy, &r->legacy, err) != 0)
        return -1;
    return identities_open(e->loop, e->clock, config, e->store, &r->identity, err) != 0 ||
                   (config->login.source != NULL && login_desk_open(r, err) != 0)
               ? -1
               : 0;
}

static void close_parts(struct sg_engine *e);

static void
swept(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_realm *r = ctx;

    r->engine->sweeping = false;
    r->engine->open_ops--;
    if (rc != 0) {
        r->sweep.bucket = 0;
        engine_event(r->engine, true, "old rows could not be deleted; tried again later", err);
    } else if (r->sweep.bucket == SG_BUCKETS)
        r->sweep.bucket = 0;
}

/* Token tables that only grow are a slow outage: what no token, client or transfer can need any
 * more is deleted. */
static void
sweep(struct sg_realm *r)
{
    const struct sg_realm_config *c = r->config;
    int64_t jwt_ms = c->token.lifetime_ms + c->token.leeway_ms + MINUTE_MS;

    r->sweep.realm = c->name;
    r->sweep.mirror = sg_phase_rules(r->policy.phase)->mirror;
    r->sweep.feed_keep_ms = 2 * jwt_ms;
    r->sweep.ended_keep_ms = jwt_ms + c->refresh_grace_ms + c->legacy.default_idle_ms;
    r->sweep.ref_keep_ms = jwt_ms + c->session_absolute_ms + c->legacy.default_idle_ms;
    r->engine->sweeping = true;
    r->engine->open_ops++;
    sg_store_sweep(r->engine->store, &r->sweep, engine_deadline(r->engine, 10 * OP_TIMEOUT_MS),
                   swept, r);
}

static void
purge(struct sg_engine *e)
{
    int i;

    for (i = 0; i < e->n_realms; i++) {
        struct sg_realm *r = e->realms[i];

        sg_revoked_purge(r->revoked, sg_wall_ms(e->clock));
        if (r->revoked_full)
            feed_reread(e); /* what found no room is found again, before its bound is lifted */
        r->revoked_full = false;
    }
}

static void
on_tick(uv_timer_t *timer)
{
    struct sg_engine *e = timer->data;
    int i;

    if (e->closing) {
        if (e->open_ops == 0) /* each has a deadline, so this comes */
            close_parts(e);
        return;
    }
    e->ticks++;
    if (e->ticks % (CONTROL_POLL_MS / TICK_MS) == 0)
        control_poll(e);
    if (e->ticks % (FEED_POLL_MS / TICK_MS) == 0)
        feed_poll_all(e);
    if (e->ticks % SWEEP_TICKS == 0 && e->options.loop_index == 0 && !e->sweeping && e->schema_ok)
        sweep(e->realms[e->ticks / SWEEP_TICKS % (uint64_t)e->n_realms]);
    if (e->ticks % ROTATE_TICKS == 0 && e->options.loop_index == 0)
        rotation_tick(e);
    if (e->ticks % PURGE_TICKS == 0)
        purge(e);
    for (i = 0; i < e->n_realms; i++) {
        reread_pump(e->realms[i]->reread);
        if (e->realms[i]->login_desk != NULL)
            login_desk_tick(e->realms[i]);
    }
}

static void
free_engine(struct sg_engine *e)
{
    int i;

    for (i = 0; i < e->n_realms; i++) {
        struct sg_realm *r = e->realms[i];

        segue_key_free(r->signing);
        segue_keyset_free(r->keys);
        segue_cache_free(r->verified);
        segue_keyset_free(r->old_keys);
        sg_revoked_free(r->revoked);
        reread_free(r->reread);
        caches_free(r);
        login_desk_free(r);
        free(r);
    }
    sg_store_free(e->store);
    free(e);
}

static void
part_closed(void *ctx)
{
    struct sg_engine *e = ctx;
    void (*closed)(void *) = e->closed;
    void *closed_ctx = e->closed_ctx;

    if (--e->close_waits > 0)
        return;
    free_engine(e);
    if (closed != NULL)
        closed(closed_ctx);
}

static void
timer_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

static void
close_parts(struct sg_engine *e)
{
    int i;

    e->close_waits = 1; /* the timer; one more for each part that was opened */
    uv_timer_stop(&e->tick);
    for (i = 0; i < e->options.config->n_shards; i++)
        if (e->feeds[i].listener != NULL) {
            e->close_waits++;
            sg_pg_listener_close(e->feeds[i].listener, part_closed, e);
        }
    if (e->control_listener != NULL) {
        e->close_waits++;
        sg_pg_listener_close(e->control_listener, part_closed, e);
    }
    if (e->control != NULL) {
        e->close_waits++;
        sg_pg_close(e->control, part_closed, e);
    }
    for (i = 0; i < e->n_realms; i++) {
        if (e->realms[i]->legacy != NULL) {
            e->close_waits++;
            e->realms[i]->legacy->type->close(e->realms[i]->legacy, part_closed, e);
        }
        if (e->realms[i]->login_desk != NULL) {
            e->close_waits++;
            login_desk_close(e->realms[i], part_closed, e);
        }
        if (e->realms[i]->identity != NULL) {
            e->close_waits++;
            e->realms[i]->identity->type->close(e->realms[i]->identity, part_closed, e);
        }
    }
    if (e->work != NULL) {
        e->close_waits++;
        sg_work_close(e->work, part_closed, e);
    }
    if (e->shards != NULL) {
        e->close_waits++;
        sg_shards_close(e->shards, part_closed, e);
    }
    uv_close((uv_handle_t *)&e->tick, timer_closed);
}

void
sg_engine_close(struct sg_engine *e, void (*closed)(void *ctx), void *ctx)
{
    if (e == NULL)
        return;
    e->closing = true;
    e->closed = closed;
    e->closed_ctx = ctx;
    if (uv_is_active((uv_handle_t *)&e->tick))
        control_leave(e);
    else
        close_parts(e); /* opening failed half-way */
}

int
sg_engine_open(uv_loop_t *loop, const struct sg_clock *clock,
               const struct sg_engine_options *options, struct sg_engine **out, struct sg_err *err)
{
    const struct sg_config *c = options->config;
    struct sg_shards_options shards = {.conninfos = c->shards,
                                       .n = c->n_shards,
                                       .connections = c->connections,
                                       .max_queued = 4096};
    struct sg_engine *e = calloc(1, sizeof *e);
    int i;

    if (e == NULL)
        return sg_fail(err, SG_E_INTERNAL, "engine", "out of memory");
    e->loop = loop;
    e->clock = clock;
    e->options = *options;
    uv_timer_init(loop, &e->tick);
    e->tick.data = e;
    if (options->workers != NULL && sg_work_open(options->workers, loop, &e->work, err) != 0)
        goto fail;
    if (sg_shards_open(loop, clock, &shards, &e->shards, err) != 0 ||
        sg_store_new(loop, clock, e->shards, &e->store, err) != 0)
        goto fail;
    for (i = 0; i < c->n_realms; i++)
        if (open_realm(e, &c->realms[i], err) != 0)
            goto fail;
    if (control_start(e, err) != 0 || feed_start(e, err) != 0)
        goto fail;
    uv_timer_start(&e->tick, on_tick, TICK_MS, TICK_MS);
    *out = e;
    return 0;
fail:
    sg_engine_close(e, NULL, NULL);
    return -1;
}

bool
realm_is_known(const struct sg_realm *r)
{
    return r->policy.version > 0 && r->engine->map_read && !r->foreign_root;
}

bool
sg_engine_ready(const struct sg_engine *e, const char **why)
{
    int i;

    for (i = 0; i < e->n_realms; i++) {
        const struct sg_realm *r = e->realms[i];

        if (!realm_is_known(r) && !r->foreign_root) {
            *why = "no policy or bucket map read yet: is the control database up, and was `segue "
                   "init` run?";
            return false;
        }
        if ((*why = held_keys_missing(r)) != NULL)
            return false;
    }
    if (!e->schema_ok) {
        *why =
            e->schema_why[0] != '\0' ? e->schema_why : "the shards' schemas were not checked yet";
        return false;
    }
    for (i = 0; i < e->options.config->n_shards; i++)
        if (e->feeds[i].good_ns == 0) {
            *why = "a shard's feed was never read: is the shard up, and was `segue init` run?";
            return false;
        }
    return true;
}

struct sg_realm *
sg_engine_realm(struct sg_engine *e, struct sg_slice name)
{
    int i;

    if (name.len == 0)
        return e->realms[0];
    for (i = 0; i < e->n_realms; i++)
        if (sg_slice_eq(sg_str(e->realms[i]->config->name), name))
            return e->realms[i];
    return NULL;
}

const struct sg_realm_config *
sg_realm_config(const struct sg_realm *r)
{
    return r->config;
}

int
sg_engine_realms(const struct sg_engine *e)
{
    return e->n_realms;
}

struct sg_realm *
sg_engine_realm_at(struct sg_engine *e, int i)
{
    return e->realms[i];
}

const struct sg_policy *
sg_realm_policy(const struct sg_realm *r)
{
    return &r->policy;
}

bool
sg_realm_lease(const struct sg_realm *r)
{
    uint64_t good = r->engine->control_good_ns;

    return good != 0 && sg_mono_ns(r->engine->clock) - good < LEASE_MS * SG_NS_PER_MS;
}

struct segue_keyset *
sg_realm_keys(struct sg_realm *r)
{
    return r->keys;
}

const struct sg_counters *
sg_realm_counters(const struct sg_realm *r)
{
    return &r->counters;
}
