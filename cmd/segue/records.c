/* SPDX-License-Identifier: MIT */
#include "records.h"

#include "model/extended.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define ARENA_BYTES (256 << 20)
#define LINE_BYTES_MAX ((size_t)SG_DOC_BYTES_MAX * 2) /* escapes make it longer */

struct reader {
    const struct records_options *options;
    records_emit emit;
    void *ctx;
    struct sg_arena *arena;
};

/* ---- files ---- */

/* {"$key": "user:42", "$expires": ms, "$value": {…}} is a record whose key and expiry stand beside
 * it, as Redis has them; the file user.jsonl holds those of user:*. */
static void
unwrap(struct records_one *r, const struct sg_doc *doc, const char *stem)
{
    const struct sg_doc *key = sg_doc_get(doc, sg_str("$key"));
    const struct sg_doc *value = sg_doc_get(doc, sg_str("$value"));
    const struct sg_doc *expires = sg_doc_get(doc, sg_str("$expires"));
    size_t prefix = strlen(stem);

    if (key == NULL || key->type != SG_DOC_STRING || value == NULL)
        return;
    r->key = r->profile.key = key->text;
    if (sg_slice_starts(key->text, stem) && key->text.len > prefix && key->text.ptr[prefix] == ':')
        r->profile.key = sg_slice(key->text.ptr + prefix + 1, key->text.len - prefix - 1);
    r->profile.doc = value;
    if (expires != NULL && expires->type == SG_DOC_INT)
        r->profile.expires_ms = expires->integer;
}

static int
read_line(struct reader *rd, const char *stem, struct sg_slice line, struct sg_err *err)
{
    struct records_one r = {.raw = line};
    char collection[256];
    struct sg_err why;
    struct sg_doc doc;

    snprintf(collection, sizeof collection, "%s", stem);
    r.profile.bytes = line.len;
    r.profile.expires_ms = -1;
    if (line.len > LINE_BYTES_MAX)
        r.profile.odd = "larger than 34 MB";
    else if (sg_doc_from_json(rd->arena, line, &doc, &why) != 0)
        r.profile.odd = why.code == SG_E_LIMIT ? "too deep or too large" : "not JSON";
    else {
        if (sg_doc_from_extended(rd->arena, &doc, err) != 0)
            return -1;
        r.profile.doc = &doc;
        if (doc.type == SG_DOC_OBJECT)
            unwrap(&r, &doc, stem);
        if (r.profile.key.ptr != NULL && r.profile.key.ptr != r.key.ptr)
            snprintf(collection, sizeof collection, "%.250s:*", stem);
    }
    return rd->emit(rd->ctx, collection, &r, err);
}

static int
read_file(struct reader *rd, const char *path, struct sg_err *err)
{
    const char *slash = strrchr(path, '/');
    char stem[200], *dot, *line = NULL;
    int64_t n = 0;
    size_t cap = 0;
    ssize_t len;
    int rc = 0;
    FILE *f = fopen(path, "r");

    if (f == NULL)
        return sg_fail(err, SG_E_NOT_FOUND, path, "cannot open the file: %s", strerror(errno));
    snprintf(stem, sizeof stem, "%s", slash != NULL ? slash + 1 : path);
    if ((dot = strrchr(stem, '.')) != NULL && dot != stem)
        *dot = '\0';
    while (rc == 0 && (rd->options->sample == 0 || n < rd->options->sample) &&
           (len = getline(&line, &cap, f)) >= 0) {
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        if (len == 0)
            continue;
        rc = read_line(rd, stem, sg_slice(line, (size_t)len), err);
        sg_arena_reset(rd->arena);
        n++;
    }
    if (rc == 0 && ferror(f) != 0)
        rc = sg_fail(err, SG_E_INVALID, path, "cannot read the file: %s", strerror(errno));
    free(line);
    fclose(f);
    return rc;
}

int
records_read(const struct records_options *options, records_emit emit, void *ctx,
             struct sg_err *err)
{
    struct reader rd = {.options = options, .emit = emit, .ctx = ctx};
    int i, rc = 0;

    if (sg_arena_new(ARENA_BYTES, &rd.arena, err) != 0)
        return -1;
    for (i = 0; i < options->n_operands && rc == 0; i++)
        rc = read_file(&rd, options->operands[i], err);
    sg_arena_free(rd.arena);
    return rc;
}
