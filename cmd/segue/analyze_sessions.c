/* SPDX-License-Identifier: MIT */
/* Tokens of a store that no configuration speaks of yet: whose they are is guessed. */
#include "analyze.h"
#include "base/buf.h"
#include "cli.h"
#include "model/framework.h"
#include "model/token_ids.h"
#include "records.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COLLECTIONS_MAX 50
#define NAMES_MAX 16
#define MEMBERS_MAX 64

struct counted {
    const char *name; /* static storage */
    uint64_t n;
};

struct sessions {
    char name[256];
    struct sg_profile *profile; /* members, sizes, times */
    struct sg_token_ids ids;
    struct {
        const struct sg_framework *framework;
        uint64_t n;
    } frameworks[NAMES_MAX];
    struct counted encodings[NAMES_MAX], kinds[NAMES_MAX];
    int n_frameworks, n_encodings, n_kinds;
    uint64_t extended; /* live longer than they say: extended without being written */
};

struct found {
    struct sessions *all[COLLECTIONS_MAX];
    int n;
    int64_t now_ms;
};

static void
count(struct counted *list, int *n, const char *name)
{
    int i;

    for (i = 0; i < *n; i++)
        if (strcmp(list[i].name, name) == 0)
            break;
    if (i == NAMES_MAX)
        return;
    if (i == *n)
        list[(*n)++].name = name;
    list[i].n++;
}

static void
count_framework(struct sessions *s, const struct sg_framework *f)
{
    int i;

    for (i = 0; i < s->n_frameworks && s->frameworks[i].framework != f; i++)
        ;
    if (i == NAMES_MAX)
        return;
    if (i == s->n_frameworks)
        s->frameworks[s->n_frameworks++].framework = f;
    s->frameworks[i].n++;
}

/* Where the document holds the token's id. */
static struct sg_slice
id_of(const struct records_one *r)
{
    static const char *const names[] = {"sessionToken", "_id", "id", NULL};
    const struct sg_doc *v;
    int i;

    if (r->profile.key.ptr != NULL)
        return r->profile.key;
    for (i = 0; names[i] != NULL && r->profile.doc != NULL; i++)
        if (r->profile.doc->type == SG_DOC_OBJECT &&
            (v = sg_doc_get(r->profile.doc, sg_str(names[i]))) != NULL && v->type == SG_DOC_STRING)
            return v->text;
    return sg_slice(NULL, 0);
}

/* express-session writes when the cookie expires; a touch moves only the key's own end. */
static bool
is_extended(const struct sg_profile_record *r)
{
    const struct sg_doc *cookie = r->doc != NULL && r->doc->type == SG_DOC_OBJECT
                                      ? sg_doc_get(r->doc, sg_str("cookie"))
                                      : NULL;
    const struct sg_doc *expires = cookie != NULL && cookie->type == SG_DOC_OBJECT
                                       ? sg_doc_get(cookie, sg_str("expires"))
                                       : NULL;
    int64_t us;

    return r->expires_ms >= 0 && expires != NULL && expires->type == SG_DOC_STRING &&
           sg_iso_parse(expires->text, &us) == 0 && r->expires_ms > us / 1000 + 2000;
}

static int
take(void *ctx, const char *collection, const struct records_one *r, struct sg_err *err)
{
    const struct sg_session_look look = {
        .key = r->key, .raw = r->raw, .redis_type = r->redis_type, .doc = r->profile.doc};
    struct found *f = ctx;
    struct sg_slice id;
    struct sessions *s;
    int i;

    for (i = 0; i < f->n && strcmp(f->all[i]->name, collection) != 0; i++)
        ;
    if (i == COLLECTIONS_MAX)
        return sg_fail(err, SG_E_LIMIT, collection, "more than %d collections: name those you mean",
                       COLLECTIONS_MAX);
    if (i == f->n) {
        if ((f->all[i] = calloc(1, sizeof *s)) == NULL ||
            sg_profile_new(collection, &f->all[i]->profile, err) != 0)
            return sg_fail(err, SG_E_INTERNAL, collection, "out of memory");
        snprintf(f->all[f->n++]->name, sizeof f->all[i]->name, "%s", collection);
    }
    s = f->all[i];
    count_framework(s, sg_framework_of(&look));
    count(s->encodings, &s->n_encodings, sg_session_encoding(&look));
    count(s->kinds, &s->n_kinds, r->redis_type != NULL ? r->redis_type : "document");
    s->extended += is_extended(&r->profile);
    if ((id = id_of(r)).ptr != NULL)
        sg_token_ids_add(&s->ids, id);
    return sg_profile_add(s->profile, &r->profile, f->now_ms, err);
}

/* ---- telling ---- */

/* Names come from outside: what a terminal would obey is replaced. */
static void
print_name(const struct sg_field *f)
{
    size_t i;

    for (i = 0; i < f->name_len; i++)
        putchar((unsigned char)f->name[i] < 0x20 || f->name[i] == 0x7f ? '?' : f->name[i]);
}

static void
print_counted(const char *title, const struct counted *list, int n)
{
    int i;

    printf("  %-12s", title);
    for (i = 0; i < n; i++)
        printf("%s%s %" PRIu64, i > 0 ? ", " : "", list[i].name, list[i].n);
    putchar('\n');
}

static void
print_life(const struct sessions *s)
{
    const struct sg_profile *p = s->profile;
    int i;

    printf("  lifetime    %" PRIu64 " of %" PRIu64 " expire", p->expiring, p->records + p->odd);
    if (s->extended > 0)
        printf("; sliding: %" PRIu64 " live longer than they were written to", s->extended);
    putchar('\n');
    for (i = 0; i < SG_PROFILE_BINS; i++)
        if (p->ttl_s[i] > 0)
            printf("    up to %10" PRIu64 " s left  %" PRIu64 "\n", (UINT64_C(1) << i) - 1,
                   p->ttl_s[i]);
}

static void
print_text(const struct sessions *s)
{
    const struct sg_field *m;
    char alphabet[256];
    int i;

    sg_token_ids_alphabet(&s->ids, alphabet, sizeof alphabet);
    printf("%s: %" PRIu64 " records\n", s->name, s->profile->records + s->profile->odd);
    for (i = 0; i < s->n_frameworks; i++) {
        const struct sg_framework *f = s->frameworks[i].framework;

        printf("  looks like  %s, %" PRIu64 "\n", f->name, s->frameworks[i].n);
        if (strcmp(f->name, "unknown") != 0)
            printf("              %s\n              %s\n", f->credential, f->lifetime);
    }
    print_counted("stored as", s->kinds, s->n_kinds);
    print_counted("encoding", s->encodings, s->n_encodings);
    if (s->ids.n > 0)
        printf("  ids         %" PRIu64 " to %" PRIu64
               " characters from %s, about %.0f bits (an upper "
               "estimate)\n",
               s->ids.shortest, s->ids.longest, alphabet, sg_token_ids_bits(&s->ids));
    print_life(s);
    for (m = s->profile->root.first; m != NULL; m = m->next) {
        const char *kind = sg_session_member_kind(sg_slice(m->name, m->name_len));

        printf("  holds       ");
        print_name(m);
        printf(", %" PRIu64 " (%s): %s\n", m->n, kind, sg_session_member_home(kind));
    }
}

static json_t *
counted_json(const struct counted *list, int n)
{
    json_t *o = json_object();
    int i;

    for (i = 0; i < n; i++)
        json_object_set_new(o, list[i].name, json_integer((json_int_t)list[i].n));
    return o;
}

static json_t *
session_json(const struct sessions *s)
{
    json_t *frameworks = json_array(), *members = json_array(), *o;
    const struct sg_field *m;
    char alphabet[256];
    int i;

    sg_token_ids_alphabet(&s->ids, alphabet, sizeof alphabet);
    for (i = 0; i < s->n_frameworks; i++)
        json_array_append_new(
            frameworks, json_pack("{s:s,s:I,s:s,s:s}", "name", s->frameworks[i].framework->name,
                                  "n", (json_int_t)s->frameworks[i].n, "credential",
                                  s->frameworks[i].framework->credential, "lifetime",
                                  s->frameworks[i].framework->lifetime));
    for (m = s->profile->root.first; m != NULL; m = m->next) {
        json_t *name = json_stringn(m->name, m->name_len);

        json_array_append_new(members,
                              json_pack("{s:o,s:I,s:s}", "name",
                                        name != NULL ? name : json_string("not UTF-8"), "n",
                                        (json_int_t)m->n, "kind",
                                        sg_session_member_kind(sg_slice(m->name, m->name_len))));
    }
    o = json_pack("{s:s,s:I,s:o,s:o,s:o,s:o,s:I,s:I}", "name", s->name, "records",
                  (json_int_t)(s->profile->records + s->profile->odd), "frameworks", frameworks,
                  "stored_as", counted_json(s->kinds, s->n_kinds), "encodings",
                  counted_json(s->encodings, s->n_encodings), "members", members, "expiring",
                  (json_int_t)s->profile->expiring, "extended", (json_int_t)s->extended);
    json_object_set_new(o, "ids",
                        json_pack("{s:I,s:I,s:s,s:f}", "shortest", (json_int_t)s->ids.shortest,
                                  "longest", (json_int_t)s->ids.longest, "alphabet", alphabet,
                                  "bits_estimate", sg_token_ids_bits(&s->ids)));
    return o;
}

static void
print_json(const struct found *f)
{
    json_t *list = json_array(), *all = json_pack("{s:o}", "collections", list);
    int i;

    for (i = 0; i < f->n; i++)
        json_array_append_new(list, session_json(f->all[i]));
    json_dumpf(all, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(all);
}

int
analyze_sessions(const struct records_options *from, bool as_json, struct sg_err *err)
{
    struct found f = {.now_ms = (int64_t)time(NULL) * 1000};
    int i, rc = records_read(from, take, &f, err);

    for (i = 0; i < f.n; i++)
        sg_profile_finish(f.all[i]->profile);
    if (rc == 0 && as_json)
        print_json(&f);
    for (i = 0; i < f.n; i++) {
        if (rc == 0 && !as_json)
            print_text(f.all[i]);
        sg_profile_free(f.all[i]->profile);
        free(f.all[i]);
    }
    return rc;
}
