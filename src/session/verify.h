/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_VERIFY_H
#define SG_SESSION_VERIFY_H

#include "base/buf.h"
#include "identity/identity.h"
#include "session/engine.h"

/* Who is this request? (docs/api.md, GET /verify) */
struct sg_verify_in {
    struct sg_realm *realm;
    struct sg_slice cookie, authorization; /* as the client sent them; copied */
    const char *audience;  /* one of the realm's; lives as long as the configuration */
    bool only_audience;    /* a bearer token must be for it; else any of the realm's will do */
    const char *client_id; /* of tokens minted here; likewise */
    struct sg_slice scope; /* what the request needs (base/words.h); copied. Not empty: required */
    bool required;         /* nobody known is 401 */
    bool only_asking;      /* nothing is sent upstream: no token is made, no cookie put in */
    bool unsafe_method;    /* not GET, HEAD, OPTIONS, TRACE */
    bool same_site;        /* a matching Origin or Sec-Fetch-Site was shown */
    bool may_hand_over;    /* a page or API request: a JWT cookie may be set */
};

/* CLIENT: a client's token for itself; there is no subject then. */
enum sg_credential {
    SG_CRED_NONE,
    SG_CRED_LEGACY,
    SG_CRED_JWT,
    SG_CRED_BOTH,
    SG_CRED_CLIENT,
};

/* Good during done only. */
struct sg_verify_out {
    int status;      /* 200, 401, 403, 431, 503 */
    const char *why; /* static; for logs and the WWW-Authenticate description */
    bool bad_token;  /* 401: a bearer token was shown and is no good */
    bool bad_scope;  /* 403: it is good, and not for this */
    enum sg_credential credential;
    const struct segue_claims *claims; /* of the JWT that was accepted; or NULL */
    struct sg_slice client;            /* CLIENT: its id */
    const struct sg_names *role_names, *permission_names; /* 200 only */
    /* The same as header values: percent-encoded, joined by ','. */
    struct sg_slice subject, roles, permissions, session, jwt;
    struct sg_slice cookie, authorization; /* to send upstream */
    struct sg_slice set_cookie;            /* whole header value, or empty */
};

typedef void (*sg_verify_done)(void *ctx, const struct sg_verify_out *out);

/* Calls done once: before it returns when nothing has to be asked, else from a later turn of the
 * loop. */
void sg_verify(struct sg_engine *engine, const struct sg_verify_in *in, sg_verify_done done,
               void *ctx);

#endif
