/* SPDX-License-Identifier: MIT */
#include "key_change.h"

#include "base/encode.h"
#include "session/rotation.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

char *
key_hex(struct sg_slice bytes)
{
    char *hex = malloc(2 * bytes.len + 3);

    if (hex != NULL) {
        memcpy(hex, "\\x", 2);
        sodium_bin2hex(hex + 2, 2 * bytes.len + 1, (const unsigned char *)bytes.ptr, bytes.len);
    }
    return hex;
}

static const char *
why_of(const struct key_change *c)
{
    return c->why != NULL ? c->why : "";
}

static int
store(const struct key_change *c, const struct sg_new_key *key, const char *alg, bool first,
      struct sg_err *err)
{
    char *hex = key_hex(sg_buf_slice(&key->sealed)), actor[65];
    const char *const params[] = {c->realm->name,
                                  key->kid,
                                  alg,
                                  key->public_jwk[0] != '\0' ? key->public_jwk : NULL,
                                  hex,
                                  sg_keyring_sealing_id(c->ring),
                                  first ? "true" : "false",
                                  actor,
                                  why_of(c)};
    int rc;

    control_actor(actor, sizeof actor);
    rc = hex == NULL ? sg_fail(err, SG_E_INTERNAL, "signing key", "out of memory")
                     : control_run(c->db, NULL, err,
                                   "SELECT segue_control.key_add($1, $2, $3, $4::jsonb, "
                                   "$5::bytea, $6, $7::boolean, $8, $9)",
                                   9, params);
    free(hex);
    return rc;
}

int
key_add(const struct key_change *c, const char *alg, bool first, char *kid, struct sg_err *err)
{
    struct sg_new_key key;
    int rc = sg_new_key_make(c->ring, c->realm->name, alg, &key, err);

    if (rc == 0 && (rc = store(c, &key, alg, first, err)) == 0)
        snprintf(kid, sizeof key.kid, "%s", key.kid);
    sg_new_key_clear(&key);
    return rc;
}

int
key_move(const struct key_change *c, const char *kid, const char *next, bool force,
         struct sg_err *err)
{
    char times[SG_KEY_TIMES_BYTES], actor[65];
    const char *const params[] = {c->realm->name,           kid,   next,     times,
                                  force ? "true" : "false", actor, why_of(c)};

    sg_key_times(c->config, c->realm, times);
    control_actor(actor, sizeof actor);
    return control_run(c->db, NULL, err,
                       "SELECT segue_control.key_move($1, $2, $3, $4::jsonb, $5::boolean, $6, $7)",
                       7, params);
}

int
key_revoke(const struct key_change *c, const char *kid, struct sg_err *err)
{
    char actor[65];
    const char *const params[] = {c->realm->name, kid, actor, why_of(c)};

    control_actor(actor, sizeof actor);
    return control_run(c->db, NULL, err, "SELECT segue_control.key_revoke($1, $2, $3, $4)", 4,
                       params);
}

static int
reseal_one(const struct key_change *c, const char *kid, const char *before, struct sg_err *err)
{
    size_t len;
    unsigned char *sealed = PQunescapeBytea((const unsigned char *)before, &len);
    struct sg_buf again = SG_BUF_INIT(SEGUE_JWK_BYTES + SG_SEAL_OVERHEAD);
    struct segue_key *key = NULL;
    char *hex = NULL, actor[65];
    struct sg_err cause;
    int rc = -1;

    control_actor(actor, sizeof actor);
    if (sealed == NULL)
        return sg_fail(err, SG_E_INTERNAL, "signing key", "out of memory");
    if (sg_signing_key_open(c->ring, c->realm->name, kid, sg_slice((char *)sealed, len), &key,
                            &cause) != 0 ||
        sg_signing_key_seal(c->ring, c->realm->name, key, &again, &cause) != 0) {
        sg_fail(err, cause.code, kid, "%s", cause.text);
    } else if ((hex = key_hex(sg_buf_slice(&again))) == NULL) {
        sg_fail(err, SG_E_INTERNAL, kid, "out of memory");
    } else {
        const char *const params[] = {
            c->realm->name, kid, before, hex, sg_keyring_sealing_id(c->ring), actor, why_of(c)};

        rc = control_run(
            c->db, NULL, err,
            "SELECT segue_control.key_reseal($1, $2, $3::bytea, $4::bytea, $5, $6, $7)", 7, params);
    }
    free(hex);
    segue_key_free(key);
    sg_buf_free(&again);
    PQfreemem(sealed);
    return rc;
}

int
key_reseal(const struct key_change *c, int *n, struct sg_err *err)
{
    const char *const params[] = {c->realm->name, sg_keyring_sealing_id(c->ring)};
    PGresult *r;
    int i, rc = 0;

    if (control_run(c->db, &r, err,
                    "SELECT kid, private_sealed FROM segue_control.signing_key WHERE realm = $1 "
                    "AND state <> 'retired' AND sealed_with <> $2 ORDER BY kid",
                    2, params) != 0)
        return -1;
    for (i = 0; i < PQntuples(r) && rc == 0; i++)
        rc = reseal_one(c, PQgetvalue(r, i, 0), PQgetvalue(r, i, 1), err);
    *n = PQntuples(r);
    PQclear(r);
    return rc;
}

int
key_check_root(struct control_db *db, const struct sg_keyring *ring, const char *realm,
               struct sg_err *err)
{
    struct sg_hash check = sg_realm_key(ring, realm, SG_PURPOSE_CHECK);
    char hex[2 * SG_HASH_BYTES + 1];
    const char *const params[] = {realm, hex};
    int64_t right;

    sg_hex(check.b, sizeof check.b, hex);
    if (control_number(db, 1, &right, err,
                       "SELECT (root_check IN ('', $2))::int FROM segue_control.policy "
                       "WHERE realm = $1",
                       2, params) != 0)
        return -1;
    return right ? 0
                 : sg_fail(err, SG_E_DENIED, "keyring",
                           "its root is not the one realm %s was laid out with: every session, "
                           "refresh token and sealed record would be unknown; use the keyring of "
                           "the first `segue init`, or its backup",
                           realm);
}

int
key_wait(const struct key_change *c, const char *kid, const char *state, int timeout_ms, int *n,
         char behind[80], struct sg_err *err)
{
    const struct timespec pause = {0, 10 * 1000000L};
    const char *const params[] = {c->realm->name, kid, state};
    int waited, rc = 0;

    for (waited = 0;; waited += 10) {
        PGresult *r;

        rc = control_run(c->db, &r, err,
                         "SELECT instance, CASE $3 WHEN 'pending' THEN $2 = ANY (keys || unopened) "
                         "WHEN 'active' THEN signing IS NOT DISTINCT FROM $2 ELSE $2 <> ALL (keys) "
                         "END FROM segue_control.instance WHERE realm = $1 AND seen_at > "
                         "clock_timestamp() - interval '5 s' ORDER BY 2, 1",
                         3, params);
        if (rc != 0)
            return -1;
        *n = PQntuples(r);
        behind[0] = '\0';
        if (*n > 0 && PQgetvalue(r, 0, 1)[0] == 'f')
            snprintf(behind, 80, "%s", PQgetvalue(r, 0, 0));
        PQclear(r);
        if (behind[0] == '\0' || waited >= timeout_ms)
            return 0;
        nanosleep(&pause, NULL);
    }
}
