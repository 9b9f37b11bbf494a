/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_CUSTOM_CLAIMS_H
#define SG_SESSION_CUSTOM_CLAIMS_H

#include "config/config.h"
#include "segue/segue.h"

#define SG_CUSTOM_CLAIMS_BYTES 2048 /* of all their values */

/* The realm's custom claims of one subject. The values point into the struct: it is not copied. */
struct custom_claims {
    struct segue_extra extra[SG_LIST_MAX];
    size_t n;
    char text[SG_CUSTOM_CLAIMS_BYTES];
    size_t used;
};

/* Makes the claims that the configuration wants of a subject's attributes (a JSON object; "" or
 * NULL is the empty one). A value that is absent, null, of another type, nested more than 5 deep or
 * beyond the bound does not fit: SG_E_DENIED, naming the claim, where it is required; else it is
 * left out. *left_out (may be NULL) counts what is there and does not fit. */
SG_MUST_USE int custom_claims_read(const struct sg_realm_config *realm, const char *attributes,
                                   struct custom_claims *out, int *left_out, struct sg_err *err);

#endif
