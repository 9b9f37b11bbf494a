/* SPDX-License-Identifier: MIT */
/* Whose session a record is: records as the frameworks write them, shortened. */
#include "model/extended.h"
#include "model/framework.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>

#define BYTES(text) sg_slice(text, sizeof(text) - 1)

static void
is(const char *key, struct sg_slice raw, const char *redis_type, const char *json,
   const char *framework, const char *encoding)
{
    struct sg_session_look look = {.key = sg_str(key), .raw = raw, .redis_type = redis_type};
    struct sg_arena *arena;
    struct sg_doc doc;
    struct sg_err err;

    assert_int_equal(sg_arena_new(1 << 20, &arena, &err), 0);
    if (json != NULL) {
        assert_int_equal(sg_doc_from_json(arena, sg_str(json), &doc, &err), 0);
        assert_int_equal(sg_doc_from_extended(arena, &doc, &err), 0);
        look.doc = &doc;
    }
    assert_string_equal(sg_framework_of(&look)->name, framework);
    assert_string_equal(sg_session_encoding(&look), encoding);
    sg_arena_free(arena);
}

static void
genuine_records_are_recognized(void **state)
{
    static const char express[] =
        "{\"cookie\":{\"originalMaxAge\":3600000,\"expires\":\"2026-11-22T14:46:59.210Z\","
        "\"httpOnly\":true,\"path\":\"/\"},\"passport\":{\"user\":42},\"roles\":[\"admin\"]}";

    (void)state;
    is("sess:4wu4k3hxeuwyB1h8", BYTES(express), "string", express,
       "express-session (connect-redis)", "JSON");
    is("", sg_slice(NULL, 0), NULL,
       "{\"_id\":\"cCKB\",\"session\":\"{}\",\"expires\":{\"$date\":\"2026-11-22T14:52:46.617Z\"}}",
       "express-session (connect-mongo)", "a document");
    is("", sg_slice(NULL, 0), NULL,
       "{\"id\":\"sess:yDQ\",\"expires\":1795359165.998,\"type\":\"connect-session\",\"sess\":\"{}"
       "\"}",
       "express-session (connect-dynamodb)", "a document");
    is("", sg_slice(NULL, 0), NULL,
       "{\"_id\":{\"$oid\":\"6b02f404849f9c9a9cd84e38\"},\"sessionToken\":\"7f0c\",\"userId\":"
       "{\"$oid\":\"6b02f404849f9c9a9cd84e36\"},\"expires\":{\"$date\":\"2026-11-22T13:54:13."
       "003Z\"}}",
       "Auth.js (database sessions)", "a document");
    is("spring:session:sessions:4d3c", sg_slice(NULL, 0), "hash",
       "{\"creationTime\":\"1\",\"lastAccessedTime\":\"2\",\"maxInactiveInterval\":\"1800\"}",
       "Spring Session", "a Redis structure");
    is("shiro:session:1f", BYTES("\xac\xed\0\5sr\0*org.apache.shiro.session.mgt.SimpleSession"),
       "string", NULL, "Apache Shiro (shiro-redis)", "Java serialization");
    is(":1:django.contrib.sessions.cachemwqa", BYTES("\x80\4\x95\xde\0\0\0\0\0\0\0}\x94"), "string",
       NULL, "Django (cache sessions)", "Python pickle");
    is(":1:django.contrib.sessions.cachemwqa", BYTES("\x78\x9c\x4d\x8b"), "string", NULL,
       "Django (cache sessions)", "zlib, compressed");
    is("MYAPP:prefsess", BYTES("user_id|i:42;username|s:5:\"alice\";"), "string", NULL,
       "PHP (phpredis session handler)", "PHP serialize");
    is("PHPREDIS_SESSION:x", BYTES("\0\0\0\2\x14\7"), "string", NULL,
       "PHP (phpredis session handler)", "igbinary");
    is("laravel_database_laravel_cache:Abc", BYTES("s:94:\"a:3:{s:6:\"_token\";s:4:\"abcd\";}\";"),
       "string", NULL, "Laravel", "PHP serialize");
    is("app:2::9f86d081884c7d65", BYTES("\4\10{\6I\"\17session_id"), "string", NULL,
       "Rails or Rack (redis-rack)", "Ruby Marshal");
    is("session:9b2e", BYTES("\x80\4\x95}\x94(\x8c\n_permanent\x94\x88"), "string", NULL,
       "Flask-Session", "Python pickle");
    is("satoken:login:token:8d2f", BYTES("10001"), "string", NULL, "Sa-Token", "unknown");
    is("app5f0c", sg_slice(NULL, 0), "hash", "{\"absexp\":\"-1\",\"sldexp\":\"1\",\"data\":\"x\"}",
       "ASP.NET Core session", "a Redis structure");
}

static void
what_fits_no_rule_is_unknown(void **state)
{
    (void)state;
    is("t:1", BYTES("{\"user\":1}"), "string", "{\"user\":1}", "unknown", "JSON");
    is("t:1", BYTES("opaque"), "string", NULL, "unknown", "unknown");
    is("t:1", BYTES(""), "string", NULL, "unknown", "unknown");
    is("", sg_slice(NULL, 0), NULL, "[1]", "unknown", "a document");
    is("x:1", BYTES("\xac\xed\0\5sr"), "string", NULL, "unknown", "Java serialization");
}

static void
members_have_a_kind_and_a_home(void **state)
{
    static const char *const kinds[][2] = {{"csrfSecret", "csrf"},   {"_csrf", "csrf"},
                                           {"flash", "flash"},       {"cart", "cart"},
                                           {"returnTo", "way back"}, {"oauth2:state", "way back"},
                                           {"passport", "identity"}, {"_auth_user_id", "identity"},
                                           {"locale", "preference"}, {"cookie", "cookie"},
                                           {"lastQuiz", "other"},    {"", "other"}};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        assert_string_equal(sg_session_member_kind(sg_str(kinds[i][0])), kinds[i][1]);
        assert_true(strlen(sg_session_member_home(kinds[i][1])) > 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(genuine_records_are_recognized),
        cmocka_unit_test(what_fits_no_rule_is_unknown),
        cmocka_unit_test(members_have_a_kind_and_a_home),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
