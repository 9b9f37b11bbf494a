/* SPDX-License-Identifier: MIT */
#ifndef SG_SOURCE_SOURCE_DYNAMO_H
#define SG_SOURCE_SOURCE_DYNAMO_H

#include "source/doc_dynamo.h"
#include "source/dynamo_http.h"
#include "source/source.h"

#define SG_DYNAMO_NAME_MAX 255 /* bytes of a table's or attribute's name that is used */

/* Shared by the files of the "dynamodb" source. */
struct sg_dynamo_source {
    struct sg_source base;
    struct sg_source_options options; /* url and ca_file are not kept */
    char *poll_field;
    struct sg_dynamo *dynamo;
    struct sg_arena *arena;
    struct sg_source_record *records; /* options.batch_records of each */
    struct sg_doc *docs;
    /* What is known of one table, the last that was used. */
    char table[SG_DYNAMO_NAME_MAX + 1];
    char key[2][SG_DYNAMO_NAME_MAX + 1]; /* partition key; sort key or "" */
    char ttl[SG_DYNAMO_NAME_MAX + 1];    /* "" = items do not expire */
    int64_t items;
    int64_t staleness_ms;
};

/* Appends a table's or attribute's name as JSON text. */
void sg_dynamo_put_name(struct sg_buf *out, const char *name);
/* Asks, and reads the answer into the arena, which is emptied first. */
SG_MUST_USE int sg_dynamo_call(struct sg_dynamo_source *s, const char *operation,
                               const struct sg_buf *body, struct sg_doc *out, struct sg_err *err);
/* A member of an object, if it is there and of that type; else NULL. */
const struct sg_doc *sg_dynamo_member(const struct sg_doc *doc, const char *name,
                                      enum sg_doc_type type);

/* Asks for what must be known of a table, unless it is the one that is known. */
SG_MUST_USE int sg_dynamo_learn(struct sg_dynamo_source *s, const char *table, struct sg_err *err);

/* A scan of a table's segment. */
struct sg_dynamo_scan {
    int segment, segments;
    const struct sg_doc *since; /* only items whose poll_field is not less; NULL = all */
};

/* One page: as many records as fit, emitted; *position is where to go on, SG_DYNAMO_END at last. */
#define SG_DYNAMO_END "end"
SG_MUST_USE int sg_dynamo_scan_page(struct sg_dynamo_source *s, const struct sg_dynamo_scan *scan,
                                    int limit, char position[SG_SOURCE_PIECE_MAX],
                                    sg_source_emit emit, void *ctx, struct sg_err *err);
/* Every page from *position on. */
SG_MUST_USE int sg_dynamo_scan_all(struct sg_dynamo_source *s, const struct sg_dynamo_scan *scan,
                                   char position[SG_SOURCE_PIECE_MAX], sg_source_emit emit,
                                   void *ctx, struct sg_err *err);
/* The i-th record of a batch from an item as DynamoDB writes it. Fails only for want of memory. */
SG_MUST_USE int sg_dynamo_record(struct sg_dynamo_source *s, int i, const struct sg_doc *typed,
                                 struct sg_err *err);

int sg_dynamo_collections(struct sg_source *base, struct sg_source_collection *out, int most,
                          int *n, struct sg_err *err);
int sg_dynamo_fetch(struct sg_source *base, const char *collection, const struct sg_slice *keys,
                    int n, sg_source_emit emit, void *ctx, struct sg_err *err);
int sg_dynamo_follow(struct sg_source *base, struct sg_source_follow *follow, struct sg_err *err);

#endif
