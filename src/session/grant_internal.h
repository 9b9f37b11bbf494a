/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_GRANT_INTERNAL_H
#define SG_SESSION_GRANT_INTERNAL_H

/* What the files of a grant share: exchange.c and renewal.c find out what the session is, grant.c
 * has the steps that both end with. The flow ends in exactly one grant_finish, which frees it. */
#include "session/grant.h"

void grant_finish(struct grant *g, enum grant_outcome outcome, const char *why);
/* A store failed: GRANT_UNAVAILABLE; a bucket that has moved has the map read again. */
void grant_unavailable(struct grant *g, const struct sg_err *err);
uint64_t grant_deadline(const struct grant *g);
const struct sg_phase_rules *grant_rules(const struct grant *g);

/* The steps, by their numbers in docs/flows.md. */
void grant_step_identity(struct grant *g); /* 2: goes on with 3, in a renewal with 4 */
void exchange_step_ref(struct grant *g);   /* 3: goes on with 4 */
void grant_step_session(struct grant *g);  /* 4: goes on with 5, 6 and 7, or ends without a token */
void exchange_step_reread(struct grant *g); /* 6: goes on with 7 */
void grant_step_mint(struct grant *g);      /* 7 */

/* Says whose the key is in the legacy store; gives the generation (g->ref). */
void grant_put_ref(struct grant *g, const char *subject, sg_store_done done);

/* ---- ending what the source says has ended; finishes with GRANT_NOBODY ---- */

void grant_end_absent(struct grant *g);
/* Its subject logged out everywhere while it was on the way: its legacy record goes too. */
void grant_end_behind_logout(struct grant *g);
/* The record is somebody else's now, or nobody's. Its key stays good: a tombstone would lock out
 * whoever logs in on it next. The reference is moved first, so that a next login of the same
 * subject is a new generation. */
void grant_end_displaced(struct grant *g);

#endif
