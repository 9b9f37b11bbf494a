/* SPDX-License-Identifier: MIT */
#include "transfer/metrics.h"

#include <inttypes.h>

struct metric {
    const char *name, *type, *help;
    int64_t value;
};

void
sg_transfer_metrics(const struct sg_transfer_stats *s, const char *realm, struct sg_buf *out)
{
    const struct metric metrics[] = {
        {"scan_records_read", "gauge", "Records the last or running scan read.", s->scan.read},
        {"scan_records_stored", "gauge", "Of these, stored.", s->scan.stored},
        {"scan_records_anonymous", "gauge", "Of the stored, without a subject.", s->scan.anonymous},
        {"scan_records_rejected", "gauge", "Put into the reject table.", s->scan.rejected},
        {"changes_total", "counter", "Changes of the legacy store that were seen.",
         s->follow.changes},
        {"changes_stored_total", "counter", "Records stored because of a change.",
         s->follow.stored},
        {"changes_spared_total", "counter", "Touches too small to store.", s->follow.spared},
        {"sessions_ended_total", "counter", "Sessions that the app ended.", s->follow.ended},
        {"ended_again_total", "counter", "Ended records that an app had written back.",
         s->follow.refused},
        {"queued_keys", "gauge", "Changed keys not dealt with.", s->queued},
        {"lag_ms", "gauge", "Age of the last heartbeat on the shard furthest behind; -1 = none.",
         s->lag_ms},
        {"outbox_rows", "gauge", "Changes waiting for the legacy store.", s->drain.waiting},
        {"mirror_ended_total", "counter", "Legacy records ended.", s->drain.ended},
        {"mirror_touched_total", "counter", "Legacy records renewed.", s->drain.touched},
        {"mirror_created_total", "counter", "Legacy records created.", s->drain.created},
        {"subjects_total", "counter", "Identities stored.", s->subjects},
        {"continuity", "gauge", "1 = absences in the legacy store are proven.", s->proven},
        {"continuity_breaks_total", "counter", "How often continuity broke.", s->breaks},
        {"reconciled_total", "counter", "Reconciling passes done.", s->reconciled},
        {"absent_ended_total", "counter", "Sessions ended because proven absent.", s->ended_absent},
        {"absent_held_total", "counter", "Sessions held for the operator.", s->held_absent},
    };
    size_t i;

    for (i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
        sg_buf_printf(out,
                      "# HELP segue_transfer_%s %s\n# TYPE segue_transfer_%s %s\n"
                      "segue_transfer_%s{realm=\"%s\"} %" PRId64 "\n",
                      metrics[i].name, metrics[i].help, metrics[i].name, metrics[i].type,
                      metrics[i].name, realm, metrics[i].value);
}
