/* SPDX-License-Identifier: MIT */
/* Follows the realm's keys by keyspace notifications. The server filters by pattern, so a Redis
 * that an app also uses as a cache does not send us every key it touches.
 *
 * A follower is up while its subscription stands, and the server it stands on is known to notify
 * what is needed: the setting is read when the subscription comes and every second after, and
 * completed where the server lets us. */
#include "legacy/store_redis.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#define SETTING "notify-keyspace-events"
/* K by key, g del/expire/rename, $ strings (set), x expired, e evicted; A stands for g$xe too. */
#define NEEDED "Kg$xe"
#define CHECK_MS 1000
#define CHECK_TIMEOUT_NS (2000 * SG_NS_PER_MS)

struct events_follower {
    struct sg_legacy_follower base;
    struct sg_redis_store *store;
    struct sg_legacy_follow_events events;
    struct sg_redis_subscriber *subscriber;
    uv_timer_t timer;
    struct sg_redis_batch batch;
    bool batch_busy, closing;
    bool subscribed;                             /* the subscription stands */
    bool up;                                     /* and up was told */
    char run_id[48];                             /* of the server the subscription stands on */
    char channel[32];                            /* "__keyspace@0__:" */
    char setting[32];                            /* what CONFIG SET is asked for */
    char told[sizeof((struct sg_err *)0)->text]; /* the last reason given by down */
    int open_handles;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* ---- the two states ---- */

static void
go_up(struct events_follower *f)
{
    if (f->up)
        return;
    f->up = true;
    f->told[0] = '\0';
    f->events.up(f->events.ctx, f->run_id);
}

/* Tells every reason once, also while it never was up. */
static void
go_down(struct events_follower *f, const struct sg_err *err)
{
    bool news = f->up || strcmp(f->told, err->text) != 0;

    f->up = false;
    snprintf(f->told, sizeof f->told, "%s", err->text);
    if (news && !f->closing)
        f->events.down(f->events.ctx, err);
}

/* ---- the server's setting ---- */

/* The needed classes that flags lacks, into out[8]. */
static void
missing_flags(const char *flags, char out[8])
{
    const char *p;

    for (p = NEEDED; *p != '\0'; p++)
        if (strchr(flags, *p) == NULL && (*p == 'K' || strchr(flags, 'A') == NULL))
            *out++ = *p;
    *out = '\0';
}

static void
submit(struct events_follower *f, void (*done)(struct sg_redis_batch *))
{
    f->batch.deadline_ns = sg_mono_ns(f->store->clock) + CHECK_TIMEOUT_NS;
    f->batch.done = done;
    f->batch_busy = true;
    sg_redis_submit(f->store->redis, &f->batch);
}

static void
release(struct events_follower *f)
{
    void (*closed)(void *) = f->closed;
    void *ctx = f->closed_ctx;

    if (!f->closing || f->open_handles != 0 || f->batch_busy)
        return;
    free(f);
    if (closed != NULL)
        closed(ctx);
}

static void
set_done(struct sg_redis_batch *batch)
{
    struct events_follower *f = sg_container_of(batch, struct events_follower, batch);
    const struct redisReply *r = batch->replies[0];
    struct sg_err err = batch->err;
    int rc = batch->rc;

    f->batch_busy = false;
    if (rc == 0 && (r == NULL || r->type != REDIS_REPLY_STATUS))
        rc = sg_fail(&err, SG_E_DENIED, f->store->url.name,
                     "changes cannot be followed: the server does not let Segue complete its "
                     "notifications; set " SETTING " \"%s\" there",
                     f->setting);
    sg_redis_batch_clear(batch);
    if (rc != 0)
        go_down(f, &err);
    else if (f->subscribed && !f->closing)
        go_up(f);
    release(f);
}

/* What the reply to CONFIG GET says: 0 = enough is notified, 1 = f->setting must be set. */
static int
read_setting(struct events_follower *f, struct sg_err *err)
{
    const struct redisReply *r = f->batch.replies[0];
    char lacking[8];

    if (f->batch.rc != 0) {
        *err = f->batch.err;
        return -1;
    }
    if (r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
        r->element[1]->type != REDIS_REPLY_STRING)
        return sg_fail(err, SG_E_DENIED, f->store->url.name,
                       "changes cannot be followed: the server does not let Segue read " SETTING
                       "; allow CONFIG GET, and set it to \"" NEEDED "\" or more");
    if (strcmp(sg_redis_run_id(f->store->redis), f->run_id) != 0)
        return sg_fail(err, SG_E_UNAVAILABLE, f->store->url.name,
                       "the subscription and the data connection are at different servers");
    missing_flags(r->element[1]->str, lacking);
    snprintf(f->setting, sizeof f->setting, "%.20s%s", r->element[1]->str, lacking);
    return lacking[0] != '\0';
}

static void
get_done(struct sg_redis_batch *batch)
{
    struct events_follower *f = sg_container_of(batch, struct events_follower, batch);
    struct sg_slice setting;
    struct sg_err err;
    int rc = read_setting(f, &err);

    f->batch_busy = false;
    sg_redis_batch_clear(batch);
    if (f->closing || !f->subscribed) {
        release(f);
        return;
    }
    if (rc == 0)
        go_up(f);
    else if (rc < 0) {
        /* An unread setting is no proof that a standing stream broke. */
        if (!f->up)
            go_down(f, &err);
    } else {
        if (f->up) {
            sg_fail(&err, SG_E_UNAVAILABLE, f->store->url.name,
                    "somebody took classes out of " SETTING ": changes were missed");
            go_down(f, &err);
        }
        setting = sg_str(f->setting);
        memset(&f->batch, 0, sizeof f->batch);
        sg_redis_store_add(&f->batch, "CONFIG SET " SETTING " %", &setting);
        submit(f, set_done);
    }
}

static void
check(struct events_follower *f)
{
    if (!f->subscribed || f->batch_busy || f->closing)
        return;
    memset(&f->batch, 0, sizeof f->batch);
    sg_redis_store_add(&f->batch, "CONFIG GET " SETTING, NULL);
    submit(f, get_done);
}

static void
on_timer(uv_timer_t *timer)
{
    check(timer->data);
}

/* ---- the subscription ---- */

static void
on_up(void *ctx, const char *run_id)
{
    struct events_follower *f = ctx;

    f->subscribed = true;
    snprintf(f->run_id, sizeof f->run_id, "%s", run_id);
    check(f);
}

static void
on_down(void *ctx, const struct sg_err *err)
{
    struct events_follower *f = ctx;

    f->subscribed = false;
    go_down(f, err);
}

static enum sg_legacy_change
change_of(struct sg_slice event)
{
    static const struct {
        const char *event;
        enum sg_legacy_change change;
    } t[] = {
        {"del", SG_CHANGE_DELETED},          {"expired", SG_CHANGE_EXPIRED},
        {"evicted", SG_CHANGE_EVICTED},      {"rename_from", SG_CHANGE_RENAMED_FROM},
        {"rename_to", SG_CHANGE_RENAMED_TO},
    };
    size_t i;

    for (i = 0; i < sizeof t / sizeof t[0]; i++)
        if (sg_slice_eq(event, sg_str(t[i].event)))
            return t[i].change;
    return SG_CHANGE_SET; /* set, expire, persist, append, …: reading it tells */
}

static void
on_message(void *ctx, struct sg_slice channel, struct sg_slice event)
{
    struct events_follower *f = ctx;
    size_t skip = strlen(f->channel);
    struct sg_slice key;

    if (!f->up || !sg_slice_starts(channel, f->channel))
        return;
    key = sg_slice(channel.ptr + skip, channel.len - skip);
    if (sg_slice_eq(key, sg_str(f->store->heartbeat))) {
        if (sg_slice_eq(event, sg_str("set")))
            f->events.change(f->events.ctx, SG_CHANGE_HEARTBEAT, sg_str(f->store->realm));
        return;
    }
    if (sg_slice_starts(key, f->store->prefix) && !sg_slice_starts(key, SG_REDIS_OWN_KEYS))
        f->events.change(f->events.ctx, change_of(event), key);
}

static int
subscribe(struct events_follower *f, struct sg_err *err)
{
    struct sg_buf keys = SG_BUF_INIT(512), heartbeat = SG_BUF_INIT(512);
    const char *patterns[] = {NULL, NULL, NULL};
    const struct sg_redis_subscriber_events events = {
        .up = on_up, .message = on_message, .down = on_down, .ctx = f};
    int rc;

    sg_buf_puts(&keys, f->channel);
    sg_redis_store_glob(&keys, f->store->prefix);
    sg_buf_puts(&keys, "*");
    sg_buf_puts(&heartbeat, f->channel);
    sg_redis_store_glob(&heartbeat, f->store->heartbeat);
    patterns[0] = keys.ptr;
    /* Where the prefix takes it in already, a second pattern would tell it twice. */
    if (!sg_slice_starts(sg_str(f->store->heartbeat), f->store->prefix))
        patterns[1] = heartbeat.ptr;
    if (keys.failed || heartbeat.failed)
        rc = sg_fail(err, SG_E_INTERNAL, f->store->url.name, "no memory for the patterns");
    else
        rc = sg_redis_subscribe(f->store->loop, f->store->clock, &f->store->options, patterns,
                                &events, &f->subscriber, err);
    sg_buf_free(&keys);
    sg_buf_free(&heartbeat);
    return rc;
}

static void
on_timer_closed(uv_handle_t *handle)
{
    struct events_follower *f = handle->data;

    f->open_handles--;
    release(f);
}

static void
on_subscriber_closed(void *ctx)
{
    struct events_follower *f = ctx;

    f->open_handles--;
    release(f);
}

static void
unfollow(struct sg_legacy_follower *base, void (*closed)(void *ctx), void *ctx)
{
    struct events_follower *f = sg_container_of(base, struct events_follower, base);

    f->closing = true;
    f->closed = closed;
    f->closed_ctx = ctx;
    uv_close((uv_handle_t *)&f->timer, on_timer_closed);
    sg_redis_subscriber_close(f->subscriber, on_subscriber_closed, f);
    if (f->batch_busy)
        sg_redis_cancel(&f->batch);
}

int
sg_redis_store_follow_events(struct sg_redis_store *store,
                             const struct sg_legacy_follow_events *events,
                             struct sg_legacy_follower **out, struct sg_err *err)
{
    struct events_follower *f = calloc(1, sizeof *f);

    if (f == NULL)
        return sg_fail(err, SG_E_INTERNAL, "legacy store", "no memory");
    f->base.unfollow = unfollow;
    f->store = store;
    f->events = *events;
    snprintf(f->channel, sizeof f->channel, "__keyspace@%d__:", f->store->url.database);
    if (subscribe(f, err) != 0) {
        free(f);
        return -1;
    }
    uv_timer_init(f->store->loop, &f->timer);
    f->timer.data = f;
    uv_timer_start(&f->timer, on_timer, CHECK_MS, CHECK_MS);
    f->open_handles = 2;
    *out = &f->base;
    return 0;
}
