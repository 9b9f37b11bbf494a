/* SPDX-License-Identifier: MIT */
#include "session/grant_internal.h"
#include "store/sealed.h"

static void
held(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;

    if (rc != 0)
        grant_unavailable(g, err);
    else if (g->hold.held_for_ms > g->realm->config->legacy.absence_hold_ms) {
        sg_fail(&g->err, SG_E_UNAVAILABLE, g->realm->config->name,
                "the session is absent from the legacy store without proof, longer than "
                "absence_hold: decide with `segue transfer resolve`");
        grant_finish(g, GRANT_UNAVAILABLE, "held");
    } else {
        g->realm->counters.held++;
        grant_step_identity(g);
    }
}

static void
hold(struct grant *g)
{
    g->hold = (struct sg_hold_row){.realm = g->realm->config->name, .bucket = g->bucket};
    if (g->read.held) {
        g->hold.held_for_ms = g->read.held_for_ms;
        held(g, 0, NULL);
        return;
    }
    memcpy(g->hold.sid, g->sid, sizeof g->hold.sid);
    sg_store_hold_sessions(g->realm->engine->store, &g->hold, 1, grant_deadline(g), held, g);
}

static void
renewal_truth(struct truth *t)
{
    struct grant *g = sg_container_of(t, struct grant, truth);

    if (g->lapsed && t->presence != TRUTH_SUBJECT && t->presence != TRUTH_DOWN) {
        grant_finish(g, GRANT_NOBODY, "expired");
        return;
    }
    switch (t->presence) {
    case TRUTH_SUBJECT:
        if (strcmp(t->record.subject, g->subject) != 0) {
            grant_end_displaced(g);
            break;
        }
        g->ttl_ms = t->ttl_ms;
        grant_step_identity(g);
        break;
    case TRUTH_ANONYMOUS: /* logged out in place */
        grant_end_displaced(g);
        break;
    case TRUTH_GONE:
        /* Held is the operator's, until it is found again: that nothing is lost now does not tell
         * what became of it then. */
        if (g->read.held) {
            hold(g);
            break;
        }
        /* One that merely expired is re-created by the mirror (rule 7). What the source said was
         * noted when its answer had come, so its word may end a little earlier; a logout in that
         * time is the capture's to tell. */
        if (g->read.exp_source_in_ms <= OP_TIMEOUT_MS)
            grant_step_identity(g);
        else
            grant_end_absent(g);
        break;
    case TRUTH_DOWN:
        /* PostgreSQL's copy answers for a session that holds a JWT already (rule 8), bounded by the
         * same hold: a logout there may not be seen here. */
        if (g->lapsed) {
            grant_unavailable(g, &t->err);
            break;
        }
        /* fall through */
    case TRUTH_UNDECODABLE:
    case TRUTH_UNPROVEN:
        hold(g);
        break;
    }
}

static void
session_read(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;
    struct sg_session_read *s = &g->read;
    struct sg_buf key = SG_BUF_INIT(SG_LEGACY_KEY_MAX);

    if (rc != 0) {
        grant_unavailable(g, err);
        return;
    }
    /* One that lapsed may have been touched by the app: while the source is the truth, it is asked.
     */
    g->lapsed = s->expires_in_ms <= 0;
    if (!s->found || s->ended || s->subject[0] == '\0' ||
        (g->lapsed && (!grant_rules(g)->legacy_is_truth || s->handle.len == 0))) {
        g->realm->counters.refused_ended++;
        grant_finish(g, GRANT_NOBODY,
                     !s->found  ? "no such session"
                     : s->ended ? "ended"
                                : "expired");
        return;
    }
    if (s->banned) {
        g->realm->counters.refused_banned++;
        grant_finish(g, GRANT_BANNED, "banned");
        return;
    }
    if (g->epoch_shown >= 0 && g->epoch_shown < s->epoch) {
        grant_finish(g, GRANT_NOBODY, "revoked"); /* the feed may be stale, or have forgotten it */
        return;
    }
    snprintf(g->subject, sizeof g->subject, "%s", s->subject);
    g->generation = s->generation;
    g->idle_ms = s->idle_ms > 0 ? s->idle_ms : g->realm->config->legacy.default_idle_ms;
    g->renewing = s->has_jwt;
    g->has_digest = s->has_store_digest;
    memcpy(g->digest, s->store_digest, sizeof g->digest);
    if (s->has_store_digest && s->handle.len > 0) {
        if (sg_open_handle(g->realm->engine->options.ring, g->realm->config->name, g->sid,
                           sg_buf_slice(&s->handle), &key, &g->err) != 0) {
            sg_buf_wipe(&key);
            grant_finish(g, GRANT_UNAVAILABLE, "seal");
            return;
        }
        snprintf(g->key, sizeof g->key, "%s", key.ptr);
        handle_put(g->realm, g->sid, g->key);
        sg_buf_wipe(&key);
    }
    if (g->key[0] != '\0' && grant_rules(g)->legacy_is_truth)
        truth_read(&g->truth, g->realm, g->key, g->legacy_wait_ms, renewal_truth);
    else
        grant_step_identity(g);
}

void
grant_from_session(struct grant *g, const uint8_t sid[SG_SID_BYTES], int bucket)
{
    memcpy(g->sid, sid, sizeof g->sid);
    g->bucket = bucket;
    g->read.realm = g->realm->config->name;
    g->read.bucket = bucket;
    memcpy(g->read.sid, sid, sizeof g->read.sid);
    g->realm->engine->open_ops++;
    sg_store_get_sessions(g->realm->engine->store, &g->read, 1, grant_deadline(g), session_read, g);
}
