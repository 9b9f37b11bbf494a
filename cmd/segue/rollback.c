/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "commands.h"
#include "policy_change.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct rollback_options {
    const char *config, *realm, *to, *why;
    bool distrust, dry_run, json;
};

static int
check(const struct sg_policy *now, const struct policy_change *c, struct control_db *db,
      struct sg_err *err)
{
    (void)db; /* going back needs nothing */
    if ((enum sg_phase)c->phase > now->phase)
        return sg_fail(err, SG_E_DENIED, "rollback",
                       "the realm is in %s: %s is forward, use `segue phase`",
                       sg_phase_name(now->phase), sg_phase_name((enum sg_phase)c->phase));
    return sg_phase_check_step(now->phase, (enum sg_phase)c->phase, err);
}

/* Sessions whose client may hold nothing but a JWT: they have a refresh token that is still good
 * (cookie clients never do; their legacy cookie stays). -1: some shard did not answer. */
static long
count_jwt_only(const struct sg_config *config, const char *realm)
{
    const char *params[] = {realm};
    long total = 0;
    int i;

    for (i = 0; i < config->n_shards; i++) {
        struct sg_err err;
        struct control_db db;
        PGresult *r;
        char name[24];

        snprintf(name, sizeof name, "shard %d", i);
        if (control_open(&db, config->shards[i], name, &err) != 0)
            return -1;
        if (control_run(&db, &r, &err,
                        "SELECT count(DISTINCT s.sid) FROM segue.refresh_token t JOIN "
                        "segue.session s USING (realm, bucket, sid) WHERE t.realm = $1 AND "
                        "t.state = 'current' AND t.expires_at > clock_timestamp() AND "
                        "s.ended_at IS NULL AND greatest(s.exp_source, s.exp_segue) > "
                        "clock_timestamp()",
                        1, params) != 0) {
            control_close(&db);
            return -1;
        }
        total += strtol(PQgetvalue(r, 0, 0), NULL, 10);
        PQclear(r);
        control_close(&db);
    }
    return total;
}

static double
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1000 + (double)ts.tv_nsec / 1e6;
}

static void
print_done(const struct rollback_options *o, const struct policy_change *c, int instances,
           double ms, long jwt_only)
{
    json_t *json;

    if (!o->json) {
        printf("%s: %s -> %s%s, policy %lld, %d instance%s in %.0f ms\n",
               o->dry_run ? "would roll back" : "rolled back", sg_phase_name(c->before.phase),
               sg_phase_name(c->after.phase), o->distrust ? ", JWTs distrusted" : "",
               (long long)c->after.version, instances, instances == 1 ? "" : "s", ms);
        if (jwt_only < 0)
            puts("how many clients hold only a JWT is not known: a shard did not answer");
        else if (jwt_only == 0)
            puts("no client holds only a JWT: Segue may leave the path");
        else
            printf("%ld session%s may be held by a JWT alone: keep Segue in the path of those "
                   "clients\n",
                   jwt_only, jwt_only == 1 ? "" : "s");
        return;
    }
    json = json_pack("{s:s,s:s,s:I,s:i,s:f,s:I,s:b}", "from", sg_phase_name(c->before.phase), "to",
                     sg_phase_name(c->after.phase), "version", (json_int_t)c->after.version,
                     "instances", instances, "ms", ms, "jwt_only_sessions", (json_int_t)jwt_only,
                     "dry_run", o->dry_run);
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
}

static int
run(const struct cli_usage *usage, const struct rollback_options *o)
{
    struct policy_change c = {.action = "rollback",
                              .why = o->why,
                              .percent_e2 = 0,
                              .distrust = o->distrust,
                              .dry_run = o->dry_run,
                              .check = check};
    const struct sg_realm_config *realm;
    struct sg_config *config;
    enum sg_phase to;
    double began = now_ms(), ms;
    struct sg_err err;
    struct control_db db;
    int instances = 0, rc;

    if (sg_phase_parse(sg_str(o->to), &to, &err) != 0)
        return cli_usage_error(usage, "--to: %s", err.text);
    c.phase = (int)to;
    if (to >= SG_EXCHANGE)
        c.percent_e2 = -1; /* one step back from stateless keeps the rollout as it was */
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
    if (control_open(&db, config->control, "control", &err) != 0) {
        sg_config_free(config);
        return cli_fail(usage, &err);
    }
    rc = policy_change(&db, &c, &err);
    if (rc == 0 && !o->dry_run)
        rc = policy_wait(&db, c.realm, c.after.version, 3000, &instances, &err);
    ms = now_ms() - began;
    if (rc == 0)
        print_done(o, &c, instances, ms, count_jwt_only(config, c.realm));
    control_close(&db);
    sg_config_free(config);
    return rc == 0 ? 0 : cli_fail(usage, &err);
}

int
cmd_rollback(int argc, char **argv)
{
    struct rollback_options o = {.config = "segue.yaml", .to = "observe"};
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &o.config},
        {"realm", "NAME", "which realm (needed where there are several)", .text = &o.realm},
        {"to", "PHASE", "back to this phase (default observe)", .text = &o.to},
        {"why", "TEXT", "for the journal", .text = &o.why},
        {"distrust-jwts", NULL,
         "also void every JWT minted so far: clients go on by their session token",
         .flag = &o.distrust},
        {"dry-run", NULL, "say what would change and change nothing", .flag = &o.dry_run},
        {"json", NULL, "answer in JSON", .flag = &o.json},
    };
    const struct cli_usage usage = {
        .name = "rollback",
        .summary = "Take a realm back to an earlier phase, at once, logging nobody out.",
        .details = "JWTs that are out stay good and are renewed in every phase; none are handed to "
                   "new clients.\n"
                   "It is answered when every instance has confirmed the new policy.\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .examples = "segue rollback --realm main --why 'error rate'\n"
                    "segue rollback --realm main --to exchange\n",
    };
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    return run(&usage, &o);
}
