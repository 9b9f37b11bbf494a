/* SPDX-License-Identifier: MIT */
#ifndef SG_SERVER_OAUTH_H
#define SG_SERVER_OAUTH_H

#include "server/client_auth.h"
#include "server/server_internal.h"
#include "session/tokens.h"

/* What the form endpoints (token, introspection, revocation) have in common. */

#define OAUTH_GRANT_EXCHANGE "urn:ietf:params:oauth:grant-type:token-exchange"

/* Reads the form and authenticates the client; NULL: it has answered. The form is to be cleared in
 * either case. */
const struct sg_client_config *oauth_open(struct exchange *x, struct sg_form *form);

/* 401 with the challenge of the one scheme there is (RFC 6749 section 5.2). */
void oauth_refuse_client(struct exchange *x, const char *why);

/* What came of it, unless it is SG_TOKEN_OK. */
void oauth_answer_failure(struct exchange *x, const struct sg_token_out *out);

void oauth_no_store(struct exchange *x);

#endif
