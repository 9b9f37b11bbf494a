/* SPDX-License-Identifier: MIT */
/* Any document against a mapping with a column of every kind: rows that read back as an equal
 * document, or a rejection with a reason. The same document is profiled, and whatever is proposed
 * for it is a mapping that can be read. */
#include "model/convert.h"
#include "base/buf.h"
#include "fuzz/fuzz.h"
#include "model/extended.h"
#include "model/html.h"
#include "model/propose.h"

#include <stdlib.h>

static const char mapping_text[] =
    "mapping: 1\nschema: app\ncollections:\n  t:\n    table: t\n    key: [k]\n    shard_key: k\n"
    "    version: v\n    expires: e\n    rest: r\n    columns:\n"
    "      k: {from: $key, type: text, not_null: true}\n"
    "      a: {from: a, type: bigint}\n      b: {from: b, type: boolean}\n"
    "      c: {from: c, type: double precision}\n      d: {from: d, type: numeric}\n"
    "      f: {from: f, type: text}\n      g: {from: g, type: uuid}\n"
    "      h: {from: h, type: timestamptz}\n"
    "      i: {from: i, type: timestamptz, convert: epoch_s}\n"
    "      j: {from: j, type: timestamptz, convert: epoch_ms}\n"
    "      l: {from: l, type: timestamptz, convert: iso_ms}\n"
    "      m: {from: m, type: timestamptz, convert: iso_s}\n      n: {from: n, type: date}\n"
    "      o: {from: o, type: bytea}\n      p: {from: p, type: jsonb}\n"
    "      q: {from: q, type: \"text[]\"}\n      s: {from: s, type: \"numeric[]\"}\n"
    "      t: {from: t, type: numeric, convert: parse}\n"
    "      u: {from: u, type: text, convert: oid, absent: \"null\"}\n"
    "      w: {from: w.x.y, type: integer}\n"
    "    children:\n"
    "      t_x: {from: x, kind: array, parent: [tk], position: o, rest: r, columns: "
    "{a: {from: a, type: bigint}, b: {from: b.c, type: text}}}\n"
    "      t_y: {from: y, kind: map, parent: [tk], position: o, absent: empty, columns: "
    "{value: {from: \".\", type: jsonb}}}\n"
    "      t_z: {from: w.z, kind: array, parent: [tk], position: o, columns: "
    "{value: {from: \".\", type: text}}}\n";

static void
must(bool ok)
{
    if (!ok)
        abort();
}

static int
bucket_of(void *ctx, struct sg_slice key)
{
    (void)ctx;
    return (int)(key.len & 4095);
}

static void
try_convert(const struct sg_doc *doc, struct sg_arena *arena)
{
    static struct sg_mapping *m;
    struct sg_model_record record = {
        .key = sg_str("key"), .doc = doc, .expires_ms = -1, .version = 1};
    struct sg_model_converter *c;
    struct sg_model_rows rows;
    struct sg_buf copy = SG_BUF_INIT(64 << 20);
    struct sg_doc back;
    struct sg_err err;
    int i;

    if (m == NULL)
        must(sg_mapping_parse("m", sg_str(mapping_text), &m, &err) == 0);
    must(sg_model_converter_new(m, bucket_of, NULL, &c, &err) == 0);
    if (sg_model_convert(c, 0, &record, arena, &rows) == SG_REJECT_NONE) {
        for (i = 0; i < rows.n; i++)
            sg_model_copy_row(&rows.rows[i], &copy);
        fuzz_use(fuzz_touch(copy.ptr, copy.len));
        if (sg_model_restore(m, rows.rows, rows.n, arena, &back, &err) == 0)
            must(sg_doc_equal(doc, &back));
        else
            must(err.code == SG_E_LIMIT || sg_arena_left(arena) < (1 << 20));
    } else
        must(rows.reason <= SG_REJECT_TOO_LARGE && rows.place[0] != '\0');
    sg_buf_free(&copy);
    sg_model_converter_free(c);
}

static void
try_propose(const struct sg_doc *doc)
{
    const struct sg_profile_record record = {
        .key = sg_str("key"), .doc = doc, .bytes = 1, .expires_ms = -1};
    struct sg_buf text = SG_BUF_INIT(32 << 20), html = SG_BUF_INIT(64 << 20);
    struct sg_mapping *m, *again;
    struct sg_profile *p;
    struct sg_drift drift;
    struct sg_err err;
    int i;

    must(sg_profile_new("t:*", &p, &err) == 0);
    for (i = 0; i < 120; i++) /* enough to be sure of what is always there */
        must(sg_profile_add(p, &record, 0, &err) == 0);
    sg_profile_finish(p);
    if (sg_propose((const struct sg_profile *const *)&p, 1,
                   &(struct sg_propose_options){.schema = "app"}, &m, &err) == 0) {
        sg_mapping_write(m, true, &text);
        must(!text.failed);
        if (sg_mapping_parse("proposal", sg_buf_slice(&text), &again, &err) != 0) {
            must(strstr(err.text, "too large") != NULL); /* YAML's own bounds */
        } else {
            must(sg_drift_find(again, (const struct sg_profile *const *)&p, 1, &drift, &err) == 0);
            sg_html_write(&(struct sg_html_report){.title = "t",
                                                   .when = "w",
                                                   .n = 1,
                                                   .mapping = m,
                                                   .profiles = (const struct sg_profile *const *)&p,
                                                   .drift = &drift},
                          &html);
            must(!html.failed && memmem(html.ptr, html.len, "<script", 7) == NULL);
            sg_drift_free(&drift);
            sg_mapping_free(again);
        }
        sg_mapping_free(m);
    }
    sg_profile_free(p);
    sg_buf_free(&text);
    sg_buf_free(&html);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sg_arena *arena;
    struct sg_doc doc;
    struct sg_err err;

    must(sg_arena_new(64 << 20, &arena, &err) == 0);
    if (size < (1 << 16) &&
        sg_doc_from_json(arena, sg_slice((const char *)data, size), &doc, &err) == 0) {
        try_propose(&doc); /* as plain JSON, where "$oid" is a name like any other */
        if (sg_doc_from_extended(arena, &doc, &err) == 0)
            try_convert(&doc, arena);
    }
    sg_arena_free(arena);
    return 0;
}
