/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_MAPPING_H
#define SG_MODEL_MAPPING_H

#include "doc/doc.h"

/* Which table, row and column each value of a collection goes to: what `segue analyze collections`
 * proposes, people edit (YAML, docs/schema.md) and everything else obeys. Plain structs, read-only
 * once loaded. */
#define SG_MODEL_NAME_MAX 63     /* bytes of a PostgreSQL identifier */
#define SG_MODEL_TABLES_MAX 200  /* of a mapping */
#define SG_MODEL_COLUMNS_MAX 400 /* of a table */
#define SG_MODEL_KEY_MAX 4       /* columns */

enum sg_model_type {
    SG_MODEL_BOOLEAN,
    SG_MODEL_SMALLINT,
    SG_MODEL_INTEGER,
    SG_MODEL_BIGINT,
    SG_MODEL_DOUBLE,
    SG_MODEL_NUMERIC,
    SG_MODEL_TEXT,
    SG_MODEL_UUID,
    SG_MODEL_TIMESTAMPTZ,
    SG_MODEL_DATE,
    SG_MODEL_BYTEA,
    SG_MODEL_JSONB,
};

/* How a value becomes a column's, where its own type does not say. Each can be turned round. */
enum sg_model_convert {
    SG_CONVERT_NONE,
    SG_CONVERT_EPOCH_S,  /* number -> timestamptz */
    SG_CONVERT_EPOCH_MS, /* number -> timestamptz */
    SG_CONVERT_ISO_MS,   /* "2026-11-22T14:46:59.210Z", in no other form */
    SG_CONVERT_ISO_S,    /* "2026-11-22T14:46:59Z", in no other form */
    SG_CONVERT_ISO,      /* any ISO 8601 time; the instant is kept, not how it was written */
    SG_CONVERT_OID,      /* object id <-> text, 24 hex digits */
    SG_CONVERT_PARSE,    /* text that is exactly how the column's value is written */
};

/* Names from the document (or an array's element, a map's value) down; n 0 = itself, "." */
struct sg_model_path {
    const struct sg_slice *names;
    int n;
    bool is_key; /* "$key": the record's key, where the store keeps it apart; names is empty */
};

struct sg_model_column {
    const char *name;
    struct sg_model_path from;
    enum sg_model_type type;
    bool array; /* of the type, one dimension */
    int limit;  /* varchar(limit); 0 = none */
    enum sg_model_convert convert;
    bool not_null;
    bool unique;      /* within a shard */
    bool absent_null; /* SQL's NULL stands for a null in the document; else for a missing member */
    const char *const *values; /* the only ones allowed; NULL = any */
    int n_values;
    int lookup;      /* index of the lookup table that holds them; -1 */
    int references;  /* index of the table whose key it is, in the same bucket; -1 */
    const char *why; /* a comment for people; NULL */
};

enum sg_model_kind { SG_MODEL_ROOT, SG_MODEL_ARRAY, SG_MODEL_MAP };

struct sg_model_table {
    const char *name;
    enum sg_model_kind kind;
    int root;                  /* index of the collection's own table; of itself for a ROOT */
    const char *collection;    /* "user:*", "orders" */
    struct sg_model_path from; /* ARRAY, MAP: what its rows are the members of */
    const char *parents[SG_MODEL_KEY_MAX]; /* ARRAY, MAP: columns that hold the parent's key */
    const char *position;      /* ARRAY: column of the ordinal, from 0; MAP: of the member's name */
    bool absent_empty;         /* no row stands for an empty array or map; else for a missing one */
    int key[SG_MODEL_KEY_MAX]; /* ROOT: indexes of columns, which with bucket are the primary key */
    int n_key;                 /* of the ROOT, also said for its children */
    int shard_key;             /* ROOT: index of the column whose value the bucket is computed of */
    const char *version;       /* ROOT: bigint column for the writer's guard; NULL */
    const char *expires;       /* ROOT: timestamptz column for the record's expiry; NULL */
    const char *rest; /* jsonb column for whatever no column or child has a place for; NULL: such
                         records are rejected */
    const struct sg_model_column *columns;
    int n_columns;
    const char *why;
};

struct sg_model_lookup {
    const char *name; /* of the table; its one column is "value" */
    const char *const *values;
    int n_values;
};

/* tables: each root is followed by its children. */
struct sg_mapping {
    const char *schema;
    const struct sg_model_table *tables;
    int n_tables;
    const struct sg_model_lookup *lookups;
    int n_lookups;
    const char *why;        /* comment at the top of the file; NULL */
    struct sg_arena *arena; /* holds all of it */
};

/* Reads and checks a mapping file. Mistakes are SG_E_INVALID at "file:line:column", with a
 * suggestion. */
SG_MUST_USE int sg_mapping_load(const char *path, struct sg_mapping **out, struct sg_err *err);
SG_MUST_USE int sg_mapping_parse(const char *name, struct sg_slice text, struct sg_mapping **out,
                                 struct sg_err *err);
void sg_mapping_free(struct sg_mapping *m);

struct sg_buf;
/* Appends the file's text: the same mapping, the same bytes; with its comments where asked. */
void sg_mapping_write(const struct sg_mapping *m, bool comments, struct sg_buf *out);

/* What of a store's key the collection's pattern leaves open, which is "$key": 42 of order:42:lines
 * where the collection is order:*:lines; the whole where it is no pattern. */
struct sg_slice sg_collection_key(const char *collection, struct sg_slice key);

/* The table of a collection; -1. */
int sg_mapping_find(const struct sg_mapping *m, const char *collection);

/* Every column that the table has in PostgreSQL, in order: bucket; a child's parent columns and
 * position; its columns; version, expires, rest. */
enum sg_model_part {
    SG_PART_BUCKET,
    SG_PART_PARENT, /* index: which column of the parent's key */
    SG_PART_POSITION,
    SG_PART_COLUMN, /* index into columns */
    SG_PART_VERSION,
    SG_PART_EXPIRES,
    SG_PART_REST,
};
struct sg_model_physical {
    enum sg_model_part part;
    int index;
    const char *name;
    enum sg_model_type type;
    bool array, not_null;
    int limit;
};
#define SG_MODEL_PHYSICAL_MAX (SG_MODEL_COLUMNS_MAX + SG_MODEL_KEY_MAX + 5)
/* Returns how many. */
int sg_mapping_physical(const struct sg_mapping *m, int table,
                        struct sg_model_physical out[SG_MODEL_PHYSICAL_MAX]);

/* "bigint", "text[]", "varchar(40)" */
void sg_model_type_text(enum sg_model_type type, bool array, int limit, char out[32]);
/* "epoch_ms"; NULL for NONE. */
const char *sg_model_convert_name(enum sg_model_convert convert);
/* Appends "a.b", "$key", "."; a dot or backslash in a name is escaped with a backslash. */
void sg_model_path_text(const struct sg_model_path *path, struct sg_buf *out);

#endif
