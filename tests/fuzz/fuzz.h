/* SPDX-License-Identifier: MIT */
#ifndef SG_TESTS_FUZZ_H
#define SG_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* One target a file; libFuzzer calls it, and the ordinary tests call it with every file of its
 * corpus (replay.c). It aborts when a promise is broken. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads every byte, so that a bad slice is seen. */
static inline unsigned
fuzz_touch(const char *p, size_t n)
{
    unsigned sum = 0;
    size_t i;

    for (i = 0; i < n; i++)
        sum += (unsigned char)p[i];
    return sum;
}

static inline void
fuzz_use(unsigned v)
{
    __asm__ volatile("" : : "r"(v));
}

#endif
