/* SPDX-License-Identifier: MIT */
#include "store/bulk.h"

#include "store/op.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define BUCKETS 4096
#define SQL_BYTES_MAX 65536
#define SLICE_MS 100   /* how soon `stop` is seen */
#define STUCK_MS 30000 /* a shard that takes no more rows for so long is given up */
#define ALONE_EVERY_MS 1000
#define US_TO_2000 INT64_C(946684800000000) /* PostgreSQL counts from there */

/* A connection, its transaction, and the table it fills. */
struct lane {
    struct sg_bulk *bulk;
    PGconn *conn;
    char place[64];
    pthread_mutex_t lock;
    char *build; /* what makes the indexes again */
};

struct shard {
    struct lane refs, sessions;
    struct sg_buf rejects; /* wait until the references are in */
    bool owned[BUCKETS];
    int64_t ahead_us; /* its clock before ours */
};

struct sg_bulk {
    struct sg_bulk_options options;
    struct lane control;
    uint64_t alone_until_ns; /* under the control lane's lock */
    struct shard shards[];   /* n_shards */
};

static const char copy_start[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"; /* no flags, no extension */
#define COPY_START_BYTES 19

/* ---- statements ---- */

/* The database's own words may quote a row: only its code and its main message are told, and of
 * class 22 (data exceptions), whose message quotes values too, the code alone. */
static int
failed(const struct lane *l, const PGresult *r, const char *what, struct sg_err *err)
{
    const char *state = r != NULL ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    const char *text = "the connection was lost";
    enum sg_code code = SG_E_INTERNAL;

    if (state != NULL)
        text = strncmp(state, "22", 2) == 0 ? "a value was refused"
                                            : PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    if (state == NULL || strncmp(state, "08", 2) == 0 || strncmp(state, "57", 2) == 0)
        code = SG_E_UNAVAILABLE;
    else if (strcmp(state, "55P03") == 0)
        code = SG_E_CONFLICT; /* lock_timeout */
    return sg_fail(err, code, l->place, "%s: %s (SQLSTATE %s)", what, text,
                   state != NULL ? state : "none");
}

/* ---- waiting: seen to every SLICE_MS ---- */

static int check_alone(struct sg_bulk *b, struct sg_err *err);

static uint64_t
now_ns(void)
{
    return sg_mono_ns(sg_clock_system());
}

static int
wait_slice(struct lane *l, short events, struct sg_err *err)
{
    struct pollfd p = {.fd = PQsocket(l->conn), .events = events};

    if (l->bulk->options.stop != NULL && atomic_load(l->bulk->options.stop))
        return sg_fail(err, SG_E_CANCELLED, l->place, "stopped");
    poll(&p, 1, SLICE_MS);
    return 0;
}

/* What was queued goes out; with it no more than that is ever in memory. */
static int
push(struct lane *l, struct sg_err *err)
{
    uint64_t began_ns = now_ns();
    int left;

    while ((left = PQflush(l->conn)) > 0) {
        if (wait_slice(l, POLLIN | POLLOUT, err) != 0)
            return -1;
        if (PQconsumeInput(l->conn) != 1)
            return failed(l, NULL, "COPY", err);
        if (now_ns() - began_ns > STUCK_MS * SG_NS_PER_MS)
            return sg_fail(err, SG_E_TIMEOUT, l->place, "it took no rows for %d s",
                           STUCK_MS / 1000);
    }
    return left == 0 ? 0 : failed(l, NULL, "COPY", err);
}

static int
await(struct lane *l, const char *what, struct sg_err *err)
{
    PGresult *r;
    int rc = 0;

    do {
        while (PQisBusy(l->conn)) {
            if (wait_slice(l, POLLIN, err) != 0 || check_alone(l->bulk, err) != 0)
                return -1;
            if (PQconsumeInput(l->conn) != 1)
                return failed(l, NULL, what, err);
        }
        r = PQgetResult(l->conn);
        if (r != NULL && rc == 0 && PQresultStatus(r) != PGRES_COMMAND_OK)
            rc = failed(l, r, what, err);
        PQclear(r);
    } while (r != NULL);
    return rc == 0 && PQstatus(l->conn) != CONNECTION_OK ? failed(l, NULL, what, err) : rc;
}

/* ---- statements that are short ---- */

static int
run(struct lane *l, const char *sql, const char *what, struct sg_err *err)
{
    PGresult *r = PQexec(l->conn, sql);
    ExecStatusType status = PQresultStatus(r);
    int rc = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? 0 : failed(l, r, what, err);

    PQclear(r);
    return rc;
}

/* The first value, to be freed. */
static int
ask(struct lane *l, const char *sql, const char *what, char **out, struct sg_err *err)
{
    PGresult *r = PQexec(l->conn, sql);
    int rc =
        PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1 ? 0 : failed(l, r, what, err);

    if (rc == 0 && (*out = strdup(PQgetvalue(r, 0, 0))) == NULL)
        rc = sg_fail(err, SG_E_INTERNAL, l->place, "out of memory");
    PQclear(r);
    return rc;
}

static int
start_copy(struct lane *l, const char *sql, struct sg_err *err)
{
    PGresult *r = PQexec(l->conn, sql);
    int rc = PQresultStatus(r) == PGRES_COPY_IN ? 0 : failed(l, r, "COPY", err);

    PQclear(r);
    if (rc == 0 && (PQsetnonblocking(l->conn, 1) != 0 ||
                    PQputCopyData(l->conn, copy_start, COPY_START_BYTES) != 1))
        rc = failed(l, NULL, "COPY", err);
    return rc;
}

static int
put_rows(struct lane *l, struct sg_slice rows, struct sg_err *err)
{
    return PQputCopyData(l->conn, rows.ptr, (int)rows.len) == 1 ? push(l, err)
                                                                : failed(l, NULL, "COPY", err);
}

static int
end_copy(struct lane *l, struct sg_err *err)
{
    static const char end[2] = {'\377', '\377'};

    if (PQputCopyData(l->conn, end, sizeof end) != 1 || PQputCopyEnd(l->conn, NULL) != 1)
        return failed(l, NULL, "COPY", err);
    return push(l, err) != 0 ? -1 : await(l, "COPY", err);
}

/* ---- opening ---- */

#define OFF_AND_ON(table)                                                                          \
    "WITH i AS (SELECT c.conname AS name, pg_get_constraintdef(c.oid) AS def, true AS con "        \
    "FROM pg_constraint c WHERE c.conrelid = '" table "'::regclass AND c.contype IN ('p', 'u') "   \
    "UNION ALL SELECT x.indexrelid::regclass::text, pg_get_indexdef(x.indexrelid), false "         \
    "FROM pg_index x WHERE x.indrelid = '" table "'::regclass AND NOT EXISTS "                     \
    "(SELECT FROM pg_constraint c WHERE c.conindid = x.indexrelid)) "

#define TAKE_OFF(table)                                                                            \
    OFF_AND_ON(table)                                                                              \
    "SELECT coalesce(string_agg(CASE WHEN con THEN format('ALTER TABLE " table                     \
    " DROP CONSTRAINT %I', name) ELSE format('DROP INDEX %s', name) END, '; '), '') FROM i"
#define PUT_ON(table)                                                                              \
    OFF_AND_ON(table)                                                                              \
    "SELECT coalesce(string_agg(CASE WHEN con THEN format('ALTER TABLE " table                     \
    " ADD CONSTRAINT %I %s', name, def) ELSE def END, '; ' ORDER BY con DESC, name), '') FROM i"

/* How one table is made ready, as SQL. */
struct table {
    const char *lock, *is_empty, *truncate, *take_off, *put_on, *copy;
};

static const struct table refs_table = {
    "LOCK TABLE segue.token_ref IN ACCESS EXCLUSIVE MODE; LOCK TABLE segue.reject IN ACCESS "
    "EXCLUSIVE MODE",
    "SELECT NOT EXISTS (SELECT FROM segue.token_ref) AND NOT EXISTS (SELECT FROM segue.reject)",
    "TRUNCATE segue.token_ref",
    TAKE_OFF("segue.token_ref"),
    PUT_ON("segue.token_ref"),
    "COPY segue.token_ref (realm, bucket, digest, subject) FROM STDIN (FORMAT binary, FREEZE)",
};

static const struct table sessions_table = {
    /* The owners cannot change until the end either (P7). */
    "LOCK TABLE segue.session IN ACCESS EXCLUSIVE MODE; LOCK TABLE segue.bucket_owner IN SHARE "
    "MODE",
    "SELECT NOT EXISTS (SELECT FROM segue.session)",
    "TRUNCATE segue.session",
    TAKE_OFF("segue.session"),
    PUT_ON("segue.session"),
    "COPY segue.session (realm, bucket, sid, subject, generation, origin, client_id, store_digest, "
    "handle, record, idle_ms, exp_source, exp_absolute, source_seen_at) FROM STDIN (FORMAT binary, "
    "FREEZE)",
};

/* A backend whose client is gone lets go of its locks, also amid an index. */
static const char begin[] =
    "BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = 0; "
    "SET LOCAL idle_in_transaction_session_timeout = 0; "
    "SET LOCAL client_connection_check_interval = '1s'";

static int
lock(struct lane *l, const struct table *t, struct sg_err *err)
{
    char *value = NULL;
    int rc;

    if (run(l, begin, "BEGIN", err) != 0 || run(l, t->lock, "LOCK TABLE", err) != 0 ||
        ask(l, t->is_empty, "SELECT", &value, err) != 0)
        return -1;
    rc = strcmp(value, "t") == 0 ? 0
                                 : sg_fail(err, SG_E_CONFLICT, l->place,
                                           "it holds rows already: it can only be loaded in bulk "
                                           "while it holds none");
    free(value);
    return rc;
}

static int
prepare(struct lane *l, const struct table *t, struct sg_err *err)
{
    char *value = NULL;
    int rc;

    if (ask(l, t->put_on, "SELECT", &l->build, err) != 0 ||
        ask(l, t->take_off, "SELECT", &value, err) != 0)
        return -1;
    rc = run(l, value, "DROP INDEX", err);
    free(value);
    return rc != 0 || run(l, t->truncate, "TRUNCATE", err) != 0 ? -1 : start_copy(l, t->copy, err);
}

static void
ignore_notice(void *ctx, const char *text)
{
    (void)ctx, (void)text;
}

/* What the conninfo says itself counts. */
static PGconn *
connect_to(const char *conninfo)
{
    static const char *const names[] = {"connect_timeout",
                                        "keepalives_idle",
                                        "keepalives_interval",
                                        "keepalives_count",
                                        "tcp_user_timeout",
                                        "dbname",
                                        NULL};
    const char *const values[] = {"5", "10", "5", "4", "30000", conninfo, NULL};
    PGconn *conn = PQconnectdbParams(names, values, 1);

    PQsetNoticeProcessor(conn, ignore_notice, NULL);
    return conn;
}

static int
connect_lane(struct sg_bulk *b, struct lane *l, const char *place, const char *conninfo,
             struct sg_err *err)
{
    l->bulk = b;
    snprintf(l->place, sizeof l->place, "%s", place);
    pthread_mutex_init(&l->lock, NULL);
    l->conn = connect_to(conninfo);
    return PQstatus(l->conn) == CONNECTION_OK
               ? 0
               : sg_fail(err, SG_E_UNAVAILABLE, l->place, "could not connect");
}

static int
read_owned(struct shard *s, struct sg_err *err)
{
    PGresult *r = PQexec(s->sessions.conn, "SELECT bucket FROM segue.bucket_owner WHERE owned");
    int i, rc = PQresultStatus(r) == PGRES_TUPLES_OK ? 0 : failed(&s->sessions, r, "SELECT", err);

    for (i = 0; rc == 0 && i < PQntuples(r); i++)
        s->owned[strtoul(PQgetvalue(r, i, 0), NULL, 10) % BUCKETS] = true;
    PQclear(r);
    return rc;
}

static int64_t
now_us(void)
{
    return sg_wall_ms(sg_clock_system()) * 1000;
}

static int
read_clock(struct shard *s, struct sg_err *err)
{
    char *value;

    if (ask(&s->sessions, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
            "SELECT", &value, err) != 0)
        return -1;
    s->ahead_us = strtoll(value, NULL, 10) - now_us();
    free(value);
    return 0;
}

static int
open_shard(struct sg_bulk *b, int i, struct sg_err *err)
{
    const char *conninfo = b->options.conninfos[i];
    struct shard *s = &b->shards[i];
    char place[32];

    snprintf(place, sizeof place, "shard %d", i);
    s->rejects = SG_BUF_INIT(SG_BULK_REJECT_BYTES_MAX);
    return connect_lane(b, &s->refs, place, conninfo, err) != 0 ||
                   connect_lane(b, &s->sessions, place, conninfo, err) != 0
               ? -1
               : 0;
}

/* The owners are read once they cannot change any more. */
static int
prepare_shard(struct shard *s, struct sg_err *err)
{
    if (lock(&s->refs, &refs_table, err) != 0 || lock(&s->sessions, &sessions_table, err) != 0 ||
        read_owned(s, err) != 0 || read_clock(s, err) != 0)
        return -1;
    return prepare(&s->refs, &refs_table, err) != 0 ||
                   prepare(&s->sessions, &sessions_table, err) != 0
               ? -1
               : 0;
}

/* An instance that serves would wait for the locks, and its callers for it. */
static int
ask_who_serves(struct sg_bulk *b, struct sg_err *err)
{
    char *serves = NULL;
    int rc = ask(&b->control,
                 "SELECT EXISTS (SELECT FROM segue_control.instance WHERE seen_at > "
                 "clock_timestamp() - interval '10 s')",
                 "SELECT", &serves, err);

    if (rc == 0 && strcmp(serves, "f") != 0)
        rc = sg_fail(err, SG_E_CONFLICT, b->control.place,
                     "an instance is serving: shards are loaded in bulk only before that");
    free(serves);
    return rc;
}

/* One may start at any time. */
static int
check_alone(struct sg_bulk *b, struct sg_err *err)
{
    int rc = 0;

    pthread_mutex_lock(&b->control.lock);
    if (now_ns() >= b->alone_until_ns) {
        rc = ask_who_serves(b, err);
        b->alone_until_ns = now_ns() + ALONE_EVERY_MS * SG_NS_PER_MS;
    }
    pthread_mutex_unlock(&b->control.lock);
    return rc;
}

int
sg_bulk_open(const struct sg_bulk_options *options, struct sg_bulk **out, struct sg_err *err)
{
    struct sg_bulk *b = calloc(1, sizeof *b + (size_t)options->n_shards * sizeof b->shards[0]);
    int i, rc;

    if (b == NULL)
        return sg_fail(err, SG_E_INTERNAL, "bulk load", "out of memory");
    b->options = *options;
    rc = connect_lane(b, &b->control, "control database", options->control, err) != 0
             ? -1
             : check_alone(b, err);
    for (i = 0; i < options->n_shards && rc == 0; i++)
        rc = open_shard(b, i, err);
    for (i = 0; i < options->n_shards && rc == 0; i++)
        rc = prepare_shard(&b->shards[i], err);
    if (rc != 0) {
        sg_bulk_close(b);
        return -1;
    }
    *out = b;
    return 0;
}

static void
close_lane(struct lane *l)
{
    if (l->conn == NULL)
        return;
    PQfinish(l->conn); /* which rolls back what was not committed */
    pthread_mutex_destroy(&l->lock);
    free(l->build);
}

void
sg_bulk_close(struct sg_bulk *b)
{
    int i;

    if (b == NULL)
        return;
    for (i = 0; i < b->options.n_shards; i++) {
        close_lane(&b->shards[i].refs);
        close_lane(&b->shards[i].sessions);
        sg_buf_free(&b->shards[i].rejects);
    }
    close_lane(&b->control);
    free(b);
}

/* ---- rows ---- */

static void
add_int16(struct sg_buf *out, int v)
{
    char b[2] = {(char)(v >> 8), (char)v};

    sg_buf_add(out, sg_slice(b, sizeof b));
}

static void
add_length(struct sg_buf *out, int32_t v)
{
    uint32_t be = __builtin_bswap32((uint32_t)v);

    sg_buf_add(out, sg_slice((char *)&be, sizeof be));
}

static void
add_int4(struct sg_buf *out, int32_t v)
{
    add_length(out, 4);
    add_length(out, v);
}

static void
add_int8(struct sg_buf *out, int64_t v)
{
    uint64_t be = __builtin_bswap64((uint64_t)v);

    add_length(out, 8);
    sg_buf_add(out, sg_slice((char *)&be, sizeof be));
}

static void
add_bytes(struct sg_buf *out, const void *p, size_t n)
{
    add_length(out, (int32_t)n);
    sg_buf_add(out, sg_slice(p, n));
}

static void
add_text(struct sg_buf *out, const char *s)
{
    add_bytes(out, s, strlen(s));
}

static void
add_null_if_empty(struct sg_buf *out, const char *s)
{
    if (s[0] == '\0')
        add_length(out, -1);
    else
        add_text(out, s);
}

static void
add_slice_or_null(struct sg_buf *out, struct sg_slice s)
{
    if (s.len == 0)
        add_length(out, -1);
    else
        add_bytes(out, s.ptr, s.len);
}

/* From ago_ms before now by the shard's clock; a duration below `least` is none. */
static void
add_time(const struct shard *s, struct sg_buf *out, int64_t in_ms, int64_t least, int64_t ago_ms)
{
    if (in_ms < least) {
        add_length(out, -1);
        return;
    }
    if (in_ms > SG_STORE_MS_MAX)
        in_ms = SG_STORE_MS_MAX;
    add_int8(out, now_us() + s->ahead_us - US_TO_2000 + (in_ms - ago_ms) * 1000);
}

static int
begin_row(const struct sg_bulk *b, int shard, const char *realm, int bucket, int columns,
          struct sg_buf *out, struct sg_err *err)
{
    if (bucket < 0 || bucket >= BUCKETS || !b->shards[shard].owned[bucket])
        return sg_fail(err, SG_E_NOT_OWNER, b->shards[shard].sessions.place,
                       "it does not own bucket %d", bucket);
    add_int16(out, columns);
    add_text(out, realm);
    add_int4(out, bucket);
    return 0;
}

static int
end_row(const struct sg_buf *out, struct sg_err *err)
{
    return out->failed ? sg_fail(err, SG_E_LIMIT, "bulk load", "a row above the buffer's bound")
                       : 0;
}

int
sg_bulk_add_ref(const struct sg_bulk *b, int shard, const struct sg_ref_row *row,
                struct sg_buf *out, struct sg_err *err)
{
    if (begin_row(b, shard, row->realm, row->bucket, 4, out, err) != 0)
        return -1;
    add_bytes(out, row->digest, sizeof row->digest);
    add_null_if_empty(out, row->subject);
    return end_row(out, err);
}

int
sg_bulk_add_session(const struct sg_bulk *b, int shard, const struct sg_session_row *row,
                    struct sg_buf *out, struct sg_err *err)
{
    const struct shard *s = &b->shards[shard];

    if (begin_row(b, shard, row->realm, row->bucket, 14, out, err) != 0)
        return -1;
    add_bytes(out, row->sid, sizeof row->sid);
    add_null_if_empty(out, row->subject);
    add_int4(out, row->generation);
    add_text(out, "legacy");
    add_text(out, row->client_id);
    add_bytes(out, row->store_digest, sizeof row->store_digest);
    add_slice_or_null(out, row->handle);
    add_slice_or_null(out, row->record);
    add_int8(out, row->idle_ms);
    add_time(s, out, row->exp_source_in_ms, 0, row->seen_ms_ago);
    add_time(s, out, row->exp_absolute_in_ms, 1, 0);
    add_time(s, out, 0, 0, row->seen_ms_ago);
    return end_row(out, err);
}

int
sg_bulk_add_reject(const struct sg_bulk *b, int shard, const struct sg_reject_row *row,
                   struct sg_buf *out, struct sg_err *err)
{
    if (begin_row(b, shard, row->realm, row->bucket, 8, out, err) != 0)
        return -1;
    add_bytes(out, row->key_digest, sizeof row->key_digest);
    add_bytes(out, row->key_sealed.ptr, row->key_sealed.len);
    add_text(out, row->reason);
    add_text(out, row->place);
    add_slice_or_null(out, row->value_sealed);
    add_int8(out, b->options.job);
    return end_row(out, err);
}

static int
put_reject(struct shard *s, struct sg_slice rows, struct sg_err *err)
{
    sg_buf_add(&s->rejects, rows);
    return s->rejects.failed ? sg_fail(err, SG_E_LIMIT, s->refs.place,
                                       "more rejects than %d MiB: too many for a bulk load",
                                       SG_BULK_REJECT_BYTES_MAX >> 20)
                             : 0;
}

int
sg_bulk_put(struct sg_bulk *b, int shard, enum sg_bulk_table table, struct sg_slice rows,
            struct sg_err *err)
{
    struct shard *s = &b->shards[shard];
    struct lane *l = table == SG_BULK_SESSIONS ? &s->sessions : &s->refs;
    int rc;

    if (check_alone(b, err) != 0)
        return -1;
    pthread_mutex_lock(&l->lock);
    rc = table == SG_BULK_REJECTS ? put_reject(s, rows, err) : put_rows(l, rows, err);
    pthread_mutex_unlock(&l->lock);
    return rc;
}

/* ---- the end ---- */

static int
copy_rejects(struct shard *s, struct sg_err *err)
{
    struct lane *l = &s->refs;

    if (s->rejects.len == 0)
        return 0;
    if (start_copy(l,
                   "COPY segue.reject (realm, bucket, key_digest, key_sealed, reason, place, "
                   "value_sealed, job) FROM STDIN (FORMAT binary)",
                   err) != 0)
        return -1;
    return put_rows(l, sg_buf_slice(&s->rejects), err) != 0 ? -1 : end_copy(l, err);
}

static int
send_sql(struct lane *l, const struct sg_buf *sql, struct sg_err *err)
{
    if (sql->failed)
        return sg_fail(err, SG_E_INTERNAL, l->place, "out of memory");
    return PQsendQuery(l->conn, sql->ptr) == 1 ? push(l, err)
                                               : failed(l, NULL, "CREATE INDEX", err);
}

/* Indexes on every lane at once; what they hold is sorted by the servers beside each other. */
static int
send_build(struct sg_bulk *b, int i, const struct sg_bulk_counts *c, struct sg_err *err)
{
    struct shard *s = &b->shards[i];
    struct sg_buf refs = SG_BUF_INIT(SQL_BYTES_MAX), sessions = SG_BUF_INIT(SQL_BYTES_MAX);
    char *realm = PQescapeLiteral(s->refs.conn, b->options.realm, strlen(b->options.realm));
    int rc;

    sg_buf_printf(&refs,
                  "%s; INSERT INTO segue.transfer_ledger (realm, job, chunk, stored, rejected, "
                  "anonymous) VALUES (%s, %" PRId64 ", 0, %" PRId64 ", %" PRId64 ", %" PRId64
                  ") ON CONFLICT (realm, job, chunk) DO UPDATE SET stored = EXCLUDED.stored, "
                  "rejected = EXCLUDED.rejected, anonymous = EXCLUDED.anonymous",
                  s->refs.build, realm != NULL ? realm : "NULL", b->options.job, c->stored,
                  c->rejected, c->anonymous);
    sg_buf_printf(&sessions,
                  "%s; INSERT INTO segue.subject (realm, bucket, subject) SELECT DISTINCT realm, "
                  "bucket, subject FROM segue.session WHERE subject IS NOT NULL ON CONFLICT DO "
                  "NOTHING",
                  s->sessions.build);
    rc =
        send_sql(&s->refs, &refs, err) != 0 || send_sql(&s->sessions, &sessions, err) != 0 ? -1 : 0;
    PQfreemem(realm);
    sg_buf_free(&refs);
    sg_buf_free(&sessions);
    return rc;
}

int
sg_bulk_finish(struct sg_bulk *b, const struct sg_bulk_counts *counts, struct sg_err *err)
{
    int i, n = b->options.n_shards;

    for (i = 0; i < n; i++)
        if (end_copy(&b->shards[i].refs, err) != 0 || end_copy(&b->shards[i].sessions, err) != 0 ||
            copy_rejects(&b->shards[i], err) != 0)
            return -1;
    for (i = 0; i < n; i++)
        if (send_build(b, i, &counts[i], err) != 0)
            return -1;
    for (i = 0; i < n; i++)
        if (await(&b->shards[i].refs, "CREATE INDEX", err) != 0 ||
            await(&b->shards[i].sessions, "CREATE INDEX", err) != 0)
            return -1;
    for (i = 0; i < n; i++)
        if (run(&b->shards[i].refs, "COMMIT", "COMMIT", err) != 0)
            return -1;
    for (i = 0; i < n; i++)
        if (run(&b->shards[i].sessions, "COMMIT", "COMMIT", err) != 0)
            return -1;
    return 0;
}
