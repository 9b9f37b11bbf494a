/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <time.h>

static int64_t
system_wall_ms(const struct sg_clock *clock)
{
    struct timespec ts;

    (void)clock;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static uint64_t
system_mono_ns(const struct sg_clock *clock)
{
    struct timespec ts;

    (void)clock;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

const struct sg_clock *
sg_clock_system(void)
{
    static const struct sg_clock clock = {system_wall_ms, system_mono_ns};

    return &clock;
}
