/* SPDX-License-Identifier: MIT */
#include "store/op.h"

/* The feed (rule 9). A poll's cursor is the snapshot of the poll before: what that snapshot saw was
 * given then, everything else that is visible now is given now. So a row of a long transaction is
 * given once it commits, however low its transaction id, and rows committed meanwhile are given at
 * once and once.
 *
 * A poll reads pages by seq until there is no more, and its new cursor is the snapshot of its FIRST
 * page: what becomes visible between two pages may be given twice (rows are idempotent), never not
 * at all. Rows of one subject have the order of their commits, because seq is drawn while the
 * subject's row is locked. */
#define PAGE_ROWS 5000
#define PAGE_ROWS_TEXT "5000"

/* Read before the rows: every row that was committed before a beat is then given before it. */
static const struct sg_pg_stmt st_beats = {
    "store.feed_beats", "SELECT realm, beat, segue.unix_ms(sent_at) FROM segue.heartbeat", 0, 0,
    false};

static const struct sg_pg_stmt st_rows = {
    "store.feed_rows",
    "SELECT c.cursor, r.seq, r.realm, r.kind = 'session', r.sid, r.subject, r.status = 'banned', "
    "r.epoch, r.source_version, segue.unix_ms(r.at), r.roles, r.permissions, "
    "r.attributes "
    "FROM (SELECT pg_current_snapshot()::text AS cursor, "
    "pg_snapshot_xmin(pg_current_snapshot()) AS xmin) AS c "
    "LEFT JOIN LATERAL (SELECT * FROM segue.revocation "
    "WHERE xid >= pg_snapshot_xmin($1::pg_snapshot) "
    "AND NOT pg_visible_in_snapshot(xid, $1::pg_snapshot) AND seq > $2::bigint "
    "ORDER BY seq LIMIT " PAGE_ROWS_TEXT ") AS r ON true ORDER BY r.seq",
    2, 0, false};

struct beat {
    char realm[65];
    int64_t beat, sent_ms;
};

#define BEATS_MAX 64

struct feed_op {
    struct sg_store_op op;
    struct sg_feed_poll *poll;
    int pages;
    int64_t last_seq;
    char cursor[SG_FEED_CURSOR_BYTES]; /* of the first page */
    struct beat beats[BEATS_MAX];
    int n_beats;
};

static void
feed_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    struct feed_op *f = sg_container_of(op, struct feed_op, op);
    const char *cursor = f->poll->cursor;

    if (cursor[0] == '\0' || strcmp(cursor, "0") == 0)
        cursor = "1:1:"; /* the snapshot that saw nothing */
    sg_column_value(columns, 0, sg_str(cursor));
    sg_column_int_value(columns, 1, f->last_seq);
    if (f->pages == 0)
        sg_part_call(part, &st_beats, columns, NULL);
    sg_part_call(part, &st_rows, columns, NULL);
}

/* The snapshot where it fits; else the one that saw only what is older than every running
 * transaction, so that the next poll gives some rows twice. */
static void
keep_cursor(struct feed_op *f, struct sg_slice snapshot)
{
    size_t xmin = strcspn(snapshot.ptr, ":");

    if (snapshot.len < sizeof f->cursor)
        sg_copy_string(f->cursor, sizeof f->cursor, snapshot);
    else
        snprintf(f->cursor, sizeof f->cursor, "%.*s:%.*s:", (int)xmin, snapshot.ptr, (int)xmin,
                 snapshot.ptr);
}

static void
take_beats(struct feed_op *f, const struct sg_part *part)
{
    int i;

    for (i = 0; i < sg_pg_rows(&part->batch, 0) && i < BEATS_MAX; i++) {
        struct beat *b = &f->beats[f->n_beats++];

        sg_read_string(part, 0, i, 0, b->realm, sizeof b->realm);
        b->beat = sg_pg_int(&part->batch, 0, i, 1, 0);
        b->sent_ms = sg_pg_int(&part->batch, 0, i, 2, 0);
    }
}

static void
give_row(struct feed_op *f, const struct sg_part *part, int call, int i)
{
    const struct sg_pg_batch *b = &part->batch;
    struct sg_feed_poll *poll = f->poll;
    struct sg_slice subject = sg_pg_value(b, call, i, 5);
    struct sg_feed_row row = {
        .realm = sg_pg_value(b, call, i, 2).ptr, /* libpq ends values with NUL */
        .is_session = sg_read_bool(part, call, i, 3),
        .subject = subject.ptr != NULL ? subject.ptr : "",
        .banned = sg_read_bool(part, call, i, 6),
        .epoch = (int)sg_pg_int(b, call, i, 7, 0),
        .source_version = sg_pg_int(b, call, i, 8, -1),
        .at_ms = sg_pg_int(b, call, i, 9, 0),
        .roles = sg_pg_value(b, call, i, 10),
        .permissions = sg_pg_value(b, call, i, 11),
        .attributes = sg_pg_value(b, call, i, 12),
    };

    sg_read_bytes(part, call, i, 4, row.sid, sizeof row.sid);
    f->last_seq = sg_pg_int(b, call, i, 1, 0);
    poll->n_rows++;
    if (row.at_ms > poll->newest_ms)
        poll->newest_ms = row.at_ms;
    if (poll->row != NULL)
        poll->row(poll->ctx, &row);
}

static void
feed_take(struct sg_store_op *op, struct sg_part *part)
{
    struct feed_op *f = sg_container_of(op, struct feed_op, op);
    int call = part->batch.n_calls - 1, rows = sg_pg_rows(&part->batch, call), i;

    if (f->pages++ == 0) {
        take_beats(f, part);
        keep_cursor(f, sg_pg_value(&part->batch, call, 0, 0));
    }
    for (i = 0; i < rows && sg_pg_value(&part->batch, call, i, 1).ptr != NULL; i++)
        give_row(f, part, call, i);
    op->again = i == PAGE_ROWS;
    if (op->again)
        return;
    for (i = 0; i < f->n_beats && f->poll->beat != NULL; i++)
        f->poll->beat(f->poll->ctx, f->beats[i].realm, f->beats[i].beat, f->beats[i].sent_ms);
    sg_copy_string(f->poll->cursor, sizeof f->poll->cursor, sg_str(f->cursor));
}

void
sg_store_poll_feed(struct sg_store *store, struct sg_feed_poll *poll, uint64_t deadline_ns,
                   sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {.build = feed_build, .take = feed_take};
    struct feed_op *f = sg_op_new(sizeof *f, store, &phase, 0, deadline_ns, done, ctx);

    f->op.only_shard = poll->shard;
    f->poll = poll;
    poll->n_rows = 0;
    poll->newest_ms = 0;
    sg_op_start(&f->op);
}

/* ---- the heartbeat ---- */

static const struct sg_pg_stmt st_beat = {
    "store.beat",
    "INSERT INTO segue.heartbeat (realm, beat, sent_at) VALUES ($1, $2::bigint, "
    "to_timestamp($3::bigint / 1000.0)) ON CONFLICT (realm) DO UPDATE SET beat = EXCLUDED.beat, "
    "sent_at = EXCLUDED.sent_at, at = clock_timestamp()",
    3, 0, false};

struct beat_op {
    struct sg_store_op op;
    char realm[65];
    int64_t beat, sent_ms;
};

static void
beat_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct beat_op *b = sg_container_of(op, struct beat_op, op);

    sg_column_value(columns, 0, sg_str(b->realm));
    sg_column_int_value(columns, 1, b->beat);
    sg_column_int_value(columns, 2, b->sent_ms);
    sg_part_call(part, &st_beat, columns, NULL);
}

static void
beat_take(struct sg_store_op *op, struct sg_part *part)
{
}

void
sg_store_put_beat(struct sg_store *store, int shard, const char *realm, int64_t beat,
                  int64_t sent_ms, uint64_t deadline_ns, sg_store_done done, void *ctx)
{
    static const struct sg_phase_of_op phase = {.build = beat_build, .take = beat_take};
    struct beat_op *b = sg_op_new(sizeof *b, store, &phase, 0, deadline_ns, done, ctx);

    sg_copy_string(b->realm, sizeof b->realm, sg_str(realm));
    b->beat = beat;
    b->sent_ms = sent_ms;
    b->op.only_shard = shard;
    sg_op_start(&b->op);
}
