/* SPDX-License-Identifier: MIT */
#include "session/introspect.h"

#include "base/encode.h"
#include "keys/refresh.h"
#include "session/grant.h"

#include <stdlib.h>

struct looking {
    struct sg_realm *realm;
    const char *client_id;
    struct sg_refresh_read read;
    sg_refresh_done done;
    void *ctx;
};

static void
finish(struct looking *l, enum sg_refresh_status status, const char *subject)
{
    struct sg_buf session = SG_BUF_INIT(64);
    struct sg_refresh_about about = {.status = status,
                                     .audience = l->read.audience,
                                     .scope = l->read.scope,
                                     .subject = subject,
                                     .issued_sec = l->read.issued_sec,
                                     .expires_sec = l->read.expires_sec};

    sg_b64url_add(&session, sg_slice((const char *)l->read.sid, SG_SID_BYTES));
    about.session = session.ptr;
    l->done(l->ctx, &about);
    sg_buf_free(&session);
    free(l);
}

/* It lives no longer than its session. */
static void
session_judged(struct grant *g)
{
    finish(g->owner,
           g->outcome == GRANT_NO_TOKEN      ? SG_REFRESH_ACTIVE
           : g->outcome == GRANT_UNAVAILABLE ? SG_REFRESH_UNKNOWABLE
                                             : SG_REFRESH_INACTIVE,
           g->subject);
}

static void
token_read(void *ctx, int rc, const struct sg_err *err)
{
    struct looking *l = ctx;
    struct grant *g;

    l->realm->engine->open_ops--;
    if (rc != 0) {
        if (err->code == SG_E_NOT_OWNER)
            control_reread_map(l->realm->engine);
        finish(l, SG_REFRESH_UNKNOWABLE, "");
    } else if (!l->read.found || !l->read.current || strcmp(l->read.client_id, l->client_id) != 0) {
        finish(l, SG_REFRESH_INACTIVE, "");
    } else if ((g = grant_new(l->realm)) == NULL) {
        finish(l, SG_REFRESH_UNKNOWABLE, "");
    } else {
        g->want = WANT_JUDGE;
        g->client_id = l->client_id;
        g->audience = l->realm->config->audiences[0];
        g->done = session_judged;
        g->owner = l;
        grant_from_session(g, l->read.sid, l->read.bucket);
    }
}

bool
sg_refresh_introspect(struct sg_realm *realm, struct sg_slice token, const char *client_id,
                      sg_refresh_done done, void *ctx)
{
    struct sg_engine *e = realm->engine;
    struct sg_refresh refresh;
    struct sg_refresh_about down = {.status = SG_REFRESH_UNKNOWABLE};
    struct looking *l;
    struct sg_hash digest;

    if (sg_refresh_parse(token, &refresh, NULL) != 0)
        return false;
    l = realm_is_known(realm) ? calloc(1, sizeof *l) : NULL;
    if (l == NULL) {
        done(ctx, &down);
        return true;
    }
    *l = (struct looking){.realm = realm, .client_id = client_id, .done = done, .ctx = ctx};
    digest = sg_refresh_digest(&realm->digest_key, sg_str(refresh.text));
    l->read.realm = realm->config->name;
    l->read.bucket = (int)refresh.bucket;
    memcpy(l->read.digest, digest.b, sizeof l->read.digest);
    explicit_bzero(&refresh, sizeof refresh);
    e->open_ops++;
    sg_store_get_refresh(e->store, &l->read, engine_deadline(e, OP_TIMEOUT_MS), token_read, l);
    return true;
}
