/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_RESEAL_H
#define SEGUE_RESEAL_H

#include "config/config.h"
#include "keys/seal.h"

#include <stdint.h>

/* What the shards hold sealed of a realm (legacy keys and records of living sessions, rejects),
 * sealed again with the keyring's first key, so that an older one can leave the ring. */
struct reseal {
    const struct sg_config *config;
    const char *realm;
    const struct sg_keyring *ring;
    bool dry_run;       /* counts only */
    int64_t done, lost; /* lost: no key of the ring opens it; left as it is */
};

/* In small transactions, each behind the fence, while everything else goes on; what changed
 * meanwhile is left to whoever changed it. Broken off, it goes on where it is called again. */
SG_MUST_USE int reseal_shards(struct reseal *r, struct sg_err *err);

#endif
