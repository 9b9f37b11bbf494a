/* SPDX-License-Identifier: MIT */
#ifndef SG_JWT_VERIFY_H
#define SG_JWT_VERIFY_H

#include "jwt/claims.h"
#include "jwt/keyset.h"

/* The steps of segue_verify(), for the cache to take the second from an earlier time. */

#define SG_HEADER_BYTES 1024
#define SG_PAYLOAD_BYTES (SEGUE_TOKEN_BYTES / 4 * 3)

/* What a segue_verify_buf holds. payload: the claims' JSON, which their slices point into. */
struct sg_verify_memory {
    struct sg_claims_room room;
    char kid[SEGUE_KID_BYTES];
    char header[SG_HEADER_BYTES];
    char payload[SG_PAYLOAD_BYTES];
};

/* What is true of a token whatever the policy and the time: it is well formed and this key signed
 * it. typ is good until the memory or the set is used again. */
struct sg_genuine {
    struct sg_verifier *verifier;
    struct sg_slice typ;
    size_t payload_len;
};

/* First: whether the caller's arguments are right, and the length within bounds. */
enum segue_status sg_verify_arguments(const struct segue_policy *policy, int64_t now_sec,
                                      size_t len);

/* Then: SEGUE_OK with *out and *claims filled, or why not. A wrong typ comes before the signature:
 * want is the policy's. */
enum segue_status sg_verify_genuine(struct segue_keyset *set, const char *want_typ,
                                    const char *token, size_t len, struct sg_verify_memory *m,
                                    struct sg_genuine *out, struct segue_claims *claims);

/* Whether typ is the policy's, and last what policy and time make of the claims. */
bool sg_typ_is(struct sg_slice typ, const char *want);
enum segue_status sg_judge(const struct segue_policy *policy, int64_t now_sec,
                           const struct segue_claims *claims);

/* Fills in what claims say of their key. */
void sg_claims_of_key(const struct segue_key *key, struct sg_verify_memory *m,
                      struct segue_claims *claims);

#endif
