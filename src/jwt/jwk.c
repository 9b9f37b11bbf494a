/* SPDX-License-Identifier: MIT */
#include "jwt/jwk.h"

#include "base/encode.h"
#include "jwt/json_scan.h"
#include "jwt/sign.h"
#include "jwt/status.h"

#include <openssl/err.h>
#include <string.h>

#define JWK_IN_BYTES 16384 /* a certificate chain may stand beside the key */
#define RSA_MAX 512

enum member { KTY, CRV, ALG, KID, USE, X, Y, N, E, D, P, Q, DP, DQ, QI, K, MEMBERS };

static const char *const names[MEMBERS] = {"kty", "crv", "alg", "kid", "use", "x",  "y",  "n",
                                           "e",   "d",   "p",   "q",   "dp",  "dq", "qi", "k"};

/* The members of one JWK, still in its text. */
struct jwk {
    struct sg_json_string m[MEMBERS];
    bool there[MEMBERS];
    bool other_use; /* key_ops without sign and verify, or "oth": more than two primes */
};

static bool
read_key_ops(struct sg_json *j, struct jwk *w)
{
    struct sg_json_level level;
    struct sg_json_string op;
    bool ours = false;

    if (!sg_json_enter_array(j, &level))
        return false;
    while (sg_json_item(j, &level)) {
        if (!sg_json_string(j, &op))
            return false;
        ours = ours || sg_json_is(&op, "verify") || sg_json_is(&op, "sign");
    }
    w->other_use = w->other_use || !ours;
    return sg_json_failed(j) == SG_JSON_FINE;
}

static bool
read_members(struct sg_slice json, struct jwk *w)
{
    struct sg_json_level level;
    struct sg_json_string name;
    struct sg_json j;
    int i;

    memset(w, 0, sizeof *w);
    sg_json_init(&j, json);
    if (!sg_json_enter_object(&j, &level))
        return false;
    while (sg_json_member(&j, &level, &name)) {
        bool good;

        for (i = 0; i < MEMBERS && !sg_json_is(&name, names[i]); i++)
            ;
        if (i < MEMBERS)
            good = w->there[i] = sg_json_string(&j, &w->m[i]);
        else if (sg_json_is(&name, "key_ops"))
            good = read_key_ops(&j, w);
        else {
            w->other_use = w->other_use || sg_json_is(&name, "oth");
            good = sg_json_skip(&j, NULL);
        }
        if (!good)
            return false;
    }
    return sg_json_end(&j);
}

static bool
is(const struct jwk *w, enum member m, const char *value)
{
    return w->there[m] && sg_json_is(&w->m[m], value);
}

/* Our algorithm for the key, or 0. Other curves and encryption keys end here, and a symmetric key
 * wherever only public halves are read: what is published can sign nothing. */
static enum segue_alg
kind(const struct jwk *w, bool private)
{
    enum segue_alg alg = (enum segue_alg)0;

    if (is(w, KTY, "EC") && is(w, CRV, "P-256"))
        alg = SEGUE_ES256;
    else if (is(w, KTY, "OKP") && is(w, CRV, "Ed25519"))
        alg = SEGUE_EDDSA;
    else if (is(w, KTY, "RSA"))
        alg = SEGUE_RS256;
    else if (is(w, KTY, "oct") && private)
        alg = SEGUE_HS256;
    if (w->other_use || (w->there[USE] && !is(w, USE, "sig")))
        return (enum segue_alg)0;
    if (alg != 0 && w->there[ALG] && !is(w, ALG, segue_alg_name(alg)) &&
        !(alg == SEGUE_EDDSA && is(w, ALG, "Ed25519")))
        return (enum segue_alg)0;
    return alg;
}

/* Length of the decoded member, or -1: absent, not strict base64url, of another length than exact
 * (0 = any from 1 to cap). */
static ptrdiff_t
decode(const struct jwk *w, enum member m, unsigned char *out, size_t cap, size_t exact)
{
    ptrdiff_t n = -1;

    if (w->there[m] && !w->m[m].escaped)
        n = sg_b64url_decode(w->m[m].raw, out, cap);
    return n <= 0 || (exact != 0 && (size_t)n != exact) ? -1 : n;
}

/* ---- reading ---- */

static const char *
read_eddsa(const struct jwk *w, bool private, struct segue_key *key)
{
    unsigned char seed[crypto_sign_SEEDBYTES], x[crypto_sign_PUBLICKEYBYTES];
    bool same;

    if (decode(w, X, x, sizeof x, sizeof x) < 0 || crypto_core_ed25519_is_valid_point(x) != 1)
        return "'x' must be an Ed25519 public key";
    if (!private) {
        memcpy(key->ed_public, x, sizeof x);
        return NULL;
    }
    if (decode(w, D, seed, sizeof seed, sizeof seed) < 0) {
        sodium_memzero(seed, sizeof seed);
        return "'d' must be 32 bytes in base64url";
    }
    crypto_sign_seed_keypair(key->ed_public, key->ed_secret, seed);
    sodium_memzero(seed, sizeof seed);
    same = memcmp(key->ed_public, x, sizeof x) == 0;
    return same ? NULL : "'x' does not belong to 'd'";
}

static const char *
read_p256(const struct jwk *w, bool private, struct segue_key *key)
{
    unsigned char point[65] = {4}, d[32];

    if (decode(w, X, point + 1, 32, 32) < 0 || decode(w, Y, point + 33, 32, 32) < 0)
        return "'x' and 'y' must be 32 bytes each in base64url";
    if (private && (decode(w, D, d, 32, 32) < 0 || !sg_p256_scalar_ok(d))) {
        sodium_memzero(d, sizeof d);
        return "'d' must be 32 bytes in base64url, above 0 and below the order of P-256";
    }
    key->pkey = sg_pkey_from_p256(point, private ? d : NULL);
    sodium_memzero(d, sizeof d);
    return key->pkey != NULL ? NULL : "'x', 'y' are no point of P-256";
}

static const char *
read_rsa(const struct jwk *w, bool private, struct segue_key *key)
{
    static const enum member secret[] = {D, P, Q, DP, DQ, QI};
    unsigned char n[RSA_MAX], e[3], part[6][RSA_MAX];
    struct sg_rsa_members m = {.n = n};
    ptrdiff_t len = decode(w, N, n, sizeof n, 0), got[6] = {0};
    int i;

    if (len < 256 || n[0] < 0x80 || (n[len - 1] & 1) == 0)
        return "'n' must be an odd number of 2048 to 4096 bits, a multiple of 8";
    if (decode(w, E, e, sizeof e, sizeof e) < 0 || memcmp(e, "\1\0\1", 3) != 0)
        return "'e' must be 65537 (AQAB)";
    m.n_len = (size_t)len;
    for (i = 0; private && i < 6; i++) {
        got[i] = decode(w, secret[i], part[i], (size_t)len, 0);
        if (got[i] < 0) {
            sodium_memzero(part, sizeof part);
            return "a private RSA key needs 'd', 'p', 'q', 'dp', 'dq' and 'qi'";
        }
    }
    if (private) {
        m.d = part[0], m.p = part[1], m.q = part[2];
        m.dp = part[3], m.dq = part[4], m.qi = part[5];
        m.d_len = (size_t)got[0], m.p_len = (size_t)got[1], m.q_len = (size_t)got[2];
        m.dp_len = (size_t)got[3], m.dq_len = (size_t)got[4], m.qi_len = (size_t)got[5];
    }
    key->pkey = sg_pkey_from_rsa(&m);
    sodium_memzero(part, sizeof part);
    return key->pkey != NULL ? NULL : "the RSA members make no key";
}

static const char *
read_oct(const struct jwk *w, struct segue_key *key)
{
    unsigned char secret[SG_SECRET_MAX];
    ptrdiff_t n = decode(w, K, secret, sizeof secret, 0);

    if (n >= SG_SECRET_MIN)
        sg_key_set_secret(key, sg_slice((char *)secret, (size_t)n));
    sodium_memzero(secret, sizeof secret);
    return n >= SG_SECRET_MIN ? NULL : "'k' must be 32 to 512 bytes in base64url";
}

/* Whether what the private half signs, the public half verifies. */
static bool
halves_agree(const struct segue_key *key)
{
    static const char text[] = "segue key check";
    struct sg_slice input = {text, sizeof text - 1};
    unsigned char sig[SG_SIGNATURE_MAX];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    struct sg_verifier v;
    size_t len;
    bool good = false;

    if (md != NULL && sg_verifier_init(&v, key) == SEGUE_OK) {
        good = sg_sign(key, input, sig, &len) == SEGUE_OK &&
               sg_verify_signature(&v, md, input, sg_slice((char *)sig, len)) == SEGUE_OK;
        sg_verifier_clear(&v);
    }
    EVP_MD_CTX_free(md);
    return good;
}

static const char *
read_material(const struct jwk *w, bool private, struct segue_key *key)
{
    const char *wrong = key->alg == SEGUE_EDDSA   ? read_eddsa(w, private, key)
                        : key->alg == SEGUE_ES256 ? read_p256(w, private, key)
                        : key->alg == SEGUE_HS256 ? read_oct(w, key)
                                                  : read_rsa(w, private, key);

    key->private = private;
    if (wrong == NULL && private && !halves_agree(key))
        wrong = "the private members do not belong to the public ones";
    ERR_clear_error();
    return wrong;
}

enum segue_status
sg_jwk_read(struct sg_slice json, bool private, struct segue_key **out, struct segue_error *err)
{
    enum segue_status status = SEGUE_OK;
    enum segue_alg alg;
    const char *wrong;
    struct segue_key *key;
    struct jwk w;

    if (json.len > JWK_IN_BYTES)
        return sg_jwt_fail(err, SEGUE_TOO_LARGE, "a JWK is longer than %d bytes", JWK_IN_BYTES);
    if (!read_members(json, &w))
        return sg_jwt_fail(err, SEGUE_MALFORMED,
                           "a JWK must be one strict JSON object whose key members are strings");
    if ((alg = kind(&w, private)) == 0)
        return sg_jwt_fail(err, SEGUE_UNSUPPORTED,
                           "not a signing key for ES256 (EC P-256), EdDSA (OKP Ed25519), RS256 "
                           "(RSA with two primes) or, unpublished, HS256 (oct)");
    if ((key = sg_key_alloc(alg)) == NULL)
        return sg_jwt_fail(err, SEGUE_INTERNAL, "%s", segue_strerror(SEGUE_INTERNAL));
    if ((wrong = read_material(&w, private && (w.there[D] || alg == SEGUE_HS256), key)) != NULL)
        status = sg_jwt_fail(err, SEGUE_MALFORMED, "JWK: %s", wrong);
    else if (w.m[KID].escaped)
        status = sg_jwt_fail(err, SEGUE_INVALID, "a kid must not need escapes in JSON");
    else
        status = sg_key_name(key, w.there[KID] ? w.m[KID].raw.ptr : NULL, w.m[KID].raw.len, err);
    if (status == SEGUE_OK)
        *out = key;
    else
        segue_key_free(key);
    return status;
}

enum segue_status
segue_key_from_jwk(const char *json, size_t len, struct segue_key **out, struct segue_error *err)
{
    return sg_jwk_read(sg_slice(json, len), true, out, err);
}
