/* SPDX-License-Identifier: MIT */
#include "analyze_report.h"

#include "base/buf.h"

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#define MAPPING_BYTES_MAX (16 << 20)

/* ---- text ---- */

/* Names come from outside: what a terminal would obey is replaced. */
static void
print_name(const char *text, int width)
{
    int n = 0;

    for (; *text != '\0'; text++, n += ((unsigned char)*text & 0xc0) != 0x80)
        putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
    printf("%*s", n < width ? width - n : 0, "");
}

static void
print_field(const struct sg_profile *p, const struct sg_field *f)
{
    uint64_t possible = sg_field_possible(p, f), n = sg_field_not_null(f);
    struct sg_buf path = SG_BUF_INIT(1 << 16);
    const struct sg_field *m;
    const char *sep = "";
    int i;

    if (f->parent != NULL) {
        sg_field_path(f, &path);
        printf("    ");
        print_name(path.ptr, 28);
        sg_buf_free(&path);
        printf(" %6.1f %%  ", 100.0 * (double)n / (double)(possible > 0 ? possible : 1));
        for (i = 1; i <= SG_DOC_OTHER; i++)
            if (f->types[i] > 0) {
                printf("%s%s", sep, sg_doc_type_name((enum sg_doc_type)i));
                if (f->types[i] < n)
                    printf(" %.1f %%", 100.0 * (double)f->types[i] / (double)n);
                sep = ", ";
            }
        if (f->types[SG_DOC_NULL] > 0)
            printf("%snull in %.1f %%", sep,
                   100.0 * (double)f->types[SG_DOC_NULL] / (double)possible);
        if (f->distinct.n > 0)
            printf("; %s%" PRIu64 " distinct", f->distinct.level > 0 ? "about " : "",
                   sg_distinct_estimate(&f->distinct));
        for (i = 0; i < SG_FMT_OTHER; i++)
            if (f->formats[i] > 0 && f->formats[i] == f->types[SG_DOC_STRING])
                printf("; %s", sg_format_name((enum sg_format)i));
        putchar('\n');
    }
    for (m = f->first; m != NULL; m = m->next)
        print_field(p, m);
    if (f->each != NULL)
        print_field(p, f->each);
}

static void
print_tables(const struct sg_mapping *m, int root)
{
    int i, k;

    for (i = root; i < m->n_tables && m->tables[i].root == root; i++) {
        const struct sg_model_table *t = &m->tables[i];

        printf("    -> %s.%s, %d columns%s", m->schema, t->name, t->n_columns,
               t->kind == SG_MODEL_ROOT    ? ""
               : t->kind == SG_MODEL_ARRAY ? ", an element a row"
                                           : ", a member a row");
        if (t->kind == SG_MODEL_ROOT)
            printf("; shard key %s", t->columns[t->shard_key].name);
        for (k = 0; k < t->n_columns; k++)
            if (t->columns[k].references >= 0)
                printf("; %s refers to %s", t->columns[k].name,
                       m->tables[t->columns[k].references].name);
        putchar('\n');
    }
}

static void
print_drift(const struct sg_drift *d)
{
    int i;

    printf("drift: %s\n", d->n == 0 ? "none, what is stored fits the mapping" : "");
    for (i = 0; i < d->n; i++) {
        printf("    ");
        print_name(d->items[i].place, 40);
        putchar(' ');
        print_name(d->items[i].text, 0);
        if (d->items[i].rejects > 0)
            printf("  -> %" PRIu64 " would be rejected", d->items[i].rejects);
        putchar('\n');
    }
    if (d->more > 0)
        printf("    and %" PRIu64 " more\n", d->more);
}

void
analyze_print_text(const struct analyze_report *r)
{
    int i, k, root;

    for (i = 0; i < r->n; i++) {
        const struct sg_profile *p = r->profiles[i];

        print_name(p->name, 0);
        printf(": %" PRIu64 " records%s, %" PRIu64 " bytes on average, the largest %" PRIu64,
               p->records, r->sample ? " (a sample)" : "",
               p->records > 0 ? p->bytes / p->records : 0, p->largest_bytes);
        if (p->expiring > 0)
            printf(", %" PRIu64 " expire", p->expiring);
        putchar('\n');
        for (k = 0; k < p->n_odds; k++)
            printf("    odd: %" PRIu64 " %s\n", p->odds[k].n, p->odds[k].text);
        print_field(p, &p->root);
        if ((root = sg_mapping_find(r->mapping, p->name)) >= 0)
            print_tables(r->mapping, root);
        putchar('\n');
    }
    if (r->drift != NULL)
        print_drift(r->drift);
}

/* ---- JSON ---- */

static json_t *
text_json(struct sg_slice s)
{
    json_t *text = json_stringn(s.ptr != NULL ? s.ptr : "", s.len);

    return text != NULL ? text : json_string("not UTF-8");
}

static json_t *
bins_json(const uint64_t *bins)
{
    json_t *list = json_array();
    int i;

    for (i = 0; i < SG_PROFILE_BINS; i++)
        if (bins[i] > 0)
            json_array_append_new(
                list, json_pack("{s:I,s:I}", "from",
                                i > 0 ? (json_int_t)(INT64_C(1) << (i - 1)) : (json_int_t)0, "n",
                                (json_int_t)bins[i]));
    return list;
}

static void
set_ranges(json_t *o, const struct sg_field *f)
{
    int i;

    if (f->types[SG_DOC_INT] + f->types[SG_DOC_TIME] > 0)
        json_object_set_new(o, "integers",
                            json_pack("[I,I]", (json_int_t)f->int_min, (json_int_t)f->int_max));
    if (f->types[SG_DOC_DOUBLE] > f->not_finite)
        json_object_set_new(o, "doubles", json_pack("[f,f]", f->real_min, f->real_max));
    if (f->types[SG_DOC_STRING] + f->types[SG_DOC_BYTES] > 0)
        json_object_set_new(o, "bytes",
                            json_pack("[I,I]", (json_int_t)f->len_min, (json_int_t)f->len_max));
    if (f->types[SG_DOC_ARRAY] > 0 || f->is_map)
        json_object_set_new(o, "sizes",
                            json_pack("[I,I]", (json_int_t)f->size_min, (json_int_t)f->size_max));
    if (sg_field_is_enum(f)) {
        json_t *values = json_object();

        for (i = 0; i < f->n_values; i++)
            json_object_set_new(values, f->values[i].text,
                                json_integer((json_int_t)f->values[i].n));
        json_object_set_new(o, "values", values);
    }
}

static void
add_field_json(json_t *list, const struct sg_profile *p, const struct sg_field *f)
{
    struct sg_buf path = SG_BUF_INIT(1 << 16);
    json_t *o, *types = json_object(), *formats = json_object();
    const struct sg_field *m;
    int i;

    sg_field_path(f, &path);
    for (i = 0; i <= SG_DOC_OTHER; i++)
        if (f->types[i] > 0)
            json_object_set_new(types, sg_doc_type_name((enum sg_doc_type)i),
                                json_integer((json_int_t)f->types[i]));
    for (i = 0; i < SG_FMT_N; i++)
        if (f->formats[i] > 0)
            json_object_set_new(formats, sg_format_name((enum sg_format)i),
                                json_integer((json_int_t)f->formats[i]));
    o = json_pack("{s:o,s:I,s:I,s:o,s:o,s:I,s:b}", "path", text_json(sg_buf_slice(&path)),
                  "possible", (json_int_t)sg_field_possible(p, f), "there", (json_int_t)f->n,
                  "types", types, "formats", formats, "distinct",
                  (json_int_t)sg_distinct_estimate(&f->distinct), "distinct_exact",
                  f->distinct.level == 0);
    sg_buf_free(&path);
    set_ranges(o, f);
    json_array_append_new(list, o);
    for (m = f->first; m != NULL; m = m->next)
        add_field_json(list, p, m);
    if (f->each != NULL)
        add_field_json(list, p, f->each);
}

static json_t *
drift_json(const struct sg_drift *d)
{
    json_t *list = json_array();
    int i;

    for (i = 0; i < d->n; i++)
        json_array_append_new(list, json_pack("{s:o,s:o,s:I}", "place",
                                              text_json(sg_str(d->items[i].place)), "text",
                                              text_json(sg_str(d->items[i].text)), "rejects",
                                              (json_int_t)d->items[i].rejects));
    return list;
}

void
analyze_print_json(const struct analyze_report *r)
{
    json_t *list = json_array(), *all = json_object();
    struct sg_buf text = SG_BUF_INIT(MAPPING_BYTES_MAX);
    int i, k;

    for (i = 0; i < r->n; i++) {
        const struct sg_profile *p = r->profiles[i];
        json_t *fields = json_array(), *odd = json_object();

        for (k = 0; k < p->n_odds; k++)
            json_object_set_new(odd, p->odds[k].text, json_integer((json_int_t)p->odds[k].n));
        add_field_json(fields, p, &p->root);
        json_array_append_new(
            list, json_pack("{s:o,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o}", "name",
                            text_json(sg_str(p->name)), "records", (json_int_t)p->records, "bytes",
                            (json_int_t)p->bytes, "largest_bytes", (json_int_t)p->largest_bytes,
                            "expiring", (json_int_t)p->expiring, "odd", odd, "size_bytes",
                            bins_json(p->sizes), "ttl_s", bins_json(p->ttl_s), "fields", fields));
    }
    sg_mapping_write(r->mapping, true, &text);
    json_object_set_new(all, "sample", json_boolean(r->sample));
    json_object_set_new(all, "collections", list);
    json_object_set_new(all, "mapping", text_json(sg_buf_slice(&text)));
    if (r->drift != NULL)
        json_object_set_new(all, "drift", drift_json(r->drift));
    json_dumpf(all, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(all);
    sg_buf_free(&text);
}
