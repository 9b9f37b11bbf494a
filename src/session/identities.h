/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_IDENTITIES_H
#define SG_SESSION_IDENTITIES_H

#include "config/config.h"
#include "identity/identity.h"
#include "store/store.h"

/* Opens the realm's identity source as its configuration says. The store is asked where the source
 * is "subject", and must outlive it. */
SG_MUST_USE int identities_open(uv_loop_t *loop, const struct sg_clock *clock,
                                const struct sg_realm_config *realm, struct sg_store *store,
                                struct sg_identity_source **out, struct sg_err *err);

/* Whether it can be asked for changes: it is somebody else's, and says where. */
bool identities_has_changes(const struct sg_realm_config *realm);

/* Somebody else says who subjects are: what is on the shards is a copy. */
bool identities_is_foreign(const struct sg_realm_config *realm);

#endif
