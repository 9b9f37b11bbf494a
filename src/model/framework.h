/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_FRAMEWORK_H
#define SG_MODEL_FRAMEWORK_H

#include "doc/doc.h"

/* Which framework a session record looks like. Rules over what genuine records have; what fits
 * none is unknown, and said to be. Pure. */
struct sg_framework {
    const char *name;       /* "express-session (connect-redis)"; "unknown" */
    const char *credential; /* what the client holds: "signed with HMAC-SHA-256", … */
    const char *lifetime;   /* how it expires: "sliding: each request", … */
};

struct sg_session_look {
    struct sg_slice key;    /* the whole store key; ptr NULL where the document holds it */
    struct sg_slice raw;    /* as stored; ptr NULL where the source does not say */
    const char *redis_type; /* NULL elsewhere */
    const struct sg_doc *doc;
};

/* Static storage, never NULL; the same pointer for the same framework. */
const struct sg_framework *sg_framework_of(const struct sg_session_look *look);

/* "JSON", "Java serialization", "Python pickle", … ; "unknown". Static storage. */
const char *sg_session_encoding(const struct sg_session_look *look);

/* What a member of a session record is for, by its name: identity, csrf, flash, cart, way back,
 * preference, cookie, other. Static storage. */
const char *sg_session_member_kind(struct sg_slice name);
/* Where such a member can go when the store retires. */
const char *sg_session_member_home(const char *kind);

#endif
