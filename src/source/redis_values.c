/* SPDX-License-Identifier: MIT */
#include "source/redis_values.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

/* What hiredis and the document need for an element, beside its bytes. */
#define ELEMENT_BYTES 128
#define UNKNOWN_ELEMENT_BYTES 512 /* where the server does not tell a value's size */

static const struct kind {
    const char *name, *size, *read;
    int elements; /* of the reply, for each that size tells */
} kinds[] = {
    {"hash", "HLEN %", "HGETALL %", 2},
    {"list", "LLEN %", "LRANGE % 0 -1", 1},
    {"set", "SCARD %", "SMEMBERS %", 1},
    {"zset", "ZCARD %", "ZRANGE % 0 -1 WITHSCORES", 2},
};

static const struct kind *
kind_of(const char *type)
{
    size_t i;

    for (i = 0; type != NULL && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, type) == 0)
            return &kinds[i];
    return NULL;
}

static void
ask_expiry(struct sg_redis_loader *l, const struct sg_redis_item *item)
{
    sg_redis_conn_add(l->conn, l->absolute ? "PEXPIRETIME %" : "PTTL %", &item->key);
}

/* A string's first bytes; one more than a short one has, to tell. */
static void
ask_string(struct sg_redis_loader *l, const struct sg_redis_item *item, size_t bytes)
{
    char last[24];
    struct sg_slice args[2] = {item->key, {last, 0}};

    args[1].len = (size_t)snprintf(last, sizeof last, "%zu", bytes);
    sg_redis_conn_add(l->conn, "GETRANGE % 0 %", args);
}

static int
next_of(struct sg_redis_loader *l, redisReply **slot, struct sg_err *err)
{
    freeReplyObject(*slot);
    *slot = NULL;
    return sg_redis_conn_next(l->conn, slot, err);
}

static bool
wrong_type(const redisReply *r)
{
    return r->type == REDIS_REPLY_ERROR && strncmp(r->str, "WRONGTYPE", 9) == 0;
}

static int
expect(struct sg_redis_loader *l, const redisReply *r, int type, const char *command,
       struct sg_err *err)
{
    return r->type == type ? 0 : sg_redis_conn_refused(l->conn, command, r, err);
}

void
sg_redis_values_ask(struct sg_redis_loader *l, const struct sg_redis_page *page)
{
    int i;

    for (i = 0; i < page->n; i++) {
        ask_string(l, &page->items[i], l->short_bytes);
        ask_expiry(l, &page->items[i]);
    }
}

int
sg_redis_values_take(struct sg_redis_loader *l, struct sg_redis_page *page, struct sg_err *err)
{
    int i;

    for (i = 0; i < page->n; i++) {
        struct sg_redis_item *item = &page->items[i];

        if (next_of(l, &item->value, err) != 0 || next_of(l, &item->expiry, err) != 0 ||
            expect(l, item->expiry, REDIS_REPLY_INTEGER, "PTTL", err) != 0)
            return -1;
        item->later = wrong_type(item->value);
        if (item->later)
            continue;
        if (expect(l, item->value, REDIS_REPLY_STRING, "GETRANGE", err) != 0)
            return -1;
        item->type = "string";
        item->bytes = (size_t)item->value->len;
        item->later = item->bytes > l->short_bytes;
    }
    return 0;
}

/* ---- kinds and sizes of what is read later ---- */

static void
ask_kinds(struct sg_redis_loader *l, const struct sg_redis_page *page)
{
    int i;

    for (i = 0; i < page->n; i++) {
        const struct sg_redis_item *item = &page->items[i];

        if (!item->later)
            continue;
        sg_redis_conn_add(l->conn, item->type != NULL ? "STRLEN %" : "TYPE %", &item->key);
        sg_redis_conn_add(l->conn, "MEMORY USAGE %", &item->key);
    }
}

static void
set_kind(struct sg_redis_item *item, const char *name)
{
    static const char *const odd[][2] = {{"stream", "redis type stream"},
                                         {"ReJSON-RL", "redis type ReJSON-RL"}};
    const struct kind *kind = kind_of(name);
    size_t i;

    if (kind != NULL || strcmp(name, "none") == 0 || strcmp(name, "string") == 0) {
        /* "none" is gone, and "string" was made since: both read as they are then. */
        item->type = kind != NULL ? kind->name : "string";
        return;
    }
    item->later = false;
    item->odd = "redis type of a module";
    for (i = 0; i < sizeof odd / sizeof odd[0]; i++)
        if (strcmp(name, odd[i][0]) == 0)
            item->odd = odd[i][1];
}

static int
take_kinds(struct sg_redis_loader *l, struct sg_redis_page *page, struct sg_err *err)
{
    redisReply *r = NULL;
    int i, rc = 0;

    for (i = 0; i < page->n && rc == 0; i++) {
        struct sg_redis_item *item = &page->items[i];

        if (!item->later)
            continue;
        if (next_of(l, &r, err) != 0)
            return -1;
        if (item->type != NULL) /* a string, as long as the server says */
            item->bytes = r->type == REDIS_REPLY_INTEGER ? (size_t)r->integer : item->bytes;
        else if ((rc = expect(l, r, REDIS_REPLY_STATUS, "TYPE", err)) == 0)
            set_kind(item, r->str);
        if (rc == 0 && (rc = next_of(l, &r, err)) == 0 && kind_of(item->type) != NULL)
            item->bytes = r->type == REDIS_REPLY_INTEGER ? (size_t)r->integer : 0;
    }
    freeReplyObject(r);
    return rc;
}

static int
take_sizes(struct sg_redis_loader *l, struct sg_redis_page *page, struct sg_err *err)
{
    redisReply *r = NULL;
    int i;

    for (i = 0; i < page->n; i++) {
        struct sg_redis_item *item = &page->items[i];
        const struct kind *kind = kind_of(item->type);
        size_t elements;

        if (!item->later || kind == NULL)
            continue;
        if (next_of(l, &r, err) != 0)
            return -1;
        elements = r->type == REDIS_REPLY_INTEGER ? (size_t)(r->integer * kind->elements) : 0;
        item->bytes += elements * (item->bytes != 0 ? ELEMENT_BYTES : UNKNOWN_ELEMENT_BYTES);
    }
    freeReplyObject(r);
    return 0;
}

int
sg_redis_values_kinds(struct sg_redis_loader *l, struct sg_redis_page *page, struct sg_err *err)
{
    int i, later = 0;

    for (i = 0; i < page->n; i++)
        later += page->items[i].later;
    if (later == 0)
        return 0;
    ask_kinds(l, page);
    if (sg_redis_conn_send(l->conn, err) != 0 || take_kinds(l, page, err) != 0)
        return -1;
    for (i = 0; i < page->n; i++)
        if (page->items[i].later && kind_of(page->items[i].type) != NULL)
            sg_redis_conn_add(l->conn, kind_of(page->items[i].type)->size, &page->items[i].key);
    return sg_redis_conn_send(l->conn, err) != 0 ? -1 : take_sizes(l, page, err);
}

/* ---- reading what was left for later ---- */

static void
ask_later(struct sg_redis_loader *l, struct sg_redis_item *item)
{
    const struct kind *kind = kind_of(item->type);

    if (item->bytes > l->window_bytes || item->bytes > SG_DOC_BYTES_MAX) {
        item->odd = "larger than a batch may be";
        item->later = false;
        return;
    }
    if (kind != NULL)
        sg_redis_conn_add(l->conn, kind->read, &item->key);
    else
        ask_string(l, item, l->window_bytes);
    ask_expiry(l, item);
}

static bool
only_strings(const redisReply *r)
{
    size_t i;

    for (i = 0; r->type == REDIS_REPLY_ARRAY && i < r->elements; i++)
        if (r->element[i]->type != REDIS_REPLY_STRING)
            return false;
    return true;
}

static int
take_later(struct sg_redis_loader *l, struct sg_redis_item *item, struct sg_err *err)
{
    bool array = kind_of(item->type) != NULL;

    if (next_of(l, &item->value, err) != 0 || next_of(l, &item->expiry, err) != 0 ||
        expect(l, item->expiry, REDIS_REPLY_INTEGER, "PTTL", err) != 0)
        return -1;
    item->later = false;
    if (wrong_type(item->value))
        item->odd = "changed its type while it was read";
    else if (!array && item->value->type == REDIS_REPLY_STRING &&
             (size_t)item->value->len > l->window_bytes)
        item->odd = "larger than a batch may be";
    else if (array && !only_strings(item->value))
        return sg_fail(err, SG_E_INTERNAL, l->conn->url.name, "unexpected kind of reply");
    else
        return expect(l, item->value, array ? REDIS_REPLY_ARRAY : REDIS_REPLY_STRING, "the read",
                      err);
    return 0;
}

/* Reads the items from `from` on that fit together; *to = the first that does not. */
static int
read_window(struct sg_redis_loader *l, struct sg_redis_page *page, int from, int *to,
            struct sg_err *err)
{
    size_t bytes = 0;
    bool asked = false;
    int i, end;

    for (end = from; end < page->n; end++) {
        struct sg_redis_item *item = &page->items[end];

        if (end > from && bytes + item->bytes > l->window_bytes)
            break;
        bytes += item->bytes;
        if (item->later) {
            ask_later(l, item);
            asked = asked || item->later;
        }
    }
    if (asked && sg_redis_conn_send(l->conn, err) != 0)
        return -1;
    for (i = from; i < end; i++)
        if (page->items[i].later && take_later(l, &page->items[i], err) != 0)
            return -1;
    *to = end;
    return 0;
}

/* ---- emitting ---- */

struct output {
    sg_source_emit emit;
    void *ctx;
    int n;
};

static int
flush(struct sg_redis_loader *l, struct output *o, struct sg_err *err)
{
    int rc = o->n > 0 ? o->emit(o->ctx, l->records, o->n, err) : 0;

    o->n = 0;
    sg_arena_reset(l->arena);
    return rc;
}

static int64_t
expires_ms(const struct sg_redis_loader *l, const struct sg_redis_item *item)
{
    if (item->expiry->integer < 0)
        return -1;
    return item->expiry->integer + (l->absolute ? 0 : sg_wall_ms(sg_clock_system()));
}

static int
emit_item(struct sg_redis_loader *l, const struct sg_redis_item *item, struct output *o,
          struct sg_err *err)
{
    bool gone = item->expiry->integer == -2;
    struct sg_source_record *r;
    struct sg_err why;
    int rc = 0;

    if (gone && !l->gone_too)
        return 0;
    r = &l->records[o->n];
    *r = (struct sg_source_record){.key = item->key, .expires_ms = -1, .odd = item->odd};
    if (!gone && item->key.len > SG_SOURCE_KEY_MAX)
        r->odd = "a key of more than 1024 bytes";
    if (!gone) {
        r->redis_type = item->type;
        r->expires_ms = expires_ms(l, item);
        if (item->odd == NULL && item->value->type == REDIS_REPLY_STRING)
            r->raw = sg_slice(item->value->str, (size_t)item->value->len);
    }
    if (!gone && r->odd == NULL) {
        rc = sg_redis_values_doc(l->arena, item->type, item->value, &l->docs[o->n], &why);
        if (rc != 0 && o->n > 0) /* once more, with the whole arena */
            return flush(l, o, err) != 0 ? -1 : emit_item(l, item, o, err);
        r->doc = rc == 0 ? &l->docs[o->n] : NULL;
        if (rc != 0)
            r->odd = "nested too deeply, or more memory than a batch may take";
    }
    o->n++;
    return o->n == l->batch_records || rc != 0 ? flush(l, o, err) : 0;
}

int
sg_redis_values_emit(struct sg_redis_loader *l, struct sg_redis_page *page, sg_source_emit emit,
                     void *ctx, struct sg_err *err)
{
    struct output o = {.emit = emit, .ctx = ctx};
    int from = 0, to, i;

    sg_arena_reset(l->arena);
    while (from < page->n) {
        if (read_window(l, page, from, &to, err) != 0)
            return -1;
        for (i = from; i < to; i++)
            if (emit_item(l, &page->items[i], &o, err) != 0)
                return -1;
        if (flush(l, &o, err) != 0)
            return -1;
        for (i = from; i < to; i++) {
            freeReplyObject(page->items[i].value);
            page->items[i].value = NULL;
        }
        from = to;
    }
    return 0;
}

void
sg_redis_page_clear(struct sg_redis_page *page)
{
    int i;

    for (i = 0; i < page->n; i++) {
        freeReplyObject(page->items[i].value);
        freeReplyObject(page->items[i].expiry);
    }
    free(page->items);
    freeReplyObject(page->keys);
    *page = (struct sg_redis_page){0};
}
