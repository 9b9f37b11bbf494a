/* SPDX-License-Identifier: MIT */
#include "collect/verify.h"

#include "collections.h"
#include "commands.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SHOWN_MAX 1000 /* differences in an answer or a report; all are counted */

struct telling {
    FILE *report;
    json_t *list;
    int shown;
    bool json, terminal;
};

static const char *const kinds[] = {"missing", "extra", "differs"};

static void
on_found(void *ctx, const struct sg_difference *d)
{
    struct telling *t = ctx;

    if (t->shown++ >= SHOWN_MAX)
        return;
    json_array_append_new(t->list,
                          json_pack("{s:s, s:s, s:s, s:s, s:i, s:i}", "kind", kinds[d->kind],
                                    "table", d->table, "key", d->key, "columns", d->columns,
                                    "shard", d->shard, "bucket", d->bucket));
    if (!t->json)
        printf("%s%-8s %s %s%s%s (shard %d)\n", t->terminal ? "\r\033[K" : "", kinds[d->kind],
               d->table, d->key, d->columns[0] != '\0' ? ": " : "", d->columns, d->shard);
}

static void
on_progress(void *ctx, const char *collection, const struct sg_verify_stats *s)
{
    struct telling *t = ctx;

    if (t->terminal)
        printf("\r\033[K%s: %" PRId64 " records compared", collection, s->records);
    fflush(stdout);
}

static json_t *
answer(struct telling *t, const struct sg_verify_stats *s, bool same)
{
    char when[32];
    time_t now = time(NULL);
    struct tm tm;

    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    return json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O}", "at", when, "same",
                     same, "records", (json_int_t)s->records, "rows", (json_int_t)s->rows,
                     "rejected", (json_int_t)s->rejected, "rejects_kept", (json_int_t)s->kept,
                     "buckets_differed", (json_int_t)s->buckets_differed, "buckets_not_looked_into",
                     (json_int_t)s->not_looked_into, "differences", (json_int_t)s->differences,
                     "mended", (json_int_t)s->mended, "found", t->list);
}

static void
tell(struct telling *t, const struct sg_verify_stats *s, bool same)
{
    json_t *o = answer(t, s, same);
    char *text = json_dumps(o, t->json ? JSON_COMPACT : 0);

    if (t->json)
        puts(text != NULL ? text : "{}");
    else
        printf("%s%s: %" PRId64 " records, %" PRId64 " rows, %" PRId64 " rejected (%" PRId64
               " kept), %" PRId64 " differences, %" PRId64 " mended\n",
               t->terminal ? "\r\033[K" : "", same ? "same" : "NOT the same", s->records, s->rows,
               s->rejected, s->kept, s->differences, s->mended);
    if (!t->json && s->not_looked_into > 0)
        printf("%" PRId64 " more buckets differ: repair these, then verify again\n",
               s->not_looked_into);
    if (t->report != NULL)
        json_dumpf(o, t->report, JSON_INDENT(1));
    free(text);
    json_decref(o);
}

/* Exit code 1: they differ; after a repair that was asked for, that it did not mend all. */
static int
compare(const struct cli_usage *usage, struct sg_verify_options *o, const char *report, bool json)
{
    struct telling t = {.list = json_array(), .json = json, .terminal = isatty(1) && !json};
    struct sg_verify_stats s;
    struct sg_err err;
    bool same;
    int rc;

    if (report != NULL && (t.report = fopen(report, "we")) == NULL) {
        json_decref(t.list);
        return cli_usage_error(usage, "cannot write %s", report);
    }
    o->found = on_found;
    o->progress = on_progress;
    o->ctx = &t;
    rc = sg_verify_collections(o, &s, &err);
    same = rc == 0 && s.differences == 0 && s.not_looked_into == 0 && s.kept >= s.rejected;
    if (rc == 0)
        tell(&t, &s, same);
    else
        cli_fail(usage, &err);
    if (t.report != NULL)
        fclose(t.report);
    json_decref(t.list);
    return rc == 0 && (same || (o->repair && s.not_looked_into == 0 && s.kept >= s.rejected))
               ? 0
               : CLI_FAILED;
}

static int
run(int argc, char **argv, bool repair)
{
    const char *config = "segue.yaml", *mapping = NULL, *report = NULL;
    struct sg_verify_options o = {0};
    bool json = false, apply = false;
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &config},
        {"mapping", "FILE", "which table and column each value goes to", .text = &mapping},
        {"source", "URL", "redis:, rediss:, unix:, mongodb:, mongodb+srv: or dynamodb:; or ${NAME}",
         .text = &o.source.url},
        {"ca-file", "FILE", "certificates to trust the source's TLS by", .text = &o.source.ca_file},
        {"report", "FILE", "write the result there too, as JSON", .text = &report},
        {"json", NULL, "answer in JSON", .flag = &json},
        {"apply", NULL, "write; without it only what would be done is shown", .flag = &apply},
    };
    const struct cli_usage usage = {
        .name = repair ? "repair" : "verify",
        .summary = repair ? "Makes the tables of a mapping as the source is, where they differ."
                          : "Compares the source with the tables of a mapping, value by value.",
        .details = repair
                       ? "Shows the differences as `segue verify` does. With --apply records that "
                         "differ or are missing\nare written as the source has them now, and rows "
                         "that the source does not have are deleted.\n"
                       : "Reads both sides whole. What differs is read again before it is told: "
                         "table, key and columns,\nnever values. Exit code 1 where anything "
                         "differs.\n",
        .options = options,
        .n_options = (int)(sizeof options / sizeof options[0]) - !repair,
        .examples = repair
                        ? "  segue repair --mapping shop.yaml --source redis://127.0.0.1 --apply\n"
                        : "  segue verify --mapping shop.yaml --source redis://127.0.0.1 "
                          "--report verified.json\n",
    };
    struct collections_setup setup;
    struct sg_err err;
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    if (mapping == NULL || o.source.url == NULL)
        return cli_usage_error(&usage, "--mapping and --source are needed");
    if (cli_url(o.source.url, &o.source.url, &err) != 0)
        return cli_usage_error(&usage, "%s: %s", err.place, err.text);
    if ((code = collections_setup(&usage, config, mapping, &setup)) != 0)
        return code;
    o.target = (struct sg_target_options){.mapping = setup.mapping,
                                          .conninfos = setup.config->shards,
                                          .n_shards = setup.config->n_shards,
                                          .ring = setup.ring};
    o.control = setup.config->control;
    o.source.stop = collections_stop_on_signals();
    o.repair = apply;
    code = compare(&usage, &o, report, json);
    collections_setup_free(&setup);
    return code;
}

int
cmd_verify(int argc, char **argv)
{
    return run(argc, argv, false);
}

int
cmd_repair(int argc, char **argv)
{
    return run(argc, argv, true);
}
