/* SPDX-License-Identifier: MIT */
/* Single documents by their _id: read and written. */
#include "source/source_mongo.h"

#include <stdio.h>

#define FETCH_KEYS 100 /* in one $in */

struct fetching {
    sg_source_emit emit;
    void *ctx;
    const struct sg_slice *keys;
    bool *found;
    int n;
};

static int
emit_found(void *ctx, const struct sg_source_record *records, int n, struct sg_err *err)
{
    struct fetching *f = ctx;
    int i, k;

    for (i = 0; i < n; i++)
        for (k = 0; k < f->n; k++)
            f->found[k] = f->found[k] || sg_slice_eq(f->keys[k], records[i].key);
    return f->emit(f->ctx, records, n, err);
}

/* {"_id": {"$in": […]}} */
static int
filter_of(const struct sg_mongo_source *s, const struct sg_slice *keys, int n, bson_t *filter,
          struct sg_err *err)
{
    bson_t in, list;
    char number[16];
    int i, rc = 0;

    bson_append_document_begin(filter, "_id", 3, &in);
    bson_append_array_begin(&in, "$in", 3, &list);
    for (i = 0; i < n && rc == 0; i++) {
        bson_t *id = sg_doc_id_bson(keys[i]);
        bson_iter_t it;

        snprintf(number, sizeof number, "%d", i);
        if (id == NULL || !bson_iter_init_find(&it, id, "_id") ||
            !bson_append_value(&list, number, -1, bson_iter_value(&it)))
            rc = sg_fail(err, SG_E_INVALID, s->name, "a key that is no _id of this source");
        if (id != NULL)
            bson_destroy(id);
    }
    bson_append_array_end(&in, &list);
    bson_append_document_end(filter, &in);
    return rc;
}

static int
fetch_some(struct sg_mongo_source *s, mongoc_collection_t *c, const struct sg_slice *keys, int n,
           sg_source_emit emit, void *ctx, struct sg_err *err)
{
    bool found[FETCH_KEYS] = {false};
    struct fetching f = {emit, ctx, keys, found, n};
    bson_t filter = BSON_INITIALIZER;
    int i, rc = filter_of(s, keys, n, &filter, err);

    if (rc == 0)
        rc = sg_mongo_emit(s, mongoc_collection_find_with_opts(c, &filter, NULL, NULL), NULL,
                           emit_found, &f, err);
    bson_destroy(&filter);
    for (i = 0; i < n && rc == 0; i++) {
        struct sg_source_record gone = {.key = keys[i], .expires_ms = -1};

        if (!found[i])
            rc = emit(ctx, &gone, 1, err);
    }
    return rc;
}

int
sg_mongo_fetch(struct sg_source *base, const char *collection, const struct sg_slice *keys, int n,
               sg_source_emit emit, void *ctx, struct sg_err *err)
{
    struct sg_mongo_source *s = sg_container_of(base, struct sg_mongo_source, base);
    mongoc_collection_t *c;
    int at, some, rc = 0;

    if (sg_mongo_learn_ttl(s, collection, err) != 0)
        return -1;
    c = sg_mongo_collection(s, collection);
    for (at = 0; at < n && rc == 0; at += some) {
        some = n - at < FETCH_KEYS ? n - at : FETCH_KEYS;
        rc = fetch_some(s, c, keys + at, some, emit, ctx, err);
    }
    mongoc_collection_destroy(c);
    return rc;
}

int
sg_mongo_write(struct sg_source *base, const char *collection,
               const struct sg_source_record *record, struct sg_err *err)
{
    struct sg_mongo_source *s = sg_container_of(base, struct sg_mongo_source, base);
    bson_t *id = sg_doc_id_bson(record->key), doc = BSON_INITIALIZER,
           *upsert = BCON_NEW("upsert", BCON_BOOL(true));
    mongoc_collection_t *c = sg_mongo_collection(s, collection);
    bson_error_t why;
    int rc = 0;

    if (id == NULL)
        rc = sg_fail(err, SG_E_INVALID, s->name, "a key that is no _id of this source");
    else if (record->doc == NULL)
        rc = mongoc_collection_delete_one(c, id, NULL, NULL, &why)
                 ? 0
                 : sg_mongo_failed(s, "deleting", &why, err);
    else if ((rc = sg_doc_to_bson(record->doc, &doc, err)) == 0)
        rc = mongoc_collection_replace_one(c, id, &doc, upsert, NULL, &why)
                 ? 0
                 : sg_mongo_failed(s, "writing", &why, err);
    mongoc_collection_destroy(c);
    bson_destroy(upsert);
    bson_destroy(&doc);
    if (id != NULL)
        bson_destroy(id);
    return rc;
}
