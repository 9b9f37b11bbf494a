/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "commands.h"
#include "config/config.h"
#include "control.h"
#include "init_realm.h"
#include "shard/shard.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* `segue init`: lays out the control schema and the shards, or brings them up to this binary.
 * Each step is a transaction, and doing it again does only what is still missing. */

/* Two at once wait for each other. The control schema may live in a shard's database. */
#define LOCK_SQL "SELECT pg_advisory_lock(1397048071, $1::int)"
#define LOCK_CONTROL "4097"
#define LOCK_SHARD "4098"

struct init {
    const struct sg_config *config;
    struct sg_keyring *ring;
    struct control_db control;
    bool json;
    json_t *report; /* what was done, for --json */
    int map[SG_BUCKETS];
};

static void
say(const struct init *in, const char *fmt, ...)
{
    va_list ap;

    if (in->json)
        return;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

static int
lock(struct control_db *db, const char *what, struct sg_err *err)
{
    return control_run(db, NULL, err, LOCK_SQL, 1, &what);
}

/* Applies what is missing; each migration notes its own version. */
static int
migrate(const struct init *in, struct control_db *db, const struct sg_schema *schema, int *applied,
        struct sg_err *err)
{
    int version, i;

    if (control_version(db, schema, &version, err) != 0)
        return -1;
    for (i = version; i < schema->version; i++) {
        say(in, "%s: applying %s schema %d of %d", db->name, schema->name, i + 1, schema->version);
        if (control_begin(db, err) != 0 || control_script(db, schema->migrations[i], err) != 0 ||
            control_commit(db, err) != 0) {
            control_rollback(db);
            return -1;
        }
    }
    *applied = schema->version - version;
    if (*applied == 0)
        say(in, "%s: %s schema %d, up to date", db->name, schema->name, schema->version);
    return 0;
}

/* ---- the map ---- */

static int
write_map(struct init *in, struct sg_err *err)
{
    struct control_db *db = &in->control;
    char n[16];
    const char *const params[] = {n};

    snprintf(n, sizeof n, "%d", in->config->n_shards);
    if (control_begin(db, err) != 0)
        return -1;
    if (control_run(db, NULL, err,
                    "INSERT INTO segue_control.shard (shard, name) SELECT s, 'shard ' || s FROM "
                    "generate_series(0, $1::int - 1) AS s",
                    1, params) != 0 ||
        control_run(db, NULL, err,
                    "INSERT INTO segue_control.bucket_map (bucket, shard) SELECT b, b * $1::int / "
                    "4096 FROM generate_series(0, 4095) AS b",
                    1, params) != 0 ||
        control_commit(db, err) != 0) {
        control_rollback(db);
        return -1;
    }
    say(in, "control: %d buckets in equal slices over %d shard%s", SG_BUCKETS, in->config->n_shards,
        in->config->n_shards == 1 ? "" : "s");
    return 0;
}

static int
read_map(struct init *in, struct sg_err *err)
{
    PGresult *r;
    int i, n;

    if (control_run(&in->control, &r, err,
                    "SELECT shard FROM segue_control.bucket_map ORDER BY bucket", 0, NULL) != 0)
        return -1;
    n = PQntuples(r);
    for (i = 0; i < n && i < SG_BUCKETS; i++)
        in->map[i] = atoi(PQgetvalue(r, i, 0));
    PQclear(r);
    if (n != SG_BUCKETS)
        return sg_fail(err, SG_E_INTERNAL, "control", "its map has %d buckets instead of %d", n,
                       SG_BUCKETS);
    return 0;
}

static int
lay_out_map(struct init *in, struct sg_err *err)
{
    int64_t shards;

    if (control_number(&in->control, 0, &shards, err, "SELECT count(*) FROM segue_control.shard", 0,
                       NULL) != 0)
        return -1;
    if (shards == 0 && write_map(in, err) != 0)
        return -1;
    if (shards != 0 && shards != in->config->n_shards)
        return sg_fail(err, SG_E_INVALID, in->config->path,
                       "segue.shards lists %d, but the buckets are laid out over %d: list those %d "
                       "in the same order (buckets cannot be moved to more or fewer shards yet)",
                       in->config->n_shards, (int)shards, (int)shards);
    json_object_set_new(in->report, "map_created", json_boolean(shards == 0));
    return read_map(in, err);
}

/* ---- one shard ---- */

/* The shard's side of the map: which buckets it takes writes for. */
static int
write_owners(struct init *in, struct control_db *db, int shard, struct sg_err *err)
{
    struct sg_buf owned = SG_BUF_INIT(SG_BUCKETS * 6);
    const char *params[1];
    int b, rc;

    for (b = 0; b < SG_BUCKETS; b++)
        if (in->map[b] == shard)
            sg_buf_printf(&owned, "%c%d", owned.len == 0 ? '{' : ',', b);
    sg_buf_puts(&owned, owned.len == 0 ? "{}" : "}");
    params[0] = owned.ptr;
    rc = control_run(db, NULL, err,
                     "INSERT INTO segue.bucket_owner (bucket, owned) SELECT b, b = ANY ($1::int[]) "
                     "FROM generate_series(0, 4095) AS b",
                     1, params);
    sg_buf_free(&owned);
    return rc;
}

/* Another order of the shards, or the same database twice, would send writes to a shard that
 * refuses them. */
static int
check_owners(struct init *in, PGresult *owners, int shard, struct sg_err *err)
{
    char place[32];
    int i, b;

    snprintf(place, sizeof place, "shard %d", shard);
    for (i = 0; i < PQntuples(owners); i++) {
        b = atoi(PQgetvalue(owners, i, 0));
        if ((PQgetvalue(owners, i, 1)[0] == 't') != (in->map[b] == shard))
            return sg_fail(err, SG_E_INVALID, place,
                           "bucket %d is shard %d's by the map, but this database %s it: was the "
                           "order of segue.shards changed, or is one database listed twice?",
                           b, in->map[b], PQgetvalue(owners, i, 1)[0] == 't' ? "owns" : "disowns");
    }
    return 0;
}

static int
lay_out_buckets(struct init *in, struct control_db *db, int shard, int *owned, struct sg_err *err)
{
    PGresult *r;
    int b, n, rc;

    for (*owned = b = 0; b < SG_BUCKETS; b++)
        *owned += in->map[b] == shard;
    if (control_run(db, &r, err, "SELECT bucket, owned FROM segue.bucket_owner", 0, NULL) != 0)
        return -1;
    n = PQntuples(r);
    rc = n == 0 ? write_owners(in, db, shard, err) : check_owners(in, r, shard, err);
    PQclear(r);
    if (rc == 0 && n == 0)
        say(in, "%s: owns %d buckets", db->name, *owned);
    return rc;
}

static int
init_shard(struct init *in, int shard, struct sg_err *err)
{
    struct control_db db;
    char name[32];
    int applied = 0, owned = 0, rc;

    snprintf(name, sizeof name, "shard %d", shard);
    if (control_open(&db, in->config->shards[shard], name, err) != 0)
        return -1;
    rc = lock(&db, LOCK_SHARD, err) != 0 ||
                 migrate(in, &db, &sg_schema_shard, &applied, err) != 0 ||
                 lay_out_buckets(in, &db, shard, &owned, err) != 0
             ? -1
             : 0;
    control_close(&db);
    if (rc == 0)
        json_array_append_new(json_object_get(in->report, "shards"),
                              json_pack("{s:i, s:i, s:i, s:i}", "shard", shard, "schema",
                                        sg_schema_shard.version, "applied", applied, "buckets",
                                        owned));
    return rc;
}

/* ---- realms ---- */

static int
init_realms(struct init *in, struct sg_err *err)
{
    int i;

    for (i = 0; i < in->config->n_realms; i++) {
        const struct sg_realm_config *realm = &in->config->realms[i];
        const struct init_realm_in one = {
            .db = &in->control, .config = in->config, .realm = realm, .ring = in->ring};
        struct init_realm done;

        if (init_realm(&one, &done, err) != 0)
            return -1;
        say(in, "realm %s: %s %s; signing key %s (%s) %s", realm->name, done.phase,
            done.policy_created ? "(new policy)" : "(policy was there)", done.kid, done.alg,
            done.key_created ? "made" : "was there");
        if (strcmp(done.alg, realm->token.alg) != 0)
            say(in,
                "realm %s: token.alg is %s; `segue serve` publishes a key of that kind and signs "
                "with it when every copy of the JWKS can have it",
                realm->name, realm->token.alg);
        if (strcmp(realm->token.alg, "HS256") == 0)
            say(in, "realm %s: HS256: resource servers cannot verify its tokens, they introspect",
                realm->name);
        json_array_append_new(json_object_get(in->report, "realms"),
                              json_pack("{s:s, s:s, s:b, s:s, s:s, s:b}", "realm", realm->name,
                                        "phase", done.phase, "policy_created", done.policy_created,
                                        "kid", done.kid, "alg", done.alg, "key_created",
                                        done.key_created));
    }
    return 0;
}

/* A new keyring only where nothing can have been sealed yet: with another one no stored session and
 * no key would be found or opened again. */
static int
load_keyring(struct init *in, struct sg_err *err)
{
    const char *path = in->config->keyring;
    int64_t keys;

    if (sg_keyring_is_env(path) || access(path, F_OK) == 0)
        return sg_keyring_load(path, &in->ring, err);
    if (control_number(&in->control, 0, &keys, err,
                       "SELECT count(*) FROM segue_control.signing_key", 0, NULL) != 0)
        return -1;
    if (keys > 0)
        return sg_fail(err, SG_E_NOT_FOUND, path,
                       "there is no such keyring, and keys are sealed with it: copy it from where "
                       "Segue runs already, or from its backup");
    if (sg_keyring_create(path, "k1", err) != 0 || sg_keyring_load(path, &in->ring, err) != 0)
        return -1;
    say(in, "keyring: made %s; back it up, and copy it to every machine that runs Segue", path);
    json_object_set_new(in->report, "keyring_created", json_true());
    return 0;
}

static int
run_steps(struct init *in, struct sg_err *err)
{
    int applied, i;

    if (control_open(&in->control, in->config->control, "control", err) != 0 ||
        lock(&in->control, LOCK_CONTROL, err) != 0 ||
        migrate(in, &in->control, &sg_schema_control, &applied, err) != 0)
        return -1;
    json_object_set_new(
        in->report, "control",
        json_pack("{s:i, s:i}", "schema", sg_schema_control.version, "applied", applied));
    if (load_keyring(in, err) != 0 || lay_out_map(in, err) != 0)
        return -1;
    for (i = 0; i < in->config->n_shards; i++)
        if (init_shard(in, i, err) != 0)
            return -1;
    return init_realms(in, err);
}

static int
run(const struct cli_usage *usage, const char *path, bool json)
{
    struct init in = {.json = json};
    struct sg_config *config;
    struct sg_err err;
    int rc;

    if (sg_config_load(path, &config, &err) != 0) {
        cli_fail(usage, &err);
        return CLI_USAGE;
    }
    in.config = config;
    in.report = json_pack("{s:b, s:s, s:[], s:[]}", "ok", 1, "what", "init", "shards", "realms");
    rc = run_steps(&in, &err);
    if (rc != 0) {
        cli_fail(usage, &err);
        json_object_set_new(in.report, "ok", json_false());
        json_object_set_new(in.report, "error", json_sprintf("%s: %s", err.place, err.text));
    }
    if (json) {
        json_dumpf(in.report, stdout, JSON_COMPACT);
        putchar('\n');
    }
    json_decref(in.report);
    control_close(&in.control);
    sg_keyring_free(in.ring);
    sg_config_free(config);
    return rc == 0 ? 0 : CLI_FAILED;
}

int
cmd_init(int argc, char **argv)
{
    const char *path = NULL;
    bool json = false;
    const struct cli_option options[] = {
        {"config", "FILE", "the configuration", .text = &path},
        {"json", NULL, "print what was done as one line of JSON", .flag = &json},
    };
    const struct cli_usage usage = {
        .name = "init",
        .summary = "Lays out the control schema, the shards, each realm's policy and its first "
                   "signing key.",
        .details = "Doing it again does only what is missing: after an upgrade it brings the "
                   "schemas up to this binary.\n"
                   "Where nothing was laid out yet and the keyring is missing, it makes one.\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .examples = "  segue init --config segue.yaml\n",
    };
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    if (path == NULL)
        return cli_usage_error(&usage, "--config is missing");
    return run(&usage, path, json);
}
