/* SPDX-License-Identifier: MIT */
#ifndef SG_COLLECT_LOAD_H
#define SG_COLLECT_LOAD_H

#include "collect/target.h"
#include "source/source.h"

#include <stdatomic.h>

/* Transfers the collections of a mapping into the shards (docs/transfer.md). Blocks; runs threads
 * of its own: readers that convert, and a loader a shard. */
enum {
    SG_COLLECT_REASONS = SG_REJECT_TOO_LARGE + 4
}; /* of a reject: the model's, and three more */

struct sg_collect_stats {
    const char *collection; /* that is being read; NULL = keys are being built */
    int64_t read, stored, rejected;
    int64_t expected; /* records of all collections, as the source estimates; -1 = unknown */
    int64_t reasons[SG_COLLECT_REASONS];
};
/* "type", …, "unreadable", "same-key", "constraint". */
const char *sg_collect_reason_name(int reason);

struct sg_collect_options {
    struct sg_target_options target;
    const char *control;
    struct sg_source_options source; /* url, ca_file, stop, poll_field; the rest is set here */
    const char *job;
    int64_t max_rejects; /* more stop the job; -1 = any number */
    int chunk_records;   /* about, of a transaction on every shard */
    bool dry_run;        /* reads and converts, and writes nothing */
    /* Now and then, from the calling thread. */
    void (*progress)(void *ctx, const struct sg_collect_stats *stats);
    void *ctx;
};

/* *stats: of this run. *was_done: the job was over before. SG_E_CANCELLED: stopped, to be gone on
 * with; SG_E_LIMIT: too many rejects; SG_E_CONFLICT: see job.h and target.h. */
SG_MUST_USE int sg_collect_load(const struct sg_collect_options *options,
                                struct sg_collect_stats *stats, bool *was_done, struct sg_err *err);

#endif
