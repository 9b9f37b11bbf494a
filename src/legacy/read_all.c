/* SPDX-License-Identifier: MIT */
#include "legacy/read_all.h"

#include "base/clock.h"
#include "legacy/store_redis.h"
#include "redis/resp.h"
#include "redis/wire.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE_KEYS 1000
#define PAGE_KEYS_MAX 16384 /* a page may be larger than was asked for */
#define GROUP_KEYS 64       /* of one MGET: its values are in memory together */
#define REPLY_BYTES_MAX (32 << 20)
#define PAGE_BYTES_MAX (64 << 20)
#define WAIT_MS 10000
#define READ_BYTES 262144
#define SEEN_MAX 12000000

struct sg_read_batch {
    redisReply *keys; /* the page */
    redisReply **values;
    struct sg_legacy_item *items;
    int n, n_values;
    size_t bytes;
    uint64_t asked_ns;
};

/* The hashes of the keys that were read; open addressing, 0 = free. */
struct seen {
    uint64_t *slots;
    size_t mask, n;
    unsigned char key[crypto_shorthash_KEYBYTES];
};

struct reader {
    const struct sg_read_all *options;
    struct sg_redis_url url;
    struct sg_wire *wire;
    struct sg_redis_reader replies;
    struct sg_buf out, pattern;
    struct seen seen;
    char *input;
};

void
sg_read_batch_free(struct sg_read_batch *b)
{
    int i;

    if (b == NULL)
        return;
    for (i = 0; i < b->n_values; i++)
        freeReplyObject(b->values[i]);
    freeReplyObject(b->keys);
    free(b->values);
    free(b->items);
    free(b);
}

const struct sg_legacy_item *
sg_read_batch_items(const struct sg_read_batch *b, int *n)
{
    *n = b->n;
    return b->items;
}

uint64_t
sg_read_batch_asked_ns(const struct sg_read_batch *b)
{
    return b->asked_ns;
}

/* ---- keys that were read ---- */

static int
no_memory(struct sg_err *err)
{
    return sg_fail(err, SG_E_INTERNAL, "legacy store", "out of memory");
}

static int
seen_grow(struct seen *s, struct sg_err *err)
{
    size_t size = s->slots == NULL ? 1 << 16 : (s->mask + 1) * 2, i, at;
    uint64_t *slots = calloc(size, sizeof *slots);

    if (slots == NULL)
        return no_memory(err);
    for (i = 0; s->slots != NULL && i <= s->mask; i++) {
        if (s->slots[i] == 0)
            continue;
        for (at = s->slots[i] & (size - 1); slots[at] != 0; at = (at + 1) & (size - 1))
            ;
        slots[at] = s->slots[i];
    }
    free(s->slots);
    s->slots = slots;
    s->mask = size - 1;
    return 0;
}

/* 1: new; 0: it was there. */
static int
seen_add(struct seen *s, struct sg_slice key, struct sg_err *err)
{
    uint64_t h;
    size_t at;

    if (s->n >= SEEN_MAX)
        return sg_fail(err, SG_E_LIMIT, "legacy store",
                       "more than %d records: too many to be loaded in bulk", SEEN_MAX);
    if ((s->slots == NULL || s->n >= (s->mask + 1) / 4 * 3) && seen_grow(s, err) != 0)
        return -1;
    crypto_shorthash((unsigned char *)&h, (const unsigned char *)key.ptr, key.len, s->key);
    h = h != 0 ? h : 1;
    for (at = h & s->mask; s->slots[at] != 0; at = (at + 1) & s->mask)
        if (s->slots[at] == h)
            return 0;
    s->slots[at] = h;
    s->n++;
    return 1;
}

/* ---- the connection ---- */

static int
next_reply(struct reader *r, redisReply **out, struct sg_err *err)
{
    int64_t n;

    *out = NULL;
    for (;;) {
        if (sg_redis_reader_next(&r->replies, out, err) != 0)
            return -1;
        if (*out != NULL)
            return 0;
        n = sg_wire_read(r->wire, r->input, READ_BYTES, WAIT_MS, err);
        if (n < 0)
            return -1;
        if (n == 0)
            return sg_fail(err, SG_E_TIMEOUT, r->url.name, "no answer for %d s", WAIT_MS / 1000);
        if (sg_redis_reader_feed(&r->replies, r->input, (size_t)n, err) != 0)
            return -1;
    }
}

/* Error replies may quote arguments: only their first word is told. */
static int
expected(struct reader *r, const redisReply *reply, int type, const char *what, struct sg_err *err)
{
    if (reply->type == type)
        return 0;
    if (reply->type == REDIS_REPLY_ERROR)
        return sg_fail(err, SG_E_UNAVAILABLE, r->url.name, "the server refused %s: %.*s", what,
                       (int)strcspn(reply->str, " "), reply->str);
    return sg_fail(err, SG_E_INTERNAL, r->url.name, "unexpected kind of reply to %s", what);
}

static int
flush(struct reader *r, struct sg_err *err)
{
    int rc;

    if (r->out.failed)
        return no_memory(err);
    rc = sg_wire_write(r->wire, sg_buf_slice(&r->out), err);
    sg_buf_reset(&r->out);
    return rc;
}

static int
say(struct reader *r, const struct sg_slice *args, int n, struct sg_err *err)
{
    redisReply *reply;
    int rc;

    sg_redis_encode(&r->out, args, n);
    if (flush(r, err) != 0 || next_reply(r, &reply, err) != 0)
        return -1;
    rc = expected(r, reply, REDIS_REPLY_STATUS, "the greeting", err);
    freeReplyObject(reply);
    return rc;
}

static int
greet(struct reader *r, struct sg_err *err)
{
    const struct sg_slice auth[] = {sg_str("AUTH"), sg_str(r->url.user), sg_str(r->url.password)};
    const struct sg_slice auth_default[] = {sg_str("AUTH"), sg_str(r->url.password)};
    struct sg_slice select_db[] = {sg_str("SELECT"), {0}};
    char database[16];

    if (r->url.user[0] != '\0' && say(r, auth, 3, err) != 0)
        return -1;
    if (r->url.user[0] == '\0' && r->url.password[0] != '\0' && say(r, auth_default, 2, err) != 0)
        return -1;
    snprintf(database, sizeof database, "%d", r->url.database);
    select_db[1] = sg_str(database);
    return say(r, select_db, 2, err);
}

/* ---- asking ---- */

static void
ask_page(struct reader *r, const char *cursor)
{
    char count[16];
    struct sg_slice args[] = {sg_str("SCAN"),  sg_str(cursor),
                              sg_str("MATCH"), sg_buf_slice(&r->pattern),
                              sg_str("COUNT"), {count, 0}};

    snprintf(count, sizeof count, "%d", PAGE_KEYS);
    args[5] = sg_str(count);
    sg_redis_encode(&r->out, args, 6);
}

/* The values of some keys of a page, then how long each has to live. */
static void
ask_group(struct reader *r, const struct sg_legacy_item *items, int n)
{
    struct sg_slice args[GROUP_KEYS + 1] = {sg_str("MGET")}, pttl[2] = {sg_str("PTTL"), {0}};
    int i;

    for (i = 0; i < n; i++)
        args[i + 1] = items[i].key;
    sg_redis_encode(&r->out, args, n + 1);
    for (i = 0; i < n; i++) {
        pttl[1] = items[i].key;
        sg_redis_encode(&r->out, pttl, 2);
    }
}

/* ---- a page ---- */

/* The keys that are new. */
static int
take_keys(struct reader *r, struct sg_read_batch *b, struct sg_err *err)
{
    const redisReply *keys = b->keys->element[1];
    const char *prefix = r->options->store->key_prefix;
    size_t i;
    int fresh;

    b->items = calloc(keys->elements + 1, sizeof *b->items);
    b->values = calloc(keys->elements / GROUP_KEYS + 1, sizeof(redisReply *));
    if (b->items == NULL || b->values == NULL)
        return no_memory(err);
    for (i = 0; i < keys->elements; i++) {
        struct sg_slice key = {keys->element[i]->str, keys->element[i]->len};

        if (!sg_slice_starts(key, prefix) || sg_slice_starts(key, SG_REDIS_OWN_KEYS))
            continue;
        fresh = seen_add(&r->seen, key, err);
        if (fresh < 0)
            return -1;
        if (fresh > 0)
            b->items[b->n++].key = key;
    }
    return 0;
}

static int
take_group(struct reader *r, struct sg_read_batch *b, int first, int n, struct sg_err *err)
{
    redisReply *values, *left;
    int i;

    if (next_reply(r, &values, err) != 0)
        return -1;
    b->values[b->n_values++] = values;
    if (expected(r, values, REDIS_REPLY_ARRAY, "MGET", err) != 0)
        return -1;
    if (values->elements != (size_t)n)
        return sg_fail(err, SG_E_INTERNAL, r->url.name, "MGET answered with another number");
    for (i = 0; i < n; i++) {
        struct sg_legacy_item *item = &b->items[first + i];

        if (next_reply(r, &left, err) != 0)
            return -1;
        item->ttl_ms = left->type == REDIS_REPLY_INTEGER ? left->integer : -2;
        freeReplyObject(left);
        if (values->element[i]->type == REDIS_REPLY_STRING) {
            item->value = sg_slice(values->element[i]->str, values->element[i]->len);
            b->bytes += item->value.len;
        } else {
            item->wrong_type = item->ttl_ms >= -1; /* there, and not a string */
        }
    }
    if (b->bytes > PAGE_BYTES_MAX)
        return sg_fail(err, SG_E_LIMIT, r->url.name,
                       "values too large to be loaded in bulk: more than %d MiB in one page",
                       PAGE_BYTES_MAX >> 20);
    return 0;
}

/* Leaves out what was gone when its value was asked for. */
static void
drop_gone(struct sg_read_batch *b)
{
    int i, n = 0;

    for (i = 0; i < b->n; i++)
        if (b->items[i].ttl_ms >= -1 && (b->items[i].value.ptr != NULL || b->items[i].wrong_type))
            b->items[n++] = b->items[i];
    b->n = n;
}

/* Reads what a page's keys hold, with the next page already asked for; hands the batch on. */
static int
read_page(struct reader *r, struct sg_read_batch *b, const char *next, struct sg_err *err)
{
    int first, n;

    if (take_keys(r, b, err) != 0)
        return -1;
    for (first = 0; first < b->n; first += n) {
        n = b->n - first < GROUP_KEYS ? b->n - first : GROUP_KEYS;
        ask_group(r, &b->items[first], n);
    }
    if (strcmp(next, "0") != 0)
        ask_page(r, next);
    b->asked_ns = sg_mono_ns(sg_clock_system());
    if (flush(r, err) != 0)
        return -1;
    for (first = 0; first < b->n; first += n) {
        n = b->n - first < GROUP_KEYS ? b->n - first : GROUP_KEYS;
        if (take_group(r, b, first, n, err) != 0)
            return -1;
    }
    drop_gone(b);
    return 0;
}

/* The reply to SCAN; its cursor into next[32]. */
static int
take_page(struct reader *r, struct sg_read_batch *b, char next[32], struct sg_err *err)
{
    const redisReply *p;

    if (next_reply(r, &b->keys, err) != 0 ||
        expected(r, b->keys, REDIS_REPLY_ARRAY, "SCAN", err) != 0)
        return -1;
    p = b->keys;
    if (p->elements != 2 || p->element[0]->type != REDIS_REPLY_STRING || p->element[0]->len >= 32 ||
        p->element[1]->type != REDIS_REPLY_ARRAY || p->element[1]->elements > PAGE_KEYS_MAX)
        return sg_fail(err, SG_E_INTERNAL, r->url.name, "unexpected kind of reply to SCAN");
    snprintf(next, 32, "%s", p->element[0]->str);
    return 0;
}

static int
read_pages(struct reader *r, struct sg_err *err)
{
    struct sg_read_batch *b;
    char next[32] = "0";

    ask_page(r, "0");
    if (flush(r, err) != 0)
        return -1;
    do {
        b = calloc(1, sizeof *b);
        if (b == NULL)
            return no_memory(err);
        if (take_page(r, b, next, err) != 0 || read_page(r, b, next, err) != 0) {
            sg_read_batch_free(b);
            return -1;
        }
        if (r->options->take(r->options->ctx, b, err) != 0)
            return -1;
    } while (strcmp(next, "0") != 0);
    return 0;
}

/* ---- the whole ---- */

static int
open_reader(struct reader *r, struct sg_err *err)
{
    const struct sg_legacy_store_options *o = r->options->store;
    const struct sg_wire_options wire = {.host = r->url.host,
                                         .port = r->url.port,
                                         .tls = r->url.tls,
                                         .name = r->url.name,
                                         .timeout_ms = o->timeout_ms,
                                         .stop = r->options->stop};

    sg_redis_store_glob(&r->pattern, o->key_prefix);
    sg_buf_puts(&r->pattern, "*");
    r->input = malloc(READ_BYTES);
    if (r->pattern.failed || r->input == NULL)
        return no_memory(err);
    if (sg_redis_reader_init(&r->replies, REPLY_BYTES_MAX, err) != 0)
        return -1;
    return sg_wire_open(&wire, &r->wire, err) != 0 ? -1 : greet(r, err);
}

int
sg_redis_read_all(const struct sg_read_all *options, struct sg_err *err)
{
    struct reader r = {
        .options = options, .out = SG_BUF_INIT(64 << 20), .pattern = SG_BUF_INIT(1024)};
    int rc;

    if (sg_redis_url_parse(options->store->url, &r.url, err) != 0)
        return -1;
    randombytes_buf(r.seen.key, sizeof r.seen.key);
    rc = open_reader(&r, err) != 0 ? -1 : read_pages(&r, err);
    sg_wire_close(r.wire);
    sg_redis_reader_free(&r.replies);
    sg_buf_wipe(&r.out);
    sg_buf_free(&r.pattern);
    free(r.seen.slots);
    free(r.input);
    sodium_memzero(&r.url, sizeof r.url);
    return rc;
}
