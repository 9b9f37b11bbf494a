/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "commands.h"

/* In the order of `segue help`: the way a migration goes. */
static const struct cli_command commands[] = {
    {"init", "lay out the control schema, the shards, policies and first keys", cmd_init},
    {"dev", "start a throw-away cluster: PostgreSQL shards and a Redis", cmd_dev},
};

int
main(int argc, char **argv)
{
    return cli_main(commands, sizeof commands / sizeof commands[0], argc, argv);
}
