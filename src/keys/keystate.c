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

static bool
known(enum sg_key_state state)
{
    return (unsigned)state < N_STATES;
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
