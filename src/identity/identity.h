/* SPDX-License-Identifier: MIT */
#ifndef SG_IDENTITY_IDENTITY_H
#define SG_IDENTITY_IDENTITY_H

#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>
#include <uv.h>

#define SG_ROLES_MAX 64
#define SG_NAMES_BYTES 4096

/* A set of names ("admin", "orders:read") in the order the source gave them. */
struct sg_names {
    int n;
    const char *name[SG_ROLES_MAX];
    char text[SG_NAMES_BYTES];
    size_t used;
};

void sg_names_clear(struct sg_names *names);
void sg_names_copy(struct sg_names *to, const struct sg_names *from);
/* SG_E_LIMIT past 64 names or 4,096 bytes. */
SG_MUST_USE int sg_names_add(struct sg_names *names, struct sg_slice name, struct sg_err *err);
/* A PostgreSQL array literal ("{a,b}") both ways; from: replaces what names held. */
SG_MUST_USE int sg_names_from_array(struct sg_names *names, struct sg_slice literal,
                                    struct sg_err *err);
struct sg_buf;
void sg_names_to_array(const struct sg_names *names, struct sg_buf *out);

/* A subject as its source knows it. */
struct sg_identity {
    char subject[201];
    bool active; /* false: banned, deleted or disabled; never minted */
    struct sg_names roles, permissions;
    int64_t version; /* grows with every change of this subject in the source */
};

/* The names point into their own struct: plain assignment would leave them pointing into the other. */
void sg_identity_copy(struct sg_identity *to, const struct sg_identity *from);

struct sg_identity_source;

struct sg_identity_request {
    char subject[201];
    uint64_t deadline_ns;
    void (*done)(struct sg_identity_request *request);
    /* out: rc 0 and found false = the source answered that there is no such subject */
    int rc;
    struct sg_err err;
    bool found;
    struct sg_identity identity;
    void *priv; /* the implementation's own state */
};

/* Subjects changed since a cursor, oldest first. The cursor is the source's own text; "" = from the
 * beginning. A source must give again whatever may have been committed late, so items can repeat.
 */
struct sg_identity_changes {
    char cursor[64];
    uint64_t deadline_ns;
    void (*done)(struct sg_identity_changes *changes);
    int rc;
    struct sg_err err;
    struct sg_identity *items; /* owned by the request until cleared */
    int n_items;
    void *priv; /* the implementation's own state */
};

struct sg_identity_source_options {
    const char *conninfo;
    const char *
        lookup_sql; /* $1 = subject -> subject, active, roles text[], permissions text[], version */
    const char *changes_sql; /* $1 = cursor -> the same columns, cursor text; at most 1,000 rows */
    int timeout_ms;
    int connections;
};

struct sg_identity_source_type {
    const char *name; /* "sql" */
    int (*open)(uv_loop_t *loop, const struct sg_clock *clock,
                const struct sg_identity_source_options *options, struct sg_identity_source **out,
                struct sg_err *err);
    void (*close)(struct sg_identity_source *source, void (*closed)(void *ctx), void *ctx);
    void (*lookup)(struct sg_identity_source *source, struct sg_identity_request *request);
    void (*changes)(struct sg_identity_source *source, struct sg_identity_changes *changes);
};

struct sg_identity_source {
    const struct sg_identity_source_type *type; /* implementations embed this first */
};

const struct sg_identity_source_type *sg_identity_source_find(const char *name);
void sg_identity_changes_clear(struct sg_identity_changes *changes);

#endif
