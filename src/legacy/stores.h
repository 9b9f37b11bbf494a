/* SPDX-License-Identifier: MIT */
#ifndef SG_LEGACY_STORES_H
#define SG_LEGACY_STORES_H

#include "legacy/legacy.h"

/* Private to this folder: what legacy.c registers. */
extern const struct sg_legacy_store_type sg_legacy_store_redis; /* store_redis.c */

#endif
