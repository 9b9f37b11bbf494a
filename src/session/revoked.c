/* SPDX-License-Identifier: MIT */
#include "session/revoked.h"

#include <stdlib.h>

struct session_slot {
    uint8_t sid[16];
    int64_t until_ms; /* 0 = free */
};

/* Open addressing with linear probing; at most half full; a purge rebuilds, so there are no deleted
 * marks. */
struct sg_revoked {
    struct session_slot *sessions;
    size_t sessions_cap, n_sessions;
    struct sg_revoked_subject *subjects; /* subject NULL = free */
    size_t subjects_cap, n_subjects;
};

#define FIRST_CAP 256

int
sg_revoked_new(struct sg_revoked **out, struct sg_err *err)
{
    struct sg_revoked *r = calloc(1, sizeof *r);

    if (r != NULL) {
        r->sessions = calloc(FIRST_CAP, sizeof *r->sessions);
        r->subjects = calloc(FIRST_CAP, sizeof *r->subjects);
    }
    if (r == NULL || r->sessions == NULL || r->subjects == NULL) {
        sg_revoked_free(r);
        return sg_fail(err, SG_E_INTERNAL, "revocations", "out of memory");
    }
    r->sessions_cap = r->subjects_cap = FIRST_CAP;
    *out = r;
    return 0;
}

static void
free_subject(struct sg_revoked_subject *s)
{
    free(s->subject);
    free(s->roles);
    free(s->permissions);
    free(s->attributes);
}

void
sg_revoked_free(struct sg_revoked *r)
{
    size_t i;

    if (r == NULL)
        return;
    for (i = 0; i < r->subjects_cap && r->subjects != NULL; i++)
        free_subject(&r->subjects[i]);
    free(r->subjects);
    free(r->sessions);
    free(r);
}

/* A sid is a MAC: any eight of its bytes are as good as a hash. */
static size_t
session_hash(const uint8_t sid[16])
{
    uint64_t h;

    memcpy(&h, sid, sizeof h);
    return (size_t)h;
}

/* FNV-1a. Subjects come from the operator's own user table. */
static size_t
subject_hash(struct sg_slice s)
{
    uint64_t h = UINT64_C(14695981039346656037);
    size_t i;

    for (i = 0; i < s.len; i++)
        h = (h ^ (uint8_t)s.ptr[i]) * UINT64_C(1099511628211);
    return (size_t)(h ^ h >> 29);
}

static struct session_slot *
find_session(struct session_slot *slots, size_t cap, const uint8_t sid[16])
{
    size_t i = session_hash(sid) & (cap - 1);

    while (slots[i].until_ms != 0 && memcmp(slots[i].sid, sid, 16) != 0)
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

static struct sg_revoked_subject *
find_subject(struct sg_revoked_subject *slots, size_t cap, struct sg_slice subject)
{
    size_t i = subject_hash(subject) & (cap - 1);

    while (slots[i].subject != NULL && !sg_slice_eq(sg_str(slots[i].subject), subject))
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

/* Moves what is still good at now_ms into a table of cap slots. */
static bool
rebuild_sessions(struct sg_revoked *r, size_t cap, int64_t now_ms)
{
    struct session_slot *fresh = calloc(cap, sizeof *fresh);
    size_t i, n = 0;

    if (fresh == NULL)
        return false;
    for (i = 0; i < r->sessions_cap; i++)
        if (r->sessions[i].until_ms > now_ms) {
            *find_session(fresh, cap, r->sessions[i].sid) = r->sessions[i];
            n++;
        }
    free(r->sessions);
    r->sessions = fresh;
    r->sessions_cap = cap;
    r->n_sessions = n;
    return true;
}

static bool
rebuild_subjects(struct sg_revoked *r, size_t cap, int64_t now_ms)
{
    struct sg_revoked_subject *fresh = calloc(cap, sizeof *fresh), *s;
    size_t i, n = 0;

    if (fresh == NULL)
        return false;
    for (i = 0; i < r->subjects_cap; i++) {
        s = &r->subjects[i];
        if (s->subject == NULL)
            continue;
        if (s->until_ms > now_ms) {
            *find_subject(fresh, cap, sg_str(s->subject)) = *s;
            n++;
        } else
            free_subject(s);
    }
    free(r->subjects);
    r->subjects = fresh;
    r->subjects_cap = cap;
    r->n_subjects = n;
    return true;
}

int
sg_revoked_add_session(struct sg_revoked *r, const uint8_t sid[16], int64_t until_ms,
                       struct sg_err *err)
{
    struct session_slot *slot = find_session(r->sessions, r->sessions_cap, sid);

    if (slot->until_ms != 0) {
        if (until_ms > slot->until_ms)
            slot->until_ms = until_ms;
        return 0;
    }
    if (r->n_sessions == SG_REVOKED_SESSIONS_MAX)
        return sg_fail(err, SG_E_LIMIT, "revocations", "%d ended sessions are held already",
                       SG_REVOKED_SESSIONS_MAX);
    if (r->n_sessions * 2 >= r->sessions_cap) {
        if (!rebuild_sessions(r, r->sessions_cap * 2, 0))
            return sg_fail(err, SG_E_INTERNAL, "revocations", "out of memory");
        slot = find_session(r->sessions, r->sessions_cap, sid);
    }
    memcpy(slot->sid, sid, 16);
    slot->until_ms = until_ms;
    r->n_sessions++;
    return 0;
}

static char *
copy_or(struct sg_slice text, const char *empty)
{
    return text.ptr != NULL ? strndup(text.ptr, text.len) : strdup(empty);
}

static int
set_identity(struct sg_revoked_subject *s, struct sg_slice roles, struct sg_slice permissions,
             struct sg_slice attributes)
{
    char *a = copy_or(roles, "{}"), *b = copy_or(permissions, "{}"), *c = copy_or(attributes, "{}");

    if (a == NULL || b == NULL || c == NULL) {
        free(a);
        free(b);
        free(c);
        return -1;
    }
    free(s->roles);
    free(s->permissions);
    free(s->attributes);
    s->roles = a;
    s->permissions = b;
    s->attributes = c;
    return 0;
}

int
sg_revoked_add_subject(struct sg_revoked *r, const char *subject, bool banned, int epoch,
                       int64_t source_version, struct sg_slice roles, struct sg_slice permissions,
                       struct sg_slice attributes, int64_t until_ms, struct sg_err *err)
{
    struct sg_revoked_subject *s = find_subject(r->subjects, r->subjects_cap, sg_str(subject));

    if (s->subject == NULL) {
        struct sg_revoked_subject fresh = {.source_version = INT64_MIN};

        if (r->n_subjects == SG_REVOKED_SUBJECTS_MAX)
            return sg_fail(err, SG_E_LIMIT, "revocations", "%d changed subjects are held already",
                           SG_REVOKED_SUBJECTS_MAX);
        if (r->n_subjects * 2 >= r->subjects_cap &&
            !rebuild_subjects(r, r->subjects_cap * 2, INT64_MIN))
            return sg_fail(err, SG_E_INTERNAL, "revocations", "out of memory");
        if ((fresh.subject = strdup(subject)) == NULL ||
            set_identity(&fresh, (struct sg_slice){0}, (struct sg_slice){0},
                         (struct sg_slice){0}) != 0) {
            free(fresh.subject);
            return sg_fail(err, SG_E_INTERNAL, "revocations", "out of memory");
        }
        s = find_subject(r->subjects, r->subjects_cap, sg_str(subject));
        *s = fresh;
        r->n_subjects++;
    }
    if (source_version > s->source_version ||
        (source_version == s->source_version && epoch >= s->epoch)) {
        if (set_identity(s, roles, permissions, attributes) != 0)
            return sg_fail(err, SG_E_INTERNAL, "revocations", "out of memory");
        s->source_version = source_version;
        s->banned = banned;
    }
    if (epoch > s->epoch)
        s->epoch = epoch;
    if (until_ms > s->until_ms)
        s->until_ms = until_ms;
    return 0;
}

bool
sg_revoked_has_session(const struct sg_revoked *r, const uint8_t sid[16])
{
    return find_session(r->sessions, r->sessions_cap, sid)->until_ms != 0;
}

const struct sg_revoked_subject *
sg_revoked_subject(const struct sg_revoked *r, struct sg_slice subject)
{
    const struct sg_revoked_subject *s = find_subject(r->subjects, r->subjects_cap, subject);

    return s->subject != NULL ? s : NULL;
}

void
sg_revoked_purge(struct sg_revoked *r, int64_t now_ms)
{
    /* Out of memory leaves everything as it is: nothing is forgotten too early. */
    (void)rebuild_sessions(r, r->sessions_cap, now_ms);
    (void)rebuild_subjects(r, r->subjects_cap, now_ms);
}

int
sg_revoked_count(const struct sg_revoked *r)
{
    return (int)(r->n_sessions + r->n_subjects);
}
