/* SPDX-License-Identifier: MIT */
#include "redis/effects.h"

#include <limits.h>
#include <stdlib.h>

#define NUMBER_MAX 20 /* digits */

/* ---- reading ---- */

void
sg_command_init(struct sg_command *c, size_t text_max)
{
    c->n = 0;
    c->text = SG_BUF_INIT(text_max);
}

void
sg_command_free(struct sg_command *c)
{
    sg_buf_wipe(&c->text); /* sessions stood in it */
}

static int
strange(const struct sg_pull *pull, struct sg_err *err)
{
    return sg_fail(err, SG_E_INVALID, pull->name,
                   "the replication stream is none of commands at byte %llu",
                   (unsigned long long)pull->taken);
}

/* "*3" or "$12": the number after `mark`. */
static int
take_number(struct sg_pull *pull, char mark, uint64_t *out, struct sg_err *err)
{
    struct sg_slice line;
    size_t i;

    if (sg_pull_line(pull, NUMBER_MAX + 1, &line, err) != 0)
        return -1;
    if (line.len < 2 || line.len > NUMBER_MAX - 1 || line.ptr[0] != mark)
        return strange(pull, err);
    *out = 0;
    for (i = 1; i < line.len; i++) {
        if (line.ptr[i] < '0' || line.ptr[i] > '9')
            return strange(pull, err);
        *out = *out * 10 + (uint64_t)(line.ptr[i] - '0');
    }
    return 0;
}

#define CUT SIZE_MAX

static int
take_arg(struct sg_pull *pull, size_t arg_max, struct sg_command *c, struct sg_err *err)
{
    struct sg_slice s;
    uint64_t n;
    size_t at = c->text.len;

    if (take_number(pull, '$', &n, err) != 0)
        return -1;
    if (n > arg_max || n > c->text.max_bytes - c->text.len || c->n == SG_COMMAND_ARGS_MAX) {
        at = CUT;
        if (sg_pull_skip(pull, n, err) != 0)
            return -1;
    } else {
        if (sg_pull_take(pull, (size_t)n, &s, err) != 0)
            return -1;
        sg_buf_add(&c->text, s);
        if (c->text.failed)
            return sg_fail(err, SG_E_INTERNAL, pull->name, "out of memory");
    }
    if (c->n < SG_COMMAND_ARGS_MAX) {
        c->at[c->n] = at;
        c->args[c->n++].len = at == CUT ? 0 : (size_t)n;
    }
    if (sg_pull_take(pull, 2, &s, err) != 0)
        return -1;
    return memcmp(s.ptr, "\r\n", 2) == 0 ? 0 : strange(pull, err);
}

int
sg_command_read(struct sg_pull *pull, size_t arg_max, struct sg_command *c, struct sg_err *err)
{
    struct sg_slice line;
    uint64_t i;
    uint8_t first;
    int k;

    sg_buf_reset(&c->text);
    c->n = 0;
    c->args_sent = 0;
    if (sg_pull_peek(pull, &first, err) != 0)
        return -1;
    if (first == '\n' || first == '\r')
        return sg_pull_line(pull, 1, &line, err);
    if (take_number(pull, '*', &c->args_sent, err) != 0)
        return -1;
    for (i = 0; i < c->args_sent; i++)
        if (take_arg(pull, arg_max, c, err) != 0)
            return -1;
    for (k = 0; k < c->n; k++)
        c->args[k].ptr = c->at[k] == CUT ? NULL : c->text.ptr + c->at[k];
    return 0;
}

/* ---- effects ---- */

struct telling {
    const struct sg_command *c;
    int *database;
    sg_effect_fn fn;
    void *ctx;
    struct sg_err *err;
};

static bool
is(struct sg_slice arg, const char *word)
{
    return arg.ptr != NULL && arg.len == strlen(word) && strncasecmp(arg.ptr, word, arg.len) == 0;
}

static int
tell(struct telling *t, enum sg_effect effect, struct sg_slice key)
{
    struct sg_effect_told told = {
        .effect = effect, .database = *t->database, .key = key, .expires_ms = -1};

    return t->fn(t->ctx, &told, t->err);
}

/* A key that was cut is longer than any that somebody follows. */
static int
tell_key(struct telling *t, enum sg_effect effect, int arg)
{
    if (arg >= t->c->n || t->c->args[arg].ptr == NULL)
        return 0;
    return tell(t, effect, t->c->args[arg]);
}

static int
too_many(struct telling *t)
{
    return sg_fail(t->err, SG_E_LIMIT, "replication",
                   "a command of %llu arguments, which is more than are kept",
                   (unsigned long long)t->c->args_sent);
}

/* Every argument from `first` on; last: 0 = to the end. */
static int
tell_keys(struct telling *t, enum sg_effect effect, int first, int last)
{
    int i, end = last > 0 && last < t->c->n ? last + 1 : t->c->n;

    if (last == 0 && t->c->args_sent > (uint64_t)t->c->n)
        return too_many(t);
    for (i = first; i < end; i++)
        if (tell_key(t, effect, i) != 0)
            return -1;
    return 0;
}

static bool
number_of(struct sg_slice arg, int64_t *out)
{
    char text[NUMBER_MAX + 1], *end;

    if (arg.ptr == NULL || arg.len == 0 || arg.len > NUMBER_MAX)
        return false;
    memcpy(text, arg.ptr, arg.len);
    text[arg.len] = '\0';
    *out = strtoll(text, &end, 10);
    return *end == '\0';
}

static int
on_select(struct telling *t)
{
    int64_t n;

    if (t->c->n == 2 && number_of(t->c->args[1], &n) && n >= 0 && n <= INT_MAX)
        *t->database = (int)n;
    return 0;
}

/* SET key value [PXAT ms]: so does Redis 7 write all of them down. With any other option the key is
 * to be read. */
static int
on_set(struct telling *t)
{
    const struct sg_command *c = t->c;
    struct sg_effect_told told = {.effect = SG_EFFECT_SET, .expires_ms = -1};

    if (c->n < 3 || c->args[1].ptr == NULL)
        return 0;
    if (c->args[2].ptr == NULL || (c->n != 3 && c->n != 5) ||
        (c->n == 5 && !(is(c->args[3], "PXAT") && number_of(c->args[4], &told.expires_ms))))
        return tell_key(t, SG_EFFECT_WRITTEN, 1);
    told.database = *t->database;
    told.key = c->args[1];
    told.value = c->args[2];
    return t->fn(t->ctx, &told, t->err);
}

/* PEXPIREAT key ms, which is what Redis 7 writes down for EXPIRE and its like; PERSIST key */
static int
on_expires(struct telling *t)
{
    const struct sg_command *c = t->c;
    struct sg_effect_told told = {.effect = SG_EFFECT_EXPIRES, .expires_ms = -1};

    if (c->n < 2 || c->args[1].ptr == NULL)
        return 0;
    if (!is(c->args[0], "PERSIST") && (c->n < 3 || !number_of(c->args[2], &told.expires_ms)))
        return tell_key(t, SG_EFFECT_WRITTEN, 1);
    told.database = *t->database;
    told.key = c->args[1];
    return t->fn(t->ctx, &told, t->err);
}

static int
on_rename(struct telling *t)
{
    struct sg_effect_told told = {
        .effect = SG_EFFECT_RENAMED, .database = *t->database, .expires_ms = -1};

    if (t->c->n < 3)
        return 0;
    if (t->c->args[1].ptr == NULL || t->c->args[2].ptr == NULL)
        return tell_key(t, SG_EFFECT_GONE, 1) != 0 ? -1 : tell_key(t, SG_EFFECT_WRITTEN, 2);
    told.key = t->c->args[1];
    told.other = t->c->args[2];
    return t->fn(t->ctx, &told, t->err);
}

static int
on_flush(struct telling *t)
{
    struct sg_effect_told told = {
        .effect = SG_EFFECT_FLUSHED,
        .database = is(t->c->args[0], "FLUSHALL") ? -1 : *t->database,
        .expires_ms = -1,
    };

    return t->fn(t->ctx, &told, t->err);
}

static int
on_swap(struct telling *t)
{
    return tell(t, SG_EFFECT_SWAPPED, (struct sg_slice){0});
}

static int
on_replconf(struct telling *t)
{
    if (t->c->n >= 2 && is(t->c->args[1], "GETACK"))
        return tell(t, SG_EFFECT_ACK, (struct sg_slice){0});
    return 0;
}

static int
on_gone(struct telling *t)
{
    return tell_keys(t, SG_EFFECT_GONE, 1, 0);
}

static int
on_pairs(struct telling *t)
{
    struct sg_effect_told told = {
        .effect = SG_EFFECT_SET, .database = *t->database, .expires_ms = -1};
    int i, rc = 0;

    if (t->c->args_sent > (uint64_t)t->c->n)
        return too_many(t);
    for (i = 1; i + 1 < t->c->n && rc == 0; i += 2) {
        told.key = t->c->args[i];
        told.value = t->c->args[i + 1];
        rc = told.key.ptr == NULL || told.value.ptr == NULL ? tell_key(t, SG_EFFECT_WRITTEN, i)
                                                            : t->fn(t->ctx, &told, t->err);
    }
    return rc;
}

/* RESTORE key ms value [ABSTTL]…: so does Redis write it down. */
static int
on_restore(struct telling *t)
{
    const struct sg_command *c = t->c;
    struct sg_effect_told told = {
        .effect = SG_EFFECT_EXPIRES, .database = *t->database, .expires_ms = -1};
    int64_t ms = 0;
    bool absolute = false;
    int i;

    for (i = 4; i < c->n; i++)
        absolute |= is(c->args[i], "ABSTTL");
    if (tell_key(t, SG_EFFECT_WRITTEN, 1) != 0)
        return -1;
    if (c->n < 4 || c->args[1].ptr == NULL || !number_of(c->args[2], &ms) || (ms != 0 && !absolute))
        return 0;
    told.key = c->args[1];
    told.expires_ms = ms != 0 ? ms : -1;
    return t->fn(t->ctx, &told, t->err);
}

static int
on_two(struct telling *t)
{
    return tell_keys(t, SG_EFFECT_WRITTEN, 1, 2);
}

static int
on_second(struct telling *t)
{
    return tell_key(t, SG_EFFECT_WRITTEN, 2);
}

/* As if `database` were the one selected. */
static int
tell_elsewhere(struct telling *t, struct sg_slice database, int key)
{
    int selected = *t->database, rc;
    int64_t n;

    if (!number_of(database, &n) || n < 0 || n > INT_MAX)
        return tell(t, SG_EFFECT_SWAPPED, (struct sg_slice){0});
    *t->database = (int)n;
    rc = tell_key(t, SG_EFFECT_WRITTEN, key);
    *t->database = selected;
    return rc;
}

/* COPY source destination [DB n] [REPLACE] */
static int
on_copy(struct telling *t)
{
    int i;

    for (i = 3; i + 1 < t->c->n; i++)
        if (is(t->c->args[i], "DB"))
            return tell_elsewhere(t, t->c->args[i + 1], 2);
    return tell_key(t, SG_EFFECT_WRITTEN, 2);
}

/* The key after the word STORE or STOREDIST. */
static int
on_store(struct telling *t)
{
    int i;

    for (i = 2; i + 1 < t->c->n; i++)
        if (is(t->c->args[i], "STORE") || is(t->c->args[i], "STOREDIST"))
            return tell_key(t, SG_EFFECT_WRITTEN, i + 1);
    return 0;
}

/* MOVE key database */
static int
on_move(struct telling *t)
{
    if (t->c->n < 3)
        return 0;
    return tell_key(t, SG_EFFECT_GONE, 1) != 0 ? -1 : tell_elsewhere(t, t->c->args[2], 1);
}

/* EVAL script n key…, from servers that still hand scripts on as they are. */
static int
on_script(struct telling *t)
{
    int64_t n;

    if (t->c->n < 3 || !number_of(t->c->args[2], &n) || n <= 0)
        return 0;
    return tell_keys(t, SG_EFFECT_WRITTEN, 3, n < SG_COMMAND_ARGS_MAX ? (int)n + 2 : 0);
}

static int
on_nothing(struct telling *t)
{
    (void)t;
    return 0;
}

static const struct {
    const char *name;
    int (*tell)(struct telling *t);
} commands[] = {
    {"SET", on_set},         {"PEXPIREAT", on_expires},
    {"PERSIST", on_expires}, {"DEL", on_gone},
    {"UNLINK", on_gone},     {"PING", on_nothing},
    {"SELECT", on_select},   {"MULTI", on_nothing},
    {"EXEC", on_nothing},    {"REPLCONF", on_replconf},
    {"RENAME", on_rename},   {"RENAMENX", on_rename},
    {"MSET", on_pairs},      {"MSETNX", on_pairs},
    {"FLUSHDB", on_flush},   {"FLUSHALL", on_flush},
    {"SWAPDB", on_swap},     {"MOVE", on_move},
    {"COPY", on_copy},       {"BITOP", on_second},
    {"XGROUP", on_second},   {"RESTORE", on_restore},
    {"SMOVE", on_two},       {"LMOVE", on_two},
    {"RPOPLPUSH", on_two},   {"SORT", on_store},
    {"GEORADIUS", on_store}, {"GEORADIUSBYMEMBER", on_store},
    {"EVAL", on_script},     {"EVALSHA", on_script},
    {"PUBLISH", on_nothing}, {"SPUBLISH", on_nothing},
    {"SCRIPT", on_nothing},  {"FUNCTION", on_nothing},
};

int
sg_command_effects(const struct sg_command *c, int *database, sg_effect_fn fn, void *ctx,
                   struct sg_err *err)
{
    struct telling t = {c, database, fn, ctx, err};
    size_t i;

    if (c->n == 0)
        return 0;
    for (i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (is(c->args[0], commands[i].name))
            return commands[i].tell(&t);
    return tell_key(&t, SG_EFFECT_WRITTEN, 1);
}
