/* SPDX-License-Identifier: MIT */
#include "policy_change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COLUMNS                                                                                    \
    "version, phase, percent_e2, realm_epoch, "                                                    \
    "(extract(epoch FROM phase_entered_at) * 1000)::bigint, array_to_string(cohorts, ','), "       \
    "array_to_string(disabled_clients, chr(31))"

static int
take(const PGresult *r, const char *realm, struct sg_policy *p, struct sg_err *err)
{
    char *list, *item, *save = NULL;

    if (PQntuples(r) != 1)
        return sg_fail(err, SG_E_NOT_FOUND, "control",
                       "realm '%s' has no policy: run `segue init` first", realm);
    memset(p, 0, sizeof *p);
    p->version = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    if (sg_phase_parse(sg_str(PQgetvalue(r, 0, 1)), &p->phase, err) != 0)
        return -1;
    p->percent_e2 = atoi(PQgetvalue(r, 0, 2));
    p->realm_epoch = atoi(PQgetvalue(r, 0, 3));
    p->phase_entered_ms = strtoll(PQgetvalue(r, 0, 4), NULL, 10);
    list = PQgetvalue(r, 0, 5);
    for (item = strtok_r(list, ",", &save); item != NULL && p->n_cohorts < SG_COHORTS_MAX;
         item = strtok_r(NULL, ",", &save))
        snprintf(p->cohorts[p->n_cohorts++], sizeof p->cohorts[0], "%s", item);
    list = PQgetvalue(r, 0, 6);
    for (item = strtok_r(list, "\x1f", &save); item != NULL && p->n_disabled < SG_DISABLED_MAX;
         item = strtok_r(NULL, "\x1f", &save))
        snprintf(p->disabled[p->n_disabled++], sizeof p->disabled[0], "%s", item);
    return 0;
}

int
policy_read(struct control_db *db, const char *realm, struct sg_policy *out, struct sg_err *err)
{
    const char *params[] = {realm};
    PGresult *r;
    int rc;

    if (control_run(db, &r, err, "SELECT " COLUMNS " FROM segue_control.policy WHERE realm = $1", 1,
                    params) != 0)
        return -1;
    rc = take(r, realm, out, err);
    PQclear(r);
    return rc;
}

static int
apply(struct control_db *db, struct policy_change *c, const char *actor, struct sg_err *err)
{
    char percent[16], distrust[8];
    const char *phase = c->phase >= 0 ? sg_phase_name((enum sg_phase)c->phase) : NULL;
    const char *params[] = {c->realm, phase, percent,    c->cohorts,
                            distrust, actor, c->disable, c->enable};
    PGresult *r;
    int rc;

    snprintf(percent, sizeof percent, "%d", c->percent_e2);
    snprintf(distrust, sizeof distrust, "%d", c->distrust);
    /* The journal row is written first, by the same statement that reads what was there. */
    if (control_run(
            db, &r, err,
            "WITH old AS (SELECT * FROM segue_control.policy WHERE realm = $1), new AS ("
            "UPDATE segue_control.policy SET version = version + 1, phase = coalesce($2, phase), "
            "percent_e2 = CASE WHEN $3::int >= 0 THEN $3::int ELSE percent_e2 END, "
            "cohorts = coalesce($4::text[], cohorts), realm_epoch = realm_epoch + $5::int, "
            "disabled_clients = array_remove(disabled_clients, coalesce($7, $8)) || "
            "CASE WHEN $7 IS NULL THEN '{}' ELSE ARRAY[$7] END, "
            "phase_entered_at = CASE WHEN coalesce($2, phase) = phase THEN phase_entered_at "
            "ELSE clock_timestamp() END, changed_at = clock_timestamp(), changed_by = $6 "
            "WHERE realm = $1 RETURNING *) "
            "SELECT " COLUMNS ", (SELECT to_jsonb(old) FROM old), to_jsonb(new) FROM new",
            8, params) != 0)
        return -1;
    rc = take(r, c->realm, &c->after, err);
    if (rc == 0) {
        struct control_entry entry = {.realm = c->realm,
                                      .action = c->action,
                                      .why = c->why,
                                      .from = PQgetvalue(r, 0, 7),
                                      .to = PQgetvalue(r, 0, 8)};

        rc = control_journal(db, &entry, err);
    }
    PQclear(r);
    return rc;
}

int
policy_change(struct control_db *db, struct policy_change *c, struct sg_err *err)
{
    const char *params[] = {c->realm};
    char actor[128];
    PGresult *r;
    int rc;

    control_actor(actor, sizeof actor);
    if (control_begin(db, err) != 0 ||
        control_run(db, &r, err,
                    "SELECT " COLUMNS " FROM segue_control.policy WHERE realm = $1 FOR UPDATE", 1,
                    params) != 0)
        return -1;
    rc = take(r, c->realm, &c->before, err);
    PQclear(r);
    if (rc == 0 && c->check != NULL)
        rc = c->check(&c->before, c, db, err);
    if (rc == 0)
        rc = apply(db, c, actor, err);
    if (rc != 0 || c->dry_run) {
        control_rollback(db);
        return rc;
    }
    return control_commit(db, err);
}

int
policy_wait(struct control_db *db, const char *realm, int64_t version, int timeout_ms,
            int *instances, struct sg_err *err)
{
    const struct timespec pause = {0, 10 * 1000000L};
    char text[24];
    const char *params[] = {realm, text};
    int waited;

    snprintf(text, sizeof text, "%lld", (long long)version);
    for (waited = 0;; waited += 10) {
        PGresult *r;
        int behind;

        if (control_run(db, &r, err,
                        "SELECT split_part(instance, '/', 1), bool_and(policy_version >= "
                        "$2::bigint) FROM segue_control.instance WHERE realm = $1 AND seen_at > "
                        "clock_timestamp() - interval '5 s' GROUP BY 1 ORDER BY 2, 1",
                        2, params) != 0)
            return -1;
        *instances = PQntuples(r);
        behind = *instances > 0 && PQgetvalue(r, 0, 1)[0] == 'f';
        if (behind && waited >= timeout_ms)
            sg_fail(err, SG_E_TIMEOUT, "control",
                    "instance '%.60s' has not confirmed policy %lld yet; without a lease it hands "
                    "out no first JWT from 2 s on",
                    PQgetvalue(r, 0, 0), (long long)version);
        PQclear(r);
        if (!behind)
            return 0;
        if (waited >= timeout_ms)
            return -1;
        nanosleep(&pause, NULL);
    }
}

int
control_realm(const struct sg_config *config, const char *name, const struct sg_realm_config **out,
              struct sg_err *err)
{
    const struct sg_realm_config *r = sg_config_realm(config, name);

    if (name == NULL && config->n_realms > 1)
        return sg_fail(err, SG_E_INVALID, config->path,
                       "there are %d realms: name one with --realm", config->n_realms);
    if (r == NULL)
        return sg_fail(err, SG_E_NOT_FOUND, config->path, "there is no realm '%.60s'", name);
    *out = r;
    return 0;
}
