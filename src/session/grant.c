/* SPDX-License-Identifier: MIT */
#include "base/fault.h"
#include "keys/refresh.h"
#include "session/custom_claims.h"
#include "session/grant_internal.h"

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

void
grant_finish(struct grant *g, enum grant_outcome outcome, const char *why)
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

void
grant_unavailable(struct grant *g, const struct sg_err *err)
{
    g->err = *err;
    if (err->code == SG_E_NOT_OWNER) {
        g->realm->counters.not_owner++;
        control_reread_map(g->realm->engine);
    }
    grant_finish(g, GRANT_UNAVAILABLE, sg_code_name(err->code));
}

uint64_t
grant_deadline(const struct grant *g)
{
    return engine_deadline(g->realm->engine, OP_TIMEOUT_MS);
}

const struct sg_phase_rules *
grant_rules(const struct grant *g)
{
    return sg_phase_rules(g->realm->policy.phase);
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

/* All but how long it lives; it points into g and the binding. */
static struct mint_request
request_of(const struct grant *g, const struct sg_binding *binding)
{
    return (struct mint_request){.subject = g->subject,
                                 .client_id = g->client_id,
                                 .audience = g->audience,
                                 .scope = g->scope,
                                 .sid = g->sid,
                                 .binding = binding->text,
                                 .bucket = g->bucket,
                                 .epoch = g->row.epoch,
                                 .source_version = g->identity.version,
                                 .roles = &g->identity.roles,
                                 .permissions = &g->identity.permissions,
                                 .attributes = g->identity.attributes};
}

void
grant_step_mint(struct grant *g)
{
    struct sg_binding binding = binding_of(g);
    struct mint_request q = request_of(g, &binding);
    int rc;

    q.lifetime_ms = mint_lifetime_ms(g->realm, g->idle_ms, g->row.absolute_in_ms);
    /* A client that asked for tokens keeps them; one of /verify may drop its cookies. */
    rc = g->want == WANT_JWT && g->rotate == NULL ? mint_again(g->realm, &q, &g->minted, &g->err)
                                                  : mint(g->realm, &q, &g->minted, &g->err);
    if (rc != 0) {
        if (g->err.code == SG_E_LIMIT)
            grant_finish(g, GRANT_NO_TOKEN, "the token would be too large");
        else
            grant_finish(g, GRANT_UNAVAILABLE, "mint");
        return;
    }
    if (g->minted.again)
        g->realm->counters.minted_repeated++;
    else if (g->renewing || g->row.has_jwt)
        g->realm->counters.minted_renewed++;
    else
        g->realm->counters.minted_first++;
    grant_finish(g, GRANT_TOKEN, "minted");
}

static void
refresh_put(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;

    if (rc != 0 && err->code == SG_E_DENIED)
        grant_finish(g, GRANT_NOBODY, "ended");
    else if (rc != 0)
        grant_unavailable(g, err);
    else if (g->from_legacy)
        exchange_step_reread(g);
    else
        grant_step_mint(g);
}

static void
rotated(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;

    if (rc != 0) {
        grant_unavailable(g, err);
        return;
    }
    sg_fault("refresh.after_rotate");
    if (g->rotate->outcome == SG_ROTATED || g->rotate->outcome == SG_ROTATED_GRACE)
        grant_step_mint(g);
    else
        grant_finish(g, GRANT_NOBODY, "the refresh token is no longer good");
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
        sg_store_rotate(g->realm->engine->store, g->rotate, grant_deadline(g), rotated, g);
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
        mint_scope_of(g->realm->config, g->client_id, &scope);
    row.scope = scope.len > 0 ? scope.ptr : "";
    sg_store_put_refresh(g->realm->engine->store, &row, grant_deadline(g), refresh_put, g);
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
        /* A look at a session that is known does not make it another client's. */
        .client_id =
            g->client_id != NULL && (g->from_legacy || g->want != WANT_CHECK) ? g->client_id : "",
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
        .mark_dirty = for_mint && grant_rules(g)->mirror && g->has_digest,
        .seen_in_source = g->ttl_ms >= 0,
        .seen_ms_ago = g->ttl_ms >= 0
                           ? (int64_t)((sg_mono_ns(g->realm->engine->clock) - g->truth.asked_ns) /
                                       SG_NS_PER_MS)
                           : 0,
    };
    memcpy(row->sid, g->sid, sizeof row->sid);
    memcpy(row->store_digest, g->digest, sizeof row->store_digest);
    sg_store_put_sessions(g->realm->engine->store, row, 1, grant_deadline(g), session_put, g);
}

/* What the policy says now that the session's history is known. */
static bool
may_mint(const struct grant *g)
{
    const struct sg_realm *r = g->realm;

    if (g->want == WANT_CHECK || !g->identity_known || !g->claims_fit ||
        sg_policy_client_is_disabled(&r->policy, sg_str(g->client_id)))
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
    struct mint_request q = request_of(g, &binding);
    struct segue_verify_buf buf;
    struct segue_claims claims;

    q.lifetime_ms = mint_lifetime_ms(g->realm, g->idle_ms, INT64_MAX);
    g->realm->counters.minted_shadow++;
    if (mint(g->realm, &q, &g->minted, &g->err) != 0 ||
        mint_verify(g->realm, sg_slice(g->minted.token, g->minted.len), &buf, &claims) !=
            SEGUE_OK ||
        !sg_slice_eq(sg_slice(claims.sub.ptr, claims.sub.len), sg_str(g->subject)))
        g->realm->counters.shadow_mismatch++;
}

/* Good, and handed no token. */
static void
without_token(struct grant *g)
{
    if (g->want != WANT_CHECK)
        g->realm->counters.refused_policy++;
    if (grant_rules(g)->shadow_mint && g->from_legacy && g->identity_known && g->want != WANT_CHECK)
        shadow(g);
    if (g->want == WANT_CHECK || (g->identity_known && g->claims_fit))
        grant_finish(g, GRANT_NO_TOKEN, "not handed over in this phase");
    else
        /* A legacy session stays what it was; who has nothing else must ask again. */
        grant_finish(g, g->from_legacy ? GRANT_NO_TOKEN : GRANT_UNAVAILABLE,
                     g->identity_known ? "a required claim is missing"
                                       : "the identity source has nothing to go by");
}

static bool look_up_again(struct grant *g);

/* Whether its proof was read before the subject logged out everywhere, so that this session was not
 * among those that were ended. The time until the answer counts too: a login within a round trip
 * after that has to be made once more. */
static bool
is_behind_logout(const struct grant *g)
{
    uint64_t age_ns = sg_mono_ns(g->realm->engine->clock) - g->proof_ns;

    return g->proof_ns != 0 && g->row.logout_ago_ms <= (int64_t)(age_ns / SG_NS_PER_MS);
}

static void
session_put(void *ctx, int rc, const struct sg_err *err)
{
    struct grant *g = ctx;
    bool source_decides;

    if (rc != 0) {
        grant_unavailable(g, err);
        return;
    }
    sg_fault("exchange.after_session");
    /* The source has just said that it lives: Segue's own absolute limit ends no session of it. */
    source_decides = g->from_legacy && grant_rules(g)->legacy_is_truth;
    if (!g->row.live || (g->row.expires_in_ms <= 0 && !source_decides)) {
        g->realm->counters.refused_ended++;
        grant_finish(g, GRANT_NOBODY, g->row.live ? "expired" : "ended");
        return;
    }
    if (g->row.banned) {
        g->realm->counters.refused_banned++;
        grant_finish(g, GRANT_BANNED, "banned");
        return;
    }
    if (is_behind_logout(g)) {
        grant_end_behind_logout(g);
        return;
    }
    if (g->row.expires_in_ms <= 0) {
        grant_finish(g, GRANT_NO_TOKEN, "past Segue's own limit");
        return;
    }
    handle_put(g->realm, g->sid, g->key);
    if (g->identity_known && g->identity.version < g->row.source_version && look_up_again(g))
        return;
    if (g->identity_known && g->just_read)
        identity_put(g->realm, &g->identity); /* not before the row agreed that it is not old */
    if (g->put_for_mint && g->identity_known && g->claims_fit)
        step_refresh(g);
    else if (!g->put_for_mint && may_mint(g))
        put_session(g, true); /* its history had to be known first */
    else
        without_token(g);
}

void
grant_step_session(struct grant *g)
{
    put_session(g, g->want != WANT_CHECK && may_mint(g));
}

/* ---- step 2: who is the subject now? ---- */

static void
step_row(struct grant *g)
{
    if (g->light)
        grant_finish(g, GRANT_NO_TOKEN, "seen a moment ago");
    else if (g->from_legacy)
        exchange_step_ref(g);
    else
        grant_step_session(g);
}

static void
accept_identity(struct grant *g, const struct sg_identity *identity)
{
    struct custom_claims claims;
    struct sg_err err;
    int left_out = 0;

    sg_identity_copy(&g->identity, identity);
    g->identity_known = true;
    g->claims_fit =
        g->light || g->want == WANT_CHECK || /* nothing is going to be minted */
        custom_claims_read(g->realm->config, identity->attributes, &claims, &left_out, &err) == 0;
    g->realm->counters.claims_left_out += (uint64_t)left_out;
    if (!g->claims_fit) {
        g->realm->counters.claims_missing++;
        realm_identity_trouble(g->realm, &err);
    }
}

/* The version of this subject that is known here; -1 = none is. */
static int64_t
known_version(const struct grant *g)
{
    const struct sg_revoked_subject *told =
        sg_revoked_subject(g->realm->revoked, sg_str(g->subject));
    int64_t version = g->read.found ? g->read.source_version : -1;

    if (told != NULL && told->source_version > version)
        version = told->source_version;
    return g->asked_again && g->row.source_version > version ? g->row.source_version : version;
}

/* The source is down and the operator chose to go on with what it said last. */
static bool
use_last_known(struct grant *g)
{
    struct sg_identity last = {.active = true, .version = g->read.source_version};

    if (g->realm->config->identity.when_down != SG_DOWN_LAST_KNOWN || !g->read.found ||
        g->read.source_version < 0 || g->read.source_version < known_version(g))
        return false;
    if (sg_names_from_array(&last.roles, sg_buf_slice(&g->read.roles), &g->err) != 0 ||
        sg_names_from_array(&last.permissions, sg_buf_slice(&g->read.permissions), &g->err) != 0 ||
        sg_identity_set_attributes(&last, sg_buf_slice(&g->read.attributes), &g->err) != 0)
        return false;
    snprintf(last.subject, sizeof last.subject, "%s", g->subject);
    accept_identity(g, &last);
    return true;
}

/* The source is down, or said what cannot be. No token without roles that were just checked; a
 * legacy session stays what it was. */
static void
not_told(struct grant *g, const struct sg_err *err)
{
    g->realm->counters.identity_errors++;
    realm_identity_trouble(g->realm, err);
    g->identity_known = g->just_read = false;
    if (!use_last_known(g) && !g->from_legacy && g->want != WANT_CHECK)
        grant_unavailable(g, err);
    else
        step_row(g);
}

static void
looked_up(struct sg_identity_request *request)
{
    struct grant *g = sg_container_of(request, struct grant, lookup);
    struct sg_err err;

    if (request->rc != 0) {
        not_told(g, &request->err);
        return;
    }
    if (request->found && request->identity.version < known_version(g)) {
        /* A replica behind, or restored from a backup: what it says of roles was so once. */
        sg_fail(&err, SG_E_CONFLICT, g->realm->config->name,
                "the identity source answered version %lld of a subject whose version %lld is "
                "known",
                (long long)request->identity.version, (long long)known_version(g));
        not_told(g, &err);
        return;
    }
    if (!request->found || !request->identity.active) {
        identity_forget(g->realm, g->subject);
        g->realm->counters.refused_banned++;
        if (request->found)
            grant_finish(g, GRANT_BANNED, "banned");
        else
            grant_finish(g, GRANT_UNKNOWN, "unknown to the identity source");
        return;
    }
    accept_identity(g, &request->identity);
    g->just_read = true;
    step_row(g);
}

static void
look_up(struct grant *g)
{
    memset(&g->lookup, 0, sizeof g->lookup);
    snprintf(g->lookup.subject, sizeof g->lookup.subject, "%s", g->subject);
    g->lookup.deadline_ns =
        engine_deadline(g->realm->engine, g->realm->config->identity.timeout_ms);
    g->lookup.done = looked_up;
    g->realm->identity->type->lookup(g->realm->identity, &g->lookup);
}

/* The row has heard of a newer version than the identity read: changed meanwhile, or the source is
 * behind. Asked once more, it says which; false the second time, and the identity is not known. */
static bool
look_up_again(struct grant *g)
{
    identity_forget(g->realm, g->subject);
    if (g->asked_again) {
        g->identity_known = false;
        return false;
    }
    g->asked_again = true;
    look_up(g);
    return true;
}

void
grant_step_identity(struct grant *g)
{
    const struct sg_identity *cached = identity_find(g->realm, g->subject);

    if (g->want == WANT_JUDGE) {
        grant_finish(g, GRANT_NO_TOKEN, "live");
        return;
    }
    /* A token's roles are read when it is minted; answering a request may use what was read a
     * second ago. */
    g->light = g->light && cached != NULL; /* what is read anew, the row must agree with */
    if (cached != NULL && (g->light || g->want == WANT_CHECK)) {
        accept_identity(g, cached);
        step_row(g);
        return;
    }
    look_up(g);
}

void
grant_for_login(struct grant *g, const char *subject)
{
    struct sg_hash random;
    struct sg_sid sid;

    g->born_here = true;
    g->proof_ns = sg_mono_ns(g->realm->engine->clock);
    snprintf(g->subject, sizeof g->subject, "%s", subject);
    g->bucket = (int)sg_bucket(sg_str(g->realm->config->name), sg_str(subject));
    sg_random(random.b, sizeof random.b);
    sid = sg_session_id(&g->realm->digest_key, &random, sg_str(subject), 0);
    memcpy(g->sid, sid.b, sizeof g->sid);
    g->idle_ms = g->realm->config->legacy.default_idle_ms;
    g->realm->engine->open_ops++;
    grant_step_identity(g);
}
