/* SPDX-License-Identifier: MIT */
/* One record back into Redis, in the encoding it has there. */
#include "base/clock.h"
#include "source/source_redis.h"

#include <inttypes.h>
#include <stdio.h>

#define ARGS_PER_COMMAND 500 /* elements of a large collection come in several */

/* The text of one element, field value or string; what is no text is written as JSON. */
static int
value_text(struct sg_arena *arena, const struct sg_doc *doc, struct sg_slice *out,
           struct sg_err *err)
{
    struct sg_buf json = SG_BUF_INIT(SG_DOC_BYTES_MAX);
    char *copy;
    int rc;

    if (doc->type == SG_DOC_STRING || doc->type == SG_DOC_BYTES) {
        *out = doc->text;
        return 0;
    }
    rc = sg_doc_to_json(doc, &json, err);
    if (rc == 0 && (copy = sg_arena_alloc(arena, json.len)) == NULL)
        rc = sg_fail(err, SG_E_LIMIT, "redis", "the record takes more memory than a batch may");
    if (rc == 0) {
        memcpy(copy, json.ptr, json.len);
        *out = sg_slice(copy, json.len);
    }
    sg_buf_free(&json);
    return rc;
}

static int
add_string(struct sg_redis_loader *l, const struct sg_source_record *r, struct sg_err *err)
{
    struct sg_slice args[3] = {r->key};
    char at[24];

    if (value_text(l->arena, r->doc, &args[1], err) != 0)
        return -1;
    snprintf(at, sizeof at, "%" PRId64, r->expires_ms);
    args[2] = sg_str(at);
    sg_redis_conn_add(l->conn,
                      r->expires_ms >= 0    ? "SET % % PXAT %"
                      : r->expires_ms == -2 ? "SET % % KEEPTTL"
                                            : "SET % %",
                      args);
    return 0;
}

/* An element's slices: a hash's name and value, a sorted set's score and member, else the value. */
static int
element(struct sg_arena *arena, const char *type, const struct sg_doc *doc, uint32_t i,
        struct sg_slice out[2], struct sg_err *err)
{
    const struct sg_doc *member, *score;

    if (doc->type == SG_DOC_OBJECT) {
        out[0] = doc->members[i].name;
        return value_text(arena, &doc->members[i].value, &out[1], err);
    }
    if (strcmp(type, "zset") != 0)
        return value_text(arena, &doc->items[i], &out[0], err);
    if (doc->items[i].type != SG_DOC_OBJECT ||
        (member = sg_doc_get(&doc->items[i], sg_str("member"))) == NULL ||
        (score = sg_doc_get(&doc->items[i], sg_str("score"))) == NULL)
        return sg_fail(err, SG_E_INVALID, "redis",
                       "an item of a sorted set is not {\"member\", \"score\"}");
    return value_text(arena, score, &out[0], err) != 0 ? -1
                                                       : value_text(arena, member, &out[1], err);
}

static int
add_elements(struct sg_redis_loader *l, const struct sg_source_record *r, const char *type,
             const char *command, struct sg_err *err)
{
    int each = r->doc->type == SG_DOC_OBJECT || strcmp(type, "zset") == 0 ? 2 : 1, n = 2;
    struct sg_slice args[ARGS_PER_COMMAND + 2] = {sg_str(command), r->key};
    uint32_t i;

    for (i = 0; i < r->doc->n; i++) {
        if (element(l->arena, type, r->doc, i, args + n, err) != 0)
            return -1;
        n += each;
        if (n >= ARGS_PER_COMMAND || i + 1 == r->doc->n) {
            sg_redis_conn_add_args(l->conn, args, n);
            n = 2;
        }
    }
    return 0;
}

static int
add_collection(struct sg_redis_loader *l, const struct sg_source_record *r, const char *type,
               int64_t expires_ms, struct sg_err *err)
{
    static const char *const commands[][2] = {
        {"hash", "HSET"}, {"list", "RPUSH"}, {"set", "SADD"}, {"zset", "ZADD"}};
    struct sg_redis_conn *c = l->conn;
    struct sg_slice args[2] = {r->key};
    const char *command = NULL;
    char at[24];
    size_t i;

    for (i = 0; i < 4; i++)
        if (strcmp(type, commands[i][0]) == 0)
            command = commands[i][1];
    if (command == NULL)
        return sg_fail(err, SG_E_INVALID, c->url.name, "the key holds a type that is not written");
    if (r->doc->type != (strcmp(type, "hash") == 0 ? SG_DOC_OBJECT : SG_DOC_ARRAY))
        return sg_fail(err, SG_E_INVALID, c->url.name, "a document of type %s is no redis %s",
                       sg_doc_type_name(r->doc->type), type);
    sg_redis_conn_add(c, "DEL %", &r->key);
    if (r->doc->n > 0 && add_elements(l, r, type, command, err) != 0)
        return -1;
    snprintf(at, sizeof at, "%" PRId64, expires_ms);
    args[1] = sg_str(at);
    if (expires_ms >= 0)
        sg_redis_conn_add(c, "PEXPIREAT % %", args);
    return 0;
}

/* Watches the key, and asks what it is; *type stays where the key is not there. */
static int
look(struct sg_redis_source *s, struct sg_slice key, const char **type, int64_t *expires_ms,
     struct sg_err *err)
{
    static const char *const types[] = {"string", "hash", "list", "set", "zset", "none"};
    bool known = false;
    redisReply *r;
    size_t i;

    if (sg_redis_conn_ask(s->conn, "WATCH %", &key, REDIS_REPLY_STATUS, &r, err) != 0)
        return -1;
    freeReplyObject(r);
    if (sg_redis_conn_ask(s->conn, "TYPE %", &key, REDIS_REPLY_STATUS, &r, err) != 0)
        return -1;
    for (i = 0; i < 6 && !known; i++)
        if ((known = strcmp(r->str, types[i]) == 0) && i < 5)
            *type = types[i];
    freeReplyObject(r);
    if (!known)
        return sg_fail(err, SG_E_INVALID, s->conn->url.name,
                       "the key holds a type that is not written");
    if (sg_redis_conn_ask(s->conn, s->loader.absolute ? "PEXPIRETIME %" : "PTTL %", &key,
                          REDIS_REPLY_INTEGER, &r, err) != 0)
        return -1;
    *expires_ms = r->integer;
    if (r->integer >= 0 && !s->loader.absolute)
        *expires_ms += sg_wall_ms(sg_clock_system());
    freeReplyObject(r);
    return 0;
}

/* The replies up to EXEC's, which is an array unless the watched key was changed. */
static int
take_exec(struct sg_redis_conn *c, struct sg_err *err)
{
    redisReply *r;
    size_t i;
    int rc = 0;

    for (;;) {
        if (sg_redis_conn_next(c, &r, err) != 0)
            return -1;
        if (r->type != REDIS_REPLY_STATUS)
            break;
        freeReplyObject(r);
    }
    if (r->type == REDIS_REPLY_NIL)
        rc = sg_fail(err, SG_E_CONFLICT, c->url.name, "the key was changed at the same time");
    else if (r->type != REDIS_REPLY_ARRAY)
        rc = sg_redis_conn_refused(c, "EXEC", r, err);
    for (i = 0; rc == 0 && i < r->elements; i++)
        if (r->element[i]->type == REDIS_REPLY_ERROR)
            rc = sg_redis_conn_refused(c, "the write", r->element[i], err);
    freeReplyObject(r);
    return rc;
}

static int
write_record(struct sg_redis_source *s, const struct sg_source_record *record, struct sg_err *err)
{
    struct sg_source_record r = *record;
    const char *type = r.redis_type != NULL ? r.redis_type : "string";
    int64_t expires_ms = r.expires_ms, is = -1;
    redisReply *reply;
    int rc;

    sg_arena_reset(s->loader.arena);
    if (r.doc == NULL) {
        rc = sg_redis_conn_ask(s->conn, "DEL %", &r.key, REDIS_REPLY_INTEGER, &reply, err);
        if (rc == 0)
            freeReplyObject(reply);
        return rc;
    }
    if (look(s, r.key, &type, &is, err) != 0)
        return -1;
    if (expires_ms == -2)
        expires_ms = is;
    sg_redis_conn_add(s->conn, "MULTI", NULL);
    rc = strcmp(type, "string") == 0 ? add_string(&s->loader, &r, err)
                                     : add_collection(&s->loader, &r, type, expires_ms, err);
    sg_redis_conn_add(s->conn, "EXEC", NULL);
    if (rc == 0)
        rc = sg_redis_conn_send(s->conn, err) != 0 ? -1 : take_exec(s->conn, err);
    return rc;
}

int
sg_redis_source_write(struct sg_source *base, const char *collection,
                      const struct sg_source_record *record, struct sg_err *err)
{
    struct sg_redis_source *s = sg_container_of(base, struct sg_redis_source, base);

    (void)collection;
    if (sg_redis_source_ready(s, err) != 0)
        return -1;
    return sg_redis_source_end(s, write_record(s, record, err));
}
