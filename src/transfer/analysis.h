/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_ANALYSIS_H
#define SG_TRANSFER_ANALYSIS_H

#include "legacy/legacy.h"
#include "model/token_ids.h"

#include <stdint.h>

/* What a legacy store holds and how its tokens are made, gathered record by record; pure, no I/O.
 * Nothing of a record's content is kept but names of members and counts (P9). */
#define SG_ANALYSIS_NAMES                                                                          \
    64 /* members, reasons, idle times told apart; the rest counts as "other" */
#define SG_ANALYSIS_BUCKETS 12         /* of a histogram */
#define SG_ANALYSIS_SUBJECTS (1 << 20) /* told apart; beyond it the count is a lower bound */

struct sg_analysis_name {
    char text[64];
    uint64_t n;
};
struct sg_analysis_list {
    struct sg_analysis_name items[SG_ANALYSIS_NAMES];
    int n;
    uint64_t other;
};
/* Bucket i counts values up to limits[i]; the last one has no limit. */
struct sg_histogram {
    const int64_t *limits;
    int n;
    uint64_t counts[SG_ANALYSIS_BUCKETS];
};

struct sg_analysis {
    uint64_t keys, sessions, anonymous, undecodable, wrong_type, without_ttl, bytes, largest_bytes;
    uint64_t subjects; /* told apart */
    bool subjects_full;
    struct sg_histogram ttl_s, size_bytes;
    struct sg_analysis_list members; /* of the record's top level, but those the codec reads */
    struct sg_analysis_list reasons; /* why a record did not decode, with its place */
    struct sg_analysis_list idle_s;  /* the framework's sliding lifetimes */
    struct sg_token_ids ids;         /* the key behind its prefix */
    /* private */
    uint64_t *subject_hashes;
    size_t subject_cap;
};

SG_MUST_USE int sg_analysis_init(struct sg_analysis *a, struct sg_err *err);
void sg_analysis_free(struct sg_analysis *a);

/* One record as a scan brings it; gone ones (no value, not of a wrong type) are passed over. */
void sg_analysis_add(struct sg_analysis *a, const struct sg_codec *codec,
                     const struct sg_codec_config *config, const struct sg_legacy_item *item);

#endif
