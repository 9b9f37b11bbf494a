/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_SUBJECTS_H
#define SG_SESSION_SUBJECTS_H

#include "identity/identity.h"
#include "session/engine.h"

/* What /v1/subjects asks for. Each calls done once, from a later turn of the loop or before it
 * returns; what out points to is good during done only. */
enum sg_subject_status {
    SG_SUBJECT_OK,
    SG_SUBJECT_NOT_FOUND,
    SG_SUBJECT_CHANGED,     /* its version is another than the change was made for */
    SG_SUBJECT_ELSEWHERE,   /* the identity source is the authority: change it there */
    SG_SUBJECT_TOO_LARGE,   /* the attributes would be */
    SG_SUBJECT_UNAVAILABLE, /* a shard is down: retry */
};

struct sg_subject_out {
    enum sg_subject_status status;
    const char *why;                    /* static */
    const struct sg_identity *identity; /* OK, and CHANGED where there is one: as stored now */
};
typedef void (*sg_subject_done)(void *ctx, const struct sg_subject_out *out);

/* As the shards know it: a copy where a source of its own is the authority. */
void sg_subject_get(struct sg_realm *realm, const char *subject, sg_subject_done done, void *ctx);

#define SG_VERSION_ANY (-1)  /* whichever it has */
#define SG_VERSION_NONE (-2) /* there is none yet: make it */

/* A JSON merge patch (RFC 7396) of a subject, checked by the caller. */
struct sg_subject_patch {
    int64_t if_version;
    bool has_active, active, has_roles, has_permissions;
    struct sg_names roles, permissions;
    const char *attributes; /* a JSON object, merged member by member; NULL = as they are */
    bool clear_attributes;  /* or none of them any more */
};

/* Changes the subject and raises its version by one, in one transaction with the feed's row. Only
 * where the migrated table is the source. patch is copied. */
void sg_subject_patch(struct sg_realm *realm, const char *subject,
                      const struct sg_subject_patch *patch, sg_subject_done done, void *ctx);

/* ---- told of changes in the source ---- */

#define SG_REREAD_MAX 1000   /* subjects waiting, in a realm and loop */
#define SG_REREAD_AT_ONCE 4  /* of them being read */
#define SG_REREAD_TRIES 5    /* while the source is down, over some seconds */
#define SG_REREAD_PER_SEC 50 /* calls taken, in a realm and loop */

enum sg_reread_status {
    SG_REREAD_TAKEN,
    SG_REREAD_OWN, /* the migrated table is the source: nothing to read */
    SG_REREAD_TOO_FAST,
    SG_REREAD_FULL, /* none of them was taken */
};

/* Reads these subjects from the source soon and tells every instance what is new; one that is gone
 * there is banned. What waits when the process dies is forgotten: the follower, or the next mint,
 * finds it. */
enum sg_reread_status sg_subjects_reread(struct sg_realm *realm, const char *const *subjects,
                                         int n);

#endif
