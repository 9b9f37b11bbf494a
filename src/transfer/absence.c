/* SPDX-License-Identifier: MIT */
#include "transfer/absence.h"

#include <stddef.h>
#include <string.h>

/* Between the store's answer and the row's timestamp by another clock. */
#define CLOCK_MARGIN_MS 1000

const char *
sg_stream_broken(const struct sg_stream *was, const struct sg_stream *is)
{
    if (strcmp(was->run_id, is->run_id) != 0)
        return "the legacy store was restarted or replaced";
    if (is->sentinel[0] == '\0')
        return "the sentinel is missing from the legacy store";
    if (strcmp(was->sentinel, is->sentinel) != 0)
        return "the sentinel in the legacy store is another one";
    if (was->evicted != is->evicted)
        return "the legacy store evicted keys";
    if (was->flushes != is->flushes)
        return "the legacy store was flushed";
    return NULL;
}

bool
sg_stream_kept(const struct sg_stream *was, const struct sg_stream *is)
{
    bool same_process = strcmp(was->run_id, is->run_id) == 0;

    if (was->sentinel[0] == '\0' || strcmp(was->sentinel, is->sentinel) != 0)
        return false;
    /* A process counts from 0. */
    if (same_process ? was->evicted != is->evicted || was->flushes != is->flushes
                     : is->evicted != 0 || is->flushes != 0)
        return false;
    return is->beat >= was->beat;
}

static bool
may_be_lost(const struct sg_absence *a)
{
    return a->lossy_from_ms >= 0 && a->unseen_for_ms <= a->lossy_from_ms + CLOCK_MARGIN_MS &&
           a->unseen_for_ms >= a->lossy_to_ms - CLOCK_MARGIN_MS;
}

/* Its time ran out while nobody looked: whether it was there until then, nobody knows. A touch of
 * the last eighth of its life may not be known here (rule 14). */
static bool
ran_out_unwatched(const struct sg_absence *a)
{
    int64_t ago = -a->source_expires_in_ms;

    return a->unwatched_from_ms >= 0 &&
           ago <= a->unwatched_from_ms + a->idle_ms / 8 + CLOCK_MARGIN_MS &&
           ago >= a->unwatched_to_ms - CLOCK_MARGIN_MS;
}

enum sg_absence_verdict
sg_absence_judge(const struct sg_absence *a)
{
    if (a->found)
        return SG_ABSENCE_NONE;
    if (a->expires_in_ms <= 0)
        return SG_ABSENCE_EXPIRED;
    if (a->held)
        return SG_ABSENCE_HELD;
    if (a->source_expires_in_ms != INT64_MIN && a->source_expires_in_ms <= 0)
        return ran_out_unwatched(a) ? SG_ABSENCE_UNPROVEN : SG_ABSENCE_EXPIRED;
    if (a->proven || (a->kept && !may_be_lost(a)))
        return SG_ABSENCE_DELETED;
    return SG_ABSENCE_UNPROVEN;
}

int64_t
sg_absence_bound(int64_t live_sessions)
{
    int64_t share = live_sessions / 200;

    return share > 50 ? share : 50;
}
