/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_TOKENS_H
#define SG_SESSION_TOKENS_H

#include "session/engine.h"

/* What the token endpoint and trusted backends ask for. Each calls done once, from a later turn of
 * the loop or before it returns; what out points to is good during done only. */
enum sg_token_status {
    SG_TOKEN_OK,
    SG_TOKEN_INVALID_REQUEST, /* malformed */
    SG_TOKEN_INVALID_GRANT,   /* the credential is no good, or another client's */
    SG_TOKEN_INVALID_SCOPE,   /* more than the client, or this grant, may have */
    SG_TOKEN_INVALID_TARGET,  /* likewise, of audiences */
    SG_TOKEN_CLIENT_DISABLED, /* this client is handed nothing until it is enabled again */
    SG_TOKEN_NOT_ENABLED, /* policy hands no JWT to this subject now: go on with the legacy token */
    SG_TOKEN_UNAVAILABLE, /* a store is down: retry */
};

struct sg_token_out {
    enum sg_token_status status;
    const char *why; /* static, for error_description and logs */
    /* A login where policy hands out no JWT has session and legacy_cookie alone. */
    struct sg_slice access_token, refresh_token, scope, session, set_cookie, legacy_cookie;
    int64_t expires_in_sec;
};
typedef void (*sg_token_done)(void *ctx, const struct sg_token_out *out);

/* Who asks, and what for. The lists (base/words.h) are copied. */
struct sg_token_ask {
    const struct sg_client_config *client;
    struct sg_slice audience; /* empty: the client's first, of a refresh token all of its own */
    struct sg_slice scope;    /* empty: all that the client, and this grant, may have */
};

/* Token exchange (RFC 8693) of a legacy credential. A client without the grant refresh_token gets
 * an access token alone. */
void sg_token_exchange(struct sg_realm *realm, struct sg_slice credential,
                       const struct sg_token_ask *ask, sg_token_done done, void *ctx);

/* Refresh with rotation (RFC 6749 section 6, rule 10). Less may be asked for than was granted; the
 * successor keeps all of it. */
void sg_token_refresh(struct sg_realm *realm, struct sg_slice refresh_token,
                      const struct sg_token_ask *ask, sg_token_done done, void *ctx);

/* A token for the client itself (RFC 6749 section 4.4): sub is its id, roles and permissions are
 * the configuration's. It has no session; its jti is what revokes it. */
void sg_token_for_client(struct sg_realm *realm, const struct sg_token_ask *ask, sg_token_done done,
                         void *ctx);

/* Ends the session that a refresh token, access token or legacy credential belongs to, on both
 * sides (RFC 7009); of a client's own token that token alone. An unknown token is SG_TOKEN_OK,
 * another client's SG_TOKEN_INVALID_GRANT; who holds a legacy credential may end its session. */
void sg_token_revoke(struct sg_realm *realm, struct sg_slice token, const char *client_id,
                     sg_token_done done, void *ctx);

/* A login: a session for a subject that the caller has authenticated. Before finalized a legacy
 * record is created too. refreshable: with a refresh token (not for browsers, rule 5). */
void sg_session_create(struct sg_realm *realm, const char *subject, const char *client_id,
                       const char *audience, bool refreshable, sg_token_done done, void *ctx);

#endif
