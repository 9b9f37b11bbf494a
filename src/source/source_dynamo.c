/* SPDX-License-Identifier: MIT */
/* DynamoDB tables: parallel scans by segment, strongly consistent. */
#include "source/source_dynamo.h"

#include "source/sources.h"

#include <stdio.h>
#include <stdlib.h>

#define SEGMENTS_MAX 1000000
#define SAMPLE_SEGMENTS 8 /* a sample is taken from so many places */
#define BODY_MAX ((size_t)SG_DOC_BYTES_MAX)

static struct sg_dynamo_source *
of(const struct sg_source *base)
{
    return sg_container_of(base, struct sg_dynamo_source, base);
}

/* ---- opening ---- */

static void
close_source(struct sg_source *base)
{
    struct sg_dynamo_source *s = of(base);

    sg_dynamo_close(s->dynamo);
    sg_arena_free(s->arena);
    free(s->records);
    free(s->docs);
    free(s->poll_field);
    free(s);
}

static int
open_source(const struct sg_source_options *o, struct sg_source **out, struct sg_err *err)
{
    struct sg_dynamo_source *s;

    if (o->bytes_max < 1 << 20 || o->batch_records < 1 || o->timeout_ms < 1)
        return sg_fail(err, SG_E_INVALID, "source",
                       "a batch takes at least 1 MiB and a record, and a timeout a millisecond");
    if ((s = calloc(1, sizeof *s)) == NULL)
        return sg_fail(err, SG_E_INTERNAL, "source", "out of memory");
    s->base.type = &sg_source_dynamo;
    s->options = *o;
    s->staleness_ms = -1;
    s->poll_field = o->poll_field != NULL ? strdup(o->poll_field) : NULL;
    s->records = calloc((size_t)o->batch_records, sizeof *s->records);
    s->docs = calloc((size_t)o->batch_records, sizeof *s->docs);
    if (s->records == NULL || s->docs == NULL || (o->poll_field != NULL && s->poll_field == NULL)) {
        sg_fail(err, SG_E_INTERNAL, "source", "out of memory");
        goto fail;
    }
    if (sg_arena_new((size_t)o->bytes_max, &s->arena, err) != 0 ||
        sg_dynamo_open(o, &s->dynamo, err) != 0)
        goto fail;
    *out = &s->base;
    return 0;
fail:
    close_source(&s->base);
    return -1;
}

/* ---- records ---- */

static int64_t
expires_ms(const struct sg_dynamo_source *s, const struct sg_doc *doc)
{
    const struct sg_doc *at = s->ttl[0] != '\0' ? sg_doc_get(doc, sg_str(s->ttl)) : NULL;
    int64_t ms;

    if (at == NULL || at->type != SG_DOC_INT || at->integer < 0 ||
        __builtin_mul_overflow(at->integer, 1000, &ms))
        return -1;
    return ms;
}

static int
keep_text(struct sg_dynamo_source *s, const struct sg_buf *text, struct sg_slice *out,
          struct sg_err *err)
{
    char *copy = sg_arena_alloc(s->arena, text->len);

    if (copy == NULL)
        return sg_fail(err, SG_E_LIMIT, sg_dynamo_name(s->dynamo),
                       "a page takes more memory than a batch may");
    memcpy(copy, text->ptr, text->len);
    *out = sg_slice(copy, text->len);
    return 0;
}

/* The key's attributes in the schema's order, as DynamoDB writes them. */
static int
key_of(struct sg_dynamo_source *s, const struct sg_doc *doc, struct sg_slice *out,
       struct sg_err *err)
{
    struct sg_buf text = SG_BUF_INIT(65536);
    struct sg_doc_member parts[2];
    struct sg_doc key = {.type = SG_DOC_OBJECT, .members = parts};
    int rc;

    for (; key.n < 2 && s->key[key.n][0] != '\0'; key.n++) {
        const struct sg_doc *v = sg_doc_get(doc, sg_str(s->key[key.n]));

        if (v == NULL)
            return sg_fail(err, SG_E_INVALID, sg_dynamo_name(s->dynamo), "an item without its key");
        parts[key.n] = (struct sg_doc_member){sg_str(s->key[key.n]), *v};
    }
    rc = sg_doc_to_dynamo(&key, &text, err);
    if (rc == 0)
        rc = keep_text(s, &text, out, err);
    sg_buf_free(&text);
    return rc;
}

int
sg_dynamo_record(struct sg_dynamo_source *s, int i, const struct sg_doc *typed, struct sg_err *err)
{
    struct sg_source_record *r = &s->records[i];
    struct sg_buf raw = SG_BUF_INIT(BODY_MAX);
    int rc;

    *r = (struct sg_source_record){.expires_ms = -1};
    rc = sg_doc_from_dynamo(s->arena, typed, &s->docs[i], err);
    if (rc == 0)
        rc = key_of(s, &s->docs[i], &r->key, err);
    if (rc == 0) {
        r->expires_ms = expires_ms(s, &s->docs[i]);
        if (r->key.len > SG_SOURCE_KEY_MAX)
            r->odd = "a key of more than 1024 bytes";
        else
            r->doc = &s->docs[i];
    } else if (err->code != SG_E_LIMIT) {
        r->odd = "not an item as DynamoDB writes them";
        rc = 0;
    }
    if (rc == 0 && r->odd != NULL && (rc = sg_doc_to_json(typed, &raw, err)) == 0)
        rc = keep_text(s, &raw, &r->raw, err);
    sg_buf_free(&raw);
    return rc;
}

/* ---- scanning ---- */

static int
scan_body(struct sg_dynamo_source *s, const struct sg_dynamo_scan *scan, int limit,
          const char *position, struct sg_buf *body, struct sg_err *err)
{
    sg_buf_puts(body, "{\"TableName\":");
    sg_dynamo_put_name(body, s->table);
    sg_buf_printf(body, ",\"ConsistentRead\":true,\"Limit\":%d,\"Segment\":%d,\"TotalSegments\":%d",
                  limit, scan->segment, scan->segments);
    if (position[0] != '\0')
        sg_buf_printf(body, ",\"ExclusiveStartKey\":%s", position);
    if (scan->since != NULL) {
        sg_buf_puts(body,
                    ",\"FilterExpression\":\"#f >= :v\",\"ExpressionAttributeNames\":{\"#f\":");
        sg_dynamo_put_name(body, s->poll_field);
        sg_buf_puts(body, "},\"ExpressionAttributeValues\":{\":v\":");
        if (sg_doc_value_to_dynamo(scan->since, body, err) != 0)
            return -1;
        sg_buf_puts(body, "}");
    }
    sg_buf_puts(body, "}");
    return 0;
}

/* A key that does not fit leaves the position where it was: some records come again. */
static int
keep_position(const struct sg_doc *last, char next[SG_SOURCE_PIECE_MAX], struct sg_err *err)
{
    struct sg_buf text = SG_BUF_INIT(65536);
    int rc;

    if (last == NULL) {
        snprintf(next, SG_SOURCE_PIECE_MAX, SG_DYNAMO_END);
        return 0;
    }
    rc = sg_doc_to_json(last, &text, err);
    if (rc == 0 && text.len < SG_SOURCE_PIECE_MAX)
        memcpy(next, text.ptr, text.len + 1);
    else if (rc == 0)
        rc = sg_fail(err, SG_E_LIMIT, "dynamodb", "a key of more than %d bytes is no position",
                     SG_SOURCE_PIECE_MAX - 1);
    sg_buf_free(&text);
    return rc;
}

int
sg_dynamo_scan_page(struct sg_dynamo_source *s, const struct sg_dynamo_scan *scan, int limit,
                    char position[SG_SOURCE_PIECE_MAX], sg_source_emit emit, void *ctx,
                    struct sg_err *err)
{
    struct sg_buf body = SG_BUF_INIT(65536);
    char next[SG_SOURCE_PIECE_MAX];
    const struct sg_doc *items;
    struct sg_doc answer;
    int rc, n;

    rc = scan_body(s, scan, limit, position, &body, err);
    if (rc == 0)
        rc = sg_dynamo_call(s, "Scan", &body, &answer, err);
    sg_buf_free(&body);
    if (rc != 0)
        return -1;
    items = sg_dynamo_member(&answer, "Items", SG_DOC_ARRAY);
    if (items == NULL || items->n > (uint32_t)limit)
        return sg_fail(err, SG_E_INTERNAL, sg_dynamo_name(s->dynamo), "Scan told no items");
    for (n = 0; n < (int)items->n; n++)
        if (sg_dynamo_record(s, n, &items->items[n], err) != 0)
            return -1;
    if (keep_position(sg_dynamo_member(&answer, "LastEvaluatedKey", SG_DOC_OBJECT), next, err) != 0)
        return -1;
    if (n > 0 && emit(ctx, s->records, n, err) != 0)
        return -1;
    memcpy(position, next, sizeof next);
    return 0;
}

struct guard {
    sg_source_emit emit;
    void *ctx;
    bool emitted;
};

static int
guarded(void *ctx, const struct sg_source_record *records, int n, struct sg_err *err)
{
    struct guard *g = ctx;

    g->emitted = true;
    return g->emit(g->ctx, records, n, err);
}

int
sg_dynamo_scan_all(struct sg_dynamo_source *s, const struct sg_dynamo_scan *scan,
                   char position[SG_SOURCE_PIECE_MAX], sg_source_emit emit, void *ctx,
                   struct sg_err *err)
{
    int limit = s->options.batch_records;

    while (strcmp(position, SG_DYNAMO_END) != 0) {
        struct guard g = {emit, ctx, false};

        if (sg_dynamo_stopped(s->dynamo))
            return sg_fail(err, SG_E_CANCELLED, sg_dynamo_name(s->dynamo), "stopped");
        if (sg_dynamo_scan_page(s, scan, limit, position, guarded, &g, err) == 0)
            continue;
        /* A page that is too large for the memory is asked for in smaller ones. */
        if (err->code != SG_E_LIMIT || g.emitted || limit == 1)
            return -1;
        limit = limit / 4 > 0 ? limit / 4 : 1;
    }
    return 0;
}

static int
pieces(struct sg_source *base, const char *collection, struct sg_source_piece *out, int most,
       int *n, struct sg_err *err)
{
    int i;

    (void)base;
    (void)collection;
    (void)err;
    if (most > SEGMENTS_MAX)
        most = SEGMENTS_MAX;
    for (i = 0; i < most; i++)
        snprintf(out[i].text, sizeof out[i].text, "segment %d of %d", i, most);
    *n = most;
    return 0;
}

static int
read_piece(struct sg_source *base, const char *collection, const struct sg_source_piece *piece,
           char position[SG_SOURCE_PIECE_MAX], sg_source_emit emit, void *ctx, struct sg_err *err)
{
    struct sg_dynamo_source *s = of(base);
    struct sg_dynamo_scan scan = {0};

    if (sscanf(piece->text, "segment %d of %d", &scan.segment, &scan.segments) != 2 ||
        scan.segment < 0 || scan.segment >= scan.segments || scan.segments > SEGMENTS_MAX)
        return sg_fail(err, SG_E_INVALID, sg_dynamo_name(s->dynamo), "not a piece of this source");
    if (sg_dynamo_learn(s, collection, err) != 0)
        return -1;
    return sg_dynamo_scan_all(s, &scan, position, emit, ctx, err);
}

static int
sample(struct sg_source *base, const char *collection, int64_t wanted, sg_source_emit emit,
       void *ctx, struct sg_err *err)
{
    struct sg_dynamo_source *s = of(base);
    int64_t left = wanted;
    int i;

    if (wanted < 1 || sg_dynamo_learn(s, collection, err) != 0)
        return wanted < 1 ? 0 : -1;
    for (i = 0; i < SAMPLE_SEGMENTS; i++) {
        struct sg_dynamo_scan scan = {.segment = i, .segments = SAMPLE_SEGMENTS};
        char position[SG_SOURCE_PIECE_MAX] = "";
        int64_t share = left / (SAMPLE_SEGMENTS - i), limit;

        left -= share;
        for (; share > 0 && strcmp(position, SG_DYNAMO_END) != 0; share -= limit) {
            limit = share < s->options.batch_records ? share : s->options.batch_records;
            if (sg_dynamo_stopped(s->dynamo))
                return sg_fail(err, SG_E_CANCELLED, sg_dynamo_name(s->dynamo), "stopped");
            if (sg_dynamo_scan_page(s, &scan, (int)limit, position, emit, ctx, err) != 0)
                return -1;
        }
    }
    return 0;
}

/* ---- writing ---- */

static int
write_record(struct sg_source *base, const char *collection, const struct sg_source_record *record,
             struct sg_err *err)
{
    struct sg_dynamo_source *s = of(base);
    struct sg_buf body = SG_BUF_INIT(BODY_MAX);
    struct sg_doc answer;
    int rc = 0;

    sg_buf_puts(&body, "{\"TableName\":");
    sg_dynamo_put_name(&body, collection);
    sg_buf_puts(&body, record->doc != NULL ? ",\"Item\":" : ",\"Key\":");
    if (record->doc != NULL)
        rc = sg_doc_to_dynamo(record->doc, &body, err);
    else
        sg_buf_add(&body, record->key);
    sg_buf_puts(&body, "}");
    if (rc == 0)
        rc = sg_dynamo_call(s, record->doc != NULL ? "PutItem" : "DeleteItem", &body, &answer, err);
    sg_buf_free(&body);
    return rc;
}

static int64_t
staleness_ms(const struct sg_source *base)
{
    return of(base)->staleness_ms;
}

const struct sg_source_type sg_source_dynamo = {
    .name = "dynamodb",
    .open = open_source,
    .close = close_source,
    .collections = sg_dynamo_collections,
    .sample = sample,
    .pieces = pieces,
    .read = read_piece,
    .fetch = sg_dynamo_fetch,
    .write = write_record,
    .follow = sg_dynamo_follow,
    .staleness_ms = staleness_ms,
};
