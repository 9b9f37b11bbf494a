/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_LOGIN_H
#define SG_SESSION_LOGIN_H

#include "session/attempts.h"
#include "session/tokens.h"

/* A login by password (docs/flows.md, 12). */
#define SG_LOGIN_MAX 320 /* bytes of a login name: what an e-mail address may have */

struct sg_login_in {
    struct sg_slice login, password;            /* copied; the copies are wiped */
    uint8_t address[SG_ATTEMPTS_ADDRESS_BYTES]; /* where it comes from */
    const char *client_id, *audience;           /* of the configuration */
    bool refreshable;                           /* as for sg_session_create */
};

enum sg_login_outcome {
    SG_LOGIN_OK,
    /* These two are said without a look at anybody's password. */
    SG_LOGIN_INVALID, /* malformed */
    SG_LOGIN_CLIENT_DISABLED,
    /* Unknown login, wrong password, or a subject that may not log in: which, nobody is told. */
    SG_LOGIN_REFUSED,
    SG_LOGIN_LIMITED,
    SG_LOGIN_UNAVAILABLE, /* also: too many wait */
};

struct sg_login_out {
    enum sg_login_outcome outcome;
    const char *why;         /* static; for the caller, so it says no more than outcome does */
    int64_t retry_after_sec; /* LIMITED, UNAVAILABLE */
    const struct sg_token_out *tokens; /* OK; good during done only */
};

/* Calls done once, from a later turn of the loop or before it returns. */
void sg_login(struct sg_realm *realm, const struct sg_login_in *in,
              void (*done)(void *ctx, const struct sg_login_out *out), void *ctx);

#endif
