/* SPDX-License-Identifier: MIT */
#ifndef SG_COLLECT_VERIFY_H
#define SG_COLLECT_VERIFY_H

#include "collect/target.h"
#include "source/source.h"

/* Re-reads both sides of a transferred mapping and says where they differ; repairs the tables. */

enum sg_difference_kind {
    SG_DIFFERENCE_MISSING, /* the source has it, the tables do not */
    SG_DIFFERENCE_EXTRA,   /* the tables have it, the source does not */
    SG_DIFFERENCE_VALUE,   /* both have it, with other values */
};

struct sg_difference {
    enum sg_difference_kind kind;
    const char *table;
    int shard, bucket;
    char key[200];     /* as the key's columns say */
    char columns[400]; /* VALUE: which differ, parted by ", " */
};

struct sg_verify_stats {
    int64_t records;          /* of the source that have rows */
    int64_t rows;             /* of the tables */
    int64_t rejected, kept;   /* records of the source that have none; rejects that are kept */
    int64_t buckets_differed; /* at the first look, changes under way included */
    int64_t not_looked_into;  /* of those, past the bound of one run */
    int64_t differences;      /* after the second look */
    int64_t mended;           /* records */
};

struct sg_verify_options {
    struct sg_target_options target;
    const char *control;             /* repair: for the lock; else NULL */
    struct sg_source_options source; /* url, ca_file, stop; the rest is set here */
    bool repair;                     /* makes the tables as the source is, where they differ */
    void (*found)(void *ctx, const struct sg_difference *difference);
    void (*progress)(void *ctx, const char *collection, const struct sg_verify_stats *stats);
    void *ctx;
};

/* 0 also where there are differences: see *stats. */
SG_MUST_USE int sg_verify_collections(const struct sg_verify_options *options,
                                      struct sg_verify_stats *stats, struct sg_err *err);

#endif
