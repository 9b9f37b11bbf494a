/* SPDX-License-Identifier: MIT */
#include "reseal.h"

#include "base/buf.h"
#include "control.h"
#include "key_change.h"
#include "store/sealed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE "100" /* a record may have a megabyte */
#define ROW_ID_MAX 32

/* A table with two sealed columns, the row's id what both are bound to. */
struct kind {
    const char *select; /* realm, after bucket, after id, prefix -> bucket, id, first, second */
    const char *update; /* realm, bucket, id, first, second, and both as they were */
    size_t id_bytes;
    typeof(sg_seal_handle) *seal[2];
    typeof(sg_open_handle) *open[2];
};

#define NOT_BY(column)                                                                             \
    "substring(" column " FROM 1 FOR octet_length($4::bytea)) IS DISTINCT FROM $4::bytea"

static const struct kind kinds[] = {
    {"SELECT bucket, sid, handle, record FROM segue.session WHERE realm = $1 AND ended_at IS NULL "
     "AND (bucket, sid) > ($2::int, $3::bytea) AND (handle IS NOT NULL AND " NOT_BY(
         "handle") " OR record IS NOT NULL AND " NOT_BY("record") ") ORDER BY bucket, sid "
                                                                  "LIMIT " PAGE,
     "UPDATE segue.session SET handle = $4::bytea, record = $5::bytea WHERE realm = $1 AND bucket "
     "= "
     "$2::int AND sid = $3::bytea AND handle IS NOT DISTINCT FROM $6::bytea AND record IS NOT "
     "DISTINCT FROM $7::bytea",
     16,
     {sg_seal_handle, sg_seal_record},
     {sg_open_handle, sg_open_record}},
    {"SELECT bucket, key_digest, key_sealed, value_sealed FROM segue.reject WHERE realm = $1 "
     "AND (bucket, key_digest) > ($2::int, $3::bytea) AND (key_sealed IS NOT NULL AND " NOT_BY(
         "key_sealed") " OR value_sealed IS NOT NULL AND " NOT_BY("value_sealed") ") ORDER BY "
                                                                                  "bucket, "
                                                                                  "key_digest "
                                                                                  "LIMIT " PAGE,
     "UPDATE segue.reject SET key_sealed = $4::bytea, value_sealed = $5::bytea WHERE realm = $1 "
     "AND "
     "bucket = $2::int AND key_digest = $3::bytea AND key_sealed IS NOT DISTINCT FROM $6::bytea "
     "AND "
     "value_sealed IS NOT DISTINCT FROM $7::bytea",
     32,
     {sg_seal_reject_key, sg_seal_reject_value},
     {sg_open_reject_key, sg_open_reject_value}},
};

/* The bytes that everything sealed with the ring's first key begins with. */
static char *
prefix_of(const struct sg_keyring *ring)
{
    const char *id = sg_keyring_sealing_id(ring);
    char bytes[2 + SG_SEAL_ID_MAX];
    size_t n = strlen(id);

    bytes[0] = 1;
    bytes[1] = (char)n;
    memcpy(bytes + 2, id, n);
    return key_hex(sg_slice(bytes, 2 + n));
}

/* *out: the column anew, as text; NULL where it holds nothing. */
static int
again(const struct reseal *r, const struct kind *k, int column, const uint8_t *id,
      const PGresult *rows, int row, char **out, struct sg_err *err)
{
    struct sg_buf plain = SG_BUF_INIT(SG_SEAL_PLAIN_MAX),
                  sealed = SG_BUF_INIT(SG_SEAL_PLAIN_MAX + SG_SEAL_OVERHEAD);
    unsigned char *old;
    size_t len;
    int rc = -1;

    *out = NULL;
    if (PQgetisnull(rows, row, 2 + column))
        return 0;
    old = PQunescapeBytea((const unsigned char *)PQgetvalue(rows, row, 2 + column), &len);
    if (old != NULL &&
        k->open[column](r->ring, r->realm, id, sg_slice((char *)old, len), &plain, err) == 0 &&
        k->seal[column](r->ring, r->realm, id, sg_buf_slice(&plain), &sealed, err) == 0)
        rc = (*out = key_hex(sg_buf_slice(&sealed))) != NULL ? 0 : -1;
    PQfreemem(old);
    sg_buf_wipe(&plain);
    sg_buf_free(&sealed);
    return rc;
}

static const char *
value_of(const PGresult *rows, int row, int column)
{
    return PQgetisnull(rows, row, column) ? NULL : PQgetvalue(rows, row, column);
}

static int
reseal_row(struct reseal *r, const struct kind *k, struct control_db *db, const PGresult *rows,
           int row, struct sg_err *err)
{
    char *first = NULL, *second = NULL;
    unsigned char *id;
    struct sg_err why;
    size_t len;
    int rc = 0;

    id = PQunescapeBytea((const unsigned char *)PQgetvalue(rows, row, 1), &len);
    if (id == NULL || len != k->id_bytes || again(r, k, 0, id, rows, row, &first, &why) != 0 ||
        again(r, k, 1, id, rows, row, &second, &why) != 0) {
        r->lost++;
    } else if (!r->dry_run) {
        const char *const params[] = {
            r->realm, PQgetvalue(rows, row, 0), PQgetvalue(rows, row, 1), first,
            second,   value_of(rows, row, 2),   value_of(rows, row, 3)};

        rc = control_run(db, NULL, err, k->update, 7, params);
        r->done++;
    } else {
        r->done++;
    }
    PQfreemem(id);
    free(first);
    free(second);
    return rc;
}

/* Behind the fence: a bucket that has moved away is somebody else's. */
static int
fence(struct control_db *db, const PGresult *rows, struct sg_err *err)
{
    struct sg_buf buckets = SG_BUF_INIT(1024);
    const char *params[1];
    int i, rc;

    for (i = 0; i < PQntuples(rows); i++)
        sg_buf_printf(&buckets, "%c%s", i == 0 ? '{' : ',', PQgetvalue(rows, i, 0));
    sg_buf_puts(&buckets, "}");
    params[0] = buckets.ptr;
    rc = control_run(db, NULL, err, "SELECT segue.fence($1::int[])", 1, params);
    sg_buf_free(&buckets);
    return rc;
}

static int
reseal_page(struct reseal *r, const struct kind *k, struct control_db *db, const PGresult *rows,
            struct sg_err *err)
{
    int i, rc = control_begin(db, err);

    if (rc == 0)
        rc = fence(db, rows, err);
    for (i = 0; i < PQntuples(rows) && rc == 0; i++)
        rc = reseal_row(r, k, db, rows, i, err);
    if (rc == 0)
        rc = control_commit(db, err);
    if (rc != 0)
        control_rollback(db);
    return rc;
}

static int
reseal_kind(struct reseal *r, const struct kind *k, struct control_db *db, const char *prefix,
            struct sg_err *err)
{
    char bucket[16] = "-1", id[2 * ROW_ID_MAX + 3] = "\\x";
    const char *const params[] = {r->realm, bucket, id, prefix};
    int n = 1, rc = 0;

    while (n > 0 && rc == 0) {
        PGresult *rows;

        if (control_run(db, &rows, err, k->select, 4, params) != 0)
            return -1;
        n = PQntuples(rows);
        if (n > 0) {
            rc = reseal_page(r, k, db, rows, err);
            snprintf(bucket, sizeof bucket, "%s", PQgetvalue(rows, n - 1, 0));
            snprintf(id, sizeof id, "%s", PQgetvalue(rows, n - 1, 1));
        }
        PQclear(rows);
    }
    return rc;
}

int
reseal_shards(struct reseal *r, struct sg_err *err)
{
    char *prefix = prefix_of(r->ring);
    int i, rc = prefix != NULL ? 0 : sg_fail(err, SG_E_INTERNAL, "reseal", "out of memory");
    size_t k;

    for (i = 0; i < r->config->n_shards && rc == 0; i++) {
        struct control_db db;
        char name[24];

        snprintf(name, sizeof name, "shard %d", i);
        rc = control_open(&db, r->config->shards[i], name, err);
        for (k = 0; k < sizeof kinds / sizeof kinds[0] && rc == 0; k++)
            rc = reseal_kind(r, &kinds[k], &db, prefix, err);
        control_close(&db);
    }
    free(prefix);
    return rc;
}
