/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_REVOKED_H
#define SG_SESSION_REVOKED_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

/* What the feed said that outstanding tokens do not say themselves: ended sessions, and subjects
 * whose epoch, status or roles changed. In memory, one a realm and loop. Entries are kept until no
 * token minted before them can be alive. */
struct sg_revoked;

#define SG_REVOKED_SESSIONS_MAX (1 << 20)
#define SG_REVOKED_SUBJECTS_MAX (1 << 18)

struct sg_revoked_subject {
    char *subject;
    bool banned;
    int epoch;
    int64_t source_version;
    char *roles, *permissions; /* array literals */
    char *attributes;          /* a JSON object */
    int64_t until_ms;
};

SG_MUST_USE int sg_revoked_new(struct sg_revoked **out, struct sg_err *err);
void sg_revoked_free(struct sg_revoked *r);

/* Idempotent. SG_E_LIMIT at the bound: the caller must then ask the store about every token
 * (introspect). */
SG_MUST_USE int sg_revoked_add_session(struct sg_revoked *r, const uint8_t sid[16],
                                       int64_t until_ms, struct sg_err *err);
/* The newer source_version and the higher epoch win, in whatever order they come. */
SG_MUST_USE int sg_revoked_add_subject(struct sg_revoked *r, const char *subject, bool banned,
                                       int epoch, int64_t source_version, struct sg_slice roles,
                                       struct sg_slice permissions, struct sg_slice attributes,
                                       int64_t until_ms, struct sg_err *err);

bool sg_revoked_has_session(const struct sg_revoked *r, const uint8_t sid[16]);
/* NULL if nothing changed. Good until the next add or purge. */
const struct sg_revoked_subject *sg_revoked_subject(const struct sg_revoked *r,
                                                    struct sg_slice subject);

/* Forgets what is past its time. */
void sg_revoked_purge(struct sg_revoked *r, int64_t now_ms);
int sg_revoked_count(const struct sg_revoked *r);

#endif
