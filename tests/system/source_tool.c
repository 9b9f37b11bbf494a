/* SPDX-License-Identifier: MIT */
/* Drives a source from the system tests: source_tool [-b BATCH] [-m BYTES] [-f FIELD] [-p POLL_MS]
 * [-t TIMEOUT_MS] URL COMMAND ARGS…, a JSON object a line. SIGTERM sets the stop flag. */
#include "base/buf.h"
#include "source/source.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MOST 1000

static atomic_bool stop;
static struct sg_err err;
static struct sg_buf line = SG_BUF_INIT(256 << 20);

static void
on_term(int signal)
{
    (void)signal;
    atomic_store(&stop, true);
}

static void
put_text(const char *name, struct sg_slice text)
{
    struct sg_doc doc = {.type = SG_DOC_STRING, .text = text};

    sg_buf_printf(&line, "%s\"%s\":", line.len > 1 ? "," : "", name);
    if (sg_doc_to_json(&doc, &line, NULL) != 0)
        abort();
}

static void
begin(void)
{
    sg_buf_reset(&line);
    sg_buf_puts(&line, "{");
}

static void
end(void)
{
    sg_buf_puts(&line, "}\n");
    fwrite(line.ptr, 1, line.len, stdout);
    fflush(stdout);
}

static void
put_record(const struct sg_source_record *r)
{
    put_text("key", r->key);
    if (r->doc != NULL) {
        sg_buf_puts(&line, ",\"doc\":");
        if (sg_doc_to_json(r->doc, &line, NULL) != 0)
            abort();
    }
    if (r->odd != NULL)
        put_text("odd", sg_str(r->odd));
    if (r->redis_type != NULL)
        put_text("type", sg_str(r->redis_type));
    sg_buf_printf(&line, ",\"expires\":%" PRId64 ",\"raw\":%zu", r->expires_ms, r->raw.len);
}

static int
emit(void *ctx, const struct sg_source_record *records, int n, struct sg_err *e)
{
    int i;

    (void)e;
    for (i = 0; i < n; i++) {
        begin();
        put_record(&records[i]);
        end();
    }
    if (ctx != NULL) /* milliseconds to take for a batch */
        usleep(1000 * *(unsigned *)ctx);
    return 0;
}

static int
change(void *ctx, enum sg_source_change what, const char *collection,
       const struct sg_source_record *record, const char *position, struct sg_err *e)
{
    static const char *const names[] = {"put", "delete", "beat"};
    struct sg_source *s = ctx;

    (void)e;
    begin();
    put_text("change", sg_str(names[what]));
    put_text("position", sg_str(position));
    if (record != NULL) {
        put_text("collection", sg_str(collection));
        put_record(record);
    } else {
        sg_buf_printf(&line, ",\"staleness\":%" PRId64, s->type->staleness_ms(s));
    }
    end();
    return 0;
}

/* PIECE, and POSITION where to go on; the position reached is told at the end, also of a failure.
 */
static int
read_piece(struct sg_source *s, char **args, int n)
{
    unsigned slow_ms = n > 3 ? (unsigned)atoi(args[3]) : 0;
    char position[SG_SOURCE_PIECE_MAX] = "";
    struct sg_source_piece piece;
    int rc;

    snprintf(piece.text, sizeof piece.text, "%s", args[1]);
    if (n > 2)
        snprintf(position, sizeof position, "%s", args[2]);
    rc = s->type->read(s, args[0], &piece, position, emit, &slow_ms, &err);
    begin();
    put_text("position", sg_str(position));
    end();
    return rc;
}

static int
list(struct sg_source *s, const char *command, char **args, int n)
{
    static struct sg_source_collection collections[MOST];
    static struct sg_source_piece pieces[MOST];
    bool all = strcmp(command, "collections") == 0;
    int found, i;

    if ((all ? s->type->collections(s, collections, MOST, &found, &err)
             : s->type->pieces(s, args[0], pieces, n > 1 ? atoi(args[1]) : 1, &found, &err)) != 0)
        return -1;
    for (i = 0; i < found; i++) {
        begin();
        put_text(all ? "name" : "piece", sg_str(all ? collections[i].name : pieces[i].text));
        if (all)
            sg_buf_printf(&line, ",\"records\":%" PRId64, collections[i].records);
        end();
    }
    return 0;
}

/* KEY, and the document as JSON; without it the record is deleted. */
static int
write_record(struct sg_source *s, char **args, int n)
{
    struct sg_source_record r = {.key = sg_str(args[1]), .expires_ms = -1};
    struct sg_arena *arena;
    struct sg_doc doc;
    int rc;

    if (sg_arena_new(256 << 20, &arena, &err) != 0)
        return -1;
    rc = n > 2 ? sg_doc_from_json(arena, sg_str(args[2]), &doc, &err) : 0;
    if (rc == 0) {
        r.doc = n > 2 ? &doc : NULL;
        rc = s->type->write(s, args[0], &r, &err);
    }
    sg_arena_free(arena);
    return rc;
}

/* POSITION ("" = now) and collections. */
static int
follow(struct sg_source *s, char **args)
{
    struct sg_source_follow f = {
        .collections = (const char *const *)(args + 1), .change = change, .ctx = s};

    snprintf(f.position, sizeof f.position, "%s", args[0]);
    return s->type->follow(s, &f, &err);
}

static int
run(struct sg_source *s, const char *command, char **args, int n)
{
    struct sg_slice keys[MOST];
    int i;

    if (strcmp(command, "collections") == 0 || (strcmp(command, "pieces") == 0 && n >= 1))
        return list(s, command, args, n);
    if (strcmp(command, "sample") == 0 && n == 2)
        return s->type->sample(s, args[0], atoll(args[1]), emit, NULL, &err);
    if (strcmp(command, "read") == 0 && n >= 2)
        return read_piece(s, args, n);
    if (strcmp(command, "write") == 0 && n >= 2)
        return write_record(s, args, n);
    if (strcmp(command, "follow") == 0 && n >= 2)
        return follow(s, args);
    if (strcmp(command, "fetch") == 0 && n >= 2 && n <= MOST) {
        for (i = 1; i < n; i++)
            keys[i - 1] = sg_str(args[i]);
        return s->type->fetch(s, args[0], keys, n - 1, emit, NULL, &err);
    }
    return sg_fail(&err, SG_E_INVALID, "source_tool", "unknown command");
}

int
main(int argc, char **argv)
{
    struct sg_source_options o = {
        .timeout_ms = 5000, .bytes_max = 128 << 20, .batch_records = 100, .stop = &stop};
    struct sg_source *s = NULL;
    int opt, rc;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_term);
    while ((opt = getopt(argc, argv, "+b:m:f:p:t:")) != -1) {
        if (opt == 'b')
            o.batch_records = atoi(optarg);
        else if (opt == 'm')
            o.bytes_max = atoll(optarg);
        else if (opt == 'f')
            o.poll_field = optarg;
        else if (opt == 'p')
            o.poll_ms = atoi(optarg);
        else if (opt == 't')
            o.timeout_ms = atoi(optarg);
        else
            return 2;
    }
    if (argc - optind < 2)
        return 2;
    o.url = argv[optind];
    rc = sg_source_open(&o, &s, &err);
    if (rc == 0)
        rc = run(s, argv[optind + 1], argv + optind + 2, argc - optind - 2);
    sg_source_close(s);
    if (rc != 0) {
        begin();
        put_text("code", sg_str(sg_code_name(err.code)));
        put_text("place", sg_str(err.place));
        put_text("error", sg_str(err.text));
        end();
    }
    sg_buf_free(&line);
    return rc == 0 ? 0 : 1;
}
