/* SPDX-License-Identifier: MIT */
#include "model/draft.h"
#include "model/names.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#define COMMON_MIN 8      /* values to judge by */
#define MENTION_SHARE 0.9 /* of values found in the other's key, to be worth a word */

/* Whether a name speaks of the table: userId, user, author_user of users. */
static bool
speaks_of(const struct sg_field *f, const char *table)
{
    const struct sg_field *named = f;
    char singular[64], snake[64];
    const char *at;
    size_t n;

    while (named != NULL && named->name == NULL)
        named = named->parent;
    if (named == NULL)
        return false;
    sg_snake(sg_slice(named->name, named->name_len), snake);
    sg_singular(table, singular);
    n = strlen(singular);
    for (at = strstr(snake, singular); at != NULL; at = strstr(at + 1, singular))
        if ((at == snake || at[-1] == '_') && (at[n] == '\0' || at[n] == '_' || at[n] == 's'))
            return true;
    return false;
}

/* Small integers are contained in any table's keys by chance: their name must say it too. */
static bool
by_chance(const struct sg_field *f)
{
    return f->types[SG_DOC_INT] + f->formats[SG_FMT_INTEGER] > 0 || f->types[SG_DOC_BOOL] > 0 ||
           f->types[SG_DOC_DOUBLE] > 0 || f->types[SG_DOC_TIME] > 0;
}

static int
target_of(const struct sg_draft *d, const struct sg_distinct *values, const struct sg_field *f,
          int own, double *share)
{
    int i, best = -1;

    for (i = 0; i < d->n_tables; i++) {
        const struct sg_draft_table *t = &d->tables[i];
        uint32_t common;
        double within;

        if (t->t.kind != SG_MODEL_ROOT || i == own || t->n_columns == 0)
            continue;
        if (by_chance(f) && !speaks_of(f, t->t.name))
            continue;
        within = sg_distinct_within(values, &t->columns[0].field->distinct, &common);
        if (within >= MENTION_SHARE &&
            (common >= COMMON_MIN || (common > 0 && speaks_of(f, t->t.name))) &&
            (best < 0 || within > *share)) {
            best = i;
            *share = within;
        }
    }
    return best;
}

static void
find_references(struct sg_draft *d)
{
    int i, k;

    for (i = 0; i < d->n_tables; i++) {
        struct sg_draft_table *t = &d->tables[i];
        double share = 0;

        if (t->t.kind == SG_MODEL_MAP)
            t->refers = target_of(d, &t->holder->distinct, t->holder, t->t.root, &share);
        for (k = t->t.kind == SG_MODEL_ROOT ? 1 : 0; k < t->n_columns; k++) {
            struct sg_draft_column *c = &t->columns[k];

            if (!c->c.array && c->c.type != SG_MODEL_JSONB && c->c.values == NULL &&
                c->c.lookup < 0 && c->c.type != SG_MODEL_BOOLEAN)
                c->refers =
                    target_of(d, &c->field->distinct, c->field, t->t.root, &c->refers_share);
        }
    }
}

/* The table that the most others refer to from their records, people above all. */
static void
find_people(struct sg_draft *d)
{
    static const char *const names[] = {"users",   "accounts", "customers", "members", "people",
                                        "persons", "players",  "subjects",  NULL};
    int i, k, n, best = 0;

    for (i = 0; i < d->n_tables; i++) {
        if (d->tables[i].t.kind != SG_MODEL_ROOT)
            continue;
        for (n = 0, k = 0; names[k] != NULL; k++)
            if (strcmp(names[k], d->tables[i].t.name) == 0)
                n += 1000;
        for (k = 0; k < d->n_tables; k++) {
            int c, refers = 0;

            for (c = 0; c < d->tables[k].n_columns && d->tables[k].t.kind == SG_MODEL_ROOT; c++)
                refers = refers || d->tables[k].columns[c].refers == i;
            n += refers;
        }
        if (n > best) {
            best = n;
            d->people = i;
        }
    }
}

static void
choose_shard_key(struct sg_draft *d, int table)
{
    struct sg_draft_table *t = &d->tables[table];
    const char *people = d->people >= 0 ? d->tables[d->people].t.name : "";
    int i;

    t->shard_key = 0;
    for (i = 1; i < t->n_columns && d->people >= 0 && table != d->people; i++) {
        struct sg_draft_column *c = &t->columns[i];

        if (c->refers != d->people)
            continue;
        if (c->c.not_null) {
            t->shard_key = i;
            sg_draft_why(
                d, &c->c.why,
                sg_draft_text(d, "shard key: each row stands beside its row of %s", people));
            return;
        }
        sg_draft_why(d, &t->columns[0].c.why,
                     sg_draft_text(d, "shard key: only %s have %s",
                                   sg_draft_share(d, sg_field_not_null(c->field), t->rows),
                                   c->c.name));
        return;
    }
    sg_draft_why(d, &t->columns[0].c.why, "shard key");
}

/* A reference becomes a foreign key where both rows are always in one bucket, else a word. */
static void
choose_reference(struct sg_draft *d, struct sg_draft_table *t, int column)
{
    struct sg_draft_column *c = &t->columns[column];
    const struct sg_draft_table *to = &d->tables[c->refers];
    const char *key = to->columns[0].c.name, *not = NULL;

    if (t->t.kind != SG_MODEL_ROOT || t->shard_key != column || to->shard_key != 0)
        not = "in another bucket";
    else if (c->refers_share < 1)
        not = sg_draft_text(d, "%.1f %% of its values are not there", 100 * (1 - c->refers_share));
    else if (c->c.type != to->columns[0].c.type)
        not = "of another type";
    if (not == NULL) {
        c->c.references = c->refers;
        return;
    }
    sg_draft_why(d, &c->c.why,
                 sg_draft_text(d, "is in %s.%s, %s: no foreign key", to->t.name, key, not ));
}

void
sg_draft_relate(struct sg_draft *d)
{
    int i, k;

    find_references(d);
    find_people(d);
    for (i = 0; i < d->n_tables; i++)
        if (d->tables[i].t.kind == SG_MODEL_ROOT && d->tables[i].n_columns > 0)
            choose_shard_key(d, i);
    for (i = 0; i < d->n_tables; i++) {
        struct sg_draft_table *t = &d->tables[i];

        for (k = 0; k < t->n_columns; k++)
            if (t->columns[k].refers >= 0)
                choose_reference(d, t, k);
        if (t->refers >= 0)
            sg_draft_why(d, &t->t.why,
                         sg_draft_text(d, "its names are in %s.%s", d->tables[t->refers].t.name,
                                       d->tables[t->refers].columns[0].c.name));
    }
}
