/* SPDX-License-Identifier: MIT */
#include "analyze.h"
#include "analyze_report.h"
#include "base/buf.h"
#include "cli.h"
#include "model/html.h"
#include "model/propose.h"
#include "records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COLLECTIONS_MAX 100
#define FILE_BYTES_MAX (64 << 20)

struct wanted {
    const char *schema, *mapping, *html, *against, *ca_file;
    int64_t sample;
    bool as_json;
};

struct found {
    struct sg_profile *profiles[COLLECTIONS_MAX];
    int n;
    int64_t now_ms;
    uint64_t records;
    bool progress;
};

static const struct sg_profile *const *
profiles_of(const struct found *f)
{
    return (const struct sg_profile *const *)f->profiles;
}

static int
take(void *ctx, const char *collection, const struct records_one *record, struct sg_err *err)
{
    struct found *f = ctx;
    int i;

    for (i = 0; i < f->n && strcmp(f->profiles[i]->name, collection) != 0; i++)
        ;
    if (i == COLLECTIONS_MAX)
        return sg_fail(err, SG_E_LIMIT, collection, "more than %d collections: name those you mean",
                       COLLECTIONS_MAX);
    if (i == f->n) {
        if (sg_profile_new(collection, &f->profiles[i], err) != 0)
            return -1;
        f->n++;
    }
    f->records++;
    if (f->progress && f->records % 1000 == 0)
        fprintf(stderr, "\r%llu records read", (unsigned long long)f->records);
    return sg_profile_add(f->profiles[i], &record->profile, f->now_ms, err);
}

/* fresh: a file that is there is somebody's work. */
static int
write_file(const char *path, const struct sg_buf *text, bool fresh, struct sg_err *err)
{
    FILE *f;
    bool ok;

    if (text->failed)
        return sg_fail(err, SG_E_LIMIT, path, "larger than %d bytes", FILE_BYTES_MAX);
    if ((f = fopen(path, fresh ? "wxe" : "we")) == NULL)
        return sg_fail(err, SG_E_INVALID, path,
                       errno == EEXIST ? "is there already: give another name, or --against it"
                                       : "cannot write the file: %s",
                       strerror(errno));
    ok = fwrite(text->ptr, 1, text->len, f) == text->len;
    ok = fclose(f) == 0 && ok;
    return ok ? 0 : sg_fail(err, SG_E_INVALID, path, "cannot write the file");
}

static int
write_html(const struct found *f, const struct wanted *w, const struct sg_mapping *m,
           const struct sg_drift *drift, struct sg_err *err)
{
    struct sg_buf out = SG_BUF_INIT(FILE_BYTES_MAX);
    struct sg_html_report report = {.title = "What is stored",
                                    .profiles = profiles_of(f),
                                    .n = f->n,
                                    .mapping = m,
                                    .drift = drift};
    time_t now = (time_t)(f->now_ms / 1000);
    char when[64];
    struct tm tm;
    int rc;

    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "segue analyze collections, %Y-%m-%d %H:%M UTC", &tm);
    report.when = when;
    sg_html_write(&report, &out);
    rc = write_file(w->html, &out, false, err);
    sg_buf_free(&out);
    return rc;
}

static int
write_mapping(const struct wanted *w, const struct sg_mapping *m, struct sg_err *err)
{
    struct sg_buf out = SG_BUF_INIT(FILE_BYTES_MAX);
    int rc;

    sg_mapping_write(m, true, &out);
    rc = write_file(w->mapping, &out, true, err);
    sg_buf_free(&out);
    return rc;
}

/* Proposes, compares, writes and prints; the exit code, or -1 with *err. */
static int
tell(const struct found *f, const struct wanted *w, struct sg_err *err)
{
    struct sg_mapping *m = NULL, *against = NULL;
    struct sg_drift drift = {0};
    const struct sg_propose_options options = {
        .schema = w->schema,
        .about =
            w->sample > 0
                ? "Proposed by `segue analyze collections` from a sample: look at what it says "
                  "is always there.\nEdit it, then try it with `segue mapping show`."
                : "Proposed by `segue analyze collections`.\nEdit it, then try it with `segue "
                  "mapping show`."};
    struct analyze_report report = {.profiles = profiles_of(f), .n = f->n, .sample = w->sample > 0};
    int rc = -1;

    if (w->against != NULL && (sg_mapping_load(w->against, &against, err) != 0 ||
                               sg_drift_find(against, profiles_of(f), f->n, &drift, err) != 0))
        goto out;
    if (sg_propose(profiles_of(f), f->n, &options, &m, err) != 0)
        goto out;
    report.mapping = m;
    report.drift = against != NULL ? &drift : NULL;
    if ((w->mapping != NULL && write_mapping(w, m, err) != 0) ||
        (w->html != NULL && write_html(f, w, m, report.drift, err) != 0))
        goto out;
    if (w->as_json)
        analyze_print_json(&report);
    else
        analyze_print_text(&report);
    if (!w->as_json && w->mapping == NULL && against == NULL)
        printf("\nwrite the proposal to a file: --mapping FILE\n");
    rc = drift.rejects ? CLI_FAILED : 0;
out:
    sg_drift_free(&drift);
    sg_mapping_free(against);
    sg_mapping_free(m);
    return rc;
}

int
analyze_collections(int argc, char **argv)
{
    struct wanted w = {.schema = "app"};
    const struct cli_option options[] = {
        {"sample", "N", "about N records of each collection (default: all)", .number = &w.sample,
         .least = 1, .most = INT64_MAX},
        {"mapping", "FILE", "write the proposed mapping there; not over a file",
         .text = &w.mapping},
        {"html", "FILE", "write a report to look at there", .text = &w.html},
        {"against", "FILE", "what changed since this mapping was made", .text = &w.against},
        {"schema", "NAME", "PostgreSQL schema of the proposal (default app)", .text = &w.schema},
        {"ca-file", "FILE", "certificates to trust the store's TLS by", .text = &w.ca_file},
        {"json", NULL, "answer in JSON", .flag = &w.as_json},
    };
    const struct cli_usage usage = {
        .name = "analyze collections",
        .operands = "SOURCE [COLLECTION…]",
        .summary = "Say what collections hold and propose tables for them.",
        .details = "SOURCE is redis:, rediss:, unix:, mongodb:, mongodb+srv: or dynamodb: and what "
                   "follows,\n"
                   "or ${NAME} for one in the environment,\n"
                   "or files with a JSON document a line (mongoexport). Reads only. Shows names "
                   "and counts\n"
                   "and the short words of which a field has few; of a field whose name says "
                   "secret, none.\n"
                   "With --against the exit code is 1 when something would be rejected.\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .least_operands = 1,
        .most_operands = 1000,
        .examples = "segue analyze collections redis://127.0.0.1:6379/0 --html report.html\n"
                    "segue analyze collections mongodb://db/shop users orders --mapping shop.yaml\n"
                    "segue analyze collections users.jsonl --against shop.yaml\n",
    };
    struct records_options from = {.operands = argv + 1};
    struct found *f;
    struct sg_err err;
    int code, i;

    if (!cli_parse(&usage, argc, argv, &from.n_operands, &code))
        return code;
    if ((f = calloc(1, sizeof *f)) == NULL)
        return CLI_FAILED;
    from.ca_file = w.ca_file;
    from.sample = w.sample;
    f->now_ms = (int64_t)time(NULL) * 1000;
    f->progress = !w.as_json && isatty(STDERR_FILENO) == 1;
    code = records_read(&from, take, f, &err);
    if (f->progress)
        fputs("\r\033[K", stderr);
    for (i = 0; i < f->n; i++)
        sg_profile_finish(f->profiles[i]);
    if (code == 0)
        code = tell(f, &w, &err);
    if (code < 0)
        code = cli_fail(&usage, &err);
    for (i = 0; i < f->n; i++)
        sg_profile_free(f->profiles[i]);
    free(f);
    return code;
}
