/* SPDX-License-Identifier: MIT */
#ifndef SG_BENCH_PEER_H
#define SG_BENCH_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What every library is asked to do with a token, as a resource server does: verify its signature
 * with a key made beforehand; see that alg and typ are the expected ones; parse the claims; check
 * iss, aud, exp and nbf; read sub and the first role. */
#define ISSUER "https://id.example"
#define AUDIENCE "https://api.example"
#define NOW INT64_C(1700000000)

struct peer {
    const char *name;
    /* What verifying with this key needs; NULL: the library does not do the algorithm. jwk is
     * private for HS256, else public; pem is NULL for HS256 and EdDSA. */
    void *(*open)(const char *alg, const char *jwk, const char *pem);
    bool (*verify)(void *handle, const char *token, size_t len);
};

extern const struct peer peer_segue, peer_segue_cached, peer_cjose, peer_libjwt, peer_rhonabwy;

/* The same claims signed again under typ "JWT": libjwt 1.10 refuses the typ of RFC 9068. jwk is
 * private; the caller frees it. */
char *cjose_resign(const char *alg, const char *jwk, const char *token);

/* The PEM of a public JWK, for libjwt; the caller frees it. */
char *rhonabwy_pem(const char *jwk);

#endif
