/* SPDX-License-Identifier: MIT */
#include "event/work.h"

#include <stdlib.h>

struct list {
    struct sg_work *first, **last;
};

struct sg_work_pool {
    uv_mutex_t lock; /* of everything below, and of every end's `finished` */
    uv_cond_t wanted;
    struct list waiting;
    int n_waiting, max_waiting;
    bool closing;
    int n_threads;
    uv_thread_t threads[SG_WORK_THREADS_MAX];
};

struct sg_work_end {
    struct sg_work_pool *pool;
    uv_async_t async;
    struct list finished;
    void (*closed)(void *ctx);
    void *ctx;
};

static void
put(struct list *list, struct sg_work *work)
{
    work->next = NULL;
    *list->last = work;
    list->last = &work->next;
}

static struct sg_work *
take(struct list *list)
{
    struct sg_work *work = list->first;

    if (work != NULL && (list->first = work->next) == NULL)
        list->last = &list->first;
    return work;
}

static void
work_on(void *arg)
{
    struct sg_work_pool *pool = arg;
    struct sg_work *work;

    uv_mutex_lock(&pool->lock);
    for (;;) {
        while ((work = take(&pool->waiting)) == NULL && !pool->closing)
            uv_cond_wait(&pool->wanted, &pool->lock);
        if (work == NULL)
            break;
        pool->n_waiting--;
        uv_mutex_unlock(&pool->lock);
        work->run(work);
        uv_mutex_lock(&pool->lock);
        put(&work->end->finished, work);
        /* Under the lock: once the loop has taken the work, its end may be closed. */
        uv_async_send(&work->end->async);
    }
    uv_mutex_unlock(&pool->lock);
}

int
sg_work_pool_new(int threads, int max_waiting, struct sg_work_pool **out, struct sg_err *err)
{
    struct sg_work_pool *pool = calloc(1, sizeof *pool);

    if (pool == NULL || threads < 1 || threads > SG_WORK_THREADS_MAX) {
        free(pool);
        return sg_fail(err, SG_E_INTERNAL, "workers", "cannot make a pool of %d threads", threads);
    }
    uv_mutex_init(&pool->lock);
    uv_cond_init(&pool->wanted);
    pool->waiting.last = &pool->waiting.first;
    pool->max_waiting = max_waiting;
    while (pool->n_threads < threads &&
           uv_thread_create(&pool->threads[pool->n_threads], work_on, pool) == 0)
        pool->n_threads++;
    if (pool->n_threads < threads) {
        sg_work_pool_free(pool);
        return sg_fail(err, SG_E_INTERNAL, "workers", "cannot start a thread");
    }
    *out = pool;
    return 0;
}

void
sg_work_pool_free(struct sg_work_pool *pool)
{
    int i;

    if (pool == NULL)
        return;
    uv_mutex_lock(&pool->lock);
    pool->closing = true;
    uv_cond_broadcast(&pool->wanted);
    uv_mutex_unlock(&pool->lock);
    for (i = 0; i < pool->n_threads; i++)
        uv_thread_join(&pool->threads[i]);
    uv_cond_destroy(&pool->wanted);
    uv_mutex_destroy(&pool->lock);
    free(pool);
}

static void
on_finished(uv_async_t *async)
{
    struct sg_work_end *end = sg_container_of(async, struct sg_work_end, async);
    struct sg_work *work, *next;

    uv_mutex_lock(&end->pool->lock);
    work = end->finished.first;
    end->finished.first = NULL;
    end->finished.last = &end->finished.first;
    uv_mutex_unlock(&end->pool->lock);
    for (; work != NULL; work = next) {
        next = work->next;
        work->done(work);
    }
}

int
sg_work_open(struct sg_work_pool *pool, uv_loop_t *loop, struct sg_work_end **out,
             struct sg_err *err)
{
    struct sg_work_end *end = calloc(1, sizeof *end);

    if (end == NULL || uv_async_init(loop, &end->async, on_finished) != 0) {
        free(end);
        return sg_fail(err, SG_E_INTERNAL, "workers", "out of memory");
    }
    end->pool = pool;
    end->finished.last = &end->finished.first;
    *out = end;
    return 0;
}

static void
on_closed(uv_handle_t *handle)
{
    struct sg_work_end *end = sg_container_of(handle, struct sg_work_end, async);

    if (end->closed != NULL)
        end->closed(end->ctx);
    free(end);
}

void
sg_work_close(struct sg_work_end *end, void (*closed)(void *ctx), void *ctx)
{
    end->closed = closed;
    end->ctx = ctx;
    uv_close((uv_handle_t *)&end->async, on_closed);
}

int
sg_work_submit(struct sg_work_end *end, struct sg_work *work, struct sg_err *err)
{
    struct sg_work_pool *pool = end->pool;
    bool full;

    work->end = end;
    uv_mutex_lock(&pool->lock);
    full = pool->n_waiting == pool->max_waiting;
    if (!full) {
        pool->n_waiting++;
        put(&pool->waiting, work);
        uv_cond_signal(&pool->wanted);
    }
    uv_mutex_unlock(&pool->lock);
    return full ? sg_fail(err, SG_E_LIMIT, "workers", "%d jobs are waiting", pool->max_waiting) : 0;
}
