/* SPDX-License-Identifier: MIT */
/* Changes by keyspace events: one connection subscribes, the other reads what a change left. An
 * event says only that a key changed, and nothing is kept for who was away; so a sentinel key tells
 * a flush, which sends no event, and a heartbeat key that events come, and how late. */
#include "source/redis_keys.h"
#include "source/source_redis.h"

#include "base/clock.h"
#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define POLL_MS 1000
#define SILENT_BEATS 3 /* heartbeats without an event, and the events are broken */
#define KEEP_MS "86400000"
#define POSITION "live"

struct pending {
    struct sg_slice key; /* stands in reply */
    redisReply *reply;
    const char *why; /* it may be gone */
};

struct follower {
    struct sg_redis_source *s;
    struct sg_source_follow *follow;
    struct sg_redis_conn *events;
    char channel[40]; /* "__keyspace@0__:", and the key behind it */
    char sentinel[48], heartbeat[48];
    int64_t next_beat_ms, beat_ms; /* of the monotonic clock */
    bool beating;                  /* a heartbeat was sent and has not been heard */
    bool quiet;                    /* no event waits to be read */
    int poll_ms;
    struct pending *pending;
    int n, max;
};

static int64_t
now_ms(void)
{
    return (int64_t)(sg_mono_ns(sg_clock_system()) / SG_NS_PER_MS);
}

/* ---- what the server must be told to tell ---- */

static int
check_config(struct follower *f, struct sg_err *err)
{
    static const char needed[] = "Kg$lshzxe";
    struct sg_redis_conn *c = f->s->conn;
    redisReply *r;
    const char *has;
    size_t i;
    int rc = 0;

    sg_redis_conn_add(c, "CONFIG GET notify-keyspace-events", NULL);
    if (sg_redis_conn_send(c, err) != 0 || sg_redis_conn_next(c, &r, err) != 0)
        return -1;
    /* Where CONFIG is not allowed the heartbeat's event must do. */
    if (r->type == REDIS_REPLY_ARRAY && r->elements == 2 &&
        r->element[1]->type == REDIS_REPLY_STRING) {
        has = r->element[1]->str;
        for (i = 0; needed[i] != '\0' && rc == 0; i++)
            if (strchr(has, needed[i]) == NULL && (needed[i] == 'K' || strchr(has, 'A') == NULL))
                rc = sg_fail(err, SG_E_INVALID, c->url.name,
                             "notify-keyspace-events lacks '%c': on the server, CONFIG SET "
                             "notify-keyspace-events KA",
                             needed[i]);
    }
    freeReplyObject(r);
    return rc;
}

/* Confirms come one for each pattern, before any message. */
static int
take_confirms(struct follower *f, int n, struct sg_err *err)
{
    redisReply *r;
    int rc = 0;

    for (; n > 0 && rc == 0; n--) {
        if (sg_redis_conn_next(f->events, &r, err) != 0)
            return -1;
        if (r->type != REDIS_REPLY_ARRAY)
            rc = sg_redis_conn_refused(f->events, "PSUBSCRIBE", r, err);
        freeReplyObject(r);
    }
    return rc;
}

/* By the names of keys, so that the server sends nothing of others. */
static int
subscribe(struct follower *f, struct sg_err *err)
{
    const char *const *c = f->follow->collections;
    struct sg_buf pattern = SG_BUF_INIT(4096);
    struct sg_slice args[2] = {sg_str("PSUBSCRIBE")};
    int n, rc;

    snprintf(f->channel, sizeof f->channel, "__keyspace@%d__:", f->s->conn->url.database);
    if (sg_redis_source_connect(f->s, &f->events, err) != 0)
        return -1;
    for (n = 0;; n++) {
        sg_buf_reset(&pattern);
        sg_buf_puts(&pattern, f->channel);
        sg_redis_keys_glob(c[n] != NULL ? c[n] : f->heartbeat, &pattern);
        args[1] = sg_buf_slice(&pattern);
        sg_redis_conn_add_args(f->events, args, 2);
        if (c[n] == NULL)
            break;
    }
    sg_buf_free(&pattern);
    rc = sg_redis_conn_send(f->events, err) != 0 ? -1 : take_confirms(f, n + 1, err);
    if (rc == 0 && strcmp(f->events->run_id, f->s->conn->run_id) != 0)
        rc = sg_fail(err, SG_E_UNAVAILABLE, f->events->url.name,
                     "two connections reached two servers");
    return rc;
}

/* ---- beats ---- */

static int
set_sentinel(struct follower *f, struct sg_err *err)
{
    uint8_t random[8];
    char id[17];
    struct sg_slice key;
    redisReply *r;
    int i;

    sg_random(random, sizeof random);
    for (i = 0; i < 8; i++)
        snprintf(id + 2 * i, 3, "%02x", random[i]);
    snprintf(f->sentinel, sizeof f->sentinel, SG_REDIS_OWN_KEYS "source:%s", id);
    snprintf(f->heartbeat, sizeof f->heartbeat, SG_REDIS_OWN_KEYS "beat:%s", id);
    key = sg_str(f->sentinel);
    if (sg_redis_conn_ask(f->s->conn, "SET % 1 PX " KEEP_MS, &key, REDIS_REPLY_STATUS, &r, err) !=
        0)
        return -1;
    freeReplyObject(r);
    return 0;
}

static int
send_beat(struct follower *f, struct sg_err *err)
{
    struct sg_slice sentinel = sg_str(f->sentinel), beat = sg_str(f->heartbeat);
    redisReply *r;
    bool there;

    if (sg_redis_conn_ask(f->s->conn, "PEXPIRE % " KEEP_MS, &sentinel, REDIS_REPLY_INTEGER, &r,
                          err) != 0)
        return -1;
    there = r->integer == 1;
    freeReplyObject(r);
    f->beat_ms = now_ms();
    f->beating = true;
    if (sg_redis_conn_ask(f->s->conn, "SET % 1 PX 60000", &beat, REDIS_REPLY_STATUS, &r, err) != 0)
        return -1;
    freeReplyObject(r);
    if (!there)
        return sg_fail(err, SG_E_CONFLICT, f->s->conn->url.name,
                       "the database was emptied: everything must be read again");
    return 0;
}

static int
hear_beat(struct follower *f, struct sg_err *err)
{
    f->beating = false;
    f->s->staleness_ms = now_ms() - f->beat_ms;
    snprintf(f->follow->position, sizeof f->follow->position, POSITION);
    return f->follow->change(f->follow->ctx, SG_SOURCE_BEAT, NULL, NULL, f->follow->position, err);
}

/* ---- changes ---- */

static int
tell(void *ctx, const struct sg_source_record *records, int n, struct sg_err *err)
{
    struct follower *f = ctx;
    int i, k;

    for (i = 0; i < n; i++) {
        struct sg_source_record r = records[i];
        bool gone = r.doc == NULL && r.odd == NULL;
        const char *const *c;

        for (k = 0; gone && k < f->n; k++)
            if (sg_slice_eq(f->pending[k].key, r.key))
                r.odd = f->pending[k].why;
        for (c = f->follow->collections; *c != NULL; c++)
            if (sg_redis_keys_match(*c, r.key) &&
                f->follow->change(f->follow->ctx, gone ? SG_SOURCE_DELETE : SG_SOURCE_PUT, *c, &r,
                                  POSITION, err) != 0)
                return -1;
    }
    return 0;
}

static int
tell_pending(struct follower *f, struct sg_err *err)
{
    struct sg_slice *keys;
    int i, rc;

    if (f->n == 0)
        return 0;
    if ((keys = calloc((size_t)f->n, sizeof *keys)) == NULL)
        return sg_fail(err, SG_E_INTERNAL, f->s->conn->url.name, "out of memory");
    for (i = 0; i < f->n; i++)
        keys[i] = f->pending[i].key;
    rc = sg_redis_source_load(f->s, keys, f->n, true, tell, f, err);
    free(keys);
    for (i = 0; i < f->n; i++)
        freeReplyObject(f->pending[i].reply);
    f->n = 0;
    return rc;
}

static bool
wanted(const struct follower *f, struct sg_slice key)
{
    const char *const *c;

    for (c = f->follow->collections; *c != NULL; c++)
        if (sg_redis_keys_match(*c, key))
            return !sg_slice_starts(key, SG_REDIS_OWN_KEYS);
    return false;
}

/* One message, whose reply is kept while its key waits to be read. */
static int
take_event(struct follower *f, redisReply *r, bool *kept, struct sg_err *err)
{
    struct sg_slice channel, key, event;
    int i;

    *kept = false;
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 4 ||
        r->element[2]->type != REDIS_REPLY_STRING || r->element[3]->type != REDIS_REPLY_STRING)
        return r->type == REDIS_REPLY_ERROR ? sg_redis_conn_refused(f->events, "PSUBSCRIBE", r, err)
                                            : 0;
    channel = sg_slice(r->element[2]->str, (size_t)r->element[2]->len);
    event = sg_slice(r->element[3]->str, (size_t)r->element[3]->len);
    if (!sg_slice_starts(channel, f->channel))
        return 0;
    key = sg_slice(channel.ptr + strlen(f->channel), channel.len - strlen(f->channel));
    if (sg_slice_eq(key, sg_str(f->heartbeat)) && sg_slice_eq(event, sg_str("set")))
        /* Every change before it is told first. */
        return tell_pending(f, err) != 0 ? -1 : hear_beat(f, err);
    if (!wanted(f, key))
        return 0;
    i = f->n > 0 && sg_slice_eq(f->pending[f->n - 1].key, key) ? f->n - 1 : f->n;
    if (i == f->n) {
        f->pending[f->n++] = (struct pending){.key = key, .reply = r};
        *kept = true;
    }
    f->pending[i].why = sg_slice_eq(event, sg_str("expired"))   ? "expired"
                        : sg_slice_eq(event, sg_str("evicted")) ? "evicted"
                                                                : NULL;
    return 0;
}

/* What has come, up to as many keys as are read at once. */
static int
take_events(struct follower *f, struct sg_err *err)
{
    int64_t left = f->next_beat_ms - now_ms();
    int wait_ms = left < 0 ? 0 : (int)left;
    struct sg_err why;
    bool kept;

    f->quiet = false;
    while (f->n < f->max) {
        redisReply *r;
        int rc;

        if (sg_redis_conn_wait(f->events, wait_ms, &r, &why) != 0) {
            f->quiet = why.code == SG_E_TIMEOUT;
            if (f->quiet)
                break;
            *err = why;
            return -1;
        }
        rc = take_event(f, r, &kept, err);
        if (!kept)
            freeReplyObject(r);
        if (rc != 0)
            return -1;
        wait_ms = 0;
        if (now_ms() >= f->next_beat_ms)
            break;
    }
    return tell_pending(f, err);
}

static int
run(struct follower *f, struct sg_err *err)
{
    f->next_beat_ms = now_ms();
    for (;;) {
        if (now_ms() >= f->next_beat_ms) {
            f->next_beat_ms = now_ms() + f->poll_ms;
            if (!f->beating && send_beat(f, err) != 0)
                return -1;
            if (f->quiet && now_ms() - f->beat_ms > (int64_t)SILENT_BEATS * f->poll_ms)
                return sg_fail(err, SG_E_UNAVAILABLE, f->s->conn->url.name,
                               "no keyspace event comes: on the server, CONFIG SET "
                               "notify-keyspace-events KA; the user needs the channels "
                               "__keyspace*");
        }
        if (take_events(f, err) != 0)
            return -1;
    }
}

static void
clear(struct follower *f)
{
    int i;

    for (i = 0; i < f->n; i++)
        freeReplyObject(f->pending[i].reply);
    free(f->pending);
    sg_redis_conn_close(f->events);
}

int
sg_redis_source_follow(struct sg_source *base, struct sg_source_follow *follow, struct sg_err *err)
{
    struct sg_redis_source *s = sg_container_of(base, struct sg_redis_source, base);
    struct follower f = {.s = s, .follow = follow, .max = s->options.batch_records};
    int rc;

    if (follow->position[0] != '\0')
        return sg_fail(err, SG_E_CONFLICT, "redis",
                       "keyspace events are not kept for who was away: read everything again");
    if (sg_redis_source_ready(s, err) != 0)
        return -1;
    if (s->conn->replica)
        return sg_fail(err, SG_E_INVALID, s->conn->url.name,
                       "heartbeats are written: following needs the primary's URL");
    f.poll_ms = s->options.poll_ms > 0 ? s->options.poll_ms : POLL_MS;
    f.pending = calloc((size_t)f.max, sizeof *f.pending);
    if (f.pending == NULL)
        return sg_fail(err, SG_E_INTERNAL, s->conn->url.name, "out of memory");
    rc = check_config(&f, err) != 0 || set_sentinel(&f, err) != 0 || subscribe(&f, err) != 0
             ? -1
             : run(&f, err);
    clear(&f);
    return sg_redis_source_end(s, rc);
}
