/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_DISTINCT_H
#define SG_MODEL_DISTINCT_H

#include "base/slice.h"

#include <stdint.h>

/* Which values a field has, in bounded memory: the hashes whose lowest `level` bits are zero, each
 * with how often it came. When SG_DISTINCT_MAX are held the level rises and half of them go. Exact
 * up to that many values (2.2 % off beyond), and two sets are comparable whatever their sizes,
 * because both kept the same part of the hash space. No value can be got back from it. */
#define SG_DISTINCT_MAX 2048

struct sg_distinct {
    uint64_t *hashes; /* 0 = free */
    uint32_t *counts;
    uint32_t n, cap;
    uint64_t total; /* values added, whether watched or not */
    uint8_t level;
    bool failed; /* memory ran out: says nothing any more */
};

uint64_t sg_distinct_hash(struct sg_slice bytes);

void sg_distinct_add(struct sg_distinct *d, uint64_t hash, uint32_t times);
void sg_distinct_merge(struct sg_distinct *into, const struct sg_distinct *from);
void sg_distinct_free(struct sg_distinct *d);

/* How many different values there are, about. */
uint64_t sg_distinct_estimate(const struct sg_distinct *d);
/* Of the values watched, how many came more than once. */
uint32_t sg_distinct_repeated(const struct sg_distinct *d);
/* The count of the commonest value watched. */
uint32_t sg_distinct_most(const struct sg_distinct *d);
/* The share (0..1) of a's values that b has too, judged by *common values; 0 where that is 0. */
double sg_distinct_within(const struct sg_distinct *a, const struct sg_distinct *b,
                          uint32_t *common);

#endif
