/* SPDX-License-Identifier: MIT */
#include "base/fault.h"
#include "session/grant_internal.h"
#include "store/sealed.h"

/* ---- step 6: read the legacy record again; a logout that came meanwhile wins ---- */

static void
reread(struct truth *t)
{
    struct grant *g = sg_container_of(t, struct grant, truth);

    switch (t->presence) {
    case TRUTH_SUBJECT:
        if (strcmp(t->record.subject, g->subject) == 0) {
            sg_fault("exchange.before_answer");
            grant_step_mint(g);
        } else
            grant_finish(g, GRANT_NOBODY, "changed during the exchange");
        break;
    case TRUTH_GONE:
        grant_end_absent(g);
        break;
    case TRUTH_ANONYMOUS:
    case TRUTH_UNDECODABLE:
    case TRUTH_UNPROVEN:
        grant_finish(g, GRANT_NOBODY, "changed during the exchange");
        break;
    case TRUTH_DOWN:
        grant_unavailable(g, &t->err);
        break;
    }
}

void
exchange_step_reread(struct grant *g)
{
    sg_fault("exchange.before_reread");
    truth_clear(&g->truth);
    truth_read(&g->truth, g->realm, g->key, g->legacy_wait_ms, reread);
}

/* ---- step 3: token_ref, which gives the generation and with it the sid ---- */

static void
previous_ended(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;

    if (rc != 0)
        grant_unavailable(g, err);
    else
        grant_step_session(g);
}

/* The record now names another subject than before: that subject's session is over (rule 2). */
static void
end_previous(struct grant *g)
{
    struct sg_realm *r = g->realm;
    struct sg_hash digest;
    struct sg_sid sid;

    memcpy(digest.b, g->digest, sizeof digest.b);
    sid = sg_session_id(&r->digest_key, &digest, sg_str(g->ref.previous_subject),
                        (uint64_t)g->ref.previous_generation);
    g->end = (struct sg_end_row){
        .realm = r->config->name,
        .has_sid = true,
        .sid_bucket =
            (int)(g->ref.previous_subject[0] != '\0'
                      ? sg_bucket(sg_str(r->config->name), sg_str(g->ref.previous_subject))
                      : sg_bucket(sg_str(r->config->name),
                                  sg_slice((char *)g->digest, SG_DIGEST_BYTES))),
        .subject = g->ref.previous_subject,
        .reason = "subject-changed"};
    memcpy(g->end.sid, sid.b, sizeof g->end.sid);
    sg_store_end_sessions(r->engine->store, &g->end, 1, grant_deadline(g), previous_ended, g);
}

static int
seal_legacy(struct grant *g)
{
    const struct sg_keyring *ring = g->realm->engine->options.ring;
    const char *realm = g->realm->config->name;

    return sg_seal_handle(ring, realm, g->sid, sg_str(g->key), &g->handle, &g->err) != 0 ||
                   sg_seal_record(ring, realm, g->sid, sg_buf_slice(&g->truth.value), &g->record,
                                  &g->err) != 0
               ? -1
               : 0;
}

static void
ref_put(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;
    struct sg_hash digest;
    struct sg_sid sid;

    if (rc != 0) {
        grant_unavailable(g, err);
        return;
    }
    sg_fault("exchange.after_ref");
    if (g->ref.ended) {
        g->realm->counters.refused_ended++;
        grant_finish(g, GRANT_NOBODY, "ended");
        return;
    }
    g->generation = g->ref.generation;
    memcpy(digest.b, g->digest, sizeof digest.b);
    sid =
        sg_session_id(&g->realm->digest_key, &digest, sg_str(g->subject), (uint64_t)g->generation);
    memcpy(g->sid, sid.b, sizeof g->sid);
    if (seal_legacy(g) != 0) {
        grant_finish(g, GRANT_UNAVAILABLE, "seal");
        return;
    }
    if (g->ref.previous_generation >= 0)
        end_previous(g);
    else
        previous_ended(g, 0, NULL);
}

void
exchange_step_ref(struct grant *g)
{
    grant_put_ref(g, g->subject, ref_put);
}

/* ---- step 1 of the exchange: the legacy record ---- */

static void
legacy_read(struct truth *t)
{
    struct grant *g = sg_container_of(t, struct grant, truth);

    switch (t->presence) {
    case TRUTH_SUBJECT:
        g->light = g->light && strcmp(g->subject, t->record.subject) == 0;
        snprintf(g->subject, sizeof g->subject, "%s", t->record.subject);
        g->bucket = (int)sg_bucket(sg_str(g->realm->config->name), sg_str(g->subject));
        g->idle_ms = t->record.idle_ms;
        g->ttl_ms = t->ttl_ms;
        sg_fault("exchange.after_read");
        grant_step_identity(g);
        break;
    case TRUTH_ANONYMOUS:
    case TRUTH_UNDECODABLE:
        grant_finish(g, GRANT_ANONYMOUS, "anonymous");
        break;
    case TRUTH_GONE:
    case TRUTH_UNPROVEN:
        grant_finish(g, GRANT_NOBODY, "no such session");
        break;
    case TRUTH_DOWN:
        grant_unavailable(g, &t->err);
        break;
    }
}

void
grant_from_legacy(struct grant *g, const char *key)
{
    struct sg_hash digest = sg_store_key_digest(&g->realm->digest_key, sg_str(key));

    g->from_legacy = true;
    g->proof_ns = sg_mono_ns(g->realm->engine->clock);
    g->has_digest = true;
    memcpy(g->digest, digest.b, sizeof g->digest);
    snprintf(g->key, sizeof g->key, "%s", key);
    g->realm->engine->open_ops++;
    truth_read(&g->truth, g->realm, key, g->legacy_wait_ms, legacy_read);
}
