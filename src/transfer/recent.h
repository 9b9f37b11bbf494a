/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_RECENT_H
#define SG_TRANSFER_RECENT_H

#include "base/err.h"
#include "base/hash.h"

#include <stdint.h>

/* What was stored lately, so that a touch on every request does not become a row written on every
 * request: the same value is stored again only when its expiry moved by an eighth of the lifetime
 * (rule 14). A table of fixed size in which a later key takes an earlier one's place; forgetting
 * costs one write. Pure. */
struct sg_recent;

#define SG_RECENT_SLOTS 65536

SG_MUST_USE int sg_recent_new(struct sg_recent **out, struct sg_err *err);
void sg_recent_free(struct sg_recent *recent);

/* Whether the key, with this value, was stored with an expiry near enough to this one. */
bool sg_recent_has(const struct sg_recent *recent, const uint8_t *key_digest,
                   const struct sg_hash *value, int64_t expires_ms, int64_t idle_ms);
void sg_recent_put(struct sg_recent *recent, const uint8_t *key_digest, const struct sg_hash *value,
                   int64_t expires_ms);
void sg_recent_drop(struct sg_recent *recent, const uint8_t *key_digest);
void sg_recent_clear(struct sg_recent *recent);

#endif
