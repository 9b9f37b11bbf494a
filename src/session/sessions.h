/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_SESSIONS_H
#define SG_SESSION_SESSIONS_H

#include "session/engine.h"
#include "store/subject_sessions.h"

/* What a subject may know and do about its own sessions. Each calls done once, from a later turn of
 * the loop or before it returns. */
enum sg_sessions_status {
    SG_SESSIONS_OK,
    SG_SESSIONS_NOT_FOUND, /* no session of this subject */
    SG_SESSIONS_UNAVAILABLE,
};
typedef void (*sg_sessions_done)(void *ctx, enum sg_sessions_status status, const char *why);

/* Fills the page, which names subject and where to go on; realm and bucket are set here. It must
 * live until done. */
void sg_sessions_list(struct sg_realm *realm, struct sg_sessions_page *page, sg_sessions_done done,
                      void *ctx);

/* Ends one session on both sides, if it is the subject's. One that has ended is OK. */
void sg_sessions_end(struct sg_realm *realm, const char *subject, const uint8_t sid[SG_SID_BYTES],
                     sg_sessions_done done, void *ctx);

/* "Log out everywhere": raises the subject's epoch and ends every session on both sides. */
void sg_sessions_end_all(struct sg_realm *realm, const char *subject, sg_sessions_done done,
                         void *ctx);

#endif
