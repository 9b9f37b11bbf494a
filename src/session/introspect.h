/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_INTROSPECT_H
#define SG_SESSION_INTROSPECT_H

#include "session/engine.h"

enum sg_refresh_status {
    SG_REFRESH_ACTIVE,
    SG_REFRESH_INACTIVE, /* unknown, used, ended, expired, its session over, or another client's */
    SG_REFRESH_UNKNOWABLE, /* a store is down */
};

/* Good during done only. */
struct sg_refresh_about {
    enum sg_refresh_status status;
    const char *audience, *scope; /* base/words.h */
    const char *subject, *session;
    int64_t issued_sec, expires_sec;
};
typedef void (*sg_refresh_done)(void *ctx, const struct sg_refresh_about *about);

/* What a refresh token is, to the client it was issued to, without using it. False: the text is not
 * one, and done will not be called. */
bool sg_refresh_introspect(struct sg_realm *realm, struct sg_slice token, const char *client_id,
                           sg_refresh_done done, void *ctx);

#endif
