/* SPDX-License-Identifier: MIT */
#include "model/html_plot.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>

#define BAR_WIDTH 150
#define PLOT_WIDTH 340
#define PLOT_HEIGHT 90
#define BOX_WIDTH 230
#define BOX_GAP 26
#define LINE 17

void
sg_short_number(uint64_t n, char out[32])
{
    if (n >= 10000000)
        snprintf(out, 32, "%" PRIu64 " M", n / 1000000);
    else if (n >= 1000000)
        snprintf(out, 32, "%.1f M", (double)n / 1e6);
    else if (n >= 10000)
        snprintf(out, 32, "%" PRIu64 ",%03d", n / 1000, (int)(n % 1000));
    else
        snprintf(out, 32, "%" PRIu64, n);
}

/* ---- type shares ---- */

static void
segment(struct sg_buf *out, double *x, uint64_t part, uint64_t of, const char *name)
{
    double width = of > 0 ? (double)part * BAR_WIDTH / (double)of : 0;

    if (part == 0)
        return;
    if (width < 2)
        width = 2; /* what is rare is what one looks for */
    if (*x + width > BAR_WIDTH)
        *x = BAR_WIDTH - width;
    sg_buf_printf(out,
                  "<rect x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"14\" class=\"t-%s\"><title>%s "
                  "%.2f %%</title></rect>",
                  *x, width, name, name, 100.0 * (double)part / (double)of);
    *x += width;
}

void
sg_plot_types(struct sg_buf *out, const struct sg_profile *p, const struct sg_field *f)
{
    uint64_t possible = sg_field_possible(p, f);
    double x = 0;
    int i;

    sg_buf_printf(out,
                  "<svg class=\"bar\" width=\"%d\" height=\"14\" role=\"img\" "
                  "aria-label=\"types\">",
                  BAR_WIDTH);
    for (i = 1; i <= SG_DOC_OTHER; i++)
        segment(out, &x, f->types[i], possible, sg_doc_type_name((enum sg_doc_type)i));
    segment(out, &x, f->types[SG_DOC_NULL], possible, "null");
    segment(out, &x, possible > f->n ? possible - f->n : 0, possible, "missing");
    sg_buf_puts(out, "</svg>");
}

/* ---- histograms ---- */

static void
bin_label(int bin, bool seconds, char out[32])
{
    uint64_t v = bin > 0 ? UINT64_C(1) << (bin - 1) : 0;

    if (!seconds && v >= 1 << 20)
        snprintf(out, 32, "%" PRIu64 " MiB", v >> 20);
    else if (!seconds && v >= 1024)
        snprintf(out, 32, "%" PRIu64 " KiB", v >> 10);
    else if (!seconds)
        snprintf(out, 32, "%" PRIu64 " B", v);
    else if (v >= 86400 * 2)
        snprintf(out, 32, "%" PRIu64 " d", v / 86400);
    else if (v >= 7200)
        snprintf(out, 32, "%" PRIu64 " h", v / 3600);
    else if (v >= 120)
        snprintf(out, 32, "%" PRIu64 " min", v / 60);
    else
        snprintf(out, 32, "%" PRIu64 " s", v);
}

void
sg_plot_histogram(struct sg_buf *out, const char *title, const uint64_t *bins, bool seconds)
{
    int i, first = 0, last = SG_PROFILE_BINS - 1, n;
    char label[32], number[32];
    uint64_t most = 1;
    double width;

    while (first < last && bins[first] == 0)
        first++;
    while (last > first && bins[last] == 0)
        last--;
    n = last - first + 1;
    width = (double)PLOT_WIDTH / (n < 6 ? 6 : n);
    for (i = first; i <= last; i++)
        if (bins[i] > most)
            most = bins[i];
    sg_short_number(most, number);
    sg_buf_printf(out,
                  "<figure><figcaption>%s</figcaption><svg width=\"%d\" height=\"%d\" role=\"img\" "
                  "aria-label=\"%s\"><text x=\"0\" y=\"9\" class=\"tick\">%s</text>",
                  title, PLOT_WIDTH, PLOT_HEIGHT + 34, title, number);
    for (i = first; i <= last; i++) {
        double height = (double)bins[i] * PLOT_HEIGHT / (double)most;

        if (bins[i] > 0 && height < 1.5)
            height = 1.5;
        bin_label(i, seconds, label);
        sg_buf_printf(out,
                      "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\" "
                      "class=\"column\"><title>from %s: %" PRIu64 "</title></rect>",
                      (i - first) * width + 1, 14 + PLOT_HEIGHT - height, width - 2, height, label,
                      bins[i]);
        if ((i - first) % (n > 12 ? 4 : n > 6 ? 2 : 1) == 0)
            sg_buf_printf(out, "<text x=\"%.1f\" y=\"%d\" class=\"tick\">%s</text>",
                          (i - first) * width + 1, PLOT_HEIGHT + 28, label);
    }
    sg_buf_printf(out,
                  "<line x1=\"0\" y1=\"%d\" x2=\"%d\" y2=\"%d\" class=\"axis\"/></svg></figure>",
                  14 + PLOT_HEIGHT, PLOT_WIDTH, 14 + PLOT_HEIGHT);
}

/* ---- relations ---- */

struct box {
    int table, x, y, height;
};

static int
children_of(const struct sg_mapping *m, int root)
{
    int i, n = 0;

    for (i = root + 1; i < m->n_tables && m->tables[i].root == root; i++)
        n++;
    return n;
}

static bool
is_target(const struct sg_mapping *m, int table)
{
    int i, k;

    for (i = 0; i < m->n_tables; i++)
        for (k = 0; k < m->tables[i].n_columns; k++)
            if (m->tables[i].columns[k].references == table)
                return true;
    return false;
}

static void
put_line(struct sg_buf *out, const struct box *b, int line, const char *class, const char *text,
         const char *note)
{
    sg_buf_printf(out, "<text x=\"%d\" y=\"%d\" class=\"%s\">", b->x + 12, b->y + 21 + line * LINE,
                  class);
    sg_html_text(out, sg_str(text));
    if (note != NULL) {
        sg_buf_puts(out, "<tspan class=\"note\"> ");
        sg_html_text(out, sg_str(note));
        sg_buf_puts(out, "</tspan>");
    }
    sg_buf_puts(out, "</text>");
}

static void
put_box(struct sg_buf *out, const struct sg_mapping *m, const struct box *b)
{
    const struct sg_model_table *t = &m->tables[b->table];
    const char *key = t->columns[t->key[0]].name, *shard = t->columns[t->shard_key].name;
    int i, line = 2;

    sg_buf_printf(out,
                  "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"8\" class=\"box\"/>",
                  b->x, b->y, BOX_WIDTH, b->height);
    put_line(out, b, 0, "table", t->name, NULL);
    put_line(out, b, 1, "key", key, strcmp(key, shard) == 0 ? "key, shard key" : "key");
    if (strcmp(key, shard) != 0)
        put_line(out, b, line++, "key", shard, "shard key");
    for (i = b->table + 1; i < m->n_tables && m->tables[i].root == b->table; i++)
        put_line(out, b, line++, "child", m->tables[i].name,
                 m->tables[i].kind == SG_MODEL_ARRAY ? "[ ]" : "{ }");
}

static void
put_edges(struct sg_buf *out, const struct sg_mapping *m, const struct box *boxes, int n)
{
    int i, k, c;

    for (i = 0; i < n; i++) {
        const struct sg_model_table *t = &m->tables[boxes[i].table];

        for (c = 0; c < t->n_columns; c++)
            for (k = 0; k < n; k++) {
                const struct box *from = &boxes[i], *to = &boxes[k];
                int y1 = from->y + 16 + 2 * LINE, y2 = to->y + 16 + LINE;

                if (t->columns[c].references != to->table)
                    continue;
                sg_buf_printf(out,
                              "<path d=\"M%d %d C%d %d %d %d %d %d\" class=\"edge\" "
                              "marker-end=\"url(#a)\"/>",
                              from->x, y1, from->x - 70, y1, to->x + BOX_WIDTH + 70, y2,
                              to->x + BOX_WIDTH + 4, y2);
            }
    }
}

/* Whom others refer to at the left, the others at the right, so that edges run one way. */
void
sg_plot_relations(struct sg_buf *out, const struct sg_mapping *m)
{
    struct box boxes[SG_MODEL_TABLES_MAX];
    int i, n = 0, left = 4, right = 4;

    for (i = 0; i < m->n_tables; i++) {
        const struct sg_model_table *t = &m->tables[i];
        struct box *b = &boxes[n];
        bool target;

        if (t->kind != SG_MODEL_ROOT)
            continue;
        target = is_target(m, i);
        *b = (struct box){.table = i,
                          .x = target ? 4 : BOX_WIDTH + 190,
                          .y = target ? left : right,
                          .height =
                              18 + LINE * (2 + (t->shard_key != t->key[0]) + children_of(m, i))};
        *(target ? &left : &right) += b->height + BOX_GAP;
        n++;
    }
    sg_buf_printf(out,
                  "<svg class=\"relations\" width=\"%d\" height=\"%d\" role=\"img\" "
                  "aria-label=\"tables and foreign keys\"><defs><marker id=\"a\" "
                  "viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" "
                  "orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" class=\"tip\"/></marker></defs>",
                  2 * BOX_WIDTH + 196, (left > right ? left : right) - BOX_GAP + 8);
    put_edges(out, m, boxes, n);
    for (i = 0; i < n; i++)
        put_box(out, m, &boxes[i]);
    sg_buf_puts(out, "</svg>");
}
