/* SPDX-License-Identifier: MIT */
#include "analyze.h"
#include "base/buf.h"
#include "cli.h"
#include "model/propose.h"
#include "records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COLLECTIONS_MAX 100
#define FILE_BYTES_MAX (16 << 20)

struct found {
    struct sg_profile *profiles[COLLECTIONS_MAX];
    int n;
    int64_t now_ms;
    uint64_t records;
};

static int
take(void *ctx, const char *collection, const struct records_one *record, struct sg_err *err)
{
    struct found *f = ctx;
    int i;

    for (i = 0; i < f->n && strcmp(f->profiles[i]->name, collection) != 0; i++)
        ;
    if (i == COLLECTIONS_MAX)
        return sg_fail(err, SG_E_LIMIT, collection, "more than %d collections: name some",
                       COLLECTIONS_MAX);
    if (i == f->n) {
        if (sg_profile_new(collection, &f->profiles[i], err) != 0)
            return -1;
        f->n++;
    }
    f->records++;
    return sg_profile_add(f->profiles[i], &record->profile, f->now_ms, err);
}

int
analyze_collections(int argc, char **argv)
{
    const char *ca_file = NULL, *schema = "app";
    int64_t sample = 0;
    const struct cli_option options[] = {
        {"schema", "NAME", "PostgreSQL schema of the proposal (default app)", .text = &schema},
        {"sample", "N", "about N records of each collection (default: all)", .number = &sample,
         .least = 1, .most = INT64_MAX},
        {"ca-file", "FILE", "certificates to trust the store's TLS by", .text = &ca_file},
    };
    const struct cli_usage usage = {
        .name = "analyze collections",
        .operands = "FILE.jsonl…",
        .summary = "Say what collections hold and propose tables for them.",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .least_operands = 1,
        .most_operands = 1000,
    };
    struct records_options from = {.operands = argv + 1};
    struct found *f = calloc(1, sizeof *f);
    struct sg_buf out = SG_BUF_INIT(FILE_BYTES_MAX);
    struct sg_mapping *m;
    struct sg_err err;
    int code, i;

    if (!cli_parse(&usage, argc, argv, &from.n_operands, &code))
        return code;
    from.sample = sample;
    f->now_ms = (int64_t)time(NULL) * 1000;
    if (records_read(&from, take, f, &err) != 0)
        return cli_fail(&usage, &err);
    for (i = 0; i < f->n; i++)
        sg_profile_finish(f->profiles[i]);
    if (sg_propose((const struct sg_profile *const *)f->profiles, f->n,
                   &(struct sg_propose_options){.schema = schema, .about = "about"}, &m, &err) != 0)
        return cli_fail(&usage, &err);
    sg_mapping_write(m, true, &out);
    puts(out.ptr);
    return 0;
}
