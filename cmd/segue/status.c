/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "commands.h"
#include "policy_change.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What one query says about a realm, as JSON made by PostgreSQL itself. */
static json_t *
ask(struct control_db *db, const char *sql, const char *realm, struct sg_err *err)
{
    const char *params[] = {realm};
    json_t *json;
    PGresult *r;

    if (control_run(db, &r, err, sql, 1, params) != 0)
        return NULL;
    json = PQntuples(r) > 0 && !PQgetisnull(r, 0, 0)
               ? json_loads(PQgetvalue(r, 0, 0), JSON_DECODE_ANY, NULL)
               : json_null();
    PQclear(r);
    return json;
}

static const char policy_sql[] =
    "SELECT jsonb_build_object('phase', phase, 'percent', percent_e2 / 100.0, 'cohorts', cohorts, "
    "'version', version, 'realm_epoch', realm_epoch, 'entered_at', phase_entered_at) "
    "FROM segue_control.policy WHERE realm = $1";
static const char instances_sql[] =
    "SELECT coalesce(jsonb_agg(jsonb_build_object('instance', instance, 'policy', policy_version, "
    "'seen_s', round(extract(epoch FROM clock_timestamp() - seen_at), 1)) ORDER BY instance), "
    "'[]') "
    "FROM segue_control.instance WHERE realm = $1 AND seen_at > clock_timestamp() - interval '1 h'";
static const char continuity_sql[] =
    "SELECT jsonb_build_object('proven', proven, 'reason', reason, 'since', changed_at) "
    "FROM segue_control.continuity WHERE realm = $1";
static const char keys_sql[] =
    "SELECT coalesce(jsonb_agg(jsonb_build_object('kid', kid, 'alg', alg, 'state', state) "
    "ORDER BY created_at), '[]') FROM segue_control.signing_key WHERE realm = $1";
static const char journal_sql[] =
    "SELECT coalesce(jsonb_agg(j ORDER BY id DESC), '[]') FROM (SELECT id, at, actor, action, why "
    "FROM segue_control.journal WHERE realm = $1 ORDER BY id DESC LIMIT 5) AS j";
static const char shard_sql[] =
    "SELECT jsonb_build_object("
    "'live', (SELECT count(*) FROM segue.session WHERE realm = $1 AND ended_at IS NULL AND subject "
    "IS NOT NULL AND greatest(exp_source, exp_segue) > clock_timestamp()), "
    "'anonymous', (SELECT count(*) FROM segue.session WHERE realm = $1 AND ended_at IS NULL AND "
    "subject IS NULL AND exp_source > clock_timestamp()), "
    "'with_jwt', (SELECT count(*) FROM segue.session WHERE realm = $1 AND ended_at IS NULL AND "
    "jwt_first_at IS NOT NULL AND greatest(exp_source, exp_segue) > clock_timestamp()), "
    "'held', (SELECT count(*) FROM segue.session WHERE realm = $1 AND ended_at IS NULL AND held_at "
    "IS NOT NULL), "
    "'outbox', (SELECT count(*) FROM segue.outbox WHERE realm = $1), "
    "'rejects', (SELECT count(*) FROM segue.reject WHERE realm = $1 AND resolved_at IS NULL), "
    "'beat_age_s', (SELECT round(extract(epoch FROM clock_timestamp() - at), 1) FROM "
    "segue.heartbeat WHERE realm = $1))";

static json_t *
shards_json(const struct sg_config *config, const char *realm)
{
    json_t *list = json_array();
    int i;

    for (i = 0; i < config->n_shards; i++) {
        json_t *one = NULL;
        struct sg_err err;
        char name[24];
        struct control_db db;

        snprintf(name, sizeof name, "shard %d", i);
        if (control_open(&db, config->shards[i], name, &err) == 0) {
            one = ask(&db, shard_sql, realm, &err);
            control_close(&db);
        }
        /* A shard that is down is part of the answer, not the end of it. */
        json_array_append_new(list, one != NULL ? one : json_pack("{s:s}", "error", err.text));
    }
    return list;
}

static json_t *
realm_json(const struct sg_config *config, struct control_db *db, const char *realm,
           struct sg_err *err)
{
    static const struct {
        const char *name, *sql;
    } parts[] = {{"policy", policy_sql},
                 {"instances", instances_sql},
                 {"continuity", continuity_sql},
                 {"keys", keys_sql},
                 {"journal", journal_sql}};
    json_t *json = json_object();
    size_t i;

    json_object_set_new(json, "realm", json_string(realm));
    for (i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        json_t *part = ask(db, parts[i].sql, realm, err);

        if (part == NULL) {
            json_decref(json);
            return NULL;
        }
        json_object_set_new(json, parts[i].name, part);
    }
    json_object_set_new(json, "shards", shards_json(config, realm));
    return json;
}

static const char *
text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "-";
}

static void
print_realm(const json_t *json)
{
    const json_t *policy = json_object_get(json, "policy"),
                 *continuity = json_object_get(json, "continuity"), *item;
    size_t i;

    printf("%s: %s, %.2f %%, policy %lld\n", text_of(json, "realm"), text_of(policy, "phase"),
           json_number_value(json_object_get(policy, "percent")),
           (long long)json_integer_value(json_object_get(policy, "version")));
    printf("  capture    %s %s\n",
           json_is_true(json_object_get(continuity, "proven")) ? "continuous" : "NOT continuous",
           json_is_object(continuity) ? text_of(continuity, "reason") : "(never ran)");
    json_array_foreach(json_object_get(json, "instances"), i, item)
        printf("  instance   %-16s policy %lld, seen %.1f s ago\n", text_of(item, "instance"),
               (long long)json_integer_value(json_object_get(item, "policy")),
               json_number_value(json_object_get(item, "seen_s")));
    json_array_foreach(json_object_get(json, "shards"), i, item)
    {
        if (json_object_get(item, "error") != NULL) {
            printf("  shard %-4zu DOWN: %s\n", i, text_of(item, "error"));
            continue;
        }
        printf(
            "  shard %-4zu %lld sessions, %lld with a JWT, %lld anonymous, %lld held; outbox %lld, "
            "rejects %lld, heartbeat %.1f s\n",
            i, (long long)json_integer_value(json_object_get(item, "live")),
            (long long)json_integer_value(json_object_get(item, "with_jwt")),
            (long long)json_integer_value(json_object_get(item, "anonymous")),
            (long long)json_integer_value(json_object_get(item, "held")),
            (long long)json_integer_value(json_object_get(item, "outbox")),
            (long long)json_integer_value(json_object_get(item, "rejects")),
            json_number_value(json_object_get(item, "beat_age_s")));
    }
    json_array_foreach(json_object_get(json, "keys"), i, item)
        printf("  key        %s %s %s\n", text_of(item, "kid"), text_of(item, "alg"),
               text_of(item, "state"));
    json_array_foreach(json_object_get(json, "journal"), i, item)
        printf("  journal    %.19s %s %s %s\n", text_of(item, "at"), text_of(item, "actor"),
               text_of(item, "action"), text_of(item, "why"));
}

static int
run(const struct cli_usage *usage, const char *path, const char *only, bool as_json)
{
    json_t *all = json_array(), *one;
    struct sg_config *config;
    struct sg_err err;
    struct control_db db;
    int i, rc = 0;

    if (sg_config_load(path, &config, &err) != 0) {
        json_decref(all);
        cli_fail(usage, &err);
        return CLI_USAGE;
    }
    rc = only != NULL && sg_config_realm(config, only) == NULL
             ? sg_fail(&err, SG_E_NOT_FOUND, path, "there is no realm '%.60s'", only)
             : control_open(&db, config->control, "control", &err);
    if (rc == 0) {
        for (i = 0; i < config->n_realms && rc == 0; i++) {
            if (only != NULL && strcmp(only, config->realms[i].name) != 0)
                continue;
            if ((one = realm_json(config, &db, config->realms[i].name, &err)) == NULL)
                rc = -1;
            else
                json_array_append_new(all, one);
        }
        control_close(&db);
    }
    if (rc == 0 && as_json) {
        json_dumpf(all, stdout, JSON_COMPACT);
        putchar('\n');
    } else if (rc == 0) {
        size_t k;

        json_array_foreach(all, k, one) print_realm(one);
    }
    json_decref(all);
    sg_config_free(config);
    return rc == 0 ? 0 : cli_fail(usage, &err);
}

int
cmd_status(int argc, char **argv)
{
    const char *path = "segue.yaml", *realm = NULL;
    bool as_json = false;
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &path},
        {"realm", "NAME", "only this realm", .text = &realm},
        {"json", NULL, "answer in JSON", .flag = &as_json},
    };
    const struct cli_usage usage = {
        .name = "status",
        .summary = "Where each realm stands: phase, instances, capture, shards, keys, journal.",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .examples = "segue status\nsegue status --realm main --json\n",
    };
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    return run(&usage, path, realm, as_json);
}
