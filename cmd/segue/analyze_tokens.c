/* SPDX-License-Identifier: MIT */
#include "analyze.h"
#include "base/log.h"
#include "model/framework.h"
#include "records.h"
#include "transfer.h"
#include "transfer/analysis.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_KEYS 500
#define PAGE_TIMEOUT_MS 10000
#define BAR_CHARS 40

struct run {
    uv_loop_t loop;
    struct sg_bridge *bridge;
    struct sg_legacy_scan scan;
    struct sg_analysis analysis;
    int64_t sample; /* 0 = everything */
    bool progress, partial;
    int rc;
    struct sg_err err;
};

static void next_page(struct run *r);

static void
page_read(struct sg_legacy_scan *scan)
{
    struct run *r = sg_container_of(scan, struct run, scan);
    int i;

    r->rc = scan->rc;
    if (r->rc != 0)
        r->err = scan->err;
    for (i = 0; r->rc == 0 && i < scan->n_items; i++)
        sg_analysis_add(&r->analysis, r->bridge->codec, &r->bridge->codec_config, &scan->items[i]);
    sg_legacy_scan_clear(scan);
    if (r->progress)
        fprintf(stderr, "\r%llu keys read", (unsigned long long)r->analysis.keys);
    r->partial =
        r->sample > 0 && r->analysis.keys >= (uint64_t)r->sample && strcmp(scan->cursor, "0") != 0;
    if (r->rc == 0 && !r->partial && strcmp(scan->cursor, "0") != 0)
        next_page(r);
    else
        sg_bridge_close(r->bridge, NULL, NULL);
}

static void
next_page(struct run *r)
{
    r->scan.page_keys = PAGE_KEYS;
    r->scan.deadline_ns = sg_bridge_deadline(r->bridge, PAGE_TIMEOUT_MS);
    r->scan.done = page_read;
    r->bridge->legacy->type->scan(r->bridge->legacy, &r->scan);
}

/* ---- telling ---- */

static void
label_of(const struct sg_histogram *h, int i, const char *unit, char out[32])
{
    int64_t limit = i < h->n - 1 ? h->limits[i] : h->limits[h->n - 2];

    if (strcmp(unit, "s") == 0 && limit >= 86400)
        snprintf(out, 32, "%s %lld d", i < h->n - 1 ? "up to" : "over", (long long)(limit / 86400));
    else if (strcmp(unit, "s") == 0 && limit >= 3600)
        snprintf(out, 32, "%s %lld h", i < h->n - 1 ? "up to" : "over", (long long)(limit / 3600));
    else
        snprintf(out, 32, "%s %lld %s", i < h->n - 1 ? "up to" : "over", (long long)limit, unit);
}

static void
print_histogram(const char *title, const struct sg_histogram *h, const char *unit)
{
    uint64_t most = 1;
    char label[32];
    int i;

    printf("\n%s\n", title);
    for (i = 0; i < h->n; i++)
        if (h->counts[i] > most)
            most = h->counts[i];
    for (i = 0; i < h->n; i++) {
        label_of(h, i, unit, label);
        printf("  %-14s %9llu  %.*s\n", label, (unsigned long long)h->counts[i],
               (int)((h->counts[i] * BAR_CHARS + most - 1) / most),
               "########################################");
    }
}

static void
print_list(const char *title, const struct sg_analysis_list *list, uint64_t of)
{
    int i;

    if (list->n == 0)
        return;
    printf("\n%s\n", title);
    for (i = 0; i < list->n; i++)
        printf("  %-50s %9llu  %5.1f %%\n", list->items[i].text,
               (unsigned long long)list->items[i].n,
               of > 0 ? 100.0 * (double)list->items[i].n / (double)of : 0.0);
    if (list->other > 0)
        printf("  %-50s %9llu\n", "others", (unsigned long long)list->other);
}

static void
print_members(const struct sg_analysis *a)
{
    int i;

    print_list("not identity: needs another home before the store retires", &a->members, a->keys);
    for (i = 0; i < a->members.n; i++) {
        const char *kind = sg_session_member_kind(sg_str(a->members.items[i].text));

        printf("  %s (%s): %s\n", a->members.items[i].text, kind, sg_session_member_home(kind));
    }
}

static void
print_report(const struct run *r, const struct sg_realm_config *realm)
{
    const struct sg_analysis *a = &r->analysis;
    char alphabet[256];

    sg_token_ids_alphabet(&a->ids, alphabet, sizeof alphabet);
    printf("realm %s: %s in %s, keys \"%s…\"%s\n\n", realm->name, realm->legacy.codec,
           realm->legacy.store, realm->legacy.key_prefix, r->partial ? " (a sample)" : "");
    printf("  records        %9llu\n", (unsigned long long)a->keys);
    printf("  sessions       %9llu  of %s%llu subjects\n", (unsigned long long)a->sessions,
           a->subjects_full ? "at least " : "", (unsigned long long)a->subjects);
    printf("  anonymous      %9llu  kept, never given a JWT\n", (unsigned long long)a->anonymous);
    printf("  undecodable    %9llu  will be in the reject table\n",
           (unsigned long long)(a->undecodable + a->wrong_type));
    printf("  without TTL    %9llu\n", (unsigned long long)a->without_ttl);
    printf("  bytes          %9llu  largest record %llu\n", (unsigned long long)a->bytes,
           (unsigned long long)a->largest_bytes);
    printf("\ntokens\n  ids of %llu to %llu characters from %s\n  about %.0f bits each by their "
           "characters (an upper estimate); the cookie signs them\n",
           (unsigned long long)a->ids.shortest, (unsigned long long)a->ids.longest, alphabet,
           sg_token_ids_bits(&a->ids));
    print_histogram("remaining life", &a->ttl_s, "s");
    print_histogram("record size", &a->size_bytes, "bytes");
    print_list("sliding lifetime (cookie.originalMaxAge)", &a->idle_s, a->sessions + a->anonymous);
    print_members(a);
    print_list("why records do not decode", &a->reasons, a->keys);
}

static json_t *
histogram_json(const struct sg_histogram *h)
{
    json_t *list = json_array();
    int i;

    for (i = 0; i < h->n; i++)
        json_array_append_new(list,
                              json_pack("{s:o,s:I}", "up_to",
                                        i < h->n - 1 ? json_integer(h->limits[i]) : json_null(),
                                        "n", (json_int_t)h->counts[i]));
    return list;
}

static json_t *
list_json(const struct sg_analysis_list *list)
{
    json_t *o = json_object();
    int i;

    for (i = 0; i < list->n; i++)
        json_object_set_new(o, list->items[i].text, json_integer((json_int_t)list->items[i].n));
    return o;
}

static void
print_json(const struct run *r, const struct sg_realm_config *realm)
{
    const struct sg_analysis *a = &r->analysis;
    char alphabet[256];
    json_t *json;

    sg_token_ids_alphabet(&a->ids, alphabet, sizeof alphabet);
    json = json_pack(
        "{s:s,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "realm", realm->name, "sample", r->partial,
        "records", (json_int_t)a->keys, "sessions", (json_int_t)a->sessions, "subjects",
        (json_int_t)a->subjects, "anonymous", (json_int_t)a->anonymous, "undecodable",
        (json_int_t)(a->undecodable + a->wrong_type), "without_ttl", (json_int_t)a->without_ttl,
        "bytes", (json_int_t)a->bytes, "largest_bytes", (json_int_t)a->largest_bytes);
    json_object_set_new(json, "tokens",
                        json_pack("{s:I,s:I,s:s,s:f,s:b}", "shortest", (json_int_t)a->ids.shortest,
                                  "longest", (json_int_t)a->ids.longest, "alphabet", alphabet,
                                  "bits_estimate", sg_token_ids_bits(&a->ids), "signed", 1));
    json_object_set_new(json, "ttl_s", histogram_json(&a->ttl_s));
    json_object_set_new(json, "size_bytes", histogram_json(&a->size_bytes));
    json_object_set_new(json, "idle", list_json(&a->idle_s));
    json_object_set_new(json, "not_identity", list_json(&a->members));
    json_object_set_new(json, "reasons", list_json(&a->reasons));
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
}

static int
analyze(const struct cli_usage *usage, const struct transfer_setup *setup, int64_t sample,
        bool as_json)
{
    static struct run r;
    struct sg_bridge_options options = {.loop = &r.loop,
                                        .clock = sg_clock_system(),
                                        .config = setup->config,
                                        .realm = setup->realm,
                                        .legacy_only = true};

    r.sample = sample;
    r.progress = !as_json && isatty(STDERR_FILENO) == 1;
    r.scan.cursor[0] = '0';
    if (uv_loop_init(&r.loop) != 0 || sg_analysis_init(&r.analysis, &r.err) != 0)
        return CLI_FAILED;
    if (sg_bridge_open(&options, &r.bridge, &r.err) != 0)
        return cli_fail(usage, &r.err);
    next_page(&r);
    uv_run(&r.loop, UV_RUN_DEFAULT);
    uv_loop_close(&r.loop);
    if (r.progress)
        fputs("\r\033[K", stderr);
    if (r.rc == 0 && as_json)
        print_json(&r, setup->realm);
    else if (r.rc == 0)
        print_report(&r, setup->realm);
    sg_analysis_free(&r.analysis);
    return r.rc == 0 ? 0 : cli_fail(usage, &r.err);
}

int
analyze_tokens(int argc, char **argv)
{
    const char *path = "segue.yaml", *realm = NULL, *ca_file = NULL;
    int64_t sample = 0;
    bool as_json = false;
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &path},
        {"realm", "NAME", "which realm (needed where there are several)", .text = &realm},
        {"sample", "N", "stop after about N records (default: all)", .number = &sample, .least = 1,
         .most = INT64_MAX},
        {"ca-file", "FILE", "with SOURCE: certificates to trust its TLS by", .text = &ca_file},
        {"json", NULL, "answer in JSON", .flag = &as_json},
    };
    const struct cli_usage usage = {
        .name = "analyze tokens",
        .summary = "Say what the legacy store holds, how its tokens are made and how they expire.",
        .operands = "[SOURCE [COLLECTION…]]",
        .details =
            "Reads only. Shows names and counts, never values. Without SOURCE the store of the\n"
            "realm is read by its codec. SOURCE is redis:, mongodb:, dynamodb: and what\n"
            "follows, or files with a JSON document a line; whose sessions they are is guessed.\n"
            "`segue analyze collections` is for everything else that is stored.\n",
        .most_operands = 100,
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .examples =
            "segue analyze --realm main\nsegue analyze tokens --realm main --sample 10000 --json\n"
            "segue analyze tokens redis://127.0.0.1:6379/0 'sess:*'\n",
    };
    struct transfer_setup setup;
    struct sg_err err;
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    if (n > 0) {
        const struct records_options from = {
            .operands = argv + 1, .n_operands = n, .ca_file = ca_file, .sample = sample};

        return analyze_sessions(&from, as_json, &err) == 0 ? 0 : cli_fail(&usage, &err);
    }
    if ((code = transfer_setup(&usage, path, realm, &setup)) != 0)
        return code;
    code = analyze(&usage, &setup, sample, as_json);
    transfer_setup_free(&setup);
    return code;
}
