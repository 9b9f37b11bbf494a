/* SPDX-License-Identifier: MIT */
#ifndef SG_SERVER_CLIENT_AUTH_H
#define SG_SERVER_CLIENT_AUTH_H

#include "config/config.h"
#include "server/form.h"

/* Client authentication (RFC 6749 section 2.3): HTTP Basic, or client_id and client_secret in the
 * form (which may be NULL where there is none), or client_id alone for a public client. NULL:
 * unknown client, wrong secret, another scheme. A confidential client must show its secret, and a
 * public one has none to show. */
const struct sg_client_config *client_authenticate(const struct sg_realm_config *realm,
                                                   struct sg_slice authorization,
                                                   const struct sg_form *form);

/* What makes a request malformed before anybody is authenticated: two methods at once, or two
 * clients (section 2.3). NULL: nothing. Static. */
const char *client_conflict(struct sg_slice authorization, const struct sg_form *form);

#endif
