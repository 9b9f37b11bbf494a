/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_TOKEN_IDS_H
#define SG_MODEL_TOKEN_IDS_H

#include "base/slice.h"

#include <stdint.h>

/* How the ids of tokens are made: lengths and characters, none of the ids. */
struct sg_token_ids {
    uint64_t n, bytes, shortest, longest, chars[256];
};

void sg_token_ids_add(struct sg_token_ids *ids, struct sg_slice id);

/* Estimated bits of an average id: Shannon entropy of its characters times its length. An estimate
 * from above: it cannot see a predictable generator. */
double sg_token_ids_bits(const struct sg_token_ids *ids);
/* "A-Z a-z 0-9 - _" as seen. */
void sg_token_ids_alphabet(const struct sg_token_ids *ids, char *out, size_t cap);

#endif
