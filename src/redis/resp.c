/* SPDX-License-Identifier: MIT */
#include "redis/resp.h"

/* "*12\r\n", "$12\r\n": every command has several, so no printf. */
static void
put_header(struct sg_buf *out, char kind, size_t n)
{
    char text[24], *p = text + sizeof text;

    *--p = '\n';
    *--p = '\r';
    do
        *--p = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    *--p = kind;
    sg_buf_add(out, sg_slice(p, (size_t)(text + sizeof text - p)));
}

void
sg_redis_encode(struct sg_buf *out, const struct sg_slice *args, int n)
{
    int i;

    put_header(out, '*', (size_t)n);
    for (i = 0; i < n; i++) {
        put_header(out, '$', args[i].len);
        sg_buf_add(out, args[i]);
        sg_buf_add(out, sg_slice("\r\n", 2));
    }
}

static bool
reply_grows(struct sg_redis_reader *r, size_t bytes)
{
    if (bytes > r->max_reply_bytes || r->reply_bytes > r->max_reply_bytes - bytes) {
        r->too_large = true;
        return false;
    }
    r->reply_bytes += bytes;
    return true;
}

static void *
create_array(const redisReadTask *task, int elements)
{
    struct sg_redis_reader *r = task->privdata;

    if (!reply_grows(r, (size_t)elements * (sizeof(void *) + sizeof(redisReply))))
        return NULL;
    return r->defaults.createArray(task, elements);
}

static void *
create_string(const redisReadTask *task, char *text, size_t len)
{
    struct sg_redis_reader *r = task->privdata;

    return reply_grows(r, len) ? r->defaults.createString(task, text, len) : NULL;
}

int
sg_redis_reader_init(struct sg_redis_reader *r, size_t max_reply_bytes, struct sg_err *err)
{
    *r = (struct sg_redis_reader){.max_reply_bytes = max_reply_bytes};
    r->hiredis = redisReaderCreate();
    if (r->hiredis == NULL)
        return sg_fail(err, SG_E_INTERNAL, "redis", "out of memory");
    r->defaults = r->bounded = *r->hiredis->fn;
    r->bounded.createArray = create_array;
    r->bounded.createString = create_string;
    r->hiredis->fn = &r->bounded;
    r->hiredis->privdata = r;
    return 0;
}

void
sg_redis_reader_free(struct sg_redis_reader *r)
{
    if (r->hiredis != NULL)
        redisReaderFree(r->hiredis);
    r->hiredis = NULL;
}

static int
too_large(const struct sg_redis_reader *r, struct sg_err *err)
{
    return sg_fail(err, SG_E_LIMIT, "redis", "a reply above %zu bytes", r->max_reply_bytes);
}

int
sg_redis_reader_feed(struct sg_redis_reader *r, const char *bytes, size_t n, struct sg_err *err)
{
    /* What is unread belongs to one reply: hiredis waits for the whole of a bulk. */
    if (r->hiredis->len - r->hiredis->pos > r->max_reply_bytes + n)
        return too_large(r, err);
    if (redisReaderFeed(r->hiredis, bytes, n) != REDIS_OK)
        return sg_fail(err, SG_E_INTERNAL, "redis", "out of memory");
    return 0;
}

int
sg_redis_reader_next(struct sg_redis_reader *r, redisReply **reply, struct sg_err *err)
{
    void *next = NULL;

    if (redisReaderGetReply(r->hiredis, &next) != REDIS_OK)
        return r->too_large ? too_large(r, err)
                            : sg_fail(err, SG_E_UNAVAILABLE, "redis", "could not read a reply: %s",
                                      redisReaderGetError(r->hiredis));
    if (next != NULL)
        r->reply_bytes = 0;
    *reply = next;
    return 0;
}
