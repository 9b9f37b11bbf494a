/* SPDX-License-Identifier: MIT */
#ifndef SG_TESTS_JWT_CHECK_H
#define SG_TESTS_JWT_CHECK_H

#include "segue/segue.h"

/* segue_verify(), and the same by way of a cache, twice: as it is, and as a cache finds it that may
 * hold the token. Fails the test when they differ. claims point into memory good until the next
 * call. */
enum segue_status jwt_check(struct segue_keyset *set, const struct segue_policy *policy,
                            int64_t now_sec, const char *token, size_t len,
                            struct segue_claims *claims);

/* How many tokens jwt_check() saw, and how many of them were accepted: for a suite to tell. */
extern int jwt_checked, jwt_accepted;

/* Fails the test unless the claims are the same, kid and alg included. */
void jwt_same_claims(const struct segue_claims *a, const struct segue_claims *b);

#endif
