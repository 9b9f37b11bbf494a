/* SPDX-License-Identifier: MIT */
#ifndef SG_TEST_LEGACY_REDIS_H
#define SG_TEST_LEGACY_REDIS_H

#include "legacy/legacy.h"
#include "servers.h"

#include <hiredis/hiredis.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka.h wants the three before stdio.h first */
#include <cmocka.h>

/* The "redis" store against a real redis-server, over its Unix socket; "the app" is a plain
 * blocking connection beside it. One of each a test. */
extern struct test_redis server;
extern char url[128]; /* of the socket */
extern redisContext *app;
extern uv_loop_t loop;
extern struct sg_legacy_store *store; /* realm "web", prefix "sess:" */

int setup(void **state);
int teardown(void **state);
#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

void start_server(void); /* again, after kill_server */
void kill_server(void);

/* What the app says to the server; returns the integer, or the length of a string, or -1. */
long long say(const char *format, ...);
void assert_value(const char *key, const char *want);

void set_flag(void *ctx); /* a bool */
struct sg_legacy_store *open_at(const char *at, const char *prefix);
struct sg_legacy_store *open_psync_at(const char *at, const char *prefix);
void close_store(struct sg_legacy_store *s);

struct call {
    struct sg_legacy_request q;
    bool done;
};

void begin_at(struct call *c, struct sg_legacy_store *s, enum sg_legacy_op op, const char *key,
              const char *value, int64_t ttl_ms, int deadline_ms);
/* Asks store and waits; the answer stands until the next one. */
struct call *ask(enum sg_legacy_op op, const char *key, const char *value, int64_t ttl_ms);

/* What a follower tells. */
struct told {
    bool up;
    int ups, downs;
    char run_id[48];
    struct sg_err err;
    char log[4096]; /* "SET sess:a\n…" */
    const char *wanted;
    bool seen;
    bool down; /* since the test cleared it */
};

struct sg_legacy_follower *start_following(struct sg_legacy_store *s, struct told *t);
void stop_following(struct sg_legacy_store *s, struct sg_legacy_follower *f);
/* Turns the loop until the log holds the line. */
void await_line(struct told *t, const char *line);

struct page {
    struct sg_legacy_scan scan;
    bool done;
};

void begin_page(struct sg_legacy_store *s, struct page *p, int keys);
void next_page(struct sg_legacy_store *s, struct page *p, int keys);

#endif
