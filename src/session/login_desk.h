/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_LOGIN_DESK_H
#define SG_SESSION_LOGIN_DESK_H

#include "identity/logins.h"
#include "session/engine_internal.h"
#include "store/credentials.h"

#define DECOYS_MAX 256 /* about; by that many the realm's hashes are known */

/* A login that nobody has is checked against a decoy, and its subject looked up, just as a real
 * one's would be. Which decoy a login gets is by its digest, from a sorted sample of the realm's
 * own hashes: so an unknown login costs the same each time, and all of them together cost what the
 * known ones do, also where half of the hashes are of another form. */
struct decoy {
    char text[SG_DECOY_BYTES + 1];
    char subject[SG_SUBJECT_MAX + 1];
};

struct login_desk {
    struct sg_realm *realm;
    struct sg_logins *source; /* NULL: the table */
    struct decoy *decoys;
    int n_decoys;
    bool sampled; /* once at least: before that no password is judged */
    /* the sample under way */
    bool sampling;
    struct decoy *fresh;
    int n_fresh;
    uint64_t due_ns;
    struct sg_decoys_read read;
    struct sg_logins_request ask;
};

/* NULL where the realm has no credentials at all. */
const struct decoy *login_decoy(const struct login_desk *desk, const struct sg_hash *login);

#endif
