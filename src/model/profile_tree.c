/* SPDX-License-Identifier: MIT */
#include "model/profile_tree.h"

#include <stdlib.h>

#define MAP_NAMES_MIN 32 /* so many, and each of them rare */

struct sg_field *
sg_field_new(struct sg_profile *p, struct sg_field *parent, struct sg_slice name)
{
    struct sg_field *f;

    if (p->n_fields >= SG_PROFILE_FIELDS_MAX || (f = calloc(1, sizeof *f)) == NULL)
        return NULL;
    if (name.ptr != NULL && (f->name = malloc(name.len + 1)) == NULL) {
        free(f);
        return NULL;
    }
    if (name.ptr != NULL) {
        memcpy(f->name, name.ptr, name.len);
        f->name[name.len] = '\0';
        f->name_len = name.len;
    }
    f->parent = parent;
    p->n_fields++;
    return f;
}

void
sg_field_link(struct sg_field *f, struct sg_field *m)
{
    m->parent = f;
    m->next = NULL;
    if (f->last != NULL)
        f->last->next = m;
    else
        f->first = m;
    f->last = m;
    f->n_members++;
}

static void merge(struct sg_profile *p, struct sg_field *into, struct sg_field *from);

/* Its members become one, under no name. */
void
sg_field_fold(struct sg_profile *p, struct sg_field *f)
{
    struct sg_field *m, *next, *each = sg_field_new(p, f, sg_slice(NULL, 0));

    if (each == NULL && f->first != NULL) { /* the first one's room */
        each = f->first;
        f->first = each->next;
        free(each->name);
        each->name = NULL;
        each->name_len = 0;
        each->next = NULL;
    }
    for (m = f->first; m != NULL; m = next) {
        next = m->next;
        sg_distinct_add(&f->distinct, sg_distinct_hash(sg_slice(m->name, m->name_len)),
                        (uint32_t)m->n);
        merge(p, each, m);
    }
    f->first = f->last = NULL;
    f->n_members = 0;
    f->is_map = true;
    if (f->each == NULL)
        f->each = each;
    else {
        merge(p, f->each, each);
        /* merge() emptied and freed it */
    }
}

static void
merge_numbers(struct sg_field *a, const struct sg_field *b)
{
    bool ints = b->types[SG_DOC_INT] + b->types[SG_DOC_TIME] > 0;
    bool had = a->types[SG_DOC_INT] + a->types[SG_DOC_TIME] > 0;
    bool reals = b->types[SG_DOC_DOUBLE] > b->not_finite;
    bool texts = b->types[SG_DOC_STRING] + b->types[SG_DOC_BYTES] > 0;
    bool sizes = b->types[SG_DOC_ARRAY] + b->types[SG_DOC_OBJECT] > 0;

    if (ints && (!had || b->int_min < a->int_min))
        a->int_min = b->int_min;
    if (ints && (!had || b->int_max > a->int_max))
        a->int_max = b->int_max;
    had = a->types[SG_DOC_DOUBLE] > a->not_finite;
    if (reals && (!had || b->real_min < a->real_min))
        a->real_min = b->real_min;
    if (reals && (!had || b->real_max > a->real_max))
        a->real_max = b->real_max;
    had = a->types[SG_DOC_STRING] + a->types[SG_DOC_BYTES] > 0;
    if (texts && (!had || b->len_min < a->len_min))
        a->len_min = b->len_min;
    if (texts && b->len_max > a->len_max)
        a->len_max = b->len_max;
    had = a->types[SG_DOC_ARRAY] + a->types[SG_DOC_OBJECT] > 0;
    if (sizes && (!had || b->size_min < a->size_min))
        a->size_min = b->size_min;
    if (sizes && b->size_max > a->size_max)
        a->size_max = b->size_max;
}

/* from goes, with all below it. */
static void
merge(struct sg_profile *p, struct sg_field *a, struct sg_field *from)
{
    struct sg_field *m, *same, *next;
    int i;

    merge_numbers(a, from);
    a->n += from->n;
    for (i = 0; i <= SG_DOC_OTHER; i++)
        a->types[i] += from->types[i];
    for (i = 0; i < SG_FMT_N; i++)
        a->formats[i] += from->formats[i];
    for (i = 0; i < SG_PROFILE_BINS; i++)
        a->sizes[i] += from->sizes[i];
    a->epoch_s += from->epoch_s;
    a->epoch_ms += from->epoch_ms;
    a->past_double += from->past_double;
    a->not_finite += from->not_finite;
    a->cents += from->cents;
    a->len_sum += from->len_sum;
    a->size_sum += from->size_sum;
    a->nul += from->nul;
    a->bad_utf8 += from->bad_utf8;
    if (from->many_values)
        sg_field_drop_values(a);
    for (i = 0; i < from->n_values; i++)
        sg_field_keep_value(a, sg_str(from->values[i].text), from->values[i].n);
    sg_distinct_merge(&a->distinct, &from->distinct);
    if (from->is_map && !a->is_map)
        sg_field_fold(p, a);
    if (from->each != NULL && a->each == NULL) {
        a->each = from->each;
        a->each->parent = a;
    } else if (from->each != NULL)
        merge(p, a->each, from->each);
    from->each = NULL;
    for (m = from->first; m != NULL; m = next) {
        next = m->next;
        same = a->is_map ? a->each : sg_field_member(a, sg_slice(m->name, m->name_len));
        if (same != NULL)
            merge(p, same, m);
        else
            sg_field_link(a, m);
    }
    from->first = NULL;
    sg_field_clear(from);
    free(from);
    p->n_fields--;
}

/* ---- maps ---- */

/* A map's names are data: they look like identifiers, or there are many, each of them rare, before
 * values that are all alike. */
static bool
looks_like_map(const struct sg_field *f)
{
    const struct sg_field *m;
    uint64_t data = 0, numbers = 0, shares = 0, kinds[SG_DOC_OTHER + 1] = {0}, total = 0;
    int i, used = 0;

    if (f->n_members == 0)
        return false;
    for (m = f->first; m != NULL; m = m->next) {
        enum sg_format fmt = sg_format_of(sg_slice(m->name, m->name_len));

        data += sg_format_is_data(fmt);
        numbers += fmt == SG_FMT_INTEGER;
        shares += m->n;
        for (i = 0; i <= SG_DOC_OTHER; i++)
            kinds[i] += m->types[i];
    }
    if (data == f->n_members && (numbers < data || f->n_members >= 3))
        return true;
    for (i = 1; i <= SG_DOC_OTHER; i++) {
        used += kinds[i] > 0 && !(i == SG_DOC_DOUBLE && kinds[SG_DOC_INT] > 0);
        total += kinds[i];
    }
    return f->n_members >= MAP_NAMES_MIN && used <= 1 && total > 0 &&
           shares * 5 < f->types[SG_DOC_OBJECT] * f->n_members;
}

static void
find_maps(struct sg_profile *p, struct sg_field *f)
{
    struct sg_field *m;

    if (f->parent != NULL && !f->is_map && looks_like_map(f))
        sg_field_fold(p, f);
    for (m = f->first; m != NULL; m = m->next)
        find_maps(p, m);
    if (f->each != NULL)
        find_maps(p, f->each);
}

void
sg_profile_finish(struct sg_profile *p)
{
    if (!p->finished)
        find_maps(p, &p->root);
    p->finished = true;
}
