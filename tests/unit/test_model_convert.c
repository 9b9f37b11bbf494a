/* SPDX-License-Identifier: MIT */
/* Documents become rows and read back equal, or are rejected with reason and place. */
#include "base/buf.h"
#include "model/convert.h"
#include "model/ddl.h"
#include "model/extended.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include "servers.h"

#include <cmocka.h>
#include <libpq-fe.h>

static const char mapping_text[] =
    "mapping: 1\n"
    "schema: app\n"
    "collections:\n"
    "  \"user:*\":\n"
    "    table: users\n"
    "    key: [id]\n"
    "    shard_key: id\n"
    "    version: row_version\n"
    "    expires: expires_at\n"
    "    rest: extra\n"
    "    columns:\n"
    "      id: {from: id, type: bigint, not_null: true}\n"
    "      small: {from: small, type: smallint}\n"
    "      int: {from: int, type: integer}\n"
    "      yes: {from: yes, type: boolean}\n"
    "      real: {from: real, type: double precision}\n"
    "      num: {from: num, type: numeric}\n"
    "      name: {from: name, type: text}\n"
    "      short: {from: short, type: varchar(3)}\n"
    "      kind: {from: kind, type: text, values: [a, b]}\n"
    "      uid: {from: uid, type: uuid}\n"
    "      oid: {from: oid, type: text, convert: oid}\n"
    "      at: {from: at, type: timestamptz}\n"
    "      s: {from: s, type: timestamptz, convert: epoch_s}\n"
    "      ms: {from: ms, type: timestamptz, convert: epoch_ms}\n"
    "      iso: {from: iso, type: timestamptz, convert: iso_ms}\n"
    "      isos: {from: isos, type: timestamptz, convert: iso_s}\n"
    "      isox: {from: isox, type: timestamptz, convert: iso}\n"
    "      day: {from: day, type: date}\n"
    "      raw: {from: raw, type: bytea}\n"
    "      any: {from: any, type: jsonb}\n"
    "      tags: {from: tags, type: \"text[]\"}\n"
    "      dims: {from: dims, type: \"bigint[]\"}\n"
    "      amounts: {from: amounts, type: \"numeric[]\"}\n"
    "      parsed: {from: parsed, type: numeric, convert: parse}\n"
    "      pint: {from: pint, type: bigint, convert: parse}\n"
    "      pbool: {from: pbool, type: boolean, convert: parse}\n"
    "      city: {from: address.city, type: text}\n"
    "      dotted: {from: \"a\\\\.b\", type: text}\n"
    "      verified: {from: verified, type: timestamptz, absent: \"null\"}\n"
    "    children:\n"
    "      users_lines:\n"
    "        from: lines\n"
    "        kind: array\n"
    "        parent: [user_id]\n"
    "        position: ordinal\n"
    "        rest: extra\n"
    "        columns:\n"
    "          sku: {from: sku, type: text}\n"
    "          qty: {from: more.qty, type: integer}\n"
    "      users_roles:\n"
    "        from: roles\n"
    "        kind: array\n"
    "        parent: [user_id]\n"
    "        position: ordinal\n"
    "        absent: empty\n"
    "        columns:\n"
    "          role: {from: \".\", type: text}\n"
    "      users_votes:\n"
    "        from: deep.votes\n"
    "        kind: map\n"
    "        parent: [user_id]\n"
    "        position: key\n"
    "        columns:\n"
    "          value: {from: \".\", type: jsonb}\n";

struct world {
    struct sg_mapping *m;
    struct sg_model_converter *c;
    struct sg_arena *arena;
};

static int
bucket_of(void *ctx, struct sg_slice key)
{
    (void)ctx;
    return (int)(key.len % 4096);
}

static int
set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct sg_err err;

    assert_non_null(w);
    if (sg_mapping_parse("test.yaml", sg_str(mapping_text), &w->m, &err) != 0)
        fail_msg("%s: %s", err.place, err.text);
    assert_int_equal(sg_model_converter_new(w->m, bucket_of, NULL, &w->c, &err), 0);
    assert_int_equal(sg_arena_new(64 << 20, &w->arena, &err), 0);
    *state = w;
    return 0;
}

static int
tear_down(void **state)
{
    struct world *w = *state;

    sg_model_converter_free(w->c);
    sg_mapping_free(w->m);
    sg_arena_free(w->arena);
    free(w);
    return 0;
}

static struct sg_doc
parse(struct world *w, const char *json)
{
    struct sg_doc doc;
    struct sg_err err;

    if (sg_doc_from_json(w->arena, sg_str(json), &doc, &err) != 0 ||
        sg_doc_from_extended(w->arena, &doc, &err) != 0)
        fail_msg("%s: %s: %s", json, err.place, err.text);
    return doc;
}

static enum sg_model_reject
convert(struct world *w, const struct sg_doc *doc, struct sg_model_rows *rows)
{
    const struct sg_model_record record = {
        .key = sg_str("k"), .doc = doc, .expires_ms = 1795359165998, .version = 7};

    return sg_model_convert(w->c, 0, &record, w->arena, rows);
}

static void
same(struct world *w, const char *json)
{
    struct sg_buf a = SG_BUF_INIT(1 << 20);
    struct sg_doc doc = parse(w, json), back;
    struct sg_model_rows rows;
    struct sg_err err;

    if (convert(w, &doc, &rows) != SG_REJECT_NONE)
        fail_msg("%s: %s at %s", json, sg_model_reject_name(rows.reason), rows.place);
    if (sg_model_restore(w->m, rows.rows, rows.n, w->arena, &back, &err) != 0)
        fail_msg("%s: %s: %s", json, err.place, err.text);
    if (!sg_doc_equal(&doc, &back)) {
        assert_int_equal(sg_doc_to_json(&back, &a, &err), 0);
        fail_msg("%s came back as %s", json, a.ptr);
    }
    sg_buf_free(&a);
    sg_arena_reset(w->arena);
}

static void
rejected(struct world *w, const char *json, enum sg_model_reject reason, const char *place)
{
    struct sg_doc doc = parse(w, json);
    struct sg_model_rows rows;

    convert(w, &doc, &rows);
    if (rows.reason != reason || strcmp(rows.place, place) != 0)
        fail_msg("%s: %s at '%s', not %s at '%s'", json, sg_model_reject_name(rows.reason),
                 rows.place, sg_model_reject_name(reason), place);
    sg_arena_reset(w->arena);
}

static void
every_type_reads_back_equal(void **state)
{
    struct world *w = *state;

    same(w, "{\"id\":1,\"roles\":[]}");
    same(w,
         "{\"id\":-9223372036854775808,\"small\":-32768,\"int\":2147483647,\"yes\":true,"
         "\"real\":-0.1,\"num\":12345678901234567890.123456789,\"name\":\"\\u00e4\\ud83d\\ude00\","
         "\"short\":\"\\u00e4\\u00f6\\u00fc\",\"kind\":\"b\",\"roles\":[\"x\",null,\"\"],"
         "\"uid\":\"0f7c6b1e-0000-4000-8000-000000000001\","
         "\"oid\":{\"$oid\":\"6b02f404849f9c9a9cd84e36\"},\"verified\":null}");
    same(w,
         "{\"id\":2,\"roles\":[],\"at\":{\"$date\":\"1969-12-31T23:59:59.999Z\"},\"s\":1795359165,"
         "\"ms\":1795359165998,\"iso\":\"2026-11-22T14:46:59.210Z\","
         "\"isos\":\"0001-01-01T00:00:00Z\",\"isox\":\"2026-11-22T14:46:59.210Z\","
         "\"day\":\"1999-12-31\",\"raw\":{\"$binary\":{\"base64\":\"AAEC/"
         "w==\",\"subType\":\"00\"}}}");
    same(w, "{\"id\":3,\"roles\":[],\"s\":1795359165.998,\"ms\":-62135596800000.25}");
    same(w, "{\"id\":4,\"roles\":[],\"any\":{\"x\":[1,2.5,\"s\",null,{\"$oid\":"
            "\"6b02f404849f9c9a9cd84e36\"},{\"$date\":{\"$numberLong\":\"-1\"}}]},"
            "\"tags\":[\"a\",null,\"\"],\"dims\":[],\"amounts\":[1.5,0,-100000,1e-20]}");
    same(w, "{\"id\":5,\"roles\":[],\"parsed\":\"-1.50\",\"pint\":\"-7\",\"pbool\":\"false\"}");
    same(w, "{\"id\":6,\"roles\":[],\"at\":{\"$date\":{\"$numberLong\":\"9224318015999999\"}}}");
    same(w, "{\"id\":7,\"roles\":[],\"at\":{\"$date\":{\"$numberLong\":\"-210866803200000\"}}}");
}

static void
numerics_read_back_equal(void **state)
{
    static const char *const texts[] = {"0",
                                        "1",
                                        "-1",
                                        "10",
                                        "9999",
                                        "10000",
                                        "10001",
                                        "99999999",
                                        "100000000",
                                        "0.1",
                                        "0.0001",
                                        "0.00001",
                                        "1.00",
                                        "1e5",
                                        "1e-5",
                                        "123456789.987654321",
                                        "0.00000000000000000000000001",
                                        "1e100",
                                        "-1e-100",
                                        "1E+2",
                                        "12e-1",
                                        "100.0100",
                                        "170141183460469231731687303715884105727",
                                        NULL};
    struct world *w = *state;
    char json[200];
    int i;

    for (i = 0; texts[i] != NULL; i++) {
        snprintf(json, sizeof json, "{\"id\":1,\"roles\":[],\"num\":%s,\"amounts\":[%s]}", texts[i],
                 texts[i]);
        same(w, json);
        snprintf(json, sizeof json, "{\"id\":1,\"roles\":[],\"num\":{\"$numberDecimal\":\"%s\"}}",
                 texts[i]);
        same(w, json);
    }
}

static void
what_columns_cannot_tell_apart_is_in_the_rest(void **state)
{
    struct world *w = *state;

    same(w, "{\"id\":1}"); /* roles missing, where no row stands for [] */
    same(w, "{\"id\":1,\"roles\":null,\"lines\":null,\"name\":null,\"address\":null}");
    same(w, "{\"id\":1,\"roles\":[],\"lines\":[],\"address\":{},\"deep\":{\"votes\":{}}}");
    same(w, "{\"id\":1,\"roles\":[],\"address\":{\"city\":null}}");
    same(w, "{\"id\":1,\"roles\":[],\"address\":{\"city\":\"x\",\"new\":{\"deep\":[1,{}]}},"
            "\"later\":{\"$x\":1},\"a.b\":\"dot\",\"a\":{\"b\":\"no dot\"}}");
    same(w, "{\"id\":1,\"roles\":[],\"address\":\"a string once\",\"deep\":7}");
    same(w, "{\"id\":1,\"roles\":[],\"lines\":[{\"sku\":\"a\",\"more\":{\"qty\":1}},{},"
            "{\"sku\":null,\"more\":{},\"z\":[]},{\"more\":{\"qty\":2,\"y\":1}}],"
            "\"deep\":{\"votes\":{\"u1\":1,\"\":null,\"u2\":{\"a\":[]}},\"other\":1}}");
}

static void
mismatches_are_rejected_with_place_and_reason(void **state)
{
    struct world *w = *state;

    rejected(w, "{\"name\":\"x\"}", SG_REJECT_MISSING_KEY, "users.id (id)");
    rejected(w, "{\"id\":null}", SG_REJECT_MISSING_KEY, "users.id (id)");
    rejected(w, "{\"id\":\"1\"}", SG_REJECT_TYPE, "users.id (id)");
    rejected(w, "{\"id\":1.5}", SG_REJECT_TYPE, "users.id (id)");
    rejected(w, "{\"id\":18446744073709551616}", SG_REJECT_RANGE, "users.id (id)");
    rejected(w, "{\"id\":1,\"small\":32768}", SG_REJECT_RANGE, "users.small (small)");
    rejected(w, "{\"id\":1,\"int\":2147483648}", SG_REJECT_RANGE, "users.int (int)");
    rejected(w, "{\"id\":1,\"real\":9007199254740993}", SG_REJECT_RANGE, "users.real (real)");
    rejected(w, "{\"id\":1,\"short\":\"abcd\"}", SG_REJECT_RANGE, "users.short (short)");
    rejected(w, "{\"id\":1,\"kind\":\"c\"}", SG_REJECT_RANGE, "users.kind (kind)");
    rejected(w, "{\"id\":1,\"name\":\"a\\u0000b\"}", SG_REJECT_NUL, "users.name (name)");
    rejected(w, "{\"id\":1,\"any\":{\"x\":[\"\\u0000\"]}}", SG_REJECT_NUL, "users.any (any)");
    rejected(w, "{\"id\":1,\"new\\u0000\":1}", SG_REJECT_NUL, "users.extra");
    rejected(w, "{\"id\":1,\"uid\":\"0F7C6B1E-0000-4000-8000-000000000001\"}", SG_REJECT_TYPE,
             "users.uid (uid)");
    rejected(w, "{\"id\":1,\"iso\":\"2026-11-22T14:46:59Z\"}", SG_REJECT_TYPE, "users.iso (iso)");
    rejected(w, "{\"id\":1,\"isox\":\"2026-02-30T00:00:00Z\"}", SG_REJECT_TYPE,
             "users.isox (isox)");
    rejected(w, "{\"id\":1,\"day\":\"2026-02-29\"}", SG_REJECT_TYPE, "users.day (day)");
    rejected(w, "{\"id\":1,\"at\":{\"$date\":{\"$numberLong\":\"9224318016000000\"}}}",
             SG_REJECT_RANGE, "users.at (at)");
    rejected(w, "{\"id\":1,\"at\":{\"$date\":{\"$numberLong\":\"-210866803200001\"}}}",
             SG_REJECT_RANGE, "users.at (at)");
    rejected(w, "{\"id\":1,\"s\":9223372036854775807}", SG_REJECT_RANGE, "users.s (s)");
    rejected(w, "{\"id\":1,\"num\":1e200000}", SG_REJECT_RANGE, "users.num (num)");
    rejected(w, "{\"id\":1,\"any\":1e200000}", SG_REJECT_RANGE, "users.any (any)");
    rejected(w, "{\"id\":1,\"num\":{\"$numberDouble\":\"NaN\"}}", SG_REJECT_RANGE,
             "users.num (num)");
    rejected(w, "{\"id\":1,\"tags\":\"x\"}", SG_REJECT_TYPE, "users.tags (tags)");
    rejected(w, "{\"id\":1,\"tags\":[1]}", SG_REJECT_TYPE, "users.tags (tags)");
    rejected(w, "{\"id\":1,\"lines\":{}}", SG_REJECT_TYPE, "users_lines (lines)");
    rejected(w, "{\"id\":1,\"lines\":[7]}", SG_REJECT_TYPE, "users_lines (lines)");
    rejected(w, "{\"id\":1,\"roles\":[7]}", SG_REJECT_TYPE, "users_roles.role (.)");
    rejected(w, "{\"id\":1,\"parsed\":\"007\"}", SG_REJECT_TYPE, "users.parsed (parsed)");
    rejected(w, "{\"id\":1,\"parsed\":\"-0\"}", SG_REJECT_TYPE, "users.parsed (parsed)");
    rejected(w, "{\"id\":1,\"$missing\":1}", SG_REJECT_TYPE, "users.extra");
    rejected(w, "[1]", SG_REJECT_TYPE, "users");
}

static void
text_that_is_not_utf8_and_a_name_twice_are_rejected(void **state)
{
    struct world *w = *state;
    struct sg_doc_member members[] = {
        {sg_str("id"), {.type = SG_DOC_INT, .integer = 1}},
        {sg_str("name"), {.type = SG_DOC_STRING, .text = {"\xff", 1}}},
        {sg_str("id"), {.type = SG_DOC_INT, .integer = 2}},
    };
    struct sg_doc doc = {.type = SG_DOC_OBJECT, .n = 2, .members = members};
    struct sg_model_rows rows;

    assert_int_equal(convert(w, &doc, &rows), SG_REJECT_ENCODING);
    members[1].value.text = sg_str("x");
    doc.n = 3;
    assert_int_equal(convert(w, &doc, &rows), SG_REJECT_DUPLICATE_KEY);
}

static void
a_full_arena_is_a_rejection(void **state)
{
    struct world *w = *state;
    struct sg_doc doc = parse(w, "{\"id\":1,\"any\":[1,2,3],\"roles\":[\"a\",\"b\"],\"new\":1}");
    const struct sg_model_record record = {.doc = &doc, .expires_ms = -1};
    size_t bytes;

    for (bytes = 16; bytes < 4096; bytes += 48) {
        struct sg_arena *small;
        struct sg_model_rows rows;
        struct sg_err err;

        if (sg_arena_new(bytes, &small, &err) != 0)
            continue;
        sg_model_convert(w->c, 0, &record, small, &rows);
        assert_true(rows.reason == SG_REJECT_NONE || rows.reason == SG_REJECT_TOO_LARGE);
        sg_arena_free(small);
    }
}

static void
keys_bucket_version_and_expiry_are_on_the_rows(void **state)
{
    struct world *w = *state;
    struct sg_doc doc =
        parse(w, "{\"id\":12345,\"roles\":[\"a\"],\"lines\":[{}],\"new\":1,\"verified\":null}");
    struct sg_model_physical p[SG_MODEL_PHYSICAL_MAX];
    struct sg_model_rows rows;
    struct sg_buf copy = SG_BUF_INIT(1 << 16);
    int n;

    assert_int_equal(convert(w, &doc, &rows), SG_REJECT_NONE);
    assert_int_equal(rows.n, 3);
    assert_int_equal(rows.bucket, 5);
    assert_true(sg_slice_eq(rows.shard_key, sg_str("12345")));
    n = sg_mapping_physical(w->m, 0, p);
    assert_int_equal(rows.rows[0].n, n);
    assert_string_equal(p[n - 3].name, "row_version");
    assert_memory_equal(rows.rows[0].values[n - 3].ptr, "\0\0\0\0\0\0\0\7", 8);
    assert_memory_equal(rows.rows[0].values[0].ptr, "\0\0\0\5", 4);
    assert_memory_equal(rows.rows[0].values[n - 1].ptr, "\1{\"new\":1}", 10);
    assert_int_equal(rows.rows[1].n, sg_mapping_physical(w->m, rows.rows[1].table, p));
    assert_int_equal(p[1].part, SG_PART_PARENT);
    assert_memory_equal(rows.rows[1].values[1].ptr, "\0\0\0\0\0\0\x30\x39", 8);
    sg_model_copy_row(&rows.rows[2], &copy);
    assert_memory_equal(copy.ptr, "\0\4\0\0\0\4\0\0\0\5", 10);
    sg_buf_free(&copy);
}

/* ---- on a real PostgreSQL ---- */

static void
execute(PGconn *db, const char *sql)
{
    PGresult *r = PQexec(db, sql);

    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_COPY_IN)
        fail_msg("%s: %s", sql, PQerrorMessage(db));
    PQclear(r);
}

static void
copy_in(PGconn *db, const struct sg_mapping *m, int table, const struct sg_model_rows *rows)
{
    struct sg_buf out = SG_BUF_INIT(1 << 20);
    char sql[120];
    PGresult *r;
    int i;

    snprintf(sql, sizeof sql, "COPY app.%s FROM STDIN (FORMAT binary)", m->tables[table].name);
    execute(db, sql);
    sg_model_copy_header(&out);
    for (i = 0; i < rows->n; i++)
        if (rows->rows[i].table == table)
            sg_model_copy_row(&rows->rows[i], &out);
    sg_model_copy_trailer(&out);
    assert_int_equal(PQputCopyData(db, out.ptr, (int)out.len), 1);
    assert_int_equal(PQputCopyEnd(db, NULL), 1);
    r = PQgetResult(db);
    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(db));
    PQclear(r);
    while ((r = PQgetResult(db)) != NULL)
        PQclear(r);
    sg_buf_free(&out);
}

/* All rows of all tables, in binary, as one record's. */
static int
read_rows(struct world *w, PGconn *db, struct sg_model_row *rows, int cap, PGresult **results)
{
    char sql[120];
    int t, i, k, n = 0;

    for (t = 0; t < w->m->n_tables; t++) {
        snprintf(sql, sizeof sql, "SELECT * FROM app.%s", w->m->tables[t].name);
        results[t] = PQexecParams(db, sql, 0, NULL, NULL, NULL, NULL, 1);
        assert_int_equal(PQresultStatus(results[t]), PGRES_TUPLES_OK);
        for (i = 0; i < PQntuples(results[t]); i++, n++) {
            assert_true(n < cap);
            rows[n] = (struct sg_model_row){.table = t, .n = PQnfields(results[t])};
            rows[n].values = sg_arena_alloc(w->arena, (size_t)rows[n].n * sizeof(struct sg_slice));
            for (k = 0; k < rows[n].n; k++)
                rows[n].values[k] = PQgetisnull(results[t], i, k)
                                        ? sg_slice(NULL, 0)
                                        : sg_slice(PQgetvalue(results[t], i, k),
                                                   (size_t)PQgetlength(results[t], i, k));
        }
    }
    return n;
}

static void
postgresql_takes_the_rows_and_gives_the_document_back(void **state)
{
    static const char *const documents[] = {
        "{\"id\":1,\"roles\":[]}",
        "{\"id\":-9223372036854775808,\"small\":-32768,\"int\":2147483647,\"yes\":true,"
        "\"real\":-0.1,\"num\":12345678901234567890.123456789,\"name\":\"\\u00e4\\ud83d\\ude00\","
        "\"short\":\"\\u00e4\\u00f6\\u00fc\",\"kind\":\"b\",\"roles\":[\"x\",null,\"\"],"
        "\"uid\":\"0f7c6b1e-0000-4000-8000-000000000001\","
        "\"oid\":{\"$oid\":\"6b02f404849f9c9a9cd84e36\"},\"verified\":null,"
        "\"parsed\":\"-1.50\",\"pint\":\"-7\",\"pbool\":\"false\"}",
        "{\"id\":3,\"roles\":[],\"at\":{\"$date\":{\"$numberLong\":\"9224318015999999\"}},"
        "\"s\":1795359165.998,\"ms\":-62135596800000.25,\"iso\":\"2026-11-22T14:46:59.210Z\","
        "\"isos\":\"0001-01-01T00:00:00Z\",\"day\":\"1999-12-31\","
        "\"raw\":{\"$binary\":{\"base64\":\"AAEC/w==\",\"subType\":\"00\"}}}",
        "{\"id\":4,\"roles\":[\"a\"],\"at\":{\"$date\":{\"$numberLong\":\"-210866803200000\"}},"
        "\"any\":{\"x\":[1,2.5,1e300,\"s\",null,{\"$oid\":\"6b02f404849f9c9a9cd84e36\"}]},"
        "\"tags\":[\"a\",null,\"\"],\"dims\":[],\"amounts\":[1.5,0,-100000,1e-20,99999999,0.00010]"
        "}",
        "{\"id\":5,\"num\":0.0000000001,\"lines\":[{\"sku\":\"a\",\"more\":{\"qty\":1}},{},"
        "{\"sku\":null,\"more\":{},\"z\":[]}],\"deep\":{\"votes\":{\"u1\":1,\"\":null,\"u2\":{}},"
        "\"other\":1},\"address\":\"once\"}",
        NULL};
    struct sg_buf ddl = SG_BUF_INIT(1 << 20);
    struct world *w = *state;
    struct test_pg pg;
    PGconn *db;
    int i, t, n;

    test_pg_start(&pg);
    db = PQconnectdb(pg.conninfo);
    assert_int_equal(PQstatus(db), CONNECTION_OK);
    execute(db, "SET client_min_messages = warning");
    sg_mapping_ddl(w->m, SG_DDL_TABLES | SG_DDL_KEYS | SG_DDL_REFERENCES, &ddl);
    execute(db, ddl.ptr);
    for (i = 0; documents[i] != NULL; i++) {
        struct sg_doc doc = parse(w, documents[i]), back;
        PGresult *results[8];
        struct sg_model_row rows[16];
        struct sg_model_rows made;
        struct sg_err err;

        execute(db, "TRUNCATE app.users CASCADE");
        if (convert(w, &doc, &made) != SG_REJECT_NONE)
            fail_msg("%s: %s", documents[i], made.place);
        for (t = 0; t < w->m->n_tables; t++)
            copy_in(db, w->m, t, &made);
        n = read_rows(w, db, rows, 16, results);
        assert_int_equal(n, made.n);
        if (sg_model_restore(w->m, rows, n, w->arena, &back, &err) != 0)
            fail_msg("%s: %s: %s", documents[i], err.place, err.text);
        if (!sg_doc_equal(&doc, &back))
            fail_msg("%s did not come back", documents[i]);
        for (t = 0; t < w->m->n_tables; t++)
            PQclear(results[t]);
        sg_arena_reset(w->arena);
    }
    PQfinish(db);
    test_pg_stop(&pg);
    sg_buf_free(&ddl);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_type_reads_back_equal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numerics_read_back_equal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_columns_cannot_tell_apart_is_in_the_rest, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(mismatches_are_rejected_with_place_and_reason, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(text_that_is_not_utf8_and_a_name_twice_are_rejected, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_full_arena_is_a_rejection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_bucket_version_and_expiry_are_on_the_rows, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(postgresql_takes_the_rows_and_gives_the_document_back,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
