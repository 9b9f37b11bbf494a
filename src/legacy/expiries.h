/* SPDX-License-Identifier: MIT */
#ifndef SG_LEGACY_EXPIRIES_H
#define SG_LEGACY_EXPIRIES_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

/* When each key of a Redis expires, as its replication stream said: a deletion there does not tell
 * whether somebody deleted the key or its time was over. Keys are known by a keyed 64-bit hash, 16
 * bytes each. Pure. */
struct sg_expiries;

#define SG_EXPIRIES_NEVER INT64_MAX

/* At most `keys` keys (rounded up to a power of two); memory grows with what is in use. */
SG_MUST_USE int sg_expiries_new(size_t keys, struct sg_expiries **out, struct sg_err *err);
void sg_expiries_free(struct sg_expiries *e);
void sg_expiries_clear(struct sg_expiries *e);

/* at_ms: Unix milliseconds, or SG_EXPIRIES_NEVER. Where the table is full the key stays unknown. */
void sg_expiries_put(struct sg_expiries *e, struct sg_slice key, int64_t at_ms);
/* Whether the key is known; then it is forgotten, and *at_ms is when it was to expire. */
bool sg_expiries_take(struct sg_expiries *e, struct sg_slice key, int64_t *at_ms);
size_t sg_expiries_count(const struct sg_expiries *e);

#endif
