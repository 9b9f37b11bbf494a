/* SPDX-License-Identifier: MIT */
#include "model/profile_tree.h"

#include "base/encode.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define EPOCH_S_FROM INT64_C(946684800) /* 2000 */
#define EPOCH_S_TO INT64_C(4102444800)  /* 2100 */
#define DOUBLE_WHOLE (INT64_C(1) << 53)
#define BIG_BYTES (1 << 20)
#define ENUM_REPEATS 10 /* a value that stands for a kind comes again and again */

struct walk {
    struct sg_profile *p;
    struct sg_slice key;
    struct sg_err *err;
};

int
sg_profile_new(const char *name, struct sg_profile **out, struct sg_err *err)
{
    struct sg_profile *p = calloc(1, sizeof *p);

    if (p == NULL)
        return sg_fail(err, SG_E_INTERNAL, name, "out of memory");
    snprintf(p->name, sizeof p->name, "%s", name);
    *out = p;
    return 0;
}

void
sg_field_clear(struct sg_field *f)
{
    struct sg_field *m, *next;

    for (m = f->first; m != NULL; m = next) {
        next = m->next;
        sg_field_clear(m);
        free(m);
    }
    if (f->each != NULL)
        sg_field_clear(f->each);
    free(f->each);
    free(f->name);
    free(f->values);
    sg_distinct_free(&f->distinct);
}

void
sg_profile_free(struct sg_profile *p)
{
    if (p == NULL)
        return;
    sg_field_clear(&p->root);
    sg_field_clear(&p->key);
    free(p);
}

static int
bin_of(uint64_t value)
{
    int bin = 0;

    for (; value > 0 && bin < SG_PROFILE_BINS - 1; value >>= 1)
        bin++;
    return bin;
}

struct sg_field *
sg_field_member(const struct sg_field *f, struct sg_slice name)
{
    struct sg_field *m;

    for (m = f->first; m != NULL; m = m->next)
        if (sg_slice_eq(sg_slice(m->name, m->name_len), name))
            return m;
    return NULL;
}

struct sg_slice
sg_scalar_text(const struct sg_doc *doc, char scratch[64])
{
    switch (doc->type) {
    case SG_DOC_BOOL:
        return sg_str(doc->boolean ? "true" : "false");
    case SG_DOC_INT:
    case SG_DOC_TIME:
        snprintf(scratch, 64, "%" PRId64, doc->integer);
        return sg_str(scratch);
    case SG_DOC_DOUBLE:
        snprintf(scratch, 64, "%.17g", doc->real);
        return sg_str(scratch);
    case SG_DOC_OID:
        if (doc->text.len == 12)
            sg_hex((const uint8_t *)doc->text.ptr, 12, scratch);
        return doc->text.len == 12 ? sg_str(scratch) : doc->text;
    case SG_DOC_DECIMAL:
    case SG_DOC_STRING:
    case SG_DOC_BYTES:
        return doc->text;
    default:
        return sg_slice(NULL, 0);
    }
}

/* ---- one value ---- */

static void
range_of(struct sg_field *f, int64_t v, uint64_t before)
{
    if (before == 0 || v < f->int_min)
        f->int_min = v;
    if (before == 0 || v > f->int_max)
        f->int_max = v;
}

static void
add_int(struct sg_field *f, int64_t v)
{
    range_of(f, v, f->types[SG_DOC_INT] + f->types[SG_DOC_TIME] - 1);
    f->epoch_s += v >= EPOCH_S_FROM && v < EPOCH_S_TO;
    f->epoch_ms += v >= EPOCH_S_FROM * 1000 && v < EPOCH_S_TO * 1000;
    f->past_double += v > DOUBLE_WHOLE || v < -DOUBLE_WHOLE;
}

static void
add_double(struct sg_field *f, double v)
{
    char text[64];

    if (!isfinite(v)) {
        f->not_finite++;
        return;
    }
    if (f->types[SG_DOC_DOUBLE] - f->not_finite == 1 || v < f->real_min)
        f->real_min = v;
    if (f->types[SG_DOC_DOUBLE] - f->not_finite == 1 || v > f->real_max)
        f->real_max = v;
    snprintf(text, sizeof text, "%.4f", v);
    f->cents += fabs(v) < 1e12 && strtod(text, NULL) == v;
}

/* A word that a schema could hold: short, printable, beginning with a letter, and not the look of
 * a generated token. */
static bool
is_word(struct sg_slice s)
{
    bool digit = false, mixed;
    size_t i;

    if (s.len == 0 || s.len > SG_PROFILE_VALUE_BYTES || !isalpha((unsigned char)s.ptr[0]))
        return false;
    for (i = 0; i < s.len; i++) {
        if (!isalnum((unsigned char)s.ptr[i]) && strchr("_ .:/+-", s.ptr[i]) == NULL)
            return false;
        digit = digit || isdigit((unsigned char)s.ptr[i]);
    }
    mixed = digit && s.len >= 16;
    return !mixed && s.ptr[s.len - 1] != ' ';
}

void
sg_field_drop_values(struct sg_field *f)
{
    free(f->values);
    f->values = NULL;
    f->n_values = 0;
    f->many_values = true;
}

void
sg_field_keep_value(struct sg_field *f, struct sg_slice s, uint64_t times)
{
    const struct sg_field *named = f;
    int i;

    if (f->many_values)
        return;
    while (named->name == NULL && named->parent != NULL)
        named = named->parent;
    if (!is_word(s) || sg_name_is_secret(sg_slice(named->name, named->name_len))) {
        sg_field_drop_values(f);
        return;
    }
    for (i = 0; i < f->n_values; i++)
        if (sg_slice_eq(sg_str(f->values[i].text), s)) {
            f->values[i].n += times;
            return;
        }
    if (f->values == NULL)
        f->values = calloc(SG_PROFILE_VALUES_MAX, sizeof *f->values);
    if (f->values == NULL || f->n_values == SG_PROFILE_VALUES_MAX) {
        sg_field_drop_values(f);
        return;
    }
    snprintf(f->values[i].text, sizeof f->values[i].text, "%.*s", (int)s.len, s.ptr);
    f->values[f->n_values++].n = times;
}

static void
add_text(struct sg_field *f, const struct sg_doc *v)
{
    uint64_t before = f->types[SG_DOC_STRING] + f->types[SG_DOC_BYTES] - 1;

    if (before == 0 || v->text.len < f->len_min)
        f->len_min = v->text.len;
    if (v->text.len > f->len_max)
        f->len_max = v->text.len;
    f->len_sum += v->text.len;
    if (v->type != SG_DOC_STRING)
        return;
    f->formats[sg_format_of(v->text)]++;
    f->nul += v->text.len > 0 && memchr(v->text.ptr, 0, v->text.len) != NULL;
    f->bad_utf8 += !sg_utf8_valid(v->text);
    sg_field_keep_value(f, v->text, 1);
}

static void
add_size(struct sg_field *f, uint64_t size, bool first)
{
    if (first || size < f->size_min)
        f->size_min = size;
    if (size > f->size_max)
        f->size_max = size;
    f->size_sum += size;
    f->sizes[bin_of(size)]++;
}

static void
add_scalar(struct walk *w, struct sg_field *f, const struct sg_doc *v)
{
    char scratch[64];
    struct sg_slice text = sg_scalar_text(v, scratch);

    sg_distinct_add(&f->distinct, sg_distinct_hash(text), 1);
    f->equals_key += w->key.ptr != NULL && sg_slice_eq(text, w->key);
    if (v->type == SG_DOC_INT || v->type == SG_DOC_TIME)
        add_int(f, v->integer);
    else if (v->type == SG_DOC_DOUBLE)
        add_double(f, v->real);
    else if (v->type == SG_DOC_STRING || v->type == SG_DOC_BYTES)
        add_text(f, v);
}

/* ---- the tree ---- */

static int add_value(struct walk *w, struct sg_field *f, const struct sg_doc *v, int depth);

static int
add_child(struct walk *w, struct sg_field *parent, struct sg_field **slot, struct sg_slice name,
          const struct sg_doc *v, int depth)
{
    struct sg_field *f = *slot;

    if (f == NULL && depth < SG_PROFILE_DEPTH_MAX && w->p->n_fields < SG_PROFILE_FIELDS_MAX) {
        if ((f = sg_field_new(w->p, parent, name)) == NULL)
            return sg_fail(w->err, SG_E_INTERNAL, w->p->name, "out of memory");
        *slot = f;
        if (name.ptr != NULL)
            sg_field_link(parent, f);
    }
    if (f == NULL) {
        w->p->beyond++;
        return 0;
    }
    return add_value(w, f, v, depth);
}

static int
add_object(struct walk *w, struct sg_field *f, const struct sg_doc *v, int depth)
{
    uint32_t i;

    add_size(f, v->n, f->types[SG_DOC_OBJECT] == 1);
    for (i = 0; i < v->n; i++) {
        struct sg_slice name = v->members[i].name;
        struct sg_field *m;

        if (!f->is_map && f->n_members >= SG_PROFILE_NAMES_MAX && f->parent != NULL)
            sg_field_fold(w->p, f);
        if (f->is_map) {
            sg_distinct_add(&f->distinct, sg_distinct_hash(name), 1);
            if (add_child(w, f, &f->each, sg_slice(NULL, 0), &v->members[i].value, depth + 1) != 0)
                return -1;
            continue;
        }
        m = sg_field_member(f, name);
        if (add_child(w, f, &m, sg_slice(name.ptr != NULL ? name.ptr : "", name.len),
                      &v->members[i].value, depth + 1) != 0)
            return -1;
    }
    return 0;
}

static int
add_value(struct walk *w, struct sg_field *f, const struct sg_doc *v, int depth)
{
    uint32_t i;

    f->n++;
    f->types[v->type]++;
    if (v->type == SG_DOC_OBJECT)
        return add_object(w, f, v, depth);
    if (v->type != SG_DOC_ARRAY) {
        if (v->type != SG_DOC_NULL)
            add_scalar(w, f, v);
        return 0;
    }
    add_size(f, v->n, f->types[SG_DOC_ARRAY] == 1);
    for (i = 0; i < v->n; i++)
        if (add_child(w, f, &f->each, sg_slice(NULL, 0), &v->items[i], depth + 1) != 0)
            return -1;
    return 0;
}

static void
add_odd(struct sg_profile *p, const char *text)
{
    int i;

    p->odd++;
    for (i = 0; i < p->n_odds; i++)
        if (strcmp(p->odds[i].text, text) == 0)
            break;
    if (i == p->n_odds && i < SG_PROFILE_ODDS_MAX)
        p->odds[p->n_odds++].text = text;
    if (i < SG_PROFILE_ODDS_MAX)
        p->odds[i].n++;
}

int
sg_profile_add(struct sg_profile *p, const struct sg_profile_record *r, int64_t now_ms,
               struct sg_err *err)
{
    struct walk w = {.p = p, .key = r->key, .err = err};

    if (r->doc == NULL) {
        add_odd(p, r->odd != NULL ? r->odd : "not readable");
        return 0;
    }
    p->records++;
    p->untyped += r->untyped;
    p->bytes += r->bytes;
    if (r->bytes > p->largest_bytes)
        p->largest_bytes = r->bytes;
    p->sizes[bin_of(r->bytes)]++;
    if (r->bytes > BIG_BYTES)
        add_odd(p, "larger than 1 MiB");
    if (r->expires_ms >= 0) {
        p->expiring++;
        p->ttl_s[bin_of(r->expires_ms > now_ms ? (uint64_t)(r->expires_ms - now_ms) / 1000 : 0)]++;
    }
    if (r->key.ptr != NULL) {
        struct sg_doc key = {.type = SG_DOC_STRING, .text = r->key};

        p->key.many_values = true; /* keys are never shown */
        if (add_value(&w, &p->key, &key, 0) != 0)
            return -1;
    }
    return add_value(&w, &p->root, r->doc, 0);
}

/* ---- reading it ---- */

uint64_t
sg_field_possible(const struct sg_profile *p, const struct sg_field *f)
{
    if (f->parent == NULL)
        return p->records;
    if (f == f->parent->each)
        return f->n;
    return f->parent->types[SG_DOC_OBJECT];
}

uint64_t
sg_field_not_null(const struct sg_field *f)
{
    return f->n - f->types[SG_DOC_NULL];
}

void
sg_field_path(const struct sg_field *f, struct sg_buf *out)
{
    if (f->parent == NULL)
        return;
    sg_field_path(f->parent, out);
    if (f->name == NULL) {
        sg_buf_puts(out, f->parent->is_map ? "{}" : "[]");
        return;
    }
    if (out->len > 0)
        sg_buf_puts(out, ".");
    sg_buf_add(out, f->name_len > 0 ? sg_slice(f->name, f->name_len) : sg_str("\"\""));
}

bool
sg_field_is_enum(const struct sg_field *f)
{
    uint64_t strings = f->types[SG_DOC_STRING];

    return strings > 0 && strings == sg_field_not_null(f) && !f->many_values && f->n_values > 0 &&
           strings >= (uint64_t)f->n_values * ENUM_REPEATS;
}
