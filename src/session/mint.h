/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_MINT_H
#define SG_SESSION_MINT_H

#include "base/words.h"
#include "session/cookie.h"
#include "session/custom_claims.h"
#include "session/engine_internal.h"

/* What goes into an access token. */
struct mint_request {
    const char *subject, *client_id;
    const char *audience; /* one or several (base/words.h) */
    const char *scope;    /* NULL = all that the client may have */
    const uint8_t *sid;   /* SG_SID_BYTES; NULL = a client's token for itself */
    const char *binding;  /* to its legacy credential, claim lh; "" = it has none */
    int bucket, epoch;
    int64_t source_version;
    const struct sg_names *roles, *permissions;
    const char *attributes; /* the subject's, for the realm's custom claims; NULL = none */
    int64_t lifetime_ms;    /* already bounded by the session's end */
};

/* Where roles and permissions would make it too long, a token leaves them out and says so: claim
 * rr. It speaks for its session all the same; whoever is shown it asks what the roles are. */
#define SG_CLAIM_REFERENCE "rr"

struct minted {
    char token[SEGUE_TOKEN_BYTES + 1];
    size_t len;
    bool by_reference; /* it was too long for token.max_bytes */
    /* The same for a cookie, where the token does not fit in one; "" = it does. */
    char small[SG_COOKIE_BYTES + 1];
    bool no_cookie; /* not even that fits */
    int64_t expires_in_sec;
    bool again; /* it was minted before */
};

/* What the cookie's value is; NULL = a browser would drop it, so none is to be set. */
const char *minted_cookie(const struct minted *minted);
/* Whether a verified token leaves its roles out. */
bool mint_is_reference(const struct segue_claims *claims);

/* The claims of a token, and what they point into. */
struct mint_room {
    struct segue_slice roles[SG_ROLES_MAX], permissions[SG_ROLES_MAX], aud[SG_LIST_MAX];
    struct segue_extra reference;
    struct custom_claims custom;
    char sid[2 * SG_SID_BYTES], jti[2 * SG_SID_BYTES], scope[SG_WORDS_BYTES];
};
SG_MUST_USE int mint_fill(const struct sg_realm_config *config, int realm_epoch, int64_t now_sec,
                          const struct mint_request *request, bool by_reference,
                          struct mint_room *room, struct segue_claims *out, struct sg_err *err);

/* SG_E_DENIED: a required custom claim is missing; SG_E_LIMIT: it would be too large. */
SG_MUST_USE int mint(struct sg_realm *realm, const struct mint_request *request, struct minted *out,
                     struct sg_err *err);

/* The id under which a verified token of ours is revoked: its session's or, of a client's token for
 * itself, its jti. Its row is in the bucket claims->bkt. False: it has none. */
bool mint_token_id(const struct segue_claims *claims, uint8_t id[SG_SID_BYTES]);
/* Whether the token speaks for its client alone. */
bool mint_is_client(const struct segue_claims *claims);

/* As mint; but what was minted for the session a moment ago and says the same is given once more,
 * so that a client that keeps no cookie costs no signature each time (rule 5). */
SG_MUST_USE int mint_again(struct sg_realm *realm, const struct mint_request *request,
                           struct minted *out, struct sg_err *err);

/* How long a token may live: the configured lifetime, at most a third of the legacy idle time (rule
 * 7), never past the end of the session. */
int64_t mint_lifetime_ms(const struct sg_realm *realm, int64_t idle_ms, int64_t absolute_in_ms);

/* All that a client of the configuration may have, appended; nothing for one that is not there. */
void mint_scope_of(const struct sg_realm_config *config, const char *client_id, struct sg_buf *out);

/* Verifies a token of this realm, for any of its audiences. */
enum segue_status mint_verify(struct sg_realm *realm, struct sg_slice token,
                              struct segue_verify_buf *buf, struct segue_claims *claims);

#endif
