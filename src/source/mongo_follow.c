/* SPDX-License-Identifier: MIT */
/* Changes of a replica set by its change stream; without one, by asking again and again for what a
 * field says is new. A position is either the stream's resume token or the field's last values. */
#include "source/source_mongo.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define POLL_MS 1000
#define SLICE_MS 100
#define NO_REPLICA_SET 40573
#define OVERLAP_MS 2000 /* what was written with an earlier time may become visible later */

static int64_t
now_ms(void)
{
    return (int64_t)(sg_mono_ns(sg_clock_system()) / SG_NS_PER_MS);
}

static int
poll_ms(const struct sg_mongo_source *s)
{
    return s->options.poll_ms > 0 ? s->options.poll_ms : POLL_MS;
}

static int
keep_position(struct sg_mongo_source *s, struct sg_source_follow *follow, const bson_t *value,
              struct sg_err *err)
{
    size_t n;
    char *json = bson_as_canonical_extended_json(value, &n);
    int rc = 0;

    if (json == NULL || n >= sizeof follow->position)
        rc = sg_fail(err, SG_E_LIMIT, s->name, "a position of more than %zu bytes",
                     sizeof follow->position - 1);
    else
        memcpy(follow->position, json, n + 1);
    bson_free(json);
    return rc;
}

static int
beat(struct sg_source_follow *follow, struct sg_err *err)
{
    return follow->change(follow->ctx, SG_SOURCE_BEAT, NULL, NULL, follow->position, err);
}

/* ---- the change stream ---- */

static const char *
followed(const struct sg_source_follow *follow, const char *name)
{
    const char *const *c;

    for (c = follow->collections; *c != NULL; c++)
        if (strcmp(*c, name) == 0)
            return *c;
    return NULL;
}

/* [{"$match": {"ns.coll": {"$in": […]}}}] */
static bson_t *
pipeline_of(const struct sg_source_follow *follow)
{
    bson_t *pipeline = bson_new(), list, stage, match, coll, in;
    char number[16];
    int i;

    bson_append_array_begin(pipeline, "pipeline", -1, &list);
    bson_append_document_begin(&list, "0", -1, &stage);
    bson_append_document_begin(&stage, "$match", -1, &match);
    bson_append_document_begin(&match, "ns.coll", -1, &coll);
    bson_append_array_begin(&coll, "$in", -1, &in);
    for (i = 0; follow->collections[i] != NULL; i++) {
        snprintf(number, sizeof number, "%d", i);
        bson_append_utf8(&in, number, -1, follow->collections[i], -1);
    }
    bson_append_array_end(&coll, &in);
    bson_append_document_end(&match, &coll);
    bson_append_document_end(&stage, &match);
    bson_append_document_end(&list, &stage);
    bson_append_array_end(pipeline, &list);
    return pipeline;
}

static int
stream_failed(struct sg_mongo_source *s, const bson_error_t *why, struct sg_err *err)
{
    switch (why->code) {
    case 286: /* ChangeStreamHistoryLost */
    case 280: /* ChangeStreamFatalError */
    case 260: /* InvalidResumeToken */
    case 136: /* CappedPositionLost */
        return sg_fail(err, SG_E_CONFLICT, s->name,
                       "the position is no longer in the oplog: everything must be read again");
    default:
        return sg_mongo_failed(s, "following", why, err);
    }
}

static bool
has(const bson_t *event, const char *path, bson_iter_t *at)
{
    bson_iter_t it;

    return bson_iter_init(&it, event) && bson_iter_find_descendant(&it, path, at);
}

/* A deletion: the key stands in documentKey. */
static int
tell_delete(struct sg_mongo_source *s, struct sg_source_follow *follow, const char *collection,
            const bson_iter_t *id, struct sg_err *err)
{
    struct sg_source_record r = {.expires_ms = -1};
    struct sg_buf key = SG_BUF_INIT(SG_DOC_BYTES_MAX);
    bson_t one = BSON_INITIALIZER;
    struct sg_doc doc;
    int rc;

    bson_append_value(&one, "_id", 3, bson_iter_value((bson_iter_t *)id));
    rc =
        sg_doc_from_bson(s->arena, sg_slice((const char *)bson_get_data(&one), one.len), &doc, err);
    if (rc == 0)
        rc = sg_doc_id_text(&doc.members[0].value, &key, err);
    r.key = sg_buf_slice(&key);
    if (rc == 0)
        rc = follow->change(follow->ctx, SG_SOURCE_DELETE, collection, &r, follow->position, err);
    sg_buf_free(&key);
    bson_destroy(&one);
    return rc;
}

static int
tell_put(struct sg_mongo_source *s, struct sg_source_follow *follow, const char *collection,
         const bson_iter_t *full, struct sg_err *err)
{
    const uint8_t *bytes;
    uint32_t len;
    bson_t doc;

    bson_iter_document(full, &len, &bytes);
    if (bytes == NULL || !bson_init_static(&doc, bytes, len))
        return sg_fail(err, SG_E_INTERNAL, s->name, "a change without a document");
    if (sg_mongo_learn_ttl(s, collection, err) != 0 || sg_mongo_record(s, 0, &doc) != 0)
        return -1;
    return follow->change(follow->ctx, SG_SOURCE_PUT, collection, &s->records[0], follow->position,
                          err);
}

static int
tell_event(struct sg_mongo_source *s, struct sg_source_follow *follow, const bson_t *event,
           struct sg_err *err)
{
    static const char *const changes[] = {"insert", "replace", "update", "delete"};
    const char *what, *collection;
    bson_iter_t at, id;
    size_t i;

    what = has(event, "operationType", &at) && BSON_ITER_HOLDS_UTF8(&at) ? bson_iter_utf8(&at, NULL)
                                                                         : "";
    for (i = 0; i < 4 && strcmp(what, changes[i]) != 0; i++) {
    }
    if (i == 4)
        return sg_fail(err, SG_E_CONFLICT, s->name,
                       "a collection was dropped or renamed: everything must be read again");
    collection = has(event, "ns.coll", &at) && BSON_ITER_HOLDS_UTF8(&at)
                     ? followed(follow, bson_iter_utf8(&at, NULL))
                     : NULL;
    if (collection == NULL)
        return 0;
    sg_arena_reset(s->arena);
    if (has(event, "fullDocument", &at) && BSON_ITER_HOLDS_DOCUMENT(&at))
        return tell_put(s, follow, collection, &at, err);
    /* An update whose document is gone by now is a deletion that comes again. */
    if (has(event, "documentKey._id", &id))
        return tell_delete(s, follow, collection, &id, err);
    return sg_fail(err, SG_E_INTERNAL, s->name, "a change without a key");
}

static int
run_stream(struct sg_mongo_source *s, struct sg_source_follow *follow,
           mongoc_change_stream_t *stream, bool *unsupported, struct sg_err *err)
{
    const bson_t *event, *token;
    bson_error_t why;

    while (!sg_mongo_stopped(s)) {
        int64_t asked = now_ms();
        bool got = mongoc_change_stream_next(stream, &event);

        if (!got && mongoc_change_stream_error_document(stream, &why, NULL)) {
            *unsupported = why.code == NO_REPLICA_SET;
            return stream_failed(s, &why, err);
        }
        token = mongoc_change_stream_get_resume_token(stream);
        if (token != NULL && keep_position(s, follow, token, err) != 0)
            return -1;
        if (got && tell_event(s, follow, event, err) != 0)
            return -1;
        if (!got) {
            /* Whatever was committed before the question would have been in the answer. */
            s->staleness_ms = now_ms() - asked;
            if (token != NULL && beat(follow, err) != 0)
                return -1;
        }
    }
    return sg_fail(err, SG_E_CANCELLED, s->name, "stopped");
}

static int
follow_stream(struct sg_mongo_source *s, struct sg_source_follow *follow, bool *unsupported,
              struct sg_err *err)
{
    mongoc_database_t *db = mongoc_client_get_database(s->client, mongoc_uri_get_database(s->uri));
    bson_t *pipeline = pipeline_of(follow), *token = NULL;
    bson_t *opts = BCON_NEW("fullDocument", "updateLookup", "maxAwaitTimeMS",
                            BCON_INT64(poll_ms(s) < SLICE_MS ? SLICE_MS : poll_ms(s)));
    mongoc_change_stream_t *stream;
    int rc;

    if (follow->position[0] != '\0') {
        token = bson_new_from_json((const uint8_t *)follow->position,
                                   (ssize_t)strlen(follow->position), NULL);
        if (token != NULL)
            bson_append_document(opts, "resumeAfter", -1, token);
    }
    if (follow->position[0] != '\0' && token == NULL) {
        rc = sg_fail(err, SG_E_INVALID, s->name, "not a position of this source");
    } else {
        stream = mongoc_database_watch(db, pipeline, opts);
        rc = run_stream(s, follow, stream, unsupported, err);
        mongoc_change_stream_destroy(stream);
    }
    if (token != NULL)
        bson_destroy(token);
    bson_destroy(opts);
    bson_destroy(pipeline);
    mongoc_database_destroy(db);
    return rc;
}

/* ---- polling a field ---- */

struct poll {
    struct sg_mongo_source *s;
    struct sg_source_follow *follow;
    const char *collection;
    bson_t last; /* {collection: the greatest value that was seen} */
};

/* Keeps `value` as the collection's last. */
static void
set_last(struct poll *p, const bson_value_t *value)
{
    bson_t next = BSON_INITIALIZER;

    bson_copy_to_excluding_noinit(&p->last, &next, p->collection, NULL);
    bson_append_value(&next, p->collection, -1, value);
    bson_destroy(&p->last);
    bson_steal(&p->last, &next);
}

/* {field: {"$gte": last}}, somewhat before a point in time */
static void
poll_filter(const struct poll *p, bson_t *filter)
{
    bson_iter_t it;
    bson_t range;

    if (!bson_iter_init_find(&it, &p->last, p->collection))
        return; /* nothing was there: everything is new */
    bson_append_document_begin(filter, p->s->poll_field, -1, &range);
    if (BSON_ITER_HOLDS_DATE_TIME(&it))
        bson_append_date_time(&range, "$gte", 4, bson_iter_date_time(&it) - OVERLAP_MS);
    else
        bson_append_value(&range, "$gte", 4, bson_iter_value(&it));
    bson_append_document_end(filter, &range);
}

static int
tell_polled(void *ctx, const struct sg_source_record *records, int n, struct sg_err *err)
{
    struct poll *p = ctx;
    int i;

    for (i = 0; i < n; i++) {
        if (p->follow->change(p->follow->ctx, SG_SOURCE_PUT, p->collection, &records[i],
                              p->follow->position, err) != 0)
            return -1;
    }
    if (n > 0 && records[n - 1].raw.len != 0) {
        bson_iter_t it, at;
        bson_t doc;

        if (bson_init_static(&doc, (const uint8_t *)records[n - 1].raw.ptr,
                             records[n - 1].raw.len) &&
            bson_iter_init(&it, &doc) && bson_iter_find_descendant(&it, p->s->poll_field, &at))
            set_last(p, bson_iter_value(&at));
    }
    return 0;
}

/* The position is {"poll": {…}}, and moves when a round is complete. */
static int
keep_poll(struct poll *p, struct sg_err *err)
{
    bson_t position = BSON_INITIALIZER;
    int rc;

    bson_append_document(&position, "poll", 4, &p->last);
    rc = keep_position(p->s, p->follow, &position, err);
    bson_destroy(&position);
    return rc;
}

static int
take_position(struct poll *p, struct sg_err *err)
{
    struct sg_source_follow *f = p->follow;
    bson_t *position, last;
    const uint8_t *bytes;
    bson_iter_t it;
    uint32_t len;
    int rc = 0;

    position = bson_new_from_json((const uint8_t *)f->position, (ssize_t)strlen(f->position), NULL);
    if (position == NULL || !bson_iter_init_find(&it, position, "poll") ||
        !BSON_ITER_HOLDS_DOCUMENT(&it)) {
        rc = sg_fail(err, SG_E_CONFLICT, p->s->name,
                     "the position is a change stream's, and there is none any more: everything "
                     "must be read again");
    } else {
        bson_iter_document(&it, &len, &bytes);
        bson_init_static(&last, bytes, len);
        bson_destroy(&p->last);
        bson_copy_to(&last, &p->last);
    }
    if (position != NULL)
        bson_destroy(position);
    return rc;
}

/* One round of a collection: with `now` only where it ends at present. */
static int
poll_one(struct poll *p, bool now, struct sg_err *err)
{
    struct sg_mongo_source *s = p->s;
    bson_t filter = BSON_INITIALIZER, sort = BSON_INITIALIZER, opts = BSON_INITIALIZER;
    mongoc_collection_t *c;
    mongoc_cursor_t *cursor;
    const bson_t *doc;
    bson_iter_t it, at;
    bson_error_t why;
    int rc = 0;

    if (sg_mongo_learn_ttl(s, p->collection, err) != 0)
        return -1;
    c = sg_mongo_collection(s, p->collection);
    bson_append_int32(&sort, s->poll_field, -1, now ? -1 : 1);
    bson_append_document(&opts, "sort", 4, &sort);
    if (now)
        bson_append_int64(&opts, "limit", 5, 1);
    else
        poll_filter(p, &filter);
    cursor = mongoc_collection_find_with_opts(c, &filter, &opts, NULL);
    if (!now) {
        rc = sg_mongo_emit(s, cursor, NULL, tell_polled, p, err);
    } else {
        if (mongoc_cursor_next(cursor, &doc) && bson_iter_init(&it, doc) &&
            bson_iter_find_descendant(&it, s->poll_field, &at))
            set_last(p, bson_iter_value(&at));
        if (mongoc_cursor_error(cursor, &why))
            rc = sg_mongo_failed(s, "polling", &why, err);
        mongoc_cursor_destroy(cursor);
    }
    mongoc_collection_destroy(c);
    bson_destroy(&filter);
    bson_destroy(&sort);
    bson_destroy(&opts);
    return rc;
}

static int
poll_all(struct poll *p, bool now, struct sg_err *err)
{
    const char *const *c;

    for (c = p->follow->collections; *c != NULL; c++) {
        p->collection = *c;
        if (poll_one(p, now, err) != 0)
            return -1;
    }
    return keep_poll(p, err);
}

static void
sleep_until(const struct sg_mongo_source *s, int64_t until)
{
    while (!sg_mongo_stopped(s) && now_ms() < until) {
        int64_t left = until - now_ms();
        struct timespec t = {0, (left < SLICE_MS ? left : SLICE_MS) * 1000000};

        nanosleep(&t, NULL);
    }
}

static int
follow_poll(struct sg_mongo_source *s, struct sg_source_follow *follow, struct sg_err *err)
{
    struct poll p = {.s = s, .follow = follow};
    int64_t before = now_ms(), asked;
    int rc;

    bson_init(&p.last);
    rc = follow->position[0] != '\0' ? take_position(&p, err) : poll_all(&p, true, err);
    while (rc == 0 && !sg_mongo_stopped(s)) {
        asked = now_ms();
        rc = poll_all(&p, false, err);
        /* A change right after one question is told with the answer to the next. */
        s->staleness_ms = now_ms() - before;
        before = asked;
        if (rc == 0)
            rc = beat(follow, err);
        if (rc == 0)
            sleep_until(s, asked + poll_ms(s));
    }
    bson_destroy(&p.last);
    return rc != 0 ? -1 : sg_fail(err, SG_E_CANCELLED, s->name, "stopped");
}

int
sg_mongo_follow(struct sg_source *base, struct sg_source_follow *follow, struct sg_err *err)
{
    struct sg_mongo_source *s = sg_container_of(base, struct sg_mongo_source, base);
    bool unsupported = false, polled = strncmp(follow->position, "{ \"poll\"", 8) == 0;

    if (!polled) {
        int rc = follow_stream(s, follow, &unsupported, err);

        if (!unsupported)
            return rc;
    }
    if (s->poll_field == NULL)
        return sg_fail(err, SG_E_INVALID, s->name,
                       "without a replica set there is no change stream: name a field that every "
                       "change raises, to be polled");
    return follow_poll(s, follow, err);
}
