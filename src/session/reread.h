/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_REREAD_H
#define SG_SESSION_REREAD_H

#include "session/engine_internal.h"

/* The queue behind sg_subjects_reread, one a realm. */
SG_MUST_USE int reread_new(struct sg_realm *realm, struct reread **out, struct sg_err *err);
void reread_free(struct reread *reread); /* nothing may be under way */
/* Starts what is due; called with each tick. */
void reread_pump(struct reread *reread);

#endif
