/* SPDX-License-Identifier: MIT */
/* A MongoDB database by libmongoc, on the caller's thread. */
#include "source/source_mongo.h"

#include "source/sources.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* libmongoc logs to stderr of itself, and may quote what it got. */
static void
start_library(void)
{
    mongoc_init();
    mongoc_log_set_handler(NULL, NULL);
}

static struct sg_mongo_source *
of(const struct sg_source *base)
{
    return sg_container_of(base, struct sg_mongo_source, base);
}

int
sg_mongo_failed(const struct sg_mongo_source *s, const char *what, const bson_error_t *why,
                struct sg_err *err)
{
    bool link = why->domain == MONGOC_ERROR_STREAM ||
                why->domain == MONGOC_ERROR_SERVER_SELECTION || why->domain == MONGOC_ERROR_CLIENT;

    if (why->domain == MONGOC_ERROR_CLIENT && why->code == MONGOC_ERROR_CLIENT_AUTHENTICATE)
        return sg_fail(err, SG_E_DENIED, s->name, "%s: user or password was refused", what);
    if (link)
        return sg_fail(err, SG_E_UNAVAILABLE, s->name, "%s: %.200s", what, why->message);
    switch (why->code) {
    case 13: /* Unauthorized */
    case 18: /* AuthenticationFailed */
        return sg_fail(err, SG_E_DENIED, s->name, "%s was refused to this user", what);
    case 43: /* CursorNotFound */
        return sg_fail(err, SG_E_UNAVAILABLE, s->name, "%s: the server dropped the cursor", what);
    case 11600: /* InterruptedAtShutdown, and the states of a replica set's members */
    case 11602:
    case 10107:
    case 13435:
    case 189:
    case 91:
        return sg_fail(err, SG_E_UNAVAILABLE, s->name, "%s: the server is not the primary (%u)",
                       what, why->code);
    default:
        return sg_fail(err, SG_E_INTERNAL, s->name, "%s failed: MongoDB error %u", what, why->code);
    }
}

bool
sg_mongo_stopped(const struct sg_mongo_source *s)
{
    return s->options.stop != NULL && atomic_load_explicit(s->options.stop, memory_order_relaxed);
}

mongoc_collection_t *
sg_mongo_collection(struct sg_mongo_source *s, const char *name)
{
    return mongoc_client_get_collection(s->client, mongoc_uri_get_database(s->uri), name);
}

/* ---- opening ---- */

static void
close_source(struct sg_source *base)
{
    struct sg_mongo_source *s = of(base);
    int i;

    for (i = 0; s->keys != NULL && i < s->options.batch_records; i++)
        sg_buf_free(&s->keys[i]);
    if (s->client != NULL)
        mongoc_client_destroy(s->client);
    if (s->uri != NULL)
        mongoc_uri_destroy(s->uri);
    sg_arena_free(s->arena);
    free(s->records);
    free(s->docs);
    free(s->kept);
    free(s->keys);
    free(s->poll_field);
    free(s);
}

static int
parse_url(struct sg_mongo_source *s, const struct sg_source_options *o, struct sg_err *err)
{
    const mongoc_host_list_t *host;
    bson_error_t why;

    s->uri = mongoc_uri_new_with_error(o->url, &why);
    if (s->uri == NULL) /* why->message may quote a part of the URL */
        return sg_fail(err, SG_E_INVALID, "mongodb url",
                       "not understood; expected mongodb://[user:password@]host:port/database, "
                       "with ':' '/' '@' in user and password percent-encoded");
    if (mongoc_uri_get_database(s->uri) == NULL)
        return sg_fail(err, SG_E_INVALID, "mongodb url",
                       "the database is missing: mongodb://[user:password@]host:port/database");
    host = mongoc_uri_get_hosts(s->uri);
    snprintf(s->name, sizeof s->name, "mongodb %.80s/%.60s",
             host != NULL ? host->host_and_port : "by DNS", mongoc_uri_get_database(s->uri));
    mongoc_uri_set_option_as_int32(s->uri, MONGOC_URI_CONNECTTIMEOUTMS, o->timeout_ms);
    mongoc_uri_set_option_as_int32(s->uri, MONGOC_URI_SOCKETTIMEOUTMS, o->timeout_ms);
    mongoc_uri_set_option_as_int32(s->uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, o->timeout_ms);
    if (o->ca_file != NULL)
        mongoc_uri_set_option_as_utf8(s->uri, MONGOC_URI_TLSCAFILE, o->ca_file);
    return 0;
}

static int
connect_client(struct sg_mongo_source *s, struct sg_err *err)
{
    bson_t ping = BSON_INITIALIZER;
    bson_error_t why;
    bool good;

    s->client = mongoc_client_new_from_uri_with_error(s->uri, &why);
    if (s->client == NULL)
        return sg_fail(err, SG_E_INVALID, s->name, "the URL's options do not go together");
    mongoc_client_set_error_api(s->client, MONGOC_ERROR_API_VERSION_2);
    BSON_APPEND_INT32(&ping, "ping", 1);
    good = mongoc_client_command_simple(s->client, mongoc_uri_get_database(s->uri), &ping, NULL,
                                        NULL, &why);
    bson_destroy(&ping);
    return good ? 0 : sg_mongo_failed(s, "could not connect", &why, err);
}

static int
open_source(const struct sg_source_options *o, struct sg_source **out, struct sg_err *err)
{
    struct sg_mongo_source *s;
    size_t n = (size_t)o->batch_records;
    int i;

    if (o->bytes_max < 1 << 20 || o->batch_records < 1 || o->timeout_ms < 1)
        return sg_fail(err, SG_E_INVALID, "source",
                       "a batch takes at least 1 MiB and a record, and a timeout a millisecond");
    pthread_once(&once, start_library);
    if ((s = calloc(1, sizeof *s)) == NULL)
        return sg_fail(err, SG_E_INTERNAL, "source", "out of memory");
    s->base.type = &sg_source_mongo;
    s->options = *o;
    s->staleness_ms = -1;
    s->poll_field = o->poll_field != NULL ? strdup(o->poll_field) : NULL;
    s->records = calloc(n, sizeof *s->records);
    s->docs = calloc(n, sizeof *s->docs);
    s->kept = calloc(n, sizeof *s->kept);
    s->keys = calloc(n, sizeof *s->keys);
    if (s->records == NULL || s->docs == NULL || s->kept == NULL || s->keys == NULL ||
        (o->poll_field != NULL && s->poll_field == NULL)) {
        sg_fail(err, SG_E_INTERNAL, "source", "out of memory");
        goto fail;
    }
    for (i = 0; i < o->batch_records; i++)
        s->keys[i] = SG_BUF_INIT(SG_DOC_BYTES_MAX);
    if (sg_arena_new((size_t)o->bytes_max / 2, &s->arena, err) != 0 || parse_url(s, o, err) != 0 ||
        connect_client(s, err) != 0)
        goto fail;
    *out = &s->base;
    return 0;
fail:
    close_source(&s->base);
    return -1;
}

/* ---- collections ---- */

static int
collections(struct sg_source *base, struct sg_source_collection *out, int most, int *n,
            struct sg_err *err)
{
    struct sg_mongo_source *s = of(base);
    mongoc_database_t *db = mongoc_client_get_database(s->client, mongoc_uri_get_database(s->uri));
    char **names, **name;
    bson_error_t why;
    int found = 0;

    names = mongoc_database_get_collection_names_with_opts(db, NULL, &why);
    mongoc_database_destroy(db);
    if (names == NULL)
        return sg_mongo_failed(s, "listing collections", &why, err);
    for (name = names; *name != NULL && found < most; name++) {
        mongoc_collection_t *c;

        if (strncmp(*name, "system.", 7) == 0 || strlen(*name) > SG_SOURCE_NAME_MAX)
            continue;
        c = sg_mongo_collection(s, *name);
        snprintf(out[found].name, sizeof out[found].name, "%s", *name);
        out[found++].records =
            mongoc_collection_estimated_document_count(c, NULL, NULL, NULL, &why);
        mongoc_collection_destroy(c);
    }
    bson_strfreev(names);
    *n = found;
    return 0;
}

/* {"key": {field: 1}, "expireAfterSeconds": n} */
static bool
take_index(struct sg_mongo_source *s, const bson_t *index)
{
    bson_iter_t it, key;

    if (!bson_iter_init_find(&it, index, "expireAfterSeconds") || !BSON_ITER_HOLDS_NUMBER(&it))
        return false;
    s->ttl_ms = bson_iter_as_int64(&it) * 1000;
    if (!bson_iter_init_find(&it, index, "key") || !BSON_ITER_HOLDS_DOCUMENT(&it) ||
        !bson_iter_recurse(&it, &key) || !bson_iter_next(&key) ||
        bson_iter_key_len(&key) > SG_SOURCE_NAME_MAX)
        return false;
    snprintf(s->ttl_field, sizeof s->ttl_field, "%s", bson_iter_key(&key));
    return true;
}

int
sg_mongo_learn_ttl(struct sg_mongo_source *s, const char *collection, struct sg_err *err)
{
    mongoc_collection_t *c;
    mongoc_cursor_t *cursor;
    const bson_t *index;
    bson_error_t why;
    int rc = 0;

    if (strcmp(s->ttl_of, collection) == 0)
        return 0;
    c = sg_mongo_collection(s, collection);
    s->ttl_field[0] = '\0';
    cursor = mongoc_collection_find_indexes_with_opts(c, NULL);
    while (mongoc_cursor_next(cursor, &index) && !take_index(s, index)) {
    }
    /* NamespaceNotFound: what is not there has no index. */
    if (mongoc_cursor_error(cursor, &why) && why.code != 26)
        rc = sg_mongo_failed(s, "listing indexes", &why, err);
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(c);
    if (rc == 0)
        snprintf(s->ttl_of, sizeof s->ttl_of, "%s", collection);
    return rc;
}

/* ---- records ---- */

static int64_t
expires_ms(const struct sg_mongo_source *s, const struct sg_doc *doc)
{
    const struct sg_doc *at =
        s->ttl_field[0] != '\0' ? sg_doc_get(doc, sg_str(s->ttl_field)) : NULL;
    int64_t ms;

    if (at == NULL || at->type != SG_DOC_TIME ||
        __builtin_add_overflow(at->integer, s->ttl_ms, &ms))
        return -1;
    return ms < 0 ? 0 : ms;
}

/* The _id of a document that as a whole cannot be read. */
static void
id_alone(struct sg_mongo_source *s, int i, const bson_t *bson)
{
    bson_t one = BSON_INITIALIZER;
    struct sg_doc id;
    bson_iter_t it;

    sg_buf_reset(&s->keys[i]);
    if (bson_iter_init_find(&it, bson, "_id") &&
        bson_append_value(&one, "_id", 3, bson_iter_value(&it)) &&
        sg_doc_from_bson(s->arena, sg_slice((const char *)bson_get_data(&one), one.len), &id,
                         NULL) == 0 &&
        sg_doc_id_text(&id.members[0].value, &s->keys[i], NULL) != 0)
        sg_buf_reset(&s->keys[i]);
    bson_destroy(&one);
}

int
sg_mongo_record(struct sg_mongo_source *s, int i, const bson_t *bson)
{
    struct sg_source_record *r = &s->records[i];
    const struct sg_doc *id;
    struct sg_err why;

    *r = (struct sg_source_record){.expires_ms = -1,
                                   .raw = {(const char *)bson_get_data(bson), bson->len}};
    sg_buf_reset(&s->keys[i]);
    if (sg_doc_from_bson(s->arena, r->raw, &s->docs[i], &why) != 0) {
        if (why.code == SG_E_LIMIT && i != 0)
            return -1;
        r->odd = why.code == SG_E_LIMIT ? "nested too deeply, or more memory than a batch may take"
                                        : "damaged BSON, or text that is not UTF-8";
        sg_arena_reset(s->arena);
        id_alone(s, i, bson);
    } else if ((id = sg_doc_get(&s->docs[i], sg_str("_id"))) == NULL ||
               sg_doc_id_text(id, &s->keys[i], &why) != 0) {
        r->odd = "a document without an _id that can be written";
    } else {
        r->doc = &s->docs[i];
        r->expires_ms = expires_ms(s, r->doc);
        if (s->keys[i].len > SG_SOURCE_KEY_MAX) {
            r->odd = "an _id of more than 1024 bytes";
            r->doc = NULL;
        }
    }
    r->key = sg_buf_slice(&s->keys[i]);
    return 0;
}

struct output {
    struct sg_mongo_source *s;
    sg_source_emit emit;
    void *ctx;
    char *position;
    int n;
    int64_t bytes;
};

static int
flush(struct output *o, struct sg_err *err)
{
    struct sg_mongo_source *s = o->s;
    int rc = o->n > 0 ? o->emit(o->ctx, s->records, o->n, err) : 0, i;
    const struct sg_slice last = o->n > 0 ? s->records[o->n - 1].key : sg_str(NULL);

    /* An _id that does not fit leaves the position where it was: some records come again. */
    if (rc == 0 && o->position != NULL && last.len != 0 && last.len < SG_SOURCE_PIECE_MAX) {
        memcpy(o->position, last.ptr, last.len);
        o->position[last.len] = '\0';
    }
    for (i = 0; i < o->n; i++) {
        bson_destroy(s->kept[i]);
        if (s->keys[i].cap > SG_SOURCE_KEY_MAX)
            sg_buf_free(&s->keys[i]);
    }
    o->n = 0;
    o->bytes = 0;
    sg_arena_reset(s->arena);
    return rc;
}

static int
add(struct output *o, const bson_t *bson, struct sg_err *err)
{
    struct sg_mongo_source *s = o->s;

    if (o->n > 0 &&
        (o->n == s->options.batch_records ||
         o->bytes + (int64_t)bson->len > s->options.bytes_max / 4) &&
        flush(o, err) != 0)
        return -1;
    /* The cursor's document goes with its next one. */
    s->kept[o->n] = bson_copy(bson);
    if (sg_mongo_record(s, o->n, s->kept[o->n]) != 0) {
        bson_destroy(s->kept[o->n]);
        return flush(o, err) != 0 ? -1 : add(o, bson, err);
    }
    o->n++;
    o->bytes += bson->len;
    return 0;
}

int
sg_mongo_emit(struct sg_mongo_source *s, mongoc_cursor_t *cursor, char *position,
              sg_source_emit emit, void *ctx, struct sg_err *err)
{
    struct output o = {s, emit, ctx, position, 0, 0};
    const bson_t *bson;
    bson_error_t why;
    int rc = 0;

    sg_arena_reset(s->arena);
    while (rc == 0 && mongoc_cursor_next(cursor, &bson)) {
        rc = add(&o, bson, err);
        if (rc == 0 && sg_mongo_stopped(s))
            rc = sg_fail(err, SG_E_CANCELLED, s->name, "stopped");
    }
    if (rc == 0 && mongoc_cursor_error(cursor, &why)) {
        /* What came before the failure is good. */
        rc = flush(&o, err) != 0 ? -1 : sg_mongo_failed(s, "reading", &why, err);
    } else if (rc == 0) {
        rc = flush(&o, err);
    } else {
        while (o.n > 0)
            bson_destroy(s->kept[--o.n]);
    }
    mongoc_cursor_destroy(cursor);
    return rc;
}

/* ---- samples ---- */

static int
sample(struct sg_source *base, const char *collection, int64_t wanted, sg_source_emit emit,
       void *ctx, struct sg_err *err)
{
    struct sg_mongo_source *s = of(base);
    mongoc_collection_t *c;
    bson_t *pipeline;
    int rc;

    if (wanted < 1 || sg_mongo_learn_ttl(s, collection, err) != 0)
        return wanted < 1 ? 0 : -1;
    c = sg_mongo_collection(s, collection);
    pipeline =
        BCON_NEW("pipeline", "[", "{", "$sample", "{", "size", BCON_INT64(wanted), "}", "}", "]");
    rc = sg_mongo_emit(s, mongoc_collection_aggregate(c, MONGOC_QUERY_NONE, pipeline, NULL, NULL),
                       NULL, emit, ctx, err);
    bson_destroy(pipeline);
    mongoc_collection_destroy(c);
    return rc;
}

static int64_t
staleness_ms(const struct sg_source *base)
{
    return of(base)->staleness_ms;
}

const struct sg_source_type sg_source_mongo = {
    .name = "mongodb",
    .open = open_source,
    .close = close_source,
    .collections = collections,
    .sample = sample,
    .pieces = sg_mongo_pieces,
    .read = sg_mongo_read,
    .fetch = sg_mongo_fetch,
    .write = sg_mongo_write,
    .follow = sg_mongo_follow,
    .staleness_ms = staleness_ms,
};
