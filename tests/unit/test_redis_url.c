/* SPDX-License-Identifier: MIT */
#include "redis/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h wants the first three */
#include <cmocka.h>

static void
urls_are_read(void **state)
{
    static const struct {
        const char *url, *host, *user, *password, *name;
        int port, database;
    } t[] = {
        {"redis://127.0.0.1:6380/2", "127.0.0.1", "", "", "redis 127.0.0.1:6380", 6380, 2},
        {"redis://localhost", "localhost", "", "", "redis localhost:6379", 6379, 0},
        {"redis://:p%40ss@h:1/", "h", "", "p@ss", "redis h:1", 1, 0},
        {"redis://ann:a:b@h", "h", "ann", "a:b", "redis h:6379", 6379, 0},
        {"redis://ann:a@b@h", "h", "ann", "a@b", "redis h:6379", 6379, 0},
        {"redis://[::1]:7000/1", "::1", "", "", "redis ::1:7000", 7000, 1},
        {"rediss://ann:b@h/3", "h", "ann", "b", "redis h:6379", 6379, 3},
        {"unix:///run/redis.sock", "/run/redis.sock", "", "", "redis /run/redis.sock", 6379, 0},
        {"unix:///a%20b?db=4", "/a b", "", "", "redis /a b", 6379, 4},
        {"unix://u:p@/s", "/s", "u", "p", "redis /s", 6379, 0},
    };
    struct sg_redis_url u;
    struct sg_err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof t / sizeof t[0]; i++) {
        assert_int_equal(sg_redis_url_parse(t[i].url, &u, &err), 0);
        assert_string_equal(u.host, t[i].host);
        assert_string_equal(u.user, t[i].user);
        assert_string_equal(u.password, t[i].password);
        assert_string_equal(u.name, t[i].name);
        assert_int_equal(u.port, t[i].port);
        assert_int_equal(u.database, t[i].database);
        assert_int_equal(u.tls, strncmp(t[i].url, "rediss:", 7) == 0);
    }
}

static void
bad_urls_are_refused_without_an_echo(void **state)
{
    static const char *const bad[] = {
        "",
        "hunter2",
        "http://u:hunter2@h",
        "rediss://u:hunter2@",
        "redis://",
        "redis://u:hunter2@",
        "redis://hunter2@h",
        "redis://u:hunter2@h:0",
        "redis://u:hunter2@h:65536",
        "redis://u:hunter2@h:6379/x",
        "redis://u:hunter2@h:6379/-1",
        "redis://u:hunter2@h:6379/0?x=1",
        "redis://u:hunter2@h?x",
        "redis://u:hunter2%4@h",
        "redis://u:hunter2%00@h",
        "redis://u:hun/ter2@h:6379/0",
        "redis://u:hunter2@[::1",
        "redis://u:hunter2@[::1]6379",
        "unix://u:hunter2@",
        "unix://u:hunter2@/",
        "unix://u:hunter2@/s?db=x",
        "unix://u:hunter2@/s?x=1",
        "unix://hunter2/s",
    };
    struct sg_redis_url u;
    struct sg_err err;
    char longest[2048];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memset(&err, 0, sizeof err);
        assert_int_equal(sg_redis_url_parse(bad[i], &u, &err), -1);
        assert_int_equal(err.code, SG_E_INVALID);
        assert_null(strstr(err.text, "hun"));
        assert_null(strstr(err.place, "hun"));
    }
    snprintf(longest, sizeof longest, "redis://u:%01000d@h", 7);
    assert_int_equal(sg_redis_url_parse(longest, &u, &err), -1);
    snprintf(longest, sizeof longest, "redis://%01000d", 7);
    assert_int_equal(sg_redis_url_parse(longest, &u, &err), -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_read),
        cmocka_unit_test(bad_urls_are_refused_without_an_echo),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
