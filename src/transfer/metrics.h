/* SPDX-License-Identifier: MIT */
#ifndef SG_TRANSFER_METRICS_H
#define SG_TRANSFER_METRICS_H

#include "base/buf.h"
#include "transfer/transfer.h"

/* The counters in Prometheus' text format, appended to out. */
void sg_transfer_metrics(const struct sg_transfer_stats *stats, const char *realm,
                         struct sg_buf *out);

#endif
