/* SPDX-License-Identifier: MIT */
#ifndef SG_COLLECT_LOAD_INTERNAL_H
#define SG_COLLECT_LOAD_INTERNAL_H

#include "collect/job.h"
#include "collect/load.h"

#include <pthread.h>

/* Between load.c (chunks, loaders, positions) and reader.c (from the source to chunks). Memory is
 * bounded by (LOADER_QUEUE + 2 + READERS) chunks, and for each reader SOURCE_BYTES_MAX twice. */
#define READERS 2
#define LOADER_QUEUE 2
#define PIECES_WANTED 16
#define CHUNK_BYTES (4 << 20)
#define SOURCE_BYTES_MAX (64 << 20)
#define SOURCE_BATCH_RECORDS 500
#define SOURCE_TIMEOUT_MS 10000

#define REASON_UNREADABLE (SG_REJECT_TOO_LARGE + 1)
#define REASON_SAME_KEY (SG_REJECT_TOO_LARGE + 2)
#define REASON_CONSTRAINT (SG_REJECT_TOO_LARGE + 3)

/* Some of a piece, up to a position that it can be read on from. */
struct sg_chunk {
    struct sg_chunk *next;      /* written */
    struct sg_chunk *submitted; /* all that are under way */
    int root, piece;
    int64_t number;
    char end[SG_SOURCE_PIECE_MAX];
    bool last;
    int left; /* shards that have not written it */
    int n_shards;
    struct sg_batch batches[];
};

struct sg_collect;

struct loader {
    struct sg_collect *load;
    int shard;
    pthread_t thread;
    struct sg_chunk *queue[LOADER_QUEUE];
    int queued;
};

struct sg_collect {
    const struct sg_collect_options *options;
    struct sg_target target;
    struct sg_job job;
    struct sg_source_options source;
    int n_shards, root;
    struct sg_job_piece pieces[SG_JOB_PIECES_MAX]; /* of the collection; the caller's thread's */
    int n_pieces, started;
    atomic_bool stop;
    struct loader loaders[SG_TARGET_SHARDS_MAX];
    /* shared, under the lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int next_piece, reading, under_way;
    bool no_more, position_lost;
    struct sg_chunk *written, *submitted;
    struct sg_collect_stats stats;
    int rc;
    struct sg_err err;
};

struct sg_collect_reader {
    struct sg_collect *load;
    pthread_t thread;
};

void sg_collect_failed(struct sg_collect *l, const struct sg_err *err);
/* NULL with *err. */
struct sg_chunk *sg_chunk_new(int shards, struct sg_err *err);
void sg_chunk_free(struct sg_chunk *c);
/* Waits for room; takes the chunk over. */
SG_MUST_USE int sg_collect_submit(struct sg_collect *l, struct sg_chunk *c, struct sg_err *err);
/* Starts a thread that reads pieces until there are no more, and counts itself out of `reading`. */
SG_MUST_USE int sg_collect_reader_start(struct sg_collect *l, struct sg_collect_reader *r,
                                        struct sg_err *err);

#endif
