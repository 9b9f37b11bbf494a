/* SPDX-License-Identifier: MIT */
/* A mapping file's mistakes are told with their place and a suggestion. */
#include "base/buf.h"
#include "model/ddl.h"
#include "model/mapping.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>

/* %s: columns beyond id, a list of "      name: {…}\n"; then what follows the columns. */
#define HEAD                                                                                       \
    "mapping: 1\nschema: app\ncollections:\n  users:\n    table: users\n    key: [id]\n"           \
    "    shard_key: id\n    rest: extra\n    columns:\n"                                           \
    "      id: {from: _id, type: bigint, not_null: true}\n"

static void
told(const char *text, const char *place, const char *part)
{
    struct sg_mapping *m;
    struct sg_err err;

    if (sg_mapping_parse("m.yaml", sg_str(text), &m, &err) == 0)
        fail_msg("taken: %s", text);
    if (strcmp(err.place, place) != 0 || strstr(err.text, part) == NULL)
        fail_msg("%s: %s\n  expected %s: …%s…", err.place, err.text, place, part);
}

static void
column_told(const char *column, const char *part)
{
    char text[2000];

    snprintf(text, sizeof text, "%s%s", HEAD, column);
    told(text, "m.yaml:11:7", part);
}

static void
mistakes_are_told_with_place_and_suggestion(void **state)
{
    (void)state;
    told("mapping: 1\nschema: app\n", "m.yaml:1:1", "'collections' is missing");
    told("mapping: 1\nschema: segue\ncollections: {}\n", "m.yaml:2:1", "Segue's own");
    told("mapping: 1\nschema: app\ncollections:\n  users:\n    tabel: users\n", "m.yaml:4:3",
         "key 'table' is missing");
    told(HEAD "    versoin: v\n", "m.yaml:11:5", "version");
    told("mapping: 1\nschema: app\ncollections:\n  u:\n    table: u\n    key: [id]\n    columns:\n"
         "      id: {from: id, type: text, not_null: true}\n",
         "m.yaml:4:3", "'shard_key' is missing");
    told("mapping: 1\nschema: app\ncollections:\n  u:\n    table: u\n    key: [idd]\n"
         "    shard_key: id\n    columns:\n      id: {from: id, type: text, not_null: true}\n",
         "m.yaml:6:5", "did you mean 'id'?");
    told("mapping: 1\nschema: app\ncollections:\n  u:\n    table: u\n    key: [id]\n"
         "    shard_key: id\n    columns:\n      id: {from: id, type: text}\n",
         "m.yaml:9:7", "write not_null: true");
    column_told("      id: {from: x, type: text}\n", "given twice");
    column_told("      bucket: {from: x, type: text}\n", "Segue finds a row by");
    column_told("      extra: {from: x, type: text}\n", "two columns of users are named 'extra'");
    column_told("      a: {from: _id, type: bigint}\n", "has a place in id already");
    column_told("      a: {from: _id.x, type: bigint}\n", "has a place in id already");
    column_told("      a: {from: x, type: text, convert: epoch_ms}\n", "write type: timestamptz");
    column_told("      a: {from: x, type: bigint, convert: oid}\n", "write type: text");
    column_told("      a: {from: $key, type: bigint}\n", "add convert: parse");
    column_told("      a: {from: x, type: bigint, values: [a]}\n", "only a text column");
    column_told("      a: {from: x, type: \"jsonb[]\"}\n", "write type: jsonb");
    column_told("      a: {from: x, type: text, not_null: true, absent: \"null\"}\n", "not_null");
    column_told("      a12345678901234567890123456789012345678901234567890123456789012345: "
                "{from: x, type: text}\n",
                "PostgreSQL would cut it at 63");
    told(HEAD "      a: {from: x, type: bigitn}\n", "m.yaml:11:20", "did you mean bigint?");
    told(HEAD "      a: {from: x, type: money}\n", "m.yaml:11:20",
         "is none that a mapping can hold");
    told(HEAD "      a: {from: x, type: text, convert: epoch}\n", "m.yaml:11:32", "epoch");
    told(HEAD "      a: {from: x, type: text, lookup: kinds}\nlookups:\n  kind: [a]\n",
         "m.yaml:11:32", "did you mean 'kind'?");
    told(HEAD "      a: {from: x, type: bigint, references: user.id}\n", "m.yaml:11:34",
         "did you mean 'users.id'?");
    column_told("      a: {from: x, type: bigint, references: users.id}\n",
                "a is not the shard_key of both");
    told(HEAD "    children:\n      c:\n        from: l\n        kind: array\n"
              "        parent: [a, b]\n        position: ordinal\n        columns:\n"
              "          v: {from: \".\", type: text}\n",
         "m.yaml:15:9", "has 1 columns, here are 2");
    told(HEAD "    children:\n      users:\n        from: l\n        kind: array\n"
              "        parent: [a]\n        position: ordinal\n        columns:\n"
              "          v: {from: \".\", type: text}\n",
         "m.yaml:12:7", "two tables are named 'users'");
    told(HEAD "    children:\n      c:\n        from: l\n        kind: list\n", "m.yaml:14:9",
         "array");
}

static void
written_and_read_again_it_is_the_same(void **state)
{
    static const char text[] =
        "mapping: 1\n"
        "schema: My App\n"
        "collections:\n"
        "  \"it's:*\":\n"
        "    table: order\n"
        "    key: [\"a\\\"b\", \"null\"]\n"
        "    shard_key: \"null\"\n"
        "    version: v\n"
        "    expires: e\n"
        "    rest: r\n"
        "    columns:\n"
        "      \"a\\\"b\": {from: \"a\\\\.b\\\\\\\\.c\", type: \"varchar(12)\", not_null: true, "
        "unique: "
        "true}\n"
        "      \"null\": {from: \"\\\\$key\", type: text, not_null: true, lookup: \"true\"}\n"
        "      k: {from: $key, type: text, values: [\"x y \", \"1\", \"# no\", \": \"]}\n"
        "    children:\n"
        "      c:\n"
        "        from: a.c\n"
        "        kind: map\n"
        "        parent: [p, q]\n"
        "        position: \"on\"\n"
        "        absent: empty\n"
        "        columns:\n"
        "          value: {from: \".\", type: \"double precision[]\"}\n"
        "lookups:\n"
        "  \"true\": [\"yes\", b]\n";
    struct sg_buf out = SG_BUF_INIT(1 << 16);
    struct sg_mapping *m;
    struct sg_err err;

    (void)state;
    if (sg_mapping_parse("m.yaml", sg_str(text), &m, &err) != 0)
        fail_msg("%s: %s", err.place, err.text);
    assert_int_equal(m->tables[0].columns[0].from.n, 2);
    assert_true(sg_slice_eq(m->tables[0].columns[0].from.names[0], sg_str("a.b\\")));
    assert_false(m->tables[0].columns[1].from.is_key);
    assert_true(m->tables[0].columns[2].from.is_key);
    sg_mapping_write(m, false, &out);
    assert_string_equal(out.ptr, text);
    sg_buf_reset(&out);
    sg_mapping_ddl(m, SG_DDL_TABLES | SG_DDL_KEYS | SG_DDL_REFERENCES, &out);
    assert_non_null(strstr(out.ptr, "CREATE TABLE \"My App\".\"order\" ("));
    assert_non_null(strstr(out.ptr, "PRIMARY KEY (bucket, \"a\"\"b\", \"null\")"));
    assert_non_null(strstr(out.ptr, "'it''s:*, members of a.c'"));
    assert_non_null(strstr(out.ptr, "E'a\\\\.b\\\\\\\\.c'"));
    sg_buf_free(&out);
    sg_mapping_free(m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_told_with_place_and_suggestion),
        cmocka_unit_test(written_and_read_again_it_is_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
