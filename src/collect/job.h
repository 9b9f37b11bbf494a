/* SPDX-License-Identifier: MIT */
#ifndef SG_COLLECT_JOB_H
#define SG_COLLECT_JOB_H

#include "collect/lane.h"
#include "model/mapping.h"
#include "source/source.h"

#include <stdint.h>

/* A load as the control database knows it: what it reads, and how far each piece is stored. One
 * process at a time works on a mapping's schema; the lock goes with its connection. */
enum sg_job_state { SG_JOB_NEW, SG_JOB_COPYING, SG_JOB_MERGING, SG_JOB_DONE };

struct sg_job {
    struct sg_lane control;
    const struct sg_mapping *m;
    const char *name;
    int64_t number; /* 0 until it is begun */
    enum sg_job_state state;
    int64_t ahead_ms; /* the control database's clock before ours */
};

/* SG_E_CONFLICT: somebody works on the schema; or the job was begun with another mapping. */
SG_MUST_USE int sg_job_open(struct sg_job *job, const char *control, const struct sg_mapping *m,
                            const char *name, struct sg_err *err);
void sg_job_close(struct sg_job *job);

/* Begins a new one, or goes on to another state. */
SG_MUST_USE int sg_job_set(struct sg_job *job, enum sg_job_state state, struct sg_err *err);
/* Forgets how far it read, since the source can no longer tell where that was. */
SG_MUST_USE int sg_job_restart(struct sg_job *job, struct sg_err *err);

/* How far a piece is stored on every shard. */
struct sg_job_piece {
    struct sg_source_piece piece;
    char position[SG_SOURCE_PIECE_MAX];
    int64_t chunk; /* the last one that is */
    bool done;
};
#define SG_JOB_PIECES_MAX 64

/* Those of a collection as noted; *n 0 = none were. */
SG_MUST_USE int sg_job_pieces(struct sg_job *job, const char *collection,
                              struct sg_job_piece out[SG_JOB_PIECES_MAX], int *n,
                              struct sg_err *err);
SG_MUST_USE int sg_job_note(struct sg_job *job, const char *collection, int index,
                            const struct sg_job_piece *piece, struct sg_err *err);

#endif
