/* SPDX-License-Identifier: MIT */
#include "transfer/recent.h"

#include <stdlib.h>
#include <string.h>

struct slot {
    uint8_t key[16]; /* of its digest: keyed, so nobody can choose a collision */
    uint8_t value[16];
    int64_t expires_ms; /* 0 = empty */
};

struct sg_recent {
    struct slot slots[SG_RECENT_SLOTS];
};

int
sg_recent_new(struct sg_recent **out, struct sg_err *err)
{
    struct sg_recent *r = calloc(1, sizeof *r);

    if (r == NULL)
        return sg_fail(err, SG_E_INTERNAL, "recent", "out of memory");
    *out = r;
    return 0;
}

void
sg_recent_free(struct sg_recent *r)
{
    free(r);
}

static size_t
index_of(const uint8_t *key_digest)
{
    return ((size_t)key_digest[16] << 8 | key_digest[17]) % SG_RECENT_SLOTS;
}

bool
sg_recent_has(const struct sg_recent *r, const uint8_t *key_digest, const struct sg_hash *value,
              int64_t expires_ms, int64_t idle_ms)
{
    const struct slot *s = &r->slots[index_of(key_digest)];
    int64_t moved = expires_ms - s->expires_ms;

    return s->expires_ms != 0 && memcmp(s->key, key_digest, sizeof s->key) == 0 &&
           memcmp(s->value, value->b, sizeof s->value) == 0 && moved < idle_ms / 8 &&
           -moved < idle_ms / 8;
}

void
sg_recent_put(struct sg_recent *r, const uint8_t *key_digest, const struct sg_hash *value,
              int64_t expires_ms)
{
    struct slot *s = &r->slots[index_of(key_digest)];

    memcpy(s->key, key_digest, sizeof s->key);
    memcpy(s->value, value->b, sizeof s->value);
    s->expires_ms = expires_ms;
}

void
sg_recent_drop(struct sg_recent *r, const uint8_t *key_digest)
{
    struct slot *s = &r->slots[index_of(key_digest)];

    if (memcmp(s->key, key_digest, sizeof s->key) == 0)
        s->expires_ms = 0;
}

void
sg_recent_clear(struct sg_recent *r)
{
    memset(r->slots, 0, sizeof r->slots);
}
