/* SPDX-License-Identifier: MIT */
#include "jwt/claims_image.h"
#include "jwt/verify.h"

#include <stdlib.h>

/* Entries lie one behind the other in a ring, each where its place says: places only grow, and the
 * newest overwrites the oldest. The index is a table of buckets; a slot in it is good as long as
 * its place was not overwritten, so nothing has to be taken out when the ring comes round. */

#define WAYS 8           /* slots a bucket: one pair of cache lines */
#define TAIL_BYTES 16    /* of a token that are hashed */
#define BYTES_A_SLOT 512 /* of the whole: about two slots for each entry of usual size */

struct slot {
    uint64_t hash;
    uint64_t place; /* 0: empty */
};

struct entry {
    uint64_t key_id;
    uint32_t bytes; /* with what follows: the image of the claims, then the token */
    uint16_t token_len;
    uint8_t key_at; /* where the set had the key: looked at first */
    uint8_t typ_len;
    char typ[sizeof((struct sg_known_header *)NULL)->typ];
};
_Static_assert(sizeof(struct entry) % 8 == 0, "what follows is aligned");

struct segue_cache {
    size_t bytes;
    struct segue_cache_stats stats;
    uint64_t secret[2];
    uint64_t head; /* the next entry's place; the first is ring_bytes, so that none is 0 */
    size_t ring_bytes;
    size_t buckets; /* a power of two */
    unsigned char *ring;
    struct slot slots[];
};

enum segue_status
segue_cache_new(size_t max_bytes, struct segue_cache **out)
{
    size_t buckets = 1, index_bytes;
    struct segue_cache *cache;

    if (max_bytes < SEGUE_CACHE_BYTES_MIN || max_bytes > SEGUE_CACHE_BYTES_MAX)
        return SEGUE_INVALID;
    while (buckets * 2 * WAYS * BYTES_A_SLOT <= max_bytes)
        buckets *= 2;
    index_bytes = buckets * WAYS * sizeof(struct slot);
    cache = sodium_init() >= 0 ? calloc(1, max_bytes) : NULL;
    if (cache == NULL)
        return SEGUE_INTERNAL;
    cache->bytes = max_bytes;
    cache->buckets = buckets;
    cache->ring = (unsigned char *)cache->slots + index_bytes;
    cache->ring_bytes = (max_bytes - sizeof *cache - index_bytes) / 8 * 8;
    cache->head = cache->ring_bytes;
    randombytes_buf(cache->secret, sizeof cache->secret);
    *out = cache;
    return SEGUE_OK;
}

void
segue_cache_free(struct segue_cache *cache)
{
    if (cache == NULL)
        return;
    sodium_memzero(cache, cache->bytes);
    free(cache);
}

void
segue_cache_get_stats(const struct segue_cache *cache, struct segue_cache_stats *out)
{
    *out = cache->stats;
}

/* Of the token's end: the signature is as good as random already. The secret makes it hard for one
 * who gets many tokens to pick those that share a bucket. */
static uint64_t
hash(const struct segue_cache *cache, const char *token, size_t len)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t w[2], h;

    if (len < TAIL_BYTES)
        return 0; /* no signature is that short: it will not be kept */
    memcpy(w, token + len - TAIL_BYTES, sizeof w);
    h = (w[0] ^ cache->secret[0]) * odd;
    h = (h ^ h >> 32 ^ w[1] ^ cache->secret[1]) * odd;
    return h ^ h >> 32;
}

static struct entry *
entry_at(struct segue_cache *cache, uint64_t place)
{
    return (struct entry *)(void *)(cache->ring + place % cache->ring_bytes);
}

/* Whether the slot's entry still stands where it was put. */
static bool
alive(const struct segue_cache *cache, const struct slot *s)
{
    return s->place != 0 && cache->head - s->place <= cache->ring_bytes;
}

static const void *
image_of(const struct entry *e)
{
    return e + 1;
}

static const char *
token_of(const struct entry *e)
{
    return (const char *)e + e->bytes - e->token_len;
}

static struct slot *
bucket_of(struct segue_cache *cache, uint64_t h)
{
    return &cache->slots[(h & (cache->buckets - 1)) * WAYS];
}

static struct slot *
find(struct segue_cache *cache, uint64_t h, const char *token, size_t len)
{
    struct slot *s = bucket_of(cache, h);
    int i;

    for (i = 0; i < WAYS; i++, s++)
        if (s->hash == h && alive(cache, s)) {
            const struct entry *e = entry_at(cache, s->place);

            if (e->token_len == len && memcmp(token_of(e), token, len) == 0)
                return s;
        }
    return NULL;
}

/* The key if the set still has it: the very one, not another under its kid. */
static const struct segue_key *
key_of(struct segue_keyset *set, const struct entry *e)
{
    int i;

    if (e->key_at < set->n && set->keys[e->key_at].key->id == e->key_id)
        return set->keys[e->key_at].key;
    for (i = 0; i < set->n; i++)
        if (set->keys[i].key->id == e->key_id)
            return set->keys[i].key;
    return NULL;
}

/* The slot to fill: an empty one or that of the oldest entry. */
static struct slot *
slot_for(struct segue_cache *cache, uint64_t h)
{
    struct slot *s = bucket_of(cache, h), *oldest = s;
    int i;

    for (i = 0; i < WAYS; i++, s++) {
        if (!alive(cache, s))
            return s;
        if (s->place < oldest->place)
            oldest = s;
    }
    return oldest;
}

/* A place of that many bytes in one piece. */
static uint64_t
reserve(struct segue_cache *cache, size_t bytes)
{
    size_t left = cache->ring_bytes - cache->head % cache->ring_bytes;
    uint64_t place = cache->head + (left < bytes ? left : 0);

    cache->head = place + bytes;
    return place;
}

/* s: the slot that already has the token, under a key that is gone; NULL if there is none. */
static void
keep(struct segue_cache *cache, const struct segue_keyset *set, struct slot *s, uint64_t h,
     const char *token, size_t len, const struct sg_genuine *genuine,
     const struct segue_claims *claims, const char *payload)
{
    size_t bytes = sizeof(struct entry) + sg_claims_image_bytes(claims, genuine->payload_len) +
                   (len + 7) / 8 * 8;
    struct entry *e;

    if (genuine->typ.len > sizeof e->typ)
        return;
    if (s == NULL)
        s = slot_for(cache, h);
    *s = (struct slot){h, reserve(cache, bytes)};
    e = entry_at(cache, s->place);
    *e = (struct entry){.key_id = genuine->verifier->key->id,
                        .bytes = (uint32_t)bytes,
                        .token_len = (uint16_t)len,
                        .key_at = (uint8_t)(genuine->verifier - set->keys),
                        .typ_len = (uint8_t)genuine->typ.len};
    memcpy(e->typ, genuine->typ.ptr, genuine->typ.len);
    sg_claims_image_write(claims, payload, genuine->payload_len, e + 1);
    memcpy((char *)e + bytes - len, token, len);
    cache->stats.kept++;
}

/* The answer for a token that is kept. */
static enum segue_status
answer(struct segue_cache *cache, struct slot *s, const struct segue_key *key,
       const struct segue_policy *policy, int64_t now_sec, struct sg_verify_memory *m,
       struct segue_claims *claims)
{
    const struct entry *e = entry_at(cache, s->place);
    enum segue_status status;

    cache->stats.hits++;
    if (!sg_typ_is(sg_slice(e->typ, e->typ_len), policy->typ))
        return SEGUE_WRONG_TYPE;
    sg_claims_image_read(image_of(e), &m->room, m->payload, claims);
    sg_claims_of_key(key, m, claims);
    status = sg_judge(policy, now_sec, claims);
    if (status == SEGUE_EXPIRED)
        s->place = 0;
    return status;
}

enum segue_status
segue_cache_verify(struct segue_cache *cache, struct segue_keyset *set,
                   const struct segue_policy *policy, int64_t now_sec, const char *token,
                   size_t len, struct segue_verify_buf *buf, struct segue_claims *claims)
{
    struct sg_verify_memory *m = (struct sg_verify_memory *)buf;
    enum segue_status status = sg_verify_arguments(policy, now_sec, len);
    const struct segue_key *key;
    struct sg_genuine genuine;
    struct slot *s;
    uint64_t h;

    if (status != SEGUE_OK)
        return status;
    h = hash(cache, token, len);
    if ((s = find(cache, h, token, len)) != NULL &&
        (key = key_of(set, entry_at(cache, s->place))) != NULL)
        return answer(cache, s, key, policy, now_sec, m, claims);
    cache->stats.misses++;
    status = sg_verify_genuine(set, policy->typ, token, len, m, &genuine, claims);
    if (status != SEGUE_OK)
        return status;
    sg_claims_of_key(genuine.verifier->key, m, claims);
    status = sg_judge(policy, now_sec, claims);
    if (status == SEGUE_OK)
        keep(cache, set, s, h, token, len, &genuine, claims, m->payload);
    return status;
}
