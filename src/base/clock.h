/* SPDX-License-Identifier: MIT */
#ifndef SG_BASE_CLOCK_H
#define SG_BASE_CLOCK_H

#include <stdint.h>

/* Time is injected, so that tests can turn it. wall_ms: Unix milliseconds (may jump); mono_ns:
 * never goes back, for deadlines. The database's clock is a third one, read in SQL only. */
struct sg_clock {
    int64_t (*wall_ms)(const struct sg_clock *clock);
    uint64_t (*mono_ns)(const struct sg_clock *clock);
};

/* The machine's clocks. Static storage. */
const struct sg_clock *sg_clock_system(void);

static inline int64_t
sg_wall_ms(const struct sg_clock *c)
{
    return c->wall_ms(c);
}

static inline uint64_t
sg_mono_ns(const struct sg_clock *c)
{
    return c->mono_ns(c);
}

#define SG_NS_PER_MS UINT64_C(1000000)

#endif
