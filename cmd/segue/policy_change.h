/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_POLICY_CHANGE_H
#define SEGUE_POLICY_CHANGE_H

#include "config/config.h"
#include "control.h"
#include "policy/policy.h"

/* The one place where a realm's policy is changed: policy and journal in one transaction (P8). */
struct policy_change {
    const char *realm;
    const char *action; /* "phase", "rollback" */
    const char *why;
    int phase;                    /* an sg_phase; -1 = as it is */
    int percent_e2;               /* -1 = as it is */
    const char *cohorts;          /* array literal; NULL = as they are */
    bool distrust;                /* raise the realm's epoch */
    const char *disable, *enable; /* a client's id; NULL = none */
    bool dry_run;
    /* Refuses a change that may not follow what is there; called under the row's lock. May be NULL.
     */
    int (*check)(const struct sg_policy *now, const struct policy_change *change,
                 struct control_db *db, struct sg_err *err);
    /* out */
    struct sg_policy before, after;
};

SG_MUST_USE int policy_read(struct control_db *db, const char *realm, struct sg_policy *out,
                            struct sg_err *err);
SG_MUST_USE int policy_change(struct control_db *db, struct policy_change *change,
                              struct sg_err *err);

/* Waits until every instance seen in the last 5 s says it is under this version; *instances: how
 * many. SG_E_TIMEOUT names one that does not (its lease runs out by itself within 2 s of losing
 * control). */
SG_MUST_USE int policy_wait(struct control_db *db, const char *realm, int64_t version,
                            int timeout_ms, int *instances, struct sg_err *err);

/* The realm of --realm, or the only one. */
SG_MUST_USE int control_realm(const struct sg_config *config, const char *name,
                              const struct sg_realm_config **out, struct sg_err *err);

#endif
