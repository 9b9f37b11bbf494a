/* SPDX-License-Identifier: MIT */
/* One page of the keyspace: SCAN with the sentinel, then value and TTL of every key in atomic
 * batches, a few in flight. */
#include "legacy/store_redis.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCHES_IN_FLIGHT 4
#define PAGE_MAX_BYTES ((size_t)64 << 20)

struct scan_op;

/* A batch that reads keys [first, first + n). */
struct slot {
    struct sg_redis_batch batch;
    struct scan_op *op;
    int first, n;
};

struct scan_op {
    struct sg_redis_store *store;
    struct sg_legacy_scan *scan;
    struct sg_redis_batch batch; /* SCAN */
    struct slot slots[BATCHES_IN_FLIGHT];
    struct sg_legacy_item *items;
    int n_items, next, pending;
    size_t bytes;
    char cursor[sizeof((struct sg_legacy_scan *)0)->cursor];
    struct sg_legacy_proof proof;
    int rc;
    struct sg_err err;
};

static void
finish(struct scan_op *op)
{
    struct sg_legacy_scan *scan = op->scan;

    scan->items = op->items;
    scan->n_items = op->n_items;
    scan->rc = op->rc;
    scan->proof = op->proof;
    if (op->rc == 0)
        memcpy(scan->cursor, op->cursor, sizeof scan->cursor);
    else {
        scan->err = op->err;
        sg_legacy_scan_clear(scan);
    }
    scan->priv = NULL;
    free(op);
    scan->done(scan);
}

/* Makes the item's one allocation hold value behind its key. */
static int
keep_value(struct scan_op *op, struct sg_legacy_item *item, struct sg_slice value)
{
    char *p;

    op->bytes += value.len;
    if (op->bytes > PAGE_MAX_BYTES)
        return sg_fail(&op->err, SG_E_LIMIT, op->store->url.name,
                       "a page holds more than %zu MiB: ask for fewer keys a page",
                       PAGE_MAX_BYTES >> 20);
    p = realloc((char *)item->key.ptr, item->key.len + value.len + 1);
    if (p == NULL)
        return sg_fail(&op->err, SG_E_INTERNAL, op->store->url.name, "no memory for the page");
    if (value.len != 0)
        memcpy(p + item->key.len, value.ptr, value.len);
    item->key.ptr = p;
    item->value = sg_slice(p + item->key.len, value.len);
    return 0;
}

static int
take_item(struct scan_op *op, struct sg_legacy_item *item, const struct redisReply *value,
          const struct redisReply *ttl)
{
    if (ttl == NULL || ttl->type != REDIS_REPLY_INTEGER)
        return sg_redis_store_refused(op->store, "PTTL", ttl, &op->err);
    item->ttl_ms = ttl->integer;
    if (value != NULL && value->type == REDIS_REPLY_ERROR &&
        strncmp(value->str, "WRONGTYPE", 9) == 0) {
        item->wrong_type = true;
        return 0;
    }
    if (value == NULL || value->type != REDIS_REPLY_STRING)
        return sg_redis_store_refused(op->store, "GETRANGE", value, &op->err);
    if (ttl->integer == -2) { /* gone since SCAN told it */
        item->ttl_ms = 0;
        return 0;
    }
    return keep_value(op, item, sg_slice(value->str, value->len));
}

static int
take_slot(struct slot *slot)
{
    struct scan_op *op = slot->op;
    int i;

    if (slot->batch.rc != 0) {
        op->err = slot->batch.err;
        return -1;
    }
    if (slot->batch.generation != op->proof.generation)
        return sg_fail(&op->err, SG_E_UNAVAILABLE, op->store->url.name,
                       "the connection was lost while a page was read");
    for (i = 0; i < slot->n; i++)
        if (take_item(op, &op->items[slot->first + i], slot->batch.replies[2 * i],
                      slot->batch.replies[2 * i + 1]) != 0)
            return -1;
    return 0;
}

static void slot_done(struct sg_redis_batch *batch);

/* Sends the slot off with the next keys, if any are left. */
static void
send_slot(struct slot *slot)
{
    struct scan_op *op = slot->op;
    char last[24];
    int i;

    slot->first = op->next;
    slot->n = op->n_items - op->next < SG_REDIS_KEYS_PER_BATCH ? op->n_items - op->next
                                                               : SG_REDIS_KEYS_PER_BATCH;
    if (slot->n == 0 || op->rc != 0)
        return;
    op->next += slot->n;
    op->pending++;
    /* One byte more than a record may have: enough to refuse it by, and never the whole of it. */
    snprintf(last, sizeof last, "%d", SG_LEGACY_VALUE_MAX);
    memset(&slot->batch, 0, sizeof slot->batch);
    for (i = 0; i < slot->n; i++) {
        struct sg_slice args[] = {op->items[slot->first + i].key, sg_str(last)};

        sg_redis_store_add(&slot->batch, "GETRANGE % 0 %", args);
        sg_redis_store_add(&slot->batch, "PTTL %", args);
    }
    slot->batch.atomic = true;
    slot->batch.deadline_ns = op->scan->deadline_ns;
    slot->batch.done = slot_done;
    sg_redis_submit(op->store->redis, &slot->batch);
}

static void
slot_done(struct sg_redis_batch *batch)
{
    struct slot *slot = sg_container_of(batch, struct slot, batch);
    struct scan_op *op = slot->op;

    op->pending--;
    if (op->rc == 0)
        op->rc = take_slot(slot);
    sg_redis_batch_clear(batch);
    send_slot(slot);
    if (op->pending == 0)
        finish(op);
}

static int
take_keys(struct scan_op *op, const struct redisReply *keys)
{
    size_t i;

    if (keys->elements == 0)
        return 0;
    op->items = calloc(keys->elements, sizeof *op->items);
    if (op->items == NULL)
        return sg_fail(&op->err, SG_E_INTERNAL, op->store->url.name, "no memory for the page");
    for (i = 0; i < keys->elements; i++) {
        const struct redisReply *r = keys->element[i];
        struct sg_slice key;
        char *copy;

        if (r->type != REDIS_REPLY_STRING)
            return sg_redis_store_refused(op->store, "SCAN", r, &op->err);
        key = sg_slice(r->str, r->len);
        if (sg_slice_starts(key, SG_REDIS_OWN_KEYS))
            continue;
        copy = malloc(key.len + 1);
        if (copy == NULL)
            return sg_fail(&op->err, SG_E_INTERNAL, op->store->url.name, "no memory for the page");
        memcpy(copy, key.ptr, key.len);
        op->items[op->n_items++].key = sg_slice(copy, key.len);
        op->bytes += key.len;
    }
    return 0;
}

static int
take_page(struct scan_op *op)
{
    const struct redisReply *page = op->batch.replies[0];

    if (op->batch.rc != 0) {
        op->err = op->batch.err;
        return -1;
    }
    if (page == NULL || page->type != REDIS_REPLY_ARRAY || page->elements != 2 ||
        page->element[0]->type != REDIS_REPLY_STRING ||
        page->element[0]->len >= sizeof op->cursor || page->element[1]->type != REDIS_REPLY_ARRAY)
        return sg_redis_store_refused(op->store, "SCAN", page, &op->err);
    snprintf(op->cursor, sizeof op->cursor, "%s", page->element[0]->str);
    sg_redis_store_proof(op->store, &op->batch, op->batch.replies[1], &op->proof);
    return take_keys(op, page->element[1]);
}

static void
page_done(struct sg_redis_batch *batch)
{
    struct scan_op *op = sg_container_of(batch, struct scan_op, batch);
    int i;

    op->rc = take_page(op);
    sg_redis_batch_clear(batch);
    for (i = 0; i < BATCHES_IN_FLIGHT; i++) {
        op->slots[i].op = op;
        send_slot(&op->slots[i]);
    }
    if (op->pending == 0)
        finish(op);
}

void
sg_redis_store_scan(struct sg_legacy_store *base, struct sg_legacy_scan *scan)
{
    struct scan_op *op = calloc(1, sizeof *op);
    struct sg_buf pattern = SG_BUF_INIT(2 * SG_REDIS_PREFIX_MAX + 1);
    struct sg_slice args[3];
    char count[16];

    if (op == NULL)
        abort(); /* no memory for one request: nothing sensible can follow */
    op->store = sg_container_of(base, struct sg_redis_store, base);
    op->scan = scan;
    scan->priv = op;
    scan->items = NULL;
    scan->n_items = 0;
    sg_redis_store_glob(&pattern, op->store->prefix);
    sg_buf_puts(&pattern, "*");
    snprintf(count, sizeof count, "%d",
             scan->page_keys < 1 ? 1 : (scan->page_keys > 1000 ? 1000 : scan->page_keys));
    args[0] = sg_str(scan->cursor);
    args[1] = sg_buf_slice(&pattern);
    args[2] = sg_str(count);
    sg_redis_store_add(&op->batch, "SCAN % MATCH % COUNT %", args);
    sg_redis_store_add_sentinel(op->store, &op->batch);
    op->batch.atomic = true;
    op->batch.deadline_ns = scan->deadline_ns;
    op->batch.done = page_done;
    sg_redis_submit(op->store->redis, &op->batch);
    sg_buf_free(&pattern);
}
