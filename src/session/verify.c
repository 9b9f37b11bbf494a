/* SPDX-License-Identifier: MIT */
#include "session/verify.h"

#include "base/encode.h"
#include "base/words.h"
#include "session/cookie.h"
#include "session/credentials.h"
#include "session/grant.h"

#include <stdlib.h>

#define HEADER_MAX 16384
#define INTROSPECT_MS                                                                              \
    30 /* a good token waits no longer for the legacy store; PostgreSQL's copy answers then (rule  \
          8) */

enum jwt_state {
    JWT_NONE,
    JWT_GOOD,
    JWT_EXPIRED, /* everything else about it is right */
    JWT_REVOKED,
    JWT_BAD,
};

/* One question under way. */
struct verify {
    struct sg_engine *engine;
    struct sg_verify_in in;
    struct sg_realm *realm;
    sg_verify_done done;
    void *ctx;
    struct sg_buf cookie, authorization, scope; /* copies */
    struct sg_slice jwt, legacy;                /* into the copies */
    bool jwt_in_cookie, legacy_in_cookie, csrf;
    enum jwt_state state;
    const char *bad;
    struct segue_claims claims;
    struct segue_verify_buf claims_buf;
    uint8_t sid[SG_SID_BYTES];
    struct sg_buf legacy_key;
    uint8_t digest[SG_DIGEST_BYTES];
    bool same_session; /* the legacy credential is the JWT's own */
    bool legacy_wins;  /* ask the legacy side although the JWT is good */
    bool keep_jwt;     /* it was not used, which says nothing against it */
    bool spare;        /* the renewal under way is not needed yet: the JWT is good */
    bool asked_legacy, asked_session;
    bool is_client;      /* the JWT speaks for its client, not for a subject */
    bool other_audience; /* a cookie that is good here, but upstream gets a token of its own */
    bool bad_scope;
    bool only_upstream; /* the token made is not for the client's cookie */
    char client[65], token_scope[SG_WORDS_BYTES]; /* claims client_id and scope */
    struct sg_session_read tombstone;
    /* what the answer is made of */
    struct minted fresh;
    bool has_fresh;
    char inject_key[SG_LEGACY_KEY_MAX + 1];
    struct sg_names roles, permissions;
    char subject[SG_SUBJECT_MAX + 1];
};

static struct sg_slice
text(struct segue_slice s)
{
    return sg_slice(s.ptr, s.len);
}

static void
free_verify(struct verify *v)
{
    sg_buf_wipe(&v->cookie);
    sg_buf_wipe(&v->authorization);
    sg_buf_free(&v->scope);
    sg_buf_wipe(&v->legacy_key);
    explicit_bzero(v, sizeof *v);
    free(v);
}

/* ---- the answer ---- */

static void
put_upstream_cookie(const struct verify *v, struct sg_buf *out)
{
    const struct sg_realm_config *c = v->realm->config;
    struct sg_buf credential = SG_BUF_INIT(1024);

    if (v->inject_key[0] == '\0') {
        sg_cookie_without(out, sg_buf_slice(&v->cookie), c->token.cookie, NULL);
        return;
    }
    sg_cookie_without(out, sg_buf_slice(&v->cookie), c->token.cookie, c->legacy.cookie);
    if (v->realm->codec->key_to_credential(&v->realm->codec_config, sg_str(v->inject_key),
                                           &credential, NULL) == 0) {
        sg_buf_printf(out, "%s%s=%s", out->len > 0 ? "; " : "", c->legacy.cookie, credential.ptr);
        v->realm->counters.injected++;
    }
    sg_buf_wipe(&credential);
}

/* ',' and '%' and what is not visible ASCII is percent-encoded, so that no name can pass for two.
 */
static void
put_names(struct sg_buf *out, const struct sg_names *names)
{
    const char *p;
    int i;

    for (i = 0; i < names->n; i++) {
        if (i > 0)
            sg_buf_puts(out, ",");
        for (p = names->name[i]; *p != '\0'; p++)
            if (*p <= ' ' || *p >= 0x7f || *p == ',' || *p == '%')
                sg_buf_printf(out, "%%%02X", (unsigned)(uint8_t)*p);
            else
                sg_buf_add(out, sg_slice(p, 1));
    }
}

static void
count(struct verify *v, int status, enum sg_credential credential)
{
    struct sg_counters *n = &v->realm->counters;

    if (v->in.only_asking)
        return;
    if (status == 503)
        n->verify_unavailable++;
    else if (status != 200)
        n->verify_refused++;
    else if (credential == SG_CRED_JWT)
        n->verify_jwt++;
    else if (credential == SG_CRED_LEGACY)
        n->verify_legacy++;
    else if (credential == SG_CRED_BOTH)
        n->verify_both++;
    else if (credential == SG_CRED_CLIENT)
        n->verify_client++;
    else
        n->verify_none++;
}

static void
refuse(struct verify *v, int status, const char *why, bool bad_token)
{
    struct sg_buf set_cookie = SG_BUF_INIT(512);
    struct sg_verify_out out = {
        .status = status, .why = why, .bad_token = bad_token, .bad_scope = v->bad_scope};

    if (v->jwt_in_cookie && status == 401 && !v->keep_jwt) {
        sg_cookie_remove(v->realm->config, &set_cookie);
        out.set_cookie = sg_buf_slice(&set_cookie);
    }
    count(v, status, SG_CRED_NONE);
    v->done(v->ctx, &out);
    sg_buf_free(&set_cookie);
    free_verify(v);
}

/* A session has what the client of the browsers may have; a token what it says. */
static bool
has_scope(const struct verify *v, enum sg_credential credential)
{
    struct sg_buf all = SG_BUF_INIT(SG_WORDS_BYTES);
    bool good;

    if (credential == SG_CRED_LEGACY)
        mint_scope_of(v->realm, v->in.client_id, &all);
    else
        sg_buf_add(&all, text(v->claims.scope));
    good = sg_words_within(sg_buf_slice(&v->scope), sg_buf_slice(&all));
    sg_buf_free(&all);
    return good;
}

/* 200 with an identity, or with empty headers where subject is "". */
static void
answer(struct verify *v, enum sg_credential credential, const char *why)
{
    struct sg_buf roles = SG_BUF_INIT(HEADER_MAX), permissions = SG_BUF_INIT(HEADER_MAX),
                  session = SG_BUF_INIT(64), cookie = SG_BUF_INIT(HEADER_MAX + 1024),
                  set_cookie = SG_BUF_INIT(HEADER_MAX);
    bool jwt_used = credential != SG_CRED_LEGACY && credential != SG_CRED_NONE;
    struct sg_verify_out out = {.status = 200, .why = why, .credential = credential};

    if (v->scope.len > 0 && !has_scope(v, credential)) {
        v->bad_scope = true;
        refuse(v, 403, "the request needs a scope that the token does not have", false);
        return;
    }
    if (v->subject[0] != '\0' || credential == SG_CRED_CLIENT) {
        put_names(&roles, &v->roles);
        put_names(&permissions, &v->permissions);
    }
    if (v->subject[0] != '\0')
        sg_b64url_add(&session, sg_slice((char *)v->sid, SG_SID_BYTES));
    if (credential == SG_CRED_CLIENT)
        out.client = sg_str(v->client);
    if (jwt_used)
        out.claims = &v->claims;
    out.role_names = &v->roles;
    out.permission_names = &v->permissions;
    put_upstream_cookie(v, &cookie);
    if (v->has_fresh && v->in.may_hand_over && !v->only_upstream &&
        (v->jwt_in_cookie || v->legacy_in_cookie))
        sg_cookie_set(v->realm->config, v->fresh.token, &set_cookie);
    else if (v->jwt_in_cookie && !jwt_used && !v->has_fresh && !v->keep_jwt)
        sg_cookie_remove(v->realm->config, &set_cookie);
    out.subject = sg_str(v->subject);
    out.roles = sg_buf_slice(&roles);
    out.permissions = sg_buf_slice(&permissions);
    out.session = sg_buf_slice(&session);
    out.jwt = v->has_fresh ? sg_slice(v->fresh.token, v->fresh.len)
              : jwt_used   ? v->jwt
                           : (struct sg_slice){0};
    out.cookie = sg_buf_slice(&cookie);
    if (v->jwt.ptr == NULL || v->jwt_in_cookie)
        out.authorization = sg_buf_slice(&v->authorization);
    out.set_cookie = sg_buf_slice(&set_cookie);
    count(v, 200, credential);
    v->done(v->ctx, &out);
    sg_buf_wipe(&set_cookie);
    sg_buf_wipe(&cookie);
    sg_buf_free(&roles);
    sg_buf_free(&permissions);
    sg_buf_free(&session);
    free_verify(v);
}

static void
nobody(struct verify *v, const char *why)
{
    bool bearer = (v->jwt.ptr != NULL && !v->jwt_in_cookie) ||
                  (v->legacy.ptr != NULL && !v->legacy_in_cookie);

    v->subject[0] = '\0';
    if (v->csrf)
        refuse(v, 403,
               "a cookie-borne token on an unsafe method needs a matching Origin or "
               "Sec-Fetch-Site",
               false);
    else if (v->jwt.ptr != NULL && !v->jwt_in_cookie)
        refuse(v, 401, why, true);
    else if (v->in.required || v->scope.len > 0)
        refuse(v, 401, why, bearer);
    else
        answer(v, SG_CRED_NONE, why);
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
        answer(v, SG_CRED_LEGACY, g->why);
        break;
    case GRANT_ANONYMOUS:
        nobody(v, g->why); /* the record says so: it wins over a JWT of an earlier login */
        break;
    case GRANT_NOBODY:
        if (v->legacy_wins) {
            v->legacy_wins = false;
            use_jwt(v);
        } else if (v->state == JWT_EXPIRED && v->jwt_in_cookie && !v->asked_session)
            ask_session(v, WANT_JWT);
        else
            nobody(v, g->why);
        break;
    case GRANT_UNAVAILABLE:
        /* While the legacy store is the truth the app can judge the credential by itself, so nobody
         * is turned away because Segue's own side is down. */
        if (sg_phase_rules(v->realm->policy.phase)->legacy_is_truth && !v->legacy_wins) {
            v->keep_jwt = true;
            answer(v, SG_CRED_LEGACY, "passed through");
        } else
            refuse(v, 503, g->why, false);
        break;
    }
}

static void
ask_legacy(struct verify *v)
{
    const struct recent *recent = recent_find(v->realm, v->digest);
    struct grant *g = grant_new(v->realm);

    if (g == NULL) {
        refuse(v, 503, "out of memory", false);
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
mint_upstream(struct verify *v, int64_t source_version)
{
    char binding[SG_BINDING_CHARS + 1];
    struct mint_request q = {.subject = v->subject,
                             .client_id = v->client,
                             .audience = v->in.audience,
                             .scope = v->token_scope,
                             .sid = v->sid,
                             .binding = binding,
                             .bucket = (int)v->claims.bkt,
                             .epoch = (int)v->claims.sv,
                             .source_version = source_version,
                             .roles = &v->roles,
                             .permissions = &v->permissions};

    /* Whatever the request shows besides, the session's own legacy credential stays the token's. */
    snprintf(binding, sizeof binding, "%.*s", (int)v->claims.lh.len, v->claims.lh.ptr);
    q.lifetime_ms = v->claims.exp * 1000 - sg_wall_ms(v->engine->clock);
    if (q.lifetime_ms > 0 && mint(v->realm, &q, &v->fresh, NULL) == 0) {
        v->has_fresh = true;
        v->realm->counters.minted_upstream++;
    }
}

/* Who is known to have other roles than the token says gets a token that says so, here and now. */
static void
refresh_roles(struct verify *v, const struct sg_revoked_subject *now)
{
    if (sg_names_from_array(&v->roles, sg_str(now->roles), NULL) == 0 &&
        sg_names_from_array(&v->permissions, sg_str(now->permissions), NULL) == 0 &&
        !v->in.only_asking)
        mint_upstream(v, now->source_version);
}

/* Several apps may share the cookie; each gets a token that is for it. */
static void
suit_audience(struct verify *v)
{
    if (v->has_fresh || !v->other_audience)
        return;
    mint_upstream(v, v->claims.rv);
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
        /* The token it showed may say older roles than the headers are about to. */
        if (!v->has_fresh && g->identity_known && g->identity.version > v->claims.rv)
            mint_upstream(v, g->identity.version);
        suit_audience(v);
        if (sg_phase_rules(v->realm->policy.phase)->inject_legacy && !v->same_session)
            snprintf(v->inject_key, sizeof v->inject_key, "%s", g->key);
        answer(v, v->same_session ? SG_CRED_BOTH : SG_CRED_JWT, g->why);
        break;
    case GRANT_ANONYMOUS:
    case GRANT_NOBODY:
        if (v->legacy_key.len > 0 && !v->asked_legacy)
            ask_legacy(v);
        else
            nobody(v, g->why);
        break;
    case GRANT_UNAVAILABLE:
        if (v->spare) {
            v->spare = false;
            answer_by_jwt(v);
        } else if (v->legacy_key.len > 0 &&
                   sg_phase_rules(v->realm->policy.phase)->legacy_is_truth) {
            v->keep_jwt = true;
            answer(v, SG_CRED_LEGACY, "passed through");
        } else
            refuse(v, 503, g->why, false);
        break;
    }
}

static void
ask_session(struct verify *v, enum grant_want want)
{
    const struct sg_client_config *client = sg_config_client(v->realm->config, sg_str(v->client));
    struct grant *g = grant_new(v->realm);

    if (g == NULL) {
        refuse(v, 503, "out of memory", false);
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
    g->audience = v->in.audience;
    g->done = session_answered;
    g->owner = v;
    grant_from_session(g, v->sid, (int)v->claims.bkt);
}

static void
answer_by_jwt(struct verify *v)
{
    const struct sg_phase_rules *rules = sg_phase_rules(v->realm->policy.phase);
    const struct sg_revoked_subject *changed =
        sg_revoked_subject(v->realm->revoked, text(v->claims.sub));
    const char *key;

    if (v->is_client) {
        names_of_claims(&v->roles, v->claims.roles, v->claims.n_roles);
        names_of_claims(&v->permissions, v->claims.permissions, v->claims.n_permissions);
        answer(v, SG_CRED_CLIENT, "client");
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
    names_of_claims(&v->roles, v->claims.roles, v->claims.n_roles);
    names_of_claims(&v->permissions, v->claims.permissions, v->claims.n_permissions);
    if (changed != NULL && changed->source_version > v->claims.rv)
        refresh_roles(v, changed);
    suit_audience(v);
    answer(v, v->same_session ? SG_CRED_BOTH : SG_CRED_JWT, "jwt");
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
        refuse(v, 503, sg_code_name(err->code), false);
    else if (revoked)
        nobody(v, "revoked");
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
            nobody(v, "the feed of revocations is stale");
            return;
        }
        if (answer == SG_STALE_INTROSPECT) {
            if (feed_is_answered(v->realm, (int)v->claims.bkt) && v->is_client)
                ask_tombstone(v);
            else if (feed_is_answered(v->realm, (int)v->claims.bkt))
                ask_session(v, WANT_JUDGE);
            else
                refuse(v, 503, "the session's shard does not answer", false);
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
    s = v->is_client ? NULL : sg_revoked_subject(r->revoked, text(v->claims.sub));
    if (v->claims.re < r->policy.realm_epoch || sg_revoked_has_session(r->revoked, v->sid) ||
        (s != NULL && (s->banned || v->claims.sv < s->epoch))) {
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
    if (v->jwt.ptr == NULL) {
        v->jwt = sg_cookie_find(sg_buf_slice(&v->cookie), c->token.cookie);
        v->jwt_in_cookie = v->jwt.ptr != NULL;
    }
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
        refuse(v, 431, "credentials longer than 16 KiB", false);
        return;
    }
    if (!realm_is_known(v->realm)) {
        refuse(v, 503, "starting: no policy was read yet", false);
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
        nobody(v, "session tokens are no longer accepted here: log in again");
    else
        nobody(v, v->state == JWT_NONE ? "no credential" : v->bad);
}
