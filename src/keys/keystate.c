/* SPDX-License-Identifier: MIT */
#include "keys/keystate.h"

#include <string.h>

#define N_STATES 4

static const char *const names[N_STATES] = {
    [SG_KEY_PENDING] = "pending",
    [SG_KEY_ACTIVE] = "active",
    [SG_KEY_RETIRING] = "retiring",
    [SG_KEY_RETIRED] = "retired",
};

/* [from][to] */
static const bool allowed[N_STATES][N_STATES] = {
    [SG_KEY_PENDING] = {[SG_KEY_ACTIVE] = true, [SG_KEY_RETIRED] = true},
    [SG_KEY_ACTIVE] = {[SG_KEY_RETIRING] = true},
    [SG_KEY_RETIRING] = {[SG_KEY_ACTIVE] = true, [SG_KEY_RETIRED] = true},
};

static bool
known(enum sg_key_state state)
{
    return (unsigned)state < N_STATES;
}

int
sg_key_state_move(enum sg_key_state *state, enum sg_key_state to, struct sg_err *err)
{
    if (!known(*state) || !known(to) || !allowed[*state][to])
        return sg_fail(err, SG_E_INVALID, "key state", "a key cannot go from %s to %s",
                       sg_key_state_name(*state), sg_key_state_name(to));
    *state = to;
    return 0;
}

bool
sg_key_state_signs(enum sg_key_state state)
{
    return state == SG_KEY_ACTIVE;
}

bool
sg_key_state_verifies(enum sg_key_state state)
{
    return known(state) && state != SG_KEY_RETIRED;
}

const char *
sg_key_state_name(enum sg_key_state state)
{
    return known(state) ? names[state] : "unknown";
}

int
sg_key_state_parse(const char *name, enum sg_key_state *out, struct sg_err *err)
{
    int i;

    for (i = 0; i < N_STATES; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (enum sg_key_state)i;
            return 0;
        }
    return sg_fail(err, SG_E_INVALID, "key state",
                   "expected pending, active, retiring or retired, not '%.60s'", name);
}
