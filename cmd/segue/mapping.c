/* SPDX-License-Identifier: MIT */
#include "model/mapping.h"
#include "base/buf.h"
#include "cli.h"
#include "commands.h"
#include "model/ddl.h"

#include <stdio.h>

#define TEXT_BYTES_MAX (16 << 20)

static const char *const parts[] = {"show", "ddl", NULL};
static const char *const ddl_parts[] = {"all", "tables", "keys", "references", NULL};

int
cmd_mapping(int argc, char **argv)
{
    int ddl_part = 0;
    const struct cli_option options[] = {
        {"part", "PART", "of the DDL: all, tables, keys, references (default all)",
         .word = &ddl_part, .words = ddl_parts},
    };
    const struct cli_usage usage = {
        .name = "mapping",
        .operands = "show|ddl FILE",
        .summary = "Check a mapping file; print it in its plain form, or the DDL it yields.",
        .details =
            "Mistakes are told with line, column and a suggestion. The DDL has three parts:\n"
            "tables; keys, for after a bulk load; references between collections, for when\n"
            "the source is no longer followed.\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .least_operands = 2,
        .most_operands = 2,
        .examples = "segue mapping show shop.yaml\nsegue mapping ddl shop.yaml --part tables\n",
    };
    const unsigned wanted[] = {SG_DDL_TABLES | SG_DDL_KEYS | SG_DDL_REFERENCES, SG_DDL_TABLES,
                               SG_DDL_KEYS, SG_DDL_REFERENCES};
    struct sg_buf out = SG_BUF_INIT(TEXT_BYTES_MAX);
    struct sg_mapping *m;
    struct sg_err err;
    int n, code, part;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    for (part = 0; parts[part] != NULL && strcmp(parts[part], argv[1]) != 0; part++)
        ;
    if (parts[part] == NULL)
        return cli_usage_error(&usage, "there is no '%s': show or ddl", argv[1]);
    if (sg_mapping_load(argv[2], &m, &err) != 0)
        return cli_fail(&usage, &err);
    if (part == 0)
        sg_mapping_write(m, false, &out);
    else
        sg_mapping_ddl(m, wanted[ddl_part], &out);
    fputs(out.ptr != NULL ? out.ptr : "", stdout);
    sg_buf_free(&out);
    sg_mapping_free(m);
    return 0;
}
