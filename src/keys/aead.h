/* SPDX-License-Identifier: MIT */
#ifndef SG_KEYS_AEAD_H
#define SG_KEYS_AEAD_H

#include "base/buf.h"
#include "base/hash.h"

/* XChaCha20-Poly1305 with a random nonce: nonce (24) | ciphertext | tag (16). Internal to keys. */
#define SG_AEAD_NONCE_BYTES 24
#define SG_AEAD_TAG_BYTES 16
#define SG_AEAD_OVERHEAD (SG_AEAD_NONCE_BYTES + SG_AEAD_TAG_BYTES)

/* Appends to out; -1 when out is full. */
int sg_aead_add(struct sg_buf *out, const struct sg_hash *key, const struct sg_hash *bound,
                struct sg_slice plain);

/* Appends to out; -1 when the box is not of this key and bound, or out is full. */
int sg_aead_open(struct sg_buf *out, const struct sg_hash *key, const struct sg_hash *bound,
                 struct sg_slice box);

#endif
