/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_PROPOSE_H
#define SG_MODEL_PROPOSE_H

#include "model/mapping.h"
#include "model/profile.h"

/* A relational schema for what was seen. Each choice has its reason in `why`. */
struct sg_propose_options {
    const char *schema; /* "app" */
    const char *about;  /* first lines of the file's comment; may be NULL */
};

/* profiles are finished ones. SG_E_INVALID where no collection has anything that tells its records
 * apart. */
SG_MUST_USE int sg_propose(const struct sg_profile *const *profiles, int n,
                           const struct sg_propose_options *options, struct sg_mapping **out,
                           struct sg_err *err);

#endif
