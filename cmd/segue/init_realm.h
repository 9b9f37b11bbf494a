/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_INIT_REALM_H
#define SEGUE_INIT_REALM_H

#include "config/config.h"
#include "control.h"
#include "keys/seal.h"

/* A realm's rows in the control schema: its policy (observe) and its first signing key. */
struct init_realm {
    bool policy_created, key_created;
    char phase[16], kid[129], alg[8];
};

/* Makes what is missing, each with its row in the journal; checks that the keyring opens the active
 * key. */
struct init_realm_in {
    struct control_db *db;
    const struct sg_config *config;
    const struct sg_realm_config *realm;
    const struct sg_keyring *ring;
};
SG_MUST_USE int init_realm(const struct init_realm_in *in, struct init_realm *done,
                           struct sg_err *err);

#endif
