/* SPDX-License-Identifier: MIT */
#include "collections.h"

#include <signal.h>
#include <sodium.h>
#include <string.h>

static atomic_bool stop;

int
collections_setup(const struct cli_usage *usage, const char *config, const char *mapping,
                  struct collections_setup *out)
{
    struct sg_err err;

    memset(out, 0, sizeof *out);
    if (sodium_init() < 0)
        return CLI_FAILED;
    if (sg_config_load(config, &out->config, &err) != 0 ||
        sg_mapping_load(mapping, &out->mapping, &err) != 0 ||
        sg_keyring_load(out->config->keyring, &out->ring, &err) != 0) {
        cli_fail(usage, &err);
        collections_setup_free(out);
        return CLI_USAGE;
    }
    return 0;
}

void
collections_setup_free(struct collections_setup *s)
{
    sg_keyring_free(s->ring);
    sg_mapping_free(s->mapping);
    sg_config_free(s->config);
    memset(s, 0, sizeof *s);
}

static void
on_signal(int number)
{
    (void)number;
    atomic_store(&stop, true);
}

const atomic_bool *
collections_stop_on_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    return &stop;
}
