/* SPDX-License-Identifier: MIT */
#ifndef SG_POLICY_POLICY_H
#define SG_POLICY_POLICY_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

/* The phase table (docs/design.md, "What each phase does") as code, in this one place. Pure: no
 * I/O, no clock. */
enum sg_phase { SG_OBSERVE, SG_DUAL, SG_EXCHANGE, SG_STATELESS, SG_FINALIZED };

#define SG_COHORTS_MAX 16
#define SG_DISABLED_MAX 64
#define SG_PERCENT_ALL 10000 /* percent_e2: hundredths of a percent */

struct sg_policy {
    int64_t version; /* 0 = none read yet */
    enum sg_phase phase;
    int percent_e2;
    int n_cohorts;
    char cohorts[SG_COHORTS_MAX][64]; /* roles */
    int realm_epoch;
    int n_disabled;
    char disabled[SG_DISABLED_MAX][65]; /* client ids */
    int64_t phase_entered_ms;           /* wall clock of the control database */
};

const char *sg_phase_name(enum sg_phase phase);
SG_MUST_USE int sg_phase_parse(struct sg_slice name, enum sg_phase *out, struct sg_err *err);

/* The table's rows. */
struct sg_phase_rules {
    bool shadow_mint;         /* mint and verify without handing over */
    bool mint_for_new_logins; /* sessions first seen in this phase get a JWT */
    bool mint_for_all;        /* any session of an identified subject */
    bool mint_by_rollout;     /* any session of a subject in the rollout */
    bool accept_legacy;       /* finalized refuses, with an explanation */
    bool legacy_is_truth;     /* renewals point-read the legacy record */
    bool mirror;              /* Segue's changes are written to the legacy store */
    bool
        inject_legacy; /* upstream gets the legacy credential for a request that shows only a JWT */
};
const struct sg_phase_rules *sg_phase_rules(enum sg_phase phase);

/* Whether `to` may follow `from` in one step: forward by one phase; back to any earlier one;
 * nothing leaves finalized. */
SG_MUST_USE int sg_phase_check_step(enum sg_phase from, enum sg_phase to, struct sg_err *err);

/* Where the subject stands in the rollout, 0..9999: sticky (depends on realm and subject only), so
 * a percentage that grows only adds subjects. In while slot < percent_e2. */
int sg_rollout_slot(struct sg_slice realm, struct sg_slice subject);

/* Whether a session without a JWT may be handed its first one now. lease_ok: the policy was
 * confirmed within the last 2 s (rule 13). roles: NULL-ended names for the cohorts. first_seen_ms:
 * when Segue first saw the session. */
bool sg_may_mint_first(const struct sg_policy *policy, bool lease_ok, struct sg_slice realm,
                       struct sg_slice subject, const char *const *roles, int n_roles,
                       int64_t first_seen_ms);

/* Whether this client was disabled: tokens that name it are revoked, and it is handed none. */
bool sg_policy_client_is_disabled(const struct sg_policy *policy, struct sg_slice client_id);

/* ---- merging of session states (rule 11) ---- */

/* What is known of a session's life; each field has one writer kind. */
struct sg_life {
    int64_t exp_source_ms;   /* last value by the source's order; 0 = none */
    int64_t source_seen_ms;  /* that order: when the source was read */
    int64_t exp_segue_ms;    /* largest wins; 0 = none */
    int64_t exp_absolute_ms; /* smallest non-zero wins; 0 = none */
    int64_t ended_ms;        /* smallest non-zero wins: ended is for ever */
};

/* Joins two states: commutative, associative, idempotent. */
struct sg_life sg_life_merge(struct sg_life a, struct sg_life b);

/* When the session ends by time: the later of the source's word and Segue's own extension (which
 * the mirror carries to the source), never past the absolute limit. While the source is the truth a
 * renewal point-reads it besides. */
int64_t sg_life_expires_ms(const struct sg_life *life);

#endif
