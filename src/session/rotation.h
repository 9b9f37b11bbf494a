/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_ROTATION_H
#define SG_SESSION_ROTATION_H

#include "config/config.h"

struct sg_engine;

/* How long anybody may keep a copy of the JWKS: Cache-Control max-age, and half of the time a key
 * is published ahead at most. */
int64_t sg_jwks_max_age_sec(const struct sg_realm_config *realm);

/* What the steps of a realm's signing keys are measured by: the `times` of segue_control.key_move,
 * as JSON. */
#define SG_KEY_TIMES_BYTES 256
void sg_key_times(const struct sg_config *config, const struct sg_realm_config *realm,
                  char out[SG_KEY_TIMES_BYTES]);

/* The schedule, by loop 0 of each instance: does what is due for the realms' keys. Whoever asks
 * first does it; one step under way at a time. */
void rotation_tick(struct sg_engine *engine);

#endif
