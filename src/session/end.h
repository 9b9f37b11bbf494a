/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_END_H
#define SG_SESSION_END_H

#include "keys/refresh.h"
#include "session/engine_internal.h"

/* Ends a session on both sides: tombstones, feed and outbox in PostgreSQL first, then the legacy
 * record. When done says 0 the tombstones are durable; a legacy store that is down then gets its
 * delete from the outbox. done is called once. */
void end_session(struct sg_realm *realm, const uint8_t sid[SG_SID_BYTES], int bucket,
                 const char *reason, sg_store_done done, void *ctx);

/* The same by its key in the legacy store; a key never seen gets a tombstone, so that an exchange
 * under way loses. */
void end_by_key(struct sg_realm *realm, const char *key, sg_store_done done, void *ctx);

/* The same by a refresh token; one that is unknown ends nothing and is no error, another client's
 * is SG_E_DENIED. */
void end_by_refresh(struct sg_realm *realm, const struct sg_refresh *refresh, const char *client_id,
                    sg_store_done done, void *ctx);

#endif
