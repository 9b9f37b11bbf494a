/* SPDX-License-Identifier: MIT */
#include "model/html.h"

#include "base/buf.h"
#include "model/html_plot.h"

#include <inttypes.h>
#include <stdio.h>

static const char style[] =
    ":root{color-scheme:light "
    "dark;--bg:#fbfbfa;--fg:#22262b;--dim:#6b737c;--line:#dfe2e5;--card:#fff;"
    "--accent:#2563a8;--bad:#b3261e;--good:#2e7d4f}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#15181c;--fg:#e4e7ea;--dim:#959da6;--line:#"
    "30363d;"
    "--card:#1c2127;--accent:#6fa8e6;--bad:#f2857d;--good:#74c69d}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);"
    "font:15px/1.5 system-ui,sans-serif}\n"
    "main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}h1{font-size:26px;margin:0}"
    "h2{font-size:20px;margin:38px 0 10px;border-top:1px solid var(--line);padding-top:22px}"
    "h3{font-size:15px;margin:20px 0 6px}\n"
    ".dim,figcaption{color:var(--dim);font-size:13px}.cards{display:flex;flex-wrap:wrap;gap:10px;"
    "margin:16px 0}.card{background:var(--card);border:1px solid var(--line);border-radius:8px;"
    "padding:8px 14px;min-width:96px}.card b{display:block;font-size:20px;font-weight:600}"
    ".card span{color:var(--dim);font-size:12px}\n"
    ".scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:8px}"
    "table{border-collapse:collapse;width:100%;font-size:13px}th{text-align:left;font-weight:500;"
    "color:var(--dim)}td,th{padding:5px 10px;border-bottom:1px solid "
    "var(--line);vertical-align:top}"
    "tr:last-child td{border-bottom:0}code,.path{font:12.5px ui-monospace,monospace}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
    ".plots{display:flex;flex-wrap:wrap;gap:18px}figure{margin:0;background:var(--card);"
    "border:1px solid var(--line);border-radius:8px;padding:10px 14px}"
    ".tick{font-size:10px;fill:var(--dim)}.axis{stroke:var(--line)}.column{fill:var(--accent)}\n"
    ".bar{border-radius:3px;background:var(--line);display:block;margin-top:3px}"
    ".relations{max-width:100%;height:auto}.box{fill:var(--card);stroke:var(--line)}"
    ".relations text{fill:var(--fg);font-size:13px}.relations .table{font-weight:600}"
    ".relations .child,.relations .key{font-size:12px}.relations .child{fill:var(--dim)}"
    ".relations .note{fill:var(--dim);font-size:11px}.edge{fill:none;stroke:var(--accent);"
    "stroke-width:1.4}.tip{fill:var(--accent)}\n"
    ".t-string{fill:#4c8bc9}.t-int{fill:#3d9a6b}.t-double{fill:#7cc08f}.t-decimal{fill:#a5d6a0}"
    ".t-bool{fill:#c2a83e}.t-object{fill:#8b6fc0}.t-array{fill:#b08fd8}.t-time{fill:#d08743}"
    ".t-oid{fill:#2f6f9f}.t-bytes{fill:#8d7f6f}.t-other{fill:#666}.t-null{fill:#c9636b}"
    ".t-missing{fill:transparent}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:4px 14px;font-size:12px;color:var(--dim);margin:8px 0}"
    ".legend svg{width:11px;height:11px;vertical-align:-1px;margin-right:4px}"
    ".bad{color:var(--bad);font-weight:600}.good{color:var(--good)}"
    "details{margin:8px 0}summary{cursor:pointer;font-weight:600}\n";

/* ---- text ---- */

void
sg_html_text(struct sg_buf *out, struct sg_slice text)
{
    size_t i, from = 0;

    for (i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        const char *entity = c == '<'                ? "&lt;"
                             : c == '>'              ? "&gt;"
                             : c == '&'              ? "&amp;"
                             : c == '"'              ? "&quot;"
                             : c == '\''             ? "&#39;"
                             : c < 0x20 || c == 0x7f ? "\xef\xbf\xbd"
                                                     : NULL;

        if (entity == NULL)
            continue;
        sg_buf_add(out, sg_slice(text.ptr + from, i - from));
        sg_buf_puts(out, entity);
        from = i + 1;
    }
    sg_buf_add(out, sg_slice(text.ptr + from, text.len - from));
}

static void
put(struct sg_buf *out, const char *before, const char *text, const char *after)
{
    sg_buf_puts(out, before);
    sg_html_text(out, sg_str(text));
    sg_buf_puts(out, after);
}

static void
put_card(struct sg_buf *out, uint64_t n, const char *name)
{
    char number[32];

    sg_short_number(n, number);
    sg_buf_printf(out, "<div class=\"card\"><b>%s</b><span>%s</span></div>", number, name);
}

static void
put_bytes(struct sg_buf *out, uint64_t n, const char *name)
{
    sg_buf_puts(out, "<div class=\"card\"><b>");
    if (n >= 1 << 20)
        sg_buf_printf(out, "%.1f MiB", (double)n / (1 << 20));
    else if (n >= 10240)
        sg_buf_printf(out, "%.0f KiB", (double)n / 1024);
    else
        sg_buf_printf(out, "%" PRIu64 " B", n);
    sg_buf_printf(out, "</b><span>%s</span></div>", name);
}

/* ---- a field ---- */

static void
put_range(struct sg_buf *out, const struct sg_field *f)
{
    const char *sep = "";
    int i;

    if (f->types[SG_DOC_INT] > 0) {
        sg_buf_printf(out, "%" PRId64 " … %" PRId64, f->int_min, f->int_max);
        sep = "; ";
    }
    if (f->types[SG_DOC_DOUBLE] > f->not_finite) {
        sg_buf_printf(out, "%s%g … %g", sep, f->real_min, f->real_max);
        sep = "; ";
    }
    if (f->types[SG_DOC_STRING] > 0 && sg_field_is_enum(f)) {
        sg_buf_puts(out, sep);
        for (i = 0; i < f->n_values; i++) {
            put(out, i > 0 ? ", <code>" : "<code>", f->values[i].text, "</code>");
            if (i == 11 && f->n_values > 13) {
                sg_buf_printf(out, " and %d more", f->n_values - 12);
                break;
            }
        }
        sep = "; ";
    } else if (f->types[SG_DOC_STRING] + f->types[SG_DOC_BYTES] > 0) {
        sg_buf_printf(out, "%s%" PRIu64 " … %" PRIu64 " bytes", sep, f->len_min, f->len_max);
        sep = "; ";
    }
    if (f->types[SG_DOC_ARRAY] > 0 || f->is_map)
        sg_buf_printf(out, "%s%" PRIu64 " … %" PRIu64 " %s", sep, f->size_min, f->size_max,
                      f->is_map ? "members" : "elements");
    if (f->nul > 0)
        sg_buf_printf(out, " <span class=\"bad\">%" PRIu64 " with NUL</span>", f->nul);
    if (f->bad_utf8 > 0)
        sg_buf_printf(out, " <span class=\"bad\">%" PRIu64 " not UTF-8</span>", f->bad_utf8);
}

static void
put_formats(struct sg_buf *out, const struct sg_field *f)
{
    uint64_t n = f->types[SG_DOC_STRING];
    int i, shown = 0;

    for (i = 0; i < SG_FMT_OTHER && n > 0; i++)
        if (f->formats[i] > 0 && shown++ < 3) {
            sg_buf_printf(out, "%s%s", shown > 1 ? ", " : "", sg_format_name((enum sg_format)i));
            if (f->formats[i] < n)
                sg_buf_printf(out, " %.1f %%", 100.0 * (double)f->formats[i] / (double)n);
        }
}

static void
put_field(struct sg_buf *out, const struct sg_profile *p, const struct sg_field *f)
{
    uint64_t possible = sg_field_possible(p, f), scalars = sg_field_not_null(f);
    struct sg_buf path = SG_BUF_INIT(1 << 16);
    const struct sg_field *m;
    char number[32];

    if (f->parent != NULL) {
        sg_field_path(f, &path);
        sg_buf_puts(out, "<tr><td class=\"path\">");
        sg_html_text(out, sg_buf_slice(&path));
        sg_buf_free(&path);
        sg_buf_puts(out, "</td><td>");
        sg_plot_types(out, p, f);
        sg_buf_printf(out, "</td><td class=\"n\">%.1f %%</td><td class=\"n\">",
                      100.0 * (double)scalars / (double)(possible > 0 ? possible : 1));
        scalars -= f->types[SG_DOC_ARRAY] + f->types[SG_DOC_OBJECT] + f->types[SG_DOC_OTHER];
        sg_short_number(sg_distinct_estimate(&f->distinct), number);
        if (scalars > 0 || f->is_map)
            sg_buf_printf(out, "%s%s", f->distinct.level > 0 ? "≈ " : "", number);
        sg_buf_puts(out,
                    scalars > 1 && sg_distinct_repeated(&f->distinct) == 0 && !f->distinct.failed
                        ? " <span class=\"good\">unique</span></td><td>"
                        : "</td><td>");
        put_range(out, f);
        sg_buf_puts(out, "</td><td>");
        put_formats(out, f);
        sg_buf_puts(out, "</td></tr>\n");
    }
    for (m = f->first; m != NULL; m = m->next)
        put_field(out, p, m);
    if (f->each != NULL)
        put_field(out, p, f->each);
}

/* ---- tables ---- */

static void
put_table(struct sg_buf *out, const struct sg_mapping *m, const struct sg_model_table *t)
{
    char type[32];
    int i;

    put(out, t->kind == SG_MODEL_ROOT ? "<details open><summary>" : "<details><summary>", t->name,
        "</summary>");
    if (t->why != NULL)
        put(out, "<p class=\"dim\">", t->why, "</p>");
    sg_buf_puts(out, "<div class=\"scroll\"><table><tr><th>column</th><th>type</th><th>from</th>"
                     "<th></th><th>why</th></tr>\n");
    for (i = 0; i < t->n_columns; i++) {
        const struct sg_model_column *c = &t->columns[i];
        const char *convert = sg_model_convert_name(c->convert);
        struct sg_buf path = SG_BUF_INIT(1 << 16);

        sg_model_type_text(c->type, c->array, c->limit, type);
        put(out, "<tr><td class=\"path\">", c->name, "</td><td><code>");
        put(out, "", type, "</code></td><td class=\"path\">");
        sg_model_path_text(&c->from, &path);
        sg_html_text(out, sg_buf_slice(&path));
        sg_buf_free(&path);
        sg_buf_printf(out, "%s%s</td><td>%s%s", convert != NULL ? " · " : "",
                      convert != NULL ? convert : "", c->not_null ? "not null" : "",
                      c->unique ? ", unique" : "");
        if (c->lookup >= 0)
            put(out, " lookup ", m->lookups[c->lookup].name, "");
        if (c->references >= 0)
            put(out, " → ", m->tables[c->references].name, "");
        put(out, "</td><td class=\"dim\">", c->why != NULL ? c->why : "", "</td></tr>\n");
    }
    sg_buf_puts(out, "</table></div></details>\n");
}

static void
put_collection(struct sg_buf *out, const struct sg_html_report *r, const struct sg_profile *p)
{
    int i, root = sg_mapping_find(r->mapping, p->name);

    put(out, "<h2>", p->name, "</h2><div class=\"cards\">");
    put_card(out, p->records, "records");
    put_bytes(out, p->records > 0 ? p->bytes / p->records : 0, "on average");
    put_bytes(out, p->largest_bytes, "the largest");
    put_card(out, p->expiring, "expire");
    put_card(out, p->odd, "odd");
    sg_buf_puts(out, "</div>");
    for (i = 0; i < p->n_odds; i++)
        sg_buf_printf(out, "<p class=\"dim\">%" PRIu64 ": %s</p>", p->odds[i].n, p->odds[i].text);
    if (p->beyond > 0)
        sg_buf_printf(out,
                      "<p class=\"bad\">%" PRIu64 " values were not looked into: too deep, or "
                      "more than %d fields</p>",
                      p->beyond, SG_PROFILE_FIELDS_MAX);
    sg_buf_puts(out, "<div class=\"plots\">");
    sg_plot_histogram(out, "record size", p->sizes, false);
    if (p->expiring > 0)
        sg_plot_histogram(out, "remaining life", p->ttl_s, true);
    sg_buf_puts(out, "</div><h3>fields</h3><div class=\"scroll\"><table><tr><th>field</th>"
                     "<th>types</th><th>there</th><th>distinct</th><th>range</th><th>format</th>"
                     "</tr>\n");
    put_field(out, p, &p->root);
    sg_buf_puts(out, "</table></div><h3>tables</h3>\n");
    for (i = root; root >= 0 && i < r->mapping->n_tables && r->mapping->tables[i].root == root; i++)
        put_table(out, r->mapping, &r->mapping->tables[i]);
    if (root < 0)
        sg_buf_puts(out, "<p class=\"dim\">none: nothing tells its records apart</p>");
}

static void
put_drift(struct sg_buf *out, const struct sg_drift *d)
{
    int i;

    sg_buf_puts(out, "<h2>drift</h2>");
    if (d->n == 0) {
        sg_buf_puts(out, "<p class=\"good\">What is stored fits the mapping.</p>");
        return;
    }
    sg_buf_puts(out, "<div class=\"scroll\"><table><tr><th>where</th><th>what</th><th>would be "
                     "rejected</th></tr>\n");
    for (i = 0; i < d->n; i++) {
        put(out, "<tr><td class=\"path\">", d->items[i].place, "</td><td>");
        put(out, "", d->items[i].text, "</td>");
        if (d->items[i].rejects > 0)
            sg_buf_printf(out, "<td class=\"n bad\">%" PRIu64 "</td></tr>\n", d->items[i].rejects);
        else
            sg_buf_puts(out, "<td class=\"n\">–</td></tr>\n");
    }
    sg_buf_puts(out, "</table></div>");
    if (d->more > 0)
        sg_buf_printf(out, "<p class=\"dim\">and %" PRIu64 " more</p>", d->more);
}

static void
put_legend(struct sg_buf *out)
{
    int i;

    sg_buf_puts(out, "<div class=\"legend\">");
    for (i = 1; i <= SG_DOC_OTHER + 1; i++) {
        const char *name = sg_doc_type_name((enum sg_doc_type)(i % (SG_DOC_OTHER + 1)));

        sg_buf_printf(out,
                      "<span><svg viewBox=\"0 0 11 11\"><rect width=\"11\" height=\"11\" rx=\"2\" "
                      "class=\"t-%s\"/></svg>%s</span>",
                      name, name);
    }
    sg_buf_puts(out, "<span>the empty part of a bar: missing</span></div>");
}

void
sg_html_write(const struct sg_html_report *r, struct sg_buf *out)
{
    uint64_t records = 0, bytes = 0, fields = 0;
    int i;

    for (i = 0; i < r->n; i++) {
        records += r->profiles[i]->records;
        bytes += r->profiles[i]->bytes;
        fields += r->profiles[i]->n_fields;
    }
    sg_buf_puts(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                     "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                     "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                     "style-src 'unsafe-inline'\">");
    put(out, "<title>", r->title, "</title><style>\n");
    sg_buf_puts(out, style);
    put(out, "</style></head><body><main><h1>", r->title, "</h1><p class=\"dim\">");
    put(out, "", r->when, "</p><div class=\"cards\">");
    put_card(out, (uint64_t)r->n, "collections");
    put_card(out, records, "records");
    put_bytes(out, bytes, "in all");
    put_card(out, fields, "fields");
    put_card(out, (uint64_t)r->mapping->n_tables, "tables proposed");
    sg_buf_puts(out, "</div>");
    if (r->drift != NULL)
        put_drift(out, r->drift);
    sg_buf_puts(out, "<h2>proposed tables</h2><p class=\"dim\">Arrows are foreign keys: both rows "
                     "are in one bucket, so on one shard.</p>");
    sg_plot_relations(out, r->mapping);
    put_legend(out);
    for (i = 0; i < r->n; i++)
        put_collection(out, r, r->profiles[i]);
    sg_buf_puts(out, "</main></body></html>\n");
}
