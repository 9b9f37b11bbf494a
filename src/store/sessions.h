/* SPDX-License-Identifier: MIT */
#ifndef SG_STORE_SESSIONS_H
#define SG_STORE_SESSIONS_H

#include "store/op.h"

/* What put_sessions and put_chunk share. The columns of a batch of sessions are 0..16; the
 * batch's statements are fence, subjects, sessions, subjects read, from 0 on. */
enum sg_use sg_session_entry(const struct sg_session_row *row, struct sg_entry *entry,
                             struct sg_err *err);
void sg_sessions_build(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns,
                       const struct sg_session_row *rows);
void sg_sessions_take(struct sg_part *part, struct sg_session_row *rows);

#endif
