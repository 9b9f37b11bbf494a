/* SPDX-License-Identifier: MIT */
#include "identity/logins.h"

#include "pg/pg.h"

#include <stdlib.h>

static const char name[] = "login source";

struct sg_logins {
    struct sg_pg *pg;
    char *lookup_sql, *sample_sql;
    struct sg_pg_stmt lookup, sample;
    void (*closed)(void *ctx);
    void *ctx;
};

struct query {
    struct sg_pg_batch batch;
    struct sg_logins_request *request;
};

static int
give_rows(const struct query *q, struct sg_err *err)
{
    const struct sg_pg_batch *b = &q->batch;
    int most = q->request->login != NULL ? 1 : SG_LOGINS_SAMPLE_MAX, i, n;

    if (b->rc != 0) {
        *err = b->err;
        return -1;
    }
    n = sg_pg_rows(b, 0);
    if (PQnfields(b->results[0]) != 2 || n > most)
        return sg_fail(err, SG_E_INVALID, name,
                       "%s gave %d rows of %d columns: expected at most %d of subject and hash",
                       b->calls[0].stmt->name, n, PQnfields(b->results[0]), most);
    for (i = 0; i < n; i++) {
        struct sg_slice subject = sg_pg_value(b, 0, i, 0), hash = sg_pg_value(b, 0, i, 1);

        /* A user without a password is as one who is not there. */
        if (subject.len > 0 && hash.len > 0)
            q->request->row(q->request, subject, hash);
        if (hash.ptr != NULL)
            explicit_bzero((char *)hash.ptr, hash.len); /* libpq's copy, which is ours */
    }
    return 0;
}

static void
answered(struct sg_pg_batch *batch)
{
    struct query *q = sg_container_of(batch, struct query, batch);
    struct sg_logins_request *request = q->request;
    struct sg_err err;
    int rc = give_rows(q, &err);

    sg_pg_batch_clear(batch);
    free(q);
    request->done(request, rc, &err);
}

void
sg_logins_ask(struct sg_logins *l, struct sg_logins_request *request)
{
    struct query *q = calloc(1, sizeof *q);

    if (q == NULL)
        abort(); /* done could never be called */
    q->request = request;
    q->batch.calls[0].stmt = request->login != NULL ? &l->lookup : &l->sample;
    q->batch.calls[0].params[0] = sg_str(request->login);
    q->batch.n_calls = 1;
    q->batch.deadline_ns = request->deadline_ns;
    q->batch.done = answered;
    sg_pg_submit(l->pg, &q->batch);
}

static void
free_logins(struct sg_logins *l)
{
    free(l->lookup_sql);
    free(l->sample_sql);
    free(l);
}

int
sg_logins_open(uv_loop_t *loop, const struct sg_clock *clock, const struct sg_logins_options *o,
               struct sg_logins **out, struct sg_err *err)
{
    const struct sg_pg_options pg = {.conninfo = o->conninfo,
                                     .name = name,
                                     .connections = 1,
                                     .connect_timeout_ms = o->timeout_ms,
                                     .max_queued = o->max_queued};
    struct sg_logins *l = calloc(1, sizeof *l);

    if (l == NULL || (l->lookup_sql = strdup(o->lookup_sql)) == NULL ||
        (l->sample_sql = strdup(o->sample_sql)) == NULL) {
        if (l != NULL)
            free_logins(l);
        return sg_fail(err, SG_E_INTERNAL, name, "out of memory");
    }
    l->lookup = (struct sg_pg_stmt){"lookup", l->lookup_sql, 1, 0, false};
    l->sample = (struct sg_pg_stmt){"sample", l->sample_sql, 0, 0, false};
    if (sg_pg_open(loop, clock, &pg, &l->pg, err) != 0) {
        free_logins(l);
        return -1;
    }
    *out = l;
    return 0;
}

static void
on_closed(void *ctx)
{
    struct sg_logins *l = ctx;

    if (l->closed != NULL)
        l->closed(l->ctx);
    free_logins(l);
}

void
sg_logins_close(struct sg_logins *l, void (*closed)(void *ctx), void *ctx)
{
    l->closed = closed;
    l->ctx = ctx;
    sg_pg_close(l->pg, on_closed, l);
}
