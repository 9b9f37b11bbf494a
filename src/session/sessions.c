/* SPDX-License-Identifier: MIT */
#include "session/sessions.h"

#include "session/end.h"
#include "session/logout.h"

#include <stdlib.h>

struct asked {
    struct sg_realm *realm;
    sg_sessions_done done;
    void *ctx;
    char subject[SG_SUBJECT_MAX + 1];
    struct sg_session_read read;
    struct sg_logout logout;
};

static struct asked *
asked_new(struct sg_realm *realm, const char *subject, sg_sessions_done done, void *ctx)
{
    struct asked *a = realm_is_known(realm) ? calloc(1, sizeof *a) : NULL;

    if (a == NULL) {
        done(ctx, SG_SESSIONS_UNAVAILABLE, "starting, or short of memory");
        return NULL;
    }
    a->realm = realm;
    a->done = done;
    a->ctx = ctx;
    snprintf(a->subject, sizeof a->subject, "%s", subject);
    realm->engine->open_ops++;
    return a;
}

static void
finish(struct asked *a, enum sg_sessions_status status, const char *why)
{
    a->realm->engine->open_ops--;
    a->done(a->ctx, status, why);
    sg_session_read_clear(&a->read);
    free(a);
}

static void
finish_by(struct asked *a, int rc, const struct sg_err *err)
{
    if (rc != 0 && err->code == SG_E_NOT_OWNER) {
        a->realm->counters.not_owner++;
        control_reread_map(a->realm->engine);
    }
    if (rc != 0)
        finish(a, SG_SESSIONS_UNAVAILABLE, sg_code_name(err->code));
    else
        finish(a, SG_SESSIONS_OK, "");
}

static void
done_by_store(void *ctx, int rc, const struct sg_err *err)
{
    finish_by(ctx, rc, err);
}

static int
bucket_of(const struct sg_realm *r, const char *subject)
{
    return (int)sg_bucket(sg_str(r->config->name), sg_str(subject));
}

void
sg_sessions_list(struct sg_realm *realm, struct sg_sessions_page *page, sg_sessions_done done,
                 void *ctx)
{
    struct asked *a = asked_new(realm, page->subject, done, ctx);
    struct sg_engine *e = realm->engine;

    if (a == NULL)
        return;
    page->realm = realm->config->name;
    page->bucket = bucket_of(realm, page->subject);
    sg_store_page_sessions(e->store, page, engine_deadline(e, OP_TIMEOUT_MS), done_by_store, a);
}

static void
session_read(void *ctx, int rc, const struct sg_err *err)
{
    struct asked *a = ctx;

    if (rc != 0)
        finish_by(a, rc, err);
    else if (!a->read.found || strcmp(a->read.subject, a->subject) != 0)
        finish(a, SG_SESSIONS_NOT_FOUND, "there is no such session of yours");
    else
        end_session(a->realm, a->read.sid, a->read.bucket, "logout", done_by_store, a);
}

void
sg_sessions_end(struct sg_realm *realm, const char *subject, const uint8_t sid[SG_SID_BYTES],
                sg_sessions_done done, void *ctx)
{
    struct asked *a = asked_new(realm, subject, done, ctx);
    struct sg_engine *e = realm->engine;

    if (a == NULL)
        return;
    a->read.realm = realm->config->name;
    a->read.bucket = bucket_of(realm, subject);
    memcpy(a->read.sid, sid, sizeof a->read.sid);
    sg_store_get_sessions(e->store, &a->read, 1, engine_deadline(e, OP_TIMEOUT_MS), session_read,
                          a);
}

static void
logged_out(struct sg_logout *l)
{
    struct asked *a = l->ctx;
    struct sg_realm *r = a->realm;
    int64_t until = sg_wall_ms(r->engine->clock) + r->config->token.lifetime_ms +
                    r->config->token.leeway_ms + 60000;

    r->counters.ended += (uint64_t)l->ended;
    /* This loop need not wait for its own feed, which brings the same. Roles: older than any. */
    if (l->rc == 0 &&
        sg_revoked_add_subject(r->revoked, a->subject, false, l->epoch, INT64_MIN, sg_str("{}"),
                               sg_str("{}"), sg_str(""), until, NULL) != 0)
        r->revoked_full = true;
    finish_by(a, l->rc, &l->err);
}

void
sg_sessions_end_all(struct sg_realm *realm, const char *subject, sg_sessions_done done, void *ctx)
{
    struct asked *a = asked_new(realm, subject, done, ctx);
    struct sg_engine *e = realm->engine;

    if (a == NULL)
        return;
    a->logout = (struct sg_logout){.clock = e->clock,
                                   .store = e->store,
                                   .legacy = realm->legacy,
                                   .codec = realm->codec,
                                   .ring = e->options.ring,
                                   .realm = realm->config->name,
                                   .reason = "logout-everywhere",
                                   .mirror = sg_phase_rules(realm->policy.phase)->mirror,
                                   .done = logged_out,
                                   .ctx = a};
    snprintf(a->logout.subject, sizeof a->logout.subject, "%s", subject);
    sg_logout(&a->logout);
}
