/* SPDX-License-Identifier: MIT */
#include "session/mint.h"

#include "base/encode.h"
#include "session/custom_claims.h"

static struct segue_slice
pub(const char *s)
{
    return (struct segue_slice){s, strlen(s)};
}

static size_t
names_out(const struct sg_names *names, struct segue_slice *out)
{
    int i;

    for (i = 0; i < names->n; i++)
        out[i] = pub(names->name[i]);
    return (size_t)names->n;
}

int
mint(struct sg_realm *realm, const struct mint_request *q, struct minted *out, struct sg_err *err)
{
    struct sg_buf sid = SG_BUF_INIT(64), jti = SG_BUF_INIT(64);
    struct segue_slice roles[SG_ROLES_MAX], permissions[SG_ROLES_MAX], aud = pub(q->audience);
    struct segue_claims c = SEGUE_CLAIMS_INIT;
    struct custom_claims custom;
    int64_t now = sg_wall_ms(realm->engine->clock) / 1000;
    struct segue_error why;
    enum segue_status status;
    uint8_t random[16];

    if (realm->signing == NULL)
        return sg_fail(err, SG_E_UNAVAILABLE, realm->config->name,
                       "no active signing key was read yet");
    if (custom_claims_read(realm->config, q->attributes, &custom, NULL, err) != 0)
        return -1;
    sg_random(random, sizeof random);
    sg_b64url_add(&jti, sg_slice((char *)random, sizeof random));
    sg_b64url_add(&sid, sg_slice((const char *)q->sid, SG_SID_BYTES));
    c.iss = pub(realm->config->issuer);
    c.sub = pub(q->subject);
    c.client_id = pub(q->client_id);
    c.aud = &aud;
    c.n_aud = 1;
    c.jti = (struct segue_slice){jti.ptr, jti.len};
    c.sid = (struct segue_slice){sid.ptr, sid.len};
    c.iat = now;
    out->again = false;
    out->expires_in_sec = (q->lifetime_ms + 999) / 1000;
    c.exp = now + out->expires_in_sec;
    c.roles = roles;
    c.n_roles = names_out(q->roles, roles);
    c.permissions = permissions;
    c.n_permissions = names_out(q->permissions, permissions);
    c.bkt = q->bucket;
    c.sv = q->epoch;
    c.rv = q->source_version >= 0 ? q->source_version : 0;
    c.re = realm->policy.realm_epoch;
    if (q->binding[0] != '\0')
        c.lh = pub(q->binding);
    c.extra = custom.extra;
    c.n_extra = custom.n;
    status = segue_mint(realm->signing, &c, out->token, sizeof out->token, &out->len, &why);
    sg_buf_free(&sid);
    sg_buf_free(&jti);
    if (status != SEGUE_OK)
        return sg_fail(err, status == SEGUE_TOO_LARGE ? SG_E_LIMIT : SG_E_INTERNAL, "mint",
                       "%s: %s", segue_strerror(status), why.text);
    return 0;
}

/* All that the token says, but its times and its id. */
static struct sg_hash
content_of(const struct sg_realm *realm, const struct mint_request *q)
{
    char numbers[96];
    const struct sg_slice fields[] = {
        sg_str(q->subject),
        sg_str(q->client_id),
        sg_str(q->audience),
        sg_str(q->binding),
        sg_slice(q->roles->text, q->roles->used),
        sg_slice(q->permissions->text, q->permissions->used),
        sg_str(q->attributes),
        sg_str(realm->signing != NULL ? segue_key_kid(realm->signing) : ""),
        sg_slice(numbers,
                 (size_t)snprintf(numbers, sizeof numbers, "%d %d %lld %d", q->bucket, q->epoch,
                                  (long long)q->source_version, realm->policy.realm_epoch))};

    return sg_hash_fields("segue issued", fields, sizeof fields / sizeof fields[0]);
}

int
mint_again(struct sg_realm *realm, const struct mint_request *q, struct minted *out,
           struct sg_err *err)
{
    int64_t now = sg_wall_ms(realm->engine->clock) / 1000, keep_ms = q->lifetime_ms / 3;
    struct sg_hash content = content_of(realm, q);
    const struct issued *s = issued_find(realm, q->sid, &content);

    /* Not beyond what the session has left by now. */
    if (s != NULL && s->exp_sec <= now + (q->lifetime_ms + 999) / 1000) {
        out->len = strlen(s->token);
        memcpy(out->token, s->token, out->len + 1);
        out->expires_in_sec = s->exp_sec - now;
        out->again = true;
        return 0;
    }
    if (mint(realm, q, out, err) != 0)
        return -1;
    issued_put(realm, q->sid, &content, out->token, now + out->expires_in_sec,
               keep_ms < ISSUED_MS ? keep_ms : ISSUED_MS);
    return 0;
}

int64_t
mint_lifetime_ms(const struct sg_realm *realm, int64_t idle_ms, int64_t absolute_in_ms)
{
    int64_t ms = realm->config->token.lifetime_ms;

    if (idle_ms > 0 && ms > idle_ms / 3)
        ms = idle_ms / 3;
    return ms < absolute_in_ms ? ms : absolute_in_ms;
}

enum segue_status
mint_verify(struct sg_realm *realm, struct sg_slice token, struct segue_verify_buf *buf,
            struct segue_claims *claims)
{
    struct segue_policy policy = {.issuer = realm->config->issuer,
                                  .audiences = realm->config->audiences,
                                  .leeway_sec = (int)(realm->config->token.leeway_ms / 1000)};
    int64_t now_sec = sg_wall_ms(realm->engine->clock) / 1000;
    enum segue_status status = segue_cache_verify(realm->verified, realm->keys, &policy, now_sec,
                                                  token.ptr, token.len, buf, claims);
    struct segue_cache_stats stats;

    segue_cache_get_stats(realm->verified, &stats);
    realm->counters.token_kept = stats.hits;
    realm->counters.token_signature = stats.misses;
    if (status != SEGUE_UNKNOWN_KEY || segue_keyset_count(realm->old_keys) == 0)
        return status;
    /* A key is retired once all it signed has expired, so whatever has not is somebody else's. */
    status = segue_verify(realm->old_keys, &policy, now_sec, token.ptr, token.len, buf, claims);
    return status == SEGUE_EXPIRED ? SEGUE_EXPIRED : SEGUE_UNKNOWN_KEY;
}
