/* SPDX-License-Identifier: MIT */
#ifndef SG_IDENTITY_SOURCES_H
#define SG_IDENTITY_SOURCES_H

#include "identity/identity.h"

/* Private to identity/: every kind of source, one line each here and in identity.c. */
extern const struct sg_identity_source_type sg_identity_sql;  /* source_sql.c: a PostgreSQL query */
extern const struct sg_identity_source_type sg_identity_http; /* source_http.c: a JSON endpoint */

#endif
