/* SPDX-License-Identifier: MIT */
#include "session/login_desk.h"

#include "password/password.h"

#include <stdlib.h>

#define SAMPLE_EACH_MS 60000
#define SAMPLE_EMPTY_MS 1000 /* credentials may just be coming */
#define RETRY_MS 500
#define MAX_QUEUED 1000

const struct decoy *
login_decoy(const struct login_desk *desk, const struct sg_hash *login)
{
    uint32_t at = (uint32_t)login->b[2] << 8 | login->b[3]; /* the first bits chose the bucket */

    return desk->n_decoys > 0 ? &desk->decoys[at * (uint32_t)desk->n_decoys >> 16] : NULL;
}

static int
compare(const void *x, const void *y)
{
    return strcmp(((const struct decoy *)x)->text, ((const struct decoy *)y)->text);
}

static void
sample_over(struct login_desk *d, int rc, const struct sg_err *err)
{
    struct sg_engine *e = d->realm->engine;

    d->sampling = false;
    e->open_ops--;
    d->due_ns = engine_deadline(e, rc != 0           ? RETRY_MS
                                   : d->n_fresh == 0 ? SAMPLE_EMPTY_MS
                                                     : SAMPLE_EACH_MS);
    if (rc != 0) {
        if (err->code == SG_E_INVALID) /* the operator's statement: a store that is down shows */
            engine_event(e, true, "no sample of the password hashes could be read", err);
        free(d->fresh);
    } else {
        qsort(d->fresh, (size_t)d->n_fresh, sizeof *d->fresh, compare);
        free(d->decoys);
        d->decoys = d->fresh;
        d->n_decoys = d->n_fresh;
        d->sampled = true;
    }
    d->fresh = NULL;
    d->n_fresh = 0;
}

static void
add(struct login_desk *d, struct sg_slice decoy, struct sg_slice subject)
{
    struct decoy *to = &d->fresh[d->n_fresh];

    if (d->n_fresh == DECOYS_MAX || decoy.len >= sizeof to->text ||
        subject.len >= sizeof to->subject)
        return;
    memcpy(to->text, decoy.ptr, decoy.len);
    memcpy(to->subject, subject.ptr, subject.len);
    d->n_fresh++;
}

static void
from_table(void *ctx, struct sg_slice decoy, struct sg_slice subject)
{
    add(ctx, decoy, subject);
}

static void
table_read(void *ctx, int rc, const struct sg_err *err)
{
    struct login_desk *d = ctx;
    struct sg_engine *e = d->realm->engine;
    int n = e->options.config->n_shards;

    if (rc != 0 || ++d->read.shard == n) {
        sample_over(d, rc, err);
        return;
    }
    sg_store_read_decoys(e->store, &d->read, engine_deadline(e, OP_TIMEOUT_MS), table_read, d);
}

static void
from_source(struct sg_logins_request *ask, struct sg_slice subject, struct sg_slice text)
{
    struct login_desk *d = sg_container_of(ask, struct login_desk, ask);
    struct sg_password_hash hash;

    if (sg_password_parse(text, &hash, NULL) == 0)
        add(d, sg_str(hash.decoy), subject);
    explicit_bzero(&hash, sizeof hash);
}

static void
source_read(struct sg_logins_request *ask, int rc, const struct sg_err *err)
{
    sample_over(sg_container_of(ask, struct login_desk, ask), rc, err);
}

void
login_desk_tick(struct sg_realm *r)
{
    struct login_desk *d = r->login_desk;
    struct sg_engine *e = r->engine;
    int n = e->options.config->n_shards;
    uint8_t random[2];

    if (d->sampling || sg_mono_ns(e->clock) < d->due_ns || !e->schema_ok)
        return;
    d->fresh = calloc(DECOYS_MAX, sizeof *d->fresh);
    if (d->fresh == NULL)
        return;
    d->sampling = true;
    e->open_ops++;
    if (d->source != NULL) {
        d->ask = (struct sg_logins_request){.deadline_ns = engine_deadline(e, OP_TIMEOUT_MS),
                                            .row = from_source,
                                            .done = source_read};
        sg_logins_ask(d->source, &d->ask);
        return;
    }
    sg_random(random, sizeof random);
    d->read = (struct sg_decoys_read){.realm = r->config->name,
                                      .from_bucket = (random[0] << 8 | random[1]) % SG_BUCKETS,
                                      .limit = (DECOYS_MAX + n - 1) / n,
                                      .decoy = from_table,
                                      .ctx = d};
    sg_store_read_decoys(e->store, &d->read, engine_deadline(e, OP_TIMEOUT_MS), table_read, d);
}

int
login_desk_open(struct sg_realm *r, struct sg_err *err)
{
    const struct sg_logins_options options = {.conninfo = r->config->login.url,
                                              .lookup_sql = r->config->login.lookup,
                                              .sample_sql = r->config->login.sample,
                                              .timeout_ms = OP_TIMEOUT_MS,
                                              .max_queued = MAX_QUEUED};
    struct login_desk *d = calloc(1, sizeof *d);

    if (d == NULL)
        return sg_fail(err, SG_E_INTERNAL, r->config->name, "out of memory");
    d->realm = r;
    r->login_desk = d;
    return r->config->login.url != NULL
               ? sg_logins_open(r->engine->loop, r->engine->clock, &options, &d->source, err)
               : 0;
}

void
login_desk_close(struct sg_realm *r, void (*closed)(void *ctx), void *ctx)
{
    if (r->login_desk->source != NULL)
        sg_logins_close(r->login_desk->source, closed, ctx);
    else
        closed(ctx);
}

void
login_desk_free(struct sg_realm *r)
{
    if (r->login_desk == NULL)
        return;
    free(r->login_desk->decoys);
    free(r->login_desk->fresh);
    free(r->login_desk);
}
