/* SPDX-License-Identifier: MIT */
#include "session/tokens.h"

#include "base/encode.h"
#include "base/fault.h"
#include "base/words.h"
#include "keys/refresh.h"
#include "session/cookie.h"
#include "session/credentials.h"
#include "session/end.h"
#include "session/grant.h"

#include <stdlib.h>

/* One request under way. */
struct asked {
    struct sg_realm *realm;
    sg_token_done done;
    void *ctx;
    const char *client_id;
    struct sg_refresh parent, next;
    struct sg_rotate rotate;
    struct sg_buf next_sealed;
    struct sg_legacy_request create;
    struct sg_buf key, value;
    bool asked_source;
    bool with_cookies; /* a login: the caller passes cookies on */
    enum grant_want login_want;
    /* As asked for, then as granted (base/words.h). */
    char audience[SG_WORDS_BYTES], scope[SG_WORDS_BYTES];
};

static struct asked *
asked_new(struct sg_realm *realm, const char *client_id, sg_token_done done, void *ctx)
{
    struct asked *a = calloc(1, sizeof *a);

    if (a == NULL) {
        struct sg_token_out out = {.status = SG_TOKEN_UNAVAILABLE, .why = "out of memory"};

        done(ctx, &out);
        return NULL;
    }
    if (!realm_is_known(realm)) {
        struct sg_token_out out = {.status = SG_TOKEN_UNAVAILABLE,
                                   .why = "starting: no policy was read yet"};

        free(a);
        done(ctx, &out);
        return NULL;
    }
    a->realm = realm;
    a->client_id = client_id;
    a->done = done;
    a->ctx = ctx;
    a->next_sealed = SG_BUF_INIT(SG_SUCCESSOR_BYTES);
    a->key = SG_BUF_INIT(SG_LEGACY_KEY_MAX);
    a->value = SG_BUF_INIT(SG_LEGACY_VALUE_MAX);
    return a;
}

static void
reply(struct asked *a, const struct sg_token_out *out)
{
    a->done(a->ctx, out);
    sg_buf_free(&a->next_sealed);
    sg_buf_free(&a->rotate.successor_sealed);
    sg_buf_wipe(&a->key);
    sg_buf_wipe(&a->value);
    explicit_bzero(a, sizeof *a);
    free(a);
}

static void
fail(struct asked *a, enum sg_token_status status, const char *why)
{
    struct sg_token_out out = {.status = status, .why = why};

    reply(a, &out);
}

/* True when it has answered so. */
static bool
is_disabled(struct asked *a)
{
    if (!sg_policy_client_is_disabled(&a->realm->policy, sg_str(a->client_id)))
        return false;
    fail(a, SG_TOKEN_CLIENT_DISABLED, "this client is disabled");
    return true;
}

/* The common end: what the grant came to, as the endpoint says it. */
static void
granted(struct grant *g)
{
    struct asked *a = g->owner;
    struct sg_token_out out = {.why = g->why};
    struct sg_buf session = SG_BUF_INIT(64), set_cookie = SG_BUF_INIT(16384),
                  legacy_cookie = SG_BUF_INIT(2048), credential = SG_BUF_INIT(1024);

    switch (g->outcome) {
    case GRANT_TOKEN:
        out.access_token = sg_slice(g->minted.token, g->minted.len);
        out.expires_in_sec = g->minted.expires_in_sec;
        out.refresh_token = a->next.text[0] != '\0' ? sg_str(a->next.text) : sg_str(g->refresh);
        out.scope = sg_str(g->scope);
        if (a->with_cookies && minted_cookie(&g->minted) != NULL)
            sg_cookie_set(a->realm->config, minted_cookie(&g->minted), &set_cookie);
        break;
    case GRANT_NO_TOKEN:
        out.status = !g->identity_known || !g->claims_fit ? SG_TOKEN_UNAVAILABLE
                     : !a->with_cookies                   ? SG_TOKEN_NOT_ENABLED
                     : g->key[0] != '\0' ? SG_TOKEN_OK /* a login by the legacy session alone */
                                         : SG_TOKEN_UNAVAILABLE;
        break;
    case GRANT_ANONYMOUS:
    case GRANT_NOBODY:
    case GRANT_BANNED:
    case GRANT_UNKNOWN:
        out.status = SG_TOKEN_INVALID_GRANT;
        break;
    case GRANT_UNAVAILABLE:
        out.status = SG_TOKEN_UNAVAILABLE;
        break;
    }
    if (a->with_cookies && out.status == SG_TOKEN_OK && g->key[0] != '\0' &&
        a->realm->codec->key_to_credential(&a->realm->codec_config, sg_str(g->key), &credential,
                                           NULL) == 0)
        sg_cookie_set_legacy(a->realm->config, credential.ptr, &legacy_cookie);
    if (out.status == SG_TOKEN_OK)
        sg_b64url_add(&session, sg_slice((char *)g->sid, SG_SID_BYTES));
    out.session = sg_buf_slice(&session);
    out.set_cookie = sg_buf_slice(&set_cookie);
    out.legacy_cookie = sg_buf_slice(&legacy_cookie);
    reply(a, &out);
    sg_buf_free(&session);
    sg_buf_wipe(&set_cookie);
    sg_buf_wipe(&legacy_cookie);
    sg_buf_wipe(&credential);
}

static struct grant *
new_grant(struct asked *a, enum grant_want want, const char *audience)
{
    const struct sg_client_config *client =
        sg_config_client(a->realm->config, sg_str(a->client_id));
    struct grant *g = grant_new(a->realm);

    if (g == NULL) {
        fail(a, SG_TOKEN_UNAVAILABLE, "out of memory");
        return NULL;
    }
    if (want == WANT_TOKENS && (client->grants & SG_GRANT_REFRESH) == 0)
        want = WANT_JWT;
    g->want = want;
    g->client_id = a->client_id;
    g->audience = audience;
    g->owner = a;
    g->done = granted;
    return g;
}

/* ---- what is asked for, and what is granted ---- */

/* What of may is wanted, or the fallback where nothing is; false: more is wanted, or nothing is
 * left. */
static bool
narrow(char out[SG_WORDS_BYTES], struct sg_slice wanted, struct sg_slice may,
       struct sg_slice fallback)
{
    struct sg_buf list = SG_BUF_INIT(SG_WORDS_BYTES - 1);
    bool good;

    sg_words_common(&list, wanted.len > 0 ? wanted : fallback, may);
    good = list.len > 0 && sg_words_within(wanted, may);
    if (good)
        memcpy(out, list.ptr, list.len + 1);
    sg_buf_free(&list);
    return good;
}

/* had: what a grant that is used again was given; NULL = this is the first. False: it has answered.
 */
static bool
choose(struct asked *a, const struct sg_token_ask *ask, const char *had_audience,
       const char *had_scope)
{
    struct sg_buf audience = SG_BUF_INIT(SG_WORDS_BYTES), scope = SG_BUF_INIT(SG_WORDS_BYTES),
                  has_audience = SG_BUF_INIT(SG_WORDS_BYTES),
                  has_scope = SG_BUF_INIT(SG_WORDS_BYTES);
    bool target_good, scope_good;

    sg_words_add_all(&audience, ask->client->audiences);
    sg_words_add_all(&scope, ask->client->scope);
    sg_words_common(&has_audience,
                    had_audience != NULL ? sg_str(had_audience) : sg_buf_slice(&audience),
                    sg_buf_slice(&audience));
    sg_words_common(&has_scope, had_scope != NULL ? sg_str(had_scope) : sg_buf_slice(&scope),
                    sg_buf_slice(&scope));
    target_good = narrow(a->audience, ask->audience, sg_buf_slice(&has_audience),
                         had_audience != NULL ? sg_buf_slice(&has_audience)
                                              : sg_str(ask->client->audiences[0]));
    a->scope[0] = '\0';
    scope_good = (ask->scope.len == 0 && has_scope.len == 0) ||
                 narrow(a->scope, ask->scope, sg_buf_slice(&has_scope), sg_buf_slice(&has_scope));
    sg_buf_free(&audience);
    sg_buf_free(&scope);
    sg_buf_free(&has_audience);
    sg_buf_free(&has_scope);
    if (!target_good)
        fail(a, SG_TOKEN_INVALID_TARGET, "not an audience of this client, or of this grant");
    else if (!scope_good)
        fail(a, SG_TOKEN_INVALID_SCOPE, "more than this client, or this grant, may have");
    return target_good && scope_good;
}

/* ---- exchange ---- */

void
sg_token_exchange(struct sg_realm *realm, struct sg_slice credential,
                  const struct sg_token_ask *ask, sg_token_done done, void *ctx)
{
    struct asked *a = asked_new(realm, ask->client->id, done, ctx);
    struct grant *g;

    if (a == NULL || is_disabled(a) || !choose(a, ask, NULL, NULL))
        return;
    if (!sg_phase_rules(realm->policy.phase)->accept_legacy) {
        fail(a, SG_TOKEN_INVALID_GRANT, "session tokens are no longer accepted: log in again");
        return;
    }
    if (realm->codec->credential_to_key(&realm->codec_config, credential, &a->key, NULL) != 0) {
        fail(a, SG_TOKEN_INVALID_GRANT, "not a session token of this realm");
        return;
    }
    realm->counters.exchanged++;
    if ((g = new_grant(a, WANT_TOKENS, a->audience)) != NULL) {
        g->scope = a->scope;
        grant_from_legacy(g, a->key.ptr);
    }
}

/* ---- refresh ---- */

static void
reuse_ended(void *ctx, int rc, const struct sg_err *err)
{
    (void)rc;
    (void)err; /* its chain is dead already, whatever became of the session */
    fail(ctx, SG_TOKEN_INVALID_GRANT, "the refresh token was used before");
}

static void
reused(struct asked *a)
{
    a->realm->counters.refresh_reused++;
    /* While the legacy session lives the client can go on with that; later nothing else vouches for
     * it. */
    if (a->realm->policy.phase == SG_FINALIZED)
        end_session(a->realm, a->rotate.sid, a->rotate.bucket, "reuse", reuse_ended, a);
    else
        reuse_ended(a, 0, NULL);
}

static void
refreshed(struct grant *g)
{
    struct asked *a = g->owner;
    struct sg_rotate *r = &a->rotate;

    if (g->outcome == GRANT_NOBODY && r->outcome == SG_ROTATE_REUSED) {
        reused(a);
        return;
    }
    if (g->outcome == GRANT_TOKEN && r->outcome == SG_ROTATED)
        a->realm->counters.refreshed++;
    else if (g->outcome == GRANT_TOKEN) {
        a->realm->counters.refresh_grace++;
        if (sg_refresh_open_successor(&a->parent, sg_buf_slice(&r->successor_sealed), &a->next,
                                      NULL) != 0) {
            fail(a, SG_TOKEN_INVALID_GRANT, "the successor cannot be opened");
            return;
        }
    }
    granted(g);
}

static void judge(struct asked *a);

/* Until the refresh token has told what it was given. False: it has answered. */
static bool
keep_wanted(struct asked *a, const struct sg_token_ask *ask)
{
    if (ask->audience.len >= sizeof a->audience)
        fail(a, SG_TOKEN_INVALID_TARGET, "not an audience of this grant");
    else if (ask->scope.len >= sizeof a->scope)
        fail(a, SG_TOKEN_INVALID_SCOPE, "more than this grant may have");
    else {
        snprintf(a->audience, sizeof a->audience, "%.*s", (int)ask->audience.len,
                 ask->audience.ptr);
        snprintf(a->scope, sizeof a->scope, "%.*s", (int)ask->scope.len, ask->scope.ptr);
        return true;
    }
    return false;
}

/* The idle time seemed over; if the source knows better, its word is stored now and the token can
 * be used. */
static void
source_asked(struct grant *g)
{
    struct asked *a = g->owner;

    if (g->outcome == GRANT_NO_TOKEN)
        judge(a);
    else
        fail(a, g->outcome == GRANT_UNAVAILABLE ? SG_TOKEN_UNAVAILABLE : SG_TOKEN_INVALID_GRANT,
             g->why);
}

/* It may be used: everything that can fail comes first, so that a store that is down for longer
 * than the grace does not turn the client's retries into a reuse. */
static void
use(struct asked *a)
{
    struct sg_rotate *r = &a->rotate;
    struct sg_token_ask ask = {.client = sg_config_client(a->realm->config, sg_str(a->client_id)),
                               .audience = sg_str(a->audience),
                               .scope = sg_str(a->scope)};
    char audience[SG_WORDS_BYTES], scope[SG_WORDS_BYTES];
    struct grant *g;

    memcpy(audience, a->audience, sizeof audience);
    memcpy(scope, a->scope, sizeof scope);
    ask.audience.ptr = audience;
    ask.scope.ptr = scope;
    if (!choose(a, &ask, r->audience, r->scope))
        return;
    r->next_sealed = sg_buf_slice(&a->next_sealed);
    if ((g = new_grant(a, WANT_JWT, a->audience)) != NULL) {
        g->scope = a->scope;
        g->rotate = r;
        g->done = refreshed;
        grant_from_session(g, r->sid, r->bucket);
    }
}

static void
judged(void *ctx, int rc, const struct sg_err *err)
{
    struct asked *a = ctx;
    struct sg_rotate *r = &a->rotate;
    struct grant *g;

    a->realm->engine->open_ops--;
    if (rc != 0) {
        if (err->code == SG_E_NOT_OWNER) {
            a->realm->counters.not_owner++;
            control_reread_map(a->realm->engine);
        }
        fail(a, SG_TOKEN_UNAVAILABLE, sg_code_name(err->code));
        return;
    }
    switch (r->outcome) {
    case SG_ROTATED:
    case SG_ROTATED_GRACE:
        use(a);
        return;
    case SG_ROTATE_REUSED:
        reused(a);
        return;
    case SG_ROTATE_UNKNOWN:
        fail(a, SG_TOKEN_INVALID_GRANT, "unknown refresh token");
        return;
    case SG_ROTATE_EXPIRED:
        fail(a, SG_TOKEN_INVALID_GRANT, "the refresh token has expired");
        return;
    case SG_ROTATE_ENDED:
        fail(a, SG_TOKEN_INVALID_GRANT, "the session has ended");
        return;
    case SG_ROTATE_LAPSED:
        if (a->asked_source)
            fail(a, SG_TOKEN_INVALID_GRANT, "the session has expired");
        else if ((g = new_grant(a, WANT_CHECK, a->realm->config->audiences[0])) != NULL) {
            a->asked_source = true;
            g->done = source_asked;
            grant_from_session(g, r->sid, r->bucket);
        }
        return;
    }
}

static void
judge(struct asked *a)
{
    struct sg_engine *e = a->realm->engine;

    e->open_ops++;
    sg_store_rotate(e->store, &a->rotate, engine_deadline(e, OP_TIMEOUT_MS), judged, a);
}

void
sg_token_refresh(struct sg_realm *realm, struct sg_slice refresh_token,
                 const struct sg_token_ask *ask, sg_token_done done, void *ctx)
{
    struct asked *a = asked_new(realm, ask->client->id, done, ctx);
    struct sg_hash digest, next_digest;
    struct sg_rotate *r;

    if (a == NULL || is_disabled(a) || !keep_wanted(a, ask))
        return;
    if (sg_refresh_parse(refresh_token, &a->parent, NULL) != 0) {
        fail(a, SG_TOKEN_INVALID_GRANT, "not a refresh token");
        return;
    }
    sg_refresh_generate(a->parent.bucket, &a->next);
    if (sg_refresh_seal_successor(&a->parent, &a->next, &a->next_sealed, NULL) != 0) {
        fail(a, SG_TOKEN_UNAVAILABLE, "seal");
        return;
    }
    digest = sg_refresh_digest(&realm->digest_key, sg_str(a->parent.text));
    next_digest = sg_refresh_digest(&realm->digest_key, sg_str(a->next.text));
    r = &a->rotate;
    r->realm = realm->config->name;
    r->bucket = (int)a->parent.bucket;
    r->client_id = a->client_id;
    r->grace_ms = realm->config->refresh_grace_ms;
    r->lifetime_ms = realm->config->refresh_lifetime_ms;
    r->successor_sealed = SG_BUF_INIT(SG_SUCCESSOR_BYTES);
    memcpy(r->digest, digest.b, sizeof r->digest);
    memcpy(r->next_digest, next_digest.b, sizeof r->next_digest);
    judge(a);
}

/* ---- a client's token for itself ---- */

static void
add_names(struct sg_names *names, const char *const *list)
{
    sg_names_clear(names);
    for (; *list != NULL; list++)
        if (sg_names_add(names, sg_str(*list), NULL) != 0)
            break; /* the configuration keeps narrower bounds */
}

void
sg_token_for_client(struct sg_realm *realm, const struct sg_token_ask *ask, sg_token_done done,
                    void *ctx)
{
    struct asked *a = asked_new(realm, ask->client->id, done, ctx);
    struct sg_names roles, permissions;
    struct minted minted;
    struct sg_token_out out = {.status = SG_TOKEN_OK};
    struct mint_request q;

    if (a == NULL || is_disabled(a) || !choose(a, ask, NULL, NULL))
        return;
    add_names(&roles, ask->client->roles);
    add_names(&permissions, ask->client->permissions);
    q = (struct mint_request){
        .subject = ask->client->id,
        .client_id = ask->client->id,
        .audience = a->audience,
        .scope = a->scope,
        .binding = "",
        .bucket = (int)sg_bucket(sg_str(realm->config->name), sg_str(ask->client->id)),
        .roles = &roles,
        .permissions = &permissions,
        .lifetime_ms = realm->config->token.lifetime_ms};
    if (mint(realm, &q, &minted, NULL) != 0) {
        fail(a, SG_TOKEN_UNAVAILABLE, "mint");
        return;
    }
    realm->counters.minted_client++;
    out.access_token = sg_slice(minted.token, minted.len);
    out.expires_in_sec = minted.expires_in_sec;
    out.scope = sg_str(a->scope);
    reply(a, &out);
    explicit_bzero(&minted, sizeof minted);
}

/* ---- revoke: logout ---- */

static void
revoked(void *ctx, int rc, const struct sg_err *err)
{
    struct asked *a = ctx;
    struct sg_token_out out = {.why = "revoked"};

    if (rc != 0 && err->code == SG_E_DENIED)
        fail(a, SG_TOKEN_INVALID_GRANT, "the token was issued to another client");
    else if (rc != 0)
        fail(a, SG_TOKEN_UNAVAILABLE, sg_code_name(err->code));
    else
        reply(a, &out);
}

void
sg_token_revoke(struct sg_realm *realm, struct sg_slice token, const char *client_id,
                sg_token_done done, void *ctx)
{
    struct asked *a = asked_new(realm, client_id, done, ctx);
    struct sg_refresh refresh;
    struct segue_verify_buf buf;
    struct segue_claims claims;
    enum segue_status status;
    uint8_t id[SG_SID_BYTES];

    if (a == NULL)
        return;
    if (sg_refresh_parse(token, &refresh, NULL) == 0) {
        end_by_refresh(realm, &refresh, client_id, revoked, a);
        return;
    }
    if (sg_looks_like_jwt(token)) {
        status = mint_verify(realm, token, &buf, &claims);
        /* A distrusted one has no power left, not even this. */
        if ((status == SEGUE_OK || status == SEGUE_EXPIRED) && mint_token_id(&claims, id) &&
            claims.re >= realm->policy.realm_epoch) {
            if (sg_slice_eq(sg_slice(claims.client_id.ptr, claims.client_id.len),
                            sg_str(client_id)))
                end_session(realm, id, (int)claims.bkt, "logout", revoked, a);
            else
                fail(a, SG_TOKEN_INVALID_GRANT, "the token was issued to another client");
            return;
        }
    } else if (sg_phase_rules(realm->policy.phase)->accept_legacy &&
               realm->codec->credential_to_key(&realm->codec_config, token, &a->key, NULL) == 0) {
        end_by_key(realm, a->key.ptr, revoked, a);
        return;
    }
    revoked(a, 0, NULL); /* RFC 7009 section 2.2: an invalid token is no error */
}

/* ---- create: login ---- */

static void
created(struct sg_legacy_request *request)
{
    struct asked *a = sg_container_of(request, struct asked, create);
    struct grant *g;
    int rc = request->rc;

    a->realm->engine->open_ops--;
    sg_legacy_request_clear(request);
    if (rc != 0) {
        fail(a, SG_TOKEN_UNAVAILABLE, "the legacy store is down");
        return;
    }
    sg_fault("create.after_legacy");
    if ((g = new_grant(a, a->login_want, a->audience)) != NULL)
        grant_from_legacy(g, a->key.ptr);
}

void
sg_session_create(struct sg_realm *realm, const char *subject, const char *client_id,
                  const char *audience, bool refreshable, sg_token_done done, void *ctx)
{
    struct asked *a = asked_new(realm, client_id, done, ctx);
    int64_t idle_ms = realm->config->legacy.default_idle_ms;
    struct grant *g;
    struct sg_err err;

    if (a == NULL || is_disabled(a))
        return;
    a->with_cookies = true;
    a->login_want = refreshable ? WANT_TOKENS : WANT_JWT;
    realm->counters.created++;
    snprintf(a->audience, sizeof a->audience, "%s", audience);
    if (!sg_phase_rules(realm->policy.phase)->mirror) {
        if ((g = new_grant(a, a->login_want, a->audience)) != NULL)
            grant_for_login(g, subject);
        return;
    }
    if (realm->codec->create(&realm->codec_config, subject, sg_wall_ms(realm->engine->clock),
                             idle_ms, &a->key, &a->value, &err) != 0) {
        fail(a, SG_TOKEN_INVALID_REQUEST, "the subject cannot be written in the legacy format");
        return;
    }
    a->create.op = SG_LEGACY_CREATE;
    snprintf(a->create.key, sizeof a->create.key, "%s", a->key.ptr);
    a->create.value = sg_buf_slice(&a->value);
    a->create.ttl_ms = idle_ms;
    a->create.deadline_ns = engine_deadline(realm->engine, OP_TIMEOUT_MS);
    a->create.done = created;
    realm->engine->open_ops++;
    realm->legacy->type->submit(realm->legacy, &a->create);
}
