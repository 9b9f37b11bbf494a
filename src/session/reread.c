/* SPDX-License-Identifier: MIT */
#include "session/reread.h"

#include "session/identities.h"
#include "session/subjects.h"

#include <stdlib.h>

#define WAIT_FIRST_MS 250
#define ARRAY_BYTES (2 * SG_NAMES_BYTES + 4 * SG_ROLES_MAX)

struct waiting {
    char subject[SG_SUBJECT_MAX + 1];
    int tries;
    uint64_t due_ns;
};

/* A subject being read and stored. */
struct reading {
    struct reread *queue;
    char subject[SG_SUBJECT_MAX + 1];
    int tries;
    struct sg_identity_request lookup;
    struct sg_subject_read read;
    struct sg_subject_row row;
    struct sg_buf roles, permissions;
};

struct reread {
    struct sg_realm *realm;
    struct waiting waiting[SG_REREAD_MAX]; /* oldest first */
    int n, under_way;
    double allowance; /* calls that may come now */
    uint64_t allowed_ns;
};

int
reread_new(struct sg_realm *realm, struct reread **out, struct sg_err *err)
{
    struct reread *q = calloc(1, sizeof *q);

    if (q == NULL)
        return sg_fail(err, SG_E_INTERNAL, realm->config->name, "out of memory");
    q->realm = realm;
    q->allowance = SG_REREAD_PER_SEC;
    q->allowed_ns = sg_mono_ns(realm->engine->clock);
    *out = q;
    return 0;
}

void
reread_free(struct reread *q)
{
    free(q);
}

static bool
is_waiting(const struct reread *q, const char *subject)
{
    int i;

    for (i = 0; i < q->n; i++)
        if (strcmp(q->waiting[i].subject, subject) == 0)
            return true;
    return false;
}

static void
put(struct reread *q, const char *subject, int tries, uint64_t due_ns)
{
    struct waiting *w;

    if (q->n == SG_REREAD_MAX || is_waiting(q, subject))
        return;
    w = &q->waiting[q->n++];
    snprintf(w->subject, sizeof w->subject, "%s", subject);
    w->tries = tries;
    w->due_ns = due_ns;
}

/* ---- one subject ---- */

static void
over(struct reading *r, int rc, const struct sg_err *err)
{
    struct reread *q = r->queue;
    struct sg_engine *e = q->realm->engine;

    if (rc != 0 && err->code == SG_E_NOT_OWNER) {
        q->realm->counters.not_owner++;
        control_reread_map(e);
    }
    if (rc == 0)
        q->realm->counters.subjects_reread++;
    else if (r->tries + 1 < SG_REREAD_TRIES)
        put(q, r->subject, r->tries + 1, engine_deadline(e, WAIT_FIRST_MS << r->tries));
    else {
        q->realm->counters.identity_errors++;
        realm_identity_trouble(q->realm, err);
    }
    sg_subject_read_clear(&r->read);
    sg_buf_free(&r->roles);
    sg_buf_free(&r->permissions);
    free(r);
    q->under_way--;
    e->open_ops--;
    reread_pump(q);
}

static void
stored(void *ctx, int rc, const struct sg_err *err)
{
    over(ctx, rc, err);
}

static void
store(struct reading *r)
{
    struct sg_engine *e = r->queue->realm->engine;

    sg_store_put_subjects(e->store, &r->row, 1, engine_deadline(e, OP_TIMEOUT_MS), stored, r);
}

static struct sg_subject_row
row_of(const struct reading *r)
{
    const char *realm = r->queue->realm->config->name;

    return (struct sg_subject_row){.realm = realm,
                                   .bucket = (int)sg_bucket(sg_str(realm), sg_str(r->subject)),
                                   .subject = r->subject};
}

/* Gone from the source: banned at the version it had, so that it may come back with a newer one. */
static void
known(void *ctx, int rc, const struct sg_err *err)
{
    struct reading *r = ctx;

    if (rc != 0 || !r->read.found || r->read.banned) {
        over(r, rc, err);
        return;
    }
    r->row = row_of(r);
    r->row.source_version = r->row.if_version = r->read.source_version;
    r->row.guarded = true;
    store(r);
}

static void
looked_up(struct sg_identity_request *lookup)
{
    struct reading *r = sg_container_of(lookup, struct reading, lookup);
    const struct sg_identity *who = &lookup->identity;
    struct sg_engine *e = r->queue->realm->engine;

    if (lookup->rc != 0) {
        over(r, -1, &lookup->err);
        return;
    }
    r->row = row_of(r);
    if (!lookup->found) {
        r->read = (struct sg_subject_read){
            .realm = r->row.realm, .bucket = r->row.bucket, .subject = r->subject};
        sg_store_get_subjects(e->store, &r->read, 1, engine_deadline(e, OP_TIMEOUT_MS), known, r);
        return;
    }
    sg_names_to_array(&who->roles, &r->roles);
    sg_names_to_array(&who->permissions, &r->permissions);
    r->row.active = who->active;
    r->row.roles = r->roles.ptr;
    r->row.permissions = r->permissions.ptr;
    r->row.attributes = who->attributes[0] != '\0' ? who->attributes : NULL;
    r->row.source_version = who->version;
    store(r);
}

static bool
start(struct reread *q, const struct waiting *w)
{
    struct sg_engine *e = q->realm->engine;
    struct reading *r = calloc(1, sizeof *r);

    if (r == NULL)
        return false;
    r->queue = q;
    r->tries = w->tries;
    snprintf(r->subject, sizeof r->subject, "%s", w->subject);
    r->roles = r->permissions = SG_BUF_INIT(ARRAY_BYTES);
    snprintf(r->lookup.subject, sizeof r->lookup.subject, "%s", w->subject);
    r->lookup.deadline_ns = engine_deadline(e, q->realm->config->identity.timeout_ms);
    r->lookup.done = looked_up;
    q->under_way++;
    e->open_ops++;
    q->realm->identity->type->lookup(q->realm->identity, &r->lookup);
    return true;
}

void
reread_pump(struct reread *q)
{
    struct sg_engine *e = q->realm->engine;
    uint64_t now = sg_mono_ns(e->clock);
    int i = 0;

    if (!realm_is_known(q->realm))
        return;
    while (i < q->n && q->under_way < SG_REREAD_AT_ONCE && !e->closing) {
        if (q->waiting[i].due_ns > now) {
            i++;
            continue;
        }
        if (!start(q, &q->waiting[i]))
            return; /* no memory now: with a later tick */
        memmove(&q->waiting[i], &q->waiting[i + 1], (size_t)(--q->n - i) * sizeof q->waiting[0]);
    }
}

/* ---- being told ---- */

static bool
is_allowed(struct reread *q)
{
    uint64_t now = sg_mono_ns(q->realm->engine->clock);

    q->allowance += (double)(now - q->allowed_ns) * 1e-9 * SG_REREAD_PER_SEC;
    if (q->allowance > SG_REREAD_PER_SEC)
        q->allowance = SG_REREAD_PER_SEC;
    q->allowed_ns = now;
    if (q->allowance < 1)
        return false;
    q->allowance -= 1;
    return true;
}

enum sg_reread_status
sg_subjects_reread(struct sg_realm *realm, const char *const *subjects, int n)
{
    struct reread *q = realm->reread;
    int i;

    if (!identities_is_foreign(realm->config))
        return SG_REREAD_OWN;
    if (!is_allowed(q))
        return SG_REREAD_TOO_FAST;
    if (n > SG_REREAD_MAX - q->n)
        return SG_REREAD_FULL;
    for (i = 0; i < n; i++)
        put(q, subjects[i], 0, 0);
    reread_pump(q);
    return SG_REREAD_TAKEN;
}
