/* SPDX-License-Identifier: MIT */
#include "session/logout.h"

#include "base/fault.h"
#include "keys/digest.h"
#include "store/sealed.h"

#include <stdlib.h>

#define STORE_MS 5000
#define LEGACY_MS 500 /* then the outbox carries it */

struct legacy_end {
    struct sg_legacy_request request;
    struct sg_logout *logout;
};

/* A page of sessions at a time. */
struct sg_logout_state {
    struct sg_subject_end page;
    struct sg_end_row refs[SG_SESSION_PAGE_MAX];
    struct legacy_end ends[SG_SESSION_PAGE_MAX];
    int n_ends, under_way;
};

static uint64_t
deadline(const struct sg_logout *l, int64_t ms)
{
    return sg_mono_ns(l->clock) + (uint64_t)ms * SG_NS_PER_MS;
}

static void
finish(struct sg_logout *l, int rc, const struct sg_err *err)
{
    sg_subject_end_clear(&l->state->page);
    explicit_bzero(l->state, sizeof *l->state); /* it held keys of the legacy store */
    free(l->state);
    l->state = NULL;
    l->rc = rc;
    if (rc != 0)
        l->err = *err;
    l->done(l);
}

static void step_end(struct sg_logout *l);

static void
page_over(struct sg_logout *l)
{
    struct sg_subject_end *page = &l->state->page;

    sg_subject_end_clear(page);
    if (!page->more) {
        finish(l, 0, NULL);
        return;
    }
    page->again = true;
    step_end(l);
}

/* ---- step 3: the legacy records ---- */

static void
legacy_ended(struct sg_legacy_request *request)
{
    struct legacy_end *e = sg_container_of(request, struct legacy_end, request);

    sg_legacy_request_clear(request); /* failed: the outbox has it */
    if (--e->logout->state->under_way == 0)
        page_over(e->logout);
}

static void
add_key(struct sg_logout *l, const struct sg_ended_session *s)
{
    struct sg_buf key = SG_BUF_INIT(SG_LEGACY_KEY_MAX);
    struct legacy_end *e = &l->state->ends[l->state->n_ends];

    if (s->handle.len > 0 &&
        sg_open_handle(l->ring, l->realm, s->sid, sg_buf_slice(&s->handle), &key, NULL) == 0) {
        *e = (struct legacy_end){.logout = l};
        e->request.op = SG_LEGACY_END;
        snprintf(e->request.key, sizeof e->request.key, "%s", key.ptr);
        e->request.deadline_ns = deadline(l, LEGACY_MS);
        e->request.done = legacy_ended;
        l->state->n_ends++;
    }
    sg_buf_wipe(&key);
}

static void
step_legacy(struct sg_logout *l)
{
    struct sg_logout_state *s = l->state;
    int i;

    s->n_ends = 0;
    for (i = 0; i < s->page.n_rows && l->mirror; i++)
        add_key(l, &s->page.rows[i]);
    s->under_way = s->n_ends;
    if (s->n_ends == 0) {
        page_over(l);
        return;
    }
    for (i = 0; i < s->n_ends; i++)
        l->legacy->type->submit(l->legacy, &s->ends[i].request);
}

/* ---- step 2: tombstones, so that nothing can be exchanged for their tokens once the rows are
 * swept ---- */

static void
refs_ended(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_logout *l = ctx;

    if (rc != 0)
        finish(l, rc, err);
    else
        step_legacy(l);
}

static void
step_refs(struct sg_logout *l)
{
    struct sg_logout_state *s = l->state;
    int i, n = 0;

    for (i = 0; i < s->page.n_rows && !l->codec->reuses_ids; i++) {
        const struct sg_ended_session *e = &s->page.rows[i];
        struct sg_end_row *row = &s->refs[n];

        if (!e->has_digest)
            continue;
        *row = (struct sg_end_row){.realm = l->realm,
                                   .has_digest = true,
                                   .subject = l->subject,
                                   .reason = l->reason,
                                   .tombstone_ref = true};
        memcpy(row->digest, e->digest, sizeof row->digest);
        row->digest_bucket =
            (int)sg_bucket(sg_str(l->realm), sg_slice((const char *)e->digest, SG_DIGEST_BYTES));
        n++;
    }
    if (n == 0)
        step_legacy(l);
    else
        sg_store_end_sessions(l->store, s->refs, n, deadline(l, STORE_MS), refs_ended, l);
}

/* ---- step 1: epoch and sessions, in one transaction ---- */

static void
rows_ended(void *ctx, int rc, const struct sg_err *err)
{
    struct sg_logout *l = ctx;

    if (rc != 0) {
        finish(l, rc, err);
        return;
    }
    sg_fault("logout.after_rows");
    l->ended += l->state->page.n_rows;
    l->epoch = l->state->page.epoch;
    step_refs(l);
}

static void
step_end(struct sg_logout *l)
{
    sg_store_end_subject(l->store, &l->state->page, deadline(l, STORE_MS), rows_ended, l);
}

void
sg_logout(struct sg_logout *l)
{
    l->ended = 0;
    l->state = calloc(1, sizeof *l->state);
    if (l->state == NULL)
        abort(); /* done could never be called */
    l->state->page =
        (struct sg_subject_end){.realm = l->realm,
                                .bucket = (int)sg_bucket(sg_str(l->realm), sg_str(l->subject)),
                                .subject = l->subject,
                                .reason = l->reason,
                                .mirror = l->mirror,
                                .lock = l->lock};
    step_end(l);
}
