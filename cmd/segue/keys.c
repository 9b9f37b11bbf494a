/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "commands.h"
#include "key_change.h"
#include "policy_change.h"
#include "reseal.h"
#include "session/rotation.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS 3000

struct keys_options {
    const char *config, *realm, *alg, *why;
    bool now, dry_run, json;
};

/* One command under way, and what it came to. */
struct keys {
    const struct keys_options *o;
    struct key_change c;
    char kid[SEGUE_KID_BYTES + 1];
    const char *state; /* that the key has now; NULL = several, or none */
    char later[400];   /* what has to wait, and why */
    int resealed;
    struct reseal data; /* what the shards hold sealed */
};

/* ---- list ---- */

static const char list_sql[] =
    "SELECT k.kid, k.alg, k.state, segue_control.in_words(clock_timestamp() - k.state_at), "
    "k.sealed_with, k.private_sealed, k.compromised::int, n.next, "
    "CASE WHEN n.next IS NOT NULL THEN coalesce(segue_control.key_objection(k, n.next, $2::jsonb), "
    "'') END, (SELECT count(*) FROM segue_control.instance AS i WHERE i.realm = k.realm "
    "AND k.kid = ANY (i.keys) AND i.seen_at > clock_timestamp() - interval '5 s') "
    "FROM segue_control.signing_key AS k, LATERAL (SELECT CASE k.state WHEN 'pending' THEN "
    "'active' "
    "WHEN 'retiring' THEN 'retired' END AS next) AS n "
    "WHERE k.realm = $1 ORDER BY k.created_at, k.kid";

enum { KID, ALG, STATE, AGE, SEALED_WITH, SEALED, COMPROMISED, NEXT, OBJECTION, INSTANCES };

/* "" = it opens. */
static void
why_unopened(const struct keys *k, const PGresult *r, int row, char out[400])
{
    struct segue_key *key = NULL;
    unsigned char *sealed;
    struct sg_err err;
    size_t len;

    out[0] = '\0';
    if (PQgetisnull(r, row, SEALED))
        return;
    sealed = PQunescapeBytea((const unsigned char *)PQgetvalue(r, row, SEALED), &len);
    if (sealed == NULL || sg_signing_key_open(k->c.ring, k->c.realm->name, PQgetvalue(r, row, KID),
                                              sg_slice((char *)sealed, len), &key, &err) != 0)
        snprintf(out, 400, "%s", sealed == NULL ? "out of memory" : err.text);
    segue_key_free(key);
    PQfreemem(sealed);
}

static json_t *
key_json(const PGresult *r, int i, const char *unopened)
{
    json_t *one = json_pack(
        "{s:s,s:s,s:s,s:s,s:b,s:i}", "kid", PQgetvalue(r, i, KID), "alg", PQgetvalue(r, i, ALG),
        "state", PQgetvalue(r, i, STATE), "for", PQgetvalue(r, i, AGE), "compromised",
        PQgetvalue(r, i, COMPROMISED)[0] == '1', "instances", atoi(PQgetvalue(r, i, INSTANCES)));

    if (!PQgetisnull(r, i, SEALED))
        json_object_set_new(one, "sealed_with", json_string(PQgetvalue(r, i, SEALED_WITH)));
    if (unopened[0] != '\0')
        json_object_set_new(one, "unopened", json_string(unopened));
    if (!PQgetisnull(r, i, NEXT)) {
        json_object_set_new(one, "next", json_string(PQgetvalue(r, i, NEXT)));
        json_object_set_new(one, "waits_for", json_string(PQgetvalue(r, i, OBJECTION)));
    }
    return one;
}

static void
print_key(const PGresult *r, int i, const char *unopened)
{
    const char *objection = PQgetvalue(r, i, OBJECTION);

    printf("%-44s %-6s %-9s for %-8s", PQgetvalue(r, i, KID), PQgetvalue(r, i, ALG),
           PQgetvalue(r, i, COMPROMISED)[0] == '1' ? "revoked" : PQgetvalue(r, i, STATE),
           PQgetvalue(r, i, AGE));
    if (!PQgetisnull(r, i, SEALED))
        printf(" sealed with %s, on %s instances", PQgetvalue(r, i, SEALED_WITH),
               PQgetvalue(r, i, INSTANCES));
    putchar('\n');
    if (unopened[0] != '\0')
        printf("  CANNOT BE OPENED: %s. Tokens of it are verified by its public half; none can be "
               "signed with it\n",
               unopened);
    if (!PQgetisnull(r, i, NEXT))
        printf("  %s %s%s\n", PQgetvalue(r, i, NEXT),
               objection[0] != '\0' ? "later: " : "with the next turn of the schedule", objection);
}

static int
list(struct keys *k, struct sg_err *err)
{
    char times[SG_KEY_TIMES_BYTES], unopened[400];
    const char *const params[] = {k->c.realm->name, times};
    json_t *all = json_array();
    PGresult *r;
    int i;

    sg_key_times(k->c.config, k->c.realm, times);
    if (control_run(k->c.db, &r, err, list_sql, 2, params) != 0) {
        json_decref(all);
        return -1;
    }
    for (i = 0; i < PQntuples(r); i++) {
        why_unopened(k, r, i, unopened);
        if (k->o->json)
            json_array_append_new(all, key_json(r, i, unopened));
        else
            print_key(r, i, unopened);
    }
    PQclear(r);
    if (k->o->json) {
        json_dumpf(all, stdout, JSON_COMPACT);
        putchar('\n');
    } else if (strcmp(k->c.realm->token.alg, "HS256") == 0)
        puts("HS256: the secrets are in no JWKS; resource servers introspect");
    json_decref(all);
    return 0;
}

/* ---- steps: each within one transaction ---- */

static const char *
alg_of(const struct keys *k)
{
    return k->o->alg != NULL ? k->o->alg : k->c.realm->token.alg;
}

static int
add(struct keys *k, struct sg_err *err)
{
    k->state = "pending";
    return key_add(&k->c, alg_of(k), false, k->kid, err);
}

/* The pending key of the algorithm, made where there is none. */
static int
pending(struct keys *k, struct sg_err *err)
{
    const char *const params[] = {k->c.realm->name, alg_of(k)};
    PGresult *r;
    bool there;

    if (control_run(k->c.db, &r, err,
                    "SELECT kid FROM segue_control.signing_key WHERE realm = $1 AND alg = $2 AND "
                    "state = 'pending'",
                    2, params) != 0)
        return -1;
    there = PQntuples(r) > 0;
    if (there)
        snprintf(k->kid, sizeof k->kid, "%s", PQgetvalue(r, 0, 0));
    PQclear(r);
    return there ? 0 : add(k, err);
}

static int
move(struct keys *k, const char *next, struct sg_err *err)
{
    k->state = next;
    return key_move(&k->c, k->kid, next, k->o->now, err);
}

/* Makes the next key active if that may be, else leaves it to the schedule. */
static int
rotate(struct keys *k, struct sg_err *err)
{
    if (pending(k, err) != 0 || control_run(k->c.db, NULL, err, "SAVEPOINT step", 0, NULL) != 0)
        return -1;
    if (move(k, "active", err) == 0)
        return 0;
    if (err->code != SG_E_DENIED)
        return -1;
    snprintf(k->later, sizeof k->later, "%s", err->text);
    k->state = "pending";
    return control_run(k->c.db, NULL, err, "ROLLBACK TO SAVEPOINT step", 0, NULL);
}

/* Another key signs at once where this one did, and then it counts for nothing. */
static int
revoke(struct keys *k, const char *kid, struct sg_err *err)
{
    const char *const params[] = {k->c.realm->name, kid};
    int64_t active;

    if (control_number(k->c.db, 0, &active, err,
                       "SELECT count(*) FROM segue_control.signing_key WHERE realm = $1 AND kid = "
                       "$2 AND state = 'active'",
                       2, params) != 0)
        return -1;
    if (active > 0 && (pending(k, err) != 0 || key_move(&k->c, k->kid, "active", true, err) != 0))
        return -1;
    snprintf(k->kid, sizeof k->kid, "%s", kid);
    k->state = "retired";
    return key_revoke(&k->c, kid, err);
}

enum what { LIST, ADD, ROTATE, ACTIVATE, RETIRE, REVOKE, RESEAL };
static const char *const words[] = {"list",   "add",    "rotate", "activate",
                                    "retire", "revoke", "reseal", NULL};

static int
step(struct keys *k, enum what what, const char *kid, struct sg_err *err)
{
    snprintf(k->kid, sizeof k->kid, "%s", kid != NULL ? kid : "");
    switch (what) {
    case LIST:
        return list(k, err);
    case ADD:
        return add(k, err);
    case ROTATE:
        return rotate(k, err);
    case ACTIVATE:
        return move(k, "active", err);
    case RETIRE:
        return move(k, "retired", err);
    case REVOKE:
        return revoke(k, kid, err);
    case RESEAL:
        return key_reseal(&k->c, &k->resealed, err);
    }
    return -1;
}

/* ---- telling ---- */

static void
print_done(const struct keys *k, enum what what, int instances, const char *behind)
{
    json_t *json;

    if (k->o->json) {
        json = json_pack("{s:s,s:s,s:s,s:i,s:s,s:i,s:I,s:I,s:s,s:b}", "realm", k->c.realm->name,
                         "kid", k->kid, "state", k->state != NULL ? k->state : "", "instances",
                         instances, "behind", behind, "resealed", k->resealed, "rows",
                         (json_int_t)k->data.done, "lost", (json_int_t)k->data.lost, "waits_for",
                         k->later, "dry_run", k->o->dry_run);
        json_dumpf(json, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(json);
        return;
    }
    if (what == RESEAL)
        printf("%d signing keys, %lld sealed rows of sessions and rejects %s sealed again with "
               "'%s'\n",
               k->resealed, (long long)k->data.done, k->o->dry_run ? "would be" : "are",
               sg_keyring_sealing_id(k->c.ring));
    else
        printf("key %s %s %s\n", k->kid, k->o->dry_run ? "would be" : "is",
               what == REVOKE ? "revoked: no token of it counts any more" : k->state);
    if (k->data.lost > 0)
        printf("%lld rows cannot be opened with any key of the ring: those sessions live, but "
               "their legacy record cannot be\nput in for a client that holds only a JWT, nor "
               "made again. Add the lost key back.\n",
               (long long)k->data.lost);
    if (k->later[0] != '\0')
        printf("%s; `segue serve` makes it active as soon as it may be\n", k->later);
    if (k->state != NULL && !k->o->dry_run)
        printf("%d instance%s, %s%s\n", instances, instances == 1 ? "" : "s",
               behind[0] != '\0' ? "not confirmed by " : "all have confirmed it", behind);
}

static int
carry_out(struct keys *k, enum what what, const char *kid, struct sg_err *err)
{
    char behind[80] = "";
    int instances = 0;

    if (what == LIST)
        return list(k, err);
    if (key_check_root(k->c.db, k->c.ring, k->c.realm->name, err) != 0 ||
        control_begin(k->c.db, err) != 0)
        return -1;
    if (step(k, what, kid, err) != 0) {
        control_rollback(k->c.db);
        return -1;
    }
    if (k->o->dry_run)
        control_rollback(k->c.db);
    else if (control_commit(k->c.db, err) != 0 ||
             (k->state != NULL &&
              key_wait(&k->c, k->kid, k->state, WAIT_MS, &instances, behind, err) != 0))
        return -1;
    k->data = (struct reseal){.config = k->c.config,
                              .realm = k->c.realm->name,
                              .ring = k->c.ring,
                              .dry_run = k->o->dry_run};
    if (what == RESEAL && reseal_shards(&k->data, err) != 0)
        return -1;
    print_done(k, what, instances, behind);
    return 0;
}

static int
run(const struct cli_usage *usage, const struct keys_options *o, enum what what, const char *kid)
{
    struct keys k = {.o = o};
    struct sg_keyring *ring = NULL;
    struct sg_config *config;
    struct control_db db = {0};
    struct sg_err err;
    int rc;

    if (sg_config_load(o->config, &config, &err) != 0) {
        cli_fail(usage, &err);
        return CLI_USAGE;
    }
    if (control_realm(config, o->realm, &k.c.realm, &err) != 0 ||
        sg_keyring_load(config->keyring, &ring, &err) != 0) {
        cli_fail(usage, &err);
        sg_config_free(config);
        return CLI_USAGE;
    }
    k.c.db = &db;
    k.c.config = config;
    k.c.ring = ring;
    k.c.why = o->why;
    rc = control_open(&db, config->control, "control", &err) == 0 ? carry_out(&k, what, kid, &err)
                                                                  : -1;
    if (rc != 0)
        rc = cli_fail(usage, &err);
    control_close(&db);
    sg_keyring_free(ring);
    sg_config_free(config);
    return rc;
}

static int
check_usage(const struct cli_usage *usage, const struct keys_options *o, enum what what,
            const char *kid)
{
    bool of_one = what == ACTIVATE || what == RETIRE || what == REVOKE;

    if (of_one != (kid != NULL))
        return cli_usage_error(
            usage, of_one ? "%s: of which key? See `segue keys list`" : "%s takes no KID",
            words[what]);
    if (o->alg != NULL && segue_alg_find(o->alg) == 0)
        return cli_usage_error(usage, "--alg: expected ES256, EdDSA, RS256 or HS256, got '%s'",
                               o->alg);
    if ((o->now || what == REVOKE) && o->why == NULL)
        return cli_usage_error(usage, "%s needs --why", what == REVOKE ? "revoke" : "--now");
    return 0;
}

int
cmd_keys(int argc, char **argv)
{
    struct keys_options o = {.config = "segue.yaml"};
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &o.config},
        {"realm", "NAME", "which realm (needed where there are several)", .text = &o.realm},
        {"alg", "ALG", "add, rotate: ES256, EdDSA, RS256, HS256 (default: token.alg)",
         .text = &o.alg},
        {"now", NULL, "activate, retire, rotate: although something speaks against it (see below)",
         .flag = &o.now},
        {"why", "TEXT", "for the journal", .text = &o.why},
        {"dry-run", NULL, "say what would change and change nothing", .flag = &o.dry_run},
        {"json", NULL, "answer in JSON", .flag = &o.json},
    };
    const struct cli_usage usage = {
        .name = "keys",
        .operands = "list|add|rotate|activate|retire|revoke|reseal [KID]",
        .summary = "A realm's signing keys: show them, replace them, void one.",
        .details =
            "A key is pending (published, signs nothing), active (signs), retiring (signs no "
            "more;\n"
            "what it signed still lives) and retired (its private half is deleted). `segue serve` "
            "does\n"
            "all of it by the configuration (realms.NAME.keys); this does it now.\n\n"
            "  list      every key, what it waits for, which instances hold it\n"
            "  add       publish a new key\n"
            "  rotate    publish a new key and sign with it as soon as every verifier can know it\n"
            "  activate  sign with KID: a pending key, or a retiring one again (undoes a "
            "rotation)\n"
            "  retire    KID is no longer published; a pending one is given up\n"
            "  revoke    somebody else has KID: no token of it counts from now on. If it signs, "
            "another\n"
            "            key takes its place at once. Who holds only such a JWT logs in again; "
            "cookies\n"
            "            fall back on the session cookie, API clients on their refresh token. "
            "Resource\n"
            "            servers go on accepting it until they read the JWKS again\n"
            "  reseal    seal signing keys, and what the shards hold sealed, with the keyring's "
            "first "
            "key.\n"
            "            After that the older sealing keys can leave the ring; `root` never "
            "does\n\n"
            "A step that would refuse good tokens is refused: active before every instance holds "
            "the key\n"
            "and every copy of the JWKS can be renewed, retired before its last token has expired. "
            "--now\n"
            "does it all the same, for a key that must go at once, and wants --why. It skips the "
            "waiting:\n"
            "resource servers with an older JWKS refuse the new key's tokens until they read it "
            "again, and\n"
            "living tokens of a key retired too soon are refused.\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .least_operands = 1,
        .most_operands = 2,
        .examples = "  segue keys list --realm main\n"
                    "  segue keys rotate --realm main --why 'yearly'\n"
                    "  segue keys revoke --realm main KID --why 'INC-7: laptop stolen'\n",
    };
    int n, code, what;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    for (what = 0; words[what] != NULL && strcmp(words[what], argv[1]) != 0; what++)
        ;
    if (words[what] == NULL)
        return cli_usage_error(&usage, "expected one of %s, not '%s'", usage.operands, argv[1]);
    if ((code = check_usage(&usage, &o, (enum what)what, n == 2 ? argv[2] : NULL)) != 0)
        return code;
    if (o.alg != NULL)
        o.alg = segue_alg_name(segue_alg_find(o.alg));
    return sodium_init() < 0 ? CLI_FAILED
                             : run(&usage, &o, (enum what)what, n == 2 ? argv[2] : NULL);
}
