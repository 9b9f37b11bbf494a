/* SPDX-License-Identifier: MIT */
/* Single items by BatchGetItem, strongly consistent. */
#include "source/source_dynamo.h"

#define KEYS_AT_ONCE 25 /* of at most 400 KB each */

struct batch {
    const struct sg_slice *keys;
    bool done[KEYS_AT_ONCE]; /* emitted */
    int n;
};

static const struct sg_doc *
table_in(const struct sg_doc *answer, const char *name, const char *table)
{
    const struct sg_doc *tables = sg_doc_get(answer, sg_str(name));

    return tables != NULL && tables->type == SG_DOC_OBJECT ? sg_doc_get(tables, sg_str(table))
                                                           : NULL;
}

/* {"RequestItems": {TABLE: {"Keys": […], "ConsistentRead": true}}} of the keys that are not done.
 */
static void
body_of(const struct sg_dynamo_source *s, const struct batch *b, struct sg_buf *body)
{
    struct sg_doc table = {.type = SG_DOC_STRING, .text = sg_str(s->table)};
    bool first = true;
    int i;

    sg_buf_puts(body, "{\"RequestItems\":{");
    if (sg_doc_to_json(&table, body, NULL) != 0)
        body->failed = true;
    sg_buf_puts(body, ":{\"ConsistentRead\":true,\"Keys\":[");
    for (i = 0; i < b->n; i++) {
        if (b->done[i])
            continue;
        if (!first)
            sg_buf_puts(body, ",");
        sg_buf_add(body, b->keys[i]);
        first = false;
    }
    sg_buf_puts(body, "]}}}");
}

/* Marks as done what came, and what the service did not put off. */
static int
take_answer(struct sg_dynamo_source *s, struct batch *b, const struct sg_doc *answer,
            sg_source_emit emit, void *ctx, bool *more, struct sg_err *err)
{
    const struct sg_doc *items = table_in(answer, "Responses", s->table);
    const struct sg_doc *put_off = table_in(answer, "UnprocessedKeys", s->table);
    uint32_t i;
    int k;

    *more = put_off != NULL;
    for (i = 0; items != NULL && items->type == SG_DOC_ARRAY && i < items->n; i++) {
        if (sg_dynamo_record(s, 0, &items->items[i], err) != 0 ||
            emit(ctx, s->records, 1, err) != 0)
            return -1;
        for (k = 0; k < b->n; k++)
            b->done[k] = b->done[k] || sg_slice_eq(b->keys[k], s->records[0].key);
    }
    for (k = 0; k < b->n && !*more; k++) {
        struct sg_source_record gone = {.key = b->keys[k], .expires_ms = -1};

        if (!b->done[k] && emit(ctx, &gone, 1, err) != 0)
            return -1;
        b->done[k] = true;
    }
    return 0;
}

static int
fetch_batch(struct sg_dynamo_source *s, struct batch *b, sg_source_emit emit, void *ctx,
            struct sg_err *err)
{
    struct sg_slice answer;
    struct sg_doc doc;
    bool more;
    int try, rc;

    for (try = 1;; try++) {
        struct sg_buf body = SG_BUF_INIT(SG_DOC_BYTES_MAX);

        body_of(s, b, &body);
        rc = body.failed
                 ? sg_fail(err, SG_E_LIMIT, sg_dynamo_name(s->dynamo), "too many keys")
                 : sg_dynamo_ask(s->dynamo, "BatchGetItem", sg_buf_slice(&body), &answer, err);
        sg_buf_free(&body);
        if (rc != 0)
            return -1;
        sg_arena_reset(s->arena);
        if (sg_doc_from_json(s->arena, answer, &doc, err) != 0 ||
            take_answer(s, b, &doc, emit, ctx, &more, err) != 0)
            return -1;
        if (!more)
            return 0;
        if (sg_dynamo_back_off(s->dynamo, try, err) != 0)
            return -1;
    }
}

int
sg_dynamo_fetch(struct sg_source *base, const char *collection, const struct sg_slice *keys, int n,
                sg_source_emit emit, void *ctx, struct sg_err *err)
{
    struct sg_dynamo_source *s = sg_container_of(base, struct sg_dynamo_source, base);
    int at, most = KEYS_AT_ONCE;

    if (sg_dynamo_learn(s, collection, err) != 0)
        return -1;
    for (at = 0; at < n;) {
        struct batch b = {.keys = keys + at, .n = n - at < most ? n - at : most};
        int i, done = 0;

        if (fetch_batch(s, &b, emit, ctx, err) == 0) {
            at += b.n;
            continue;
        }
        for (i = 0; i < b.n; i++)
            done += b.done[i];
        /* An answer that is too large for the memory is asked for in smaller ones. */
        if (err->code != SG_E_LIMIT || done != 0 || most == 1)
            return -1;
        most = most / 5 > 0 ? most / 5 : 1;
    }
    return 0;
}
