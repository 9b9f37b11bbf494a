/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_HELD_KEYS_H
#define SG_SESSION_HELD_KEYS_H

#include "session/engine_internal.h"

/* The signing keys of a realm as this loop holds them: verifying ones, the one that signs, and
 * public halves of retired ones, by which an expired token may still be renewed. */
extern const struct sg_pg_stmt held_keys_read;

/* Takes what the control schema says. Returns whether anything changed. */
bool held_keys_take(struct sg_engine *e, const struct sg_pg_batch *b, int call);

/* Appends the realm's members of the instance's report: "keys":[…],"unopened":[…],"signing":… */
void held_keys_tell(const struct sg_realm *r, struct sg_buf *out);

/* Why nothing can be signed, static to the realm; NULL = it can. */
const char *held_keys_missing(const struct sg_realm *r);

#endif
