/* SPDX-License-Identifier: MIT */
#ifndef SG_JWT_KEYSET_H
#define SG_JWT_KEYSET_H

#include "jwt/sign.h"

/* A set as the verifier sees it. */
struct segue_keyset {
    int n;
    EVP_MD_CTX *md;
    struct sg_verifier keys[SEGUE_KEYS_MAX]; /* own a reference to their key each */
};

/* NULL if there is none. */
struct sg_verifier *sg_keyset_find(struct segue_keyset *set, struct sg_slice kid);

#endif
