/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_TRANSFER_COMMANDS_H
#define SEGUE_TRANSFER_COMMANDS_H

#include "cli.h"
#include "config/config.h"
#include "keys/seal.h"
#include "transfer/bridge.h"

/* The parts of `segue transfer`, a file each; argv[0] is the part's name. */
int transfer_load(int argc, char **argv);
int transfer_run(int argc, char **argv);
int transfer_status(int argc, char **argv);
int transfer_rejects(int argc, char **argv);
int transfer_resolve(int argc, char **argv);

/* What every part opens first: configuration, the realm, the keyring. 0, or an exit code with the
 * reason told. */
struct transfer_setup {
    struct sg_config *config;
    const struct sg_realm_config *realm;
    struct sg_keyring *ring;
};
int transfer_setup(const struct cli_usage *usage, const char *path, const char *realm,
                   struct transfer_setup *out);
void transfer_setup_free(struct transfer_setup *setup);

/* For parts that do one thing after the other: a loop of their own with the realm's bridge on it.
 */
struct transfer_once {
    uv_loop_t loop;
    struct sg_bridge *bridge;
    bool done;
    int rc;
    struct sg_err err;
};
SG_MUST_USE int transfer_once_open(const struct transfer_setup *setup, struct transfer_once *once,
                                   struct sg_err *err);
void transfer_once_close(struct transfer_once *once);

/* Completion for one operation, with ctx the transfer_once, and waiting for it: -1 with *err where
 * it failed. */
void transfer_once_done(void *ctx, int rc, const struct sg_err *err);
SG_MUST_USE int transfer_once_wait(struct transfer_once *once, struct sg_err *err);

#endif
