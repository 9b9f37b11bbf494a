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
#define SG_ATTRIBUTES_BYTES 2048
#define SG_IDENTITY_CHANGES_MAX 1000 /* in one reading */

/* A set of names ("admin", "orders:read") in the order the source gave them. name[] points into
 * text, so that a struct assignment needs sg_names_copy instead. */
struct sg_names {
    int n;
    const char *name[SG_ROLES_MAX];
    char text[SG_NAMES_BYTES];
    size_t used;
};

void sg_names_clear(struct sg_names *names);
void sg_names_copy(struct sg_names *to, const struct sg_names *from);
/* A name that is there already is not added again. SG_E_LIMIT past 64 names or 4,096 bytes (NULs
 * included); SG_E_INVALID for an empty one or a control character. */
SG_MUST_USE int sg_names_add(struct sg_names *names, struct sg_slice name, struct sg_err *err);
/* A one-dimensional PostgreSQL array literal ("{a,b}") both ways. Reading replaces what names held
 * and refuses NULL elements (SG_E_INVALID). */
SG_MUST_USE int sg_names_from_array(struct sg_names *names, struct sg_slice literal,
                                    struct sg_err *err);
struct sg_buf;
void sg_names_to_array(const struct sg_names *names, struct sg_buf *out);

/* A subject as its source knows it. */
struct sg_identity {
    char subject[201];
    bool active; /* false: banned, deleted or disabled; never minted */
    struct sg_names roles, permissions;
    int64_t version; /* grows with every change of this subject in the source; 0 or more */
    char attributes[SG_ATTRIBUTES_BYTES + 1]; /* a JSON object, what custom claims are made of; ""
                                                 is the empty one */
};

/* The names point into their own struct: plain assignment would leave them pointing into the other.
 */
void sg_identity_copy(struct sg_identity *to, const struct sg_identity *from);

/* Takes the text of a JSON object for the attributes. SG_E_INVALID: no object, a member twice,
 * NUL; SG_E_LIMIT: more than 2,048 bytes. */
SG_MUST_USE int sg_identity_set_attributes(struct sg_identity *identity, struct sg_slice json,
                                           struct sg_err *err);

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
};

/* Subjects changed since a cursor, oldest first. The cursor is the source's own text; "" = from the
 * beginning. A source must give again whatever may have been committed late, so items can repeat.
 */
struct sg_identity_changes {
    char cursor[64]; /* in: where to go on; out: where the next call does, unless rc is -1 */
    uint64_t deadline_ns;
    void (*done)(struct sg_identity_changes *changes);
    int rc;
    struct sg_err err;
    struct sg_identity *items; /* owned by the request until cleared */
    int n_items;
    /* Items that make no sense are left out: what is known of them stays, and a mint asks for each
     * by itself. One of them must not hold up all others. */
    int n_refused;
    struct sg_err refused; /* the first of them */
    bool full;             /* there may be more to read at once */
};

/* Where in a JSON answer things are: names joined by dots ("user.id"); "." is the whole answer, ""
 * is nowhere. */
struct sg_identity_paths {
    const char *subject;     /* string or whole number; required */
    const char *active;      /* true or false; "": who is found is active */
    const char *roles;       /* an array of strings, or null */
    const char *permissions; /* likewise */
    const char *version;     /* a whole number; required */
    const char *attributes;  /* an object, or null */
    const char *items;       /* of the changes: an array of such answers */
    const char *cursor;      /* of the changes: string or whole number */
};

struct sg_identity_source_options {
    const char *
        name; /* stands for the source in errors: "identity source shop"; NULL: "identity source" */
    int timeout_ms; /* of connecting */
    int connections;
    int max_queued; /* requests under way; 0: 1,000 */

    /* ---- sql ---- */
    const char *conninfo;
    /* $1 = subject, text -> subject text, active boolean, roles text[], permissions text[], version
     * bigint and, if wanted, attributes jsonb; at most one row. A NULL array or attributes are
     * empty; other columns must not be NULL. */
    const char *lookup_sql;
    /* $1 = cursor, text -> the same columns, last the cursor after this row, text; oldest first, at
     * most 1,000 rows (LIMIT in the statement; more is SG_E_LIMIT). NULL where changes are never
     * asked for. */
    const char *changes_sql;

    /* ---- http ---- */
    const char *url;                /* with {subject}; 404 and 410 = there is no such subject */
    const char *changes_url;        /* with {cursor}; NULL where changes are never asked for */
    const char *authorization;      /* header value; NULL = none */
    const char *ca_file;            /* NULL = the system's certificates */
    struct sg_identity_paths paths; /* its strings must outlive the source */
};

/* open never blocks and succeeds while the source is down. lookup and changes complete through
 * done, once, from the loop, never from within the call; their deadline ends them with SG_E_TIMEOUT
 * or SG_E_UNAVAILABLE. An answer that makes no sense is an error like a source that is down. close
 * ends what is under way with SG_E_CANCELLED before it returns; the source is freed by later turns
 * of the loop, then `closed` is called (may be NULL). */
struct sg_identity_source_type {
    const char *name; /* "sql", "http" */
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

/* NULL if there is none of that name. */
const struct sg_identity_source_type *sg_identity_source_find(const char *name);
void sg_identity_changes_clear(struct sg_identity_changes *changes);

#endif
