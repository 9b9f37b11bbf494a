/* SPDX-License-Identifier: MIT */
#ifndef SG_JWT_STATUS_H
#define SG_JWT_STATUS_H

#include "base/err.h"
#include "segue/segue.h"

/* Fills *err (may be NULL) and returns status, so that `return sg_jwt_fail(...)` reads well. */
enum segue_status sg_jwt_fail(struct segue_error *err, enum segue_status status, const char *fmt,
                              ...) SG_PRINTF(3, 4);

#endif
