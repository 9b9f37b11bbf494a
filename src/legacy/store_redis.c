/* SPDX-License-Identifier: MIT */
/* Sessions kept as strings in Redis 7 or later (PEXPIRE … GT). Every request is one MULTI that also
 * reads the sentinel, so that what it tells about a key is proven in the same step. */
#include "legacy/store_redis.h"

#include "legacy/stores.h"

#include <hiredis/hiredis.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_QUEUED 8192
#define SENTINEL_MAX (sizeof((struct sg_legacy_proof *)0)->sentinel - 1)

/* One submitted request. */
struct op {
    struct sg_redis_batch batch;
    struct sg_legacy_request *request;
    struct sg_redis_store *store;
    char number[24]; /* an argument of a command, until submit copied it */
};

/* ---- commands and replies, shared ---- */

void
sg_redis_store_add(struct sg_redis_batch *batch, const char *words, const struct sg_slice *slices)
{
    struct sg_redis_command *c = &batch->commands[batch->n_commands++];

    for (;;) {
        size_t n = strcspn(words, " ");

        c->args[c->n_args++] = n == 1 && *words == '%' ? *slices++ : sg_slice(words, n);
        if (words[n] == '\0')
            break;
        words += n + 1;
    }
}

void
sg_redis_store_add_sentinel(const struct sg_redis_store *store, struct sg_redis_batch *batch)
{
    struct sg_slice key = sg_str(store->sentinel);

    /* GETRANGE, so that a foreign value of any size costs nothing; one byte more than fits. */
    sg_redis_store_add(batch, "GETRANGE % 0 63", &key);
}

void
sg_redis_store_proof(const struct sg_redis_store *store, const struct sg_redis_batch *batch,
                     const struct redisReply *sentinel, struct sg_legacy_proof *proof)
{
    memset(proof, 0, sizeof *proof);
    proof->generation = batch->generation;
    /* A later connection's run id says nothing about who gave this answer. */
    if (batch->generation == sg_redis_generation(store->redis))
        snprintf(proof->run_id, sizeof proof->run_id, "%s", sg_redis_run_id(store->redis));
    if (sentinel != NULL && sentinel->type == REDIS_REPLY_STRING && sentinel->len <= SENTINEL_MAX)
        memcpy(proof->sentinel, sentinel->str, sentinel->len);
}

int
sg_redis_store_refused(const struct sg_redis_store *store, const char *command,
                       const struct redisReply *r, struct sg_err *err)
{
    static const char *const passing[] = {"LOADING",    "READONLY", "MASTERDOWN", "CLUSTERDOWN",
                                          "NOREPLICAS", "TRYAGAIN", "BUSY",       "OOM",
                                          "MISCONF",    "MOVED",    "ASK",        NULL};
    enum sg_code code = SG_E_INTERNAL;
    char word[24] = "";
    size_t i;

    if (r == NULL || r->type != REDIS_REPLY_ERROR)
        return sg_fail(err, SG_E_INTERNAL, store->url.name, "unexpected kind of reply to %s",
                       command);
    snprintf(word, sizeof word, "%.*s", (int)strcspn(r->str, " "), r->str);
    for (i = 0; passing[i] != NULL; i++)
        if (strcmp(word, passing[i]) == 0)
            code = SG_E_UNAVAILABLE;
    if (strcmp(word, "NOPERM") == 0 || strcmp(word, "NOAUTH") == 0)
        code = SG_E_DENIED;
    if (strcmp(word, "WRONGTYPE") == 0)
        return sg_fail(err, SG_E_INVALID, store->url.name,
                       "the key holds something that is not a "
                       "string");
    return sg_fail(err, code, store->url.name, "the server refused %s: %s", command, word);
}

void
sg_redis_store_glob(struct sg_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr("*?[]^\\", *text) != NULL)
            sg_buf_puts(out, "\\");
        sg_buf_add(out, sg_slice(text, 1));
    }
}

static bool
is_integer(const struct redisReply *r)
{
    return r != NULL && r->type == REDIS_REPLY_INTEGER;
}

/* ---- one request ---- */

static void
build(struct op *op)
{
    const struct sg_legacy_request *q = op->request;
    const struct sg_redis_store *store = op->store;
    struct sg_redis_batch *b = &op->batch;
    struct sg_slice key = sg_str(q->key), own, values[3];

    switch (q->op) {
    case SG_LEGACY_READ:
        /* GET would drop the connection over one huge value. */
        snprintf(op->number, sizeof op->number, "%d", SG_LEGACY_VALUE_MAX);
        values[0] = key;
        values[1] = sg_str(op->number);
        sg_redis_store_add(b, "GETRANGE % 0 %", values);
        sg_redis_store_add(b, "PTTL %", &key);
        break;
    case SG_LEGACY_TOUCH:
        /* GT never shortens, also not to 0 or less, and leaves a key without TTL alone. */
        snprintf(op->number, sizeof op->number, "%lld", (long long)q->ttl_ms);
        values[0] = key;
        values[1] = sg_str(op->number);
        sg_redis_store_add(b, "EXISTS %", &key);
        sg_redis_store_add(b, "PEXPIRE % % GT", values);
        break;
    case SG_LEGACY_CREATE:
        snprintf(op->number, sizeof op->number, "%lld", (long long)q->ttl_ms);
        values[0] = key;
        values[1] = q->value;
        values[2] = sg_str(op->number);
        sg_redis_store_add(b, "SET % % PX % NX", values);
        break;
    case SG_LEGACY_END:
        sg_redis_store_add(b, "DEL %", &key);
        break;
    case SG_LEGACY_PUT_SENTINEL:
    case SG_LEGACY_HEARTBEAT:
        own = sg_str(q->op == SG_LEGACY_HEARTBEAT ? store->heartbeat : store->sentinel);
        values[0] = own;
        values[1] = q->value;
        sg_redis_store_add(b, "SET % %", values);
        if (q->op == SG_LEGACY_PUT_SENTINEL)
            break;
        sg_redis_store_add(b, "INFO stats", NULL);
        sg_redis_store_add(b, "INFO commandstats", NULL);
        break;
    case SG_LEGACY_PROVE:
        own = sg_str(store->heartbeat);
        sg_redis_store_add(b, "GETRANGE % 0 255", &own);
        sg_redis_store_add(b, "INFO stats", NULL);
        sg_redis_store_add(b, "INFO commandstats", NULL);
        break;
    }
    sg_redis_store_add_sentinel(store, b);
    b->atomic = true;
    b->deadline_ns = q->deadline_ns;
}

static int
take_read(struct op *op)
{
    struct sg_legacy_request *q = op->request;
    const struct redisReply *value = op->batch.replies[0], *ttl = op->batch.replies[1];

    if (value == NULL || value->type != REDIS_REPLY_STRING)
        return sg_redis_store_refused(op->store, "GETRANGE", value, &q->err);
    if (!is_integer(ttl))
        return sg_redis_store_refused(op->store, "PTTL", ttl, &q->err);
    q->found = ttl->integer != -2;
    if (!q->found)
        return 0;
    if (value->len > SG_LEGACY_VALUE_MAX)
        return sg_fail(&q->err, SG_E_INVALID, op->store->url.name,
                       "the record is larger than %d bytes", SG_LEGACY_VALUE_MAX);
    q->read_ttl_ms = ttl->integer;
    q->read_value = SG_BUF_INIT(SG_LEGACY_VALUE_MAX);
    sg_buf_add(&q->read_value, sg_slice(value->str, value->len));
    if (q->read_value.failed)
        return sg_fail(&q->err, SG_E_INTERNAL, op->store->url.name, "no memory for the record");
    return 0;
}

static int
take_touch(struct op *op)
{
    struct sg_legacy_request *q = op->request;
    const struct redisReply *exists = op->batch.replies[0], *set = op->batch.replies[1];

    if (!is_integer(exists))
        return sg_redis_store_refused(op->store, "EXISTS", exists, &q->err);
    if (!is_integer(set))
        return sg_redis_store_refused(op->store, "PEXPIRE … GT (Redis 7)", set, &q->err);
    q->found = exists->integer != 0;
    return 0;
}

static int
take_create(struct op *op)
{
    struct sg_legacy_request *q = op->request;
    const struct redisReply *set = op->batch.replies[0];

    if (set == NULL || (set->type != REDIS_REPLY_STATUS && set->type != REDIS_REPLY_NIL))
        return sg_redis_store_refused(op->store, "SET", set, &q->err);
    q->found = set->type == REDIS_REPLY_NIL;
    return 0;
}

static int
take_end(struct op *op)
{
    const struct redisReply *del = op->batch.replies[0];

    if (!is_integer(del))
        return sg_redis_store_refused(op->store, "DEL", del, &op->request->err);
    op->request->found = del->integer != 0;
    return 0;
}

/* The number behind name, which stands at a line's start in INFO's text; 0 where it is absent (a
 * command never called has no line). */
static int64_t
info_number(const struct redisReply *info, const char *name)
{
    const char *line = info->str;

    while (line != NULL) {
        if (strncmp(line, name, strlen(name)) == 0)
            return strtoll(line + strlen(name), NULL, 10);
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return 0;
}

static int
take_counters(struct op *op)
{
    struct sg_legacy_request *q = op->request;
    int n = op->batch.n_commands; /* the sentinel stands last, the counters before it */
    const struct redisReply *stats = op->batch.replies[n - 3];
    const struct redisReply *commands = op->batch.replies[n - 2];

    if (stats == NULL || stats->type != REDIS_REPLY_STRING)
        return sg_redis_store_refused(op->store, "INFO", stats, &q->err);
    if (commands == NULL || commands->type != REDIS_REPLY_STRING)
        return sg_redis_store_refused(op->store, "INFO", commands, &q->err);
    q->evicted_keys = info_number(stats, "evicted_keys:");
    q->flushes = info_number(commands, "cmdstat_flushall:calls=") +
                 info_number(commands, "cmdstat_flushdb:calls=");
    return 0;
}

static int
take_put(struct op *op)
{
    const struct redisReply *set = op->batch.replies[0];

    if (set == NULL || set->type != REDIS_REPLY_STATUS)
        return sg_redis_store_refused(op->store, "SET", set, &op->request->err);
    return 0;
}

static int
take_heartbeat(struct op *op)
{
    return take_put(op) != 0 ? -1 : take_counters(op);
}

static int
take_prove(struct op *op)
{
    struct sg_legacy_request *q = op->request;
    const struct redisReply *beat = op->batch.replies[0];

    if (take_counters(op) != 0)
        return -1;
    q->found = beat != NULL && beat->type == REDIS_REPLY_STRING && beat->len > 0;
    if (!q->found)
        return 0;
    q->read_value = SG_BUF_INIT(256);
    sg_buf_add(&q->read_value, sg_slice(beat->str, beat->len));
    return 0;
}

static int
take_replies(struct op *op)
{
    switch (op->request->op) {
    case SG_LEGACY_READ:
        return take_read(op);
    case SG_LEGACY_TOUCH:
        return take_touch(op);
    case SG_LEGACY_CREATE:
        return take_create(op);
    case SG_LEGACY_END:
        return take_end(op);
    case SG_LEGACY_PUT_SENTINEL:
        return take_put(op);
    case SG_LEGACY_HEARTBEAT:
        return take_heartbeat(op);
    case SG_LEGACY_PROVE:
        return take_prove(op);
    }
    return sg_fail(&op->request->err, SG_E_INTERNAL, op->store->url.name, "no such operation");
}

static void
op_done(struct sg_redis_batch *batch)
{
    struct op *op = sg_container_of(batch, struct op, batch);
    struct sg_legacy_request *q = op->request;

    q->rc = batch->rc;
    if (q->rc != 0)
        q->err = batch->err;
    else {
        sg_redis_store_proof(op->store, batch, batch->replies[batch->n_commands - 1], &q->proof);
        q->rc = take_replies(op);
    }
    sg_redis_batch_clear(batch);
    free(op);
    q->priv = NULL;
    q->done(q);
}

static void
redis_submit(struct sg_legacy_store *base, struct sg_legacy_request *request)
{
    struct op *op = calloc(1, sizeof *op);

    if (op == NULL)
        abort(); /* no memory for one request: nothing sensible can follow */
    op->store = sg_container_of(base, struct sg_redis_store, base);
    op->request = request;
    op->batch.done = op_done;
    request->priv = op;
    request->rc = 0;
    request->found = false;
    request->read_ttl_ms = 0;
    request->evicted_keys = request->flushes = 0;
    memset(&request->proof, 0, sizeof request->proof);
    build(op);
    sg_redis_submit(op->store->redis, &op->batch);
}

static void
redis_cancel(struct sg_legacy_request *request)
{
    struct op *op = request->priv;

    if (op != NULL)
        sg_redis_cancel(&op->batch);
}

/* ---- open and close ---- */

static int
copy_names(struct sg_redis_store *store, const struct sg_legacy_store_options *options,
           struct sg_err *err)
{
    if (strlen(options->realm) > SG_REDIS_REALM_MAX)
        return sg_fail(err, SG_E_INVALID, "realm", "at most %d bytes are allowed",
                       SG_REDIS_REALM_MAX);
    if (strlen(options->key_prefix) > SG_REDIS_PREFIX_MAX)
        return sg_fail(err, SG_E_INVALID, "key prefix", "at most %d bytes are allowed",
                       SG_REDIS_PREFIX_MAX);
    store->psync = options->psync;
    snprintf(store->realm, sizeof store->realm, "%s", options->realm);
    snprintf(store->prefix, sizeof store->prefix, "%s", options->key_prefix);
    snprintf(store->sentinel, sizeof store->sentinel, SG_REDIS_OWN_KEYS "sentinel:%s",
             store->realm);
    snprintf(store->heartbeat, sizeof store->heartbeat, SG_REDIS_OWN_KEYS "heartbeat:%s",
             store->realm);
    return 0;
}

static void
free_store(struct sg_redis_store *store)
{
    sodium_memzero(&store->url, sizeof store->url);
    free(store);
}

static int
redis_open(uv_loop_t *loop, const struct sg_clock *clock,
           const struct sg_legacy_store_options *options, struct sg_legacy_store **out,
           struct sg_err *err)
{
    struct sg_redis_store *store = calloc(1, sizeof *store);

    if (store == NULL)
        return sg_fail(err, SG_E_INTERNAL, "legacy store", "no memory");
    store->base.type = &sg_legacy_store_redis;
    store->loop = loop;
    store->clock = clock;
    if (copy_names(store, options, err) != 0 ||
        sg_redis_url_parse(options->url, &store->url, err) != 0)
        goto fail;
    if (store->url.tls) {
        sg_fail(err, SG_E_INVALID, store->url.name, "TLS (rediss) is not supported by this store");
        goto fail;
    }
    store->options = (struct sg_redis_options){
        .host = store->url.host,
        .port = store->url.port,
        .user = store->url.user,
        .password = store->url.password,
        .database = store->url.database,
        .name = store->url.name,
        .connect_timeout_ms = options->timeout_ms,
        .max_queued = MAX_QUEUED,
        .max_reply_bytes = SG_REDIS_KEYS_PER_BATCH * (SG_LEGACY_VALUE_MAX + 65536),
    };
    if (sg_redis_open(loop, clock, &store->options, &store->redis, err) != 0)
        goto fail;
    *out = &store->base;
    return 0;
fail:
    free_store(store);
    return -1;
}

static void
on_closed(void *ctx)
{
    struct sg_redis_store *store = ctx;
    void (*closed)(void *) = store->closed;
    void *closed_ctx = store->closed_ctx;

    free_store(store);
    if (closed != NULL)
        closed(closed_ctx);
}

/* Followers are unfollowed, and closed, before. Requests in flight end as cancelled. */
static void
redis_close(struct sg_legacy_store *base, void (*closed)(void *ctx), void *ctx)
{
    struct sg_redis_store *store = sg_container_of(base, struct sg_redis_store, base);

    store->closed = closed;
    store->closed_ctx = ctx;
    sg_redis_close(store->redis, on_closed, store);
}

static bool
redis_is_up(const struct sg_legacy_store *base)
{
    return sg_redis_is_up(sg_container_of(base, const struct sg_redis_store, base)->redis);
}

static int
redis_follow(struct sg_legacy_store *base, const struct sg_legacy_follow_events *events,
             struct sg_legacy_follower **out, struct sg_err *err)
{
    struct sg_redis_store *store = sg_container_of(base, struct sg_redis_store, base);

    return store->psync ? sg_redis_store_follow_psync(store, events, out, err)
                        : sg_redis_store_follow_events(store, events, out, err);
}

static void
redis_unfollow(struct sg_legacy_follower *f, void (*closed)(void *ctx), void *ctx)
{
    f->unfollow(f, closed, ctx);
}

const struct sg_legacy_store_type sg_legacy_store_redis = {
    .name = "redis",
    .open = redis_open,
    .close = redis_close,
    .is_up = redis_is_up,
    .submit = redis_submit,
    .cancel = redis_cancel,
    .scan = sg_redis_store_scan,
    .follow = redis_follow,
    .unfollow = redis_unfollow,
};
