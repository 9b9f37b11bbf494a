/* SPDX-License-Identifier: MIT */
/* The "mongodb" source against tests/lib/mongomockd.py, which has no change streams. */
#include "base/buf.h"
#include "servers.h"
#include "source/source.h"

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants some of the above first */
#include <cmocka.h>

#define MB ((int64_t)1 << 20)
#define PIECES 20

static struct test_mongo server;
static mongoc_client_t *app;
static char url[96];
static struct sg_err err;
static atomic_bool stop;

static int
setup(void **state)
{
    mongoc_database_t *db;

    (void)state;
    if (server.pid == 0) {
        test_mongo_start(&server);
        snprintf(url, sizeof url, "mongodb://127.0.0.1:%d/shop", server.port);
    }
    app = mongoc_client_new(url);
    db = mongoc_client_get_database(app, "shop");
    assert_true(mongoc_database_drop(db, NULL));
    mongoc_database_destroy(db);
    atomic_store(&stop, false);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    mongoc_client_destroy(app);
    return 0;
}

static int
end_server(void **state)
{
    (void)state;
    test_mongo_kill(&server);
    return 0;
}

static void
put(const char *collection, const char *json)
{
    mongoc_collection_t *c = mongoc_client_get_collection(app, "shop", collection);
    bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, NULL);
    bson_error_t why;

    assert_non_null(doc);
    if (!mongoc_collection_insert_one(c, doc, NULL, NULL, &why))
        fail_msg("%s: %s", json, why.message);
    bson_destroy(doc);
    mongoc_collection_destroy(c);
}

static struct sg_source *
open_with(int64_t bytes_max, int batch, const char *poll_field)
{
    struct sg_source_options o = {.url = url,
                                  .timeout_ms = 3000,
                                  .bytes_max = bytes_max,
                                  .batch_records = batch,
                                  .stop = &stop,
                                  .poll_field = poll_field,
                                  .poll_ms = 50};
    struct sg_source *s;

    if (sg_source_open(&o, &s, &err) != 0)
        fail_msg("%s: %s", err.place, err.text);
    return s;
}

struct got {
    int n, gone, batches, stop_after;
    int64_t most_bytes;
    int seen[5000]; /* by the number in "n" */
    char key[64], json[2048], odd[80];
    int64_t expires_ms;
};

static int
take(void *ctx, const struct sg_source_record *records, int n, struct sg_err *e)
{
    struct got *g = ctx;
    int64_t bytes = 0;
    int i;

    for (i = 0; i < n; i++) {
        const struct sg_source_record *r = &records[i];
        const struct sg_doc *number = r->doc != NULL ? sg_doc_get(r->doc, sg_str("n")) : NULL;
        struct sg_buf json = SG_BUF_INIT(32 << 20);

        if (r->doc != NULL)
            assert_int_equal(sg_doc_to_json(r->doc, &json, e), 0);
        g->gone += r->doc == NULL && r->odd == NULL;
        if (number != NULL && number->integer < 5000)
            g->seen[number->integer]++;
        snprintf(g->key, sizeof g->key, "%.*s", (int)r->key.len, r->key.ptr);
        snprintf(g->json, sizeof g->json, "%.2000s", json.ptr != NULL ? json.ptr : "");
        snprintf(g->odd, sizeof g->odd, "%s", r->odd != NULL ? r->odd : "");
        g->expires_ms = r->expires_ms;
        g->n++;
        bytes += (int64_t)r->raw.len;
        sg_buf_free(&json);
    }
    g->most_bytes = bytes > g->most_bytes ? bytes : g->most_bytes;
    g->batches++;
    return g->batches == g->stop_after ? sg_fail(e, SG_E_CANCELLED, "test", "enough") : 0;
}

static struct got *
new_got(void)
{
    struct got *g = calloc(1, sizeof *g);

    assert_non_null(g);
    return g;
}

static void
read_all(struct sg_source *s, const char *collection, int most, struct got *g)
{
    struct sg_source_piece pieces[PIECES];
    int n, i;

    if (s->type->pieces(s, collection, pieces, most, &n, &err) != 0)
        fail_msg("%s: %s", err.place, err.text);
    assert_true(n <= most);
    for (i = 0; i < n; i++) {
        char position[SG_SOURCE_PIECE_MAX] = "";

        if (s->type->read(s, collection, &pieces[i], position, take, g, &err) != 0)
            fail_msg("%s %s: %s", pieces[i].text, err.place, err.text);
    }
}

static void
assert_each_seen_once(const struct got *g, int n)
{
    int i;

    for (i = 0; i < n; i++)
        if (g->seen[i] != 1)
            fail_msg("%d was read %d times", i, g->seen[i]);
}

static void
ids_of_every_kind_are_read_once_in_any_number_of_pieces(void **state)
{
    static const char *const ids[] = {
        "-5",
        "{\"$numberDouble\":\"2.5\"}",
        "{\"$numberLong\":\"7\"}",
        "\"\"",
        "\"seven\"",
        "{\"$oid\":\"5f00000000000000000000ff\"}",
        "{\"$date\":{\"$numberLong\":\"5\"}}",
        "true",
        "{\"a\":1}",
        "{\"$binary\":{\"base64\":\"AP8=\",\"subType\":\"80\"}}",
        "null",
    };
    int n = 0, pieces, most[] = {5, 8, PIECES};
    struct sg_source *s = open_with(8 * MB, 50, NULL);
    char json[128];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        snprintf(json, sizeof json, "{\"_id\":%s,\"n\":%d}", ids[i], n++);
        put("mixed", json);
    }
    for (i = 0; i < 300; i++) {
        snprintf(json, sizeof json, "{\"_id\":\"s%zu\",\"n\":%d}", i, n++);
        put("mixed", json);
        snprintf(json, sizeof json, "{\"_id\":%zu,\"n\":%d}", i + 1000, n++);
        put("mixed", json);
    }
    for (pieces = 0; pieces < 3; pieces++) {
        struct got *g = new_got();

        read_all(s, "mixed", most[pieces], g);
        assert_int_equal(g->n, n);
        assert_each_seen_once(g, n);
        free(g);
    }
    sg_source_close(s);
}

static void
reading_goes_on_behind_the_last_id_in_another_handle(void **state)
{
    struct sg_source *s = open_with(8 * MB, 20, NULL);
    char position[SG_SOURCE_PIECE_MAX] = "", json[128];
    struct sg_source_piece pieces[PIECES];
    struct got *g = new_got();
    int i, n, parts = 0;

    (void)state;
    for (i = 0; i < 500; i++) {
        snprintf(json, sizeof json, "{\"_id\":{\"$oid\":\"5f00000000000000%08x\"},\"n\":%d}",
                 (unsigned)(i * 2654435761U), i);
        put("users", json);
    }
    assert_int_equal(s->type->pieces(s, "users", pieces, 5, &n, &err), 0);
    for (i = 0; i < n; i++) {
        g->stop_after = g->batches + 5;
        for (position[0] = '\0';
             s->type->read(s, "users", &pieces[i], position, take, g, &err) != 0; parts++) {
            if (err.code != SG_E_CANCELLED)
                fail_msg("%s: %s: %s", position, err.place, err.text);
            sg_source_close(s);
            s = open_with(8 * MB, 20, NULL);
            g->stop_after = g->batches + 5;
        }
    }
    assert_true(parts >= 4);
    for (i = 0; i < 500; i++)
        assert_in_range(g->seen[i], 1, 2);
    assert_int_equal(g->n, 500 + parts * 20); /* the batch that was refused comes again */
    free(g);
    sg_source_close(s);
}

static void
documents_of_sixteen_megabytes_come_one_by_one(void **state)
{
    struct sg_source *s = open_with(72 * MB, 100, NULL);
    mongoc_collection_t *c = mongoc_client_get_collection(app, "shop", "big");
    char *text = calloc(1, 16 * (size_t)MB);
    struct got *g = new_got();
    int i;

    (void)state;
    memset(text, 'x', 16 * (size_t)MB - 100);
    for (i = 0; i < 2; i++) {
        bson_t doc = BSON_INITIALIZER;

        BSON_APPEND_INT32(&doc, "_id", i);
        BSON_APPEND_INT32(&doc, "n", i);
        BSON_APPEND_UTF8(&doc, "text", text);
        assert_true(mongoc_collection_insert_one(c, &doc, NULL, NULL, NULL));
        bson_destroy(&doc);
    }
    read_all(s, "big", 5, g);
    assert_int_equal(g->n, 2);
    assert_true(g->most_bytes < 18 * MB);
    mongoc_collection_destroy(c);
    free(text);
    free(g);
    sg_source_close(s);
}

static void
collections_and_samples_are_told(void **state)
{
    struct sg_source *s = open_with(8 * MB, 50, NULL);
    struct sg_source_collection found[8];
    struct got *g = new_got();
    char json[64];
    int i, n;

    (void)state;
    for (i = 0; i < 100; i++) {
        snprintf(json, sizeof json, "{\"_id\":%d,\"n\":%d}", i, i);
        put(i % 4 == 0 ? "orders" : "users", json);
    }
    assert_int_equal(s->type->collections(s, found, 8, &n, &err), 0);
    assert_int_equal(n, 2);
    i = strcmp(found[0].name, "users") == 0 ? 0 : 1;
    assert_string_equal(found[i].name, "users");
    assert_int_equal(found[i].records, 75);
    assert_string_equal(found[!i].name, "orders");
    assert_int_equal(s->type->sample(s, "users", 10, take, g, &err), 0);
    assert_int_equal(g->n, 10);
    free(g);
    sg_source_close(s);
}

static void
a_ttl_index_says_when_a_document_expires(void **state)
{
    struct sg_source *s;
    struct got *g = new_got();
    bson_t *command = BCON_NEW("createIndexes", "sessions", "indexes", "[", "{", "key", "{",
                               "expires", BCON_INT32(1), "}", "name", "expires_1",
                               "expireAfterSeconds", BCON_INT32(30), "}", "]");

    (void)state;
    assert_true(mongoc_client_command_simple(app, "shop", command, NULL, NULL, NULL));
    put("sessions",
        "{\"_id\":\"sid\",\"expires\":{\"$date\":{\"$numberLong\":\"4102444800000\"}}}");
    s = open_with(8 * MB, 50, NULL);
    read_all(s, "sessions", 5, g);
    assert_int_equal(g->n, 1);
    assert_string_equal(g->key, "\"sid\"");
    assert_int_equal(g->expires_ms, 4102444830000);
    bson_destroy(command);
    free(g);
    sg_source_close(s);
}

static void
what_is_written_is_fetched_again(void **state)
{
    static const char *const keys[] = {"5", "\"a\"", "{\"$oid\":\"5f00000000000000000000ff\"}"};
    struct sg_slice slices[3];
    struct sg_source *s = open_with(8 * MB, 50, NULL);
    struct sg_arena *arena;
    struct got *g = new_got();
    struct sg_doc doc;
    int i;

    (void)state;
    assert_int_equal(sg_arena_new(1 << 20, &arena, &err), 0);
    for (i = 0; i < 3; i++) {
        struct sg_source_record r = {.key = sg_str(keys[i]), .doc = &doc, .expires_ms = -1};

        slices[i] = r.key;
        assert_int_equal(sg_doc_from_json(arena, sg_str("{\"n\":1,\"x\":[1.5]}"), &doc, &err), 0);
        assert_int_equal(s->type->write(s, "users", &r, &err), 0);
        doc.members[0].value.integer = 2; /* and over it */
        assert_int_equal(s->type->write(s, "users", &r, &err), 0);
    }
    assert_int_equal(s->type->fetch(s, "users", slices, 3, take, g, &err), 0);
    assert_int_equal(g->n, 3);
    assert_int_equal(g->seen[2], 3);
    for (i = 0; i < 3; i++) {
        struct sg_source_record r = {.key = sg_str(keys[i]), .expires_ms = -1};

        assert_int_equal(s->type->write(s, "users", &r, &err), 0);
    }
    assert_int_equal(s->type->fetch(s, "users", slices, 3, take, g, &err), 0);
    assert_int_equal(g->n, 6);
    assert_int_equal(g->gone, 3);
    sg_arena_free(arena);
    free(g);
    sg_source_close(s);
}

/* ---- following by a field ---- */

struct follower {
    struct sg_source_follow follow;
    struct sg_source *s;
    pthread_t thread;
    atomic_int beats, told;
    int seen[100];
    struct sg_err err;
};

static int
changed(void *ctx, enum sg_source_change what, const char *collection,
        const struct sg_source_record *r, const char *position, struct sg_err *e)
{
    struct follower *f = ctx;

    (void)e;
    if (what == SG_SOURCE_BEAT) {
        assert_true(position[0] != '\0');
        atomic_fetch_add(&f->beats, 1);
        return 0;
    }
    assert_int_equal(what, SG_SOURCE_PUT);
    assert_string_equal(collection, "users");
    f->seen[sg_doc_get(r->doc, sg_str("n"))->integer]++;
    atomic_fetch_add(&f->told, 1);
    return 0;
}

static void *
follow_thread(void *arg)
{
    struct follower *f = arg;

    assert_int_equal(f->s->type->follow(f->s, &f->follow, &f->err), -1);
    return NULL;
}

static const char *const users[] = {"users", NULL};

static void
start_follow(struct follower *f, const char *position)
{
    memset(f, 0, sizeof *f);
    f->s = open_with(8 * MB, 50, "at");
    f->follow = (struct sg_source_follow){.collections = users, .change = changed, .ctx = f};
    snprintf(f->follow.position, sizeof f->follow.position, "%s", position);
    pthread_create(&f->thread, NULL, follow_thread, f);
}

static void
wait_for(atomic_int *count, int least)
{
    int i;

    for (i = 0; atomic_load(count) < least; i++) {
        if (i > 5000)
            fail_msg("%d of %d", atomic_load(count), least);
        test_sleep_ms(1);
    }
}

static void
put_at(int n, long long at_ms)
{
    char json[128];

    snprintf(json, sizeof json,
             "{\"_id\":%d,\"n\":%d,\"at\":{\"$date\":{\"$numberLong\":\"%lld\"}}}", n, n, at_ms);
    put("users", json);
}

static void
without_a_replica_set_a_field_is_polled_and_taken_up_again(void **state)
{
    char position[SG_SOURCE_PIECE_MAX];
    struct follower f;

    (void)state;
    put_at(0, 1000000);
    put_at(1, 2000000);
    start_follow(&f, "");
    wait_for(&f.beats, 2);
    put_at(2, 3000000);
    put_at(3, 2999000); /* visible later, though it is earlier */
    while (f.seen[2] == 0 || f.seen[3] == 0)
        test_sleep_ms(1);
    wait_for(&f.beats, 4);
    assert_in_range(f.s->type->staleness_ms(f.s), 0, 2000);
    atomic_store(&stop, true);
    pthread_join(f.thread, NULL);
    assert_int_equal(f.err.code, SG_E_CANCELLED);
    assert_int_equal(f.seen[0], 0);
    snprintf(position, sizeof position, "%s", f.follow.position);
    sg_source_close(f.s);
    put_at(4, 4000000);
    atomic_store(&stop, false);
    start_follow(&f, position);
    wait_for(&f.beats, 1);
    atomic_store(&stop, true);
    pthread_join(f.thread, NULL);
    assert_true(f.seen[4] > 0);
    assert_int_equal(f.seen[1], 0);
    sg_source_close(f.s);
}

static void
without_a_field_to_poll_it_is_told_what_to_do(void **state)
{
    struct sg_source_follow follow = {.collections = users, .change = changed};
    struct sg_source *s = open_with(8 * MB, 50, NULL);

    (void)state;
    assert_int_equal(s->type->follow(s, &follow, &err), -1);
    assert_int_equal(err.code, SG_E_INVALID);
    assert_non_null(strstr(err.text, "replica set"));
    sg_source_close(s);
}

/* ---- failures ---- */

static void
a_lost_server_is_told_and_found_again(void **state)
{
    struct sg_source *s = open_with(8 * MB, 50, NULL);
    struct got *g = new_got();
    char position[SG_SOURCE_PIECE_MAX] = "";
    struct sg_source_piece pieces[5];
    int n;

    (void)state;
    put("users", "{\"_id\":1,\"n\":1}");
    assert_int_equal(s->type->pieces(s, "users", pieces, 5, &n, &err), 0);
    test_mongo_kill(&server);
    assert_int_equal(s->type->read(s, "users", &pieces[0], position, take, g, &err), -1);
    assert_int_equal(err.code, SG_E_UNAVAILABLE);
    test_mongo_start(&server);
    mongoc_client_destroy(app);
    app = mongoc_client_new(url);
    put("users", "{\"_id\":1,\"n\":1}");
    for (n = 0; s->type->read(s, "users", &pieces[0], position, take, g, &err) != 0; n++) {
        assert_true(n < 100);
        test_sleep_ms(100);
    }
    assert_int_equal(g->seen[1], 1);
    free(g);
    sg_source_close(s);
}

static void
mistakes_in_the_url_are_told_without_the_password(void **state)
{
    static const char *const bad[] = {
        "mongodb://",
        "mongodb://u:hunter2@h",
        "mongodb://u:hun/ter2@h/db",
        "mongodb://u:hunter2@h:99999/db",
        "mongodb://u:hunter2@127.0.0.1:1/db",
        "mongodb://u:hunter2@h/db?authMechanism=NONE&tls=x",
    };
    struct sg_source_options o = {.timeout_ms = 500, .bytes_max = 8 * MB, .batch_records = 10};
    struct sg_source *s;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        o.url = bad[i];
        memset(&err, 0, sizeof err);
        if (sg_source_open(&o, &s, &err) == 0)
            fail_msg("%s was taken", bad[i]);
        assert_true(err.text[0] != '\0');
        assert_null(strstr(err.text, "ter2"));
        assert_null(strstr(err.place, "ter2"));
    }
}

#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(ids_of_every_kind_are_read_once_in_any_number_of_pieces),
        WITH_SERVER(reading_goes_on_behind_the_last_id_in_another_handle),
        WITH_SERVER(documents_of_sixteen_megabytes_come_one_by_one),
        WITH_SERVER(collections_and_samples_are_told),
        WITH_SERVER(a_ttl_index_says_when_a_document_expires),
        WITH_SERVER(what_is_written_is_fetched_again),
        WITH_SERVER(without_a_replica_set_a_field_is_polled_and_taken_up_again),
        WITH_SERVER(without_a_field_to_poll_it_is_told_what_to_do),
        WITH_SERVER(a_lost_server_is_told_and_found_again),
        cmocka_unit_test(mistakes_in_the_url_are_told_without_the_password),
    };

    signal(SIGPIPE, SIG_IGN);
    mongoc_init();
    return cmocka_run_group_tests(tests, NULL, end_server);
}
