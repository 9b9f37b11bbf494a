/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_KEY_CHANGE_H
#define SEGUE_KEY_CHANGE_H

#include "config/config.h"
#include "control.h"
#include "keys/signing.h"

/* The steps of signing keys, as commands take them: calls of segue_control.key_* within the
 * caller's transaction, each journaled there. SG_E_DENIED: refused, the text says why. */
struct key_change {
    struct control_db *db;
    const struct sg_config *config;
    const struct sg_realm_config *realm;
    const struct sg_keyring *ring;
    const char *why;
};

/* Makes a key of alg and stores it: pending, or active where first is true and the realm has none.
 * kid: at least SEGUE_KID_BYTES + 1. */
SG_MUST_USE int key_add(const struct key_change *c, const char *alg, bool first, char *kid,
                        struct sg_err *err);
/* next: "active" or "retired". force skips what speaks against it now. */
SG_MUST_USE int key_move(const struct key_change *c, const char *kid, const char *next, bool force,
                         struct sg_err *err);
/* A key that somebody else has. It must not be the active one. */
SG_MUST_USE int key_revoke(const struct key_change *c, const char *kid, struct sg_err *err);
/* Seals again, with the keyring's first key, every private half that is sealed with another. *n:
 * how many. */
SG_MUST_USE int key_reseal(const struct key_change *c, int *n, struct sg_err *err);

/* Waits until every instance seen in the last 5 s holds the key (state "pending"), signs with it
 * ("active"), or has let it go ("retired"). *n: how many there are; behind: one that has not, "" =
 * none. */
SG_MUST_USE int key_wait(const struct key_change *c, const char *kid, const char *state,
                         int timeout_ms, int *n, char behind[80], struct sg_err *err);

/* bytea in text form; NULL without memory. */
char *key_hex(struct sg_slice bytes);

/* That the keyring's root is the one the realm was laid out with: another finds no stored session
 * and makes everybody a stranger. */
SG_MUST_USE int key_check_root(struct control_db *db, const struct sg_keyring *ring,
                               const char *realm, struct sg_err *err);

#endif
