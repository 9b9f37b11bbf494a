/* SPDX-License-Identifier: MIT */
#include "init_realm.h"

#include "base/encode.h"
#include "key_change.h"

#include <stdio.h>
#include <string.h>

static int
init_policy(const struct init_realm_in *in, struct init_realm *done, struct sg_err *err)
{
    struct sg_hash check = sg_realm_key(in->ring, in->realm->name, SG_PURPOSE_CHECK);
    const char *realm = in->realm->name;
    struct control_db *db = in->db;
    char actor[65], root[2 * SG_HASH_BYTES + 1];
    const char *const params[] = {realm, actor, root};
    const struct control_entry entry = {.realm = realm,
                                        .action = "init",
                                        .why = "first policy",
                                        .to = "{\"version\": 1, \"phase\": \"observe\"}"};
    PGresult *r;

    control_actor(actor, sizeof actor);
    sg_hex(check.b, sizeof check.b, root);
    if (control_begin(db, err) != 0)
        return -1;
    if (control_run(
            db, &r, err,
            "INSERT INTO segue_control.policy (realm, changed_by, root_check) VALUES ($1, $2, "
            "$3) ON CONFLICT DO NOTHING RETURNING realm",
            3, params) != 0)
        goto undo;
    done->policy_created = PQntuples(r) > 0;
    PQclear(r);
    if (done->policy_created && control_journal(db, &entry, err) != 0)
        goto undo;
    if (control_run(db, &r, err, "SELECT phase FROM segue_control.policy WHERE realm = $1", 1,
                    params) != 0)
        goto undo;
    snprintf(done->phase, sizeof done->phase, "%s", PQgetvalue(r, 0, 0));
    PQclear(r);
    if (control_commit(db, err) == 0)
        return 0;
undo:
    control_rollback(db);
    return -1;
}

static void
describe(const struct segue_key *key, struct init_realm *done)
{
    snprintf(done->kid, sizeof done->kid, "%s", segue_key_kid(key));
    snprintf(done->alg, sizeof done->alg, "%s", segue_alg_name(segue_key_alg(key)));
}

static int
make_key(const struct init_realm_in *in, struct init_realm *done, struct sg_err *err)
{
    const struct key_change c = {.db = in->db,
                                 .config = in->config,
                                 .realm = in->realm,
                                 .ring = in->ring,
                                 .why = "first key"};

    if (key_add(&c, in->realm->token.alg, true, done->kid, err) != 0)
        return -1;
    snprintf(done->alg, sizeof done->alg, "%s", in->realm->token.alg);
    done->key_created = true;
    return 0;
}

/* The active key must open with this keyring: another one would only show when tokens are due. */
static int
check_key(const struct sg_keyring *ring, const char *realm, PGresult *r, struct init_realm *done,
          struct sg_err *err)
{
    size_t len;
    unsigned char *sealed = PQunescapeBytea((const unsigned char *)PQgetvalue(r, 0, 1), &len);
    struct segue_key *key;
    int rc;

    if (sealed == NULL)
        return sg_fail(err, SG_E_INTERNAL, "signing key", "out of memory");
    rc = sg_signing_key_open(ring, realm, PQgetvalue(r, 0, 0), sg_slice((char *)sealed, len), &key,
                             err);
    PQfreemem(sealed);
    if (rc != 0)
        return -1;
    describe(key, done);
    segue_key_free(key);
    return 0;
}

int
init_realm(const struct init_realm_in *in, struct init_realm *done, struct sg_err *err)
{
    const char *const params[] = {in->realm->name};
    PGresult *r;
    int rc;

    *done = (struct init_realm){0};
    if (init_policy(in, done, err) != 0 ||
        key_check_root(in->db, in->ring, in->realm->name, err) != 0 ||
        control_run(in->db, &r, err,
                    "SELECT kid, private_sealed FROM segue_control.signing_key WHERE realm = $1 "
                    "AND state = 'active'",
                    1, params) != 0)
        return -1;
    if (PQntuples(r) > 0)
        rc = check_key(in->ring, in->realm->name, r, done, err);
    else
        rc = make_key(in, done, err);
    PQclear(r);
    return rc;
}
