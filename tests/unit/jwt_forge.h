/* SPDX-License-Identifier: MIT */
#ifndef SG_TESTS_JWT_FORGE_H
#define SG_TESTS_JWT_FORGE_H

#include "base/buf.h"
#include "segue/segue.h"

/* What the hostile suite is made with: a verifier with a key of each algorithm, and tokens put
 * together from any bytes. Time is NOW; every token goes through jwt_check(), so by way of the
 * cache too. */
#define NOW INT64_C(1700000000)
#define ISS "https://id.example"
#define AUD "https://api.example"

#define FORGE_KEYS 4
extern const enum segue_alg forge_algs[FORGE_KEYS];   /* ES256, EdDSA, RS256, HS256 */
extern const char *const forge_kids[FORGE_KEYS];      /* "es", "ed", "rs", "hs" */
extern struct segue_key *forge_keys[FORGE_KEYS];      /* what the verifier has */
extern struct segue_key *forge_strangers[FORGE_KEYS]; /* other keys under the same kids */
extern struct segue_keyset *forge_set;
extern const struct segue_policy forge_policy; /* leeway 30 s; AUD and https://app.example */
extern struct sg_buf forge_token;

int forge_set_up(void **state);
int
forge_tear_down(void **state); /* prints how many hostile tokens there were, and accepted ones */

/* The text with $a and $k as the key's alg and kid, $o and $l as another one's; good until the next
 * call but one. */
struct sg_slice forge_text(struct sg_slice text, int key);
struct sg_slice forge_header(int key);
struct sg_slice forge_claims(void); /* of a good token */

/* Makes forge_token: with that signature, or signed by the key. */
void forge_raw(struct sg_slice header, struct sg_slice claims, struct sg_slice signature);
void forge_signed(const struct segue_key *key, struct sg_slice header, struct sg_slice claims);

/* Gives forge_token to the verifier and fails the test unless it answers so; SEGUE_OK for tokens
 * that show that the others fail for one reason only. forge_refused: for whatever reason. */
void forge_expect(const char *why, enum segue_status want);
void forge_refused(const char *why);

#endif
