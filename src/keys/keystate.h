/* SPDX-License-Identifier: MIT */
#ifndef SG_KEYS_KEYSTATE_H
#define SG_KEYS_KEYSTATE_H

#include "base/err.h"

/* The life of a signing key. A key is in the JWKS and verifies in every state but the last, so that
 * no verifier meets a token whose key it has not had time to fetch (P6). States change in
 * segue_control.key_move and its neighbours (sql/control), by the database's clock. */
enum sg_key_state {
    SG_KEY_PENDING,  /* published, does not sign yet */
    SG_KEY_ACTIVE,   /* signs */
    SG_KEY_RETIRING, /* signs no more; tokens it signed are still alive */
    SG_KEY_RETIRED,  /* no longer published; its private half is deleted. For a while its public
                        half still tells whose an expired token was, to renew it */
};

bool sg_key_state_signs(enum sg_key_state state);
/* Published in the JWKS and accepted by verifiers. */
bool sg_key_state_verifies(enum sg_key_state state);

/* "pending", "active", "retiring", "retired". Static storage. */
const char *sg_key_state_name(enum sg_key_state state);
SG_MUST_USE int sg_key_state_parse(const char *name, enum sg_key_state *out, struct sg_err *err);

#endif
