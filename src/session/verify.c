/* SPDX-License-Identifier: MIT */
#include "base/words.h"
#include "session/credentials.h"
#include "session/verify_internal.h"

#include <stdlib.h>

/* A good token waits no longer for the legacy store; PostgreSQL's copy answers then (rule 8). */
#define INTROSPECT_MS 30

static struct sg_slice
text(struct segue_slice s)
{
    return sg_slice(s.ptr, s.len);
}

static void
take_identity(struct verify *v, const struct grant *g)
{
    snprintf(v->subject, sizeof v->subject, "%s", g->subject);
    memcpy(v->sid, g->sid, sizeof v->sid);
    if (g->identity_known) {
        sg_names_copy(&v->roles, &g->identity.roles);
        sg_names_copy(&v->permissions, &g->identity.permissions);
    }
}

static void
take_token(struct verify *v, const struct grant *g)
{
    v->fresh = g->minted;
    v->has_fresh = true;
}

/* ---- the legacy side ---- */

static void ask_session(struct verify *v, enum grant_want want);
static void use_jwt(struct verify *v);
static void answer_by_jwt(struct verify *v);

/* While the legacy store is the truth the app can judge the credential by itself. */
static void
pass_through(struct verify *v)
{
    v->keep_jwt = true;
    verify_answer(v, SG_CRED_LEGACY, "passed through");
}

/* The app may let in whom the identity source does not know (yet); in observe nothing at all is
 * refused that it accepts. */
static bool
is_the_apps_to_judge(const struct verify *v, enum grant_outcome outcome)
{
    return sg_phase_rules(v->realm->policy.phase)->legacy_is_truth &&
           (outcome == GRANT_UNKNOWN || v->realm->policy.phase == SG_OBSERVE);
}

/* The legacy credential came to nothing: whether the JWT, good or expired, speaks instead. */
static bool
try_jwt(struct verify *v)
{
    if (v->legacy_wins) {
        v->legacy_wins = false;
        use_jwt(v);
        return true;
    }
    if (v->state != JWT_EXPIRED || !v->jwt_in_cookie || v->asked_session)
        return false;
    ask_session(v, WANT_JWT);
    return true;
}

static void
legacy_answered(struct grant *g)
{
    struct verify *v = g->owner;

    switch (g->outcome) {
    case GRANT_TOKEN:
        take_token(v, g);
        /* fall through */
    case GRANT_NO_TOKEN:
        take_identity(v, g);
        if (!g->light) /* a page's other requests are not handed the token once more */
            recent_put(v->realm, v->digest, g->sid, g->subject);
        verify_answer(v, SG_CRED_LEGACY, g->why);
        break;
    case GRANT_ANONYMOUS:
        /* The record says so: it wins over a JWT of an earlier login, unless the store may have
         * forgotten that login. */
        if (!g->truth.proven && try_jwt(v))
            break;
        verify_nobody(v, g->why);
        break;
    case GRANT_BANNED:
    case GRANT_UNKNOWN:
        if (is_the_apps_to_judge(v, g->outcome) && !v->in.only_asking) {
            pass_through(v);
            break;
        }
        /* fall through */
    case GRANT_NOBODY:
        if (!try_jwt(v))
            verify_nobody(v, g->why);
        break;
    case GRANT_UNAVAILABLE:
        /* Nobody is turned away because Segue's own side is down. */
        if (sg_phase_rules(v->realm->policy.phase)->legacy_is_truth && !v->legacy_wins &&
            !v->in.only_asking)
            pass_through(v);
        else
            verify_refuse(v, 503, g->why, false);
        break;
    }
}

static void
ask_legacy(struct verify *v)
{
    const struct recent *recent = recent_find(v->realm, v->digest);
    struct grant *g = grant_new(v->realm);

    if (g == NULL) {
        verify_refuse(v, 503, "out of memory", false);
        return;
    }
    v->asked_legacy = true;
    /* A credential in a header gets its JWT from the token endpoint; once the app trusts JWTs one
     * is made for upstream all the same. */
    g->want = !v->in.only_asking && (v->realm->policy.phase >= SG_STATELESS ||
                                     (v->legacy_in_cookie && v->in.may_hand_over))
                  ? WANT_JWT
                  : WANT_CHECK;
    g->light = recent != NULL && v->jwt.ptr == NULL && v->realm->policy.phase < SG_STATELESS;
    if (g->light) {
        memcpy(g->sid, recent->sid, sizeof g->sid);
        snprintf(g->subject, sizeof g->subject, "%s", recent->subject);
    }
    g->client_id = v->in.client_id;
    g->audience = v->in.audience;
    g->done = legacy_answered;
    g->owner = v;
    grant_from_legacy(g, v->legacy_key.ptr);
}

/* ---- the JWT side ---- */

/* Upstream gets a token that says what v->roles and v->permissions are now: no I/O is needed. */
static void
mint_upstream(struct verify *v, int64_t source_version, const char *attributes)
{
    char binding[SG_BINDING_CHARS + 1];
    struct mint_request q = {.subject = v->subject,
                             .client_id = v->client,
                             .audience = v->audience,
                             .scope = v->token_scope,
                             .sid = v->sid,
                             .binding = binding,
                             .bucket = (int)v->claims.bkt,
                             .epoch = (int)v->claims.sv,
                             .source_version = source_version,
                             .roles = &v->roles,
                             .permissions = &v->permissions,
                             .attributes = attributes};

    if (v->in.only_asking)
        return;
    /* Whatever the request shows besides, the session's own legacy credential stays the token's. */
    snprintf(binding, sizeof binding, "%.*s", (int)v->claims.lh.len, v->claims.lh.ptr);
    q.lifetime_ms = v->claims.exp * 1000 - sg_wall_ms(v->engine->clock);
    if (q.lifetime_ms > 0 && mint(v->realm, &q, &v->fresh, NULL) == 0) {
        v->has_fresh = true;
        v->realm->counters.minted_upstream++;
    } else
        v->outdated = true;
}

/* Who is known to have other roles than the token says gets a token that says so, here and now. */
static void
refresh_roles(struct verify *v, const struct sg_revoked_subject *now)
{
    if (sg_names_from_array(&v->roles, sg_str(now->roles), NULL) == 0 &&
        sg_names_from_array(&v->permissions, sg_str(now->permissions), NULL) == 0) {
        mint_upstream(v, now->source_version, now->attributes);
    } else {
        sg_names_clear(&v->roles);
        sg_names_clear(&v->permissions);
        v->outdated = true;
    }
}

/* The token it showed leaves its roles out; the client's cookie stays as it is. */
static void
give_roles_upstream(struct verify *v, const struct sg_identity *identity)
{
    sg_names_copy(&v->roles, &identity->roles);
    sg_names_copy(&v->permissions, &identity->permissions);
    mint_upstream(v, identity->version, identity->attributes);
    v->only_upstream = true;
}

/* Several apps may share the cookie; each gets a token that is for it. */
static void
suit_audience(struct verify *v, const char *attributes)
{
    if (v->has_fresh || v->outdated || !v->other_audience)
        return;
    mint_upstream(v, v->claims.rv, attributes);
    v->only_upstream = true;
}

static void
names_of_claims(struct sg_names *names, const struct segue_slice *list, size_t n)
{
    size_t i;

    sg_names_clear(names);
    for (i = 0; i < n; i++)
        if (sg_names_add(names, text(list[i]), NULL) != 0)
            break; /* the minter keeps the same bounds */
}

/* The roles that the token says, or newer ones that are known here. */
static void
take_claims(struct verify *v)
{
    const struct sg_revoked_subject *changed =
        v->is_client ? NULL : sg_revoked_subject(v->realm->revoked, text(v->claims.sub));

    names_of_claims(&v->roles, v->claims.roles, v->claims.n_roles);
    names_of_claims(&v->permissions, v->claims.permissions, v->claims.n_permissions);
    if (changed != NULL && changed->source_version > v->claims.rv)
        refresh_roles(v, changed);
}

static void
session_answered(struct grant *g)
{
    struct verify *v = g->owner;

    switch (g->outcome) {
    case GRANT_TOKEN:
        take_token(v, g);
        /* fall through */
    case GRANT_NO_TOKEN:
        if (g->want == WANT_JUDGE) {
            answer_by_jwt(v);
            break;
        }
        take_identity(v, g);
        if (!g->identity_known)
            take_claims(v);
        if (mint_is_reference(&v->claims) && !g->identity_known) {
            verify_refuse(v, 503, "the roles that the token leaves out cannot be known now", false);
            break;
        }
        /* The token it showed may say older roles than the headers are about to, or none. */
        if (!v->has_fresh && mint_is_reference(&v->claims))
            give_roles_upstream(v, &g->identity);
        else if (!v->has_fresh && g->identity_known && g->identity.version > v->claims.rv)
            mint_upstream(v, g->identity.version, g->identity.attributes);
        suit_audience(v, g->identity.attributes);
        if (sg_phase_rules(v->realm->policy.phase)->inject_legacy && !v->same_session)
            snprintf(v->inject_key, sizeof v->inject_key, "%s", g->key);
        verify_answer(v, v->same_session ? SG_CRED_BOTH : SG_CRED_JWT, g->why);
        break;
    case GRANT_ANONYMOUS:
    case GRANT_NOBODY:
    case GRANT_BANNED:
    case GRANT_UNKNOWN:
        if (v->legacy_key.len > 0 && !v->asked_legacy)
            ask_legacy(v);
        else
            verify_nobody(v, g->why);
        break;
    case GRANT_UNAVAILABLE:
        if (v->spare) {
            v->spare = false;
            answer_by_jwt(v);
        } else if (v->legacy_key.len > 0 && !v->in.only_asking &&
                   sg_phase_rules(v->realm->policy.phase)->legacy_is_truth)
            pass_through(v);
        else
            verify_refuse(v, 503, g->why, false);
        break;
    }
}

static void
ask_session(struct verify *v, enum grant_want want)
{
    const struct sg_client_config *client = sg_config_client(v->realm->config, sg_str(v->client));
    struct grant *g = grant_new(v->realm);

    if (g == NULL) {
        verify_refuse(v, 503, "out of memory", false);
        return;
    }
    v->asked_session = true;
    g->want = want;
    if (want == WANT_JUDGE)
        g->legacy_wait_ms = INTROSPECT_MS;
    g->epoch_shown = (int)v->claims.sv;
    /* What renews it is the same client's, of the same scope. */
    g->client_id = client != NULL ? client->id : v->in.client_id;
    g->scope = v->token_scope[0] != '\0' ? v->token_scope : NULL;
    g->audience = v->audience;
    g->done = session_answered;
    g->owner = v;
    grant_from_session(g, v->sid, (int)v->claims.bkt);
}

static void
answer_by_jwt(struct verify *v)
{
    const struct sg_phase_rules *rules = sg_phase_rules(v->realm->policy.phase);
    const char *key;

    if (v->is_client) {
        take_claims(v);
        verify_answer(v, SG_CRED_CLIENT, "client");
        return;
    }
    snprintf(v->subject, sizeof v->subject, "%.*s", (int)v->claims.sub.len, v->claims.sub.ptr);
    if (rules->inject_legacy && !v->same_session && v->claims.lh.len > 0 && !v->in.only_asking) {
        if ((key = handle_find(v->realm, v->sid)) == NULL) {
            ask_session(v, WANT_CHECK);
            return;
        }
        snprintf(v->inject_key, sizeof v->inject_key, "%s", key);
    }
    if (mint_is_reference(&v->claims)) {
        const struct sg_identity *identity = identity_find(v->realm, v->subject);

        if (identity == NULL) {
            ask_session(v, WANT_CHECK); /* once a second for each of them */
            return;
        }
        give_roles_upstream(v, identity);
        verify_answer(v, v->same_session ? SG_CRED_BOTH : SG_CRED_JWT, "jwt");
        return;
    }
    take_claims(v);
    if (v->other_audience && !v->has_fresh && v->realm->config->identity.n_claims > 0) {
        ask_session(v, WANT_CHECK); /* custom claims are made of what the token does not hold */
        return;
    }
    suit_audience(v, NULL);
    verify_answer(v, v->same_session ? SG_CRED_BOTH : SG_CRED_JWT, "jwt");
}

/* In the last third of its life, and when the shard answers: a good token must not wait for one
 * that does not. */
static bool
is_to_renew(const struct verify *v)
{
    int64_t life = (v->claims.exp - v->claims.iat) * 1000,
            left = v->claims.exp * 1000 - sg_wall_ms(v->engine->clock);

    return v->jwt_in_cookie && v->in.may_hand_over && left < life / 3 &&
           feed_is_answered(v->realm, (int)v->claims.bkt);
}

static void
tombstone_read(void *ctx, int rc, const struct sg_err *err)
{
    struct verify *v = ctx;
    bool revoked = rc == 0 && v->tombstone.found && v->tombstone.ended;

    v->engine->open_ops--;
    sg_session_read_clear(&v->tombstone);
    if (rc != 0)
        verify_refuse(v, 503, sg_code_name(err->code), false);
    else if (revoked)
        verify_nobody(v, "revoked");
    else
        answer_by_jwt(v);
}

/* A client's token for itself has a row only when it was revoked. */
static void
ask_tombstone(struct verify *v)
{
    v->tombstone.realm = v->realm->config->name;
    v->tombstone.bucket = (int)v->claims.bkt;
    memcpy(v->tombstone.sid, v->sid, sizeof v->tombstone.sid);
    v->engine->open_ops++;
    sg_store_get_sessions(v->engine->store, &v->tombstone, 1,
                          engine_deadline(v->engine, OP_TIMEOUT_MS), tombstone_read, v);
}

/* The token is good and nothing speaks against it: usually no question is left. */
static void
use_jwt(struct verify *v)
{
    if (feed_is_stale(v->realm, (int)v->claims.bkt)) {
        enum sg_when_stale answer = v->engine->options.config->when_stale;

        if (answer == SG_STALE_REJECT) {
            v->keep_jwt = true; /* it is as good as before once the feed is fresh */
            if (v->legacy_key.len > 0 && !v->asked_legacy)
                ask_legacy(v);
            else
                verify_nobody(v, "the feed of revocations is stale");
            return;
        }
        if (answer == SG_STALE_INTROSPECT) {
            if (feed_is_answered(v->realm, (int)v->claims.bkt) && v->is_client)
                ask_tombstone(v);
            else if (feed_is_answered(v->realm, (int)v->claims.bkt))
                ask_session(v, WANT_JUDGE);
            else
                verify_refuse(v, 503, "the session's shard does not answer", false);
            return;
        }
    }
    v->spare = is_to_renew(v);
    if (v->spare)
        ask_session(v, WANT_JWT);
    else
        answer_by_jwt(v);
}

/* ---- reading what was shown ---- */

static bool
is_for(const struct segue_claims *claims, const char *audience)
{
    size_t i;

    for (i = 0; i < claims->n_aud; i++)
        if (sg_slice_eq(text(claims->aud[i]), sg_str(audience)))
            return true;
    return false;
}

/* Whether a token of this kind may be shown here. */
static bool
suits(struct verify *v)
{
    const struct sg_client_config *client =
        sg_config_client(v->realm->config, text(v->claims.client_id));

    v->is_client = mint_is_client(&v->claims);
    if (!mint_token_id(&v->claims, v->sid) ||
        (v->is_client &&
         (v->jwt_in_cookie || client == NULL || (client->grants & SG_GRANT_CLIENT) == 0))) {
        v->bad = "not a session's token";
        return false;
    }
    if (!v->in.only_audience || is_for(&v->claims, v->in.audience))
        return true;
    /* Only what a browser was given by us: another client's token stays bound to its audience. */
    v->other_audience =
        v->jwt_in_cookie && sg_slice_eq(text(v->claims.client_id), sg_str(v->in.client_id));
    v->keep_jwt = !v->other_audience; /* good elsewhere */
    v->bad = segue_strerror(SEGUE_WRONG_AUDIENCE);
    return v->other_audience;
}

/* What is made of the token is for whom the request is for; where nobody said so, another client's
 * goes nowhere that the token itself could not go. */
static void
choose_audience(struct verify *v)
{
    struct sg_buf own = SG_BUF_INIT(SG_WORDS_BYTES - 1);
    size_t i;

    if (is_for(&v->claims, v->in.audience) ||
        sg_slice_eq(text(v->claims.client_id), sg_str(v->in.client_id)))
        sg_buf_puts(&own, v->in.audience);
    else
        for (i = 0; i < v->claims.n_aud; i++)
            sg_words_add(&own, text(v->claims.aud[i]));
    snprintf(v->audience, sizeof v->audience, "%s", own.len > 0 ? own.ptr : "");
    sg_buf_free(&own);
}

static void
find_jwt_cookie(struct verify *v)
{
    v->jwt = sg_cookie_find(sg_buf_slice(&v->cookie), v->realm->config->token.cookie);
    v->jwt_in_cookie = v->jwt.ptr != NULL;
}

/* A bearer token that names neither a key nor the issuer of any realm here is the app's own affair:
 * it is passed on as it came, and says nothing about anybody. */
static bool
is_foreign(const struct verify *v)
{
    struct sg_buf kid = SG_BUF_INIT(256), iss = SG_BUF_INIT(1024);
    bool ours = false;
    int i;

    (void)sg_jwt_peek(v->jwt, SG_JWT_HEADER, "kid", &kid);
    (void)sg_jwt_peek(v->jwt, SG_JWT_PAYLOAD, "iss", &iss);
    for (i = 0; i < v->engine->n_realms && !ours; i++) {
        const struct sg_realm *r = v->engine->realms[i];

        ours = (iss.len > 0 && sg_slice_eq(sg_buf_slice(&iss), sg_str(r->config->issuer))) ||
               (kid.len > 0 && segue_keyset_find(r->keys, kid.ptr) != NULL);
    }
    sg_buf_free(&kid);
    sg_buf_free(&iss);
    return !ours;
}

static void
judge_jwt(struct verify *v)
{
    struct sg_realm *r = v->realm;
    const struct sg_revoked_subject *s;
    enum segue_status status;

    if (v->jwt.ptr == NULL)
        return;
    status = mint_verify(r, v->jwt, &v->claims_buf, &v->claims);
    if (status != SEGUE_OK && status != SEGUE_EXPIRED) {
        if (!v->jwt_in_cookie && is_foreign(v)) {
            v->foreign = true;
            find_jwt_cookie(v);
            judge_jwt(v);
            return;
        }
        v->state = JWT_BAD;
        v->bad = segue_strerror(status);
        /* Another instance may know a newer key, or have a clock that is ahead. */
        v->keep_jwt = status == SEGUE_UNKNOWN_KEY || status == SEGUE_NOT_YET;
        return;
    }
    if (!suits(v)) {
        v->state = JWT_BAD;
        return;
    }
    snprintf(v->client, sizeof v->client, "%.*s", (int)v->claims.client_id.len,
             v->claims.client_id.ptr);
    snprintf(v->token_scope, sizeof v->token_scope, "%.*s", (int)v->claims.scope.len,
             v->claims.scope.ptr);
    choose_audience(v);
    s = v->is_client ? NULL : sg_revoked_subject(r->revoked, text(v->claims.sub));
    if (v->claims.re < r->policy.realm_epoch || sg_revoked_has_session(r->revoked, v->sid) ||
        (s != NULL && (s->banned || v->claims.sv < s->epoch)) ||
        sg_policy_client_is_disabled(&r->policy, text(v->claims.client_id))) {
        v->state = JWT_REVOKED;
        v->bad = "revoked";
        return;
    }
    v->state = status == SEGUE_OK ? JWT_GOOD : JWT_EXPIRED;
    v->bad = "expired";
}

/* False where it is not signed by the app: as if it were not there. */
static bool
read_legacy(struct verify *v, struct sg_slice credential)
{
    if (v->realm->codec->credential_to_key(&v->realm->codec_config, credential, &v->legacy_key,
                                           NULL) == 0)
        return true;
    sg_buf_reset(&v->legacy_key);
    return false;
}

static void
judge_legacy(struct verify *v)
{
    struct sg_hash digest;
    struct sg_binding binding;

    if (v->legacy.ptr == NULL || !sg_phase_rules(v->realm->policy.phase)->accept_legacy)
        return;
    if (!read_legacy(v, v->legacy)) {
        struct sg_slice cookie =
            sg_cookie_find(sg_buf_slice(&v->cookie), v->realm->config->legacy.cookie);

        /* A bearer token of the app's own must not hide the session cookie beside it. */
        if (v->legacy_in_cookie || cookie.ptr == NULL || !read_legacy(v, cookie))
            return;
        v->legacy = cookie;
        v->legacy_in_cookie = true;
    }
    digest = sg_store_key_digest(&v->realm->digest_key, sg_buf_slice(&v->legacy_key));
    memcpy(v->digest, digest.b, sizeof v->digest);
    binding = sg_legacy_binding(&v->realm->digest_key, &digest);
    v->same_session = v->state != JWT_NONE && v->state != JWT_BAD &&
                      sg_slice_eq(text(v->claims.lh), sg_str(binding.text));
}

static void
find_credentials(struct verify *v)
{
    const struct sg_realm_config *c = v->realm->config;
    struct sg_slice bearer = sg_bearer_token(sg_buf_slice(&v->authorization));

    if (bearer.ptr != NULL && sg_looks_like_jwt(bearer) && bearer.len > 3 &&
        memcmp(bearer.ptr, "eyJ", 3) == 0)
        v->jwt = bearer;
    else if (bearer.ptr != NULL)
        v->legacy = bearer;
    if (v->jwt.ptr == NULL)
        find_jwt_cookie(v);
    if (v->legacy.ptr == NULL) {
        v->legacy = sg_cookie_find(sg_buf_slice(&v->cookie), c->legacy.cookie);
        v->legacy_in_cookie = v->legacy.ptr != NULL;
    }
}

void
sg_verify(struct sg_engine *engine, const struct sg_verify_in *in, sg_verify_done done, void *ctx)
{
    struct verify *v = calloc(1, sizeof *v);

    if (v == NULL) {
        struct sg_verify_out out = {.status = 503, .why = "out of memory"};

        done(ctx, &out);
        return;
    }
    v->engine = engine;
    v->in = *in;
    v->realm = in->realm;
    v->done = done;
    v->ctx = ctx;
    v->cookie = v->authorization = SG_BUF_INIT(HEADER_MAX);
    v->scope = SG_BUF_INIT(SG_WORDS_BYTES);
    v->legacy_key = SG_BUF_INIT(SG_LEGACY_KEY_MAX);
    sg_buf_add(&v->cookie, in->cookie);
    sg_buf_add(&v->authorization, in->authorization);
    sg_buf_add(&v->scope, in->scope);
    if (v->cookie.failed || v->authorization.failed || v->scope.failed) {
        verify_refuse(v, 431, "credentials longer than 16 KiB", false);
        return;
    }
    if (!realm_is_known(v->realm)) {
        verify_refuse(v, 503, "starting: no policy was read yet", false);
        return;
    }
    find_credentials(v);
    judge_jwt(v);
    judge_legacy(v);
    if ((v->state == JWT_GOOD || v->state == JWT_EXPIRED) && v->jwt_in_cookie &&
        in->unsafe_method && !in->same_site) {
        v->csrf = v->legacy_key.len == 0;
        v->keep_jwt = true;
        v->state = JWT_REVOKED; /* as good as not shown: a legacy credential may still speak */
    }
    if (v->state == JWT_GOOD && (v->legacy_key.len == 0 || v->same_session || v->is_client))
        use_jwt(v);
    else if (v->state == JWT_GOOD) {
        v->legacy_wins = true; /* two sessions were shown (rule 3) */
        ask_legacy(v);
    } else if (v->state == JWT_EXPIRED && v->jwt_in_cookie &&
               (v->legacy_key.len == 0 || v->same_session))
        ask_session(v, WANT_JWT);
    else if (v->legacy_key.len > 0)
        ask_legacy(v);
    else if (v->legacy.ptr != NULL && !sg_phase_rules(v->realm->policy.phase)->accept_legacy)
        verify_nobody(v, "session tokens are no longer accepted here: log in again");
    else
        verify_nobody(v, v->state != JWT_NONE ? v->bad
                         : v->foreign         ? "not a token of this issuer"
                                              : "no credential");
}
