/* SPDX-License-Identifier: MIT */
#include "jwt/json_scan.h"

#include "base/json_text.h"
#include "base/utf8.h"

static bool
fail(struct sg_json *j, enum sg_json_failure why)
{
    if (j->failure == SG_JSON_FINE)
        j->failure = why;
    j->at = j->end; /* nothing is read any more */
    return false;
}

void
sg_json_init(struct sg_json *j, struct sg_slice text)
{
    j->at = text.ptr;
    j->end = text.len != 0 ? text.ptr + text.len : text.ptr;
    j->failure = SG_JSON_FINE;
    j->depth = 0;
    j->n_names = 0;
}

static inline void
skip_space(struct sg_json *j)
{
    const char *p = j->at;

    while (p != j->end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    j->at = p;
}

static inline bool
take(struct sg_json *j, char c)
{
    if (j->at == j->end || *j->at != c) {
        skip_space(j);
        if (j->at == j->end || *j->at != c)
            return false;
    }
    j->at++;
    return true;
}

enum sg_json_kind
sg_json_peek(struct sg_json *j)
{
    skip_space(j);
    if (j->at == j->end)
        return SG_JSON_NONE;
    switch (*j->at) {
    case '{':
        return SG_JSON_OBJECT;
    case '[':
        return SG_JSON_ARRAY;
    case '"':
        return SG_JSON_STRING;
    case 't':
    case 'f':
    case 'n':
        return SG_JSON_WORD;
    default:
        return *j->at == '-' || (*j->at >= '0' && *j->at <= '9') ? SG_JSON_NUMBER : SG_JSON_NONE;
    }
}

/* ---- strings ---- */

/* The rest of a string that holds more than plain bytes; p is at the first other one. */
static bool
string_rest(struct sg_json *j, const char *p, struct sg_json_string *out)
{
    while ((p = sg_json_plain(p, j->end)) != j->end && *p != '"') {
        unsigned char c = (unsigned char)*p;
        size_t n;

        if (c == '\\') {
            out->escaped = true;
            if (sg_json_escape(&p, j->end) <= 0)
                return fail(j, SG_JSON_BAD);
        } else if (c < 0x20 || (n = sg_utf8_len(p, (size_t)(j->end - p))) == 0) {
            return fail(j, SG_JSON_BAD);
        } else {
            p += n;
        }
    }
    if (p == j->end)
        return fail(j, SG_JSON_BAD);
    out->raw.len = (size_t)(p - j->at);
    j->at = p + 1;
    return true;
}

bool
sg_json_string(struct sg_json *j, struct sg_json_string *out)
{
    const char *p;

    if (!take(j, '"'))
        return fail(j, SG_JSON_BAD);
    p = sg_json_plain(j->at, j->end);
    *out = (struct sg_json_string){sg_slice(j->at, (size_t)(p - j->at)), false};
    if (p == j->end || *p != '"')
        return string_rest(j, p, out);
    j->at = p + 1;
    return true;
}

/* The next byte run of a string's value in chunk[4]; 0 at its end. */
static size_t
next_chunk(const char **p, const char *end, char chunk[4])
{
    if (*p == end)
        return 0;
    if (**p == '\\')
        return sg_utf8_put(sg_json_escape(p, end), chunk);
    chunk[0] = *(*p)++;
    return 1;
}

size_t
sg_json_unescape(const struct sg_json_string *s, char *out)
{
    const char *p = s->raw.ptr, *end = p + s->raw.len;
    char chunk[4];
    size_t at = 0, n;

    if (!s->escaped) {
        if (s->raw.len != 0)
            memmove(out, p, s->raw.len);
        return s->raw.len;
    }
    while ((n = next_chunk(&p, end, chunk)) != 0) {
        memcpy(out + at, chunk, n); /* behind p: an escape is longer than what it stands for */
        at += n;
    }
    return at;
}

static uint32_t
name_hash(const struct sg_json_string *s)
{
    const char *p = s->raw.ptr, *end = p + s->raw.len;
    uint32_t h = 2166136261U; /* FNV-1a: only spares comparisons */
    char chunk[4];
    size_t n, i;

    if (!s->escaped) {
        for (; p != end; p++)
            h = (h ^ (unsigned char)*p) * 16777619U;
        return h;
    }
    while ((n = next_chunk(&p, end, chunk)) != 0)
        for (i = 0; i < n; i++)
            h = (h ^ (unsigned char)chunk[i]) * 16777619U;
    return h;
}

static bool
name_equal(const struct sg_json_string *a, const struct sg_json_string *b)
{
    const char *p = a->raw.ptr, *pe = p + a->raw.len, *q = b->raw.ptr, *qe = q + b->raw.len;
    char x[4], y[4];
    size_t n = 0, m = 0, i = 0, k = 0;

    if (!a->escaped && !b->escaped)
        return sg_slice_eq(a->raw, b->raw);
    for (;;) {
        if (i == n) {
            n = next_chunk(&p, pe, x);
            i = 0;
        }
        if (k == m) {
            m = next_chunk(&q, qe, y);
            k = 0;
        }
        if (n == 0 || m == 0)
            return n == m;
        if (x[i++] != y[k++])
            return false;
    }
}

bool
sg_json_is(const struct sg_json_string *s, const char *text)
{
    struct sg_json_string t = {sg_str(text), false};

    return name_equal(s, &t);
}

bool
sg_json_add_string(struct sg_buf *out, struct sg_slice text)
{
    size_t i = 0, n;

    sg_buf_puts(out, "\"");
    while (i < text.len) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c == 0 || (n = sg_utf8_len(text.ptr + i, text.len - i)) == 0)
            return false;
        if (c == '"' || c == '\\')
            sg_buf_printf(out, "\\%c", c);
        else if (c < 0x20)
            sg_buf_printf(out, "\\u%04x", c);
        else
            sg_buf_add(out, sg_slice(text.ptr + i, n));
        i += n;
    }
    sg_buf_puts(out, "\"");
    return true;
}

/* ---- numbers and words ---- */

/* Moves past a run of digits; false if there is none. */
static bool
digits(const char **p, const char *end)
{
    const char *start = *p;

    while (*p != end && **p >= '0' && **p <= '9')
        (*p)++;
    return *p != start;
}

/* Moves past a number; *whole tells that it has neither fraction nor exponent. */
static bool
number(struct sg_json *j, struct sg_slice *text, bool *whole)
{
    const char *p, *start;

    skip_space(j);
    p = start = j->at;
    *whole = true;
    if (p != j->end && *p == '-')
        p++;
    if (p != j->end && *p == '0')
        p++;
    else if (!digits(&p, j->end))
        return fail(j, SG_JSON_BAD);
    if (p != j->end && *p == '.') {
        *whole = false;
        p++;
        if (!digits(&p, j->end))
            return fail(j, SG_JSON_BAD);
    }
    if (p != j->end && (*p == 'e' || *p == 'E')) {
        *whole = false;
        p++;
        if (p != j->end && (*p == '+' || *p == '-'))
            p++;
        if (!digits(&p, j->end))
            return fail(j, SG_JSON_BAD);
    }
    *text = sg_slice(start, (size_t)(p - start));
    j->at = p;
    return true;
}

bool
sg_json_int(struct sg_json *j, int64_t *out)
{
    const char *p = j->at;
    struct sg_slice text;
    int64_t v = 0;
    bool whole, negative;
    size_t i;

    /* Seconds and counters: up to 18 digits, which always fit, and nothing that goes on. */
    while (j->end - p > 0 && p - j->at < 18 && *p >= '0' && *p <= '9')
        v = v * 10 + (*p++ - '0');
    if (p != j->at && *j->at != '0' && p != j->end && (*p == ',' || *p == '}')) {
        j->at = p;
        *out = v;
        return true;
    }
    v = 0;
    if (!number(j, &text, &whole))
        return false;
    if (!whole)
        return fail(j, SG_JSON_BAD);
    negative = text.ptr[0] == '-';
    for (i = negative; i < text.len; i++) {
        int d = text.ptr[i] - '0';

        /* Counted downwards, where one more number fits. */
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, d, &v))
            return fail(j, SG_JSON_BAD);
    }
    if (!negative && __builtin_sub_overflow((int64_t)0, v, &v))
        return fail(j, SG_JSON_BAD);
    *out = v;
    return true;
}

static bool
word(struct sg_json *j)
{
    static const char *const words[] = {"true", "false", "null"};
    size_t i;

    for (i = 0; i < 3; i++)
        if (sg_slice_starts(sg_slice(j->at, (size_t)(j->end - j->at)), words[i])) {
            j->at += strlen(words[i]);
            return true;
        }
    return fail(j, SG_JSON_BAD);
}

/* ---- objects and arrays ---- */

static bool
enter(struct sg_json *j, struct sg_json_level *level, char open)
{
    if (!take(j, open))
        return fail(j, SG_JSON_BAD);
    if (j->depth == SG_JSON_DEPTH)
        return fail(j, SG_JSON_TOO_BIG);
    j->depth++;
    level->first_name = j->n_names;
    level->begun = false;
    return true;
}

/* Past the comma or the closing bracket; false at the latter and on failure. */
static bool
next(struct sg_json *j, struct sg_json_level *level, char close)
{
    if (j->failure != SG_JSON_FINE)
        return false;
    if (take(j, close)) {
        j->depth--;
        j->n_names = level->first_name;
        return false;
    }
    if (level->begun && !take(j, ','))
        return fail(j, SG_JSON_BAD);
    level->begun = true;
    return true;
}

bool
sg_json_enter_object(struct sg_json *j, struct sg_json_level *level)
{
    return enter(j, level, '{');
}

bool
sg_json_enter_array(struct sg_json *j, struct sg_json_level *level)
{
    return enter(j, level, '[');
}

bool
sg_json_name(struct sg_json *j, struct sg_json_level *level, struct sg_json_string *name)
{
    if (!next(j, level, '}') || !sg_json_string(j, name))
        return false;
    return take(j, ':') ? true : fail(j, SG_JSON_BAD);
}

bool
sg_json_name_is_new(struct sg_json *j, const struct sg_json_level *level,
                    const struct sg_json_string *name)
{
    uint32_t hash = name_hash(name);
    int i;

    for (i = level->first_name; i < j->n_names; i++)
        if (j->names[i].hash == hash && name_equal(&j->names[i].s, name))
            return fail(j, SG_JSON_BAD);
    if (j->n_names == SG_JSON_NAMES)
        return fail(j, SG_JSON_TOO_BIG);
    j->names[j->n_names].s = *name;
    j->names[j->n_names++].hash = hash;
    return true;
}

bool
sg_json_member(struct sg_json *j, struct sg_json_level *level, struct sg_json_string *name)
{
    return sg_json_name(j, level, name) && sg_json_name_is_new(j, level, name);
}

bool
sg_json_item(struct sg_json *j, struct sg_json_level *level)
{
    return next(j, level, ']');
}

/* Recursion is bounded by SG_JSON_DEPTH. */
static bool
skip(struct sg_json *j)
{
    struct sg_json_level level;
    struct sg_json_string s;
    struct sg_slice text;
    bool whole;

    switch (sg_json_peek(j)) {
    case SG_JSON_OBJECT:
        if (!sg_json_enter_object(j, &level))
            return false;
        while (sg_json_member(j, &level, &s))
            if (!skip(j))
                return false;
        return j->failure == SG_JSON_FINE;
    case SG_JSON_ARRAY:
        if (!sg_json_enter_array(j, &level))
            return false;
        while (sg_json_item(j, &level))
            if (!skip(j))
                return false;
        return j->failure == SG_JSON_FINE;
    case SG_JSON_STRING:
        return sg_json_string(j, &s);
    case SG_JSON_NUMBER:
        return number(j, &text, &whole);
    case SG_JSON_WORD:
        return word(j);
    case SG_JSON_NONE:
        break;
    }
    return fail(j, SG_JSON_BAD);
}

bool
sg_json_skip(struct sg_json *j, struct sg_slice *raw)
{
    const char *start;

    skip_space(j);
    start = j->at;
    if (!skip(j))
        return false;
    if (raw != NULL)
        *raw = sg_slice(start, (size_t)(j->at - start));
    return true;
}

bool
sg_json_end(struct sg_json *j)
{
    if (j->failure != SG_JSON_FINE)
        return false;
    skip_space(j);
    return j->at == j->end ? true : fail(j, SG_JSON_BAD);
}
