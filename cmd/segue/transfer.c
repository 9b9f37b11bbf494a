/* SPDX-License-Identifier: MIT */
#include "transfer.h"

#include "commands.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static int
find_realm(struct transfer_setup *setup, const char *name, struct sg_err *err)
{
    setup->realm = sg_config_realm(setup->config, name);
    if (setup->realm == NULL)
        return sg_fail(err, SG_E_INVALID, setup->config->path, "there is no realm '%s'", name);
    if (name == NULL && setup->config->n_realms > 1)
        return sg_fail(err, SG_E_INVALID, setup->config->path,
                       "there are several realms: say which by --realm");
    return 0;
}

int
transfer_setup(const struct cli_usage *usage, const char *path, const char *realm,
               struct transfer_setup *out)
{
    struct sg_err err;

    memset(out, 0, sizeof *out);
    if (sodium_init() < 0)
        return CLI_FAILED;
    if (sg_config_load(path, &out->config, &err) != 0 || find_realm(out, realm, &err) != 0 ||
        sg_keyring_load(out->config->keyring, &out->ring, &err) != 0) {
        cli_fail(usage, &err);
        transfer_setup_free(out);
        return CLI_USAGE;
    }
    return 0;
}

void
transfer_setup_free(struct transfer_setup *setup)
{
    sg_keyring_free(setup->ring);
    sg_config_free(setup->config);
    memset(setup, 0, sizeof *setup);
}

int
transfer_once_open(const struct transfer_setup *setup, struct transfer_once *once,
                   struct sg_err *err)
{
    const struct sg_bridge_options options = {
        .loop = &once->loop,
        .clock = sg_clock_system(),
        .config = setup->config,
        .realm = setup->realm,
        .ring = setup->ring,
    };

    memset(once, 0, sizeof *once);
    if (uv_loop_init(&once->loop) != 0)
        return sg_fail(err, SG_E_INTERNAL, "transfer", "cannot make an event loop");
    if (sg_bridge_open(&options, &once->bridge, err) == 0)
        return 0;
    uv_run(&once->loop, UV_RUN_DEFAULT);
    uv_loop_close(&once->loop);
    return -1;
}

void
transfer_once_close(struct transfer_once *once)
{
    sg_bridge_close(once->bridge, NULL, NULL);
    uv_run(&once->loop, UV_RUN_DEFAULT);
    uv_loop_close(&once->loop);
}

void
transfer_once_done(void *ctx, int rc, const struct sg_err *err)
{
    struct transfer_once *once = ctx;

    once->done = true;
    once->rc = rc;
    if (rc != 0)
        once->err = *err;
}

int
transfer_once_wait(struct transfer_once *once, struct sg_err *err)
{
    while (!once->done)
        uv_run(&once->loop, UV_RUN_ONCE);
    once->done = false;
    if (once->rc != 0)
        *err = once->err;
    return once->rc;
}

static const struct cli_command parts[] = {
    {"run", "snapshot, then follow until stopped", transfer_run},
    {"load", "collections into tables, by a mapping", transfer_load},
    {"status", "job, counts, lag, rejects, held sessions, continuity", transfer_status},
    {"rejects", "list what could not be stored, or try it again", transfer_rejects},
    {"resolve", "decide on held sessions: end or restore them", transfer_resolve},
};

static void
print_parts(FILE *to)
{
    size_t i;

    fprintf(to,
            "usage: segue transfer PART [options]\n\n"
            "Carries the sessions of a legacy store into the shards, and follows both sides.\n\n"
            "parts:\n");
    for (i = 0; i < sizeof parts / sizeof parts[0]; i++)
        fprintf(to, "  %-10s %s\n", parts[i].name, parts[i].summary);
    fprintf(to, "\n  segue transfer PART --help   options and examples of one part\n");
}

int
cmd_transfer(int argc, char **argv)
{
    size_t i;

    if (argc < 2) {
        print_parts(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_parts(stdout);
        return 0;
    }
    for (i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strcmp(parts[i].name, argv[1]) == 0)
            return parts[i].run(argc - 1, argv + 1);
    fprintf(stderr, "segue transfer: there is no part '%s'\nsee: segue transfer --help\n", argv[1]);
    return CLI_USAGE;
}
