/* SPDX-License-Identifier: MIT */
#include "transfer/scan.h"

#include "base/fault.h"
#include "transfer/record.h"

#include <stdio.h>
#include <stdlib.h>

#define IN_FLIGHT 2
#define PAGE_BYTES (6 << 20) /* of keys and values: what one call to the store takes */
#define PAGE_TIMEOUT_MS 10000
#define STEP_TIMEOUT_MS 10000
#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS 2000

enum page_state { FREE, STORING, RETRYING, STORED, POSITIONING };

struct page {
    struct sg_scan *scan;
    enum page_state state;
    struct sg_load *load;
    int64_t chunk;
    char next_cursor[sizeof((struct sg_legacy_scan *)0)->cursor];
};

struct sg_scan {
    const struct sg_bridge *bridge;
    struct sg_scan_options options;
    struct sg_legacy_scan request;
    uint64_t asked_ns; /* it */
    bool reading, read_all, stopping, over, told_trouble;
    char run_id[48]; /* a cursor means nothing to another server process */
    int64_t next_chunk;
    int page_keys;
    char cursor[sizeof((struct sg_legacy_scan *)0)->cursor]; /* of the page that is read */
    struct page pages[IN_FLIGHT];                            /* chunk n in pages[n % IN_FLIGHT] */
    int64_t next_position;                                   /* chunk */
    uv_timer_t retry;
    int retry_ms;
    int rc;
    struct sg_err err;
    struct sg_scan_counts counts;
};

static void advance(struct sg_scan *s);
static void on_retry(uv_timer_t *timer);
static void read_page(struct sg_scan *s);

static void
free_now(uv_handle_t *handle)
{
    struct sg_scan *s = handle->data;

    free(s);
}

void
sg_scan_free(struct sg_scan *s)
{
    if (s == NULL)
        return;
    uv_close((uv_handle_t *)&s->retry, free_now);
}

const struct sg_scan_counts *
sg_scan_counted(const struct sg_scan *s)
{
    return &s->counts;
}

static void
give_up(struct sg_scan *s, const struct sg_err *err)
{
    if (s->rc == 0)
        s->err = *err;
    s->rc = -1;
    s->stopping = true;
}

static void
try_again_later(struct sg_scan *s, const struct sg_err *err)
{
    if (!s->told_trouble && s->options.trouble != NULL)
        s->options.trouble(s->options.ctx, err);
    s->told_trouble = true;
    if (uv_is_active((uv_handle_t *)&s->retry))
        return;
    s->retry_ms = s->retry_ms == 0 ? RETRY_FIRST_MS : s->retry_ms * 2;
    if (s->retry_ms > RETRY_LAST_MS)
        s->retry_ms = RETRY_LAST_MS;
    uv_timer_start(&s->retry, on_retry, (uint64_t)s->retry_ms, 0);
}

static void
succeeded(struct sg_scan *s)
{
    s->retry_ms = 0;
    s->told_trouble = false;
}

/* ---- storing ---- */

static void
on_stored(void *ctx, struct sg_load *load)
{
    struct page *p = ctx;
    struct sg_scan *s = p->scan;
    struct sg_load_counts c = sg_load_counted(load);
    struct sg_err err;

    if (sg_load_result(load, &err) != 0) {
        p->state = RETRYING;
        if (!s->stopping)
            try_again_later(s, &err);
        advance(s);
        return;
    }
    succeeded(s);
    p->state = STORED;
    s->counts.stored += c.stored;
    s->counts.anonymous += c.anonymous;
    s->counts.rejected += c.rejected;
    s->counts.refused += c.refused;
    sg_load_free(p->load);
    p->load = NULL;
    advance(s);
}

static void
store(struct page *p)
{
    struct sg_scan *s = p->scan;
    const struct sg_load_options options = {
        .job = s->options.job,
        .chunk = s->options.chunk >= 0 ? p->chunk : -1,
        .timeout_ms = STEP_TIMEOUT_MS,
        .done = on_stored,
        .ctx = p,
    };

    p->state = STORING;
    sg_load_start(p->load, &options);
    advance(s);
}

/* ---- reading ---- */

static const char *
known_reject(const struct sg_legacy_item *item)
{
    if (item->wrong_type)
        return SG_REJECT_TYPE;
    return item->key.len > SG_LEGACY_KEY_MAX ? SG_REJECT_KEY : NULL;
}

static int
fill(struct sg_scan *s, struct page *p, struct sg_err *err)
{
    int i;

    if (sg_load_new(s->bridge, s->request.n_items, &p->load, err) != 0)
        return -1;
    sg_load_asked_at(p->load, s->asked_ns);
    for (i = 0; i < s->request.n_items; i++) {
        const struct sg_legacy_item *item = &s->request.items[i];

        if (item->value.ptr == NULL && !item->wrong_type)
            continue; /* gone since the scan named it */
        s->counts.read++;
        if (sg_load_add(p->load, item->key, item->value, item->ttl_ms, known_reject(item), err) !=
            0)
            return -1;
    }
    return 0;
}

static int
take_page(struct sg_scan *s, struct page *p, struct sg_err *err)
{
    const char *run_id = s->request.proof.run_id;
    int rc;

    if (s->run_id[0] == '\0')
        snprintf(s->run_id, sizeof s->run_id, "%s", run_id);
    if (strcmp(s->run_id, run_id) != 0)
        return sg_fail(err, SG_E_CONFLICT, s->bridge->realm,
                       "the legacy store was restarted during the scan");
    rc = fill(s, p, err);
    if (rc != 0 || sg_load_count(p->load) == 0) {
        sg_load_free(p->load);
        p->load = NULL;
    }
    return rc;
}

/* Large records: the same page again with fewer keys. */
static bool
too_large(struct sg_scan *s)
{
    size_t bytes = 0;
    int i;

    for (i = 0; s->request.rc == 0 && i < s->request.n_items; i++)
        bytes += s->request.items[i].key.len + s->request.items[i].value.len;
    if (s->page_keys == 1 ||
        (s->request.rc == 0 ? bytes <= PAGE_BYTES : s->request.err.code != SG_E_LIMIT))
        return false;
    s->page_keys = s->page_keys / 4 > 1 ? s->page_keys / 4 : 1;
    return true;
}

static void
on_page(struct sg_legacy_scan *request)
{
    struct sg_scan *s = sg_container_of(request, struct sg_scan, request);
    struct page *p = &s->pages[s->next_chunk % IN_FLIGHT];
    struct sg_err err;

    s->reading = false;
    if (!s->stopping && too_large(s)) {
        sg_legacy_scan_clear(request);
        read_page(s);
        return;
    }
    if (request->rc != 0) {
        if (!s->stopping && request->err.retryable)
            try_again_later(s, &request->err);
        else
            give_up(s, &request->err);
    } else if (sg_fault("transfer.after_read")) {
        sg_fail(&err, SG_E_UNAVAILABLE, "fault", "transfer.after_read");
        give_up(s, &err);
    } else if (take_page(s, p, &err) != 0) {
        give_up(s, &err);
    } else {
        succeeded(s);
        p->chunk = s->next_chunk++;
        p->state = p->load != NULL ? STORING : STORED;
        memcpy(p->next_cursor, request->cursor, sizeof p->next_cursor);
        memcpy(s->cursor, request->cursor, sizeof s->cursor);
        s->page_keys =
            s->page_keys * 2 < s->options.page_keys ? s->page_keys * 2 : s->options.page_keys;
        s->read_all = strcmp(request->cursor, "0") == 0;
    }
    sg_legacy_scan_clear(request);
    if (p->state == STORING)
        store(p);
    else
        advance(s);
}

static void
read_page(struct sg_scan *s)
{
    s->reading = true;
    s->request.page_keys = s->page_keys;
    memcpy(s->request.cursor, s->cursor, sizeof s->request.cursor);
    s->request.deadline_ns = sg_bridge_deadline(s->bridge, PAGE_TIMEOUT_MS);
    s->request.done = on_page;
    s->asked_ns = sg_mono_ns(s->bridge->clock);
    s->bridge->legacy->type->scan(s->bridge->legacy, &s->request);
}

/* ---- the state of it all ---- */

void
sg_scan_positioned(struct sg_scan *s)
{
    struct page *p = &s->pages[s->next_position % IN_FLIGHT];

    p->state = FREE;
    s->next_position++;
    if (sg_fault("transfer.after_position")) {
        struct sg_err err;

        sg_fail(&err, SG_E_UNAVAILABLE, "fault", "transfer.after_position");
        give_up(s, &err);
    }
    advance(s);
}

static void
position_oldest(struct sg_scan *s)
{
    struct page *p = &s->pages[s->next_position % IN_FLIGHT];

    while (p->state == STORED && p->chunk == s->next_position) {
        p->state = POSITIONING;
        if (s->options.position != NULL) {
            s->options.position(s->options.ctx, p->next_cursor, p->chunk + 1);
            return;
        }
        p->state = FREE;
        s->next_position++;
        p = &s->pages[s->next_position % IN_FLIGHT];
    }
}

static bool
in_flight(const struct sg_scan *s)
{
    int i;
    bool any = s->reading;

    for (i = 0; i < IN_FLIGHT; i++)
        any |= s->stopping ? s->pages[i].state == STORING || s->pages[i].state == POSITIONING
                           : s->pages[i].state != FREE;
    return any;
}

static void
end(struct sg_scan *s)
{
    int i;

    s->over = true;
    uv_timer_stop(&s->retry);
    for (i = 0; i < IN_FLIGHT; i++) {
        sg_load_free(s->pages[i].load);
        s->pages[i].load = NULL;
    }
    s->options.done(s->options.ctx, s->rc, &s->err);
}

static void
advance(struct sg_scan *s)
{
    if (s->over)
        return;
    position_oldest(s);
    if (!s->stopping && !s->reading && !s->read_all && !uv_is_active((uv_handle_t *)&s->retry) &&
        s->pages[s->next_chunk % IN_FLIGHT].state == FREE)
        read_page(s);
    if ((s->stopping || s->read_all) && !in_flight(s))
        end(s);
}

static void
on_retry(uv_timer_t *timer)
{
    struct sg_scan *s = sg_container_of(timer, struct sg_scan, retry);
    int i;

    for (i = 0; i < IN_FLIGHT && !s->stopping; i++)
        if (s->pages[i].state == RETRYING)
            store(&s->pages[i]);
    advance(s);
}

void
sg_scan_stop(struct sg_scan *s)
{
    struct sg_err err;

    if (s->over)
        return;
    sg_fail(&err, SG_E_CANCELLED, s->bridge->realm, "the scan was stopped");
    give_up(s, &err);
    uv_timer_start(&s->retry, on_retry, 0, 0); /* done never comes from within a call */
}

int
sg_scan_start(const struct sg_bridge *bridge, const struct sg_scan_options *options,
              struct sg_scan **out, struct sg_err *err)
{
    struct sg_scan *s = calloc(1, sizeof *s);
    int i;

    if (s == NULL)
        return sg_fail(err, SG_E_INTERNAL, bridge->realm, "out of memory");
    s->bridge = bridge;
    s->options = *options;
    s->next_chunk = s->next_position = options->chunk >= 0 ? options->chunk : 0;
    for (i = 0; i < IN_FLIGHT; i++)
        s->pages[i].scan = s;
    s->page_keys = options->page_keys;
    snprintf(s->cursor, sizeof s->cursor, "%s", options->cursor);
    uv_timer_init(bridge->loop, &s->retry);
    s->retry.data = s;
    read_page(s);
    *out = s;
    return 0;
}
