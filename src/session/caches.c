/* SPDX-License-Identifier: MIT */
#include "session/engine_internal.h"

#include <stdlib.h>

static size_t
slot_of(const uint8_t *mac, size_t slots)
{
    uint32_t h;

    memcpy(&h, mac, sizeof h); /* digests and sids are MACs: any bytes will do */
    return h % slots;
}

const struct recent *
recent_find(const struct sg_realm *r, const uint8_t digest[SG_DIGEST_BYTES])
{
    const struct recent *s = &r->recent[slot_of(digest, RECENT_SLOTS)];

    if (s->until_ns < sg_mono_ns(r->engine->clock) || s->policy_version != r->policy.version ||
        memcmp(s->digest, digest, SG_DIGEST_BYTES) != 0 ||
        sg_revoked_has_session(r->revoked, s->sid))
        return NULL;
    return s;
}

void
recent_put(struct sg_realm *r, const uint8_t digest[SG_DIGEST_BYTES],
           const uint8_t sid[SG_SID_BYTES], const char *subject)
{
    struct recent *s = &r->recent[slot_of(digest, RECENT_SLOTS)];

    memcpy(s->digest, digest, SG_DIGEST_BYTES);
    memcpy(s->sid, sid, SG_SID_BYTES);
    snprintf(s->subject, sizeof s->subject, "%s", subject);
    s->policy_version = r->policy.version;
    s->until_ns = engine_deadline(r->engine, RECENT_MS);
}

void
recent_forget(struct sg_realm *r, const uint8_t digest[SG_DIGEST_BYTES])
{
    struct recent *s = &r->recent[slot_of(digest, RECENT_SLOTS)];

    if (memcmp(s->digest, digest, SG_DIGEST_BYTES) == 0)
        s->until_ns = 0;
}

const char *
handle_find(const struct sg_realm *r, const uint8_t sid[SG_SID_BYTES])
{
    const struct handle_slot *s = &r->handles[slot_of(sid, HANDLE_SLOTS)];

    return s->used && memcmp(s->sid, sid, SG_SID_BYTES) == 0 ? s->key : NULL;
}

void
handle_put(struct sg_realm *r, const uint8_t sid[SG_SID_BYTES], const char *key)
{
    struct handle_slot *s = &r->handles[slot_of(sid, HANDLE_SLOTS)];

    if (strlen(key) >= sizeof s->key)
        return;
    memcpy(s->sid, sid, SG_SID_BYTES);
    strcpy(s->key, key);
    s->used = true;
}

static struct identity_slot *
identity_slot(const struct sg_realm *r, const char *subject)
{
    return (struct identity_slot *)&r
        ->identities[sg_bucket(sg_str(r->config->name), sg_str(subject)) % IDENTITY_SLOTS];
}

const struct sg_identity *
identity_find(const struct sg_realm *r, const char *subject)
{
    const struct identity_slot *s = identity_slot(r, subject);

    if (s->identity == NULL || s->until_ns < sg_mono_ns(r->engine->clock) ||
        strcmp(s->identity->subject, subject) != 0)
        return NULL;
    return s->identity;
}

void
identity_put(struct sg_realm *r, const struct sg_identity *identity)
{
    struct identity_slot *s = identity_slot(r, identity->subject);
    const struct sg_revoked_subject *told =
        sg_revoked_subject(r->revoked, sg_str(identity->subject));

    if (told != NULL && told->source_version > identity->version)
        return; /* read before the change that the feed has brought meanwhile */
    if (s->identity == NULL && (s->identity = malloc(sizeof *s->identity)) == NULL)
        return;
    sg_identity_copy(s->identity, identity);
    s->until_ns = engine_deadline(r->engine, IDENTITY_FRESH_MS);
}

void
identity_forget(struct sg_realm *r, const char *subject)
{
    struct identity_slot *s = identity_slot(r, subject);

    if (s->identity != NULL && strcmp(s->identity->subject, subject) == 0)
        s->until_ns = 0;
}

const struct issued *
issued_find(const struct sg_realm *r, const uint8_t sid[SG_SID_BYTES],
            const struct sg_hash *content)
{
    const struct issued *s = &r->issued[slot_of(sid, ISSUED_SLOTS)];

    return s->until_ns > sg_mono_ns(r->engine->clock) && memcmp(s->sid, sid, SG_SID_BYTES) == 0 &&
                   memcmp(s->content.b, content->b, sizeof content->b) == 0
               ? s
               : NULL;
}

static void
issued_clear(struct issued *s)
{
    if (s->token != NULL)
        explicit_bzero(s->token, strlen(s->token));
    free(s->token);
    memset(s, 0, sizeof *s);
}

void
issued_put(struct sg_realm *r, const uint8_t sid[SG_SID_BYTES], const struct sg_hash *content,
           const char *token, int64_t exp_sec, int64_t keep_ms)
{
    struct issued *s = &r->issued[slot_of(sid, ISSUED_SLOTS)];

    issued_clear(s);
    if ((s->token = strdup(token)) == NULL)
        return;
    memcpy(s->sid, sid, SG_SID_BYTES);
    s->content = *content;
    s->exp_sec = exp_sec;
    s->until_ns = engine_deadline(r->engine, keep_ms);
}

void
caches_free(struct sg_realm *r)
{
    size_t i;

    for (i = 0; i < ISSUED_SLOTS; i++)
        issued_clear(&r->issued[i]);

    for (i = 0; i < IDENTITY_SLOTS; i++)
        free(r->identities[i].identity);
    explicit_bzero(r->handles, sizeof r->handles);
}
