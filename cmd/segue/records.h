/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_RECORDS_H
#define SEGUE_RECORDS_H

#include "model/profile.h"

/* Records to be analysed, whatever they come from: a store by its URL, or files with a JSON
 * document a line. */
struct records_options {
    char *const *operands; /* a URL and collections, or files */
    int n_operands;
    const char *ca_file; /* for TLS; NULL */
    int64_t sample;      /* at most about so many of each collection; 0 = all */
};

struct records_one {
    struct sg_profile_record profile;
    struct sg_slice key;    /* the whole of it */
    struct sg_slice raw;    /* as stored; ptr NULL where the source does not say */
    const char *redis_type; /* NULL elsewhere */
};

/* -1 stops the reading. */
typedef int (*records_emit)(void *ctx, const char *collection, const struct records_one *record,
                            struct sg_err *err);

/* Reads all collections, one after the other. A line that is no JSON, a record that cannot be read,
 * is brought as odd. */
SG_MUST_USE int records_read(const struct records_options *options, records_emit emit, void *ctx,
                             struct sg_err *err);

#endif
