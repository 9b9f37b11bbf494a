/* SPDX-License-Identifier: MIT */
#ifndef SG_SOURCE_REDIS_KEYS_H
#define SG_SOURCE_REDIS_KEYS_H

#include "base/buf.h"
#include "source/source.h"

/* Collections in a keyspace that has none: keys with the same parts between ':'. Pure. */

/* Whether a key belongs to a collection's pattern (see sg_source_collection). */
bool sg_redis_keys_match(const char *pattern, struct sg_slice key);

/* Appends a glob for SCAN's MATCH that every key of the pattern fits. */
void sg_redis_keys_glob(const char *pattern, struct sg_buf *out);

/* Finds patterns in keys: add all, settle, then ask for each one's. Keys are told apart by how many
 * parts they have and by the first, in at most 1,024 groups; keys beyond those have "*" for their
 * first part. Of the other parts those that say what rather than which stay: few values, without
 * digits, each in many keys. */
struct sg_redis_patterns;

SG_MUST_USE int sg_redis_patterns_new(struct sg_redis_patterns **out, struct sg_err *err);
void sg_redis_patterns_free(struct sg_redis_patterns *p);
void sg_redis_patterns_add(struct sg_redis_patterns *p, struct sg_slice key);
void sg_redis_patterns_settle(struct sg_redis_patterns *p);
void sg_redis_patterns_of(const struct sg_redis_patterns *p, struct sg_slice key,
                          char name[SG_SOURCE_NAME_MAX + 1]);

#endif
