/* SPDX-License-Identifier: MIT */
#ifndef SG_SOURCE_SOURCE_MONGO_H
#define SG_SOURCE_SOURCE_MONGO_H

#include "source/doc_bson.h"
#include "source/source.h"

#include <mongoc/mongoc.h>

/* Shared by the files of the "mongodb" source. */
struct sg_mongo_source {
    struct sg_source base;
    struct sg_source_options options; /* url and ca_file are not kept */
    char *poll_field;
    char name[160]; /* "mongodb HOST:PORT/DB", for errors */
    mongoc_uri_t *uri;
    mongoc_client_t *client;
    struct sg_arena *arena;
    struct sg_source_record *records; /* options.batch_records of each */
    struct sg_doc *docs;
    bson_t **kept;                       /* copies of the documents that records stand in */
    struct sg_buf *keys;                 /* what their keys stand in */
    char ttl_of[SG_SOURCE_NAME_MAX + 1]; /* the collection that ttl_field is known of */
    char ttl_field[SG_SOURCE_NAME_MAX + 1];
    int64_t ttl_ms;
    int64_t staleness_ms;
};

/* Fails with what libmongoc or the server said: its text only where it speaks of connections, since
 * the server's own may quote documents. */
int sg_mongo_failed(const struct sg_mongo_source *s, const char *what, const bson_error_t *why,
                    struct sg_err *err);
bool sg_mongo_stopped(const struct sg_mongo_source *s);

mongoc_collection_t *sg_mongo_collection(struct sg_mongo_source *s, const char *name);
/* Which field says when a document expires (a TTL index), and how long after. */
SG_MUST_USE int sg_mongo_learn_ttl(struct sg_mongo_source *s, const char *collection,
                                   struct sg_err *err);
/* The record of a document, which it points into, as the i-th of the batch. Never fails for what
 * is in it: the record is odd then. -1 when the arena is full and i is not 0. */
SG_MUST_USE int sg_mongo_record(struct sg_mongo_source *s, int i, const bson_t *bson);

/* Emits what a cursor gives; the cursor is destroyed. With position its last _id is kept there. */
SG_MUST_USE int sg_mongo_emit(struct sg_mongo_source *s, mongoc_cursor_t *cursor, char *position,
                              sg_source_emit emit, void *ctx, struct sg_err *err);

/* The rest of the table. */
int sg_mongo_pieces(struct sg_source *base, const char *collection, struct sg_source_piece *out,
                    int most, int *n, struct sg_err *err);
int sg_mongo_read(struct sg_source *base, const char *collection,
                  const struct sg_source_piece *piece, char position[SG_SOURCE_PIECE_MAX],
                  sg_source_emit emit, void *ctx, struct sg_err *err);
int sg_mongo_fetch(struct sg_source *base, const char *collection, const struct sg_slice *keys,
                   int n, sg_source_emit emit, void *ctx, struct sg_err *err);
int sg_mongo_write(struct sg_source *base, const char *collection,
                   const struct sg_source_record *record, struct sg_err *err);
int sg_mongo_follow(struct sg_source *base, struct sg_source_follow *follow, struct sg_err *err);

#endif
