/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_HTML_H
#define SG_MODEL_HTML_H

#include "model/drift.h"
#include "model/mapping.h"
#include "model/profile.h"

/* The analysis as one HTML page that needs nothing else: no script, no network, plots as inline
 * SVG, light or dark as the reader has it. Shows names, counts and the few short words of which a
 * field consists, no other value. All of it is escaped. */
struct sg_html_report {
    const char *title;
    const char *when; /* "2026-11-22 18:00 UTC" */
    const struct sg_profile *const *profiles;
    int n;
    const struct sg_mapping *mapping;
    const struct sg_drift *drift; /* NULL: nothing to compare with */
};

void sg_html_write(const struct sg_html_report *r, struct sg_buf *out);

/* Appends text with < > & " ' as entities and control characters as U+FFFD. */
void sg_html_text(struct sg_buf *out, struct sg_slice text);

#endif
