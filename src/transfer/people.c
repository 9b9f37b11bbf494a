/* SPDX-License-Identifier: MIT */
#include "transfer/people.h"

#include "keys/digest.h"
#include "session/identities.h"

#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_FIRST_MS 50
#define BACKOFF_LAST_MS 1000
#define TIMEOUT_MS 5000
#define REMEMBERED 4096
#define ARRAY_BYTES (2 * SG_NAMES_BYTES + 4 * SG_ROLES_MAX)

struct sg_people {
    const struct sg_bridge *bridge;
    struct sg_people_events events;
    struct sg_identity_source *source;
    struct sg_identity_changes changes;
    char cursor[sizeof((struct sg_identity_changes *)0)->cursor]; /* everything before it is stored
                                                                   */
    struct sg_subject_row *rows;
    struct sg_buf *arrays; /* two a row */
    struct sg_hash *hashes;
    int n_rows;
    struct sg_hash remembered[REMEMBERED]; /* of what was stored lately, by subject */
    uv_timer_t timer;
    int wait_ms, failures;
    bool busy, in_trouble, caught_up, stopping;
    char told[sizeof((struct sg_err *)0)->text]; /* of an item that made no sense, last */
    int64_t stored;
    void (*stopped)(void *ctx);
    void *stopped_ctx;
    int open;
};

static void on_timer(uv_timer_t *timer);
static void release(struct sg_people *p);

static int
poll_ms(const struct sg_people *p)
{
    return (int)p->bridge->config->identity.poll_ms;
}

static void
next(struct sg_people *p, int rc, const struct sg_err *err, int wait_ms)
{
    p->busy = false;
    if (rc != 0) {
        p->failures++;
        p->wait_ms = p->failures < 6 ? BACKOFF_FIRST_MS << p->failures : BACKOFF_LAST_MS;
        if (p->wait_ms > BACKOFF_LAST_MS)
            p->wait_ms = BACKOFF_LAST_MS;
        if (p->wait_ms < wait_ms)
            p->wait_ms = wait_ms;
        if (!p->in_trouble && !p->stopping)
            p->events.trouble(p->events.ctx, err);
        p->in_trouble = true;
    } else {
        p->failures = 0;
        p->wait_ms = wait_ms;
        if (p->in_trouble)
            p->events.fine(p->events.ctx);
        p->in_trouble = false;
    }
    if (!p->stopping)
        uv_timer_start(&p->timer, on_timer, (uint64_t)p->wait_ms, 0);
    release(p);
}

static void
clear_rows(struct sg_people *p)
{
    int i;

    for (i = 0; p->arrays != NULL && i < 2 * p->n_rows; i++)
        sg_buf_free(&p->arrays[i]);
    free(p->rows);
    free(p->arrays);
    free(p->hashes);
    p->rows = NULL;
    p->arrays = NULL;
    p->hashes = NULL;
    p->n_rows = 0;
    sg_identity_changes_clear(&p->changes);
}

static struct sg_hash *
place_of(struct sg_people *p, const char *subject)
{
    return &p->remembered[sg_bucket(sg_str(p->bridge->realm), sg_str(subject)) % REMEMBERED];
}

static void
on_stored(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_people *p = ctx;
    /* A source that gives the same page for ever is asked no faster than any other. */
    bool more = p->changes.full && strcmp(p->cursor, p->changes.cursor) != 0;
    int i;

    for (i = 0; rc == 0 && i < p->n_rows; i++)
        *place_of(p, p->rows[i].subject) = p->hashes[i];
    if (rc == 0) {
        p->stored += p->n_rows;
        p->caught_up |= !more;
        memcpy(p->cursor, p->changes.cursor, sizeof p->cursor);
    }
    clear_rows(p);
    next(p, rc, err, more ? 0 : poll_ms(p));
}

/* Adds the subject unless it was stored just so. */
static void
add_row(struct sg_people *p, const struct sg_identity *who)
{
    struct sg_subject_row *row = &p->rows[p->n_rows];
    struct sg_buf *roles = &p->arrays[2 * p->n_rows], *permissions = roles + 1;
    struct sg_slice fields[6];
    char version[24];
    struct sg_hash hash;

    *roles = *permissions = SG_BUF_INIT(ARRAY_BYTES);
    sg_names_to_array(&who->roles, roles);
    sg_names_to_array(&who->permissions, permissions);
    snprintf(version, sizeof version, "%lld", (long long)who->version);
    fields[0] = sg_str(who->subject);
    fields[1] = sg_str(who->active ? "1" : "0");
    fields[2] = sg_buf_slice(roles);
    fields[3] = sg_buf_slice(permissions);
    fields[4] = sg_str(version);
    fields[5] = sg_str(who->attributes);
    hash = sg_hash_fields("segue.transfer.subject", fields, 6);
    if (memcmp(&hash, place_of(p, who->subject), sizeof hash) == 0) {
        sg_buf_free(roles);
        sg_buf_free(permissions);
        return;
    }
    row->realm = p->bridge->realm;
    row->bucket = (int)sg_bucket(sg_str(p->bridge->realm), sg_str(who->subject));
    row->subject = who->subject;
    row->active = who->active;
    row->roles = roles->ptr;
    row->permissions = permissions->ptr;
    row->attributes = who->attributes[0] != '\0' ? who->attributes : "{}";
    row->source_version = who->version;
    p->hashes[p->n_rows++] = hash;
}

/* Told once: the same items come again with each reading that cannot know they were given. */
static void
tell_refused(struct sg_people *p)
{
    if (p->changes.n_refused == 0 || strcmp(p->told, p->changes.refused.text) == 0)
        return;
    snprintf(p->told, sizeof p->told, "%s", p->changes.refused.text);
    p->events.refused(p->events.ctx, &p->changes.refused);
}

static void
on_changes(struct sg_identity_changes *changes)
{
    struct sg_people *p = sg_container_of(changes, struct sg_people, changes);
    struct sg_err err = changes->err;
    size_t n = (size_t)changes->n_items + 1;
    int i, rc = changes->rc;

    if (rc == 0 && !p->stopping) {
        p->rows = calloc(n, sizeof *p->rows);
        p->arrays = calloc(2 * n, sizeof *p->arrays);
        p->hashes = calloc(n, sizeof *p->hashes);
        if (p->rows == NULL || p->arrays == NULL || p->hashes == NULL)
            rc = sg_fail(&err, SG_E_INTERNAL, p->bridge->realm, "out of memory");
    }
    if (rc != 0 || p->stopping) {
        clear_rows(p);
        next(p, rc, &err, poll_ms(p));
        return;
    }
    tell_refused(p);
    for (i = 0; i < changes->n_items; i++)
        add_row(p, &changes->items[i]);
    if (p->n_rows == 0)
        on_stored(p, 0, NULL);
    else
        sg_store_put_subjects(p->bridge->store, p->rows, p->n_rows,
                              sg_bridge_deadline(p->bridge, TIMEOUT_MS), on_stored, p);
}

static void
on_timer(uv_timer_t *timer)
{
    struct sg_people *p = sg_container_of(timer, struct sg_people, timer);

    p->busy = true;
    memset(&p->changes, 0, sizeof p->changes);
    memcpy(p->changes.cursor, p->cursor, sizeof p->cursor);
    p->changes.deadline_ns = sg_bridge_deadline(p->bridge, TIMEOUT_MS);
    p->changes.done = on_changes;
    p->source->type->changes(p->source, &p->changes);
}

int
sg_people_start(const struct sg_bridge *bridge, const struct sg_people_events *events,
                struct sg_people **out, struct sg_err *err)
{
    struct sg_people *p;

    if (!identities_has_changes(bridge->config)) {
        *out = NULL;
        return 0;
    }
    if ((p = calloc(1, sizeof *p)) == NULL)
        return sg_fail(err, SG_E_INTERNAL, bridge->realm, "out of memory");
    p->bridge = bridge;
    p->events = *events;
    if (identities_open(bridge->loop, bridge->clock, bridge->config, bridge->store, &p->source,
                        err) != 0) {
        free(p);
        return -1;
    }
    uv_timer_init(bridge->loop, &p->timer);
    uv_timer_start(&p->timer, on_timer, 0, 0);
    p->open = 2;
    *out = p;
    return 0;
}

int64_t
sg_people_stored(const struct sg_people *p)
{
    return p->stored;
}

bool
sg_people_caught_up(const struct sg_people *p)
{
    return p->caught_up;
}

static void
part_closed(void *ctx)
{
    struct sg_people *p = ctx;
    void (*stopped)(void *) = p->stopped;
    void *stopped_ctx = p->stopped_ctx;

    if (--p->open > 0)
        return;
    free(p);
    stopped(stopped_ctx);
}

static void
timer_closed(uv_handle_t *handle)
{
    part_closed(sg_container_of((uv_timer_t *)handle, struct sg_people, timer));
}

static void
release(struct sg_people *p)
{
    if (!p->stopping || p->busy || uv_is_closing((uv_handle_t *)&p->timer))
        return;
    uv_close((uv_handle_t *)&p->timer, timer_closed);
    p->source->type->close(p->source, part_closed, p);
}

void
sg_people_stop(struct sg_people *p, void (*stopped)(void *ctx), void *ctx)
{
    p->stopping = true;
    p->stopped = stopped;
    p->stopped_ctx = ctx;
    uv_timer_stop(&p->timer);
    release(p);
}
