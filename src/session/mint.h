/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_MINT_H
#define SG_SESSION_MINT_H

#include "session/engine_internal.h"

/* What goes into an access token. */
struct mint_request {
    const char *subject, *client_id, *audience;
    const uint8_t *sid;  /* SG_SID_BYTES */
    const char *binding; /* to its legacy credential, claim lh; "" = it has none */
    int bucket, epoch;
    int64_t source_version;
    const struct sg_names *roles, *permissions;
    const char *attributes; /* the subject's, for the realm's custom claims; NULL = none */
    int64_t lifetime_ms;    /* already bounded by the session's end */
};

struct minted {
    char token[SEGUE_TOKEN_BYTES + 1];
    size_t len;
    int64_t expires_in_sec;
    bool again; /* it was minted before */
};

/* SG_E_DENIED: a required custom claim is missing; SG_E_LIMIT: it would be too large. */
SG_MUST_USE int mint(struct sg_realm *realm, const struct mint_request *request, struct minted *out,
                     struct sg_err *err);

/* As mint; but what was minted for the session a moment ago and says the same is given once more,
 * so that a client that keeps no cookie costs no signature each time (rule 5). */
SG_MUST_USE int mint_again(struct sg_realm *realm, const struct mint_request *request,
                           struct minted *out, struct sg_err *err);

/* How long a token may live: the configured lifetime, at most a third of the legacy idle time (rule
 * 7), never past the end of the session. */
int64_t mint_lifetime_ms(const struct sg_realm *realm, int64_t idle_ms, int64_t absolute_in_ms);

/* Verifies a token of this realm; audience NULL = any of the realm's. */
enum segue_status mint_verify(struct sg_realm *realm, struct sg_slice token,
                              struct segue_verify_buf *buf, struct segue_claims *claims);

#endif
