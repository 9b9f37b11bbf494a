/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_PROFILE_H
#define SG_MODEL_PROFILE_H

#include "doc/doc.h"
#include "model/distinct.h"
#include "model/format.h"

/* What a collection holds, gathered record by record in bounded memory; pure. Of the content only
 * this is kept: names of fields, counts, hashes that tell values apart, the least and the greatest
 * number, and short strings of which a field has few (never of a field whose name says secret). */
#define SG_PROFILE_FIELDS_MAX 1000 /* paths told apart; what is beyond is counted as "beyond" */
#define SG_PROFILE_NAMES_MAX 200   /* of one object, before its names count as data */
#define SG_PROFILE_DEPTH_MAX 12
#define SG_PROFILE_VALUES_MAX 64 /* short strings of a field; more, and none are kept */
#define SG_PROFILE_VALUE_BYTES 32
#define SG_PROFILE_ODDS_MAX 16
#define SG_PROFILE_BINS 32 /* bin i counts 2^(i-1) <= value < 2^i, bin 0 zeroes */

struct sg_profile_value {
    char text[SG_PROFILE_VALUE_BYTES + 1];
    uint64_t n;
};

struct sg_field {
    char *name; /* NULL for the record itself, an element, a map's value */
    size_t name_len;
    struct sg_field *parent, *first, *last, *next; /* members of OBJECTs */
    struct sg_field *each; /* elements of ARRAYs; with is_map the values of OBJECTs */
    uint32_t n_members;
    bool is_map; /* its names are data */
    uint64_t n;  /* how often it was there, null included */
    uint64_t types[SG_DOC_OTHER + 1];
    /* INT and TIME */
    int64_t int_min, int_max;
    uint64_t epoch_s, epoch_ms; /* of 2000 to 2100 */
    uint64_t past_double;       /* beyond 2^53, where doubles have gaps */
    /* DOUBLE */
    double real_min, real_max;
    uint64_t not_finite, cents; /* at most 4 decimals */
    /* STRING and BYTES */
    uint64_t len_min, len_max, len_sum, formats[SG_FMT_N], nul, bad_utf8;
    /* ARRAY, and OBJECT that is a map */
    uint64_t size_min, size_max, size_sum, sizes[SG_PROFILE_BINS];
    struct sg_distinct distinct; /* of scalars; of a map its names */
    struct sg_profile_value *values;
    int n_values;
    bool many_values;
    uint64_t equals_key; /* as text the same as the record's key */
};

struct sg_profile_odd {
    const char *text;
    uint64_t n;
};

struct sg_profile {
    char name[256]; /* of the collection: "user:*", "orders" */
    struct sg_field root;
    struct sg_field key; /* the record's key, where it is not in the document */
    uint32_t n_fields;
    uint64_t beyond;  /* values not looked into: too deep, too many fields */
    uint64_t records; /* with a document */
    uint64_t untyped; /* of these, whose values are all text (a Redis hash) */
    uint64_t odd;
    struct sg_profile_odd odds[SG_PROFILE_ODDS_MAX];
    int n_odds;
    uint64_t bytes, largest_bytes, sizes[SG_PROFILE_BINS];
    uint64_t expiring, ttl_s[SG_PROFILE_BINS];
    bool finished;
};

struct sg_profile_record {
    struct sg_slice key; /* behind the collection's prefix; ptr NULL where the document holds it */
    const struct sg_doc *doc; /* NULL: odd says why */
    const char *odd;          /* static storage */
    size_t bytes;
    int64_t expires_ms; /* -1: never */
    bool untyped;
};

SG_MUST_USE int sg_profile_new(const char *name, struct sg_profile **out, struct sg_err *err);
void sg_profile_free(struct sg_profile *p);

/* SG_E_INTERNAL without memory. */
SG_MUST_USE int sg_profile_add(struct sg_profile *p, const struct sg_profile_record *record,
                               int64_t now_ms, struct sg_err *err);
/* Decides which objects are maps, whose names are data, and folds their members into one. Once,
 * after the last record and before anything is read from it. */
void sg_profile_finish(struct sg_profile *p);

/* The member of that name; NULL. */
struct sg_field *sg_field_member(const struct sg_field *f, struct sg_slice name);
/* How often it could have been there: its parent's objects, elements of the array, records. */
uint64_t sg_field_possible(const struct sg_profile *p, const struct sg_field *f);
uint64_t sg_field_not_null(const struct sg_field *f);
/* Appends "a.b[].c": names of a map's members never. For people. */
void sg_field_path(const struct sg_field *f, struct sg_buf *out);
/* Its short strings may be shown and become an enumeration: few, often, and no secret. */
bool sg_field_is_enum(const struct sg_field *f);
/* Text of a scalar for comparing across types: 42 and "42", an object id and its hex, are one. */
struct sg_slice sg_scalar_text(const struct sg_doc *doc, char scratch[64]);

#endif
