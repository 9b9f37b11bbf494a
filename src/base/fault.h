/* SPDX-License-Identifier: MIT */
#ifndef SG_BASE_FAULT_H
#define SG_BASE_FAULT_H

#include <stdbool.h>

/* Named points between the steps of each protocol. In builds with -Dfaults=true the environment
 * variable SEGUE_FAULTS ("exchange.after_ref=kill,transfer.after_commit=delay:200,…", kill on the
 * Nth pass with "kill@N") chooses what happens there: kill = SIGKILL to this process, delay:MS = a
 * blocking sleep, fail = sg_fault() returns true and the caller fails its step. In other builds the
 * points vanish. */
#ifdef SG_FAULTS
bool sg_fault(const char *point);
#else
static inline bool
sg_fault(const char *point)
{
    return false;
}
#endif

#endif
