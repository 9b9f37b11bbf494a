/* SPDX-License-Identifier: MIT */
#ifndef SG_JWT_KEYSET_H
#define SG_JWT_KEYSET_H

#include "jwt/sign.h"

/* A set as the verifier sees it. */
struct segue_keyset {
    int n, last; /* last: the key that verified last */
    EVP_MD_CTX *md;
    struct sg_verifier keys[SEGUE_KEYS_MAX]; /* own a reference to their key each */
};

/* NULL if there is none. */
struct sg_verifier *sg_keyset_find(struct segue_keyset *set, struct sg_slice kid);

/* The key whose last good token had just this header, still encoded; NULL: read it. */
struct sg_verifier *sg_keyset_known(struct segue_keyset *set, struct sg_slice header);

/* Only for a header whose token had a good signature: others must not push it out. */
void sg_keyset_remember(struct segue_keyset *set, struct sg_verifier *v, struct sg_slice header,
                        struct sg_slice typ);

#endif
