/* SPDX-License-Identifier: MIT */
#include "model/distinct.h"

#include <stdlib.h>

#define FIRST_CAP 16

uint64_t
sg_distinct_hash(struct sg_slice bytes)
{
    uint64_t h = UINT64_C(14695981039346656037);
    size_t i;

    for (i = 0; i < bytes.len; i++)
        h = (h ^ (uint8_t)bytes.ptr[i]) * UINT64_C(1099511628211);
    /* FNV's low bits are weak, and it is by them that values are chosen */
    h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ (h >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    h ^= h >> 33;
    return h != 0 ? h : UINT64_C(1) << 63;
}

static bool
watched(uint64_t hash, uint8_t level)
{
    return (hash & ((UINT64_C(1) << level) - 1)) == 0;
}

static uint32_t
slot_of(const struct sg_distinct *d, uint64_t hash)
{
    uint32_t i = (uint32_t)(hash >> 32) & (d->cap - 1);

    while (d->hashes[i] != 0 && d->hashes[i] != hash)
        i = (i + 1) & (d->cap - 1);
    return i;
}

static void
put(struct sg_distinct *d, uint64_t hash, uint32_t times)
{
    uint32_t i = slot_of(d, hash);

    if (d->hashes[i] == 0) {
        d->hashes[i] = hash;
        d->n++;
    }
    d->counts[i] = times > UINT32_MAX - d->counts[i] ? UINT32_MAX : d->counts[i] + times;
}

/* Another table of cap slots with what is watched at this level. */
static bool
rebuild(struct sg_distinct *d, uint32_t cap, uint8_t level)
{
    struct sg_distinct fresh = {.cap = cap, .level = level, .total = d->total};
    uint32_t i;

    fresh.hashes = calloc(cap, sizeof *fresh.hashes);
    fresh.counts = calloc(cap, sizeof *fresh.counts);
    if (fresh.hashes == NULL || fresh.counts == NULL) {
        sg_distinct_free(&fresh);
        d->failed = true;
        return false;
    }
    for (i = 0; i < d->cap; i++)
        if (d->hashes[i] != 0 && watched(d->hashes[i], level))
            put(&fresh, d->hashes[i], d->counts[i]);
    sg_distinct_free(d);
    *d = fresh;
    return true;
}

void
sg_distinct_add(struct sg_distinct *d, uint64_t hash, uint32_t times)
{
    d->total += times;
    if (d->failed || !watched(hash, d->level))
        return;
    if (d->cap == 0 && !rebuild(d, FIRST_CAP, 0))
        return;
    put(d, hash, times);
    if (d->n * 2 > d->cap && d->cap < SG_DISTINCT_MAX * 2)
        rebuild(d, d->cap * 2, d->level);
    while (!d->failed && d->n >= SG_DISTINCT_MAX)
        rebuild(d, d->cap, d->level + 1);
}

void
sg_distinct_merge(struct sg_distinct *into, const struct sg_distinct *from)
{
    uint32_t i;

    uint64_t total = into->total + from->total;

    into->failed = into->failed || from->failed;
    if (from->level > into->level && into->cap > 0)
        rebuild(into, into->cap, from->level);
    else if (from->level > into->level)
        rebuild(into, FIRST_CAP, from->level);
    for (i = 0; i < from->cap; i++)
        if (from->hashes[i] != 0)
            sg_distinct_add(into, from->hashes[i], from->counts[i]);
    into->total = total;
}

void
sg_distinct_free(struct sg_distinct *d)
{
    free(d->hashes);
    free(d->counts);
    *d = (struct sg_distinct){0};
}

uint64_t
sg_distinct_estimate(const struct sg_distinct *d)
{
    uint64_t n = (uint64_t)d->n << d->level;

    return d->level > 0 && (n > d->total || sg_distinct_repeated(d) == 0) ? d->total : n;
}

uint32_t
sg_distinct_repeated(const struct sg_distinct *d)
{
    uint32_t i, n = 0;

    for (i = 0; i < d->cap; i++)
        n += d->counts[i] > 1;
    return n;
}

uint32_t
sg_distinct_most(const struct sg_distinct *d)
{
    uint32_t i, most = 0;

    for (i = 0; i < d->cap; i++)
        if (d->counts[i] > most)
            most = d->counts[i];
    return most;
}

double
sg_distinct_within(const struct sg_distinct *a, const struct sg_distinct *b, uint32_t *common)
{
    uint8_t level = a->level > b->level ? a->level : b->level;
    uint32_t i, of = 0, in = 0;

    *common = 0;
    if (a->failed || b->failed || b->cap == 0)
        return 0;
    for (i = 0; i < a->cap; i++)
        if (a->hashes[i] != 0 && watched(a->hashes[i], level)) {
            of++;
            in += b->hashes[slot_of(b, a->hashes[i])] == a->hashes[i];
        }
    *common = of;
    return of > 0 ? (double)in / of : 0;
}
