/* SPDX-License-Identifier: MIT */
#include "store/op.h"

#include <stdlib.h>

/* Uses of refresh tokens: their rules are segue.rotate's, in one place. A rotation is little work
 * and one flush to disk, so those of a shard that come while one is under way share the next
 * transaction; one that finds the shard idle leaves at once. Where a transaction fails, which is
 * not how a refused token is told, each of its rotations is tried by itself: it fails, or not,
 * alone. */
#define BATCH_MAX 32
#define WAITING_MAX 4096 /* for a shard; one more fails with SG_E_LIMIT */

enum {
    COL_REALM,
    COL_BUCKET,
    COL_DIGEST,
    COL_CLIENT,
    COL_NEXT,
    COL_SEALED,
    COL_GRACE,
    COL_LIFETIME
};
enum { CALL_ROTATE = 1 };

static const struct sg_pg_stmt st_rotate_all = {
    "store.refresh_rotate_all",
    "SELECT ord, outcome, sid, audience, scope, sealed, successor FROM "
    "segue.rotate_all($1::text[], "
    "$2::int[], $3::bytea[], $4::text[], $5::bytea[], $6::bytea[], $7::bigint[], $8::bigint[])",
    8, 0, false};

/* The same for one, as long as it may take to get its locks. */
static const struct sg_pg_stmt st_rotate = {
    "store.refresh_rotate",
    "SELECT 1, r.* FROM segue.rotate(($1::text[])[1], ($2::int[])[1], ($3::bytea[])[1], "
    "($4::text[])[1], ($5::bytea[])[1], ($6::bytea[])[1], ($7::bigint[])[1], ($8::bigint[])[1]) "
    "AS r",
    8, 0, false};

/* One that a caller waits for. */
struct sg_rotation_wait {
    struct sg_rotate *rotate;
    uint64_t deadline_ns;
    sg_store_done done;
    void *ctx;
    struct sg_rotation_wait *next;
    /* Of two uses of one token each gets its own answer: they are different rows. */
    struct {
        uint8_t digest[SG_DIGEST_BYTES];
        uint8_t number;
    } key;
};

/* Those that share a transaction. */
struct flight {
    struct sg_store *store;
    struct sg_rotations *from; /* NULL = tried by itself, and nobody waits for it */
    bool refused;              /* too many wait already */
    int n;
    struct sg_rotation_wait *rotations[BATCH_MAX];
};

struct rotate_op {
    struct sg_store_op op;
    struct flight *flight;
};

static enum sg_use
rotate_entry(struct sg_store_op *op, int row, struct sg_entry *entry, struct sg_err *err)
{
    struct sg_rotation_wait *r = sg_container_of(op, struct rotate_op, op)->flight->rotations[row];

    memcpy(r->key.digest, r->rotate->digest, sizeof r->key.digest);
    r->key.number = (uint8_t)row;
    return sg_entry_of(entry, r->rotate->realm, r->rotate->bucket, &r->key, sizeof r->key, err);
}

static void
rotate_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns)
{
    const struct flight *f = sg_container_of(op, struct rotate_op, op)->flight;
    int g;

    for (g = part->from; g < part->to; g++) {
        const struct sg_rotate *r = f->rotations[sg_group_row(op, g)]->rotate;

        sg_part_place(part, columns, g);
        sg_column_bytes(columns, COL_DIGEST, r->digest, sizeof r->digest);
        sg_column_text(columns, COL_CLIENT, r->client_id);
        sg_column_bytes(columns, COL_NEXT, r->next_digest, sizeof r->next_digest);
        sg_column_bytes(columns, COL_SEALED, r->next_sealed.len > 0 ? r->next_sealed.ptr : "",
                        r->next_sealed.len);
        sg_column_int(columns, COL_GRACE, r->grace_ms);
        sg_column_int(columns, COL_LIFETIME, r->lifetime_ms);
    }
    sg_part_fence(part, columns, COL_BUCKET);
    sg_part_call(part, f->from != NULL ? &st_rotate_all : &st_rotate, columns, NULL);
}

static bool
rotation_of(struct sg_slice name, enum sg_rotation *out)
{
    static const char *const names[] = {
        [SG_ROTATED] = "rotated",        [SG_ROTATED_GRACE] = "grace",
        [SG_ROTATE_UNKNOWN] = "unknown", [SG_ROTATE_EXPIRED] = "expired",
        [SG_ROTATE_ENDED] = "ended",     [SG_ROTATE_REUSED] = "reused",
        [SG_ROTATE_LAPSED] = "lapsed"};
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (sg_slice_eq(name, sg_str(names[i]))) {
            *out = (enum sg_rotation)i;
            return true;
        }
    return false;
}

static void
rotate_take(struct sg_store_op *op, struct sg_part *part)
{
    struct flight *f = sg_container_of(op, struct rotate_op, op)->flight;
    const struct sg_entry *e;
    struct sg_rotate *r;
    int i;

    if (sg_pg_rows(&part->batch, CALL_ROTATE) != part->to - part->from)
        sg_op_fail(op, SG_E_INTERNAL, "store", "segue.rotate_all left rotations out");
    for (i = 0; i < sg_pg_rows(&part->batch, CALL_ROTATE); i++) {
        sg_part_rows_of(part, CALL_ROTATE, i, &e);
        r = f->rotations[e->row]->rotate;
        if (!rotation_of(sg_pg_value(&part->batch, CALL_ROTATE, i, 1), &r->outcome))
            sg_op_fail(op, SG_E_INTERNAL, "store",
                       "segue.rotate gave an outcome that is not known");
        sg_read_bytes(part, CALL_ROTATE, i, 2, r->sid, sizeof r->sid);
        sg_read_string(part, CALL_ROTATE, i, 3, r->audience, sizeof r->audience);
        sg_read_string(part, CALL_ROTATE, i, 4, r->scope, sizeof r->scope);
        sg_buf_free(&r->successor_sealed);
        r->successor_sealed = sg_read_bytea(part, CALL_ROTATE, i, 5);
        sg_read_bytes(part, CALL_ROTATE, i, 6, r->successor_digest, sizeof r->successor_digest);
    }
}

static void land(void *ctx, int rc, const struct sg_err *err);

static void
start(struct flight *f)
{
    static const struct sg_phase_of_op phase = {
        .rows_max = BATCH_MAX, .entry = rotate_entry, .build = rotate_build, .take = rotate_take};
    uint64_t deadline_ns = f->rotations[0]->deadline_ns;
    struct rotate_op *op;
    int i;

    for (i = 1; i < f->n; i++)
        if (f->rotations[i]->deadline_ns < deadline_ns)
            deadline_ns = f->rotations[i]->deadline_ns;
    op = sg_op_new(sizeof *op, f->store, &phase, f->n, deadline_ns, land, f);
    op->flight = f;
    if (f->refused)
        sg_op_fail(&op->op, SG_E_LIMIT, "store", "too many refresh tokens wait for the shard");
    sg_op_start(&op->op);
}

static struct flight *
new_flight(struct sg_store *store, struct sg_rotations *from)
{
    struct flight *f = calloc(1, sizeof *f);

    if (f == NULL)
        abort(); /* as sg_op_new: done could never be called */
    f->store = store;
    f->from = from;
    return f;
}

static void
start_alone(struct sg_store *store, struct sg_rotation_wait *r, bool refused)
{
    struct flight *f = new_flight(store, NULL);

    f->rotations[f->n++] = r;
    f->refused = refused;
    start(f);
}

static struct sg_rotation_wait *
take_first(struct sg_rotations *w)
{
    struct sg_rotation_wait *r = w->first;

    w->first = r->next;
    if (w->first == NULL)
        w->last = NULL;
    w->n--;
    return r;
}

/* Whoever waits for the shard leaves, as many as fit. Who waited for too long takes nobody along:
 * the first deadline is that of all. */
static void
start_waiting(struct sg_store *store, struct sg_rotations *w)
{
    uint64_t now = sg_mono_ns(store->clock);
    struct flight *f;

    while (w->first != NULL && w->first->deadline_ns <= now)
        start_alone(store, take_first(w), false);
    if (w->flying || w->first == NULL)
        return;
    f = new_flight(store, w);
    while (w->first != NULL && w->first->deadline_ns > now && f->n < BATCH_MAX)
        f->rotations[f->n++] = take_first(w);
    w->flying = true;
    start(f);
}

static void
finish(struct sg_rotation_wait *r, int rc, const struct sg_err *err)
{
    sg_store_done done = r->done;
    void *ctx = r->ctx;

    free(r);
    done(ctx, rc, err);
}

/* A shard that is down, or slow, is so for each of them. */
static bool
is_worth_a_try_alone(enum sg_code code)
{
    return code == SG_E_CONFLICT || code == SG_E_NOT_OWNER || code == SG_E_INVALID ||
           code == SG_E_INTERNAL;
}

static void
land(void *ctx, int rc, const struct sg_err *err)
{
    struct flight *f = ctx;
    bool again = rc != 0 && f->from != NULL && is_worth_a_try_alone(err->code);
    int i;

    if (f->from != NULL) {
        f->from->flying = false;
        start_waiting(f->store, f->from);
    }
    for (i = 0; i < f->n; i++) {
        if (again)
            start_alone(f->store, f->rotations[i], false);
        else
            finish(f->rotations[i], rc, err);
    }
    free(f);
}

void
sg_store_rotate(struct sg_store *store, struct sg_rotate *rotate, uint64_t deadline_ns,
                sg_store_done done, void *ctx)
{
    bool known = rotate->bucket >= 0 && rotate->bucket < SG_BUCKETS; /* else the entry refuses it */
    struct sg_rotations *w =
        &store->rotations[known ? sg_shard_of_bucket(store->shards, rotate->bucket) : 0];
    struct sg_rotation_wait *r = calloc(1, sizeof *r);

    if (r == NULL)
        abort();
    *r = (struct sg_rotation_wait){
        .rotate = rotate, .deadline_ns = deadline_ns, .done = done, .ctx = ctx};
    rotate->successor_sealed = (struct sg_buf){0};
    if (w->n == WAITING_MAX) {
        start_alone(store, r, true);
        return;
    }
    if (w->last != NULL)
        w->last->next = r;
    else
        w->first = r;
    w->last = r;
    w->n++;
    start_waiting(store, w);
}
