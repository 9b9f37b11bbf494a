/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "commands.h"
#include "policy_change.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct clients_options {
    const char *config, *realm, *why;
    bool dry_run, json;
};

enum verb { LIST, DISABLE, ENABLE };

static bool
is_configured(const struct sg_realm_config *realm, const char *id)
{
    int i;

    for (i = 0; i < realm->n_clients; i++)
        if (strcmp(realm->clients[i].id, id) == 0)
            return true;
    return false;
}

static void
print_one(const char *id, bool disabled, bool configured, json_t *array)
{
    if (array != NULL)
        json_array_append_new(array, json_pack("{s:s,s:b,s:b}", "client", id, "disabled", disabled,
                                               "configured", configured));
    else
        printf("%-24s %s%s\n", id, disabled ? "disabled" : "enabled",
               configured ? "" : "  (not in the configuration)");
}

/* Those of the configuration, and those that were disabled and are there no more. */
static void
print_list(const struct sg_realm_config *realm, const struct sg_policy *p, bool json)
{
    json_t *array = json ? json_array() : NULL;
    int i;

    for (i = 0; i < realm->n_clients; i++)
        print_one(realm->clients[i].id,
                  sg_policy_client_is_disabled(p, sg_str(realm->clients[i].id)), true, array);
    for (i = 0; i < p->n_disabled; i++)
        if (!is_configured(realm, p->disabled[i]))
            print_one(p->disabled[i], true, false, array);
    if (json) {
        json_dumpf(array, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(array);
    }
}

/* Under the row's lock. */
static int
check(const struct sg_policy *now, const struct policy_change *c, struct control_db *db,
      struct sg_err *err)
{
    const char *id = c->disable != NULL ? c->disable : c->enable;
    bool disabled = sg_policy_client_is_disabled(now, sg_str(id));

    (void)db;
    if (disabled == (c->disable != NULL))
        return sg_fail(err, SG_E_CONFLICT, c->realm, "client '%.64s' is %s already", id,
                       disabled ? "disabled" : "enabled");
    if (c->disable != NULL && now->n_disabled == SG_DISABLED_MAX)
        return sg_fail(err, SG_E_LIMIT, c->realm, "%d clients are disabled already",
                       SG_DISABLED_MAX);
    return 0;
}

static int
change(const struct clients_options *o, const struct sg_realm_config *realm, enum verb verb,
       const char *id, struct control_db *db, struct sg_err *err)
{
    struct policy_change c = {.realm = realm->name,
                              .action = verb == DISABLE ? "client-disable" : "client-enable",
                              .why = o->why,
                              .phase = -1,
                              .percent_e2 = -1,
                              .disable = verb == DISABLE ? id : NULL,
                              .enable = verb == ENABLE ? id : NULL,
                              .dry_run = o->dry_run,
                              .check = check};
    int instances = 0;

    /* One that left the configuration can still be enabled, to clear it away. */
    if (verb == DISABLE && !is_configured(realm, id))
        return sg_fail(err, SG_E_NOT_FOUND, realm->name, "there is no client '%.64s'", id);
    if (policy_change(db, &c, err) != 0)
        return -1;
    if (!o->dry_run && policy_wait(db, realm->name, c.after.version, 3000, &instances, err) != 0)
        return -1;
    if (o->json)
        printf("{\"instances\":%d,\"dry_run\":%s}\n", instances, o->dry_run ? "true" : "false");
    else if (o->dry_run)
        printf("would be %s\n", verb == DISABLE ? "disabled" : "enabled");
    else
        printf("%s; %d instance%s confirmed\n", verb == DISABLE ? "disabled" : "enabled", instances,
               instances == 1 ? "" : "s");
    return 0;
}

static int
run(const struct cli_usage *usage, const struct clients_options *o, enum verb verb, const char *id)
{
    const struct sg_realm_config *realm;
    struct sg_policy policy;
    struct sg_config *config;
    struct control_db db;
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
    rc = control_open(&db, config->control, "control", &err);
    if (rc == 0) {
        if (verb != LIST)
            rc = change(o, realm, verb, id, &db, &err);
        else if ((rc = policy_read(&db, realm->name, &policy, &err)) == 0)
            print_list(realm, &policy, o->json);
        control_close(&db);
    }
    sg_config_free(config);
    return rc == 0 ? 0 : cli_fail(usage, &err);
}

int
cmd_clients(int argc, char **argv)
{
    static const char *const verbs[] = {"list", "disable", "enable"};
    struct clients_options o = {.config = "segue.yaml"};
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &o.config},
        {"realm", "NAME", "which realm (needed where there are several)", .text = &o.realm},
        {"why", "TEXT", "for the journal", .text = &o.why},
        {"dry-run", NULL, "say what would change and change nothing", .flag = &o.dry_run},
        {"json", NULL, "answer in JSON", .flag = &o.json},
    };
    const struct cli_usage usage = {
        .name = "clients",
        .operands = "[list | disable ID | enable ID]",
        .summary = "Show a realm's clients; disable one, or enable it again.",
        .details = "A disabled client's tokens are refused everywhere, and it gets none: neither "
                   "by exchange nor by\n"
                   "refresh. Nothing is ended: once it is enabled its tokens work until they "
                   "expire. Session cookies\n"
                   "are the app's and not touched. Every change is journaled and answered when all "
                   "instances have\n"
                   "confirmed it.\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .most_operands = 2,
        .examples = "segue clients --realm main\n"
                    "segue clients --realm main disable api --why 'INC-7: key leaked'\n"
                    "segue clients --realm main enable api --dry-run\n",
    };
    enum verb verb = LIST;
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    if (n > 0) {
        while (verb <= ENABLE && strcmp(argv[1], verbs[verb]) != 0)
            verb++;
        if (verb > ENABLE)
            return cli_usage_error(&usage, "expected list, disable or enable, not '%s'", argv[1]);
    }
    if ((n == 2) != (verb != LIST))
        return cli_usage_error(&usage, verb == LIST ? "list takes no client" : "which client?");
    return run(&usage, &o, verb, verb == LIST ? NULL : argv[2]);
}
