/* SPDX-License-Identifier: MIT */
#include "session/grant_internal.h"

void
grant_put_ref(struct grant *g, const char *subject, sg_store_done done)
{
    const char *realm = g->realm->config->name;

    g->ref = (struct sg_ref_row){
        .realm = realm,
        .bucket = (int)sg_bucket(sg_str(realm), sg_slice((const char *)g->digest, SG_DIGEST_BYTES)),
        .subject = subject,
        .reuses_ids = g->realm->codec->reuses_ids};
    memcpy(g->ref.digest, g->digest, sizeof g->ref.digest);
    sg_store_put_refs(g->realm->engine->store, &g->ref, 1, grant_deadline(g), done, g);
}

static void
ended(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;

    if (rc != 0)
        grant_unavailable(
            g, err); /* nothing is handed out; whoever comes next finds the same and ends it */
    else
        grant_finish(g, GRANT_NOBODY, "ended");
}

static void
end_it(struct grant *g, const char *reason, bool tombstone_ref, bool mirror)
{
    g->realm->counters.ended++;
    g->end = (struct sg_end_row){.realm = g->realm->config->name,
                                 .has_digest = g->has_digest,
                                 .has_sid = true,
                                 .sid_bucket = g->bucket,
                                 .subject = g->subject,
                                 .reason = reason,
                                 .mirror = mirror,
                                 .tombstone_ref = tombstone_ref};
    memcpy(g->end.digest, g->digest, sizeof g->end.digest);
    memcpy(g->end.sid, g->sid, sizeof g->end.sid);
    g->end.digest_bucket = (int)sg_bucket(sg_str(g->realm->config->name),
                                          sg_slice((char *)g->digest, SG_DIGEST_BYTES));
    sg_store_end_sessions(g->realm->engine->store, &g->end, 1, grant_deadline(g), ended, g);
}

void
grant_end_absent(struct grant *g)
{
    end_it(g, "absent", !g->realm->codec->reuses_ids, false);
}

void
grant_end_behind_logout(struct grant *g)
{
    end_it(g, "logout-everywhere", g->has_digest && !g->realm->codec->reuses_ids,
           g->has_digest && grant_rules(g)->mirror);
}

static void
displaced(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;

    if (rc != 0)
        grant_unavailable(g, err);
    else
        end_it(g, g->ref.subject[0] != '\0' ? "subject-changed" : "anonymous", false, false);
}

void
grant_end_displaced(struct grant *g)
{
    grant_put_ref(g, g->truth.record.subject, displaced);
}
