/* SPDX-License-Identifier: MIT */
#ifndef SG_KEYS_KEYRING_H
#define SG_KEYS_KEYRING_H

#include "keys/seal.h"

/* The keyring as the files of this folder see it. */
#define SG_RING_KEYS_MAX 32

struct sg_ring_key {
    char id[SG_SEAL_ID_MAX + 1];
    struct sg_hash key;
};

struct sg_keyring {
    char place[160]; /* the file or variable, for errors */
    struct sg_hash root;
    bool has_root;
    int n;
    struct sg_ring_key keys[SG_RING_KEYS_MAX]; /* the first seals */
};

const struct sg_ring_key *sg_ring_find(const struct sg_keyring *ring, const char *id);
bool sg_ring_id_ok(const char *id, size_t len);

#endif
