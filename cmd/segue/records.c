/* SPDX-License-Identifier: MIT */
#include "records.h"

#include "base/buf.h"
#include "cli.h"
#include "model/extended.h"
#include "model/mapping.h"
#include "source/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define ARENA_BYTES (256 << 20)
#define BATCH_BYTES (64 << 20)
#define BATCH_RECORDS 1000
#define TIMEOUT_MS 30000
#define COLLECTIONS_MAX 1000
#define PIECES_MAX 64
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

/* ---- stores ---- */

struct store_reader {
    struct reader *reader;
    const char *collection, *shown;
    int64_t n;
};

static int
take_records(void *ctx, const struct sg_source_record *records, int n, struct sg_err *err)
{
    struct store_reader *s = ctx;
    struct sg_buf size = SG_BUF_INIT(LINE_BYTES_MAX);
    int i, rc = 0;

    for (i = 0; i < n && rc == 0; i++) {
        const struct sg_source_record *from = &records[i];
        struct records_one r = {.key = from->key, .raw = from->raw, .redis_type = from->redis_type};
        struct sg_err why;

        if (from->doc == NULL && from->odd == NULL)
            continue; /* gone meanwhile */
        r.profile = (struct sg_profile_record){.doc = from->doc,
                                               .odd = from->odd,
                                               .bytes = from->raw.len,
                                               .expires_ms = from->expires_ms};
        if (from->redis_type != NULL)
            r.profile.key = sg_collection_key(s->shown, from->key);
        r.profile.untyped = from->redis_type != NULL && strcmp(from->redis_type, "hash") == 0;
        sg_buf_reset(&size);
        if (from->raw.ptr == NULL && from->doc != NULL &&
            sg_doc_to_json(from->doc, &size, &why) == 0)
            r.profile.bytes = size.len;
        s->n++;
        rc = s->reader->emit(s->reader->ctx, s->shown, &r, err);
    }
    sg_buf_free(&size);
    return rc;
}

static int
read_whole(struct store_reader *s, struct sg_source *source, struct sg_err *err)
{
    struct sg_source_piece *pieces = calloc(PIECES_MAX, sizeof *pieces);
    char position[SG_SOURCE_PIECE_MAX];
    int i, n = 0, rc;

    if (pieces == NULL)
        return sg_fail(err, SG_E_INTERNAL, s->collection, "out of memory");
    rc = source->type->pieces(source, s->collection, pieces, PIECES_MAX, &n, err);
    for (i = 0; i < n && rc == 0; i++) {
        position[0] = '\0';
        rc = source->type->read(source, s->collection, &pieces[i], position, take_records, s, err);
    }
    free(pieces);
    return rc;
}

/* A part of a key that stands for one record: an identifier, or long with digits in it. */
static bool
is_one_record(struct sg_slice part)
{
    size_t i, digits = 0;

    for (i = 0; i < part.len; i++)
        digits += part.ptr[i] >= '0' && part.ptr[i] <= '9';
    return (part.len >= 16 && digits > 0) || sg_format_is_data(sg_format_of(part));
}

/* Where a collection is a single Redis key its name may be a token: such parts are not shown. */
static void
shown_name(const char *name, char out[SG_SOURCE_NAME_MAX + 1])
{
    size_t n = 0;

    for (;;) {
        size_t len = strcspn(name, ":");
        bool hide = is_one_record(sg_slice(name, len));

        if (n + (hide ? 1 : len) + 2 > SG_SOURCE_NAME_MAX)
            break;
        memcpy(out + n, hide ? "*" : name, hide ? 1 : len);
        n += hide ? 1 : len;
        if (name[len] == '\0')
            break;
        out[n++] = ':';
        name += len + 1;
    }
    out[n] = '\0';
}

static int
read_collection(struct reader *rd, struct sg_source *source, const char *name, struct sg_err *err)
{
    struct store_reader s = {.reader = rd, .collection = name};
    char shown[SG_SOURCE_NAME_MAX + 1];

    if (strcmp(source->type->name, "redis") == 0 && strchr(name, '*') == NULL) {
        shown_name(name, shown);
        s.shown = shown;
    } else
        s.shown = name;
    return rd->options->sample > 0
               ? source->type->sample(source, name, rd->options->sample, take_records, &s, err)
               : read_whole(&s, source, err);
}

static int
read_store(struct reader *rd, const char *url, struct sg_err *err)
{
    const struct records_options *o = rd->options;
    const struct sg_source_options options = {.url = url,
                                              .ca_file = o->ca_file,
                                              .timeout_ms = TIMEOUT_MS,
                                              .bytes_max = BATCH_BYTES,
                                              .batch_records = BATCH_RECORDS};
    struct sg_source_collection *all = calloc(COLLECTIONS_MAX, sizeof *all);
    struct sg_source *source;
    int i, n = 0, rc;

    if (all == NULL)
        return sg_fail(err, SG_E_INTERNAL, "analyze", "out of memory");
    if (sg_source_open(&options, &source, err) != 0) {
        free(all);
        return -1;
    }
    if (o->n_operands > 1) {
        for (i = 1, rc = 0; i < o->n_operands && rc == 0; i++)
            rc = read_collection(rd, source, o->operands[i], err);
    } else {
        rc = source->type->collections(source, all, COLLECTIONS_MAX, &n, err);
        for (i = 0; i < n && rc == 0; i++)
            rc = read_collection(rd, source, all[i].name, err);
    }
    sg_source_close(source);
    free(all);
    return rc;
}

/* "redis://…", and not a path. */
static bool
is_url(const char *text)
{
    static const char *const schemes[] = {
        "redis:", "rediss:", "unix:", "mongodb:", "mongodb+srv:", "dynamodb:", NULL};
    int i;

    for (i = 0; schemes[i] != NULL; i++)
        if (strncmp(text, schemes[i], strlen(schemes[i])) == 0)
            return true;
    return strstr(text, "://") != NULL; /* opening it names the schemes there are */
}

int
records_read(const struct records_options *options, records_emit emit, void *ctx,
             struct sg_err *err)
{
    struct reader rd = {.options = options, .emit = emit, .ctx = ctx};
    const char *first;
    int i, rc = 0;

    if (cli_url(options->operands[0], &first, err) != 0)
        return -1;
    if (is_url(first))
        return read_store(&rd, first, err);
    if (sg_arena_new(ARENA_BYTES, &rd.arena, err) != 0)
        return -1;
    for (i = 0; i < options->n_operands && rc == 0; i++)
        rc = read_file(&rd, options->operands[i], err);
    sg_arena_free(rd.arena);
    return rc;
}
