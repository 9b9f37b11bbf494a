/* SPDX-License-Identifier: MIT */
#include "identity/sources.h"
#include "pg/pg.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_CHANGES SG_IDENTITY_CHANGES_MAX
#define LOOKUP_COLUMNS 5                     /* one more with attributes */
#define CHANGES_COLUMNS (LOOKUP_COLUMNS + 1) /* likewise; the cursor is the last */
#define ATTRIBUTES_COLUMN LOOKUP_COLUMNS
#define DEFAULT_MAX_QUEUED 1000

struct sql_source {
    struct sg_identity_source base;
    struct sg_pg *pg;
    char *name, *lookup_sql, *changes_sql;
    struct sg_pg_stmt lookup, changes;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* One query under way. */
struct query {
    struct sg_pg_batch batch;
    const char *name; /* the source's */
    void *request;    /* struct sg_identity_request or sg_identity_changes */
};

/* ---- rows ---- */

static int
fail_column(const char *name, const char *column, const char *expected, struct sg_err *err)
{
    return sg_fail(err, SG_E_INVALID, name, "column %s: expected %s", column, expected);
}

static int
read_names(const struct query *q, int row, int column, const char *what, struct sg_names *out,
           struct sg_err *err)
{
    struct sg_slice v = sg_pg_value(&q->batch, 0, row, column);
    struct sg_err why;

    sg_names_clear(out);
    if (v.ptr == NULL || sg_names_from_array(out, v, &why) == 0)
        return 0;
    return sg_fail(err, why.code, q->name, "column %s: %.300s", what, why.text);
}

static int
read_attributes(const struct query *q, int row, struct sg_identity *out, struct sg_err *err)
{
    struct sg_slice v = sg_pg_value(&q->batch, 0, row, ATTRIBUTES_COLUMN);
    struct sg_err why;

    if (v.ptr == NULL || sg_identity_set_attributes(out, v, &why) == 0)
        return 0;
    return sg_fail(err, why.code, q->name, "column 6 (attributes): %.300s", why.text);
}

static int
read_row(const struct query *q, int row, bool attributes, struct sg_identity *out,
         struct sg_err *err)
{
    struct sg_slice subject = sg_pg_value(&q->batch, 0, row, 0);
    struct sg_slice active = sg_pg_value(&q->batch, 0, row, 1);
    struct sg_slice version = sg_pg_value(&q->batch, 0, row, 4);
    char *end;

    if (subject.ptr == NULL || subject.len == 0 || subject.len >= sizeof out->subject)
        return fail_column(q->name, "1 (subject)", "1 to 200 bytes", err);
    if (!sg_slice_eq(active, sg_str("t")) && !sg_slice_eq(active, sg_str("f")))
        return fail_column(q->name, "2 (active)", "a boolean, not NULL", err);
    if (version.ptr == NULL || version.len == 0)
        return fail_column(q->name, "5 (version)", "a bigint, not NULL", err);
    errno = 0;
    out->version = strtoll(version.ptr, &end, 10);
    if (*end != '\0' || errno != 0 || out->version < 0)
        return fail_column(q->name, "5 (version)", "a bigint of 0 or more", err);
    if (read_names(q, row, 2, "3 (roles)", &out->roles, err) != 0 ||
        read_names(q, row, 3, "4 (permissions)", &out->permissions, err) != 0)
        return -1;
    out->attributes[0] = '\0';
    if (attributes && read_attributes(q, row, out, err) != 0)
        return -1;
    memcpy(out->subject, subject.ptr, subject.len + 1); /* libpq ends every value with NUL */
    out->active = active.ptr[0] == 't';
    return 0;
}

static int
check_shape(const struct query *q, const char *statement, int columns, int most_rows,
            struct sg_err *err)
{
    int n = PQnfields(q->batch.results[0]), rows = sg_pg_rows(&q->batch, 0);

    if (n != columns && n != columns + 1)
        return sg_fail(err, SG_E_INVALID, q->name, "%s gave %d columns: expected %d or %d",
                       statement, n, columns, columns + 1);
    if (rows > most_rows)
        return sg_fail(err, SG_E_LIMIT, q->name, "%s gave %d rows: expected at most %d", statement,
                       rows, most_rows);
    return 0;
}

/* ---- lookup ---- */

static int
read_lookup(const struct query *q, struct sg_identity_request *request, struct sg_err *err)
{
    if (q->batch.rc != 0) {
        *err = q->batch.err;
        return -1;
    }
    if (check_shape(q, "lookup_sql", LOOKUP_COLUMNS, 1, err) != 0)
        return -1;
    request->found = sg_pg_rows(&q->batch, 0) == 1;
    if (!request->found)
        return 0;
    if (read_row(q, 0, PQnfields(q->batch.results[0]) > LOOKUP_COLUMNS, &request->identity, err) !=
        0)
        return -1;
    if (strcmp(request->identity.subject, request->subject) != 0)
        return sg_fail(err, SG_E_INVALID, q->name, "lookup_sql answered for another subject");
    return 0;
}

static void
on_lookup(struct sg_pg_batch *batch)
{
    struct query *q = sg_container_of(batch, struct query, batch);
    struct sg_identity_request *request = q->request;

    request->rc = read_lookup(q, request, &request->err);
    request->found = request->found && request->rc == 0;
    sg_pg_batch_clear(&q->batch);
    free(q);
    request->done(request);
}

static void
start(struct sql_source *s, const struct sg_pg_stmt *stmt, const char *param, uint64_t deadline_ns,
      void (*done)(struct sg_pg_batch *), void *request)
{
    struct query *q = calloc(1, sizeof *q);

    if (q == NULL)
        abort(); /* with no memory for a few KiB there is no later turn to report it from either */
    q->name = s->name;
    q->request = request;
    q->batch.calls[0].stmt = stmt;
    q->batch.calls[0].params[0] = sg_str(param);
    q->batch.n_calls = 1;
    q->batch.deadline_ns = deadline_ns;
    q->batch.done = done;
    sg_pg_submit(s->pg, &q->batch);
}

static void
sql_lookup(struct sg_identity_source *source, struct sg_identity_request *request)
{
    struct sql_source *s = sg_container_of(source, struct sql_source, base);

    request->found = false;
    start(s, &s->lookup, request->subject, request->deadline_ns, on_lookup, request);
}

/* ---- changes ---- */

static int
read_changes(const struct query *q, struct sg_identity_changes *c, struct sg_err *err)
{
    struct sg_identity *items;
    struct sg_slice cursor;
    int rows, columns, i;

    if (q->batch.rc != 0) {
        *err = q->batch.err;
        return -1;
    }
    if (check_shape(q, "changes_sql", CHANGES_COLUMNS, MAX_CHANGES, err) != 0)
        return -1;
    rows = sg_pg_rows(&q->batch, 0);
    if (rows == 0)
        return 0;
    columns = PQnfields(q->batch.results[0]);
    cursor = sg_pg_value(&q->batch, 0, rows - 1, columns - 1);
    if (cursor.ptr == NULL || cursor.len == 0 || cursor.len >= sizeof c->cursor)
        return fail_column(q->name, "last (cursor)", "1 to 63 bytes", err);
    items = calloc((size_t)rows, sizeof *items);
    if (items == NULL)
        return sg_fail(err, SG_E_INTERNAL, q->name, "out of memory");
    c->items = items;
    for (i = 0; i < rows; i++)
        if (read_row(q, i, columns > CHANGES_COLUMNS, &items[c->n_items], err) == 0)
            c->n_items++;
        else if (c->n_refused++ == 0)
            c->refused = *err;
    c->full = rows == MAX_CHANGES;
    memcpy(c->cursor, cursor.ptr, cursor.len + 1);
    return 0;
}

static void
on_changes(struct sg_pg_batch *batch)
{
    struct query *q = sg_container_of(batch, struct query, batch);
    struct sg_identity_changes *changes = q->request;

    changes->rc = read_changes(q, changes, &changes->err);
    sg_pg_batch_clear(&q->batch);
    free(q);
    changes->done(changes);
}

static void
sql_changes(struct sg_identity_source *source, struct sg_identity_changes *changes)
{
    struct sql_source *s = sg_container_of(source, struct sql_source, base);

    assert(s->changes_sql[0] != '\0');
    changes->items = NULL;
    changes->n_items = changes->n_refused = 0;
    changes->full = false;
    start(s, &s->changes, changes->cursor, changes->deadline_ns, on_changes, changes);
}

/* ---- opening and closing ---- */

static void
free_source(struct sql_source *s)
{
    free(s->name);
    free(s->lookup_sql);
    free(s->changes_sql);
    free(s);
}

static int
fill(struct sql_source *s, const struct sg_identity_source_options *o)
{
    s->base.type = &sg_identity_sql;
    s->name = strdup(o->name != NULL ? o->name : "identity source");
    s->lookup_sql = strdup(o->lookup_sql);
    s->changes_sql = strdup(o->changes_sql != NULL ? o->changes_sql : "");
    s->lookup = (struct sg_pg_stmt){"lookup_sql", s->lookup_sql, 1, 0, false};
    s->changes = (struct sg_pg_stmt){"changes_sql", s->changes_sql, 1, 0, false};
    return s->name != NULL && s->lookup_sql != NULL && s->changes_sql != NULL ? 0 : -1;
}

static int
sql_open(uv_loop_t *loop, const struct sg_clock *clock, const struct sg_identity_source_options *o,
         struct sg_identity_source **out, struct sg_err *err)
{
    struct sql_source *s = calloc(1, sizeof *s);
    struct sg_pg_options pg;

    if (s == NULL || fill(s, o) != 0) {
        if (s != NULL)
            free_source(s);
        return sg_fail(err, SG_E_INTERNAL, "identity source", "out of memory");
    }
    pg = (struct sg_pg_options){o->conninfo, s->name, o->connections, o->timeout_ms,
                                o->max_queued != 0 ? o->max_queued : DEFAULT_MAX_QUEUED};
    if (sg_pg_open(loop, clock, &pg, &s->pg, err) != 0) {
        free_source(s);
        return -1;
    }
    *out = &s->base;
    return 0;
}

static void
on_closed(void *ctx)
{
    struct sql_source *s = ctx;

    if (s->closed != NULL)
        s->closed(s->closed_ctx);
    free_source(s);
}

static void
sql_close(struct sg_identity_source *source, void (*closed)(void *ctx), void *ctx)
{
    struct sql_source *s = sg_container_of(source, struct sql_source, base);

    s->closed = closed;
    s->closed_ctx = ctx;
    sg_pg_close(s->pg, on_closed, s);
}

const struct sg_identity_source_type sg_identity_sql = {
    .name = "sql",
    .open = sql_open,
    .close = sql_close,
    .lookup = sql_lookup,
    .changes = sql_changes,
};
