/* SPDX-License-Identifier: MIT */
#include "source/redis_keys.h"
#include "source/source_redis.h"

#include <stdlib.h>

#define KEYS_SEEN_MAX 200000 /* of a larger keyspace a sample, as SCAN's order makes one */
#define KEY_BYTES_MAX ((size_t)32 << 20)
#define COUNT "1000"

/* The keys that were seen, each behind its length. */
struct seen {
    struct sg_buf keys;
    int64_t n;
    bool all;
};

static void
keep_key(struct seen *seen, const redisReply *key)
{
    uint32_t len = (uint32_t)key->len;

    if (key->type != REDIS_REPLY_STRING || key->len > SG_SOURCE_KEY_MAX ||
        sg_slice_starts(sg_slice(key->str, (size_t)key->len), SG_REDIS_OWN_KEYS))
        return;
    sg_buf_add(&seen->keys, sg_slice((const char *)&len, sizeof len));
    sg_buf_add(&seen->keys, sg_slice(key->str, len));
    seen->n += !seen->keys.failed;
}

static int
see_keys(struct sg_redis_source *s, struct seen *seen, struct sg_err *err)
{
    char cursor[24] = "0";

    while (seen->n < KEYS_SEEN_MAX && !seen->keys.failed) {
        struct sg_slice arg = sg_str(cursor);
        redisReply *r;
        size_t i;

        if (sg_redis_conn_ask(s->conn, "SCAN % COUNT " COUNT, &arg, REDIS_REPLY_ARRAY, &r, err) !=
            0)
            return -1;
        if (r->elements != 2 || r->element[0]->type != REDIS_REPLY_STRING ||
            r->element[0]->len >= sizeof cursor || r->element[1]->type != REDIS_REPLY_ARRAY) {
            sg_redis_conn_refused(s->conn, "SCAN", r, err);
            freeReplyObject(r);
            return -1;
        }
        memcpy(cursor, r->element[0]->str, (size_t)r->element[0]->len + 1);
        for (i = 0; i < r->element[1]->elements; i++)
            keep_key(seen, r->element[1]->element[i]);
        freeReplyObject(r);
        seen->all = strcmp(cursor, "0") == 0;
        if (seen->all)
            break;
    }
    return 0;
}

static struct sg_slice
next_key(const struct seen *seen, size_t *at)
{
    struct sg_slice key;
    uint32_t len;

    memcpy(&len, seen->keys.ptr + *at, sizeof len);
    key = sg_slice(seen->keys.ptr + *at + sizeof len, len);
    *at += sizeof len + len;
    return key;
}

static void
count_in(struct sg_source_collection *out, int most, int *n, const char *name, int *last)
{
    int i = *last;

    if (i >= *n || strcmp(out[i].name, name) != 0) /* keys of a kind come in runs, or nearly */
        for (i = 0; i < *n && strcmp(out[i].name, name) != 0; i++) {
        }
    if (i == most)
        return;
    if (i == *n) {
        memcpy(out[i].name, name, strlen(name) + 1);
        out[i].records = 0;
        ++*n;
    }
    out[i].records++;
    *last = i;
}

static int
compare(const void *a, const void *b)
{
    const struct sg_source_collection *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static int
find_patterns(const struct seen *seen, struct sg_source_collection *out, int most, int *n,
              struct sg_err *err)
{
    char name[SG_SOURCE_NAME_MAX + 1];
    struct sg_redis_patterns *p;
    int64_t i;
    size_t at;
    int last = 0;

    if (sg_redis_patterns_new(&p, err) != 0)
        return -1;
    for (i = 0, at = 0; i < seen->n; i++)
        sg_redis_patterns_add(p, next_key(seen, &at));
    sg_redis_patterns_settle(p);
    for (i = 0, at = 0; i < seen->n; i++) {
        sg_redis_patterns_of(p, next_key(seen, &at), name);
        count_in(out, most, n, name, &last);
    }
    sg_redis_patterns_free(p);
    qsort(out, (size_t)*n, sizeof *out, compare);
    return 0;
}

/* Of a sample, as many as the whole keyspace would have. */
static int
estimate(struct sg_redis_source *s, const struct seen *seen, struct sg_source_collection *out,
         int n, struct sg_err *err)
{
    redisReply *r;
    int i;

    if (seen->all || seen->n == 0)
        return 0;
    if (sg_redis_conn_ask(s->conn, "DBSIZE", NULL, REDIS_REPLY_INTEGER, &r, err) != 0)
        return -1;
    for (i = 0; i < n; i++)
        out[i].records = (int64_t)((double)out[i].records * (double)r->integer / (double)seen->n);
    freeReplyObject(r);
    return 0;
}

int
sg_redis_source_collections(struct sg_source *base, struct sg_source_collection *out, int most,
                            int *n, struct sg_err *err)
{
    struct sg_redis_source *s = sg_container_of(base, struct sg_redis_source, base);
    struct seen seen = {.keys = SG_BUF_INIT(KEY_BYTES_MAX)};
    int found = 0, rc;

    if (sg_redis_source_ready(s, err) != 0)
        return -1;
    rc = see_keys(s, &seen, err);
    if (rc == 0)
        rc = find_patterns(&seen, out, most, &found, err);
    if (rc == 0)
        rc = estimate(s, &seen, out, found, err);
    sg_buf_free(&seen.keys);
    if (rc == 0)
        *n = found;
    return sg_redis_source_end(s, rc);
}
