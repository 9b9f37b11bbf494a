/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "base/words.h"
#include "session/cookie.h"
#include "session/credentials.h"
#include "session/verify_internal.h"

#include <stdlib.h>

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

void
verify_refuse(struct verify *v, int status, const char *why, bool bad_token)
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
        mint_scope_of(v->realm->config, v->in.client_id, &all);
    else
        sg_buf_add(&all, sg_slice(v->claims.scope.ptr, v->claims.scope.len));
    good = sg_words_within(sg_buf_slice(&v->scope), sg_buf_slice(&all));
    sg_buf_free(&all);
    return good;
}

void
verify_answer(struct verify *v, enum sg_credential credential, const char *why)
{
    struct sg_buf roles = SG_BUF_INIT(HEADER_MAX), permissions = SG_BUF_INIT(HEADER_MAX),
                  session = SG_BUF_INIT(64), cookie = SG_BUF_INIT(HEADER_MAX + 1024),
                  set_cookie = SG_BUF_INIT(HEADER_MAX);
    bool jwt_used = credential != SG_CRED_LEGACY && credential != SG_CRED_NONE;
    struct sg_verify_out out = {.status = 200, .why = why, .credential = credential};

    if (v->scope.len > 0 && !has_scope(v, credential)) {
        v->bad_scope = true;
        verify_refuse(v, 403, "the request needs a scope that the token does not have", false);
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
        (v->jwt_in_cookie || v->legacy_in_cookie)) {
        if (minted_cookie(&v->fresh) != NULL)
            sg_cookie_set(v->realm->config, minted_cookie(&v->fresh), &set_cookie);
    } else if (v->jwt_in_cookie && !jwt_used && !v->has_fresh && !v->keep_jwt)
        sg_cookie_remove(v->realm->config, &set_cookie);
    out.subject = sg_str(v->subject);
    out.roles = sg_buf_slice(&roles);
    out.permissions = sg_buf_slice(&permissions);
    out.session = sg_buf_slice(&session);
    out.jwt = v->has_fresh ? sg_slice(v->fresh.token, v->fresh.len)
              : jwt_used && v->state == JWT_GOOD && !v->outdated ? v->jwt
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

void
verify_nobody(struct verify *v, const char *why)
{
    /* A session cookie that is no longer accepted gets the explanation as well. */
    bool bad_token =
        v->foreign || (v->jwt.ptr != NULL && !v->jwt_in_cookie) ||
        (v->legacy.ptr != NULL &&
         (!v->legacy_in_cookie || !sg_phase_rules(v->realm->policy.phase)->accept_legacy));

    v->subject[0] = '\0';
    if (v->csrf)
        verify_refuse(v, 403,
                      "a cookie-borne token on an unsafe method needs a matching Origin or "
                      "Sec-Fetch-Site",
                      false);
    else if (v->jwt.ptr != NULL && !v->jwt_in_cookie)
        verify_refuse(v, 401, why, true);
    else if (v->in.required || v->scope.len > 0)
        verify_refuse(v, 401, why, bad_token);
    else
        verify_answer(v, SG_CRED_NONE, why);
}
