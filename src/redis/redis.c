/* SPDX-License-Identifier: MIT */
#include "redis/link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_IN_FLIGHT 256 /* jobs; the rest waits here, where it can still be taken back */
#define STUCK_NS                                                                                   \
    (250 * SG_NS_PER_MS) /* past its oldest deadline and silent for this long: dropped */

/* A batch as the connection holds it: what is at the server must not need the batch, which its
 * owner may free once done was called. */
struct sg_redis_job {
    struct sg_redis_job *next, *prev;
    struct jobs *in;
    struct sg_redis_batch *batch; /* NULL once given up */
    uint64_t deadline_ns;
    int n_commands;
    bool atomic;
    struct sg_buf bytes; /* the commands in RESP; empty once sent */
    int replies_seen, replies_due;
    char refused[32]; /* atomic: first word of the error with which a command was not queued */
    struct redisReply *replies[SG_REDIS_MAX_COMMANDS];
};

struct jobs {
    struct sg_redis_job *head, *tail;
};

struct sg_redis {
    struct sg_redis_link link;
    int max_queued;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    int open_handles;
    uv_idle_t idle;   /* runs once after submits: sends them, calls done */
    uv_timer_t timer; /* at next_check_ns: deadlines, a stuck connection */
    uint64_t next_check_ns;
    struct jobs queue, flight;
    int n_jobs, n_flight;
    struct sg_redis_batch *finished, *finished_tail; /* outcome in place, done not called yet */
    struct sg_err last_err; /* why connecting fails; code SG_OK: it has not */
};

static void on_idle(uv_idle_t *idle);
static void on_timer(uv_timer_t *timer);

static void
push(struct jobs *list, struct sg_redis_job *job)
{
    job->in = list;
    job->next = NULL;
    job->prev = list->tail;
    if (list->tail != NULL)
        list->tail->next = job;
    else
        list->head = job;
    list->tail = job;
}

static void
take_out(struct sg_redis_job *job)
{
    struct jobs *list = job->in;

    if (job->prev != NULL)
        job->prev->next = job->next;
    else
        list->head = job->next;
    if (job->next != NULL)
        job->next->prev = job->prev;
    else
        list->tail = job->prev;
    job->in = NULL;
}

/* ---- outcomes ---- */

static void
wake(struct sg_redis *r)
{
    if (!r->closing)
        uv_idle_start(&r->idle, on_idle);
}

static void
finish_batch(struct sg_redis *r, struct sg_redis_batch *batch)
{
    batch->job = NULL;
    batch->next = NULL;
    if (r->finished_tail != NULL)
        r->finished_tail->next = batch;
    else
        r->finished = batch;
    r->finished_tail = batch;
    wake(r);
}

static void
fail_batch(struct sg_redis *r, struct sg_redis_batch *batch, const struct sg_err *err)
{
    batch->rc = -1;
    batch->err = *err;
    finish_batch(r, batch);
}

/* The only place that calls done. Anything may be called from there, also sg_redis_close. */
static void
run_finished(struct sg_redis *r)
{
    struct sg_redis_batch *batch;

    while ((batch = r->finished) != NULL) {
        r->finished = batch->next;
        if (r->finished == NULL)
            r->finished_tail = NULL;
        batch->redis = NULL;
        batch->done(batch);
    }
}

/* Takes the job off its list and frees it; err NULL: its replies are the batch's. */
static void
end_job(struct sg_redis *r, struct sg_redis_job *job, const struct sg_err *err)
{
    struct sg_redis_batch *batch = job->batch;
    int i;

    if (job->in == &r->flight)
        r->n_flight--;
    r->n_jobs--;
    take_out(job);
    if (batch != NULL && err != NULL) {
        fail_batch(r, batch, err);
    } else if (batch != NULL) {
        memcpy(batch->replies, job->replies, sizeof batch->replies);
        memset(job->replies, 0, sizeof job->replies);
        batch->generation = r->link.generation;
        batch->rc = 0;
        finish_batch(r, batch);
    }
    for (i = 0; i < SG_REDIS_MAX_COMMANDS; i++)
        freeReplyObject(job->replies[i]);
    sg_buf_wipe(&job->bytes);
    free(job);
}

/* Ends a batch before its answer. A job that was sent stays in flight until its replies pass by. */
static void
give_up(struct sg_redis *r, struct sg_redis_job *job, const struct sg_err *err)
{
    struct sg_redis_batch *batch = job->batch;

    if (job->in == &r->queue) {
        end_job(r, job, err);
        return;
    }
    job->batch = NULL;
    if (batch != NULL)
        fail_batch(r, batch, err);
}

/* ---- deadlines ---- */

static void
check_by(struct sg_redis *r, uint64_t at_ns)
{
    uint64_t now = sg_mono_ns(r->link.clock);

    if (r->closing || at_ns >= r->next_check_ns)
        return;
    r->next_check_ns = at_ns;
    uv_timer_start(&r->timer, on_timer,
                   at_ns > now ? (at_ns - now + SG_NS_PER_MS - 1) / SG_NS_PER_MS : 0, 0);
}

static void
time_out(struct sg_redis *r, struct sg_redis_job *job, uint64_t now)
{
    struct sg_err err;

    if (job->deadline_ns > now) {
        check_by(r, job->deadline_ns);
        return;
    }
    if (job->batch == NULL)
        return;
    if (job->in == &r->flight)
        sg_fail(&err, SG_E_TIMEOUT, r->link.name, "no answer before the deadline");
    else if (r->last_err.code != SG_OK)
        sg_fail(&err, SG_E_UNAVAILABLE, r->link.name, "no connection: %.300s", r->last_err.text);
    else
        sg_fail(&err, SG_E_UNAVAILABLE, r->link.name, "not sent before the deadline");
    give_up(r, job, &err);
}

/* A server that is stopped or gone without a word must not hold the connection forever. */
static void
drop_if_stuck(struct sg_redis *r, uint64_t now)
{
    const struct sg_redis_job *oldest = r->flight.head;
    uint64_t since;

    if (r->link.state != SG_REDIS_LINK_READY || oldest == NULL || oldest->deadline_ns > now)
        return;
    since =
        r->link.last_input_ns > oldest->deadline_ns ? r->link.last_input_ns : oldest->deadline_ns;
    if (now - since >= STUCK_NS)
        sg_redis_link_drop(&r->link, SG_E_UNAVAILABLE, "the server stopped answering");
    else
        check_by(r, since + STUCK_NS);
}

static void
on_timer(uv_timer_t *timer)
{
    struct sg_redis *r = timer->data;
    uint64_t now = sg_mono_ns(r->link.clock);
    struct sg_redis_job *job, *next;

    r->next_check_ns = UINT64_MAX;
    for (job = r->queue.head; job != NULL; job = next) {
        next = job->next;
        time_out(r, job, now);
    }
    for (job = r->flight.head; job != NULL; job = job->next)
        time_out(r, job, now);
    drop_if_stuck(r, now);
    run_finished(r);
}

/* ---- sending ---- */

static void
dispatch(struct sg_redis *r)
{
    struct sg_redis_job *job;

    if (r->queue.head == NULL)
        return;
    sg_redis_link_start(&r->link);
    if (r->link.state != SG_REDIS_LINK_READY)
        return;
    while ((job = r->queue.head) != NULL && r->n_flight < MAX_IN_FLIGHT) {
        if (r->link.out.len > SG_REDIS_OUT_MAX / 2) /* room comes when it is written */
            break;
        take_out(job);
        push(&r->flight, job);
        r->n_flight++;
        sg_buf_add(&r->link.out, sg_buf_slice(&job->bytes));
        sg_buf_wipe(&job->bytes);
    }
    sg_redis_link_flush(&r->link);
}

static void
on_idle(uv_idle_t *idle)
{
    struct sg_redis *r = idle->data;

    uv_idle_stop(idle);
    dispatch(r);
    run_finished(r);
}

static int
fill_job(struct sg_redis *r, struct sg_redis_job *job, const struct sg_redis_batch *batch,
         struct sg_err *err)
{
    struct sg_slice multi = sg_str("MULTI"), exec = sg_str("EXEC");
    int i;

    job->deadline_ns = batch->deadline_ns;
    job->n_commands = batch->n_commands;
    job->atomic = batch->atomic;
    job->replies_due = batch->n_commands + (batch->atomic ? 2 : 0);
    job->bytes = SG_BUF_INIT(SG_REDIS_BATCH_BYTES);
    if (batch->atomic)
        sg_redis_encode(&job->bytes, &multi, 1);
    for (i = 0; i < batch->n_commands; i++)
        sg_redis_encode(&job->bytes, batch->commands[i].args, batch->commands[i].n_args);
    if (batch->atomic)
        sg_redis_encode(&job->bytes, &exec, 1);
    if (job->bytes.failed)
        return sg_fail(err, SG_E_LIMIT, r->link.name, "a batch above %d bytes",
                       SG_REDIS_BATCH_BYTES);
    return 0;
}

void
sg_redis_submit(struct sg_redis *r, struct sg_redis_batch *batch)
{
    struct sg_redis_job *job = NULL;
    struct sg_err err;
    int i;

    assert(batch->n_commands >= 1 && batch->n_commands <= SG_REDIS_MAX_COMMANDS);
    assert(batch->deadline_ns != 0 && batch->done != NULL);
    for (i = 0; i < batch->n_commands; i++)
        assert(batch->commands[i].n_args >= 1 && batch->commands[i].n_args <= SG_REDIS_MAX_ARGS);
    batch->redis = r;
    batch->job = NULL;
    batch->generation = 0;
    memset(batch->replies, 0, sizeof batch->replies);
    if (r->closing)
        sg_fail(&err, SG_E_CANCELLED, r->link.name, "closed");
    else if (r->n_jobs >= r->max_queued)
        sg_fail(&err, SG_E_LIMIT, r->link.name, "%d batches are waiting already", r->max_queued);
    else if ((job = calloc(1, sizeof *job)) == NULL)
        sg_fail(&err, SG_E_INTERNAL, r->link.name, "out of memory");
    else if (fill_job(r, job, batch, &err) != 0) {
        sg_buf_wipe(&job->bytes);
        free(job);
        job = NULL;
    }
    if (job == NULL) {
        fail_batch(r, batch, &err);
        return;
    }
    job->batch = batch;
    batch->job = job;
    push(&r->queue, job);
    r->n_jobs++;
    check_by(r, job->deadline_ns);
    wake(r);
}

void
sg_redis_cancel(struct sg_redis_batch *batch)
{
    struct sg_redis *r = batch->redis;
    struct sg_err err;

    if (r == NULL)
        return;
    sg_fail(&err, SG_E_CANCELLED, r->link.name, "cancelled");
    if (batch->job != NULL) {
        give_up(r, batch->job, &err);
        return;
    }
    sg_redis_batch_clear(batch); /* finished, and done was not called yet */
    batch->rc = -1;
    batch->err = err;
}

void
sg_redis_batch_clear(struct sg_redis_batch *batch)
{
    int i;

    for (i = 0; i < SG_REDIS_MAX_COMMANDS; i++) {
        freeReplyObject(batch->replies[i]);
        batch->replies[i] = NULL;
    }
}

/* ---- replies ---- */

/* EXEC's reply closes an atomic job: its elements become the batch's replies. */
static void
take_exec(struct sg_redis *r, struct sg_redis_job *job, struct redisReply *reply)
{
    struct sg_err err;
    int i;

    if (reply->type == REDIS_REPLY_ARRAY && (int)reply->elements == job->n_commands) {
        for (i = 0; i < job->n_commands; i++) {
            job->replies[i] = reply->element[i];
            reply->element[i] = NULL; /* freeReplyObject passes over it */
        }
        end_job(r, job, NULL);
        return;
    }
    if (reply->type == REDIS_REPLY_NIL)
        sg_fail(&err, SG_E_CONFLICT, r->link.name, "a watched key changed");
    else
        sg_fail(&err, SG_E_INVALID, r->link.name, "the transaction was refused: %s",
                job->refused[0] != '\0' ? job->refused : "EXEC failed");
    end_job(r, job, &err);
}

static void
on_reply(struct sg_redis_link *link, struct redisReply *reply)
{
    struct sg_redis *r = sg_container_of(link, struct sg_redis, link);
    struct sg_redis_job *job = r->flight.head;
    bool last;

    if (job == NULL) {
        freeReplyObject(reply);
        sg_redis_link_drop(link, SG_E_UNAVAILABLE, "a reply that nothing asked for");
        return;
    }
    last = ++job->replies_seen == job->replies_due;
    if (!job->atomic) {
        job->replies[job->replies_seen - 1] = reply;
        if (last)
            end_job(r, job, NULL);
    } else {
        if (last)
            take_exec(r, job, reply);
        else if (reply->type == REDIS_REPLY_ERROR && job->refused[0] == '\0')
            snprintf(job->refused, sizeof job->refused, "%.*s", (int)strcspn(reply->str, " "),
                     reply->str);
        freeReplyObject(reply);
    }
    if (last && r->queue.head != NULL)
        wake(r); /* there is room in the flight again */
    run_finished(r);
}

/* ---- connection ---- */

static void
on_up(struct sg_redis_link *link)
{
    struct sg_redis *r = sg_container_of(link, struct sg_redis, link);

    r->last_err.code = SG_OK;
    wake(r); /* for those that waited */
}

static void
on_down(struct sg_redis_link *link, const struct sg_err *err)
{
    struct sg_redis *r = sg_container_of(link, struct sg_redis, link);
    struct sg_redis_job *job;
    struct sg_err lost;

    r->last_err = *err;
    sg_fail(&lost, err->code == SG_E_LIMIT ? SG_E_LIMIT : SG_E_UNAVAILABLE, err->place,
            "connection lost before the answer: %.280s", err->text);
    while ((job = r->flight.head) != NULL) {
        end_job(r, job, &lost);
        lost.code = SG_E_UNAVAILABLE; /* only the first had the reply that was too large */
        lost.retryable = true;
    }
}

static void
handle_closed(struct sg_redis *r)
{
    if (--r->open_handles > 0)
        return;
    run_finished(r); /* what was submitted after the close */
    if (r->closed != NULL)
        r->closed(r->closed_ctx);
    free(r);
}

static void
on_link_closed(struct sg_redis_link *link)
{
    handle_closed(sg_container_of(link, struct sg_redis, link));
}

static void
on_handle_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

int
sg_redis_open(uv_loop_t *loop, const struct sg_clock *clock, const struct sg_redis_options *options,
              struct sg_redis **out, struct sg_err *err)
{
    struct sg_redis *r = calloc(1, sizeof *r);

    if (r == NULL)
        return sg_fail(err, SG_E_INTERNAL, options->name, "out of memory");
    if (sg_redis_link_init(&r->link, loop, clock, options, err) != 0) {
        free(r);
        return -1;
    }
    r->link.up = on_up;
    r->link.reply = on_reply;
    r->link.down = on_down;
    r->link.closed = on_link_closed;
    r->max_queued = options->max_queued;
    r->next_check_ns = UINT64_MAX;
    r->open_handles = 3;
    uv_idle_init(loop, &r->idle);
    uv_timer_init(loop, &r->timer);
    r->idle.data = r->timer.data = r;
    *out = r;
    return 0;
}

void
sg_redis_close(struct sg_redis *r, void (*closed)(void *ctx), void *ctx)
{
    struct sg_err err;
    struct sg_redis_job *job;

    assert(!r->closing);
    r->closing = true;
    r->closed = closed;
    r->closed_ctx = ctx;
    sg_fail(&err, SG_E_CANCELLED, r->link.name, "closed");
    while ((job = r->queue.head) != NULL || (job = r->flight.head) != NULL)
        end_job(r, job, &err);
    sg_redis_link_close(&r->link);
    uv_close((uv_handle_t *)&r->idle, on_handle_closed);
    uv_close((uv_handle_t *)&r->timer, on_handle_closed);
    run_finished(r);
}

bool
sg_redis_is_up(const struct sg_redis *r)
{
    return r->link.state == SG_REDIS_LINK_READY;
}

const char *
sg_redis_run_id(const struct sg_redis *r)
{
    return r->link.state == SG_REDIS_LINK_READY ? r->link.run_id : "";
}

uint64_t
sg_redis_generation(const struct sg_redis *r)
{
    return r->link.generation;
}
