/* SPDX-License-Identifier: MIT */
#ifndef SG_BASE_LOG_H
#define SG_BASE_LOG_H

#include "base/err.h"

/* One line of JSON a message on stderr: {"at":…,"level":…,"msg":…,"request":…,…}. Only commands and
 * the server log; a library layer returns an error instead. Values are escaped; nothing secret is
 * ever passed in (P9). */
enum sg_level { SG_DEBUG, SG_INFO, SG_WARN, SG_ERROR };

void sg_log_level(enum sg_level least);

/* fields: pairs of name, value (C strings), ended by NULL; may be absent. A NULL value is left out.
 */
void sg_log(enum sg_level level, const char *msg,
            ... /* const char *name, const char *value, …, NULL */) __attribute__((sentinel));

/* Logs an error with its code, place and text. request may be NULL. */
void sg_log_err(enum sg_level level, const char *msg, const char *request,
                const struct sg_err *err);

#endif
