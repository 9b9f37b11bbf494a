/* SPDX-License-Identifier: MIT */
#ifndef SG_SOURCE_SOURCE_H
#define SG_SOURCE_SOURCE_H

#include "base/err.h"
#include "base/slice.h"
#include "doc/doc.h"

#include <stdatomic.h>
#include <stdint.h>

/* Collections of a NoSQL store, read in bulk and followed: what analysing, transferring and
 * verifying stand on. Calls block, so they belong on threads of their own; a source handle is used
 * by one thread at a time, and each thread opens its own. (The sessions' online path is
 * legacy/legacy.h.) */

#define SG_SOURCE_NAME_MAX 255
#define SG_SOURCE_KEY_MAX 1024
#define SG_SOURCE_PIECE_MAX 512

/* One record as a source brings it. Slices and doc live until emit returns. */
struct sg_source_record {
    struct sg_slice key;      /* canonical bytes of the record's key: equal keys, equal bytes. Of an
                                 odd record it may be longer than SG_SOURCE_KEY_MAX */
    const struct sg_doc *doc; /* NULL: gone (fetch, follow), or not readable: see odd */
    struct sg_slice raw;      /* the value as stored, where the source has it; for rejects */
    int64_t expires_ms;     /* Unix milliseconds; -1 = it does not expire; write: -2 = as before */
    const char *odd;        /* why there is no doc ("redis type stream"); NULL. Of a DELETE: why it
                               is gone, when nobody deleted it ("expired", "evicted"), where the
                               source tells. Static storage */
    const char *redis_type; /* how Redis holds it: "string", "hash", …; NULL elsewhere */
};

/* rc 0 = go on, -1 = stop with *err. */
typedef int (*sg_source_emit)(void *ctx, const struct sg_source_record *records, int n,
                              struct sg_err *err);

struct sg_source_collection {
    char name[SG_SOURCE_NAME_MAX + 1]; /* Redis: a pattern of keys, where '*' stands for anything
                                          without a ':' ("user:*", "order:*:lines") and "**" at its
                                          end for anything */
    int64_t records;                   /* as the source estimates it; -1 = unknown */
};

/* A part of a collection that is read by itself. Its text says all that is needed to read it again
 * in another process, and is all that a ledger keeps. */
struct sg_source_piece {
    char text[SG_SOURCE_PIECE_MAX];
};

struct sg_source_options {
    const char *url; /* redis:, rediss:, unix:, mongodb:, mongodb+srv:, dynamodb: */
    const char *ca_file;
    int timeout_ms;          /* of connecting and of each answer */
    int64_t bytes_max;       /* of memory one batch of records may take */
    int batch_records;       /* at most, in one emit */
    const atomic_bool *stop; /* set by anybody: calls end with SG_E_CANCELLED soon; may be NULL */
    const char *poll_field;  /* MongoDB without a replica set: a field that every change raises */
    int poll_ms;             /* between two polls, and two beats; 0 = 1000 */
};

enum sg_source_change { SG_SOURCE_PUT, SG_SOURCE_DELETE, SG_SOURCE_BEAT };

struct sg_source_follow {
    const char *const *collections;     /* NULL-ended */
    char position[SG_SOURCE_PIECE_MAX]; /* in: where to go on, "" = from now; out: as far as told */
    /* position: to go on from once this change is stored. BEAT: every change up to here was told;
       from the first one on none is missed. */
    int (*change)(void *ctx, enum sg_source_change what, const char *collection,
                  const struct sg_source_record *record, const char *position, struct sg_err *err);
    void *ctx;
};

struct sg_source;

struct sg_source_type {
    const char *name; /* "redis", "mongodb", "dynamodb" */
    int (*open)(const struct sg_source_options *options, struct sg_source **out,
                struct sg_err *err);
    void (*close)(struct sg_source *source);
    /* Every collection, at most `most`; *n = how many. */
    int (*collections)(struct sg_source *source, struct sg_source_collection *out, int most, int *n,
                       struct sg_err *err);
    /* About `wanted` records, as evenly spread as the source can do it cheaply. */
    int (*sample)(struct sg_source *source, const char *collection, int64_t wanted,
                  sg_source_emit emit, void *ctx, struct sg_err *err);
    /* Divides a collection into at most `most` pieces that together hold each record that is there
     * all the while at least once. */
    int (*pieces)(struct sg_source *source, const char *collection, struct sg_source_piece *out,
                  int most, int *n, struct sg_err *err);
    /* Reads one piece from *position on ("" = its beginning); after each emit that returned 0
     * *position is where to go on. */
    int (*read)(struct sg_source *source, const char *collection,
                const struct sg_source_piece *piece, char position[SG_SOURCE_PIECE_MAX],
                sg_source_emit emit, void *ctx, struct sg_err *err);
    /* Reads these keys now, strongly consistent; each is emitted once, in any order. A batch may
       split them. */
    int (*fetch)(struct sg_source *source, const char *collection, const struct sg_slice *keys,
                 int n, sg_source_emit emit, void *ctx, struct sg_err *err);
    /* Writes back: doc NULL deletes. Keeps the record's own encoding where it can. */
    int (*write)(struct sg_source *source, const char *collection,
                 const struct sg_source_record *record, struct sg_err *err);
    /* Tells changes until stopped or broken. SG_E_CONFLICT: the position is no longer served, so
     * everything must be read again. */
    int (*follow)(struct sg_source *source, struct sg_source_follow *follow, struct sg_err *err);
    /* How late a change may be told, ms, as measured by this source's own beats; -1 = unknown. */
    int64_t (*staleness_ms)(const struct sg_source *source);
};

struct sg_source {
    const struct sg_source_type *type; /* implementations embed this first */
};

/* By the URL's scheme. SG_E_INVALID names the schemes there are. */
SG_MUST_USE int sg_source_open(const struct sg_source_options *options, struct sg_source **out,
                               struct sg_err *err);
void sg_source_close(struct sg_source *source); /* NULL does nothing */

#endif
