/* SPDX-License-Identifier: MIT */
#include "transfer/bridge.h"

#include "keys/digest.h"

#include <stdio.h>
#include <stdlib.h>

#define CONNECT_TIMEOUT_MS 2000
#define MAX_QUEUED 2048

struct opened {
    struct sg_bridge pub;
    bool silent[SG_SHARDS_MAX];
    int open; /* parts that are not closed yet */
    void (*closed)(void *ctx);
    void *ctx;
};

static int
open_legacy(struct sg_bridge *b, struct sg_err *err)
{
    const struct sg_realm_config *r = b->config;
    const struct sg_legacy_store_type *type = sg_legacy_store_find(r->legacy.store);
    const struct sg_legacy_store_options options = {
        .url = r->legacy.url,
        .realm = r->name,
        .key_prefix = r->legacy.key_prefix,
        .psync = r->legacy.psync,
        .timeout_ms = CONNECT_TIMEOUT_MS,
    };

    b->codec = sg_codec_find(r->legacy.codec);
    if (type == NULL)
        return sg_fail(err, SG_E_INVALID, r->name, "there is no legacy store type '%s'",
                       r->legacy.store);
    if (b->codec == NULL)
        return sg_fail(err, SG_E_INVALID, r->name, "there is no codec '%s'", r->legacy.codec);
    b->codec_config = (struct sg_codec_config){
        .secrets = r->legacy.secrets,
        .key_prefix = r->legacy.key_prefix,
        .cookie_name = r->legacy.cookie,
        .default_idle_ms = r->legacy.default_idle_ms,
        .subject_path = r->legacy.subject_path,
    };
    return type->open(b->loop, b->clock, &options, &b->legacy, err);
}

static int
open_databases(struct sg_bridge *b, const struct sg_config *config, struct sg_err *err)
{
    const struct sg_shards_options shards = {
        .conninfos = config->shards,
        .n = config->n_shards,
        .connections = config->connections,
        .max_queued = MAX_QUEUED,
    };
    const struct sg_pg_options control = {
        .conninfo = config->control,
        .name = "control database",
        .connections = 1,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .max_queued = MAX_QUEUED,
    };

    if (sg_pg_open(b->loop, b->clock, &control, &b->control, err) != 0 ||
        sg_shards_open(b->loop, b->clock, &shards, &b->shards, err) != 0)
        return -1;
    return sg_store_new(b->loop, b->clock, b->shards, &b->store, err);
}

int
sg_bridge_open(const struct sg_bridge_options *options, struct sg_bridge **out, struct sg_err *err)
{
    struct opened *o = calloc(1, sizeof *o);
    struct sg_bridge *b;

    if (o == NULL)
        return sg_fail(err, SG_E_INTERNAL, options->realm->name, "out of memory");
    b = &o->pub;
    b->silent = o->silent;
    b->loop = options->loop;
    b->clock = options->clock;
    b->all = options->config;
    b->config = options->realm;
    b->realm = options->realm->name;
    b->ring = options->ring;
    if (b->ring != NULL)
        b->realm_key = sg_realm_key(b->ring, b->realm, SG_PURPOSE_DIGEST);
    if (open_legacy(b, err) != 0 ||
        (!options->legacy_only && open_databases(b, options->config, err) != 0)) {
        sg_bridge_close(b, NULL, NULL);
        return -1;
    }
    *out = b;
    return 0;
}

static void
part_closed(void *ctx)
{
    struct opened *o = ctx;

    if (--o->open > 0)
        return;
    sg_store_free(o->pub.store);
    if (o->closed != NULL)
        o->closed(o->ctx);
    free(o);
}

void
sg_bridge_close(struct sg_bridge *b, void (*closed)(void *ctx), void *ctx)
{
    struct opened *o = sg_container_of(b, struct opened, pub);

    o->closed = closed;
    o->ctx = ctx;
    o->open = 1;
    if (b->legacy != NULL) {
        o->open++;
        b->legacy->type->close(b->legacy, part_closed, o);
    }
    if (b->shards != NULL) {
        o->open++;
        sg_shards_close(b->shards, part_closed, o);
    }
    if (b->control != NULL) {
        o->open++;
        sg_pg_close(b->control, part_closed, o);
    }
    part_closed(o);
}

int
sg_bridge_bucket_of_digest(const struct sg_bridge *b, const uint8_t *digest)
{
    return (int)sg_bucket(sg_str(b->realm), sg_slice((const char *)digest, SG_DIGEST_BYTES));
}

int
sg_bridge_shard_of_digest(const struct sg_bridge *b, const uint8_t *digest)
{
    return sg_shard_of_bucket(b->shards, sg_bridge_bucket_of_digest(b, digest));
}

int
sg_bridge_session_bucket(const struct sg_bridge *b, const char *subject, const uint8_t *digest)
{
    return subject[0] != '\0' ? (int)sg_bucket(sg_str(b->realm), sg_str(subject))
                              : sg_bridge_bucket_of_digest(b, digest);
}

bool
sg_bridge_is_silent(const struct sg_bridge *b, int shard, struct sg_err *err)
{
    char place[24];

    if (!b->silent[shard])
        return false;
    snprintf(place, sizeof place, "shard %d", shard);
    sg_fail(err, SG_E_UNAVAILABLE, place, "it does not answer its heartbeats");
    return true;
}

uint64_t
sg_bridge_deadline(const struct sg_bridge *b, int64_t timeout_ms)
{
    return sg_mono_ns(b->clock) + (uint64_t)timeout_ms * SG_NS_PER_MS;
}
