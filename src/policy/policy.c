/* SPDX-License-Identifier: MIT */
#include "policy/policy.h"

#include "base/hash.h"

static const char *const names[] = {"observe", "dual", "exchange", "stateless", "finalized"};

const char *
sg_phase_name(enum sg_phase phase)
{
    return names[phase];
}

int
sg_phase_parse(struct sg_slice name, enum sg_phase *out, struct sg_err *err)
{
    int i;

    for (i = SG_OBSERVE; i <= SG_FINALIZED; i++)
        if (sg_slice_eq(name, sg_str(names[i]))) {
            *out = (enum sg_phase)i;
            return 0;
        }
    return sg_fail(err, SG_E_INVALID, "phase",
                   "expected observe, dual, exchange, stateless or finalized, not '%.*s'",
                   (int)(name.len < 40 ? name.len : 40), name.ptr);
}

const struct sg_phase_rules *
sg_phase_rules(enum sg_phase phase)
{
    static const struct sg_phase_rules table[] = {
        [SG_OBSERVE] = {.shadow_mint = true,
                        .accept_legacy = true,
                        .legacy_is_truth = true,
                        .mirror = true,
                        .inject_legacy = true},
        [SG_DUAL] = {.mint_for_new_logins = true,
                     .accept_legacy = true,
                     .legacy_is_truth = true,
                     .mirror = true,
                     .inject_legacy = true},
        [SG_EXCHANGE] = {.mint_by_rollout = true,
                         .accept_legacy = true,
                         .legacy_is_truth = true,
                         .mirror = true,
                         .inject_legacy = true},
        [SG_STATELESS] = {.mint_for_all = true,
                          .accept_legacy = true,
                          .mirror = true,
                          .inject_legacy = true},
        [SG_FINALIZED] = {.mint_for_all = true},
    };

    return &table[phase];
}

int
sg_phase_check_step(enum sg_phase from, enum sg_phase to, struct sg_err *err)
{
    if (from == SG_FINALIZED)
        return sg_fail(err, SG_E_DENIED, "phase",
                       "finalized is the end: the legacy store may be gone, there is no way back");
    if (to > from + 1)
        return sg_fail(err, SG_E_DENIED, "phase", "from %s the next phase is %s, not %s",
                       names[from], names[from + 1], names[to]);
    return 0;
}

int
sg_rollout_slot(struct sg_slice realm, struct sg_slice subject)
{
    struct sg_slice fields[] = {realm, subject};
    struct sg_hash h = sg_hash_fields("segue/rollout/1", fields, 2);
    uint32_t v = (uint32_t)h.b[0] << 24 | (uint32_t)h.b[1] << 16 | (uint32_t)h.b[2] << 8 | h.b[3];

    return (int)(((uint64_t)v * SG_PERCENT_ALL) >> 32);
}

static bool
in_cohort(const struct sg_policy *p, const char *const *roles, int n_roles)
{
    int i, j;

    for (i = 0; i < p->n_cohorts; i++)
        for (j = 0; j < n_roles; j++)
            if (strcmp(p->cohorts[i], roles[j]) == 0)
                return true;
    return false;
}

bool
sg_may_mint_first(const struct sg_policy *policy, bool lease_ok, struct sg_slice realm,
                  struct sg_slice subject, const char *const *roles, int n_roles,
                  int64_t first_seen_ms)
{
    const struct sg_phase_rules *rules = sg_phase_rules(policy->phase);

    if (policy->version == 0 || !lease_ok)
        return false;
    if (rules->mint_for_all)
        return true;
    if (rules->mint_by_rollout &&
        (sg_rollout_slot(realm, subject) < policy->percent_e2 || in_cohort(policy, roles, n_roles)))
        return true;
    return rules->mint_for_new_logins && first_seen_ms >= policy->phase_entered_ms;
}

static int64_t
least_set(int64_t a, int64_t b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

bool
sg_policy_client_is_disabled(const struct sg_policy *policy, struct sg_slice client_id)
{
    int i;

    for (i = 0; i < policy->n_disabled; i++)
        if (sg_slice_eq(sg_str(policy->disabled[i]), client_id))
            return true;
    return false;
}

struct sg_life
sg_life_merge(struct sg_life a, struct sg_life b)
{
    struct sg_life m;
    bool from_b = b.source_seen_ms != a.source_seen_ms ? b.source_seen_ms > a.source_seen_ms
                                                       : b.exp_source_ms > a.exp_source_ms;

    m.exp_source_ms = from_b ? b.exp_source_ms : a.exp_source_ms;
    m.source_seen_ms = from_b ? b.source_seen_ms : a.source_seen_ms;
    m.exp_segue_ms = a.exp_segue_ms > b.exp_segue_ms ? a.exp_segue_ms : b.exp_segue_ms;
    m.exp_absolute_ms = least_set(a.exp_absolute_ms, b.exp_absolute_ms);
    m.ended_ms = least_set(a.ended_ms, b.ended_ms);
    return m;
}

int64_t
sg_life_expires_ms(const struct sg_life *life)
{
    int64_t at =
        life->exp_source_ms > life->exp_segue_ms ? life->exp_source_ms : life->exp_segue_ms;

    return least_set(at, life->exp_absolute_ms);
}
