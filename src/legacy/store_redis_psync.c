/* SPDX-License-Identifier: MIT */
/* Follows the realm's keys as a replica of the server. Unlike notifications the stream outlives a
 * lost connection: it goes on where it was. And it needs no setting, but a right (+psync) that
 * managed servers seldom give.
 *
 * A thread reads the stream and queues what it says for the loop, which tells it. The follower is
 * up from the end of the first copy on, once the server was asked whether it is the one that the
 * data connection is at, and that it never evicts: an eviction could not be told from a deletion.
 */
#include "legacy/expiries.h"
#include "legacy/store_redis.h"
#include "redis/replica.h"

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXPIRIES_MAX (4 << 20)
/* A deletion so soon before the key's end is taken for its end: clocks differ. */
#define EXPIRY_SLACK_MS 1000
/* What is gone so long after the last heartbeat that came may have been deleted before its end. */
#define DOUBT_MS 3000
#define NOTES_MAX 16384 /* waiting for the loop; the thread waits when there are more */
#define NOTES_A_TURN 4096
#define CHECK_MS 1000
#define CHECK_TIMEOUT_NS (2000 * SG_NS_PER_MS)
#define OUTAGE_MS 30000 /* a stream that is gone for longer is not waited for */
#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS 1000
#define SLEEP_MS 50

enum note_kind { NOTE_CHANGE, NOTE_COPYING, NOTE_FOLLOWING, NOTE_LOST, NOTE_DOUBT };

struct note {
    enum note_kind kind;
    enum sg_legacy_change change;
    uint16_t key_len;
    char key[SG_LEGACY_KEY_MAX];
};

struct notes {
    struct note *notes;
    int n;
};

struct psync_follower {
    struct sg_legacy_follower base;
    struct sg_redis_store *store;
    struct sg_legacy_follow_events events;
    /* the thread's own */
    pthread_t thread;
    struct sg_replica_position position;
    struct sg_expiries *expiries;
    int64_t beat_ms; /* when the last heartbeat was sent; 0 = not known */
    /* shared, under the lock */
    pthread_mutex_t lock;
    pthread_cond_t room;
    struct notes in;
    struct sg_err lost;
    char history[SG_REPLICA_ID_BYTES + 1];
    atomic_bool stop;
    /* the loop's own */
    struct notes out;
    int told_notes; /* of out */
    uv_async_t wake;
    uv_timer_t timer;
    struct sg_redis_batch batch;
    bool batch_busy, closing;
    bool streaming; /* a copy was followed through to its end */
    bool up;
    uint64_t lost_ns; /* since when the stream is gone; 0 = it stands */
    char told[sizeof((struct sg_err *)0)->text];
    int open_handles;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* ---- the thread: from effects to notes ---- */

static struct note *
add_note(struct psync_follower *f, enum note_kind kind)
{
    struct note *note;

    while (f->in.n == NOTES_MAX && !atomic_load(&f->stop))
        pthread_cond_wait(&f->room, &f->lock);
    if (f->in.n == NOTES_MAX)
        return NULL;
    note = &f->in.notes[f->in.n++];
    note->kind = kind;
    note->key_len = 0;
    if (f->in.n == 1)
        uv_async_send(&f->wake);
    return note;
}

static void
post(struct psync_follower *f, enum note_kind kind)
{
    pthread_mutex_lock(&f->lock);
    snprintf(f->history, sizeof f->history, "%s", f->position.id);
    (void)add_note(f, kind);
    pthread_mutex_unlock(&f->lock);
}

static void
post_change(struct psync_follower *f, enum sg_legacy_change change, struct sg_slice key)
{
    struct note *note;

    pthread_mutex_lock(&f->lock);
    note = add_note(f, NOTE_CHANGE);
    if (note != NULL) {
        note->change = change;
        note->key_len = (uint16_t)key.len;
        memcpy(note->key, key.ptr, key.len);
    }
    pthread_mutex_unlock(&f->lock);
}

/* Whether it is one of the realm's records. A longer key than can be one is the scans' to reject.
 */
static bool
is_ours(const struct psync_follower *f, struct sg_slice key)
{
    return key.len <= SG_LEGACY_KEY_MAX && sg_slice_starts(key, f->store->prefix) &&
           !sg_slice_starts(key, SG_REDIS_OWN_KEYS);
}

static int64_t
never_if_none(int64_t expires_ms)
{
    return expires_ms >= 0 ? expires_ms : SG_EXPIRIES_NEVER;
}

/* Heartbeats end with ":<wall ms>". After an outage of both connections they tell that what the
 * stream says now was not done now. */
static void
take_beat(struct psync_follower *f, struct sg_slice value)
{
    const char *colon = memrchr(value.ptr, ':', value.len);
    char text[24];

    if (colon == NULL)
        return;
    snprintf(text, sizeof text, "%.*s", (int)(value.ptr + value.len - colon - 1), colon + 1);
    f->beat_ms = strtoll(text, NULL, 10);
}

/* One that is not known of (the table is full) is left to the next reconciling scan. */
static void
on_gone(struct psync_follower *f, struct sg_slice key)
{
    int64_t at_ms;

    if (!is_ours(f, key) || !sg_expiries_take(f->expiries, key, &at_ms))
        return;
    if (at_ms == SG_EXPIRIES_NEVER || at_ms - EXPIRY_SLACK_MS > sg_wall_ms(f->store->clock)) {
        post_change(f, SG_CHANGE_DELETED, key);
        return;
    }
    if (f->beat_ms > 0 && at_ms - DOUBT_MS > f->beat_ms) {
        f->beat_ms = 0; /* once is enough */
        post(f, NOTE_DOUBT);
    }
    post_change(f, SG_CHANGE_EXPIRED, key);
}

static void
on_renamed(struct psync_follower *f, struct sg_slice from, struct sg_slice to)
{
    int64_t at_ms;

    if (is_ours(f, from)) {
        if (sg_expiries_take(f->expiries, from, &at_ms) && is_ours(f, to))
            sg_expiries_put(f->expiries, to, at_ms);
        post_change(f, SG_CHANGE_RENAMED_FROM, from);
    }
    if (is_ours(f, to))
        post_change(f, SG_CHANGE_RENAMED_TO, to);
}

static void
on_set(struct psync_follower *f, const struct sg_effect_told *t)
{
    if (sg_slice_eq(t->key, sg_str(f->store->heartbeat))) {
        if (t->effect == SG_EFFECT_SET) {
            take_beat(f, t->value);
            post_change(f, SG_CHANGE_HEARTBEAT, sg_str(f->store->realm));
        }
        return;
    }
    if (!is_ours(f, t->key))
        return;
    if (t->effect != SG_EFFECT_WRITTEN)
        sg_expiries_put(f->expiries, t->key, never_if_none(t->expires_ms));
    post_change(f, SG_CHANGE_SET, t->key);
}

static int
on_effect(void *ctx, const struct sg_effect_told *t, struct sg_err *err)
{
    struct psync_follower *f = ctx;

    if (t->effect == SG_EFFECT_SWAPPED) {
        f->position.id[0] = '\0';
        return sg_fail(err, SG_E_UNAVAILABLE, f->store->url.name,
                       "databases changed places: everything must be read again");
    }
    if (t->database != f->store->url.database && t->database >= 0)
        return 0;
    switch (t->effect) {
    case SG_EFFECT_SET:
    case SG_EFFECT_EXPIRES:
    case SG_EFFECT_WRITTEN:
        on_set(f, t);
        break;
    case SG_EFFECT_GONE:
        on_gone(f, t->key);
        break;
    case SG_EFFECT_RENAMED:
        on_renamed(f, t->key, t->other);
        break;
    case SG_EFFECT_FLUSHED: /* the server's counters tell the watch */
        sg_expiries_clear(f->expiries);
        break;
    case SG_EFFECT_SWAPPED:
    case SG_EFFECT_ACK:
        break;
    }
    return 0;
}

/* The records themselves are the snapshot's to read. */
static int
on_record(void *ctx, const struct sg_rdb_record *r, struct sg_err *err)
{
    struct psync_follower *f = ctx;

    (void)err;
    if (r->database == f->store->url.database && r->key_bytes == r->key.len && is_ours(f, r->key))
        sg_expiries_put(f->expiries, r->key, never_if_none(r->expires_ms));
    return 0;
}

static int
on_copying(void *ctx, struct sg_err *err)
{
    struct psync_follower *f = ctx;

    (void)err;
    sg_expiries_clear(f->expiries);
    post(f, NOTE_COPYING);
    return 0;
}

static int
on_following(void *ctx, bool resumed, struct sg_err *err)
{
    (void)resumed, (void)err;
    post(ctx, NOTE_FOLLOWING);
    return 0;
}

static int
on_quiet(void *ctx, const struct sg_replica_position *position, struct sg_err *err)
{
    (void)ctx, (void)position, (void)err;
    return 0;
}

static void
post_lost(struct psync_follower *f, const struct sg_err *err)
{
    pthread_mutex_lock(&f->lock);
    f->lost = *err;
    (void)add_note(f, NOTE_LOST);
    pthread_mutex_unlock(&f->lock);
}

static void *
run(void *ctx)
{
    static const struct sg_replica_events events = {.copying = on_copying,
                                                    .record = on_record,
                                                    .following = on_following,
                                                    .effect = on_effect,
                                                    .quiet = on_quiet};
    struct psync_follower *f = ctx;
    struct sg_replica_events mine = events;
    struct sg_replica_options options = {
        .wire = {.host = f->store->url.host,
                 .port = f->store->url.port,
                 .name = f->store->url.name,
                 .timeout_ms = f->store->options.connect_timeout_ms,
                 .stop = &f->stop},
        .user = f->store->url.user,
        .password = f->store->url.password,
        .value_max = SG_LEGACY_VALUE_MAX,
    };
    struct sg_err err;
    int wait_ms = RETRY_FIRST_MS, slept;

    mine.ctx = f;
    while (!atomic_load(&f->stop)) {
        int64_t offset = f->position.offset;

        (void)sg_replica_run(&options, &f->position, &mine, &err);
        if (atomic_load(&f->stop))
            break;
        post_lost(f, &err);
        wait_ms = f->position.offset != offset  ? RETRY_FIRST_MS
                  : wait_ms * 2 < RETRY_LAST_MS ? wait_ms * 2
                                                : RETRY_LAST_MS;
        for (slept = 0; slept < wait_ms && !atomic_load(&f->stop); slept += SLEEP_MS)
            usleep(SLEEP_MS * 1000);
    }
    return NULL;
}

/* ---- the loop: two states ---- */

static void
go_up(struct psync_follower *f)
{
    if (f->up)
        return;
    f->up = true;
    f->told[0] = '\0';
    f->events.up(f->events.ctx, sg_redis_run_id(f->store->redis));
}

/* Tells every reason once, also while it never was up. */
static void
go_down(struct psync_follower *f, const struct sg_err *err)
{
    bool news = f->up || strcmp(f->told, err->text) != 0;

    f->up = false;
    snprintf(f->told, sizeof f->told, "%s", err->text);
    if (news && !f->closing)
        f->events.down(f->events.ctx, err);
}

static void
free_follower(struct psync_follower *f)
{
    sg_expiries_free(f->expiries);
    free(f->in.notes);
    free(f->out.notes);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->room);
    free(f);
}

static void
release(struct psync_follower *f)
{
    void (*closed)(void *) = f->closed;
    void *ctx = f->closed_ctx;

    if (!f->closing || f->open_handles != 0 || f->batch_busy)
        return;
    free_follower(f);
    if (closed != NULL)
        closed(ctx);
}

/* ---- is it the right server, and does it keep what it has? ---- */

/* The value of a line "name:value" of INFO. */
static bool
info_of(const struct redisReply *r, const char *name, char *out, size_t cap)
{
    const char *at;
    size_t n = strlen(name);

    if (r == NULL || r->type != REDIS_REPLY_STRING)
        return false;
    for (at = strstr(r->str, name); at != NULL; at = strstr(at + 1, name))
        if (at[n] == ':' && (at == r->str || at[-1] == '\n')) {
            snprintf(out, cap, "%.*s", (int)strcspn(at + n + 1, "\r\n"), at + n + 1);
            return true;
        }
    return false;
}

static int
judge_server(struct psync_follower *f, struct sg_err *err)
{
    const struct redisReply *replication = f->batch.replies[0], *memory = f->batch.replies[1];
    char history[64], most[32], policy[32];
    bool same;

    if (f->batch.rc != 0) {
        *err = f->batch.err;
        return -1;
    }
    if (!info_of(replication, "master_replid", history, sizeof history) ||
        !info_of(memory, "maxmemory", most, sizeof most) ||
        !info_of(memory, "maxmemory_policy", policy, sizeof policy))
        return sg_fail(err, SG_E_DENIED, f->store->url.name,
                       "changes cannot be followed by psync: INFO does not say what is needed");
    pthread_mutex_lock(&f->lock);
    same = strcmp(history, f->history) == 0;
    pthread_mutex_unlock(&f->lock);
    if (!same)
        return sg_fail(err, SG_E_UNAVAILABLE, f->store->url.name,
                       "the replication stream and the data connection are at different servers");
    if (strcmp(most, "0") != 0 && strcmp(policy, "noeviction") != 0)
        return sg_fail(err, SG_E_DENIED, f->store->url.name,
                       "changes cannot be followed by psync where the server may evict (%s): an "
                       "eviction looks like a logout there; use capture: events",
                       policy);
    return 0;
}

static void
info_done(struct sg_redis_batch *batch)
{
    struct psync_follower *f = sg_container_of(batch, struct psync_follower, batch);
    struct sg_err err;
    int rc = judge_server(f, &err);
    bool unread = batch->rc != 0;

    f->batch_busy = false;
    sg_redis_batch_clear(batch);
    if (f->closing || !f->streaming)
        release(f);
    else if (rc == 0)
        go_up(f);
    else if (!unread || !f->up) /* unread is no proof that a standing stream broke */
        go_down(f, &err);
}

static void
check(struct psync_follower *f)
{
    if (!f->streaming || f->lost_ns != 0 || f->batch_busy || f->closing)
        return;
    memset(&f->batch, 0, sizeof f->batch);
    sg_redis_store_add(&f->batch, "INFO replication", NULL);
    sg_redis_store_add(&f->batch, "INFO memory", NULL);
    f->batch.deadline_ns = sg_mono_ns(f->store->clock) + CHECK_TIMEOUT_NS;
    f->batch.done = info_done;
    f->batch_busy = true;
    sg_redis_submit(f->store->redis, &f->batch);
}

/* ---- what the thread says ---- */

static void
stream_lost(struct psync_follower *f)
{
    struct sg_err err;

    pthread_mutex_lock(&f->lock);
    err = f->lost;
    pthread_mutex_unlock(&f->lock);
    if (f->lost_ns == 0)
        f->lost_ns = sg_mono_ns(f->store->clock);
    /* One that was up may go on where it was: nothing is missed then. */
    if (!f->up)
        go_down(f, &err);
}

static void
copy_began(struct psync_follower *f)
{
    struct sg_err err;

    f->streaming = false;
    if (!f->up)
        return;
    sg_fail(&err, SG_E_UNAVAILABLE, f->store->url.name,
            "the server no longer had what came since the connection was lost: changes were "
            "missed; a longer repl-backlog-size keeps more");
    go_down(f, &err);
}

/* Nothing was missed, but whoever judges what is absent must know of the gap. */
static void
expiry_in_doubt(struct psync_follower *f)
{
    struct sg_err err;

    if (!f->up)
        return;
    sg_fail(&err, SG_E_UNAVAILABLE, f->store->url.name,
            "keys ran out, or were deleted before, while no heartbeat told the time");
    go_down(f, &err);
    go_up(f);
}

static void
take(struct psync_follower *f, const struct note *note)
{
    switch (note->kind) {
    case NOTE_CHANGE:
        if (f->up)
            f->events.change(f->events.ctx, note->change, sg_slice(note->key, note->key_len));
        break;
    case NOTE_COPYING:
        copy_began(f);
        break;
    case NOTE_FOLLOWING:
        f->streaming = true;
        f->lost_ns = 0;
        check(f);
        break;
    case NOTE_LOST:
        stream_lost(f);
        break;
    case NOTE_DOUBT:
        expiry_in_doubt(f);
        break;
    }
}

static void
swap(struct psync_follower *f)
{
    struct notes notes;

    pthread_mutex_lock(&f->lock);
    notes = f->in;
    f->in = f->out;
    f->in.n = 0;
    f->out = notes;
    f->told_notes = 0;
    pthread_cond_signal(&f->room);
    pthread_mutex_unlock(&f->lock);
}

static void
on_wake(uv_async_t *wake)
{
    struct psync_follower *f = sg_container_of(wake, struct psync_follower, wake);
    int i;

    if (f->told_notes == f->out.n)
        swap(f);
    for (i = 0; i < NOTES_A_TURN && f->told_notes < f->out.n && !f->closing; i++)
        take(f, &f->out.notes[f->told_notes++]);
    if (f->out.n > 0 && !f->closing) /* until an empty one was found */
        uv_async_send(&f->wake);
}

static void
on_timer(uv_timer_t *timer)
{
    struct psync_follower *f = sg_container_of(timer, struct psync_follower, timer);
    struct sg_err err;

    if (f->lost_ns != 0 && f->up &&
        sg_mono_ns(f->store->clock) - f->lost_ns > OUTAGE_MS * SG_NS_PER_MS) {
        pthread_mutex_lock(&f->lock);
        err = f->lost;
        pthread_mutex_unlock(&f->lock);
        go_down(f, &err);
    }
    check(f);
}

/* ---- life ---- */

static void
on_handle_closed(uv_handle_t *handle)
{
    struct psync_follower *f = handle->data;

    f->open_handles--;
    release(f);
}

/* The thread sees `stop` within 100 ms. */
static void
unfollow(struct sg_legacy_follower *base, void (*closed)(void *ctx), void *ctx)
{
    struct psync_follower *f = sg_container_of(base, struct psync_follower, base);

    f->closing = true;
    f->closed = closed;
    f->closed_ctx = ctx;
    pthread_mutex_lock(&f->lock);
    atomic_store(&f->stop, true);
    pthread_cond_signal(&f->room);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    uv_close((uv_handle_t *)&f->timer, on_handle_closed);
    uv_close((uv_handle_t *)&f->wake, on_handle_closed);
    if (f->batch_busy)
        sg_redis_cancel(&f->batch);
}

static int
prepare(struct psync_follower *f, struct sg_err *err)
{
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->room, NULL);
    f->in.notes = calloc(NOTES_MAX, sizeof *f->in.notes);
    f->out.notes = calloc(NOTES_MAX, sizeof *f->out.notes);
    if (f->in.notes == NULL || f->out.notes == NULL)
        return sg_fail(err, SG_E_INTERNAL, f->store->url.name, "out of memory");
    return sg_expiries_new(EXPIRIES_MAX, &f->expiries, err);
}

int
sg_redis_store_follow_psync(struct sg_redis_store *store,
                            const struct sg_legacy_follow_events *events,
                            struct sg_legacy_follower **out, struct sg_err *err)
{
    struct psync_follower *f = calloc(1, sizeof *f);

    if (f == NULL)
        return sg_fail(err, SG_E_INTERNAL, store->url.name, "out of memory");
    f->base.unfollow = unfollow;
    f->store = store;
    f->events = *events;
    if (prepare(f, err) != 0) {
        free_follower(f);
        return -1;
    }
    uv_async_init(store->loop, &f->wake, on_wake);
    uv_timer_init(store->loop, &f->timer);
    f->wake.data = f->timer.data = f;
    f->open_handles = 2;
    if (pthread_create(&f->thread, NULL, run, f) != 0)
        abort(); /* a process that cannot have one more thread has nothing to go on with */
    uv_timer_start(&f->timer, on_timer, CHECK_MS, CHECK_MS);
    *out = &f->base;
    return 0;
}
