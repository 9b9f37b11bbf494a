/* SPDX-License-Identifier: MIT */
#ifndef SG_EVENT_WORK_H
#define SG_EVENT_WORK_H

#include "base/err.h"
#include "base/slice.h"

#include <uv.h>

/* A few threads for work that takes a core for milliseconds to seconds, shared by all event loops.
 * Its own, not libuv's: there every file and name look-up of the process would wait behind it, and
 * nothing bounds what is queued. */
struct sg_work_pool;

#define SG_WORK_THREADS_MAX 32

/* At most max_waiting jobs wait; with the threads' own that bounds memory and delay. */
SG_MUST_USE int sg_work_pool_new(int threads, int max_waiting, struct sg_work_pool **out,
                                 struct sg_err *err);
/* Every end must be closed. */
void sg_work_pool_free(struct sg_work_pool *pool);

/* A loop's end of the pool; used from that loop only. */
struct sg_work_end;
SG_MUST_USE int sg_work_open(struct sg_work_pool *pool, uv_loop_t *loop, struct sg_work_end **out,
                             struct sg_err *err);
/* Nothing may be under way. closed comes from a later turn of the loop. */
void sg_work_close(struct sg_work_end *end, void (*closed)(void *ctx), void *ctx);

/* Embed it. It must live until done is called, once, on the loop it came from. */
struct sg_work {
    void (*run)(struct sg_work *work);  /* on a thread of the pool */
    void (*done)(struct sg_work *work); /* on the loop */
    /* private */
    struct sg_work_end *end;
    struct sg_work *next;
};
/* SG_E_LIMIT where as many wait as may: done is then not called. */
SG_MUST_USE int sg_work_submit(struct sg_work_end *end, struct sg_work *work, struct sg_err *err);

#endif
