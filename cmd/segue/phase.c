/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "commands.h"
#include "policy_change.h"
#include "session/cookie.h"
#include "sizes.h"

#include <jansson.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct phase_options {
    const char *config, *realm, *percent, *why, *cohort, *confirm;
    bool dry_run, force, json;
};

/* Roles that are asked for on each request are for the few. */
#define BY_REFERENCE_PERCENT 1

/* "12.34" -> 1234; exactly two decimals at most, so that nothing is rounded behind anybody's back.
 */
static int
parse_percent(const char *text, int *out)
{
    char *end;
    double v = strtod(text, &end);

    if (end == text || *end != '\0' || !(v >= 0 && v <= 100) ||
        fabs(v * 100 - round(v * 100)) > 1e-6)
        return -1;
    *out = (int)lround(v * 100);
    return 0;
}

static bool
one_row_says(struct control_db *db, const char *sql, const char *realm, bool *out,
             struct sg_err *err)
{
    const char *params[] = {realm};
    PGresult *r;

    if (control_run(db, &r, err, sql, 1, params) != 0)
        return false;
    *out = PQntuples(r) > 0 && PQgetvalue(r, 0, 0)[0] == 't';
    PQclear(r);
    return true;
}

/* The table's last column: what is needed before a phase is entered. */
static int
check_ready(struct control_db *db, const char *realm, enum sg_phase to, struct sg_err *err)
{
    bool transferred, proven, key;

    if (!one_row_says(db,
                      "SELECT bool_or(snapshot_at IS NOT NULL) FROM segue_control.transfer_job "
                      "WHERE realm = $1",
                      realm, &transferred, err) ||
        !one_row_says(db,
                      "SELECT proven AND changed_at IS NOT NULL FROM segue_control.continuity "
                      "WHERE realm = $1",
                      realm, &proven, err) ||
        !one_row_says(db,
                      "SELECT count(*) = 1 FROM segue_control.signing_key "
                      "WHERE realm = $1 AND state = 'active'",
                      realm, &key, err))
        return -1;
    if (!transferred)
        return sg_fail(err, SG_E_DENIED, "phase",
                       "%s needs a finished snapshot: run `segue transfer run` and see `segue "
                       "transfer status`",
                       sg_phase_name(to));
    if (to < SG_FINALIZED && !proven)
        return sg_fail(err, SG_E_DENIED, "phase",
                       "%s needs the capture of the legacy store to be continuous: is `segue "
                       "transfer run` running? See `segue transfer status`",
                       sg_phase_name(to));
    if (!key)
        return sg_fail(err, SG_E_DENIED, "phase",
                       "%s needs an active signing key: run `segue init`", sg_phase_name(to));
    return 0;
}

static int
check(const struct sg_policy *now, const struct policy_change *c, struct control_db *db,
      struct sg_err *err)
{
    enum sg_phase to = c->phase >= 0 ? (enum sg_phase)c->phase : now->phase;

    if (c->phase >= 0 && sg_phase_check_step(now->phase, to, err) != 0)
        return -1;
    if (to > now->phase && check_ready(db, c->realm, to, err) != 0)
        return -1;
    return 0;
}

/* Whether the tokens that the phase hands out fit where they go. Read before the policy is locked:
 * it looks at every subject. */
static int
check_sizes(const struct sg_config *config, const struct sg_realm_config *realm,
            struct control_db *db, bool force, struct sg_err *err)
{
    struct sizes s = {
        .cookie_bytes = SG_COOKIE_BYTES, .header_bytes = SIZES_BYTES_MAX, .other_bytes = 0};
    int rc = sizes_measure(&s, config, realm, db, err);

    if (rc == 0 && s.over_cookie > 0)
        fprintf(stderr,
                "%lld of %lld subjects get a cookie without roles, %lld none at all: see `segue "
                "report sizes`\n",
                (long long)(s.over_cookie - s.no_cookie), (long long)s.subjects,
                (long long)s.no_cookie);
    if (rc == 0 && !force &&
        (s.no_cookie > 0 || s.over_cookie * 100 > s.subjects * BY_REFERENCE_PERCENT))
        rc = sg_fail(err, SG_E_DENIED, "phase",
                     "too many tokens do not fit in a cookie: %s; --force with --why goes on all "
                     "the same",
                     s.no_cookie > 0 ? "some not even without roles, and in finalized those "
                                       "subjects could not log in"
                                     : "more than 1 % of the subjects would have their roles asked "
                                       "for on each request");
    sizes_free(&s);
    return rc;
}

static void
print_policy(const char *label, const struct sg_policy *p)
{
    printf("%-7s %s, %d.%02d %%, version %lld, realm epoch %d\n", label, sg_phase_name(p->phase),
           p->percent_e2 / 100, p->percent_e2 % 100, (long long)p->version, p->realm_epoch);
}

static json_t *
policy_json(const struct sg_policy *p)
{
    return json_pack("{s:s,s:f,s:I,s:i}", "phase", sg_phase_name(p->phase), "percent",
                     p->percent_e2 / 100.0, "version", (json_int_t)p->version, "realm_epoch",
                     p->realm_epoch);
}

static void
print_change(const struct phase_options *o, const struct policy_change *c, int instances)
{
    json_t *json;

    if (!o->json) {
        print_policy("from", &c->before);
        print_policy(o->dry_run ? "would" : "to", &c->after);
        if (!o->dry_run)
            printf("%d instance%s confirmed\n", instances, instances == 1 ? "" : "s");
        return;
    }
    json = json_pack("{s:o,s:o,s:i,s:b}", "from", policy_json(&c->before), "to",
                     policy_json(&c->after), "instances", instances, "dry_run", o->dry_run);
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
}

static int
confirm_finalize(const struct cli_usage *usage, const struct phase_options *o, const char *realm)
{
    char line[128] = "";

    if (o->dry_run)
        return 0;
    if (o->confirm != NULL)
        snprintf(line, sizeof line, "%s", o->confirm);
    else {
        fprintf(
            stderr,
            "finalized cannot be undone: session tokens are refused from then on and the legacy "
            "store may go.\nType the realm's name to go on: ");
        if (fgets(line, sizeof line, stdin) == NULL)
            line[0] = '\0';
        line[strcspn(line, "\n")] = '\0';
    }
    if (strcmp(line, realm) == 0)
        return 0;
    return cli_usage_error(usage, "not confirmed: expected --confirm %s", realm);
}

static int
run(const struct cli_usage *usage, const struct phase_options *o, const char *phase)
{
    const struct sg_realm_config *realm;
    struct policy_change c = {.phase = -1,
                              .percent_e2 = -1,
                              .action = "phase",
                              .why = o->why,
                              .dry_run = o->dry_run,
                              .check = check};
    struct sg_config *config;
    enum sg_phase to = SG_OBSERVE;
    char cohorts[512];
    struct sg_err err;
    struct control_db db;
    int instances = 0, rc;

    if (phase != NULL && sg_phase_parse(sg_str(phase), &to, &err) != 0)
        return cli_usage_error(usage, "%s", err.text);
    if (o->percent != NULL && parse_percent(o->percent, &c.percent_e2) != 0)
        return cli_usage_error(
            usage, "--percent: expected 0 to 100 with at most two decimals, not '%s'", o->percent);
    if (sg_config_load(o->config, &config, &err) != 0) {
        cli_fail(usage, &err);
        return CLI_USAGE;
    }
    if (control_realm(config, o->realm, &realm, &err) != 0) {
        cli_fail(usage, &err);
        sg_config_free(config);
        return CLI_USAGE;
    }
    c.realm = realm->name;
    if (phase != NULL)
        c.phase = (int)to;
    if (o->cohort != NULL) {
        snprintf(cohorts, sizeof cohorts, "{%s}", strcmp(o->cohort, "-") == 0 ? "" : o->cohort);
        c.cohorts = cohorts;
    }
    if (phase != NULL && to == SG_FINALIZED && (rc = confirm_finalize(usage, o, c.realm)) != 0) {
        sg_config_free(config);
        return rc;
    }
    if (control_open(&db, config->control, "control", &err) != 0) {
        sg_config_free(config);
        return cli_fail(usage, &err);
    }
    if (phase == NULL && o->percent == NULL && o->cohort == NULL) {
        rc = policy_read(&db, c.realm, &c.after, &err);
        c.before = c.after;
        if (rc == 0 && o->json) {
            json_t *json = policy_json(&c.after);

            json_dumpf(json, stdout, JSON_COMPACT);
            putchar('\n');
            json_decref(json);
        } else if (rc == 0)
            print_policy(c.realm, &c.after);
    } else {
        rc = phase != NULL ? policy_read(&db, c.realm, &c.before, &err) : 0;
        if (rc == 0 && phase != NULL && to > c.before.phase)
            rc = check_sizes(config, realm, &db, o->force, &err);
        if (rc == 0)
            rc = policy_change(&db, &c, &err);
        if (rc == 0 && !o->dry_run)
            rc = policy_wait(&db, c.realm, c.after.version, 3000, &instances, &err);
        if (rc == 0)
            print_change(o, &c, instances);
        if (rc == 0 && strcmp(realm->token.alg, "HS256") == 0)
            fputs("tokens are HS256: resource servers cannot verify them, they introspect\n",
                  stderr);
    }
    control_close(&db);
    sg_config_free(config);
    return rc == 0 ? 0 : cli_fail(usage, &err);
}

int
cmd_phase(int argc, char **argv)
{
    struct phase_options o = {.config = "segue.yaml"};
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &o.config},
        {"realm", "NAME", "which realm (needed where there are several)", .text = &o.realm},
        {"percent", "P", "share of subjects that get a JWT in exchange, 0.01 % grain",
         .text = &o.percent},
        {"cohort", "ROLE,…", "holders of these roles are in, whatever the percentage; - = none",
         .text = &o.cohort},
        {"why", "TEXT", "for the journal", .text = &o.why},
        {"confirm", "NAME", "the realm's name, to enter finalized without being asked",
         .text = &o.confirm},
        {"dry-run", NULL, "say what would change and change nothing", .flag = &o.dry_run},
        {"force", NULL, "although tokens do not fit; wants --why", .flag = &o.force},
        {"json", NULL, "answer in JSON", .flag = &o.json},
    };
    const struct cli_usage usage = {
        .name = "phase",
        .operands = "[observe|dual|exchange|stateless|finalized]",
        .summary = "Show or change a realm's phase and rollout.",
        .details = "Forward goes one phase at a time and only when what the phase needs is there; "
                   "back goes to\n"
                   "any earlier phase (see also `segue rollback`). Every change is journaled and "
                   "answered\n"
                   "when all instances have confirmed it.\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .most_operands = 1,
        .examples = "segue phase --realm main\n"
                    "segue phase --realm main dual --why 'CHG-1042'\n"
                    "segue phase --realm main exchange --percent 1\n"
                    "segue phase --realm main --percent 25 --dry-run\n",
    };
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    if (o.force && o.why == NULL)
        return cli_usage_error(&usage, "--force needs --why");
    return sodium_init() < 0 ? CLI_FAILED : run(&usage, &o, n == 1 ? argv[1] : NULL);
}
