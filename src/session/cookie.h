/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_COOKIE_H
#define SG_SESSION_COOKIE_H

#include "base/buf.h"
#include "config/config.h"

/* Browsers drop a cookie whose name and value are longer than this together, without a word (RFC
 * 6265bis section 5.7). */
#define SG_COOKIE_BYTES 4096

/* How long the value of the realm's JWT cookie may be. */
size_t sg_cookie_room(const struct sg_realm_config *config);

/* Set-Cookie values of the realm's JWT cookie; its scope follows the legacy cookie's (rule 5). The
 * cookie outlives its token: an expired JWT with a good signature and a live session is renewed. */
void sg_cookie_set(const struct sg_realm_config *config, const char *token, struct sg_buf *out);
void sg_cookie_remove(const struct sg_realm_config *config, struct sg_buf *out);
/* Of the legacy cookie, for a session that Segue created. */
void sg_cookie_set_legacy(const struct sg_realm_config *config, const char *credential,
                          struct sg_buf *out);

#endif
