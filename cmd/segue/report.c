/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "commands.h"
#include "policy_change.h"
#include "session/cookie.h"
#include "sizes.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* Whole-header limits in the way: Tomcat 8 KiB, Node 16 KiB; nginx 8 KiB and Apache 8,190 bytes a
 * line. */
#define HEADER_BYTES 8190
#define OTHER_BYTES 1500

struct report_options {
    const char *config, *realm;
    int64_t limit, cookie_bytes, header_bytes, other_bytes;
    bool json;
};

/* ---- text ---- */

static void
print_spread(const char *what, const uint32_t *counts, int64_t limit, int64_t over)
{
    printf("  %-34s %6d %6d %6d %8lld %9lld\n", what, sizes_percentile(counts, 50),
           sizes_percentile(counts, 99), sizes_percentile(counts, 100), (long long)limit,
           (long long)over);
}

static void
print_names(const struct sizes *s)
{
    int i;

    printf("\nwhat makes them long                              bytes   held by  by those over  "
           "fit without it\n");
    for (i = 0; i < s->list && s->names[i].name != NULL && s->names[i].over > 0; i++)
        printf("  %-46.46s %6d %9lld %14lld %15lld\n", s->names[i].name, s->names[i].bytes,
               (long long)s->names[i].holders, (long long)s->names[i].over,
               (long long)s->names[i].fits);
    if (s->names_left_out > 0)
        printf("  (more than %d different names: further ones are not broken down)\n", s->n_names);
    puts("Shorter names in what identity.lookup answers, or a role instead of many permissions, "
         "make them fit.");
}

static void
print_sizes(const struct sg_realm_config *realm, const struct sizes *s)
{
    int i;

    printf("realm %s: %lld active subjects, %s", realm->name, (long long)s->subjects, s->alg);
    if (s->unread > 0)
        printf("; %lld more were not read from the identity source yet", (long long)s->unread);
    if (s->unclaimed > 0)
        printf("; %lld more lack a required claim, so they get no token", (long long)s->unclaimed);
    printf("\n\n  bytes                                 p50    p99    max    limit      over\n");
    print_spread("cookie, name and value", s->cookie_counts, s->cookie_bytes, s->over_cookie);
    print_spread("whole header that reaches the app", s->header_counts, s->header_bytes,
                 s->over_header);
    if (s->over_cookie > 0)
        printf("\n%lld subjects' cookies leave their roles out: each of their requests is answered "
               "with roles\nthat are asked for once a second and instance. Nobody is refused for "
               "it.\n",
               (long long)s->over_cookie);
    if (s->over_token > 0)
        printf("%lld subjects' tokens leave them out everywhere (token.max_bytes %d): API clients "
               "introspect.\n",
               (long long)s->over_token, realm->token.max_bytes);
    if (s->no_cookie > 0)
        printf("%lld subjects get NO COOKIE: even without roles it would be too long. They stay on "
               "the session\ncookie, and cannot log in once finalized.\n",
               (long long)s->no_cookie);
    if (s->over_header > 0)
        printf("%lld subjects' requests may be refused by a server that takes no longer header: "
               "raise its limit.\n",
               (long long)s->over_header);
    if (s->over_cookie == 0)
        return;
    printf("\nlongest cookies                               bytes  roles  permissions\n");
    for (i = 0; i < s->n_longest; i++)
        printf("  %-40.40s %8d %6d %12d\n", s->longest[i].subject, s->longest[i].cookie_bytes,
               s->longest[i].roles, s->longest[i].permissions);
    print_names(s);
}

/* ---- JSON ---- */

static json_t *
spread_json(const uint32_t *counts, int64_t limit, int64_t over)
{
    return json_pack("{s:i,s:i,s:i,s:I,s:I}", "p50", sizes_percentile(counts, 50), "p99",
                     sizes_percentile(counts, 99), "max", sizes_percentile(counts, 100), "limit",
                     (json_int_t)limit, "over", (json_int_t)over);
}

static void
dump_sizes(const struct sg_realm_config *realm, const struct sizes *s)
{
    json_t *subjects = json_array(), *names = json_array(), *json;
    int i;

    for (i = 0; i < s->n_longest; i++)
        json_array_append_new(
            subjects, json_pack("{s:s,s:i,s:i,s:i}", "subject", s->longest[i].subject,
                                "cookie_bytes", s->longest[i].cookie_bytes, "roles",
                                s->longest[i].roles, "permissions", s->longest[i].permissions));
    for (i = 0; i < s->list && s->names[i].name != NULL; i++)
        json_array_append_new(names, json_pack("{s:s,s:i,s:I,s:I,s:I}", "name", s->names[i].name,
                                               "bytes", s->names[i].bytes, "holders",
                                               (json_int_t)s->names[i].holders, "over",
                                               (json_int_t)s->names[i].over, "fit_without",
                                               (json_int_t)s->names[i].fits));
    json = json_pack("{s:s,s:s,s:I,s:I,s:o,s:o,s:I,s:I,s:o,s:o}", "realm", realm->name, "alg",
                     s->alg, "subjects", (json_int_t)s->subjects, "unread", (json_int_t)s->unread,
                     "cookie", spread_json(s->cookie_counts, s->cookie_bytes, s->over_cookie),
                     "header", spread_json(s->header_counts, s->header_bytes, s->over_header),
                     "over_token", (json_int_t)s->over_token, "no_cookie", (json_int_t)s->no_cookie,
                     "longest", subjects, "names", names);
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
}

static int
report_sizes(const struct cli_usage *usage, const struct report_options *o)
{
    struct sizes s = {.cookie_bytes = o->cookie_bytes,
                      .header_bytes = o->header_bytes,
                      .other_bytes = o->other_bytes,
                      .list = (int)o->limit};
    const struct sg_realm_config *realm;
    struct control_db db = {0};
    struct sg_config *config;
    struct sg_err err;
    int rc;

    if (sg_config_load(o->config, &config, &err) != 0) {
        cli_fail(usage, &err);
        return CLI_USAGE;
    }
    if (control_realm(config, o->realm, &realm, &err) != 0) {
        cli_fail(usage, &err);
        sg_config_free(config);
        return CLI_USAGE;
    }
    rc = control_open(&db, config->control, "control", &err) == 0
             ? sizes_measure(&s, config, realm, &db, &err)
             : -1;
    if (rc == 0) {
        sizes_sort_names(&s);
        if (o->json)
            dump_sizes(realm, &s);
        else
            print_sizes(realm, &s);
    } else {
        rc = cli_fail(usage, &err);
    }
    sizes_free(&s);
    control_close(&db);
    sg_config_free(config);
    return rc;
}

int
cmd_report(int argc, char **argv)
{
    struct report_options o = {.config = "segue.yaml",
                               .limit = 20,
                               .cookie_bytes = SG_COOKIE_BYTES,
                               .header_bytes = HEADER_BYTES,
                               .other_bytes = OTHER_BYTES};
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &o.config},
        {"realm", "NAME", "which realm (needed where there are several)", .text = &o.realm},
        {"limit", "N", "how many subjects and roles to name (default 20)", .number = &o.limit,
         .least = 0, .most = SIZES_LIST_MAX},
        {"cookie-bytes", "N", "what browsers keep (default 4096)", .number = &o.cookie_bytes,
         .least = 256, .most = SIZES_BYTES_MAX},
        {"header-bytes", "N", "what the app's server takes (default 8190; Node: 16384)",
         .number = &o.header_bytes, .least = 256, .most = SIZES_BYTES_MAX},
        {"other-bytes", "N", "of it that are not Segue's (default 1500)", .number = &o.other_bytes,
         .least = 0, .most = SIZES_BYTES_MAX / 2},
        {"json", NULL, "answer in JSON", .flag = &o.json},
    };
    const struct cli_usage usage = {
        .name = "report",
        .operands = "sizes",
        .summary = "How long each subject's token would be, and what makes it so.",
        .details = "Reads the shards (roles and permissions as last taken from the identity "
                   "source); exact to the\nbyte for the realm's longest audience. Writes "
                   "nothing.\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .least_operands = 1,
        .most_operands = 1,
        .examples = "  segue report sizes --realm main\n"
                    "  segue report sizes --realm main --header-bytes 16384 --json\n",
    };
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    if (strcmp(argv[1], "sizes") != 0)
        return cli_usage_error(&usage, "there is no report '%s': expected sizes", argv[1]);
    return sodium_init() < 0 ? CLI_FAILED : report_sizes(&usage, &o);
}
