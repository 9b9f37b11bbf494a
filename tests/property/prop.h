/* SPDX-License-Identifier: MIT */
#ifndef SG_TESTS_PROP_H
#define SG_TESTS_PROP_H

#include "base/hash.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* A random sequence that can be had again: SEGUE_SEED=N; the seed is printed. */
static uint64_t prop_state;

static inline void
prop_seed(void)
{
    const char *given = getenv("SEGUE_SEED");
    uint32_t seed;

    sg_random(&seed, sizeof seed);
    if (given != NULL)
        seed = (uint32_t)strtoul(given, NULL, 10);
    printf("# SEGUE_SEED=%u\n", seed);
    prop_state = seed;
}

/* splitmix64 */
static inline uint64_t
prop_next(void)
{
    uint64_t z = prop_state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline int
prop_below(int n)
{
    return (int)(prop_next() % (uint64_t)n);
}

static inline int
prop_rounds(int ordinary)
{
    return getenv("SEGUE_LONG") != NULL && *getenv("SEGUE_LONG") != '\0' ? ordinary * 20 : ordinary;
}

#endif
