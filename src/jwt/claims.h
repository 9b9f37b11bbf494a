/* SPDX-License-Identifier: MIT */
#ifndef SG_JWT_CLAIMS_H
#define SG_JWT_CLAIMS_H

#include "base/buf.h"
#include "segue/segue.h"

/* The arrays of parsed claims. */
struct sg_claims_room {
    struct segue_slice aud[SEGUE_AUD_MAX];
    struct segue_slice roles[SEGUE_NAMES_MAX], permissions[SEGUE_NAMES_MAX];
    struct segue_extra extra[SEGUE_EXTRA_MAX];
};

/* Reads a claims object strictly: types, ranges, no member twice, every required claim there.
 * Strings are unescaped where they stand, so json is changed and *out points into it and into
 * *room. SEGUE_OK, SEGUE_MALFORMED, SEGUE_TOO_LARGE or SEGUE_MISSING_CLAIM. */
enum segue_status sg_claims_parse(char *json, size_t len, struct sg_claims_room *room,
                                  struct segue_claims *out);

/* Appends the claims object. Names the claim in err. What it writes, sg_claims_parse reads. */
enum segue_status sg_claims_write(const struct segue_claims *claims, struct sg_buf *out,
                                  struct segue_error *err);

#endif
