/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_HTML_PLOT_H
#define SG_MODEL_HTML_PLOT_H

#include "model/html.h"

/* Within model/: the report's plots, each one inline SVG. */

/* The shares of a field's types, null and missing as one stacked bar. */
void sg_plot_types(struct sg_buf *out, const struct sg_profile *p, const struct sg_field *f);
/* Bins of powers of two; seconds: labels are durations, else bytes. */
void sg_plot_histogram(struct sg_buf *out, const char *title, const uint64_t *bins, bool seconds);
/* The tables, their children, and the foreign keys between them. */
void sg_plot_relations(struct sg_buf *out, const struct sg_mapping *m);

/* "1.2 M", "340" */
void sg_short_number(uint64_t n, char out[32]);

#endif
