/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_DRIFT_H
#define SG_MODEL_DRIFT_H

#include "model/mapping.h"
#include "model/profile.h"

/* How what a store holds now stands to a mapping that was made of it earlier. */
#define SG_DRIFT_MAX 500

struct sg_drift_item {
    char place[160];  /* "users.tier (tier)", "user:*: nickname" */
    char text[200];   /* what changed */
    uint64_t rejects; /* values, or records, that the mapping would reject; 0 = none */
};

struct sg_drift {
    struct sg_drift_item *items; /* SG_DRIFT_MAX */
    int n;
    uint64_t more; /* not listed */
    bool rejects;  /* one of them does */
};

/* profiles are finished ones. */
SG_MUST_USE int sg_drift_find(const struct sg_mapping *m, const struct sg_profile *const *profiles,
                              int n, struct sg_drift *out, struct sg_err *err);
void sg_drift_free(struct sg_drift *d);

#endif
