/* SPDX-License-Identifier: MIT */
#include "redis/link.h"

#include <stdlib.h>

#define PING_EVERY_MS 200
#define PONG_WITHIN_NS (1000 * SG_NS_PER_MS)
#define MAX_PATTERNS 16

struct sg_redis_subscriber {
    struct sg_redis_link link;
    struct sg_redis_subscriber_events events;
    char *patterns[MAX_PATTERNS];
    int n_patterns;
    int confirmed;      /* of the patterns; all = up was called */
    bool told;          /* down was called for this outage */
    uint64_t pinged_ns; /* 0: no answer is due */
    uv_timer_t timer;
    int open_handles;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void
on_timer(uv_timer_t *timer)
{
    struct sg_redis_subscriber *s = timer->data;
    struct sg_slice ping = sg_str("PING");
    uint64_t now = sg_mono_ns(s->link.clock), since;

    sg_redis_link_start(&s->link); /* at the first turn */
    if (s->link.state != SG_REDIS_LINK_READY)
        return;
    if (s->pinged_ns == 0) {
        s->pinged_ns = now;
        sg_redis_encode(&s->link.out, &ping, 1);
        sg_redis_link_flush(&s->link);
        return;
    }
    since = s->pinged_ns > s->link.last_input_ns ? s->pinged_ns : s->link.last_input_ns;
    if (now - since >= PONG_WITHIN_NS)
        sg_redis_link_drop(&s->link, SG_E_UNAVAILABLE, "the server stopped answering");
}

static void
on_up(struct sg_redis_link *link)
{
    struct sg_redis_subscriber *s = sg_container_of(link, struct sg_redis_subscriber, link);
    struct sg_slice args[MAX_PATTERNS + 1] = {sg_str("PSUBSCRIBE")};
    int i;

    for (i = 0; i < s->n_patterns; i++)
        args[i + 1] = sg_str(s->patterns[i]);
    s->confirmed = 0;
    s->pinged_ns = sg_mono_ns(link->clock); /* the confirmations are due like a pong */
    sg_redis_encode(&link->out, args, s->n_patterns + 1);
    sg_redis_link_flush(link);
}

static bool
is_text(const redisReply *r, const char *text)
{
    return r->type == REDIS_REPLY_STRING && sg_slice_eq(sg_slice(r->str, r->len), sg_str(text));
}

static void
take(struct sg_redis_subscriber *s, const redisReply *r)
{
    size_t n = r->type == REDIS_REPLY_ARRAY ? r->elements : 0;

    if (n == 3 && is_text(r->element[0], "psubscribe")) {
        if (++s->confirmed < s->n_patterns)
            return;
        s->pinged_ns = 0;
        s->told = false;
        s->events.up(s->events.ctx, s->link.run_id);
    } else if (n == 4 && is_text(r->element[0], "pmessage") &&
               r->element[2]->type == REDIS_REPLY_STRING &&
               r->element[3]->type == REDIS_REPLY_STRING) {
        if (s->confirmed == s->n_patterns)
            s->events.message(s->events.ctx, sg_slice(r->element[2]->str, r->element[2]->len),
                              sg_slice(r->element[3]->str, r->element[3]->len));
    } else if (n == 2 && is_text(r->element[0], "pong")) {
        s->pinged_ns = 0;
    } else {
        sg_redis_link_drop(&s->link, SG_E_UNAVAILABLE,
                           r->type == REDIS_REPLY_ERROR ? "the server refused to subscribe"
                                                        : "an answer that nothing asked for");
    }
}

static void
on_reply(struct sg_redis_link *link, redisReply *reply)
{
    take(sg_container_of(link, struct sg_redis_subscriber, link), reply);
    freeReplyObject(reply);
}

static void
on_down(struct sg_redis_link *link, const struct sg_err *err)
{
    struct sg_redis_subscriber *s = sg_container_of(link, struct sg_redis_subscriber, link);

    s->confirmed = 0;
    s->pinged_ns = 0;
    if (!s->told) {
        s->told = true;
        s->events.down(s->events.ctx, err);
    }
}

static void
free_subscriber(struct sg_redis_subscriber *s)
{
    int i;

    for (i = 0; i < s->n_patterns; i++)
        free(s->patterns[i]);
    free(s);
}

static void
handle_closed(struct sg_redis_subscriber *s)
{
    if (--s->open_handles > 0)
        return;
    if (s->closed != NULL)
        s->closed(s->closed_ctx);
    free_subscriber(s);
}

static void
on_link_closed(struct sg_redis_link *link)
{
    handle_closed(sg_container_of(link, struct sg_redis_subscriber, link));
}

static void
on_timer_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

int
sg_redis_subscribe(uv_loop_t *loop, const struct sg_clock *clock,
                   const struct sg_redis_options *options, const char *const *patterns,
                   const struct sg_redis_subscriber_events *events,
                   struct sg_redis_subscriber **out, struct sg_err *err)
{
    struct sg_redis_subscriber *s = calloc(1, sizeof *s);
    int i;

    if (s == NULL)
        return sg_fail(err, SG_E_INTERNAL, options->name, "out of memory");
    for (i = 0; patterns[i] != NULL; i++) {
        if (i == MAX_PATTERNS || (s->patterns[i] = strdup(patterns[i])) == NULL) {
            free_subscriber(s);
            return sg_fail(err, SG_E_LIMIT, options->name, "more than %d patterns", MAX_PATTERNS);
        }
        s->n_patterns++;
    }
    if (s->n_patterns == 0) {
        free_subscriber(s);
        return sg_fail(err, SG_E_INVALID, options->name, "no pattern to subscribe to");
    }
    if (sg_redis_link_init(&s->link, loop, clock, options, err) != 0) {
        free_subscriber(s);
        return -1;
    }
    s->events = *events;
    s->link.up = on_up;
    s->link.reply = on_reply;
    s->link.down = on_down;
    s->link.closed = on_link_closed;
    s->open_handles = 2;
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    uv_timer_start(&s->timer, on_timer, 0, PING_EVERY_MS);
    *out = s;
    return 0;
}

void
sg_redis_subscriber_close(struct sg_redis_subscriber *s, void (*closed)(void *ctx), void *ctx)
{
    s->closed = closed;
    s->closed_ctx = ctx;
    sg_redis_link_close(&s->link);
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}
