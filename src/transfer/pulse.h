/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_PULSE_H
#define SG_TRANSFER_PULSE_H

#include "transfer/bridge.h"
#include "transfer/dirty.h"

/* Carries heartbeats that came back from the legacy store to each shard, behind the changes before
 * them (rule 8). Of those that wait, the latest that may go is written; at most SG_PULSE_BEATS
 * wait, then every second of them is dropped. * A shard that does not answer a beat within 300 ms
 * is marked silent in the bridge until it answers one. */
struct sg_pulse;

#define SG_PULSE_BEATS 64

SG_MUST_USE int sg_pulse_new(const struct sg_bridge *bridge, struct sg_dirty *dirty,
                             struct sg_pulse **out, struct sg_err *err);
void sg_pulse_free(struct sg_pulse *pulse); /* not while busy */

void sg_pulse_beat(struct sg_pulse *pulse, int64_t beat, int64_t sent_ms);
/* Something was dealt with: see which beats may go now. */
void sg_pulse_pump(struct sg_pulse *pulse);

bool sg_pulse_is_busy(const struct sg_pulse *pulse);
int64_t sg_pulse_sent_ms(const struct sg_pulse *pulse,
                         int shard); /* of the last beat written; 0 = none */

#endif
