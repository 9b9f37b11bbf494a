/* SPDX-License-Identifier: MIT */
#include "collect/load.h"
#include "collections.h"
#include "transfer.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct showing {
    bool json, terminal;
    double began;
};

static double
now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static json_t *
stats_json(const struct sg_collect_stats *s, double seconds, const char *state)
{
    json_t *reasons = json_object();
    int i;

    for (i = 1; i < SG_COLLECT_REASONS; i++)
        if (s->reasons[i] > 0)
            json_object_set_new(reasons, sg_collect_reason_name(i), json_integer(s->reasons[i]));
    return json_pack("{s:s, s:s?, s:I, s:I, s:I, s:I, s:f, s:o}", "state", state, "collection",
                     s->collection, "read", (json_int_t)s->read, "stored", (json_int_t)s->stored,
                     "rejected", (json_int_t)s->rejected, "expected", (json_int_t)s->expected,
                     "rate", seconds > 0 ? (double)s->read / seconds : 0.0, "reasons", reasons);
}

static void
print_json(json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT);

    puts(text != NULL ? text : "{}");
    fflush(stdout);
    free(text);
    json_decref(o);
}

static void
show(void *ctx, const struct sg_collect_stats *s)
{
    struct showing *g = ctx;
    double seconds = now() - g->began, rate = seconds > 0 ? (double)s->read / seconds : 0;

    if (g->json) {
        print_json(stats_json(s, seconds, s->collection != NULL ? "loading" : "keys"));
        return;
    }
    if (g->terminal)
        fputs("\r\033[K", stdout);
    printf("%s: %" PRId64 " read (%.0f/s), %" PRId64 " stored, %" PRId64 " rejected",
           s->collection != NULL ? s->collection : "building keys", s->read, rate, s->stored,
           s->rejected);
    if (s->collection != NULL && s->expected > s->read && rate > 0)
        printf(", about %.0f s to go", (double)(s->expected - s->read) / rate);
    if (!g->terminal)
        putchar('\n');
    fflush(stdout);
}

static void
print_end(const struct sg_collect_stats *s, double seconds, bool dry_run)
{
    int i;

    printf("%s: %" PRId64 " read, %" PRId64 " %s, %" PRId64 " rejected, %.1f s\n",
           dry_run ? "dry run" : "done", s->read, s->stored, dry_run ? "would be stored" : "stored",
           s->rejected, seconds);
    for (i = 1; i < SG_COLLECT_REASONS; i++)
        if (s->reasons[i] > 0)
            printf("  rejected for %s: %" PRId64 "\n", sg_collect_reason_name(i), s->reasons[i]);
}

static int
load(const struct cli_usage *usage, struct sg_collect_options *o, bool json)
{
    struct showing g = {.json = json, .terminal = isatty(1) && !json, .began = now()};
    struct sg_collect_stats stats = {0};
    bool was_done = false;
    struct sg_err err;
    int rc;

    o->progress = show;
    o->ctx = &g;
    rc = sg_collect_load(o, &stats, &was_done, &err);
    if (g.terminal)
        fputs("\r\033[K", stdout);
    if (json)
        print_json(stats_json(&stats, now() - g.began,
                              rc != 0      ? "stopped"
                              : was_done   ? "was done"
                              : o->dry_run ? "dry run"
                                           : "done"));
    else if (rc == 0 && was_done)
        printf("job %s is done: to transfer again what changed since, give another --job\n",
               o->job);
    else if (rc == 0)
        print_end(&stats, now() - g.began, o->dry_run);
    return rc == 0 ? 0 : cli_fail(usage, &err);
}

int
transfer_load(int argc, char **argv)
{
    const char *config = "segue.yaml", *mapping = NULL, *ca_file = NULL;
    struct sg_collect_options o = {.job = "first", .max_rejects = -1};
    int64_t chunk_records = 20000;
    bool json = false;
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &config},
        {"mapping", "FILE", "which table and column each value goes to", .text = &mapping},
        {"source", "URL", "redis:, rediss:, unix:, mongodb:, mongodb+srv: or dynamodb:; or ${NAME}",
         .text = &o.source.url},
        {"ca-file", "FILE", "certificates to trust the source's TLS by", .text = &ca_file},
        {"job", "NAME", "by which it is gone on with (default first)", .text = &o.job},
        {"max-rejects", "N", "stop at more (default: any number)", .number = &o.max_rejects,
         .least = 0, .most = INT64_MAX},
        {"chunk-records", "N", "about so many in a transaction (default 20000)",
         .number = &chunk_records, .least = 1, .most = 1000000},
        {"dry-run", NULL, "read and convert all of it, write nothing", .flag = &o.dry_run},
        {"json", NULL, "progress and result as JSON lines", .flag = &json},
    };
    const struct cli_usage usage = {
        .name = "transfer load",
        .summary = "Transfers the collections of a mapping into the shards.",
        .details = "Makes the tables where they are missing. Into empty ones it copies and builds "
                   "keys afterwards;\ninto others it merges, newer over older. What cannot be "
                   "stored is kept as a reject.\nStopped or killed, the same command goes on where "
                   "it was.\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .examples = "  segue transfer load --mapping shop.yaml --source redis://127.0.0.1:6379 "
                    "--dry-run\n"
                    "  segue transfer load --mapping shop.yaml --source redis://127.0.0.1:6379\n",
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
    o.chunk_records = (int)chunk_records;
    o.source.ca_file = ca_file;
    o.source.stop = collections_stop_on_signals();
    code = load(&usage, &o, json);
    collections_setup_free(&setup);
    return code;
}
