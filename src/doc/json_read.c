/* SPDX-License-Identifier: MIT */
#include "base/json_text.h"
#include "base/utf8.h"
#include "doc/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define PENDING_FIRST 64
#define COMPARE_ALL 12 /* so few names are compared each with each, more are sorted */

/* Values read whose array or object has not ended stand on one stack, then move into the arena. */
struct reader {
    const char *start, *at, *end;
    struct sg_arena *arena;
    struct sg_err *err;
    int depth;
    size_t n, cap; /* of pending */
    struct sg_doc_member *pending, first[PENDING_FIRST];
};

static bool
bad(struct reader *r, enum sg_code code, const char *what)
{
    char place[32];

    snprintf(place, sizeof place, "byte %zu", (size_t)(r->at - r->start));
    sg_fail(r->err, code, place, "%s", what);
    return false;
}

static bool
no_room(struct reader *r)
{
    return bad(r, SG_E_LIMIT, "the document takes more memory than a batch may");
}

static inline void
skip_space(struct reader *r)
{
    while (r->at != r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static inline bool
take(struct reader *r, char c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool
unescape(struct reader *r, struct sg_slice raw, struct sg_slice *out)
{
    char *text = sg_arena_alloc(r->arena, raw.len),
         *w = text; /* an escape is longer than its value */
    const char *p = raw.ptr, *end = p + raw.len, *stop;

    if (text == NULL)
        return no_room(r);
    while (p != end) {
        if ((stop = memchr(p, '\\', (size_t)(end - p))) == NULL)
            stop = end;
        memcpy(w, p, (size_t)(stop - p));
        w += stop - p;
        if ((p = stop) != end)
            w += sg_utf8_put(sg_json_escape(&p, end), w);
    }
    *out = sg_slice(text, (size_t)(w - text));
    return true;
}

/* The opening quote is taken. */
static bool
read_string(struct reader *r, struct sg_slice *out)
{
    const char *start = r->at;
    bool escaped = false;
    size_t n;

    while ((r->at = sg_json_plain(r->at, r->end)) != r->end && *r->at != '"') {
        if (*r->at == '\\') {
            escaped = true;
            if (sg_json_escape(&r->at, r->end) < 0)
                return bad(r, SG_E_INVALID, "not an escape sequence, or half a surrogate pair");
        } else if ((unsigned char)*r->at < 0x20) {
            return bad(r, SG_E_INVALID, "a control byte in a string");
        } else if ((n = sg_utf8_len(r->at, (size_t)(r->end - r->at))) == 0) {
            return bad(r, SG_E_INVALID, "not UTF-8");
        } else {
            r->at += n;
        }
    }
    if (r->at == r->end)
        return bad(r, SG_E_INVALID, "a string without an end");
    *out = sg_slice(start, (size_t)(r->at - start));
    r->at++;
    return !escaped || unescape(r, *out, out);
}

static bool
push(struct reader *r, struct sg_doc_member **slot)
{
    struct sg_doc_member *p;
    size_t cap = r->cap * 2;

    if (r->n == r->cap) {
        if (cap * sizeof *p > sg_arena_left(r->arena))
            return no_room(r);
        p = r->pending == r->first ? malloc(cap * sizeof *p) : realloc(r->pending, cap * sizeof *p);
        if (p == NULL)
            return no_room(r);
        if (r->pending == r->first)
            memcpy(p, r->first, sizeof r->first);
        r->pending = p;
        r->cap = cap;
    }
    *slot = &r->pending[r->n++];
    return true;
}

static bool
names_differ(struct reader *r, const struct sg_doc *object)
{
    const struct sg_doc_member *m = object->members, **sorted;
    uint32_t i, k;

    if (object->n <= COMPARE_ALL) {
        for (i = 1; i < object->n; i++)
            for (k = 0; k < i; k++)
                if (sg_slice_eq(m[i].name, m[k].name))
                    return bad(r, SG_E_INVALID, "a member name comes twice in the object before");
        return true;
    }
    if ((sorted = sg_arena_alloc(r->arena, object->n * sizeof *sorted)) == NULL)
        return no_room(r);
    for (i = 0; i < object->n; i++)
        sorted[i] = &m[i];
    qsort(sorted, object->n, sizeof *sorted, sg_doc_compare_members);
    for (i = 1; i < object->n; i++)
        if (sg_slice_eq(sorted[i]->name, sorted[i - 1]->name))
            return bad(r, SG_E_INVALID, "a member name comes twice in the object before");
    return true;
}

static bool read_value(struct reader *r, struct sg_doc *out);

/* The pending values from `base` on become the members or items of *out. */
static bool
collect(struct reader *r, size_t base, struct sg_doc *out)
{
    size_t n = r->n - base, i;

    out->n = (uint32_t)n;
    out->items = NULL;
    r->n = base;
    if (n == 0)
        return true;
    if (out->type == SG_DOC_OBJECT) {
        if ((out->members = sg_arena_alloc(r->arena, n * sizeof *out->members)) == NULL)
            return no_room(r);
        memcpy(out->members, r->pending + base, n * sizeof *out->members);
        return names_differ(r, out);
    }
    if ((out->items = sg_arena_alloc(r->arena, n * sizeof *out->items)) == NULL)
        return no_room(r);
    for (i = 0; i < n; i++)
        out->items[i] = r->pending[base + i].value;
    return true;
}

/* The opening bracket is taken. */
static bool
read_nested(struct reader *r, enum sg_doc_type type, struct sg_doc *out)
{
    char close = type == SG_DOC_OBJECT ? '}' : ']';
    struct sg_doc_member member = {0}, *slot;
    size_t base = r->n;

    if (r->depth == SG_DOC_DEPTH_MAX)
        return bad(r, SG_E_LIMIT, "nested too deeply");
    r->depth++;
    *out = (struct sg_doc){.type = type};
    if (!take(r, close)) {
        do {
            if (type == SG_DOC_OBJECT) {
                if (!take(r, '"'))
                    return bad(r, SG_E_INVALID, "expected a member name");
                if (!read_string(r, &member.name))
                    return false;
                if (!take(r, ':'))
                    return bad(r, SG_E_INVALID, "expected ':'");
            }
            if (!read_value(r, &member.value) || !push(r, &slot))
                return false;
            *slot = member;
        } while (take(r, ','));
        if (!take(r, close))
            return bad(r, SG_E_INVALID,
                       type == SG_DOC_OBJECT ? "expected ',' or '}'" : "expected ',' or ']'");
    }
    r->depth--;
    return collect(r, base, out);
}

static bool
read_word(struct reader *r, const char *word)
{
    if (!sg_slice_starts(sg_slice(r->at, (size_t)(r->end - r->at)), word))
        return bad(r, SG_E_INVALID, "expected a JSON value");
    r->at += strlen(word);
    return true;
}

static bool
read_number(struct reader *r, struct sg_doc *out)
{
    const char *end;
    bool whole;

    if ((end = sg_doc_number_end(r->at, r->end, &whole)) == NULL)
        return bad(r, SG_E_INVALID, "expected a JSON value");
    sg_doc_number_value(sg_slice(r->at, (size_t)(end - r->at)), whole, out);
    r->at = end;
    return true;
}

static bool
read_value(struct reader *r, struct sg_doc *out)
{
    skip_space(r);
    switch (r->at != r->end ? *r->at : 0) {
    case '{':
        r->at++;
        return read_nested(r, SG_DOC_OBJECT, out);
    case '[':
        r->at++;
        return read_nested(r, SG_DOC_ARRAY, out);
    case '"':
        r->at++;
        *out = (struct sg_doc){.type = SG_DOC_STRING};
        return read_string(r, &out->text);
    case 't':
        *out = (struct sg_doc){.type = SG_DOC_BOOL, .boolean = true};
        return read_word(r, "true");
    case 'f':
        *out = (struct sg_doc){.type = SG_DOC_BOOL};
        return read_word(r, "false");
    case 'n':
        *out = (struct sg_doc){.type = SG_DOC_NULL};
        return read_word(r, "null");
    default:
        return read_number(r, out);
    }
}

int
sg_doc_from_json(struct sg_arena *arena, struct sg_slice json, struct sg_doc *out,
                 struct sg_err *err)
{
    struct reader r = {
        .start = json.ptr, .at = json.ptr, .arena = arena, .err = err, .cap = PENDING_FIRST};
    struct sg_doc doc;
    bool good;

    if (json.len > SG_DOC_BYTES_MAX)
        return sg_fail(err, SG_E_LIMIT, "byte 0", "%zu bytes, at most %d", json.len,
                       SG_DOC_BYTES_MAX);
    if (json.len == 0)
        return sg_fail(err, SG_E_INVALID, "byte 0", "expected a JSON value");
    r.end = json.ptr + json.len;
    r.pending = r.first;
    good = read_value(&r, &doc);
    if (good) {
        skip_space(&r);
        if (r.at != r.end)
            good = bad(&r, SG_E_INVALID, "bytes after the value");
    }
    if (r.pending != r.first)
        free(r.pending);
    if (!good)
        return -1;
    *out = doc;
    return 0;
}
