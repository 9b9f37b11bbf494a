/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_CREDENTIALS_H
#define SG_SESSION_CREDENTIALS_H

#include "base/buf.h"
#include "base/slice.h"

/* Pure parsing of what a client shows (RFC 6265 section 4.2, RFC 6750 section 2.1). */

/* The first cookie of that name in a Cookie header; ptr NULL where there is none. Surrounding
 * quotes are taken off. */
struct sg_slice sg_cookie_find(struct sg_slice header, const char *name);

/* The header without any cookie of the two names, appended to out (which may stay empty). name2 may
 * be NULL. */
void sg_cookie_without(struct sg_buf *out, struct sg_slice header, const char *name1,
                       const char *name2);

/* The token of "Bearer TOKEN" (any case of the scheme, one or more spaces); ptr NULL for anything
 * else. */
struct sg_slice sg_bearer_token(struct sg_slice authorization);

/* Whether the text has the outer form of a compact JWT: three non-empty segments of base64url. */
bool sg_looks_like_jwt(struct sg_slice text);

/* One string member of a JWT's header or payload, unescaped and appended to out. Nothing about the
 * token is verified. False, and nothing appended, where there is none or the segment cannot be
 * read. */
enum sg_jwt_segment { SG_JWT_HEADER, SG_JWT_PAYLOAD };
bool sg_jwt_peek(struct sg_slice token, enum sg_jwt_segment segment, const char *member,
                 struct sg_buf *out);

#endif
