/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_ANALYZE_REPORT_H
#define SEGUE_ANALYZE_REPORT_H

#include "model/drift.h"
#include "model/mapping.h"
#include "model/profile.h"

/* What `segue analyze collections` found, on stdout. */
struct analyze_report {
    const struct sg_profile *const *profiles;
    int n;
    bool sample;
    const struct sg_mapping *mapping;
    const struct sg_drift *drift; /* NULL: nothing to compare with */
};

void analyze_print_text(const struct analyze_report *r);
void analyze_print_json(const struct analyze_report *r);

#endif
