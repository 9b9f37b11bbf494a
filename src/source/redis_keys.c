/* SPDX-License-Identifier: MIT */
#include "source/redis_keys.h"

#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>

#define PARTS_MAX 6   /* what follows them is "**" */
#define PART_BYTES 31 /* a longer part is no name */
#define VALUES_MAX 16 /* of a part that is told apart */
#define GROUPS_MAX 1024
#define MANY 4 /* keys for each value, for a part to be a name */

bool
sg_redis_keys_match(const char *pattern, struct sg_slice key)
{
    const char *p = pattern, *star = NULL, *k = key.ptr, *retry = NULL;
    const char *end = key.len != 0 ? k + key.len : k;

    for (;;) {
        if (strcmp(p, "**") == 0)
            return true;
        if (*p == '*') {
            star = ++p;
            retry = k;
        } else if (k != end && *p == *k && *p != '\0') {
            p++;
            k++;
        } else if (k == end && *p == '\0') {
            return true;
        } else if (star != NULL && retry != end && *retry != ':') {
            p = star;
            k = ++retry;
        } else {
            return false;
        }
    }
}

void
sg_redis_keys_glob(const char *pattern, struct sg_buf *out)
{
    for (; *pattern != '\0'; pattern++) {
        if (strchr("?[]\\^", *pattern) != NULL)
            sg_buf_puts(out, "\\");
        sg_buf_add(out, sg_slice(pattern, 1));
    }
}

/* ---- patterns ---- */

struct values {
    int n;
    bool names; /* as far as seen, they may be names */
    bool digits;
    char text[VALUES_MAX][PART_BYTES + 1];
};

struct group {
    int parts;
    int64_t keys;
    char first[PART_BYTES + 1];      /* "" = any */
    struct values others[PARTS_MAX]; /* [0] unused unless keys have one part only */
    bool fixed[PARTS_MAX];
};

struct sg_redis_patterns {
    int n;
    struct group *groups[GROUPS_MAX];
    struct group *last; /* found; keys of a kind come in runs */
};

struct parts {
    int n;
    bool more;
    struct sg_slice part[PARTS_MAX];
};

int
sg_redis_patterns_new(struct sg_redis_patterns **out, struct sg_err *err)
{
    *out = calloc(1, sizeof **out);
    return *out != NULL ? 0 : sg_fail(err, SG_E_INTERNAL, "redis", "out of memory");
}

void
sg_redis_patterns_free(struct sg_redis_patterns *p)
{
    int i;

    if (p == NULL)
        return;
    for (i = 0; i < p->n; i++)
        free(p->groups[i]);
    free(p);
}

/* A key without ':' is parted behind its first '_', '-' or '.', if it has one. */
static struct parts
split(struct sg_slice key)
{
    const char *p = key.ptr, *end = p + key.len, *stop;
    struct parts s = {0};

    if (memchr(p, ':', key.len) == NULL) {
        for (stop = p; stop != end && strchr("_-.", *stop) == NULL; stop++) {
        }
        s.part[0] = sg_slice(p, (size_t)(stop - p) + (stop != end));
        s.part[1] = sg_slice(p + s.part[0].len, key.len - s.part[0].len);
        s.n = s.part[1].len != 0 ? 2 : 1;
        return s;
    }
    for (;;) {
        stop = memchr(p, ':', (size_t)(end - p));
        s.part[s.n++] = sg_slice(p, (size_t)((stop != NULL ? stop : end) - p));
        if (stop == NULL)
            return s;
        p = stop + 1;
        if (s.n == PARTS_MAX) {
            s.more = true;
            return s;
        }
    }
}

static bool
is_name(struct sg_slice part)
{
    size_t i, n;

    if (part.len == 0 || part.len > PART_BYTES)
        return false;
    for (i = 0; i < part.len; i += n) {
        n = sg_utf8_len(part.ptr + i, part.len - i);
        if (n == 0 ||
            (n == 1 && (part.ptr[i] <= 0x20 || part.ptr[i] == 0x7f || part.ptr[i] == '*')))
            return false;
    }
    return true;
}

static struct group *
find(const struct sg_redis_patterns *p, const struct parts *s, struct sg_slice first)
{
    int i, kind = s->n + s->more;

    for (i = 0; i < p->n; i++)
        if (p->groups[i]->parts == kind && sg_slice_eq(sg_str(p->groups[i]->first), first))
            return p->groups[i];
    return NULL;
}

/* A key with one part has no first one in common with others. */
static struct group *
find_any(const struct sg_redis_patterns *p, const struct parts *s)
{
    struct group *g = p->last;

    if (s->n == 1)
        return find(p, s, sg_str(""));
    if (g != NULL && g->parts == s->n + s->more && sg_slice_eq(sg_str(g->first), s->part[0]))
        return g;
    g = is_name(s->part[0]) ? find(p, s, s->part[0]) : NULL;
    return g != NULL ? g : find(p, s, sg_str(""));
}

static struct group *
make(struct sg_redis_patterns *p, const struct parts *s)
{
    bool named = s->n > 1 && is_name(s->part[0]) && p->n < GROUPS_MAX - 2 * PARTS_MAX;
    struct group *g = find(p, s, named ? s->part[0] : sg_str(""));
    int i;

    if (g != NULL || p->n == GROUPS_MAX || (g = calloc(1, sizeof *g)) == NULL)
        return g;
    g->parts = s->n + s->more;
    if (named)
        memcpy(g->first, s->part[0].ptr, s->part[0].len);
    for (i = 0; i < PARTS_MAX; i++)
        g->others[i].names = true;
    p->groups[p->n++] = g;
    return g;
}

static void
note(struct values *v, struct sg_slice part)
{
    size_t k;
    int i;

    for (k = 0; k < part.len; k++)
        v->digits = v->digits || (part.ptr[k] >= '0' && part.ptr[k] <= '9');
    if (!v->names)
        return;
    for (i = 0; i < v->n; i++)
        if (sg_slice_eq(sg_str(v->text[i]), part))
            return;
    if (v->n == VALUES_MAX || !is_name(part)) {
        v->names = false;
        return;
    }
    memcpy(v->text[v->n], part.ptr, part.len);
    v->text[v->n++][part.len] = '\0';
}

void
sg_redis_patterns_add(struct sg_redis_patterns *p, struct sg_slice key)
{
    struct parts s = split(key);
    struct group *g = find_any(p, &s);
    int i;

    if (g == NULL || (g->first[0] == '\0' && s.n > 1))
        g = make(p, &s);
    if (g == NULL)
        return;
    p->last = g;
    g->keys++;
    for (i = s.n == 1 ? 0 : 1; i < s.n; i++)
        note(&g->others[i], s.part[i]);
}

void
sg_redis_patterns_settle(struct sg_redis_patterns *p)
{
    int i, k;

    for (i = 0; i < p->n; i++) {
        struct group *g = p->groups[i];

        for (k = 0; k < PARTS_MAX; k++) {
            const struct values *v = &g->others[k];

            if (g->parts == 1)
                g->fixed[k] = v->names && !v->digits;
            else if (g->parts == 2)
                g->fixed[k] = false;
            else
                g->fixed[k] = v->names && v->n > 0 &&
                              (v->digits ? g->keys >= MANY * VALUES_MAX * v->n
                                         : v->n == 1 || g->keys >= MANY * v->n);
        }
    }
}

void
sg_redis_patterns_of(const struct sg_redis_patterns *p, struct sg_slice key,
                     char name[SG_SOURCE_NAME_MAX + 1])
{
    bool whole = memchr(key.ptr, ':', key.len) == NULL;
    struct sg_buf out = SG_BUF_INIT(SG_SOURCE_NAME_MAX);
    struct parts s = split(key);
    const struct group *g = find_any(p, &s);
    int i;

    for (i = 0; i < s.n; i++) {
        bool fixed = g != NULL && (i == 0 && s.n > 1 ? g->first[0] != '\0' : g->fixed[i]);

        if (i > 0 && !whole)
            sg_buf_puts(&out, ":");
        if (fixed)
            sg_buf_add(&out, s.part[i]);
        else
            sg_buf_puts(&out, "*");
    }
    if (s.more)
        sg_buf_puts(&out, ":**");
    snprintf(name, SG_SOURCE_NAME_MAX + 1, "%s", out.ptr);
    sg_buf_free(&out);
}
