/* SPDX-License-Identifier: MIT */
/* A Redis server's keyspace: read by SCAN, a page ahead of what is emitted. */
#include "source/source_redis.h"

#include "source/redis_keys.h"
#include "source/sources.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define BYTES_MIN ((int64_t)1 << 20)
#define SHORT_MIN 256
#define SHORT_MAX 65536
#define CURSOR_MAX 24
#define AT_END "end"

static struct sg_redis_source *
of(const struct sg_source *base)
{
    return sg_container_of(base, struct sg_redis_source, base);
}

int
sg_redis_source_connect(struct sg_redis_source *s, struct sg_redis_conn **out, struct sg_err *err)
{
    struct sg_redis_conn_options o = {
        .url = s->url,
        .ca_file = s->ca_file,
        .timeout_ms = s->options.timeout_ms,
        .max_reply_bytes = (size_t)s->options.bytes_max / 2,
        .stop = s->options.stop,
    };

    return sg_redis_conn_open(&o, out, err);
}

int
sg_redis_source_ready(struct sg_redis_source *s, struct sg_err *err)
{
    if (s->conn != NULL)
        return 0;
    if (sg_redis_source_connect(s, &s->conn, err) != 0)
        return -1;
    s->loader.conn = s->conn;
    s->loader.absolute = s->conn->version >= 7;
    return 0;
}

int
sg_redis_source_end(struct sg_redis_source *s, int rc)
{
    if (rc != 0) {
        sg_redis_conn_close(s->conn);
        s->conn = NULL;
    }
    return rc;
}

bool
sg_redis_source_stopped(const struct sg_redis_source *s)
{
    return s->options.stop != NULL && atomic_load_explicit(s->options.stop, memory_order_relaxed);
}

static void
close_source(struct sg_source *base)
{
    struct sg_redis_source *s = of(base);

    sg_redis_conn_close(s->conn);
    sg_arena_free(s->loader.arena);
    free(s->loader.records);
    free(s->loader.docs);
    if (s->url != NULL)
        sodium_memzero(s->url, strlen(s->url));
    free(s->url);
    free(s->ca_file);
    free(s);
}

static int
open_source(const struct sg_source_options *o, struct sg_source **out, struct sg_err *err)
{
    struct sg_redis_source *s;
    struct sg_redis_loader *l;

    if (o->bytes_max < BYTES_MIN || o->batch_records < 1 || o->timeout_ms < 1)
        return sg_fail(err, SG_E_INVALID, "source",
                       "a batch takes at least 1 MiB and a record, "
                       "and a timeout a millisecond");
    if ((s = calloc(1, sizeof *s)) == NULL)
        return sg_fail(err, SG_E_INTERNAL, "source", "out of memory");
    l = &s->loader;
    s->base.type = &sg_source_redis;
    s->options = *o;
    s->staleness_ms = -1;
    s->url = strdup(o->url);
    s->ca_file = o->ca_file != NULL ? strdup(o->ca_file) : NULL;
    l->batch_records = o->batch_records;
    l->records = calloc((size_t)o->batch_records, sizeof *l->records);
    l->docs = calloc((size_t)o->batch_records, sizeof *l->docs);
    l->window_bytes = (size_t)o->bytes_max / 4;
    l->short_bytes = (size_t)o->bytes_max / 16 / (size_t)o->batch_records;
    l->short_bytes = l->short_bytes < SHORT_MIN   ? SHORT_MIN
                     : l->short_bytes > SHORT_MAX ? SHORT_MAX
                                                  : l->short_bytes;
    if (s->url == NULL || (o->ca_file != NULL && s->ca_file == NULL) || l->records == NULL ||
        l->docs == NULL) {
        sg_fail(err, SG_E_INTERNAL, "source", "out of memory");
        goto fail;
    }
    if (sg_arena_new((size_t)o->bytes_max / 2, &l->arena, err) != 0 ||
        sg_redis_source_ready(s, err) != 0)
        goto fail;
    *out = &s->base;
    return 0;
fail:
    close_source(&s->base);
    return -1;
}

/* ---- reading by SCAN ---- */

struct scan {
    struct sg_redis_source *s;
    const char *pattern;
    struct sg_buf glob;
    char cursor[CURSOR_MAX]; /* of the page after the one that was taken; "0" = there is none */
};

static void
ask_page(struct scan *scan)
{
    char count[16];
    struct sg_slice args[] = {sg_str(scan->cursor), sg_buf_slice(&scan->glob), {count, 0}};

    args[2].len = (size_t)snprintf(count, sizeof count, "%d", scan->s->loader.batch_records);
    sg_redis_conn_add(scan->s->conn, "SCAN % MATCH % COUNT %", args);
}

/* The page whose SCAN was asked: its keys, without values. */
static int
take_page(struct scan *scan, struct sg_redis_page *page, struct sg_err *err)
{
    struct sg_redis_conn *c = scan->s->conn;
    redisReply *r, *keys;
    size_t i;

    if (sg_redis_conn_next(c, &r, err) != 0)
        return -1;
    page->keys = r;
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
        r->element[0]->type != REDIS_REPLY_STRING || r->element[0]->len >= CURSOR_MAX ||
        r->element[1]->type != REDIS_REPLY_ARRAY)
        return sg_redis_conn_refused(c, "SCAN", r, err);
    snprintf(scan->cursor, sizeof scan->cursor, "%s", r->element[0]->str);
    keys = r->element[1];
    if (keys->elements == 0)
        return 0;
    if ((page->items = calloc(keys->elements, sizeof *page->items)) == NULL)
        return sg_fail(err, SG_E_INTERNAL, c->url.name, "out of memory");
    for (i = 0; i < keys->elements; i++) {
        struct sg_slice key = sg_slice(keys->element[i]->str, (size_t)keys->element[i]->len);

        if (keys->element[i]->type == REDIS_REPLY_STRING &&
            !sg_slice_starts(key, SG_REDIS_OWN_KEYS) && sg_redis_keys_match(scan->pattern, key))
            page->items[page->n++].key = key;
    }
    return 0;
}

/* Emits `now`, whose keys are known, while the server works on the page after it, *next; *last
 * tells that there is none. */
static int
step(struct scan *scan, struct sg_redis_page *now, struct sg_redis_page *next, bool *last,
     sg_source_emit emit, void *ctx, struct sg_err *err)
{
    struct sg_redis_loader *l = &scan->s->loader;

    *last = strcmp(scan->cursor, "0") == 0;
    sg_redis_values_ask(l, now);
    if (!*last)
        ask_page(scan);
    if (sg_redis_conn_send(l->conn, err) != 0 || sg_redis_values_take(l, now, err) != 0 ||
        (!*last && take_page(scan, next, err) != 0) || sg_redis_values_kinds(l, now, err) != 0)
        return -1;
    return sg_redis_values_emit(l, now, emit, ctx, err);
}

static int
read_from(struct scan *scan, char position[SG_SOURCE_PIECE_MAX], sg_source_emit emit, void *ctx,
          struct sg_err *err)
{
    struct sg_redis_page now = {0}, next = {0};
    char before[CURSOR_MAX];
    bool last = false;
    int rc;

    ask_page(scan);
    rc = sg_redis_conn_send(scan->s->conn, err) != 0 ? -1 : take_page(scan, &now, err);
    while (rc == 0 && !last) {
        snprintf(before, sizeof before, "%s", scan->cursor);
        rc = step(scan, &now, &next, &last, emit, ctx, err);
        if (rc == 0)
            snprintf(position, SG_SOURCE_PIECE_MAX, "%s %s", scan->s->conn->run_id,
                     last ? AT_END : before);
        sg_redis_page_clear(&now);
        now = next;
        next = (struct sg_redis_page){0};
        if (rc == 0 && sg_redis_source_stopped(scan->s))
            rc = sg_fail(err, SG_E_CANCELLED, scan->s->conn->url.name, "stopped");
    }
    sg_redis_page_clear(&now);
    return rc;
}

/* A cursor is good for the process that gave it: another one's keys stand in another order. */
static int
start_at(struct scan *scan, const char *position, bool *end, struct sg_err *err)
{
    const char *run_id = scan->s->conn->run_id;
    size_t n = strlen(run_id);

    *end = false;
    snprintf(scan->cursor, sizeof scan->cursor, "0");
    if (position[0] == '\0')
        return 0;
    if (strncmp(position, run_id, n) != 0 || position[n] != ' ')
        return sg_fail(err, SG_E_CONFLICT, scan->s->conn->url.name,
                       "the server is another process than the one that was being read: read from "
                       "the beginning");
    *end = strcmp(position + n + 1, AT_END) == 0;
    snprintf(scan->cursor, sizeof scan->cursor, "%.*s", CURSOR_MAX - 1, position + n + 1);
    if (!*end && strspn(scan->cursor, "0123456789") != strlen(scan->cursor))
        return sg_fail(err, SG_E_INVALID, scan->s->conn->url.name, "not a position of this source");
    return 0;
}

static int
read_piece(struct sg_source *base, const char *collection, const struct sg_source_piece *piece,
           char position[SG_SOURCE_PIECE_MAX], sg_source_emit emit, void *ctx, struct sg_err *err)
{
    struct scan scan = {
        .s = of(base), .pattern = collection, .glob = SG_BUF_INIT(2 * SG_SOURCE_NAME_MAX)};
    bool end = false;
    int rc;

    (void)piece;
    if (sg_redis_source_ready(scan.s, err) != 0)
        return -1;
    sg_redis_keys_glob(collection, &scan.glob);
    rc = start_at(&scan, position, &end, err);
    if (rc == 0 && !end)
        rc = sg_redis_source_end(scan.s, read_from(&scan, position, emit, ctx, err));
    sg_buf_free(&scan.glob);
    return rc;
}

/* SCAN's cursors cannot be divided. */
static int
pieces(struct sg_source *base, const char *collection, struct sg_source_piece *out, int most,
       int *n, struct sg_err *err)
{
    (void)base;
    (void)collection;
    (void)err;
    *n = most > 0;
    if (most > 0)
        snprintf(out[0].text, sizeof out[0].text, "scan");
    return 0;
}

/* ---- samples and single keys ---- */

struct sampling {
    int64_t left;
    sg_source_emit emit;
    void *ctx;
    bool enough;
};

static int
emit_sample(void *ctx, const struct sg_source_record *records, int n, struct sg_err *err)
{
    struct sampling *s = ctx;

    if (n > s->left)
        n = (int)s->left;
    s->left -= n;
    if (n > 0 && s->emit(s->ctx, records, n, err) != 0)
        return -1;
    s->enough = s->left == 0;
    return s->enough ? -1 : 0;
}

/* SCAN goes by the hash of the key, so its beginning is as good a sample as any. */
static int
sample(struct sg_source *base, const char *collection, int64_t wanted, sg_source_emit emit,
       void *ctx, struct sg_err *err)
{
    struct sampling s = {.left = wanted, .emit = emit, .ctx = ctx};
    struct sg_source_piece all = {"scan"};
    char position[SG_SOURCE_PIECE_MAX] = "";
    int rc;

    if (wanted < 1)
        return 0;
    rc = read_piece(base, collection, &all, position, emit_sample, &s, err);
    return s.enough ? 0 : rc;
}

int
sg_redis_source_load(struct sg_redis_source *s, const struct sg_slice *keys, int n, bool gone,
                     sg_source_emit emit, void *ctx, struct sg_err *err)
{
    struct sg_redis_loader *l = &s->loader;
    int rc = 0, i, at, some;

    l->gone_too = gone;
    for (at = 0; at < n && rc == 0; at += some) {
        struct sg_redis_page page = {0};

        some = n - at < l->batch_records ? n - at : l->batch_records;
        if ((page.items = calloc((size_t)some, sizeof *page.items)) == NULL) {
            rc = sg_fail(err, SG_E_INTERNAL, s->conn->url.name, "out of memory");
            break;
        }
        for (i = 0; i < some; i++)
            page.items[i].key = keys[at + i];
        page.n = some;
        sg_redis_values_ask(l, &page);
        rc = sg_redis_conn_send(l->conn, err);
        if (rc == 0 && (sg_redis_values_take(l, &page, err) != 0 ||
                        sg_redis_values_kinds(l, &page, err) != 0 ||
                        sg_redis_values_emit(l, &page, emit, ctx, err) != 0))
            rc = -1;
        sg_redis_page_clear(&page);
    }
    l->gone_too = false;
    return rc;
}

static int
fetch(struct sg_source *base, const char *collection, const struct sg_slice *keys, int n,
      sg_source_emit emit, void *ctx, struct sg_err *err)
{
    struct sg_redis_source *s = of(base);

    (void)collection;
    if (sg_redis_source_ready(s, err) != 0)
        return -1;
    if (s->conn->replica)
        return sg_fail(err, SG_E_INVALID, s->conn->url.name,
                       "a replica may be behind: reading single keys needs the primary's URL");
    return sg_redis_source_end(s, sg_redis_source_load(s, keys, n, true, emit, ctx, err));
}

static int64_t
staleness_ms(const struct sg_source *base)
{
    return of(base)->staleness_ms;
}

const struct sg_source_type sg_source_redis = {
    .name = "redis",
    .open = open_source,
    .close = close_source,
    .collections = sg_redis_source_collections,
    .sample = sample,
    .pieces = pieces,
    .read = read_piece,
    .fetch = fetch,
    .write = sg_redis_source_write,
    .follow = sg_redis_source_follow,
    .staleness_ms = staleness_ms,
};
