/* SPDX-License-Identifier: MIT */
#include "sizes.h"

#include "base/hash.h"
#include "segue/segue.h"
#include "session/token_size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE "5000"
#define LEGACY_COOKIE_BYTES 160 /* name and signed id, as an app sends them */
#define SEGUE_HEADERS_BYTES 250 /* names of the X-Segue- headers, sid, phase, version */

/* ---- names ---- */

static struct sizes_name *
name_of(struct sizes *s, const char *name)
{
    struct sg_slice field = sg_str(name);
    struct sg_hash h = sg_hash_fields("sizes", &field, 1);
    size_t at = ((size_t)h.b[0] << 16 | (size_t)h.b[1] << 8 | h.b[2]) % SIZES_NAMES_MAX;

    while (s->names[at].name != NULL && strcmp(s->names[at].name, name) != 0)
        at = (at + 1) % SIZES_NAMES_MAX;
    if (s->names[at].name != NULL)
        return &s->names[at];
    /* A quarter stays free, so that looking stays short. */
    if (s->n_names >= SIZES_NAMES_MAX / 4 * 3 || (s->names[at].name = strdup(name)) == NULL) {
        s->names_left_out++;
        return NULL;
    }
    s->n_names++;
    s->names[at].bytes = (int)sg_b64url_chars(strlen(name) + 3); /* quotes and a comma */
    return &s->names[at];
}

static void
count_names(struct sizes *s, const struct sg_names *names, int64_t excess)
{
    int i;

    for (i = 0; i < names->n; i++) {
        struct sizes_name *n = name_of(s, names->name[i]);

        if (n == NULL)
            continue;
        n->holders++;
        n->over += excess > 0;
        n->fits += excess > 0 && n->bytes >= excess;
    }
}

static int
dearer(const void *a, const void *b)
{
    const struct sizes_name *x = a, *y = b;
    int64_t cost_x = x->over * x->bytes, cost_y = y->over * y->bytes;

    if (cost_x == cost_y) {
        cost_x = x->holders * x->bytes;
        cost_y = y->holders * y->bytes;
    }
    return cost_x > cost_y ? -1 : cost_x < cost_y;
}

void
sizes_sort_names(struct sizes *s)
{
    qsort(s->names, SIZES_NAMES_MAX, sizeof s->names[0], dearer);
}

/* ---- subjects ---- */

static size_t
joined_bytes(const struct sg_names *names)
{
    return names->n > 0 ? names->used : 0; /* each with its NUL: as long as with commas */
}

static void
list_subject(struct sizes *s, const struct sg_identity *who, int bytes)
{
    int at = s->n_longest;

    if (s->list == 0 || (at == s->list && s->longest[at - 1].cookie_bytes >= bytes))
        return;
    at = at == s->list ? at - 1 : at;
    for (; at > 0 && s->longest[at - 1].cookie_bytes < bytes; at--)
        s->longest[at] = s->longest[at - 1];
    s->longest[at] = (struct sizes_subject){
        .cookie_bytes = bytes, .roles = who->roles.n, .permissions = who->permissions.n};
    snprintf(s->longest[at].subject, sizeof s->longest[at].subject, "%s", who->subject);
    if (s->n_longest < s->list)
        s->n_longest++;
}

static size_t
clamp(size_t n)
{
    return n < SIZES_BYTES_MAX ? n : SIZES_BYTES_MAX;
}

static int
add_subject(struct sizes *s, const struct sg_token_gauge *gauge, const struct sg_identity *who,
            int bucket, int epoch, struct sg_err *err)
{
    const struct sg_realm_config *c = gauge->config;
    size_t name = strlen(c->token.cookie), cookie, upstream, header;
    struct sg_token_sizes sizes;

    if (sg_token_sizes(gauge, who, bucket, epoch, &sizes, err) != 0) {
        s->unclaimed += err->code == SG_E_DENIED;
        return err->code == SG_E_DENIED ? 0 : -1;
    }
    cookie = name + sizes.token;
    upstream = sizes.token <= (size_t)c->token.max_bytes ? sizes.token : sizes.reference;
    header = (size_t)s->other_bytes + LEGACY_COOKIE_BYTES + SEGUE_HEADERS_BYTES + upstream +
             strlen(who->subject) + joined_bytes(&who->roles) + joined_bytes(&who->permissions);
    s->subjects++;
    s->cookie_counts[clamp(cookie)]++;
    s->header_counts[clamp(header)]++;
    s->over_token += sizes.token > (size_t)c->token.max_bytes;
    s->over_header += header > (size_t)s->header_bytes;
    count_names(s, &who->roles, (int64_t)cookie - s->cookie_bytes);
    count_names(s, &who->permissions, (int64_t)cookie - s->cookie_bytes);
    if (cookie <= (size_t)s->cookie_bytes)
        return 0;
    s->over_cookie++;
    s->no_cookie += name + sizes.reference > (size_t)s->cookie_bytes;
    list_subject(s, who, (int)cookie);
    return 0;
}

enum { BUCKET, SUBJECT, ROLES, PERMISSIONS, EPOCH, VERSION, ATTRIBUTES };

static int
add_row(struct sizes *s, const struct sg_token_gauge *gauge, PGresult *r, int i, struct sg_err *err)
{
    struct sg_identity who = {.active = true,
                              .version = strtoll(PQgetvalue(r, i, VERSION), NULL, 10)};

    if (who.version < 0) {
        s->unread++;
        return 0;
    }
    snprintf(who.subject, sizeof who.subject, "%s", PQgetvalue(r, i, SUBJECT));
    if (sg_names_from_array(&who.roles, sg_str(PQgetvalue(r, i, ROLES)), err) != 0 ||
        sg_names_from_array(&who.permissions, sg_str(PQgetvalue(r, i, PERMISSIONS)), err) != 0 ||
        sg_identity_set_attributes(&who, sg_str(PQgetvalue(r, i, ATTRIBUTES)), err) != 0)
        return -1;
    return add_subject(s, gauge, &who, atoi(PQgetvalue(r, i, BUCKET)),
                       atoi(PQgetvalue(r, i, EPOCH)), err);
}

static int
read_shard(struct sizes *s, const struct sg_token_gauge *gauge, const char *conninfo, int shard,
           struct sg_err *err)
{
    char name[24], bucket[16] = "-1", subject[256] = "";
    const char *const params[] = {gauge->config->name, bucket, subject};
    struct control_db db;
    int i, n = 1, rc = 0;

    snprintf(name, sizeof name, "shard %d", shard);
    if (control_open(&db, conninfo, name, err) != 0)
        return -1;
    while (n > 0 && rc == 0) {
        PGresult *r;

        rc = control_run(&db, &r, err,
                         "SELECT bucket, subject, roles, permissions, epoch, source_version, "
                         "attributes "
                         "FROM segue.subject WHERE realm = $1 AND status = 'active' "
                         "AND (bucket, subject) > ($2::int, $3) AND bucket IN (SELECT bucket FROM "
                         "segue.bucket_owner WHERE owned) ORDER BY bucket, subject LIMIT " PAGE,
                         3, params);
        if (rc != 0)
            break;
        n = PQntuples(r);
        for (i = 0; i < n && rc == 0; i++)
            rc = add_row(s, gauge, r, i, err);
        if (n > 0) {
            snprintf(bucket, sizeof bucket, "%s", PQgetvalue(r, n - 1, BUCKET));
            snprintf(subject, sizeof subject, "%s", PQgetvalue(r, n - 1, SUBJECT));
        }
        PQclear(r);
    }
    control_close(&db);
    return rc;
}

/* The key that will sign: of the configured algorithm the active one, else one as long as those we
 * make. */
static int
open_gauge(struct sizes *s, struct sg_token_gauge *gauge, const struct sg_realm_config *realm,
           struct control_db *control, struct sg_err *err)
{
    const char *const params[] = {realm->name, realm->token.alg};
    char kid[SEGUE_KID_BYTES + 1] = "0123456789012345678901234567890123456789012";
    int epoch = 0;
    PGresult *r;

    if (control_run(control, &r, err,
                    "SELECT p.realm_epoch, k.kid FROM segue_control.policy AS p LEFT JOIN "
                    "segue_control.signing_key AS k ON k.realm = p.realm AND k.alg = $2 AND "
                    "k.state IN ('active', 'pending') WHERE p.realm = $1 ORDER BY k.state LIMIT 1",
                    2, params) != 0)
        return -1;
    if (PQntuples(r) > 0) {
        epoch = atoi(PQgetvalue(r, 0, 0));
        if (!PQgetisnull(r, 0, 1))
            snprintf(kid, sizeof kid, "%s", PQgetvalue(r, 0, 1));
    }
    PQclear(r);
    snprintf(s->alg, sizeof s->alg, "%s", realm->token.alg);
    return sg_token_gauge_init(gauge, realm, realm->token.alg, kid, epoch, err);
}

int
sizes_measure(struct sizes *s, const struct sg_config *config, const struct sg_realm_config *realm,
              struct control_db *control, struct sg_err *err)
{
    struct sg_token_gauge gauge;
    int i, rc = 0;

    s->cookie_counts = calloc(SIZES_BYTES_MAX + 1, sizeof *s->cookie_counts);
    s->header_counts = calloc(SIZES_BYTES_MAX + 1, sizeof *s->header_counts);
    s->names = calloc(SIZES_NAMES_MAX, sizeof *s->names);
    s->longest = calloc((size_t)s->list + 1, sizeof *s->longest);
    if (s->cookie_counts == NULL || s->header_counts == NULL || s->names == NULL ||
        s->longest == NULL)
        return sg_fail(err, SG_E_INTERNAL, "report", "out of memory");
    if (open_gauge(s, &gauge, realm, control, err) != 0)
        return -1;
    for (i = 0; i < config->n_shards && rc == 0; i++)
        rc = read_shard(s, &gauge, config->shards[i], i, err);
    return rc;
}

void
sizes_free(struct sizes *s)
{
    int i;

    for (i = 0; s->names != NULL && i < SIZES_NAMES_MAX; i++)
        free(s->names[i].name);
    free(s->names);
    free(s->longest);
    free(s->cookie_counts);
    free(s->header_counts);
}

int
sizes_percentile(const uint32_t *counts, int percent)
{
    uint64_t all = 0, seen = 0;
    int i, last = 0;

    for (i = 0; i <= SIZES_BYTES_MAX; i++)
        all += counts[i];
    for (i = 0; i <= SIZES_BYTES_MAX; i++) {
        seen += counts[i];
        if (counts[i] > 0)
            last = i;
        if (all > 0 && seen * 100 >= all * (uint64_t)percent)
            return i;
    }
    return last;
}
