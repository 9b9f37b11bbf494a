/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_ABSENCE_H
#define SG_TRANSFER_ABSENCE_H

#include <stdbool.h>
#include <stdint.h>

/* What an absence in the legacy store means (rule 1). Pure: every decision stands here, and nowhere
 * else. */

/* The legacy store as a heartbeat finds it, or as it was when it was last judged. */
struct sg_stream {
    char run_id[48];
    char sentinel[64]; /* "" = missing */
    int64_t evicted, flushes;
    int64_t beat; /* was: the last acknowledged; is: the one found; 0 = none */
};

/* Why absences are not proven between the two; NULL when they are. Static storage. */
const char *sg_stream_broken(const struct sg_stream *was, const struct sg_stream *is);

/* Whether the store still holds everything that it had acknowledged by beat was->beat, although
 * nobody followed it in between, and lost records by deletion or expiry only. After a restart this
 * is so when that very beat is found again: a store that persists its writes in order, and so has
 * kept the beat, has kept all before it. */
bool sg_stream_kept(const struct sg_stream *was, const struct sg_stream *is);

struct sg_absence {
    bool found;            /* it is there after all */
    bool held;             /* it was held before: the operator's, unless it is found again */
    int64_t expires_in_ms; /* by what Segue knows */
    int64_t unseen_for_ms; /* since the source was last known to hold it */
    bool proven;           /* continuity was proven from before the scan until after this read */
    bool kept;             /* sg_stream_kept since the last time it was proven */
    /* Where a restart lay between: what was written between the beat that was found again and the
     * restart may be lost. Ages of both ends; from -1 = there was none. */
    int64_t lossy_from_ms, lossy_to_ms;
    int64_t source_expires_in_ms, idle_ms; /* by the source's own word; INT64_MIN = none */
    /* When nobody followed the store, before this scan. Ages of both ends; from -1 = it was
     * followed all along. */
    int64_t unwatched_from_ms, unwatched_to_ms;
};

enum sg_absence_verdict {
    SG_ABSENCE_NONE,     /* it is there */
    SG_ABSENCE_EXPIRED,  /* its life was over, at least in the source: nothing to do */
    SG_ABSENCE_DELETED,  /* end it */
    SG_ABSENCE_UNPROVEN, /* hold it */
    SG_ABSENCE_HELD,     /* leave it held */
};
enum sg_absence_verdict sg_absence_judge(const struct sg_absence *absence);

/* More proven deletions than this at once are held for the operator: max(50, 0.5 %) of the live
 * sessions. */
int64_t sg_absence_bound(int64_t live_sessions);

#endif
