/* SPDX-License-Identifier: MIT */
#include "analyze.h"

#include "commands.h"

#include <string.h>

int
cmd_analyze(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "collections") == 0)
        return analyze_collections(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "tokens") == 0)
        return analyze_tokens(argc - 1, argv + 1);
    return analyze_tokens(argc, argv);
}
