/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_SEGUE_H
#define SEGUE_SEGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* libsegue: mints and verifies Segue's JWT access tokens (RFC 9068 over RFC 7515, 7517, 7519, 8725)
 * with ES256, EdDSA (Ed25519), RS256 and HS256. It does no I/O, starts no thread, reads no clock:
 * time is an argument.
 *
 * Threads: a segue_key never changes once made and may be used by any number of threads; its
 * reference count is atomic. A segue_keyset keeps verification contexts: one thread at a time uses
 * it, so give each thread its own (segue_keyset_copy shares the keys). So it is with a segue_cache.
 * Nothing else is shared.
 *
 * Unless said otherwise no pointer may be NULL, outputs are untouched on failure, and a segue_error
 * may be NULL. */

#ifdef __cplusplus
extern "C" {
#endif

#define SEGUE_API __attribute__((visibility("default")))
#define SEGUE_MUST_USE __attribute__((warn_unused_result))

/* Bounds. */
#define SEGUE_TOKEN_BYTES 8192 /* longest token minted or read unless less is asked for */
#define SEGUE_KID_BYTES 128    /* longest kid */
#define SEGUE_KEYS_MAX 64      /* keys in a set */
#define SEGUE_AUD_MAX 16       /* audiences in a token */
#define SEGUE_NAMES_MAX 128    /* roles, and as many permissions, in a token */
#define SEGUE_EXTRA_MAX 32     /* further claims in a token */
#define SEGUE_DEPTH_MAX 8      /* nested JSON arrays and objects */
#define SEGUE_LEEWAY_MAX 300   /* seconds */
#define SEGUE_JWK_BYTES 4096   /* room for any JWK this library writes, with its NUL */

/* What came of a call: one reason, the first one met. */
enum segue_status {
    SEGUE_OK = 0,
    SEGUE_EXPIRED,       /* only this: signature, typ, iss, aud and all else are right; the claims
                            are filled in */
    SEGUE_NOT_YET,       /* nbf or iat is later than now + leeway */
    SEGUE_MALFORMED,     /* not three strict base64url segments of strict JSON of the right types */
    SEGUE_TOO_LARGE,     /* a bound above was met, or the output does not fit */
    SEGUE_WRONG_TYPE,    /* typ is missing or another one */
    SEGUE_WRONG_ALG,     /* alg is missing, "none", unknown or not the one pinned to the key */
    SEGUE_UNKNOWN_KEY,   /* no kid, or none of the set's: fetch the JWKS again, rate-limited */
    SEGUE_FORBIDDEN,     /* the header has crit, jku, jwk, x5u, x5c, b64 or zip */
    SEGUE_BAD_SIGNATURE, /* the signature is not this key's over these bytes */
    SEGUE_MISSING_CLAIM, /* one of iss, sub, aud, exp, iat, jti, client_id is not there */
    SEGUE_WRONG_ISSUER,  /* iss is not exactly the policy's */
    SEGUE_WRONG_AUDIENCE, /* aud has none of the policy's */
    SEGUE_INVALID,        /* the caller's argument is wrong */
    SEGUE_UNSUPPORTED,    /* a JWK of another kty, crv, alg or use */
    SEGUE_DUPLICATE,      /* the kid is in the set already */
    SEGUE_INTERNAL,       /* memory ran out or the crypto library failed */
};

/* One short sentence, without any of the input. segue_status_name: "expired", for metrics and JSON.
 * Static storage. */
SEGUE_API const char *segue_strerror(enum segue_status status);
SEGUE_API const char *segue_status_name(enum segue_status status);

/* More about a failure of the functions that prepare (keys, sets, minting): names the member and
 * what was expected; never key material or a token. */
struct segue_error {
    char text[200];
};

/* Bytes that somebody else owns; not NUL-terminated. */
struct segue_slice {
    const char *ptr;
    size_t len;
};

/* ---- keys ---- */

/* Signature algorithms (RFC 7518, 8037). */
enum segue_alg {
    SEGUE_ES256 = 1,
    SEGUE_EDDSA = 2, /* written as "EdDSA"; "Ed25519" (RFC 9864) is read as the same */
    SEGUE_RS256 = 3,
    SEGUE_HS256 = 4, /* symmetric: whoever verifies can mint; such a key is never published */
};

/* "ES256", "EdDSA", "RS256", "HS256"; NULL for anything else. segue_alg_find: 0 for an unknown
 * name. */
SEGUE_API const char *segue_alg_name(enum segue_alg alg);
SEGUE_API enum segue_alg segue_alg_find(const char *name);

/* One key, public or with its private half, pinned to one algorithm. Reference-counted: made with
 * one reference; the last segue_key_free wipes it. */
struct segue_key;

/* A new private key (RS256: 2048 bits, takes up to a second). kid: 1 to 128 printable ASCII
 * characters without '"' and '\'; NULL = its RFC 7638 thumbprint. */
SEGUE_API SEGUE_MUST_USE enum segue_status segue_key_generate(enum segue_alg alg, const char *kid,
                                                              struct segue_key **out,
                                                              struct segue_error *err);

/* From a JWK (RFC 7517, 7518, 8037): EC P-256, OKP Ed25519, RSA of 2048 to 4096 bits with e=65537;
 * private when it has "d" (RSA: also p, q, dp, dq, qi). Unknown members are ignored; an alg member
 * must agree; no kid = the thumbprint. oct of 32 to 512 bytes is an HS256 key, private only. Checks
 * that the point is on the curve and the halves belong together. */
SEGUE_API SEGUE_MUST_USE enum segue_status
segue_key_from_jwk(const char *json, size_t len, struct segue_key **out, struct segue_error *err);

/* The JWK as NUL-terminated text in out[cap], *len without the NUL. public: kty, kid, alg, use and
 * the public members, never a private one. private: all of them, to be sealed; the caller wipes it.
 * SEGUE_INVALID when there is no such half: an HS256 key has no public one. */
SEGUE_API SEGUE_MUST_USE enum segue_status segue_key_public_jwk(const struct segue_key *key,
                                                                char *out, size_t cap, size_t *len);
SEGUE_API SEGUE_MUST_USE enum segue_status
segue_key_private_jwk(const struct segue_key *key, char *out, size_t cap, size_t *len);

/* What it is; the kid lives as long as the key. */
SEGUE_API const char *segue_key_kid(const struct segue_key *key);
SEGUE_API enum segue_alg segue_key_alg(const struct segue_key *key);
SEGUE_API bool segue_key_has_private(const struct segue_key *key);
/* One more reference to the same key; and one less, the last of which frees it. NULL is nothing to
 * free. */
SEGUE_API struct segue_key *segue_key_ref(const struct segue_key *key);
SEGUE_API void segue_key_free(struct segue_key *key);

/* ---- key sets ---- */

/* Keys to verify with, told apart by their kid, and what makes verifying with them fast. */
struct segue_keyset;

/* An empty set. SEGUE_INTERNAL when memory runs out. */
SEGUE_API SEGUE_MUST_USE enum segue_status segue_keyset_new(struct segue_keyset **out);
/* A set for another thread with the same keys. */
SEGUE_API SEGUE_MUST_USE enum segue_status segue_keyset_copy(const struct segue_keyset *set,
                                                             struct segue_keyset **out);
/* Gives back the set's references; other sets and users keep theirs. NULL is nothing to free. */
SEGUE_API void segue_keyset_free(struct segue_keyset *set);

/* Takes a reference of its own. SEGUE_DUPLICATE (kid), SEGUE_TOO_LARGE (64 keys). */
SEGUE_API SEGUE_MUST_USE enum segue_status segue_keyset_add(struct segue_keyset *set,
                                                            const struct segue_key *key);
/* Whether it was there. */
SEGUE_API bool segue_keyset_remove(struct segue_keyset *set, const char *kid);
/* The set's own reference, good until the key is removed; NULL if there is none. */
SEGUE_API const struct segue_key *segue_keyset_find(const struct segue_keyset *set,
                                                    const char *kid);
/* How many keys, and the key at 0 to count - 1 in the order added; NULL beyond. */
SEGUE_API int segue_keyset_count(const struct segue_keyset *set);
SEGUE_API const struct segue_key *segue_keyset_at(const struct segue_keyset *set, int i);

/* A new set from a JWKS, public halves only; never an HS256 key. Keys that are not ours to use
 * (another kty, crv, alg, use or key_ops, a member missing or out of range) are skipped and counted
 * in *skipped (may be NULL), as RFC 7517 section 5 has it. Text that is no JWKS, a kid that comes
 * twice, more than 64 keys are errors: keep the last good set then. */
SEGUE_API SEGUE_MUST_USE enum segue_status segue_keyset_from_jwks(const char *json, size_t len,
                                                                  struct segue_keyset **out,
                                                                  int *skipped,
                                                                  struct segue_error *err);
/* The JWKS of the public halves, in the order added, HS256 keys left out; NUL-terminated in
 * out[cap]. */
SEGUE_API SEGUE_MUST_USE enum segue_status segue_keyset_to_jwks(const struct segue_keyset *set,
                                                                char *out, size_t cap, size_t *len);

/* ---- claims ---- */

/* What of a further claim is set. */
enum segue_kind {
    SEGUE_STRING, /* text: the string, unescaped */
    SEGUE_INT,    /* number */
    SEGUE_JSON,   /* text: any JSON value, as it stands in the token */
};

/* A claim that struct segue_claims has no member for. */
struct segue_extra {
    struct segue_slice name;
    enum segue_kind kind;
    struct segue_slice text;
    int64_t number;
};

/* A number that is not in the token. */
#define SEGUE_ABSENT (-1)

/* An access token's claims, for minting and from verifying. An absent string has ptr NULL; an
 * absent number is SEGUE_ABSENT (all numbers here are 0 or more). Start from SEGUE_CLAIMS_INIT. */
struct segue_claims {
    /* RFC 9068: all required */
    struct segue_slice iss, sub, client_id, jti;
    const struct segue_slice *aud; /* one is written as a string, several as an array */
    size_t n_aud;
    int64_t iat, exp; /* Unix seconds */
    /* optional */
    int64_t nbf;
    struct segue_slice sid, scope;
    const struct segue_slice *roles, *permissions;
    size_t n_roles, n_permissions;
    /* Segue's own */
    int64_t bkt;           /* bucket of the session, 0..4095 */
    int64_t sv;            /* epoch of the subject, 0..2^31-1 */
    int64_t rv;            /* version of the roles in their source */
    int64_t re;            /* epoch of the realm, 0..2^31-1 */
    struct segue_slice lh; /* binds to the legacy credential */
    const struct segue_extra *extra;
    size_t n_extra;
    /* verifying only: from the header */
    struct segue_slice kid;
    enum segue_alg alg;
};

#define SEGUE_CLAIMS_INIT                                                                          \
    {                                                                                              \
        .iat = SEGUE_ABSENT, .exp = SEGUE_ABSENT, .nbf = SEGUE_ABSENT, .bkt = SEGUE_ABSENT,        \
        .sv = SEGUE_ABSENT, .rv = SEGUE_ABSENT, .re = SEGUE_ABSENT                                 \
    }

/* ---- minting ---- */

/* Writes the signed token, NUL-terminated, to out[cap]; *len without the NUL. cap bounds it (no
 * token is longer than SEGUE_TOKEN_BYTES). Strings must be UTF-8 without NUL. SEGUE_MISSING_CLAIM,
 * SEGUE_INVALID (text names the claim), SEGUE_TOO_LARGE. out is untouched on failure but for its
 * first byte, then NUL. */
SEGUE_API SEGUE_MUST_USE enum segue_status segue_mint(const struct segue_key *key,
                                                      const struct segue_claims *claims, char *out,
                                                      size_t cap, size_t *len,
                                                      struct segue_error *err);

/* ---- verifying ---- */

/* What a token must be to be accepted here. */
struct segue_policy {
    const char *issuer;           /* compared exactly */
    const char *const *audiences; /* NULL-ended; one match is enough */
    const char *typ; /* NULL = "at+jwt"; given without "application/", which tokens may have */
    int leeway_sec;  /* 0..300; 60 at most is usual */
    size_t max_token_bytes; /* 0 = SEGUE_TOKEN_BYTES, which it cannot exceed */
};

/* The memory that a verified token's claims live in: on the stack, in a struct, per connection. Its
 * content is the library's. */
struct segue_verify_buf {
    uint64_t opaque[1984];
};

/* Verifies a compact token at time now_sec. On SEGUE_OK and SEGUE_EXPIRED *claims is filled, its
 * slices pointing into *buf and good until it is used again; on anything else neither may be read.
 * Allocates nothing itself. Expiry is tested last, after everything else was found right: exp +
 * leeway <= now is SEGUE_EXPIRED. */
SEGUE_API SEGUE_MUST_USE enum segue_status segue_verify(struct segue_keyset *set,
                                                        const struct segue_policy *policy,
                                                        int64_t now_sec, const char *token,
                                                        size_t len, struct segue_verify_buf *buf,
                                                        struct segue_claims *claims);

/* ---- verified tokens kept ---- */

/* A cache of tokens found genuine: what segue_verify() answers, without the signature, for a token
 * seen before. What is kept is only what never changes, that a key signed these bytes and what they
 * say; whether the set still has that key, and what policy and time make of it, is looked at on
 * every call. So the answer is the one of segue_verify() at that moment, whatever was added,
 * removed or changed in between. Whole tokens are compared. Refused tokens are never kept, and a
 * token is dropped when it is found expired (exp + leeway <= now). What its caller knows beyond the
 * token, revocation above all, it looks up after a hit as after any other good answer: nothing has
 * to be flushed.
 *
 * One thread at a time; entries may come of several sets and policies. */
struct segue_cache;

#define SEGUE_CACHE_BYTES_MIN ((size_t)64 * 1024)
#define SEGUE_CACHE_BYTES_MAX ((size_t)1024 * 1024 * 1024)

/* max_bytes bounds everything it will ever hold, in one piece allocated here (and touched only as
 * it fills); a token of 450 bytes takes about 1,000. A token that finds it full takes the place of
 * the oldest ones kept, whether used since or not. SEGUE_INVALID outside the bounds above. */
SEGUE_API SEGUE_MUST_USE enum segue_status segue_cache_new(size_t max_bytes,
                                                           struct segue_cache **out);
/* Wipes it: what it holds are credentials. */
SEGUE_API void segue_cache_free(struct segue_cache *cache);

/* segue_verify() by way of the cache: same arguments, same answer, same life of the claims. */
SEGUE_API SEGUE_MUST_USE enum segue_status
segue_cache_verify(struct segue_cache *cache, struct segue_keyset *set,
                   const struct segue_policy *policy, int64_t now_sec, const char *token,
                   size_t len, struct segue_verify_buf *buf, struct segue_claims *claims);

/* Counted since it was made. */
struct segue_cache_stats {
    uint64_t hits;   /* answered without the signature, whatever the answer */
    uint64_t misses; /* calls that were not */
    uint64_t kept;   /* tokens taken in */
};
SEGUE_API void segue_cache_get_stats(const struct segue_cache *cache,
                                     struct segue_cache_stats *out);

#ifdef __cplusplus
}
#endif

#endif
