/* SPDX-License-Identifier: MIT */
#ifndef SG_REDIS_RDB_H
#define SG_REDIS_RDB_H

#include "redis/pull.h"

/* Reads a Redis dump (RDB versions 1 to 12, as redis/src/rdb.c of 7.x writes them). Strings are
 * given out whole; of any other type the key is told and the value passed over, so whoever wants it
 * asks the server for it. The checksum at the end is read and not compared: a dump comes straight
 * from the server's memory over a connection that has checksums of its own. */

#define SG_RDB_KEY_MAX 1024

struct sg_rdb_record {
    int database;
    struct sg_slice key; /* empty where key_bytes is above SG_RDB_KEY_MAX */
    uint64_t key_bytes;
    const char *type;      /* "string", "list", "set", "zset", "hash", "stream", "module" */
    struct sg_slice value; /* of a string; good until the callback returns */
    bool too_large;        /* a string above value_max: there is no value */
    int64_t expires_ms;    /* Unix milliseconds; -1 = it does not expire */
};

/* rc 0 = go on, -1 = stop with *err. */
typedef int (*sg_rdb_told)(void *ctx, const struct sg_rdb_record *record, struct sg_err *err);

/* Reads one dump from its magic to its checksum; bytes after it stay in pull. value_max: at most
 * half of pull's bound. SG_E_INVALID with the byte where it is not a dump, or one of a version or a
 * type that is not known here. */
SG_MUST_USE int sg_rdb_read(struct sg_pull *pull, size_t value_max, sg_rdb_told told, void *ctx,
                            struct sg_err *err);

#endif
