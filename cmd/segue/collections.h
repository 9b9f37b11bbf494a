/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_COLLECTIONS_H
#define SEGUE_COLLECTIONS_H

#include "cli.h"
#include "config/config.h"
#include "keys/seal.h"
#include "model/mapping.h"

#include <stdatomic.h>

/* What the commands on collections and a mapping open first. 0, or an exit code with the reason
 * told. */
struct collections_setup {
    struct sg_config *config;
    struct sg_keyring *ring;
    struct sg_mapping *mapping;
};
int collections_setup(const struct cli_usage *usage, const char *config, const char *mapping,
                      struct collections_setup *out);
void collections_setup_free(struct collections_setup *setup);

/* SIGTERM and SIGINT set it from now on. */
const atomic_bool *collections_stop_on_signals(void);

#endif
