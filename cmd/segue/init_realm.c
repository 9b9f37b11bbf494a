/* SPDX-License-Identifier: MIT */
#include "init_realm.h"

#include "keys/signing.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
init_policy(struct control_db *db, const char *realm, struct init_realm *done, struct sg_err *err)
{
    char actor[65];
    const char *const params[] = {realm, actor};
    const struct control_entry entry = {.realm = realm,
                                        .action = "init",
                                        .why = "first policy",
                                        .to = "{\"version\": 1, \"phase\": \"observe\"}"};
    PGresult *r;

    control_actor(actor, sizeof actor);
    if (control_begin(db, err) != 0)
        return -1;
    if (control_run(db, &r, err,
                    "INSERT INTO segue_control.policy (realm, changed_by) VALUES ($1, $2) "
                    "ON CONFLICT DO NOTHING RETURNING realm",
                    2, params) != 0)
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

/* bytea in text form. */
static char *
hex_of(struct sg_slice bytes)
{
    char *hex = malloc(2 * bytes.len + 3);

    if (hex != NULL) {
        memcpy(hex, "\\x", 2);
        sodium_bin2hex(hex + 2, 2 * bytes.len + 1, (const unsigned char *)bytes.ptr, bytes.len);
    }
    return hex;
}

/* The key and its row in the journal, in one transaction. */
static int
store_key(struct control_db *db, const struct sg_keyring *ring, const char *realm,
          const struct segue_key *key, struct sg_err *err)
{
    struct sg_buf sealed = SG_BUF_INIT(SEGUE_JWK_BYTES + SG_SEAL_OVERHEAD);
    char public_jwk[SEGUE_JWK_BYTES], *hex = NULL;
    json_t *to = json_pack("{s:s, s:s}", "kid", segue_key_kid(key), "state", "active");
    char *to_text = json_dumps(to, JSON_COMPACT);
    const struct control_entry entry = {
        .realm = realm, .action = "key", .why = "first signing key", .to = to_text};
    size_t len;
    int rc = -1;

    if (sg_signing_key_seal(ring, realm, key, &sealed, err) == 0) {
        hex = hex_of(sg_buf_slice(&sealed));
        if (hex == NULL || to_text == NULL ||
            segue_key_public_jwk(key, public_jwk, sizeof public_jwk, &len) != SEGUE_OK)
            sg_fail(err, SG_E_INTERNAL, "signing key", "out of memory");
        else {
            const char *const params[] = {
                realm, segue_key_kid(key),         segue_alg_name(segue_key_alg(key)), public_jwk,
                hex,   sg_keyring_sealing_id(ring)};

            rc = control_begin(db, err) != 0 ||
                         control_run(db, NULL, err,
                                     "INSERT INTO segue_control.signing_key (realm, kid, alg, "
                                     "state, public_jwk, private_sealed, sealed_with) VALUES ($1, "
                                     "$2, $3, 'active', $4::jsonb, $5::bytea, $6)",
                                     6, params) != 0 ||
                         control_journal(db, &entry, err) != 0 || control_commit(db, err) != 0
                     ? -1
                     : 0;
            if (rc != 0)
                control_rollback(db);
        }
    }
    free(hex);
    free(to_text);
    json_decref(to);
    sg_buf_free(&sealed);
    return rc;
}

static int
make_key(struct control_db *db, const struct sg_keyring *ring, const struct sg_realm_config *realm,
         struct init_realm *done, struct sg_err *err)
{
    struct segue_error why;
    struct segue_key *key;
    int rc;

    if (segue_key_generate(segue_alg_find(realm->token.alg), NULL, &key, &why) != SEGUE_OK)
        return sg_fail(err, SG_E_INTERNAL, "signing key", "could not make one of %s for realm %s",
                       realm->token.alg, realm->name);
    rc = store_key(db, ring, realm->name, key, err);
    if (rc == 0) {
        describe(key, done);
        done->key_created = true;
    }
    segue_key_free(key);
    return rc;
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
init_realm(struct control_db *db, const struct sg_keyring *ring,
           const struct sg_realm_config *realm, struct init_realm *done, struct sg_err *err)
{
    PGresult *r;
    int rc;

    *done = (struct init_realm){0};
    if (init_policy(db, realm->name, done, err) != 0 ||
        control_run(db, &r, err,
                    "SELECT kid, private_sealed FROM segue_control.signing_key WHERE realm = $1 "
                    "AND state = 'active'",
                    1, &realm->name) != 0)
        return -1;
    if (PQntuples(r) > 0)
        rc = check_key(ring, realm->name, r, done, err);
    else
        rc = make_key(db, ring, realm, done, err);
    PQclear(r);
    return rc;
}
