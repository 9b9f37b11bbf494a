/* SPDX-License-Identifier: MIT */
/* What a Redis value is as a document, and back. */
#include "base/utf8.h"
#include "source/redis_values.h"

#include <stdlib.h>

static bool
is_utf8(struct sg_slice s)
{
    size_t i = 0, n;

    while (i < s.len) {
        if ((n = sg_utf8_len(s.ptr + i, s.len - i)) == 0)
            return false;
        i += n;
    }
    return true;
}

static struct sg_doc
text_doc(const redisReply *r)
{
    struct sg_slice s = sg_slice(r->str, (size_t)r->len);

    return (struct sg_doc){.type = is_utf8(s) ? SG_DOC_STRING : SG_DOC_BYTES, .text = s};
}

/* Whether writing the document gives the very text it was read from. */
static bool
writes_back(const struct sg_doc *doc, struct sg_slice text)
{
    struct sg_buf out = SG_BUF_INIT(text.len);
    bool same = sg_doc_to_json(doc, &out, NULL) == 0 && sg_slice_eq(sg_buf_slice(&out), text);

    sg_buf_free(&out);
    return same;
}

/* Objects and arrays are JSON; a single value only where it can be told from a text that means
 * itself: a number that is written just so ("42", but not "042"), true, false and null. */
static int
string_doc(struct sg_arena *arena, const redisReply *r, struct sg_doc *out, struct sg_err *err)
{
    struct sg_slice text = sg_slice(r->str, (size_t)r->len);
    struct sg_doc doc;

    if (text.len != 0 && text.ptr[0] != '"') {
        if (sg_doc_from_json(arena, text, &doc, err) == 0) {
            if (doc.type == SG_DOC_OBJECT || doc.type == SG_DOC_ARRAY || writes_back(&doc, text)) {
                *out = doc;
                return 0;
            }
        } else if (err->code == SG_E_LIMIT) {
            return -1;
        }
    }
    *out = text_doc(r);
    return 0;
}

static int
no_room(struct sg_err *err)
{
    return sg_fail(err, SG_E_LIMIT, "redis", "the value takes more memory than a batch may");
}

static int
hash_doc(struct sg_arena *arena, const redisReply *r, struct sg_doc *out, struct sg_err *err)
{
    size_t n = r->elements / 2, i;

    *out = (struct sg_doc){.type = SG_DOC_OBJECT, .n = (uint32_t)n};
    if ((out->members = sg_arena_alloc(arena, n * sizeof *out->members)) == NULL)
        return no_room(err);
    for (i = 0; i < n; i++) {
        out->members[i].name = sg_slice(r->element[2 * i]->str, (size_t)r->element[2 * i]->len);
        out->members[i].value = text_doc(r->element[2 * i + 1]);
    }
    return 0;
}

static int
list_doc(struct sg_arena *arena, const redisReply *r, struct sg_doc *out, struct sg_err *err)
{
    size_t i;

    *out = (struct sg_doc){.type = SG_DOC_ARRAY, .n = (uint32_t)r->elements};
    if ((out->items = sg_arena_alloc(arena, r->elements * sizeof *out->items)) == NULL)
        return no_room(err);
    for (i = 0; i < r->elements; i++)
        out->items[i] = text_doc(r->element[i]);
    return 0;
}

/* A sorted set, in its order: [{"member": …, "score": …}, …]. */
static int
zset_doc(struct sg_arena *arena, const redisReply *r, struct sg_doc *out, struct sg_err *err)
{
    size_t n = r->elements / 2, i;
    struct sg_doc_member *m;

    *out = (struct sg_doc){.type = SG_DOC_ARRAY, .n = (uint32_t)n};
    if ((out->items = sg_arena_alloc(arena, n * sizeof *out->items)) == NULL ||
        (m = sg_arena_alloc(arena, 2 * n * sizeof *m)) == NULL)
        return no_room(err);
    for (i = 0; i < n; i++, m += 2) {
        const redisReply *score = r->element[2 * i + 1];

        out->items[i] = (struct sg_doc){.type = SG_DOC_OBJECT, .n = 2, .members = m};
        m[0].name = sg_str("member");
        m[0].value = text_doc(r->element[2 * i]);
        m[1].name = sg_str("score");
        m[1].value = (struct sg_doc){.type = SG_DOC_DOUBLE, .real = strtod(score->str, NULL)};
    }
    return 0;
}

int
sg_redis_values_doc(struct sg_arena *arena, const char *type, const redisReply *value,
                    struct sg_doc *out, struct sg_err *err)
{
    if (strcmp(type, "string") == 0)
        return string_doc(arena, value, out, err);
    if (strcmp(type, "hash") == 0)
        return hash_doc(arena, value, out, err);
    if (strcmp(type, "zset") == 0)
        return zset_doc(arena, value, out, err);
    return list_doc(arena, value, out, err);
}
