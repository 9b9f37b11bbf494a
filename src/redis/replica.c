/* SPDX-License-Identifier: MIT */
#include "redis/replica.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_MAX_BYTES 512
#define PULL_EXTRA (1 << 20)
#define EOF_MARK_BYTES 40
/* The server streams nothing after a copy until it has heard of us, and overlooks an
 * acknowledgement that comes before it has reaped its child. */
#define ACK_FIRST_MS 50
#define ACK_EVERY_MS 1000
#define QUIET_MS 100
#define SILENT_MS 15000 /* the server pings each 10 s by default (repl-ping-replica-period) */

struct replica {
    const struct sg_replica_options *options;
    const struct sg_replica_events *events;
    struct sg_replica_position *position;
    struct sg_wire *wire;
    struct sg_pull in;
    struct sg_command command;
    uint64_t base;         /* in.taken where the stream began */
    int64_t began;         /* and its offset there */
    bool streaming, heard; /* since the stream began */
    uint64_t acked_ns, input_ns;
};

static uint64_t
now_ns(void)
{
    return sg_mono_ns(sg_clock_system());
}

static int
send_words(struct replica *r, const char *const *words, int n, struct sg_err *err)
{
    struct sg_buf out = SG_BUF_INIT(4096);
    int i, rc;

    sg_buf_printf(&out, "*%d\r\n", n);
    for (i = 0; i < n; i++)
        sg_buf_printf(&out, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
    rc = out.failed ? sg_fail(err, SG_E_LIMIT, r->options->wire.name, "user or password too long")
                    : sg_wire_write(r->wire, sg_buf_slice(&out), err);
    sg_buf_wipe(&out);
    return rc;
}

static int64_t
offset_of(const struct replica *r)
{
    return r->began + (int64_t)(r->in.taken - r->base);
}

static int
acknowledge(struct replica *r, struct sg_err *err)
{
    char text[24];
    const char *words[] = {"REPLCONF", "ACK", text};

    snprintf(text, sizeof text, "%" PRId64, r->position->offset);
    r->acked_ns = now_ns();
    return send_words(r, words, 3, err);
}

static int
pause_of(const struct replica *r)
{
    return r->streaming && r->heard ? QUIET_MS : ACK_FIRST_MS;
}

/* Before the stream is waited for: everything that came is told. */
static int
rest(struct replica *r, struct sg_err *err)
{
    int every = r->heard ? ACK_EVERY_MS : ACK_FIRST_MS;

    if (now_ns() - r->acked_ns >= (uint64_t)every * SG_NS_PER_MS && acknowledge(r, err) != 0)
        return -1;
    return r->events->quiet(r->events->ctx, r->position, err);
}

static int64_t
more(void *ctx, char *into, size_t cap, struct sg_err *err)
{
    struct replica *r = ctx;
    int64_t n;

    for (;;) {
        if (r->streaming && rest(r, err) != 0)
            return -1;
        n = sg_wire_read(r->wire, into, cap, pause_of(r), err);
        if (n != 0)
            break;
        if (now_ns() - r->input_ns > SILENT_MS * SG_NS_PER_MS)
            return sg_fail(err, SG_E_TIMEOUT, r->options->wire.name, "nothing came for %d seconds",
                           SILENT_MS / 1000);
    }
    r->input_ns = now_ns();
    r->heard |= r->streaming;
    return n;
}

/* ---- greeting ---- */

/* A line that is not one of the empty ones a server sends to keep us waiting. */
static int
take_line(struct replica *r, struct sg_slice *line, struct sg_err *err)
{
    do {
        if (sg_pull_line(&r->in, LINE_MAX_BYTES, line, err) != 0)
            return -1;
    } while (line->len == 0);
    return 0;
}

/* An error's first word: the rest may quote what we sent. */
static int
refused(struct replica *r, const char *what, struct sg_slice line, struct sg_err *err)
{
    char word[32];
    size_t n = 0;

    while (n + 1 < line.len && n < sizeof word - 1 && line.ptr[n + 1] != ' ')
        n++;
    memcpy(word, line.ptr + (line.len > 0), line.len > 0 ? n : 0);
    word[line.len > 0 ? n : 0] = '\0';
    if (strcmp(word, "NOPERM") == 0 || strcmp(word, "WRONGPASS") == 0 ||
        strcmp(word, "NOAUTH") == 0)
        return sg_fail(err, SG_E_DENIED, r->options->wire.name,
                       "the server refused %s: %s; its user needs +psync +replconf +ping", what,
                       word);
    return sg_fail(err, SG_E_UNAVAILABLE, r->options->wire.name, "the server refused %s: %s", what,
                   word);
}

static int
ask(struct replica *r, const char *const *words, int n, struct sg_err *err)
{
    struct sg_slice line;

    if (send_words(r, words, n, err) != 0 || take_line(r, &line, err) != 0)
        return -1;
    return line.ptr[0] == '+' ? 0 : refused(r, words[0], line, err);
}

static int
greet(struct replica *r, struct sg_err *err)
{
    const char *user = r->options->user, *password = r->options->password;
    const char *auth[] = {"AUTH", user, password}, *auth_default[] = {"AUTH", password};
    const char *ping[] = {"PING"};
    const char *port[] = {"REPLCONF", "listening-port", "0"};
    const char *can[] = {"REPLCONF", "capa", "eof", "capa", "psync2"};

    if (user[0] != '\0' && ask(r, auth, 3, err) != 0)
        return -1;
    if (user[0] == '\0' && password[0] != '\0' && ask(r, auth_default, 2, err) != 0)
        return -1;
    return ask(r, ping, 1, err) != 0 || ask(r, port, 3, err) != 0 || ask(r, can, 5, err) != 0 ? -1
                                                                                              : 0;
}

/* ---- the copy ---- */

static int
read_copy(struct replica *r, struct sg_err *err)
{
    return sg_rdb_read(&r->in, r->options->value_max, r->events->record, r->events->ctx, err);
}

/* "$EOF:<40 bytes>": the same bytes follow the copy; "$<n>": it is n bytes long. */
static int
take_copy(struct replica *r, struct sg_err *err)
{
    char mark[EOF_MARK_BYTES];
    struct sg_slice line;
    uint64_t begun, bytes;
    bool marked;

    if (take_line(r, &line, err) != 0)
        return -1;
    marked = sg_slice_starts(line, "$EOF:") && line.len == 5 + EOF_MARK_BYTES;
    if (line.ptr[0] != '$')
        return refused(r, "a copy", line, err);
    if (marked)
        memcpy(mark, line.ptr + 5, sizeof mark);
    bytes = marked ? 0 : strtoull(line.ptr + 1, NULL, 10); /* CR LF ends the number */
    begun = r->in.taken;
    if (read_copy(r, err) != 0)
        return -1;
    if (!marked && r->in.taken - begun != bytes)
        return sg_fail(err, SG_E_INVALID, r->options->wire.name,
                       "the copy has %" PRIu64 " bytes, expected %" PRIu64, r->in.taken - begun,
                       bytes);
    if (!marked)
        return 0;
    if (sg_pull_take(&r->in, EOF_MARK_BYTES, &line, err) != 0)
        return -1;
    return memcmp(line.ptr, mark, sizeof mark) == 0
               ? 0
               : sg_fail(err, SG_E_INVALID, r->options->wire.name,
                         "the copy does not end with its mark");
}

/* "+FULLRESYNC <id> <offset>" */
static int
take_full(struct replica *r, struct sg_slice line, struct sg_err *err)
{
    struct sg_replica_position at = {0};
    char text[LINE_MAX_BYTES + 1];

    snprintf(text, sizeof text, "%.*s", (int)line.len, line.ptr);
    if (sscanf(text, "+FULLRESYNC %40s %" SCNd64, at.id, &at.offset) != 2 ||
        strlen(at.id) != SG_REPLICA_ID_BYTES || at.offset < 0)
        return refused(r, "PSYNC", line, err);
    r->position->id[0] = '\0'; /* until the copy is whole */
    if (r->events->copying(r->events->ctx, err) != 0 || take_copy(r, err) != 0)
        return -1;
    *r->position = at;
    return r->events->following(r->events->ctx, false, err);
}

/* "+CONTINUE [<id>]": the id changed where another server took over. */
static int
take_continue(struct replica *r, struct sg_slice line, struct sg_err *err)
{
    size_t skip = strlen("+CONTINUE ");

    if (line.len == skip + SG_REPLICA_ID_BYTES)
        memcpy(r->position->id, line.ptr + skip, SG_REPLICA_ID_BYTES);
    return r->events->following(r->events->ctx, true, err);
}

static int
synchronise(struct replica *r, struct sg_err *err)
{
    char offset[24];
    const char *first[] = {"PSYNC", "?", "-1"};
    const char *again[] = {"PSYNC", r->position->id, offset};
    struct sg_slice line;

    snprintf(offset, sizeof offset, "%" PRId64, r->position->offset + 1);
    if (send_words(r, r->position->id[0] != '\0' ? again : first, 3, err) != 0 ||
        take_line(r, &line, err) != 0)
        return -1;
    if (sg_slice_starts(line, "+FULLRESYNC"))
        return take_full(r, line, err);
    if (sg_slice_starts(line, "+CONTINUE"))
        return take_continue(r, line, err);
    return refused(r, "PSYNC", line, err);
}

/* ---- the stream ---- */

static int
told(void *ctx, const struct sg_effect_told *effect, struct sg_err *err)
{
    struct replica *r = ctx;

    if (effect->effect == SG_EFFECT_ACK)
        return acknowledge(r, err);
    return r->events->effect(r->events->ctx, effect, err);
}

static int
stream(struct replica *r, struct sg_err *err)
{
    r->base = r->in.taken;
    r->began = r->position->offset;
    r->streaming = true;
    for (;;) {
        if (sg_command_read(&r->in, r->options->value_max, &r->command, err) != 0 ||
            sg_command_effects(&r->command, &r->position->database, told, r, err) != 0)
            return -1;
        r->position->offset = offset_of(r);
    }
}

int
sg_replica_run(const struct sg_replica_options *options, struct sg_replica_position *position,
               const struct sg_replica_events *events, struct sg_err *err)
{
    struct replica *r = calloc(1, sizeof *r);
    size_t piece = 2 * options->value_max + PULL_EXTRA;
    int rc = -1;

    if (r == NULL)
        return sg_fail(err, SG_E_INTERNAL, options->wire.name, "out of memory");
    r->options = options;
    r->events = events;
    r->position = position;
    r->in = (struct sg_pull){.more = more, .ctx = r, .name = options->wire.name};
    sg_command_init(&r->command, piece);
    r->input_ns = now_ns();
    if (sg_pull_init(&r->in, piece, err) == 0 && sg_wire_open(&options->wire, &r->wire, err) == 0 &&
        greet(r, err) == 0 && synchronise(r, err) == 0)
        rc = stream(r, err);
    sg_wire_close(r->wire);
    sg_pull_free(&r->in);
    sg_command_free(&r->command);
    free(r);
    return rc;
}
