/* SPDX-License-Identifier: MIT */
/* Changes by scanning again and again for what a field says is new: DynamoDB has no cheaper way but
 * its Streams, which are not built. */
#include "source/source_dynamo.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define POLL_MS 1000
#define SLICE_MS 100
#define TEXT_MAX 200 /* bytes of a field's value that orders changes */

/* The greatest value of the field that was seen in a table. */
struct last {
    bool there;
    struct sg_doc value;
    char text[TEXT_MAX]; /* of a string */
};

struct poll {
    struct sg_dynamo_source *s;
    struct sg_source_follow *follow;
    struct last *lasts; /* for each table */
    int n, now;         /* tables; the one that is being read */
    bool quiet;         /* nothing is told: only the greatest value is wanted */
};

static int64_t
now_ms(void)
{
    return (int64_t)(sg_mono_ns(sg_clock_system()) / SG_NS_PER_MS);
}

/* Numbers by value, texts by their bytes, as DynamoDB compares them. */
static bool
is_greater(const struct sg_doc *a, const struct sg_doc *b)
{
    size_t n = a->text.len < b->text.len ? a->text.len : b->text.len;
    int order;

    if (a->type == SG_DOC_STRING && b->type == SG_DOC_STRING) {
        order = n != 0 ? memcmp(a->text.ptr, b->text.ptr, n) : 0;
        return order > 0 || (order == 0 && a->text.len > b->text.len);
    }
    if (a->type == SG_DOC_STRING || b->type == SG_DOC_STRING)
        return false;
    if (a->type == SG_DOC_INT && b->type == SG_DOC_INT)
        return a->integer > b->integer;
    return (a->type == SG_DOC_INT ? (double)a->integer : a->real) >
           (b->type == SG_DOC_INT ? (double)b->integer : b->real);
}

/* Values of other types, and longer texts, order nothing. */
static void
note(struct last *last, const struct sg_doc *v)
{
    bool text = v != NULL && v->type == SG_DOC_STRING;

    if (v == NULL ||
        (text ? v->text.len > TEXT_MAX : v->type != SG_DOC_INT && v->type != SG_DOC_DOUBLE))
        return;
    if (last->there && !is_greater(v, &last->value))
        return;
    last->there = true;
    last->value = *v;
    if (text && v->text.len != 0) {
        memcpy(last->text, v->text.ptr, v->text.len);
        last->value.text.ptr = last->text;
    }
}

static int
take(void *ctx, const struct sg_source_record *records, int n, struct sg_err *err)
{
    struct poll *p = ctx;
    struct sg_source_follow *f = p->follow;
    int i;

    for (i = 0; i < n; i++) {
        if (!p->quiet && f->change(f->ctx, SG_SOURCE_PUT, f->collections[p->now], &records[i],
                                   f->position, err) != 0)
            return -1;
        if (records[i].doc != NULL)
            note(&p->lasts[p->now], sg_doc_get(records[i].doc, sg_str(p->s->poll_field)));
    }
    return 0;
}

/* Every table once. What is told meanwhile counts from where the round began. */
static int
read_round(struct poll *p, struct sg_err *err)
{
    for (p->now = 0; p->now < p->n; p->now++) {
        struct last since = p->lasts[p->now];
        struct sg_dynamo_scan scan = {.segments = 1,
                                      .since = since.there && !p->quiet ? &since.value : NULL};
        char position[SG_SOURCE_PIECE_MAX] = "";

        if (since.value.type == SG_DOC_STRING)
            since.value.text.ptr = since.text;
        if (sg_dynamo_learn(p->s, p->follow->collections[p->now], err) != 0 ||
            sg_dynamo_scan_all(p->s, &scan, position, take, p, err) != 0)
            return -1;
    }
    return 0;
}

/* {TABLE: value, …} as DynamoDB writes it. */
static int
keep_position(struct poll *p, struct sg_err *err)
{
    struct sg_buf text = SG_BUF_INIT(sizeof p->follow->position - 1);
    struct sg_doc all = {.type = SG_DOC_OBJECT};
    int i, rc;

    if ((all.members = calloc((size_t)p->n + 1, sizeof *all.members)) == NULL)
        return sg_fail(err, SG_E_INTERNAL, sg_dynamo_name(p->s->dynamo), "out of memory");
    for (i = 0; i < p->n; i++)
        if (p->lasts[i].there)
            all.members[all.n++] =
                (struct sg_doc_member){sg_str(p->follow->collections[i]), p->lasts[i].value};
    rc = sg_doc_to_dynamo(&all, &text, err);
    if (rc == 0)
        memcpy(p->follow->position, text.ptr, text.len + 1);
    free(all.members);
    sg_buf_free(&text);
    return rc;
}

static int
take_position(struct poll *p, struct sg_err *err)
{
    struct sg_arena *arena;
    struct sg_doc typed, all;
    int i, rc;

    if (sg_arena_new(1 << 20, &arena, err) != 0)
        return -1;
    rc = sg_doc_from_json(arena, sg_str(p->follow->position), &typed, err) != 0 ||
                 sg_doc_from_dynamo(arena, &typed, &all, err) != 0
             ? sg_fail(err, SG_E_INVALID, sg_dynamo_name(p->s->dynamo),
                       "not a position of this source")
             : 0;
    for (i = 0; i < p->n && rc == 0; i++)
        note(&p->lasts[i], sg_doc_get(&all, sg_str(p->follow->collections[i])));
    sg_arena_free(arena);
    return rc;
}

static void
sleep_until(struct poll *p, int64_t until)
{
    while (!sg_dynamo_stopped(p->s->dynamo) && now_ms() < until) {
        int64_t left = until - now_ms();
        struct timespec t = {0, (left < SLICE_MS ? left : SLICE_MS) * 1000000};

        nanosleep(&t, NULL);
    }
}

static int
run(struct poll *p, struct sg_err *err)
{
    int poll_ms = p->s->options.poll_ms > 0 ? p->s->options.poll_ms : POLL_MS;
    int64_t before = now_ms(), asked;

    for (;;) {
        asked = now_ms();
        if (read_round(p, err) != 0 || keep_position(p, err) != 0)
            return -1;
        /* A change right behind one round's place is told by the next. */
        p->s->staleness_ms = now_ms() - before;
        before = asked;
        if (p->follow->change(p->follow->ctx, SG_SOURCE_BEAT, NULL, NULL, p->follow->position,
                              err) != 0)
            return -1;
        sleep_until(p, asked + poll_ms);
        if (sg_dynamo_stopped(p->s->dynamo))
            return sg_fail(err, SG_E_CANCELLED, sg_dynamo_name(p->s->dynamo), "stopped");
    }
}

int
sg_dynamo_follow(struct sg_source *base, struct sg_source_follow *follow, struct sg_err *err)
{
    struct poll p = {.s = sg_container_of(base, struct sg_dynamo_source, base), .follow = follow};
    int rc;

    if (p.s->poll_field == NULL)
        return sg_fail(err, SG_E_INVALID, sg_dynamo_name(p.s->dynamo),
                       "DynamoDB tells no changes: name a field that every change raises, to be "
                       "polled, or compare whole scans");
    while (follow->collections[p.n] != NULL)
        p.n++;
    if ((p.lasts = calloc((size_t)p.n + 1, sizeof *p.lasts)) == NULL)
        return sg_fail(err, SG_E_INTERNAL, sg_dynamo_name(p.s->dynamo), "out of memory");
    if (follow->position[0] != '\0') {
        rc = take_position(&p, err);
    } else {
        p.quiet = true;
        rc = read_round(&p, err) != 0 ? -1 : keep_position(&p, err);
        p.quiet = false;
    }
    if (rc == 0)
        rc = run(&p, err);
    free(p.lasts);
    return rc;
}
