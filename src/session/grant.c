/* SPDX-License-Identifier: MIT */
#include "session/grant.h"

#include "base/fault.h"
#include "keys/refresh.h"
#include "store/sealed.h"

#include <stdlib.h>

struct grant *
grant_new(struct sg_realm *realm)
{
    struct grant *g = calloc(1, sizeof *g);

    if (g != NULL) {
        g->realm = realm;
        g->legacy_wait_ms = OP_TIMEOUT_MS;
        g->ttl_ms = g->epoch_shown = -1;
        g->handle = SG_BUF_INIT(SG_LEGACY_KEY_MAX + SG_SEAL_OVERHEAD);
        g->record = SG_BUF_INIT(SG_LEGACY_VALUE_MAX + SG_SEAL_OVERHEAD);
    }
    return g;
}

static void
finish(struct grant *g, enum grant_outcome outcome, const char *why)
{
    g->outcome = outcome;
    g->why = why;
    g->realm->engine->open_ops--;
    g->done(g);
    truth_clear(&g->truth);
    sg_session_read_clear(&g->read);
    sg_buf_free(&g->handle);
    sg_buf_free(&g->record);
    explicit_bzero(&g->minted, sizeof g->minted);
    explicit_bzero(g->refresh, sizeof g->refresh);
    free(g);
}

static void
unavailable(struct grant *g, const struct sg_err *err)
{
    g->err = *err;
    if (err->code == SG_E_NOT_OWNER) {
        g->realm->counters.not_owner++;
        control_reread_map(g->realm->engine);
    }
    finish(g, GRANT_UNAVAILABLE, sg_code_name(err->code));
}

static uint64_t
deadline(const struct grant *g)
{
    return engine_deadline(g->realm->engine, OP_TIMEOUT_MS);
}

static const struct sg_phase_rules *
rules(const struct grant *g)
{
    return sg_phase_rules(g->realm->policy.phase);
}

/* Says whose the key is in the legacy store; gives the generation. */
static void
put_ref(struct grant *g, const char *subject, sg_store_done done)
{
    const char *realm = g->realm->config->name;

    g->ref = (struct sg_ref_row){
        .realm = realm,
        .bucket = (int)sg_bucket(sg_str(realm), sg_slice((const char *)g->digest, SG_DIGEST_BYTES)),
        .subject = subject,
        .reuses_ids = g->realm->codec->reuses_ids};
    memcpy(g->ref.digest, g->digest, sizeof g->ref.digest);
    sg_store_put_refs(g->realm->engine->store, &g->ref, 1, deadline(g), done, g);
}

/* ---- ending what the source says has ended ---- */

static void
ended(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;

    if (rc != 0)
        unavailable(g,
                    err); /* nothing is handed out; whoever comes next finds the same and ends it */
    else
        finish(g, GRANT_NOBODY, "ended");
}

static void
end_it(struct grant *g, const char *reason, bool tombstone_ref)
{
    g->realm->counters.ended++;
    g->end = (struct sg_end_row){.realm = g->realm->config->name,
                                 .has_digest = g->has_digest,
                                 .has_sid = true,
                                 .sid_bucket = g->bucket,
                                 .subject = g->subject,
                                 .reason = reason,
                                 .tombstone_ref = tombstone_ref};
    memcpy(g->end.digest, g->digest, sizeof g->end.digest);
    memcpy(g->end.sid, g->sid, sizeof g->end.sid);
    g->end.digest_bucket = (int)sg_bucket(sg_str(g->realm->config->name),
                                          sg_slice((char *)g->digest, SG_DIGEST_BYTES));
    sg_store_end_sessions(g->realm->engine->store, &g->end, 1, deadline(g), ended, g);
}

static void
end_absent(struct grant *g)
{
    end_it(g, "absent", !g->realm->codec->reuses_ids);
}

static void
displaced(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;

    if (rc != 0)
        unavailable(g, err);
    else
        end_it(g, g->ref.subject[0] != '\0' ? "subject-changed" : "anonymous", false);
}

/* The record is somebody else's now, or nobody's. Its key stays good: a tombstone would lock out
 * whoever logs in on it next. The reference is moved first, so that a next login of the same
 * subject is a new generation. */
static void
end_displaced(struct grant *g)
{
    put_ref(g, g->truth.record.subject, displaced);
}

/* ---- step 7: mint ---- */

static struct sg_binding
binding_of(const struct grant *g)
{
    struct sg_binding none = {.text = ""};
    struct sg_hash digest;

    memcpy(digest.b, g->digest, sizeof digest.b);
    return g->has_digest ? sg_legacy_binding(&g->realm->digest_key, &digest) : none;
}

static void
step_mint(struct grant *g)
{
    struct sg_binding binding = binding_of(g);
    struct mint_request q = {.subject = g->subject,
                             .client_id = g->client_id,
                             .audience = g->audience,
                             .scope = g->scope,
                             .sid = g->sid,
                             .binding = binding.text,
                             .bucket = g->bucket,
                             .epoch = g->row.epoch,
                             .source_version = g->identity.version,
                             .roles = &g->identity.roles,
                             .permissions = &g->identity.permissions};

    q.lifetime_ms = mint_lifetime_ms(g->realm, g->idle_ms, g->row.absolute_in_ms);
    if (mint(g->realm, &q, &g->minted, &g->err) != 0) {
        if (g->err.code == SG_E_LIMIT)
            finish(g, GRANT_NO_TOKEN, "the token would be too large");
        else
            finish(g, GRANT_UNAVAILABLE, "mint");
        return;
    }
    if (g->renewing || g->row.has_jwt)
        g->realm->counters.minted_renewed++;
    else
        g->realm->counters.minted_first++;
    finish(g, GRANT_TOKEN, "minted");
}

/* ---- step 6: read the legacy record again; a logout that came meanwhile wins ---- */

static void
reread(struct truth *t)
{
    struct grant *g = sg_container_of(t, struct grant, truth);

    switch (t->presence) {
    case TRUTH_SUBJECT:
        if (strcmp(t->record.subject, g->subject) == 0) {
            sg_fault("exchange.before_answer");
            step_mint(g);
        } else
            finish(g, GRANT_NOBODY, "changed during the exchange");
        break;
    case TRUTH_GONE:
        end_absent(g);
        break;
    case TRUTH_ANONYMOUS:
    case TRUTH_UNDECODABLE:
    case TRUTH_UNPROVEN:
        finish(g, GRANT_NOBODY, "changed during the exchange");
        break;
    case TRUTH_DOWN:
        unavailable(g, &t->err);
        break;
    }
}

static void
step_reread(struct grant *g)
{
    sg_fault("exchange.before_reread");
    truth_clear(&g->truth);
    truth_read(&g->truth, g->realm, g->key, g->legacy_wait_ms, reread);
}

static void
refresh_put(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;

    if (rc != 0 && err->code == SG_E_DENIED)
        finish(g, GRANT_NOBODY, "ended");
    else if (rc != 0)
        unavailable(g, err);
    else if (g->from_legacy)
        step_reread(g);
    else
        step_mint(g);
}

static void
rotated(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;

    if (rc != 0) {
        unavailable(g, err);
        return;
    }
    sg_fault("refresh.after_rotate");
    if (g->rotate->outcome == SG_ROTATED || g->rotate->outcome == SG_ROTATED_GRACE)
        step_mint(g);
    else
        finish(g, GRANT_NOBODY, "the refresh token is no longer good");
}

/* ---- step 5: the first refresh token of a chain, for a client that asked for tokens ---- */

static void
step_refresh(struct grant *g)
{
    struct sg_refresh token;
    struct sg_buf scope = SG_BUF_INIT(SG_WORDS_BYTES);
    struct sg_refresh_new row = {.realm = g->realm->config->name,
                                 .bucket = g->bucket,
                                 .client_id = g->client_id,
                                 .audience = g->audience,
                                 .expires_in_ms = g->realm->config->refresh_lifetime_ms};
    struct sg_hash digest;

    if (g->rotate != NULL) {
        sg_store_rotate(g->realm->engine->store, g->rotate, deadline(g), rotated, g);
        return;
    }
    if (g->want != WANT_TOKENS) {
        refresh_put(g, 0, NULL);
        return;
    }
    sg_refresh_generate((unsigned)g->bucket, &token);
    snprintf(g->refresh, sizeof g->refresh, "%s", token.text);
    digest = sg_refresh_digest(&g->realm->digest_key, sg_str(token.text));
    memcpy(row.digest, digest.b, sizeof row.digest);
    memcpy(row.sid, g->sid, sizeof row.sid);
    sg_random(row.chain, sizeof row.chain);
    if (row.expires_in_ms > g->row.absolute_in_ms)
        row.expires_in_ms = g->row.absolute_in_ms;
    explicit_bzero(&token, sizeof token);
    if (g->scope != NULL)
        sg_buf_puts(&scope, g->scope);
    else
        mint_scope_of(g->realm, g->client_id, &scope);
    row.scope = scope.len > 0 ? scope.ptr : "";
    sg_store_put_refresh(g->realm->engine->store, &row, deadline(g), refresh_put, g);
    sg_buf_free(&scope);
}

/* ---- step 4: the session's row ---- */

static void session_put(void *ctx, int rc, const struct sg_err *err);

static void
put_session(struct grant *g, bool for_mint)
{
    struct sg_session_row *row = &g->row;
    int64_t lifetime = mint_lifetime_ms(g->realm, g->idle_ms, INT64_MAX);

    g->put_for_mint = for_mint;
    *row = (struct sg_session_row){
        .realm = g->realm->config->name,
        .bucket = g->bucket,
        .subject = g->subject,
        .generation = g->generation,
        .origin = g->born_here ? "segue" : "legacy",
        .client_id = g->client_id != NULL ? g->client_id : "",
        .has_store_digest = g->has_digest,
        .handle = sg_buf_slice(&g->handle),
        .record = sg_buf_slice(&g->record),
        .idle_ms = g->idle_ms,
        .exp_source_in_ms = g->ttl_ms,
        /* The token may be used to its end without a trace here; the idle time runs from there. */
        .exp_segue_in_ms = for_mint       ? g->idle_ms + lifetime
                           : g->born_here ? g->idle_ms
                                          : -1,
        .exp_absolute_in_ms = g->realm->config->session_absolute_ms,
        .jwt_until_in_ms = for_mint ? lifetime : -1,
        .mark_dirty = for_mint && rules(g)->mirror && g->has_digest,
        .seen_in_source = g->ttl_ms >= 0,
    };
    memcpy(row->sid, g->sid, sizeof row->sid);
    memcpy(row->store_digest, g->digest, sizeof row->store_digest);
    sg_store_put_sessions(g->realm->engine->store, row, 1, deadline(g), session_put, g);
}

/* What the policy says now that the session's history is known. */
static bool
may_mint(const struct grant *g)
{
    const struct sg_realm *r = g->realm;

    if (g->want == WANT_CHECK || !g->identity_known)
        return false;
    if (g->renewing || g->row.has_jwt)
        return true;
    return sg_may_mint_first(&r->policy, sg_realm_lease(r), sg_str(r->config->name),
                             sg_str(g->subject), g->identity.roles.name, g->identity.roles.n,
                             g->row.created_ms);
}

/* Observe: everything up to the answer, and a look whether the token would have been right; nothing
 * is handed over. */
static void
shadow(struct grant *g)
{
    struct sg_binding binding = binding_of(g);
    struct mint_request q = {.subject = g->subject,
                             .client_id = g->client_id,
                             .audience = g->audience,
                             .scope = g->scope,
                             .sid = g->sid,
                             .binding = binding.text,
                             .bucket = g->bucket,
                             .epoch = g->row.epoch,
                             .source_version = g->identity.version,
                             .roles = &g->identity.roles,
                             .permissions = &g->identity.permissions,
                             .lifetime_ms = mint_lifetime_ms(g->realm, g->idle_ms, INT64_MAX)};
    struct segue_verify_buf buf;
    struct segue_claims claims;

    g->realm->counters.minted_shadow++;
    if (mint(g->realm, &q, &g->minted, &g->err) != 0 ||
        mint_verify(g->realm, sg_slice(g->minted.token, g->minted.len), &buf, &claims) !=
            SEGUE_OK ||
        !sg_slice_eq(sg_slice(claims.sub.ptr, claims.sub.len), sg_str(g->subject)))
        g->realm->counters.shadow_mismatch++;
}

static void
session_put(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;
    bool source_decides;

    if (rc != 0) {
        unavailable(g, err);
        return;
    }
    sg_fault("exchange.after_session");
    /* The source has just said that it lives: Segue's own absolute limit ends no session of it. */
    source_decides = g->from_legacy && rules(g)->legacy_is_truth;
    if (!g->row.live || (g->row.expires_in_ms <= 0 && !source_decides)) {
        g->realm->counters.refused_ended++;
        finish(g, GRANT_NOBODY, g->row.live ? "expired" : "ended");
        return;
    }
    if (g->row.banned) {
        g->realm->counters.refused_banned++;
        finish(g, GRANT_NOBODY, "banned");
        return;
    }
    if (g->row.expires_in_ms <= 0) {
        finish(g, GRANT_NO_TOKEN, "past Segue's own limit");
        return;
    }
    handle_put(g->realm, g->sid, g->key);
    if (!g->put_for_mint && may_mint(g)) {
        put_session(g, true); /* its history had to be known first */
        return;
    }
    if (g->put_for_mint) {
        step_refresh(g);
        return;
    }
    if (g->want != WANT_CHECK)
        g->realm->counters.refused_policy++;
    if (rules(g)->shadow_mint && g->from_legacy && g->identity_known && g->want != WANT_CHECK)
        shadow(g);
    finish(g, GRANT_NO_TOKEN, "not handed over in this phase");
}

/* ---- step 3: token_ref, which gives the generation and with it the sid ---- */

static void
previous_ended(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;

    if (rc != 0)
        unavailable(g, err);
    else
        put_session(g, g->want != WANT_CHECK && may_mint(g));
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
    sg_store_end_sessions(r->engine->store, &g->end, 1, deadline(g), previous_ended, g);
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
        unavailable(g, err);
        return;
    }
    sg_fault("exchange.after_ref");
    if (g->ref.ended) {
        g->realm->counters.refused_ended++;
        finish(g, GRANT_NOBODY, "ended");
        return;
    }
    g->generation = g->ref.generation;
    memcpy(digest.b, g->digest, sizeof digest.b);
    sid =
        sg_session_id(&g->realm->digest_key, &digest, sg_str(g->subject), (uint64_t)g->generation);
    memcpy(g->sid, sid.b, sizeof g->sid);
    if (seal_legacy(g) != 0) {
        finish(g, GRANT_UNAVAILABLE, "seal");
        return;
    }
    if (g->ref.previous_generation >= 0)
        end_previous(g);
    else
        previous_ended(g, 0, NULL);
}

static void
step_ref(struct grant *g)
{
    put_ref(g, g->subject, ref_put);
}

/* ---- step 2: who is the subject now? ---- */

static void
step_row(struct grant *g)
{
    if (g->light)
        finish(g, GRANT_NO_TOKEN, "seen a moment ago");
    else if (g->from_legacy)
        step_ref(g);
    else
        put_session(g, g->want != WANT_CHECK && may_mint(g));
}

/* The source is down and the operator chose to go on with what it said last. */
static bool
use_last_known(struct grant *g)
{
    if (g->realm->config->identity.when_down != SG_DOWN_LAST_KNOWN || g->from_legacy ||
        g->read.source_version < 0)
        return false;
    sg_names_clear(&g->identity.roles);
    sg_names_clear(&g->identity.permissions);
    if (sg_names_from_array(&g->identity.roles, sg_buf_slice(&g->read.roles), &g->err) != 0 ||
        sg_names_from_array(&g->identity.permissions, sg_buf_slice(&g->read.permissions),
                            &g->err) != 0)
        return false;
    snprintf(g->identity.subject, sizeof g->identity.subject, "%s", g->subject);
    g->identity.active = !g->read.banned;
    g->identity.version = g->read.source_version;
    return true;
}

static void
looked_up(struct sg_identity_request *request)
{
    struct grant *g = sg_container_of(request, struct grant, lookup);

    if (request->rc != 0) {
        /* No token without roles that were just checked; a legacy session stays what it was. */
        g->identity_known = use_last_known(g);
        if (!g->identity_known && !g->from_legacy && g->want != WANT_CHECK) {
            unavailable(g, &request->err);
            return;
        }
        step_row(g);
        return;
    }
    if (!request->found || !request->identity.active) {
        identity_forget(g->realm, g->subject);
        g->realm->counters.refused_banned++;
        finish(g, GRANT_NOBODY, request->found ? "banned" : "unknown to the identity source");
        return;
    }
    sg_identity_copy(&g->identity, &request->identity);
    g->identity_known = true;
    identity_put(g->realm, &g->identity);
    step_row(g);
}

static void
step_identity(struct grant *g)
{
    const struct sg_identity *cached = identity_find(g->realm, g->subject);

    if (g->want == WANT_JUDGE) {
        finish(g, GRANT_NO_TOKEN, "live");
        return;
    }
    /* A token's roles are read when it is minted; answering a request may use what was read a
     * second ago. */
    if (cached != NULL && (g->light || g->want == WANT_CHECK)) {
        sg_identity_copy(&g->identity, cached);
        g->identity_known = true;
        step_row(g);
        return;
    }
    memset(&g->lookup, 0, sizeof g->lookup);
    snprintf(g->lookup.subject, sizeof g->lookup.subject, "%s", g->subject);
    g->lookup.deadline_ns = deadline(g);
    g->lookup.done = looked_up;
    g->realm->identity->type->lookup(g->realm->identity, &g->lookup);
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
        step_identity(g);
        break;
    case TRUTH_ANONYMOUS:
    case TRUTH_UNDECODABLE:
        finish(g, GRANT_ANONYMOUS, "anonymous");
        break;
    case TRUTH_GONE:
    case TRUTH_UNPROVEN:
        finish(g, GRANT_NOBODY, "no such session");
        break;
    case TRUTH_DOWN:
        unavailable(g, &t->err);
        break;
    }
}

void
grant_from_legacy(struct grant *g, const char *key)
{
    struct sg_hash digest = sg_store_key_digest(&g->realm->digest_key, sg_str(key));

    g->from_legacy = true;
    g->has_digest = true;
    memcpy(g->digest, digest.b, sizeof g->digest);
    snprintf(g->key, sizeof g->key, "%s", key);
    g->realm->engine->open_ops++;
    truth_read(&g->truth, g->realm, key, g->legacy_wait_ms, legacy_read);
}

/* ---- the renewal: steps 1 and 2 start from the session's own row ---- */

static void
held(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;

    if (rc != 0)
        unavailable(g, err);
    else if (g->hold.held_for_ms > g->realm->config->legacy.absence_hold_ms) {
        sg_fail(&g->err, SG_E_UNAVAILABLE, g->realm->config->name,
                "the session is absent from the legacy store without proof, longer than "
                "absence_hold: decide with `segue transfer resolve`");
        finish(g, GRANT_UNAVAILABLE, "held");
    } else {
        g->realm->counters.held++;
        step_identity(g);
    }
}

static void
renewal_truth(struct truth *t)
{
    struct grant *g = sg_container_of(t, struct grant, truth);

    if (g->lapsed && t->presence != TRUTH_SUBJECT && t->presence != TRUTH_DOWN) {
        finish(g, GRANT_NOBODY, "expired");
        return;
    }
    switch (t->presence) {
    case TRUTH_SUBJECT:
        if (strcmp(t->record.subject, g->subject) != 0) {
            end_displaced(g);
            break;
        }
        g->ttl_ms = t->ttl_ms;
        step_identity(g);
        break;
    case TRUTH_ANONYMOUS: /* logged out in place */
        end_displaced(g);
        break;
    case TRUTH_GONE:
        /* One that merely expired is re-created by the mirror (rule 7). */
        if (g->read.exp_source_in_ms <= 0)
            step_identity(g);
        else
            end_absent(g);
        break;
    case TRUTH_DOWN:
        /* PostgreSQL's copy answers for a session that holds a JWT already (rule 8), bounded by the
         * same hold: a logout there may not be seen here. */
        if (g->lapsed) {
            unavailable(g, &t->err);
            break;
        }
        /* fall through */
    case TRUTH_UNDECODABLE:
    case TRUTH_UNPROVEN:
        if (g->read.held) {
            g->hold.held_for_ms = g->read.held_for_ms;
            held(g, 0, NULL);
            break;
        }
        g->hold = (struct sg_hold_row){.realm = g->realm->config->name, .bucket = g->bucket};
        memcpy(g->hold.sid, g->sid, sizeof g->hold.sid);
        sg_store_hold_sessions(g->realm->engine->store, &g->hold, 1, deadline(g), held, g);
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
        unavailable(g, err);
        return;
    }
    /* One that lapsed may have been touched by the app: while the source is the truth, it is asked.
     */
    g->lapsed = s->expires_in_ms <= 0;
    if (!s->found || s->ended || s->subject[0] == '\0' ||
        (g->lapsed && (!rules(g)->legacy_is_truth || s->handle.len == 0))) {
        g->realm->counters.refused_ended++;
        finish(g, GRANT_NOBODY, !s->found ? "no such session" : s->ended ? "ended" : "expired");
        return;
    }
    if (s->banned) {
        g->realm->counters.refused_banned++;
        finish(g, GRANT_NOBODY, "banned");
        return;
    }
    if (g->epoch_shown >= 0 && g->epoch_shown < s->epoch) {
        finish(g, GRANT_NOBODY, "revoked"); /* the feed may be stale, or have forgotten it */
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
            finish(g, GRANT_UNAVAILABLE, "seal");
            return;
        }
        snprintf(g->key, sizeof g->key, "%s", key.ptr);
        handle_put(g->realm, g->sid, g->key);
        sg_buf_wipe(&key);
    }
    if (g->key[0] != '\0' && rules(g)->legacy_is_truth)
        truth_read(&g->truth, g->realm, g->key, g->legacy_wait_ms, renewal_truth);
    else
        step_identity(g);
}

void
grant_for_login(struct grant *g, const char *subject)
{
    struct sg_hash random;
    struct sg_sid sid;

    g->born_here = true;
    snprintf(g->subject, sizeof g->subject, "%s", subject);
    g->bucket = (int)sg_bucket(sg_str(g->realm->config->name), sg_str(subject));
    sg_random(random.b, sizeof random.b);
    sid = sg_session_id(&g->realm->digest_key, &random, sg_str(subject), 0);
    memcpy(g->sid, sid.b, sizeof g->sid);
    g->idle_ms = g->realm->config->legacy.default_idle_ms;
    g->realm->engine->open_ops++;
    step_identity(g);
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
    sg_store_get_sessions(g->realm->engine->store, &g->read, 1, deadline(g), session_read, g);
}
