/* SPDX-License-Identifier: MIT */
#include "model/draft.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define VALUES_IN_CHECK 8 /* more are a table's rows: a new one then needs no ALTER TABLE */

const char *
sg_draft_text(struct sg_draft *d, const char *fmt, ...)
{
    char text[1024], *kept;
    va_list ap;
    size_t len;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    len = strlen(text) + 1;
    if ((kept = sg_arena_alloc(d->arena, len)) == NULL) {
        d->failed = true;
        return "";
    }
    return memcpy(kept, text, len);
}

void
sg_draft_why(struct sg_draft *d, const char **why, const char *more)
{
    *why = *why == NULL ? more : sg_draft_text(d, "%s; %s", *why, more);
}

const char *
sg_draft_number(struct sg_draft *d, uint64_t n)
{
    char digits[32], text[48];
    size_t len, i, o = 0;

    snprintf(digits, sizeof digits, "%" PRIu64, n);
    len = strlen(digits);
    for (i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            text[o++] = ',';
        text[o++] = digits[i];
    }
    text[o] = '\0';
    return sg_draft_text(d, "%s", text);
}

const char *
sg_draft_share(struct sg_draft *d, uint64_t part, uint64_t of)
{
    double percent = of > 0 ? 100.0 * (double)part / (double)of : 0;

    return sg_draft_text(d,
                         percent > 0 && percent < 0.1  ? "%.3f %%"
                         : percent > 99.9 && part < of ? "%.3f %%"
                                                       : "%.1f %%",
                         percent);
}

/* ---- types ---- */

static void
because(struct sg_draft *d, struct sg_model_column *c, const char *text)
{
    sg_draft_why(d, &c->why, text);
}

static void
set_type(struct sg_model_column *c, enum sg_model_type type, enum sg_model_convert convert)
{
    c->type = type;
    c->convert = convert;
}

static const char *
day(struct sg_draft *d, int64_t unix_s)
{
    char text[32];

    sg_date_write(unix_s / 86400 - (unix_s % 86400 < 0), text);
    return sg_draft_text(d, "%s", text);
}

static void
choose_int(struct sg_draft *d, const struct sg_field *f, struct sg_slice name,
           struct sg_model_column *c)
{
    uint64_t n = f->types[SG_DOC_INT];

    set_type(c, SG_MODEL_BIGINT, SG_CONVERT_NONE);
    if (f->epoch_ms == n || f->epoch_s == n) {
        bool ms = f->epoch_ms == n;
        const char *range = sg_draft_text(d, "%s to %s", day(d, f->int_min / (ms ? 1000 : 1)),
                                          day(d, f->int_max / (ms ? 1000 : 1)));

        if (sg_name_is_time(name)) {
            set_type(c, SG_MODEL_TIMESTAMPTZ, ms ? SG_CONVERT_EPOCH_MS : SG_CONVERT_EPOCH_S);
            because(d, c, sg_draft_text(d, "epoch %s, %s", ms ? "milliseconds" : "seconds", range));
        } else
            because(d, c,
                    sg_draft_text(d, "would be %s in epoch %s, but its name does not say so", range,
                                  ms ? "milliseconds" : "seconds"));
        return;
    }
    because(d, c, sg_draft_text(d, "%" PRId64 " to %" PRId64, f->int_min, f->int_max));
}

static void
choose_number(struct sg_draft *d, const struct sg_field *f, struct sg_slice name,
              struct sg_model_column *c)
{
    uint64_t ints = f->types[SG_DOC_INT], reals = f->types[SG_DOC_DOUBLE];

    if (f->types[SG_DOC_DECIMAL] > 0) {
        set_type(c, SG_MODEL_NUMERIC, SG_CONVERT_NONE);
        because(d, c, "decimals that a double would round");
    } else if (f->past_double > 0) {
        set_type(c, SG_MODEL_NUMERIC, SG_CONVERT_NONE);
        because(d, c, "integers past 2^53 beside fractions: a double would round them");
    } else if (f->cents == reals && sg_name_is_money(name)) {
        set_type(c, SG_MODEL_NUMERIC, SG_CONVERT_NONE);
        because(d, c, "an amount with at most 4 decimals: exact");
    } else
        set_type(c, SG_MODEL_DOUBLE, SG_CONVERT_NONE);
    if (ints > 0 && c->type == SG_MODEL_DOUBLE)
        because(
            d, c,
            sg_draft_text(d, "integers (%s) and fractions", sg_draft_share(d, ints, ints + reals)));
    else if (c->type == SG_MODEL_DOUBLE)
        because(d, c, sg_draft_text(d, "%g to %g", f->real_min, f->real_max));
}

static void
choose_string(struct sg_draft *d, const struct sg_field *f, bool untyped, struct sg_model_column *c)
{
    static const struct {
        enum sg_format format;
        bool untyped_only;
        enum sg_model_type type;
        enum sg_model_convert convert;
        const char *why;
    } rules[] = {
        {SG_FMT_UUID, false, SG_MODEL_UUID, SG_CONVERT_NONE, "each is a uuid"},
        {SG_FMT_ISO_MS, false, SG_MODEL_TIMESTAMPTZ, SG_CONVERT_ISO_MS, "ISO times with ms"},
        {SG_FMT_ISO_S, false, SG_MODEL_TIMESTAMPTZ, SG_CONVERT_ISO_S, "ISO times in seconds"},
        {SG_FMT_DATE, false, SG_MODEL_DATE, SG_CONVERT_NONE, "each is a date"},
        {SG_FMT_INTEGER, true, SG_MODEL_BIGINT, SG_CONVERT_PARSE, "text that is always an integer"},
        {SG_FMT_BOOL, true, SG_MODEL_BOOLEAN, SG_CONVERT_PARSE, "text that is true or false"},
        {SG_FMT_OID, false, SG_MODEL_TEXT, SG_CONVERT_NONE, "object ids in hexadecimal"},
        {SG_FMT_EMAIL, false, SG_MODEL_TEXT, SG_CONVERT_NONE, "e-mail addresses"},
        {SG_FMT_URL, false, SG_MODEL_TEXT, SG_CONVERT_NONE, "URLs"},
        {SG_FMT_IP, false, SG_MODEL_TEXT, SG_CONVERT_NONE,
         "IP addresses; inet would not keep how they are written"},
        {SG_FMT_BCRYPT, false, SG_MODEL_TEXT, SG_CONVERT_NONE, "bcrypt hashes"},
        {SG_FMT_ARGON2, false, SG_MODEL_TEXT, SG_CONVERT_NONE, "argon2 hashes"},
        {SG_FMT_DIGEST, false, SG_MODEL_TEXT, SG_CONVERT_NONE, "digests in hexadecimal"},
    };
    uint64_t n = f->types[SG_DOC_STRING], isos;
    size_t i;

    set_type(c, SG_MODEL_TEXT, SG_CONVERT_NONE);
    for (i = 0; i < sizeof rules / sizeof *rules; i++)
        if (f->formats[rules[i].format] == n && (untyped || !rules[i].untyped_only)) {
            set_type(c, rules[i].type, rules[i].convert);
            because(d, c, rules[i].why);
            return;
        }
    isos = f->formats[SG_FMT_ISO] + f->formats[SG_FMT_ISO_MS] + f->formats[SG_FMT_ISO_S];
    if (isos == n) {
        set_type(c, SG_MODEL_TIMESTAMPTZ, SG_CONVERT_ISO);
        because(d, c, "ISO times in several forms: the instant is kept, not its form");
    } else if (untyped && f->formats[SG_FMT_DECIMAL] + f->formats[SG_FMT_INTEGER] == n) {
        set_type(c, SG_MODEL_NUMERIC, SG_CONVERT_PARSE);
        because(d, c, "text that is always a decimal number");
    } else if (f->formats[SG_FMT_INTEGER] == n)
        because(d, c, "digits, yet stored as text: kept so");
    else if (!f->many_values && f->n_values > 0)
        return; /* the enumeration says more */
    else
        because(d, c, sg_draft_text(d, "%" PRIu64 " to %" PRIu64 " bytes", f->len_min, f->len_max));
}

static int
compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The index of a lookup with these values, new where there is none; -1 without room. */
static int
lookup_of(struct sg_draft *d, const char *const *values, int n)
{
    int i, k;

    for (i = 0; i < d->n_lookups; i++) {
        for (k = 0; k < n && d->lookups[i].n_values == n &&
                    strcmp(d->lookups[i].values[k], values[k]) == 0;
             k++)
            ;
        if (k == n && d->lookups[i].n_values == n)
            return i;
    }
    if (i == SG_MODEL_TABLES_MAX)
        return -1;
    d->lookups[i] = (struct sg_model_lookup){.values = values, .n_values = n};
    d->n_lookups++;
    return i;
}

static void
choose_values(struct sg_draft *d, const struct sg_field *f, struct sg_model_column *c)
{
    const char **values;
    int i;

    if (c->type != SG_MODEL_TEXT || !sg_field_is_enum(f))
        return;
    values = sg_arena_alloc(d->arena, (size_t)f->n_values * sizeof *values);
    if (values == NULL) {
        d->failed = true;
        return;
    }
    for (i = 0; i < f->n_values; i++)
        values[i] = sg_draft_text(d, "%s", f->values[i].text);
    qsort(values, (size_t)f->n_values, sizeof *values, compare_texts);
    if (f->n_values <= VALUES_IN_CHECK) {
        c->values = values;
        c->n_values = f->n_values;
    } else
        c->lookup = lookup_of(d, values, f->n_values);
    because(
        d, c,
        sg_draft_text(d, "%d values in %s", f->n_values, sg_draft_number(d, sg_field_not_null(f))));
}

static const char *
mix_of(struct sg_draft *d, const struct sg_field *f)
{
    const char *text = "";
    int i;

    for (i = 1; i <= SG_DOC_OTHER; i++)
        if (f->types[i] > 0)
            text = sg_draft_text(d, "%s%s%s %s", text, text[0] != '\0' ? ", " : "",
                                 sg_doc_type_name((enum sg_doc_type)i),
                                 sg_draft_share(d, f->types[i], sg_field_not_null(f)));
    return text;
}

void
sg_draft_scalar(struct sg_draft *d, const struct sg_field *f, bool untyped, uint64_t rows,
                struct sg_model_column *c)
{
    const struct sg_field *named = f;
    uint64_t n = sg_field_not_null(f);
    struct sg_slice name;

    while (named->name == NULL && named->parent != NULL)
        named = named->parent;
    name = sg_slice(named->name, named->name_len);
    if (n == f->types[SG_DOC_BOOL])
        set_type(c, SG_MODEL_BOOLEAN, SG_CONVERT_NONE);
    else if (n == f->types[SG_DOC_INT])
        choose_int(d, f, name, c);
    else if (n == f->types[SG_DOC_INT] + f->types[SG_DOC_DOUBLE] + f->types[SG_DOC_DECIMAL])
        choose_number(d, f, name, c);
    else if (n == f->types[SG_DOC_TIME])
        set_type(c, SG_MODEL_TIMESTAMPTZ, SG_CONVERT_NONE);
    else if (n == f->types[SG_DOC_OID]) {
        set_type(c, SG_MODEL_TEXT, SG_CONVERT_OID);
        because(d, c, "object ids, in hexadecimal as drivers print them");
    } else if (n == f->types[SG_DOC_BYTES])
        set_type(c, SG_MODEL_BYTEA, SG_CONVERT_NONE);
    else if (n == f->types[SG_DOC_STRING])
        choose_string(d, f, untyped, c);
    else {
        set_type(c, SG_MODEL_JSONB, SG_CONVERT_NONE);
        because(d, c, sg_draft_text(d, "stays jsonb: %s", mix_of(d, f)));
    }
    choose_values(d, f, c);
    if (f->nul > 0)
        because(d, c,
                sg_draft_text(d, "%s hold a NUL, which PostgreSQL's text cannot: rejected",
                              sg_draft_number(d, f->nul)));
    if (f->bad_utf8 > 0)
        because(
            d, c,
            sg_draft_text(d, "%s are not valid UTF-8: rejected", sg_draft_number(d, f->bad_utf8)));
    if (n < rows)
        because(d, c, sg_draft_text(d, "in %s", sg_draft_share(d, n, rows)));
}
