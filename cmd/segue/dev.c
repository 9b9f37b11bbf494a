/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "commands.h"

int
cmd_dev(int argc, char **argv)
{
    int64_t shards = 4;
    const struct cli_option options[] = {
        {"shards", "N", "PostgreSQL instances to start as shards (default 4)", .number = &shards,
         .least = 1, .most = 16},
    };
    const struct cli_usage usage = {
        .name = "dev",
        .summary = "Starts a throw-away cluster from installed binaries, on free ports.",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .examples = "  segue dev\n  segue dev --shards 2\n",
    };
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    return 0;
}
