/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_TOKENS_H
#define SG_SESSION_TOKENS_H

#include "session/engine.h"

/* What the token endpoint and trusted backends ask for. Each calls done once, from a later turn of
 * the loop or before it returns; what out points to is good during done only. */
enum sg_token_status {
    SG_TOKEN_OK,
    SG_TOKEN_INVALID_REQUEST, /* malformed */
    SG_TOKEN_INVALID_GRANT,   /* the credential is no good */
    SG_TOKEN_CLIENT_DISABLED, /* this client is handed nothing until it is enabled again */
    SG_TOKEN_NOT_ENABLED, /* policy hands no JWT to this subject now: go on with the legacy token */
    SG_TOKEN_UNAVAILABLE, /* a store is down: retry */
};

struct sg_token_out {
    enum sg_token_status status;
    const char *why; /* static, for error_description and logs */
    /* A login where policy hands out no JWT has session and legacy_cookie alone. */
    struct sg_slice access_token, refresh_token, session, set_cookie, legacy_cookie;
    int64_t expires_in_sec;
};
typedef void (*sg_token_done)(void *ctx, const struct sg_token_out *out);

/* Token exchange (RFC 8693) of a legacy credential. client_id and audience: of the configuration.
 */
void sg_token_exchange(struct sg_realm *realm, struct sg_slice credential, const char *client_id,
                       const char *audience, sg_token_done done, void *ctx);

/* Refresh with rotation (RFC 6749 section 6, rule 10). */
void sg_token_refresh(struct sg_realm *realm, struct sg_slice refresh_token, const char *client_id,
                      sg_token_done done, void *ctx);

/* Ends the session that a refresh token, access token or legacy credential belongs to, on both
 * sides (RFC 7009). An unknown token is SG_TOKEN_OK. */
void sg_token_revoke(struct sg_realm *realm, struct sg_slice token, const char *client_id,
                     sg_token_done done, void *ctx);

/* A login: a session for a subject that the caller has authenticated. Before finalized a legacy
 * record is created too. refreshable: with a refresh token (not for browsers, rule 5). */
void sg_session_create(struct sg_realm *realm, const char *subject, const char *client_id,
                       const char *audience, bool refreshable, sg_token_done done, void *ctx);

#endif
