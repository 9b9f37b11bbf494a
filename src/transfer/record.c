/* SPDX-License-Identifier: MIT */
#include "transfer/record.h"

#include "keys/digest.h"
#include "store/sealed.h"

#include <stdio.h>

#define KEPT_KEY_BYTES 65536

static void
reject(struct sg_record *r, const char *reason, const char *place)
{
    r->reject = reason;
    snprintf(r->place, sizeof r->place, "%.*s", (int)sizeof r->place - 1, place);
}

static void
decode_value(const struct sg_bridge *b, struct sg_record *r)
{
    struct sg_legacy_record said = {0};
    struct sg_err err;

    if (b->codec->decode(&b->codec_config, r->value, &said, &err) != 0) {
        char place[sizeof err.place + sizeof err.text + 2];

        snprintf(place, sizeof place, "%s: %s", err.place, err.text);
        reject(r, SG_REJECT_DECODE, place);
        return;
    }
    memcpy(r->subject, said.subject, sizeof r->subject);
    r->idle_ms = said.idle_ms > 0 ? said.idle_ms : b->config->legacy.default_idle_ms;
    /* A key without a TTL lives on by itself; it is renewed here by every scan. */
    r->expires_in_ms = r->ttl_ms >= 0 ? r->ttl_ms : r->idle_ms;
}

void
sg_record_decode(const struct sg_bridge *b, struct sg_record *r, const char *found)
{
    struct sg_hash digest = sg_store_key_digest(&b->realm_key, r->key);

    memcpy(r->digest, digest.b, sizeof r->digest);
    r->bucket = sg_bridge_bucket_of_digest(b, r->digest);
    r->subject[0] = '\0';
    r->reject = NULL;
    r->place[0] = '\0';
    if (found != NULL)
        reject(r, found, "value");
    else if (r->key.len > SG_LEGACY_KEY_MAX)
        reject(r, SG_REJECT_KEY, "key");
    else if (r->value.len > SG_LEGACY_VALUE_MAX)
        reject(r, SG_REJECT_SIZE, "value");
    else
        decode_value(b, r);
}

void
sg_record_sid(const struct sg_bridge *b, const uint8_t *digest, const char *subject, int generation,
              uint8_t sid[SG_SID_BYTES], int *bucket)
{
    struct sg_hash h;
    struct sg_sid id;

    memcpy(h.b, digest, sizeof h.b);
    id = sg_session_id(&b->realm_key, &h, sg_str(subject), (uint64_t)generation);
    memcpy(sid, id.b, SG_SID_BYTES);
    *bucket = sg_bridge_session_bucket(b, subject, digest);
}

int
sg_record_seal_reject(const struct sg_bridge *b, const struct sg_record *r, struct sg_buf *key,
                      struct sg_buf *value, struct sg_err *err)
{
    /* Nobody names a session so; its beginning is enough to find it by hand. */
    size_t key_bytes = r->key.len < KEPT_KEY_BYTES ? r->key.len : KEPT_KEY_BYTES;

    if (sg_seal_reject_key(b->ring, b->realm, r->digest, sg_slice(r->key.ptr, key_bytes), key,
                           err) != 0)
        return -1;
    if (r->value.len == 0 || r->value.len > SG_LEGACY_VALUE_MAX)
        return 0;
    return sg_seal_reject_value(b->ring, b->realm, r->digest, r->value, value, err);
}
