/* SPDX-License-Identifier: MIT */
#include "collect/target.h"

#include "base/encode.h"
#include "collect/statements.h"
#include "model/ddl.h"
#include "store/sealed.h"

#include <stdio.h>
#include <stdlib.h>

#define SQL_BYTES_MAX (4 << 20)
#define NO_SHARD 255

static int
read_owned(struct sg_target *t, int shard, struct sg_err *err)
{
    PGresult *r;
    int i;

    if (sg_lane_ask(&t->shards[shard], "SELECT bucket FROM segue.bucket_owner WHERE owned", 0, NULL,
                    &r, err) != 0)
        return -1;
    for (i = 0; i < PQntuples(r); i++) {
        unsigned long bucket = strtoul(PQgetvalue(r, i, 0), NULL, 10) % SG_BUCKETS;

        if (t->shard_of[bucket] != NO_SHARD) {
            PQclear(r);
            return sg_fail(err, SG_E_INVALID, t->shards[shard].place,
                           "bucket %lu is owned by two shards", bucket);
        }
        t->shard_of[bucket] = (uint8_t)shard;
    }
    PQclear(r);
    return 0;
}

int
sg_target_open(const struct sg_target_options *o, struct sg_target *t, struct sg_err *err)
{
    char place[32];
    int i;

    *t = (struct sg_target){.options = *o, .m = o->mapping};
    memset(t->shard_of, NO_SHARD, sizeof t->shard_of);
    for (i = 0; i < o->n_shards; i++) {
        snprintf(place, sizeof place, "shard %d", i);
        if (sg_lane_open(&t->shards[i], o->conninfos[i], place, err) != 0 ||
            read_owned(t, i, err) != 0)
            goto fail;
    }
    for (i = 0; i < SG_BUCKETS; i++)
        if (t->shard_of[i] == NO_SHARD) {
            sg_fail(err, SG_E_INVALID, "shards", "bucket %d is owned by no shard", i);
            goto fail;
        }
    return 0;
fail:
    sg_target_close(t);
    return -1;
}

void
sg_target_close(struct sg_target *t)
{
    int i;

    for (i = 0; i < t->options.n_shards; i++)
        sg_lane_close(&t->shards[i]);
}

void
sg_target_realm(const struct sg_mapping *m, int root, char out[128])
{
    snprintf(out, 128, "%.40s/%.80s", m->schema, m->tables[root].collection);
}

struct sg_slice
sg_collect_key(const char *collection, const struct sg_source_record *record)
{
    return record->redis_type != NULL ? sg_collection_key(collection, record->key)
                                      : sg_slice(NULL, 0);
}

/* ---- tables ---- */

int
sg_target_look(struct sg_target *t, int shard, enum sg_target_state *out, struct sg_err *err)
{
    struct sg_lane *l = &t->shards[shard];
    const char *schema = t->m->schema;
    struct sg_buf rows = SG_BUF_INIT(SQL_BYTES_MAX);
    char digest[65], comment[96];
    PGresult *r;
    int i, rc = -1;

    sg_mapping_digest(t->m, digest);
    snprintf(comment, sizeof comment, "segue mapping %s", digest);
    if (sg_lane_ask(
            l,
            "SELECT coalesce(obj_description(oid, 'pg_namespace'), ''), EXISTS (SELECT "
            "FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid WHERE i.indisprimary AND "
            "c.relnamespace = n.oid AND c.relname = $2) FROM pg_namespace AS n WHERE nspname = $1",
            2, (const char *[]){schema, t->m->tables[0].name}, &r, err) != 0)
        return -1;
    if (PQntuples(r) == 0) {
        *out = SG_TARGET_NONE;
        rc = 0;
    } else if (strcmp(PQgetvalue(r, 0, 0), comment) != 0) {
        sg_fail(err, SG_E_CONFLICT, l->place,
                "schema %s is there and was not made from this mapping: give the mapping another "
                "schema, or take that one away",
                schema);
    } else if (strcmp(PQgetvalue(r, 0, 1), "t") == 0) {
        *out = SG_TARGET_KEYED;
        rc = 0;
    } else {
        PQclear(r);
        sg_buf_puts(&rows, "SELECT false");
        for (i = 0; i < t->m->n_tables; i++) {
            sg_buf_puts(&rows, " OR EXISTS (SELECT FROM ");
            sg_collect_table(t->m, i, &rows);
            sg_buf_puts(&rows, ")");
        }
        r = NULL;
        rc = sg_lane_ask(l, rows.ptr, 0, NULL, &r, err);
        if (rc == 0)
            *out = strcmp(PQgetvalue(r, 0, 0), "t") == 0 ? SG_TARGET_BARE_ROWS : SG_TARGET_BARE;
        sg_buf_free(&rows);
    }
    PQclear(r);
    return rc;
}

/* Several statements in one transaction. */
static int
run_whole(struct sg_lane *l, struct sg_buf *sql, struct sg_err *err)
{
    struct sg_err ignored;
    int rc;

    if (sql->failed)
        return sg_fail(err, SG_E_LIMIT, l->place, "more than %d bytes of SQL", SQL_BYTES_MAX);
    rc = sg_lane_run(l, "BEGIN", err) != 0 || sg_lane_run(l, sql->ptr, err) != 0 ||
                 sg_lane_run(l, "COMMIT", err) != 0
             ? -1
             : 0;
    if (rc != 0 && PQstatus(l->conn) == CONNECTION_OK && sg_lane_run(l, "ROLLBACK", &ignored) != 0)
        sg_lane_close(l);
    return rc;
}

int
sg_target_create(struct sg_target *t, int shard, struct sg_err *err)
{
    struct sg_buf sql = SG_BUF_INIT(SQL_BYTES_MAX);
    int rc;

    sg_mapping_ddl(t->m, SG_DDL_TABLES, &sql);
    rc = run_whole(&t->shards[shard], &sql, err);
    sg_buf_free(&sql);
    return rc;
}

int
sg_target_build_keys(struct sg_target *t, int shard, struct sg_err *err)
{
    struct sg_buf sql = SG_BUF_INIT(SQL_BYTES_MAX);
    int i, rc;

    sg_buf_puts(&sql, "SET LOCAL maintenance_work_mem = '64MB';");
    for (i = 0; i < t->m->n_tables; i++)
        if (t->m->tables[i].kind == SG_MODEL_ROOT)
            sg_collect_dedupe(t->m, i, &sql);
    sg_mapping_ddl(t->m, SG_DDL_KEYS, &sql);
    rc = run_whole(&t->shards[shard], &sql, err);
    sg_buf_free(&sql);
    return rc;
}

int
sg_target_empty(struct sg_target *t, int shard, struct sg_err *err)
{
    struct sg_buf sql = SG_BUF_INIT(SQL_BYTES_MAX);
    int i, rc;

    sg_buf_puts(&sql, "TRUNCATE ");
    for (i = 0; i < t->m->n_tables; i++) {
        sg_buf_puts(&sql, i > 0 ? ", " : "");
        sg_collect_table(t->m, i, &sql);
    }
    rc = run_whole(&t->shards[shard], &sql, err);
    sg_buf_free(&sql);
    return rc;
}

/* ---- rejects ---- */

static struct sg_hash
digest_of(const struct sg_target *t, const char *realm, struct sg_slice key)
{
    struct sg_hash realm_key = sg_realm_key(t->options.ring, realm, SG_PURPOSE_DIGEST);

    return sg_store_key_digest(&realm_key, key);
}

int
sg_target_reject_bucket(const struct sg_target *t, int root, struct sg_slice key)
{
    char realm[128];
    struct sg_hash digest;

    sg_target_realm(t->m, root, realm);
    digest = digest_of(t, realm, key);
    return (int)sg_bucket(sg_str(realm), sg_slice((const char *)digest.b, sizeof digest.b));
}

int
sg_target_reject(const struct sg_target *t, int root, struct sg_slice key, struct sg_slice value,
                 int bucket, const char *reason, const char *place, struct sg_batch *batch,
                 struct sg_err *err)
{
    struct sg_buf key_sealed = SG_BUF_INIT(SG_SEAL_PLAIN_MAX + SG_SEAL_OVERHEAD),
                  value_sealed = SG_BUF_INIT(SG_SEAL_PLAIN_MAX + SG_SEAL_OVERHEAD);
    struct sg_batch_reject r = {.bucket = bucket, .reason = reason};
    char realm[128];
    int rc;

    sg_target_realm(t->m, root, realm);
    r.digest = digest_of(t, realm, key);
    snprintf(r.place, sizeof r.place, "%s", place);
    /* of a monstrous key the beginning is enough to find it by hand */
    if (key.len > SG_SEAL_PLAIN_MAX)
        key.len = SG_SEAL_PLAIN_MAX;
    rc = sg_seal_reject_key(t->options.ring, realm, r.digest.b, key, &key_sealed, err);
    if (rc == 0 && value.ptr != NULL && value.len <= SG_SEAL_PLAIN_MAX)
        rc = sg_seal_reject_value(t->options.ring, realm, r.digest.b, value, &value_sealed, err);
    if (rc == 0)
        rc = sg_batch_add_reject(batch, &r, sg_buf_slice(&key_sealed), sg_buf_slice(&value_sealed),
                                 err);
    sg_buf_free(&key_sealed);
    sg_buf_free(&value_sealed);
    return rc;
}

int
sg_target_is_rejected(struct sg_target *t, int root, struct sg_slice key, int bucket, bool *out,
                      struct sg_err *err)
{
    static const char sql[] =
        "SELECT EXISTS (SELECT FROM segue.reject WHERE realm = $1 AND bucket = $2::int AND "
        "key_digest = decode($3, 'hex') AND resolved_at IS NULL)";
    const int buckets[] = {bucket, sg_target_reject_bucket(t, root, key)};
    char realm[128], number[16], digest[2 * SG_HASH_BYTES + 1];
    struct sg_hash h;
    PGresult *r;
    int i;

    sg_target_realm(t->m, root, realm);
    h = digest_of(t, realm, key);
    sg_hex(h.b, sizeof h.b, digest);
    for (i = 0, *out = false; i < 2 && !*out; i++) {
        snprintf(number, sizeof number, "%d", buckets[i]);
        if (sg_lane_ask(&t->shards[t->shard_of[buckets[i]]], sql, 3,
                        (const char *[]){realm, number, digest}, &r, err) != 0)
            return -1;
        *out = strcmp(PQgetvalue(r, 0, 0), "t") == 0;
        PQclear(r);
    }
    return 0;
}
