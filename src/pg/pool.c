/* SPDX-License-Identifier: MIT */
#include "pg/conn.h"

#include <assert.h>
#include <stdlib.h>

#define TABLE_SLOTS (2 * SG_PG_MAX_PREPARED)
#define STUCK_NS                                                                                   \
    (250 * SG_NS_PER_MS) /* past its oldest deadline and silent for this long: dropped */

struct sg_pg {
    uv_loop_t *loop;
    const struct sg_clock *clock;
    char *conninfo, *name;
    int max_queued;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    int open_handles;
    uv_idle_t idle;   /* runs once after submits: sends them, calls done */
    uv_timer_t timer; /* at next_check_ns: deadlines, stuck connections */
    uint64_t next_check_ns;
    struct sg_pg_jobs queue;                      /* not sent yet */
    int n_jobs;                                   /* queued or in flight */
    struct sg_pg_batch *finished, *finished_tail; /* outcome in place, done not called yet */
    struct sg_err last_err;                       /* why connecting fails; code SG_OK: it has not */
    const struct sg_pg_stmt *stmts[SG_PG_MAX_PREPARED];
    int n_stmts;
    short table[TABLE_SLOTS]; /* address hash -> index in stmts + 1 */
    int n_conns;
    struct sg_pg_conn conns[];
};

/* ---- statements ---- */

const struct sg_pg_stmt *
sg_pg_statement(const struct sg_pg *pg, int slot)
{
    return pg->stmts[slot];
}

/* The statement's slot, a new one at its first use; -1 when all are taken. */
static int
slot_of(struct sg_pg *pg, const struct sg_pg_stmt *stmt)
{
    size_t at = ((uintptr_t)stmt >> 3) * 2654435761u % TABLE_SLOTS;

    while (pg->table[at] != 0) {
        if (pg->stmts[pg->table[at] - 1] == stmt)
            return pg->table[at] - 1;
        at = (at + 1) % TABLE_SLOTS;
    }
    if (pg->n_stmts == SG_PG_MAX_PREPARED)
        return -1;
    pg->stmts[pg->n_stmts] = stmt;
    pg->table[at] = (short)++pg->n_stmts;
    return pg->n_stmts - 1;
}

/* ---- outcomes ---- */

static void on_idle(uv_idle_t *idle);
static void on_timer(uv_timer_t *timer);

static void
wake(struct sg_pg *pg)
{
    if (!pg->closing)
        uv_idle_start(&pg->idle, on_idle);
}

/* The batch's outcome is in place: done is called by run_finished. */
static void
finish_batch(struct sg_pg *pg, struct sg_pg_batch *batch)
{
    batch->job = NULL;
    batch->next = NULL;
    if (pg->finished_tail != NULL)
        pg->finished_tail->next = batch;
    else
        pg->finished = batch;
    pg->finished_tail = batch;
    wake(pg);
}

static void
fail_batch(struct sg_pg *pg, struct sg_pg_batch *batch, const struct sg_err *err,
           const char *sqlstate)
{
    batch->rc = -1;
    batch->err = *err;
    memcpy(batch->sqlstate, sqlstate, strlen(sqlstate) + 1);
    finish_batch(pg, batch);
}

/* The only place that calls done. Anything may be called from there, also sg_pg_close. */
static void
run_finished(struct sg_pg *pg)
{
    struct sg_pg_batch *batch;

    while ((batch = pg->finished) != NULL) {
        pg->finished = batch->next;
        if (pg->finished == NULL)
            pg->finished_tail = NULL;
        batch->pg = NULL;
        batch->done(batch);
    }
}

void
sg_pg_finished(struct sg_pg *pg, struct sg_pg_job *job)
{
    struct sg_pg_batch *batch = job->batch;

    pg->n_jobs--;
    if (batch != NULL && job->rc != 0) {
        fail_batch(pg, batch, &job->err, job->sqlstate);
    } else if (batch != NULL) {
        memcpy(batch->results, job->results, sizeof batch->results);
        memset(job->results, 0, sizeof job->results);
        batch->rc = 0;
        finish_batch(pg, batch);
    }
    sg_pg_job_free(job);
}

/* Ends a batch before its answer. A job that was sent stays in its connection's flight until the
 * answer passes by. */
static void
give_up(struct sg_pg *pg, struct sg_pg_job *job, const struct sg_err *err)
{
    struct sg_pg_batch *batch = job->batch;

    job->batch = NULL;
    if (batch != NULL)
        fail_batch(pg, batch, err, "");
    if (job->in == &pg->queue) {
        sg_pg_jobs_remove(job);
        sg_pg_finished(pg, job);
    }
}

/* ---- deadlines ---- */

static void
check_by(struct sg_pg *pg, uint64_t at_ns)
{
    uint64_t now = sg_mono_ns(pg->clock);

    if (pg->closing || at_ns >= pg->next_check_ns)
        return;
    pg->next_check_ns = at_ns;
    uv_timer_start(&pg->timer, on_timer,
                   at_ns > now ? (at_ns - now + SG_NS_PER_MS - 1) / SG_NS_PER_MS : 0, 0);
}

static void
time_out(struct sg_pg *pg, struct sg_pg_job *job, uint64_t now)
{
    struct sg_err err;

    if (job->deadline_ns > now) {
        check_by(pg, job->deadline_ns);
        return;
    }
    if (job->batch == NULL)
        return;
    if (job->in != &pg->queue)
        sg_fail(&err, SG_E_TIMEOUT, pg->name, "no answer before the deadline");
    else if (!sg_pg_is_up(pg) && pg->last_err.code != SG_OK)
        sg_fail(&err, SG_E_UNAVAILABLE, pg->name, "no connection: %.300s", pg->last_err.text);
    else
        sg_fail(&err, SG_E_UNAVAILABLE, pg->name, "no connection was free before the deadline");
    give_up(pg, job, &err);
}

/* A server that is stopped or gone without a word must not hold the connection forever. */
static void
drop_if_stuck(struct sg_pg *pg, struct sg_pg_conn *c, uint64_t now)
{
    const struct sg_pg_job *oldest = c->flight.head;
    uint64_t since;

    if (c->link.state != SG_PG_LINK_READY || oldest == NULL || oldest->deadline_ns > now)
        return;
    since =
        c->link.last_input_ns > oldest->deadline_ns ? c->link.last_input_ns : oldest->deadline_ns;
    if (now - since >= STUCK_NS)
        sg_pg_link_drop(&c->link, SG_E_UNAVAILABLE, "the server stopped answering");
    else
        check_by(pg, since + STUCK_NS);
}

static void
on_timer(uv_timer_t *timer)
{
    struct sg_pg *pg = timer->data;
    uint64_t now = sg_mono_ns(pg->clock);
    struct sg_pg_job *job, *next;
    int i;

    pg->next_check_ns = UINT64_MAX;
    for (job = pg->queue.head; job != NULL; job = next) {
        next = job->next;
        time_out(pg, job, now);
    }
    for (i = 0; i < pg->n_conns; i++) {
        for (job = pg->conns[i].flight.head; job != NULL; job = job->next)
            time_out(pg, job, now);
        drop_if_stuck(pg, &pg->conns[i], now);
    }
    run_finished(pg);
}

/* ---- sending ---- */

/* One whose oldest answer is overdue may be stuck: it gets nothing more until that has come. */
static bool
may_send(const struct sg_pg_conn *c, uint64_t now)
{
    return c->link.state == SG_PG_LINK_READY && !c->retire && c->flight.n < SG_PG_MAX_IN_FLIGHT &&
           (c->flight.head == NULL || c->flight.head->deadline_ns > now);
}

static struct sg_pg_conn *
least_loaded(struct sg_pg *pg, uint64_t now)
{
    struct sg_pg_conn *best = NULL;
    int i;

    for (i = 0; i < pg->n_conns; i++) {
        struct sg_pg_conn *c = &pg->conns[i];

        if (may_send(c, now) && (best == NULL || c->flight.n < best->flight.n))
            best = c;
    }
    return best;
}

static void
dispatch(struct sg_pg *pg)
{
    uint64_t now = sg_mono_ns(pg->clock);
    struct sg_pg_conn *c;
    int i;

    if (pg->queue.head == NULL)
        return;
    for (i = 0; i < pg->n_conns; i++)
        sg_pg_link_start(&pg->conns[i].link);
    while (pg->queue.head != NULL && (c = least_loaded(pg, now)) != NULL) {
        struct sg_pg_job *job = pg->queue.head;

        sg_pg_jobs_remove(job);
        sg_pg_conn_send(c, job);
    }
    for (i = 0; i < pg->n_conns; i++)
        if (pg->conns[i].link.state == SG_PG_LINK_READY)
            sg_pg_link_flush(&pg->conns[i].link);
}

static void
on_idle(uv_idle_t *idle)
{
    struct sg_pg *pg = idle->data;

    uv_idle_stop(idle);
    dispatch(pg);
    run_finished(pg);
}

static int
copy_params(struct sg_pg_job *job, const struct sg_pg_batch *batch)
{
    size_t bytes = 0, n = 0;
    int i, k;
    char *at;

    for (i = 0; i < batch->n_calls; i++)
        for (k = 0; k < batch->calls[i].stmt->n_params; k++, n++)
            bytes += batch->calls[i].params[k].len + 1;
    job->params = malloc(n * (sizeof *job->values + sizeof *job->lengths) + bytes + 1);
    if (job->params == NULL)
        return -1;
    job->values = job->params;
    job->lengths = (int *)(job->values + n);
    at = (char *)(job->lengths + n);
    n = 0;
    for (i = 0; i < batch->n_calls; i++)
        for (k = 0; k < batch->calls[i].stmt->n_params; k++, n++) {
            struct sg_slice p = batch->calls[i].params[k];

            job->values[n] = p.ptr != NULL ? at : NULL;
            job->lengths[n] = (int)p.len;
            if (p.len != 0)
                memcpy(at, p.ptr, p.len);
            at[p.len] = '\0';
            at += p.len + 1;
        }
    return 0;
}

static int
check_params(const struct sg_pg *pg, const struct sg_pg_call *call, struct sg_err *err)
{
    int k;

    for (k = 0; k < call->stmt->n_params; k++) {
        struct sg_slice p = call->params[k];

        if (p.len > SG_PG_MAX_PARAM_BYTES)
            return sg_fail(err, SG_E_LIMIT, pg->name, "parameter %d of %s is above %d bytes", k + 1,
                           call->stmt->name, SG_PG_MAX_PARAM_BYTES);
        if ((call->stmt->binary_mask >> k & 1) == 0 && p.len != 0 &&
            memchr(p.ptr, '\0', p.len) != NULL)
            return sg_fail(err, SG_E_INVALID, pg->name, "parameter %d of %s: NUL in a text", k + 1,
                           call->stmt->name);
    }
    return 0;
}

static int
fill_job(struct sg_pg *pg, struct sg_pg_job *job, const struct sg_pg_batch *batch,
         struct sg_err *err)
{
    int i;

    job->deadline_ns = batch->deadline_ns;
    job->n_calls = batch->n_calls;
    for (i = 0; i < batch->n_calls; i++) {
        if (check_params(pg, &batch->calls[i], err) != 0)
            return -1;
        job->stmts[i] = batch->calls[i].stmt;
        if ((job->slots[i] = slot_of(pg, job->stmts[i])) < 0)
            return sg_fail(err, SG_E_LIMIT, pg->name, "more than %d statements",
                           SG_PG_MAX_PREPARED);
    }
    if (copy_params(job, batch) != 0)
        return sg_fail(err, SG_E_INTERNAL, pg->name, "out of memory");
    return 0;
}

/* NULL with *err filled when it cannot be queued. */
static struct sg_pg_job *
make_job(struct sg_pg *pg, const struct sg_pg_batch *batch, struct sg_err *err)
{
    struct sg_pg_job *job = NULL;

    if (pg->closing)
        sg_fail(err, SG_E_CANCELLED, pg->name, "closed");
    else if (pg->n_jobs >= pg->max_queued)
        sg_fail(err, SG_E_LIMIT, pg->name, "%d batches are waiting already", pg->max_queued);
    else if ((job = calloc(1, sizeof *job)) == NULL)
        sg_fail(err, SG_E_INTERNAL, pg->name, "out of memory");
    else if (fill_job(pg, job, batch, err) != 0) {
        sg_pg_job_free(job);
        job = NULL;
    }
    return job;
}

void
sg_pg_submit(struct sg_pg *pg, struct sg_pg_batch *batch)
{
    struct sg_pg_job *job;
    struct sg_err err;
    int i;

    assert(batch->n_calls >= 1 && batch->n_calls <= SG_PG_MAX_STATEMENTS);
    assert(batch->deadline_ns != 0 && batch->done != NULL);
    for (i = 0; i < batch->n_calls; i++)
        assert(batch->calls[i].stmt->n_params >= 0 &&
               batch->calls[i].stmt->n_params <= SG_PG_MAX_PARAMS);
    batch->pg = pg;
    batch->sqlstate[0] = '\0';
    memset(batch->results, 0, sizeof batch->results);
    if ((job = make_job(pg, batch, &err)) == NULL) {
        fail_batch(pg, batch, &err, "");
        return;
    }
    job->batch = batch;
    batch->job = job;
    pg->n_jobs++;
    sg_pg_jobs_push(&pg->queue, job);
    check_by(pg, job->deadline_ns);
    wake(pg);
}

void
sg_pg_cancel(struct sg_pg_batch *batch)
{
    struct sg_pg *pg = batch->pg;
    struct sg_err err;

    if (pg == NULL)
        return;
    sg_fail(&err, SG_E_CANCELLED, pg->name, "cancelled");
    if (batch->job != NULL) {
        give_up(pg, batch->job, &err);
        return;
    }
    sg_pg_batch_clear(batch); /* finished, and done was not called yet */
    batch->rc = -1;
    batch->err = err;
}

/* ---- connections ---- */

static void
on_up(struct sg_pg_link *link)
{
    struct sg_pg_conn *c = sg_container_of(link, struct sg_pg_conn, link);

    c->pg->last_err.code = SG_OK;
    sg_pg_conn_reset(c);
    if (c->flight.head != NULL) {
        check_by(c->pg, c->flight.head->deadline_ns);
        sg_pg_link_flush(link);
    }
    wake(c->pg); /* for those that waited */
}

static void
on_input(struct sg_pg_link *link)
{
    struct sg_pg_conn *c = sg_container_of(link, struct sg_pg_conn, link);

    sg_pg_conn_take_results(c);
    if (c->pg->queue.head != NULL)
        wake(c->pg); /* there is room in the flight again */
    run_finished(c->pg);
}

static void
on_down(struct sg_pg_link *link, bool was_up, const struct sg_err *err)
{
    struct sg_pg_conn *c = sg_container_of(link, struct sg_pg_conn, link);
    struct sg_pg_job *job;
    struct sg_err lost;

    c->pg->last_err = *err;
    sg_fail(&lost, SG_E_UNAVAILABLE, err->place, "connection lost before the answer: %.280s",
            err->text);
    while ((job = c->flight.head) != NULL) {
        sg_pg_jobs_remove(job);
        sg_pg_job_fail(job, &lost, "");
        if (job->setup)
            sg_pg_job_free(job);
        else
            sg_pg_finished(c->pg, job);
    }
}

static void
handle_closed(struct sg_pg *pg)
{
    int i;

    if (--pg->open_handles > 0)
        return;
    run_finished(pg); /* what was submitted after the close */
    if (pg->closed != NULL)
        pg->closed(pg->closed_ctx);
    for (i = 0; i < pg->n_conns; i++)
        assert(pg->conns[i].flight.n == 0);
    free(pg->conninfo);
    free(pg->name);
    free(pg);
}

static void
on_link_closed(struct sg_pg_link *link)
{
    handle_closed(sg_container_of(link, struct sg_pg_conn, link)->pg);
}

static void
on_handle_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void
init_conn(struct sg_pg *pg, struct sg_pg_conn *c, const struct sg_pg_options *options)
{
    c->pg = pg;
    c->link = (struct sg_pg_link){.clock = pg->clock,
                                  .conninfo = pg->conninfo,
                                  .name = pg->name,
                                  .connect_timeout_ms = options->connect_timeout_ms,
                                  .up = on_up,
                                  .input = on_input,
                                  .down = on_down,
                                  .closed = on_link_closed};
    sg_pg_link_init(&c->link, pg->loop);
}

int
sg_pg_open(uv_loop_t *loop, const struct sg_clock *clock, const struct sg_pg_options *options,
           struct sg_pg **out, struct sg_err *err)
{
    struct sg_pg *pg;
    int i;

    assert(options->connections >= 1 && options->connections <= SG_PG_MAX_CONNECTIONS);
    if (sg_pg_link_check(options->conninfo, options->name, err) != 0)
        return -1;
    pg = calloc(1, sizeof *pg + (size_t)options->connections * sizeof pg->conns[0]);
    if (pg == NULL || (pg->conninfo = strdup(options->conninfo)) == NULL ||
        (pg->name = strdup(options->name)) == NULL) {
        if (pg != NULL)
            free(pg->conninfo);
        free(pg);
        return sg_fail(err, SG_E_INTERNAL, options->name, "out of memory");
    }
    pg->loop = loop;
    pg->clock = clock;
    pg->max_queued = options->max_queued;
    pg->next_check_ns = UINT64_MAX;
    pg->n_conns = options->connections;
    pg->open_handles = options->connections + 2;
    uv_idle_init(loop, &pg->idle);
    uv_timer_init(loop, &pg->timer);
    pg->idle.data = pg->timer.data = pg;
    for (i = 0; i < pg->n_conns; i++)
        init_conn(pg, &pg->conns[i], options);
    *out = pg;
    return 0;
}

void
sg_pg_close(struct sg_pg *pg, void (*closed)(void *ctx), void *ctx)
{
    struct sg_err err;
    struct sg_pg_job *job;
    int i;

    assert(!pg->closing);
    pg->closing = true;
    pg->closed = closed;
    pg->closed_ctx = ctx;
    sg_fail(&err, SG_E_CANCELLED, pg->name, "closed");
    while ((job = pg->queue.head) != NULL)
        give_up(pg, job, &err);
    for (i = 0; i < pg->n_conns; i++) {
        struct sg_pg_conn *c = &pg->conns[i];

        sg_pg_link_close(&c->link);
        while ((job = c->flight.head) != NULL) {
            sg_pg_jobs_remove(job);
            sg_pg_job_fail(job, &err, "");
            if (job->setup)
                sg_pg_job_free(job);
            else
                sg_pg_finished(pg, job);
        }
    }
    uv_close((uv_handle_t *)&pg->idle, on_handle_closed);
    uv_close((uv_handle_t *)&pg->timer, on_handle_closed);
    run_finished(pg);
}

bool
sg_pg_is_up(const struct sg_pg *pg)
{
    int i;

    for (i = 0; i < pg->n_conns; i++)
        if (pg->conns[i].link.state == SG_PG_LINK_READY)
            return true;
    return false;
}
