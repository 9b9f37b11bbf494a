/* SPDX-License-Identifier: MIT */
#include "model/mapping.h"
#include "base/buf.h"
#include "cli.h"
#include "commands.h"

#include <stdio.h>

int
cmd_mapping(int argc, char **argv)
{
    const struct cli_usage usage = {.name = "mapping",
                                    .operands = "FILE",
                                    .summary = "",
                                    .least_operands = 1,
                                    .most_operands = 1};
    struct sg_buf out = SG_BUF_INIT(16 << 20);
    struct sg_mapping *m;
    struct sg_err err;
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    if (sg_mapping_load(argv[1], &m, &err) != 0)
        return cli_fail(&usage, &err);
    sg_mapping_write(m, false, &out);
    fputs(out.ptr, stdout);
    sg_buf_free(&out);
    sg_mapping_free(m);
    return 0;
}
