/* SPDX-License-Identifier: MIT */
#ifndef SG_STORE_OP_H
#define SG_STORE_OP_H

#include "store/columns.h"
#include "store/store.h"

/* One operation of the store: the caller's rows, grouped by the database row they mean, split over
 * the shards, a batch (one transaction) for each, in one phase or several. Internal to store. */
struct sg_store {
    uv_loop_t *loop;
    const struct sg_clock *clock;
    struct sg_shards *shards;
    /* rotate.c: uses of refresh tokens that wait for the shard's transaction under way */
    struct sg_rotations {
        struct sg_rotation_wait *first, *last;
        int n;
        bool flying;
    } rotations[SG_SHARDS_AT_MOST];
};

/* Where a caller's row goes. key points into the caller's row. */
struct sg_entry {
    const char *realm;
    int bucket;
    const void *key;
    size_t key_bytes;
    int shard, row; /* set by op.c */
};

enum sg_use { SG_USE_ROW, SG_SKIP_ROW, SG_REFUSE_ROW };

struct sg_part;

/* What an operation does in a phase. */
struct sg_phase_of_op {
    const char *after; /* fault point passed before the next phase; NULL = none */
    int rows_max;      /* 0 = it has no rows */
    /* Fills the entry of a row, or tells to leave the row out of this phase, or refuses the whole
     * operation (err filled). NULL where there are no rows. */
    enum sg_use (*entry)(struct sg_store_op *op, int row, struct sg_entry *entry,
                         struct sg_err *err);
    bool every_shard; /* also those that no row goes to */
    /* Adds the statements; reads the results of a committed batch. */
    void (*build)(struct sg_store_op *op, struct sg_part *part, struct sg_columns *columns);
    void (*take)(struct sg_store_op *op, struct sg_part *part);
    /* A batch failed: may call sg_op_fail with what that means here; may be NULL. */
    void (*failed)(struct sg_store_op *op, struct sg_part *part);
    void (*over)(struct sg_store_op *op); /* all of its batches are committed; may be NULL */
    const struct sg_phase_of_op *next;
};

struct sg_store_op {
    struct sg_store *store;
    const struct sg_phase_of_op *phase;
    uint64_t deadline_ns;
    sg_store_done done;
    void *ctx;
    int n_rows;
    int only_shard; /* -1 = by the rows */
    bool again;     /* set by take: the same phase once more (paging) */
    /* private to op.c */
    int rc;
    struct sg_err err;
    struct sg_entry *entries; /* sorted by shard, then by the database row's key */
    int n_entries;
    int *group; /* group g is entries group[g] .. group[g + 1] - 1: one database row */
    int n_groups;
    int under_way;
    uv_timer_t later;
};

/* A shard's share of the operation. */
struct sg_part {
    struct sg_store_op *op;
    int shard;
    int from, to; /* groups from .. to - 1 */
    struct sg_pg_batch batch;
};

/* A zeroed struct of `bytes` that begins with a struct sg_store_op. Aborts without memory: done
 * could never be called. It is freed before done is called. */
void *sg_op_new(size_t bytes, struct sg_store *store, const struct sg_phase_of_op *phase,
                int n_rows, uint64_t deadline_ns, sg_store_done done, void *ctx);
void sg_op_start(struct sg_store_op *op);

/* Makes the operation fail, for use in build and take; the first call wins. */
void sg_op_fail(struct sg_store_op *op, enum sg_code code, const char *place, const char *text);

/* The caller's row that speaks for the group: the last. */
int sg_group_row(const struct sg_store_op *op, int group);

/* The caller's rows of one result row: column 0 of call is the group's number in this part,
 * counted from 1 as WITH ORDINALITY does. Returns how many, *first being their entries. */
int sg_part_rows_of(const struct sg_part *part, int call, int result_row,
                    const struct sg_entry **first);

/* Adds a statement whose parameters are those columns: which[k] for $k+1, or k where which is
 * NULL. Returns its number in the batch. */
int sg_part_call(struct sg_part *part, const struct sg_pg_stmt *stmt, struct sg_columns *columns,
                 const uint8_t *which);

/* The first statement of every writing batch (rule 12); column c holds the buckets. */
void sg_part_fence(struct sg_part *part, struct sg_columns *columns, int c);

/* Realm and bucket of a group into columns 0 and 1. */
void sg_part_place(struct sg_part *part, struct sg_columns *columns, int group);

/* ---- reading results ---- */

/* A bytea column as exactly n bytes; zeroes where it is NULL or of another length. */
void sg_read_bytes(const struct sg_part *part, int call, int row, int column, uint8_t *out,
                   size_t n);
/* A bytea or a text column appended to a new buffer of just that maximum. */
struct sg_buf sg_read_bytea(const struct sg_part *part, int call, int row, int column);
struct sg_buf sg_read_text(const struct sg_part *part, int call, int row, int column);
/* A text column into a string of cap bytes, "" where it is NULL. */
void sg_read_string(const struct sg_part *part, int call, int row, int column, char *out,
                    size_t cap);
bool sg_read_bool(const struct sg_part *part, int call, int row, int column);
/* Copies a string of at most cap - 1 bytes. */
void sg_copy_string(char *out, size_t cap, struct sg_slice s);

/* NULL for "": how an anonymous subject is stored. */
static inline const char *
sg_null_if_empty(const char *s)
{
    return s != NULL && s[0] != '\0' ? s : NULL;
}

/* A hundred years: keeps dates within what the database can hold. */
#define SG_STORE_MS_MAX (INT64_C(36525) * 86400 * 1000)

/* The checks that every entry gets. */
#define SG_SUBJECT_BYTES_MAX 200
enum sg_use sg_entry_of(struct sg_entry *entry, const char *realm, int bucket, const void *key,
                        size_t key_bytes, struct sg_err *err);
enum sg_use sg_check_subject(const char *subject, struct sg_err *err);

#endif
