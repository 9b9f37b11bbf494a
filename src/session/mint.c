/* SPDX-License-Identifier: MIT */
#include "session/mint.h"

#include "base/encode.h"
#include "base/words.h"
#include "session/held_keys.h"

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

void
mint_scope_of(const struct sg_realm_config *config, const char *client_id, struct sg_buf *out)
{
    const struct sg_client_config *client = sg_config_client(config, sg_str(client_id));

    if (client != NULL)
        sg_words_add_all(out, client->scope);
}

static size_t
words_out(const char *words, struct segue_slice *out)
{
    struct sg_slice rest = sg_str(words), word;
    size_t n = 0;

    while (n < SG_LIST_MAX && sg_words_next(&rest, &word))
        out[n++] = (struct segue_slice){word.ptr, word.len};
    return n;
}

static void
fill_scope(const struct sg_realm_config *config, const struct mint_request *q,
           struct mint_room *room, struct segue_claims *c)
{
    struct sg_buf scope = SG_BUF_INIT(sizeof room->scope - 1);

    if (q->scope != NULL)
        sg_buf_puts(&scope, q->scope);
    else
        mint_scope_of(config, q->client_id, &scope);
    snprintf(room->scope, sizeof room->scope, "%s", scope.len > 0 ? scope.ptr : "");
    sg_buf_free(&scope);
    if (room->scope[0] != '\0')
        c->scope = pub(room->scope);
}

int
mint_fill(const struct sg_realm_config *config, int realm_epoch, int64_t now_sec,
          const struct mint_request *q, bool by_reference, struct mint_room *room,
          struct segue_claims *c, struct sg_err *err)
{
    uint8_t random[SG_SID_BYTES];

    sg_random(random, sizeof random);
    sg_b64url_text(random, sizeof random, room->jti);
    *c = (struct segue_claims)SEGUE_CLAIMS_INIT;
    c->iss = pub(config->issuer);
    c->sub = pub(q->subject);
    c->client_id = pub(q->client_id);
    c->aud = room->aud;
    c->n_aud = words_out(q->audience, room->aud);
    c->jti = pub(room->jti);
    if (q->sid != NULL) {
        sg_b64url_text(q->sid, SG_SID_BYTES, room->sid);
        c->sid = pub(room->sid);
    }
    fill_scope(config, q, room, c);
    c->iat = now_sec;
    c->exp = now_sec + (q->lifetime_ms + 999) / 1000;
    c->bkt = q->bucket;
    c->sv = q->epoch;
    c->rv = q->source_version >= 0 ? q->source_version : 0;
    c->re = realm_epoch;
    if (q->binding[0] != '\0')
        c->lh = pub(q->binding);
    if (by_reference) {
        room->reference =
            (struct segue_extra){.name = pub(SG_CLAIM_REFERENCE), .kind = SEGUE_INT, .number = 1};
        c->extra = &room->reference;
        c->n_extra = 1;
        return 0;
    }
    /* A client has no attributes. */
    room->custom.n = 0;
    if (q->sid != NULL && custom_claims_read(config, q->attributes, &room->custom, NULL, err) != 0)
        return -1;
    c->extra = room->custom.extra;
    c->n_extra = room->custom.n;
    c->roles = room->roles;
    c->n_roles = names_out(q->roles, room->roles);
    c->permissions = room->permissions;
    c->n_permissions = names_out(q->permissions, room->permissions);
    return 0;
}

/* SG_E_LIMIT: longer than cap allows. */
static int
mint_as(struct sg_realm *r, const struct mint_request *q, bool by_reference, char *out, size_t cap,
        size_t *len, struct sg_err *err)
{
    struct segue_error why = {.text = ""};
    enum segue_status status;
    struct segue_claims c;
    struct mint_room room;

    if (mint_fill(r->config, r->policy.realm_epoch, sg_wall_ms(r->engine->clock) / 1000, q,
                  by_reference, &room, &c, err) != 0)
        return -1;
    status = segue_mint(r->signing, &c, out, cap, len, &why);
    if (status == SEGUE_OK)
        return 0;
    return sg_fail(err, status == SEGUE_TOO_LARGE ? SG_E_LIMIT : SG_E_INTERNAL, "mint", "%s: %s",
                   segue_strerror(status), why.text);
}

/* At most once a minute: it is the same subjects again and again. */
static void
tell_no_cookie(struct sg_realm *r)
{
    uint64_t now = sg_mono_ns(r->engine->clock);
    struct sg_err err;

    r->counters.refused_size++;
    if (r->size_told_ns != 0 && now - r->size_told_ns < 60000 * SG_NS_PER_MS)
        return;
    r->size_told_ns = now;
    sg_fail(&err, SG_E_LIMIT, r->config->name, "see `segue report sizes`");
    engine_event(r->engine, true,
                 "a token is too long for a cookie even without roles: no cookie is set", &err);
}

/* A browser drops what is longer than it keeps, without a word: the login would seem not to take.
 */
static void
fit_in_cookie(struct sg_realm *r, const struct mint_request *q, struct minted *out)
{
    size_t room = sg_cookie_room(r->config), len;
    struct sg_err err;

    out->small[0] = '\0';
    if (out->len <= room)
        return;
    out->no_cookie = room == 0 || mint_as(r, q, true, out->small, room + 1, &len, &err) != 0;
    if (out->no_cookie)
        tell_no_cookie(r);
    else
        r->counters.minted_reference++;
}

int
mint(struct sg_realm *realm, const struct mint_request *q, struct minted *out, struct sg_err *err)
{
    size_t cap = (size_t)realm->config->token.max_bytes + 1;
    struct sg_err why;
    int rc;

    if (realm->signing == NULL)
        return sg_fail(err, SG_E_UNAVAILABLE, realm->config->name, "%s", held_keys_missing(realm));
    out->expires_in_sec = (q->lifetime_ms + 999) / 1000;
    out->again = out->no_cookie = false;
    rc = mint_as(realm, q, false, out->token, cap, &out->len, &why);
    /* A client's own token has no session that would know its roles. */
    out->by_reference = rc != 0 && why.code == SG_E_LIMIT && q->sid != NULL;
    if (out->by_reference) {
        rc = mint_as(realm, q, true, out->token, cap, &out->len, &why);
        realm->counters.minted_reference++;
        realm->counters.refused_size += rc != 0;
    }
    if (rc != 0)
        return sg_fail(err, why.code, why.place, "%s", why.text);
    if (q->sid != NULL)
        fit_in_cookie(realm, q, out);
    return 0;
}

const char *
minted_cookie(const struct minted *m)
{
    return m->no_cookie ? NULL : m->small[0] != '\0' ? m->small : m->token;
}

bool
mint_is_reference(const struct segue_claims *c)
{
    size_t i;

    for (i = 0; i < c->n_extra; i++)
        if (sg_slice_eq(sg_slice(c->extra[i].name.ptr, c->extra[i].name.len),
                        sg_str(SG_CLAIM_REFERENCE)))
            return true;
    return false;
}

bool
mint_is_client(const struct segue_claims *c)
{
    return c->sid.ptr == NULL && c->sub.len == c->client_id.len &&
           memcmp(c->sub.ptr, c->client_id.ptr, c->sub.len) == 0;
}

bool
mint_token_id(const struct segue_claims *c, uint8_t id[SG_SID_BYTES])
{
    struct segue_slice text = mint_is_client(c) ? c->jti : c->sid;

    return text.ptr != NULL && c->bkt >= 0 &&
           sg_b64url_decode(sg_slice(text.ptr, text.len), id, SG_SID_BYTES) == SG_SID_BYTES;
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
        sg_str(q->scope != NULL ? q->scope : " "), /* as no scope is */
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

    /* Neither one that has expired, nor beyond what the session has left by now. */
    if (s != NULL && s->exp_sec > now && s->exp_sec <= now + (q->lifetime_ms + 999) / 1000) {
        out->len = strlen(s->token);
        memcpy(out->token, s->token, out->len + 1);
        out->expires_in_sec = s->exp_sec - now;
        out->again = true;
        out->small[0] = '\0';
        out->by_reference = out->no_cookie = false;
        return 0;
    }
    if (mint(realm, q, out, err) != 0)
        return -1;
    /* What leaves its roles out is two tokens, and rare. */
    if (out->by_reference || out->small[0] != '\0' || out->no_cookie)
        return 0;
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
