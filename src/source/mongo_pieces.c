/* SPDX-License-Identifier: MIT */
/* A collection by ranges of _id. MongoDB compares only values of one kind with $gt and $lt, so
 * every range stands within one kind; what is of none of them is a piece by itself. */
#include "source/source_mongo.h"

#include <stdio.h>
#include <stdlib.h>

#define BOUND_MAX 200      /* bytes of an _id that a piece begins or ends with */
#define SAMPLES_A_PIECE 20 /* from which the bounds are taken */
#define OTHER "{\"other\":true}"

/* The least value of each kind, in MongoDB's order. NaN is among the others. */
static const char *const kinds[] = {
    "{\"$numberDouble\":\"-Infinity\"}", "\"\"", "{\"$oid\":\"000000000000000000000000\"}",
    "{\"$date\":{\"$numberLong\":\"-62135596800000\"}}", /* what is before year 1 is "other" */
};
#define KINDS ((int)(sizeof kinds / sizeof kinds[0]))

static int
kind_of(const struct sg_doc *id)
{
    switch (id->type) {
    case SG_DOC_INT:
    case SG_DOC_DOUBLE:
    case SG_DOC_DECIMAL:
        return 0;
    case SG_DOC_STRING:
        return 1;
    case SG_DOC_OID:
        return 2;
    case SG_DOC_TIME:
        return 3;
    default:
        return -1;
    }
}

/* ---- finding bounds ---- */

struct bound {
    int kind;
    char text[BOUND_MAX + 1];
};

struct bounds {
    struct bound *all;
    int n, max;
};

static int
take_ids(void *ctx, const struct sg_source_record *records, int n, struct sg_err *err)
{
    struct bounds *b = ctx;
    int i;

    (void)err;
    for (i = 0; i < n && b->n < b->max; i++) {
        const struct sg_doc *id =
            records[i].doc != NULL ? sg_doc_get(records[i].doc, sg_str("_id")) : NULL;
        int kind = id != NULL ? kind_of(id) : -1;

        if (kind < 0 || records[i].key.len > BOUND_MAX)
            continue;
        b->all[b->n].kind = kind;
        snprintf(b->all[b->n++].text, BOUND_MAX + 1, "%.*s", (int)records[i].key.len,
                 records[i].key.ptr);
    }
    return 0;
}

/* Some _ids in their order. */
static int
find_bounds(struct sg_mongo_source *s, const char *collection, struct bounds *b, struct sg_err *err)
{
    mongoc_collection_t *c = sg_mongo_collection(s, collection);
    bson_t *pipeline = BCON_NEW("pipeline", "[", "{", "$sample", "{", "size", BCON_INT64(b->max),
                                "}", "}", "{", "$project", "{", "_id", BCON_INT32(1), "}", "}", "{",
                                "$sort", "{", "_id", BCON_INT32(1), "}", "}", "]");
    int rc =
        sg_mongo_emit(s, mongoc_collection_aggregate(c, MONGOC_QUERY_NONE, pipeline, NULL, NULL),
                      NULL, take_ids, b, err);

    bson_destroy(pipeline);
    mongoc_collection_destroy(c);
    return rc;
}

static void
put_piece(struct sg_source_piece *out, const char *from, const char *to)
{
    snprintf(out->text, sizeof out->text, "{\"from\":%.230s%s%.230s}", from,
             to != NULL ? ",\"to\":" : "", to != NULL ? to : "");
}

int
sg_mongo_pieces(struct sg_source *base, const char *collection, struct sg_source_piece *out,
                int most, int *n, struct sg_err *err)
{
    struct sg_mongo_source *s = sg_container_of(base, struct sg_mongo_source, base);
    int spare = most - KINDS - 1, found = 0, at = 0, kind, i, step;
    struct bounds b = {.max = spare > 0 ? spare * SAMPLES_A_PIECE : 0};
    const char *from;

    if (most < KINDS + 1)
        return sg_fail(err, SG_E_INVALID, s->name, "a collection has at least %d pieces",
                       KINDS + 1);
    if (b.max > 0) {
        if ((b.all = calloc((size_t)b.max, sizeof *b.all)) == NULL)
            return sg_fail(err, SG_E_INTERNAL, s->name, "out of memory");
        if (find_bounds(s, collection, &b, err) != 0) {
            free(b.all);
            return -1;
        }
    }
    step = spare > 0 && b.n > spare ? (b.n + spare) / (spare + 1) : SAMPLES_A_PIECE;
    for (kind = 0; kind < KINDS; kind++) {
        from = kinds[kind];
        for (i = at; i < b.n && b.all[i].kind == kind; i++)
            if (i > at && (i - at) % step == 0 && found < most - (KINDS - kind) - 1 &&
                strcmp(from, b.all[i].text) != 0) {
                put_piece(&out[found++], from, b.all[i].text);
                from = b.all[i].text;
            }
        at = i;
        put_piece(&out[found++], from, NULL);
    }
    snprintf(out[found++].text, sizeof out[0].text, OTHER);
    free(b.all);
    *n = found;
    return 0;
}

/* ---- reading one ---- */

static bool
append_bound(bson_t *range, const char *op, struct sg_slice text)
{
    bson_t *id = sg_doc_id_bson(text);
    bson_iter_t it;
    bool good = id != NULL && bson_iter_init_find(&it, id, "_id") &&
                bson_append_value(range, op, -1, bson_iter_value(&it));

    if (id != NULL)
        bson_destroy(id);
    return good;
}

/* {"$nor": [{"_id": {"$gte": …}}, …]} */
static bool
filter_other(bson_t *filter)
{
    bson_t list, one, range;
    bool good = true;
    char number[8];
    int i;

    bson_append_array_begin(filter, "$nor", 4, &list);
    for (i = 0; i < KINDS; i++) {
        snprintf(number, sizeof number, "%d", i);
        bson_append_document_begin(&list, number, -1, &one);
        bson_append_document_begin(&one, "_id", 3, &range);
        good = append_bound(&range, "$gte", sg_str(kinds[i])) && good;
        bson_append_document_end(&one, &range);
        bson_append_document_end(&list, &one);
    }
    bson_append_array_end(filter, &list);
    return good;
}

static bool
filter_range(const char *piece, const char *position, bson_t *filter)
{
    bson_t *bounds = bson_new_from_json((const uint8_t *)piece, (ssize_t)strlen(piece), NULL),
           range;
    bson_iter_t it;
    bool good;

    if (bounds == NULL)
        return false;
    bson_append_document_begin(filter, "_id", 3, &range);
    if (position[0] != '\0')
        good = append_bound(&range, "$gt", sg_str(position));
    else
        good = bson_iter_init_find(&it, bounds, "from") &&
               bson_append_value(&range, "$gte", 4, bson_iter_value(&it));
    if (bson_iter_init_find(&it, bounds, "to"))
        good = good && bson_append_value(&range, "$lt", 3, bson_iter_value(&it));
    bson_append_document_end(filter, &range);
    bson_destroy(bounds);
    return good;
}

int
sg_mongo_read(struct sg_source *base, const char *collection, const struct sg_source_piece *piece,
              char position[SG_SOURCE_PIECE_MAX], sg_source_emit emit, void *ctx,
              struct sg_err *err)
{
    struct sg_mongo_source *s = sg_container_of(base, struct sg_mongo_source, base);
    bool other = strcmp(piece->text, OTHER) == 0;
    bson_t filter = BSON_INITIALIZER, *opts;
    mongoc_collection_t *c;
    int rc = -1;

    if (!(other ? filter_other(&filter) : filter_range(piece->text, position, &filter))) {
        sg_fail(err, SG_E_INVALID, s->name, "not a piece or position of this source");
    } else if (sg_mongo_learn_ttl(s, collection, err) == 0) {
        opts = BCON_NEW("sort", "{", "_id", BCON_INT32(1), "}", "batchSize",
                        BCON_INT32(s->options.batch_records));
        c = sg_mongo_collection(s, collection);
        /* What is of several kinds has no place to go on from: it is read again. */
        rc = sg_mongo_emit(s, mongoc_collection_find_with_opts(c, &filter, opts, NULL),
                           other ? NULL : position, emit, ctx, err);
        mongoc_collection_destroy(c);
        bson_destroy(opts);
    }
    bson_destroy(&filter);
    return rc;
}
