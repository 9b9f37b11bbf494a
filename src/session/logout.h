/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_LOGOUT_H
#define SG_SESSION_LOGOUT_H

#include "base/clock.h"
#include "keys/seal.h"
#include "legacy/legacy.h"
#include "store/subject_sessions.h"

/* "Log out everywhere" (docs/flows.md, 13), for an instance and for a command alike: what it needs
 * of either is given. */
struct sg_logout {
    /* in: all must live until done */
    const struct sg_clock *clock;
    struct sg_store *store;
    struct sg_legacy_store *legacy;
    const struct sg_codec *codec;
    const struct sg_keyring *ring;
    const char *realm, *reason;
    char subject[SG_SUBJECT_MAX + 1];
    enum sg_subject_lock lock;
    bool mirror; /* the legacy store is still written */
    void (*done)(struct sg_logout *logout);
    void *ctx;
    /* out: rc 0 = it is durable; a legacy record that could not be deleted is in the outbox */
    int rc;
    struct sg_err err;
    int64_t ended;
    int epoch;
    struct sg_logout_state *state; /* private */
};

/* Calls done once, from a later turn of the loop. After a failure some sessions may have ended: do
 * it again. */
void sg_logout(struct sg_logout *logout);

#endif
