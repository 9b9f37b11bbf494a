/* SPDX-License-Identifier: MIT */
#include "source/redis_conn.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define READ_BYTES 65536
#define WORDS_MAX 12

void
sg_redis_conn_add_args(struct sg_redis_conn *c, const struct sg_slice *args, int n)
{
    sg_redis_encode(&c->out, args, n);
}

void
sg_redis_conn_add(struct sg_redis_conn *c, const char *words, const struct sg_slice *slices)
{
    struct sg_slice args[WORDS_MAX];
    int n_args = 0;

    while (n_args < WORDS_MAX) {
        size_t n = strcspn(words, " ");

        args[n_args++] = n == 1 && *words == '%' ? *slices++ : sg_slice(words, n);
        if (words[n] == '\0')
            break;
        words += n + 1;
    }
    sg_redis_encode(&c->out, args, n_args);
}

int
sg_redis_conn_send(struct sg_redis_conn *c, struct sg_err *err)
{
    int rc;

    if (c->out.failed)
        return sg_fail(err, SG_E_LIMIT, c->url.name, "more than %zu bytes of commands at once",
                       c->out.max_bytes);
    rc = sg_wire_write(c->wire, sg_buf_slice(&c->out), err);
    sg_buf_reset(&c->out);
    return rc;
}

int
sg_redis_conn_wait(struct sg_redis_conn *c, int wait_ms, redisReply **reply, struct sg_err *err)
{
    bool patient = wait_ms < 0;
    char bytes[READ_BYTES];
    redisReply *r = NULL;
    int64_t n;

    while (sg_redis_reader_next(&c->reader, &r, err) == 0) {
        if (r != NULL) {
            *reply = r;
            return 0;
        }
        n = sg_wire_read(c->wire, bytes, sizeof bytes, patient ? c->timeout_ms : wait_ms, err);
        if (n == 0)
            return sg_fail(err, SG_E_TIMEOUT, c->url.name, "no answer in time");
        if (n < 0)
            return -1;
        if (sg_redis_reader_feed(&c->reader, bytes, (size_t)n, err) != 0)
            break;
    }
    if (err != NULL)
        snprintf(err->place, sizeof err->place, "%.*s", (int)sizeof err->place - 1, c->url.name);
    return -1;
}

int
sg_redis_conn_next(struct sg_redis_conn *c, redisReply **reply, struct sg_err *err)
{
    return sg_redis_conn_wait(c, -1, reply, err);
}

int
sg_redis_conn_refused(const struct sg_redis_conn *c, const char *command, const redisReply *r,
                      struct sg_err *err)
{
    static const struct {
        const char *word;
        enum sg_code code;
    } known[] = {
        {"NOAUTH", SG_E_DENIED},       {"WRONGPASS", SG_E_DENIED},
        {"NOPERM", SG_E_DENIED},       {"LOADING", SG_E_UNAVAILABLE},
        {"READONLY", SG_E_INVALID},    {"MASTERDOWN", SG_E_UNAVAILABLE},
        {"BUSY", SG_E_UNAVAILABLE},    {"CLUSTERDOWN", SG_E_UNAVAILABLE},
        {"OOM", SG_E_UNAVAILABLE},     {"TRYAGAIN", SG_E_UNAVAILABLE},
        {"MISCONF", SG_E_UNAVAILABLE}, {"NOREPLICAS", SG_E_UNAVAILABLE},
        {"MOVED", SG_E_UNAVAILABLE},   {"ASK", SG_E_UNAVAILABLE},
    };
    enum sg_code code = SG_E_INTERNAL;
    char word[24];
    size_t i;

    if (r->type != REDIS_REPLY_ERROR)
        return sg_fail(err, SG_E_INTERNAL, c->url.name, "unexpected kind of reply to %s", command);
    snprintf(word, sizeof word, "%.*s", (int)strcspn(r->str, " \r\n"), r->str);
    for (i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(word, known[i].word) == 0)
            code = known[i].code;
    return sg_fail(err, code, c->url.name, "%s was refused: %s", command, word);
}

int
sg_redis_conn_ask(struct sg_redis_conn *c, const char *words, const struct sg_slice *slices,
                  int type, redisReply **reply, struct sg_err *err)
{
    redisReply *r;
    char command[24];

    sg_redis_conn_add(c, words, slices);
    if (sg_redis_conn_send(c, err) != 0 || sg_redis_conn_next(c, &r, err) != 0)
        return -1;
    if (r->type != type) {
        snprintf(command, sizeof command, "%.*s", (int)strcspn(words, " "), words);
        sg_redis_conn_refused(c, command, r, err);
        freeReplyObject(r);
        return -1;
    }
    *reply = r;
    return 0;
}

static int
log_in(struct sg_redis_conn *c, struct sg_err *err)
{
    struct sg_slice login[] = {sg_str(c->url.user), sg_str(c->url.password)};
    redisReply *r;
    int rc;

    if (c->url.password[0] == '\0')
        return 0;
    rc = c->url.user[0] != '\0'
             ? sg_redis_conn_ask(c, "AUTH % %", login, REDIS_REPLY_STATUS, &r, err)
             : sg_redis_conn_ask(c, "AUTH %", login + 1, REDIS_REPLY_STATUS, &r, err);
    sg_buf_wipe(&c->out);
    if (rc == 0)
        freeReplyObject(r);
    return rc;
}

static int
choose_database(struct sg_redis_conn *c, struct sg_err *err)
{
    char number[16];
    struct sg_slice arg = {number, 0};
    redisReply *r;

    if (c->url.database == 0)
        return 0;
    arg.len = (size_t)snprintf(number, sizeof number, "%d", c->url.database);
    if (sg_redis_conn_ask(c, "SELECT %", &arg, REDIS_REPLY_STATUS, &r, err) != 0)
        return -1;
    freeReplyObject(r);
    return 0;
}

static int
ask_who(struct sg_redis_conn *c, struct sg_err *err)
{
    const char *id, *version;
    redisReply *r;

    if (sg_redis_conn_ask(c, "INFO", NULL, REDIS_REPLY_STRING, &r, err) != 0)
        return -1;
    if ((id = strstr(r->str, "run_id:")) != NULL)
        snprintf(c->run_id, sizeof c->run_id, "%.*s", (int)strcspn(id + 7, "\r\n"), id + 7);
    c->replica = strstr(r->str, "role:slave") != NULL;
    if ((version = strstr(r->str, "redis_version:")) != NULL)
        c->version = (int)strtol(version + 14, NULL, 10);
    freeReplyObject(r);
    if (c->run_id[0] == '\0')
        return sg_fail(err, SG_E_UNAVAILABLE, c->url.name, "INFO gave no run_id");
    return 0;
}

int
sg_redis_conn_open(const struct sg_redis_conn_options *o, struct sg_redis_conn **out,
                   struct sg_err *err)
{
    struct sg_redis_conn *c = calloc(1, sizeof *c);
    struct sg_wire_options wire = {
        .ca_file = o->ca_file, .timeout_ms = o->timeout_ms, .stop = o->stop};

    if (c == NULL)
        return sg_fail(err, SG_E_INTERNAL, "redis", "out of memory");
    c->out = SG_BUF_INIT(SG_REDIS_CONN_OUT_MAX);
    c->timeout_ms = o->timeout_ms;
    if (sg_redis_url_parse(o->url, &c->url, err) != 0)
        goto fail;
    wire.host = c->url.host;
    wire.port = c->url.port;
    wire.tls = c->url.tls;
    wire.name = c->url.name;
    if (sg_wire_open(&wire, &c->wire, err) != 0 ||
        sg_redis_reader_init(&c->reader, o->max_reply_bytes, err) != 0 || log_in(c, err) != 0 ||
        choose_database(c, err) != 0 || ask_who(c, err) != 0)
        goto fail;
    *out = c;
    return 0;
fail:
    sg_redis_conn_close(c);
    return -1;
}

void
sg_redis_conn_close(struct sg_redis_conn *c)
{
    if (c == NULL)
        return;
    sg_wire_close(c->wire);
    sg_redis_reader_free(&c->reader);
    sg_buf_wipe(&c->out);
    sodium_memzero(c, sizeof *c);
    free(c);
}
