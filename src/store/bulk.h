/* SPDX-License-Identifier: MIT */
#ifndef SG_STORE_BULK_H
#define SG_STORE_BULK_H

#include "base/buf.h"
#include "store/store.h"

#include <stdatomic.h>

/* Fills the sessions of shards that hold none yet: COPY into tables without indexes, which are
 * built afterwards. On each shard all of it is two transactions, one for the references (with the
 * rejects and the ledger row) and one for the sessions (with their subjects), committed at the very
 * end, references first: a kill before leaves nothing, and one in between leaves what an ordinary
 * transfer completes. The tables are locked meanwhile, so nobody may be serving yet. Blocks: for
 * threads. */
struct sg_bulk;

#define SG_BULK_REJECT_BYTES_MAX (16 << 20) /* of rejects on one shard */

struct sg_bulk_options {
    const char *const *conninfos; /* one a shard */
    int n_shards;
    const char *control; /* the control database */
    const char *realm;
    int64_t job;             /* in the rejects and the ledger */
    const atomic_bool *stop; /* may be NULL; once true what blocks fails with SG_E_CANCELLED */
};

/* Connects, locks, and takes the indexes off. SG_E_CONFLICT: a shard holds sessions, references or
 * rejects already, somebody works on them, or an instance served within the last 10 s; one that
 * begins to fails what comes then, too. */
SG_MUST_USE int sg_bulk_open(const struct sg_bulk_options *options, struct sg_bulk **out,
                             struct sg_err *err);
/* Gives everything up unless it was finished. NULL does nothing. */
void sg_bulk_close(struct sg_bulk *bulk);

enum sg_bulk_table { SG_BULK_REFS, SG_BULK_SESSIONS, SG_BULK_REJECTS };

/* Rows as sg_bulk_add_… wrote them, for one shard. Any thread; blocks while the shard is busy. */
SG_MUST_USE int sg_bulk_put(struct sg_bulk *bulk, int shard, enum sg_bulk_table table,
                            struct sg_slice rows, struct sg_err *err);

/* Append one row for sg_bulk_put. Sessions: origin legacy; of the durations exp_source_in_ms
 * counts, from when the source was seen (seen_ms_ago), and exp_absolute_in_ms, from now. -1 with
 * SG_E_NOT_OWNER where the shard does not own the bucket (P7), or without memory. */
SG_MUST_USE int sg_bulk_add_ref(const struct sg_bulk *bulk, int shard, const struct sg_ref_row *row,
                                struct sg_buf *out, struct sg_err *err);
SG_MUST_USE int sg_bulk_add_session(const struct sg_bulk *bulk, int shard,
                                    const struct sg_session_row *row, struct sg_buf *out,
                                    struct sg_err *err);
SG_MUST_USE int sg_bulk_add_reject(const struct sg_bulk *bulk, int shard,
                                   const struct sg_reject_row *row, struct sg_buf *out,
                                   struct sg_err *err);

/* What the ledger row of a shard tells: of the records whose key's digest belongs there. */
struct sg_bulk_counts {
    int64_t stored, rejected, anonymous;
};

/* Builds the indexes and commits. counts: one a shard. */
SG_MUST_USE int sg_bulk_finish(struct sg_bulk *bulk, const struct sg_bulk_counts *counts,
                               struct sg_err *err);

#endif
