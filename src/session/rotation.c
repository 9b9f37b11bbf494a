/* SPDX-License-Identifier: MIT */
#include "session/rotation.h"

#include "base/fault.h"
#include "keys/signing.h"
#include "session/engine_internal.h"

#include <stdlib.h>

#define MAX_AGE_SEC 300
/* Until every instance has heard of a change and signs with the new key. */
#define HEARD_MS (LEASE_MS + 1000)
#define DAY_MS INT64_C(86400000)
#define SILENT_LEAST_MS 10000

static const struct sg_pg_stmt ask_due = {
    .name = "keys_due",
    .sql =
        "SELECT realm, alg FROM jsonb_to_recordset($1::jsonb) AS u (realm text, alg text, "
        "rotate bigint, times jsonb) WHERE segue_control.keys_due(realm, alg, rotate, times, $2)",
    .n_params = 2,
};
static const struct sg_pg_stmt add_key = {
    .name = "key_add",
    .sql = "SELECT segue_control.key_add($1, $2, $3, $4::jsonb, $5::bytea, $6, false, $7, "
           "'schedule')",
    .n_params = 7,
    .binary_mask = 1u << 4,
};

/* One turn of the schedule: ask, and where a key is wanted make it in another thread (RSA takes a
 * second) and add it. */
struct rotation {
    struct sg_engine *engine;
    struct sg_pg_batch batch;
    uv_work_t work;
    const struct sg_realm_config *realm;
    char alg[16], actor[96];
    struct sg_new_key key;
    int rc;
    struct sg_err err;
};

int64_t
sg_jwks_max_age_sec(const struct sg_realm_config *realm)
{
    int64_t half = realm->keys.publish_ahead_ms / 2000;

    return half < MAX_AGE_SEC ? half : MAX_AGE_SEC;
}

void
sg_key_times(const struct sg_config *config, const struct sg_realm_config *realm,
             char out[SG_KEY_TIMES_BYTES])
{
    int64_t silent = (int64_t)((double)DAY_MS * config->time_scale);

    snprintf(out, SG_KEY_TIMES_BYTES,
             "{\"publish\":%lld,\"cache\":%lld,\"token\":%lld,\"renew\":%lld,\"silent\":%lld}",
             (long long)realm->keys.publish_ahead_ms, (long long)sg_jwks_max_age_sec(realm) * 1000,
             (long long)(realm->token.lifetime_ms + realm->token.leeway_ms + HEARD_MS),
             (long long)realm->session_absolute_ms,
             (long long)(silent > SILENT_LEAST_MS ? silent : SILENT_LEAST_MS));
}

static void
finish(struct rotation *t)
{
    struct sg_engine *e = t->engine;

    sg_pg_batch_clear(&t->batch);
    sg_new_key_clear(&t->key);
    free(t);
    e->rotating = false;
    e->open_ops--;
}

static void
submit(struct rotation *t, void (*done)(struct sg_pg_batch *batch))
{
    t->batch.n_calls = 1;
    t->batch.deadline_ns = engine_deadline(t->engine, OP_TIMEOUT_MS);
    t->batch.done = done;
    sg_pg_submit(t->engine->control, &t->batch);
}

static void
added(struct sg_pg_batch *b)
{
    struct rotation *t = sg_container_of(b, struct rotation, batch);

    /* SG002: another instance has just added one. A control database that is down shows elsewhere.
     */
    if (b->rc != 0 && strcmp(b->sqlstate, "SG002") != 0)
        engine_event(t->engine, true, "a new signing key could not be stored; tried again",
                     &b->err);
    else if (b->rc == 0)
        engine_event(t->engine, false, "a new signing key was made", NULL);
    finish(t);
}

static void
generate(uv_work_t *work)
{
    struct rotation *t = sg_container_of(work, struct rotation, work);

    t->rc = sg_new_key_make(t->engine->options.ring, t->realm->name, t->alg, &t->key, &t->err);
}

static void
generated(uv_work_t *work, int status)
{
    struct rotation *t = sg_container_of(work, struct rotation, work);

    if (status != 0 || t->rc != 0) {
        engine_event(t->engine, true, "no new signing key could be made; tried again", &t->err);
        finish(t);
        return;
    }
    sg_fault("keys.before_add");
    t->batch = (struct sg_pg_batch){
        .calls[0] = {.stmt = &add_key,
                     .params = {sg_str(t->realm->name), sg_str(t->key.kid), sg_str(t->alg),
                                t->key.public_jwk[0] != '\0' ? sg_str(t->key.public_jwk)
                                                             : (struct sg_slice){0},
                                sg_buf_slice(&t->key.sealed),
                                sg_str(sg_keyring_sealing_id(t->engine->options.ring)),
                                sg_str(t->actor)}}};
    submit(t, added);
}

static void
asked(struct sg_pg_batch *b)
{
    struct rotation *t = sg_container_of(b, struct rotation, batch);
    struct sg_slice name, alg;

    if (b->rc != 0 && b->err.code != SG_E_UNAVAILABLE && b->err.code != SG_E_TIMEOUT)
        engine_event(t->engine, true, "the keys' schedule failed", &b->err);
    if (b->rc != 0 || sg_pg_rows(b, 0) == 0 || t->engine->closing) {
        finish(t);
        return;
    }
    /* One key a turn; the next realm's comes with the next. */
    name = sg_pg_value(b, 0, 0, 0);
    alg = sg_pg_value(b, 0, 0, 1);
    t->realm = sg_realm_config(sg_engine_realm(t->engine, name));
    snprintf(t->alg, sizeof t->alg, "%.*s", (int)alg.len, alg.ptr);
    sg_pg_batch_clear(b);
    if (uv_queue_work(t->engine->loop, &t->work, generate, generated) != 0)
        finish(t);
}

void
rotation_tick(struct sg_engine *e)
{
    struct sg_buf realms = SG_BUF_INIT(SG_REALMS_MAX * 512);
    struct rotation *t;
    int i;

    if (e->rotating || (t = calloc(1, sizeof *t)) == NULL)
        return;
    t->engine = e;
    snprintf(t->actor, sizeof t->actor, "schedule of %.64s", e->options.instance);
    for (i = 0; i < e->n_realms; i++) {
        const struct sg_realm_config *c = e->realms[i]->config;
        char times[SG_KEY_TIMES_BYTES];

        if (e->realms[i]->foreign_root)
            continue; /* what it sealed could be opened by nobody else */
        sg_key_times(e->options.config, c, times);
        sg_buf_printf(&realms, "%c{\"realm\":\"%s\",\"alg\":\"%s\",\"rotate\":%lld,\"times\":%s}",
                      realms.len == 0 ? '[' : ',', c->name, c->token.alg,
                      (long long)c->keys.rotate_every_ms, times);
    }
    sg_buf_puts(&realms, realms.len == 0 ? "[]" : "]");
    t->batch.calls[0] =
        (struct sg_pg_call){.stmt = &ask_due, .params = {sg_buf_slice(&realms), sg_str(t->actor)}};
    e->rotating = true;
    e->open_ops++;
    submit(t, asked);
    sg_buf_free(&realms);
}
