/* SPDX-License-Identifier: MIT */
#ifndef SG_TEST_SERVERS_H
#define SG_TEST_SERVERS_H

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

/* Throw-away servers for tests, on free loopback ports, in a private directory each. They die with
 * the test program however it ends. A failure to start one fails the test. */

struct test_pg {
    pid_t pid;
    int port;
    char dir[64];
    char conninfo[192]; /* over TCP */
};

void test_pg_start(struct test_pg *pg);
void test_pg_stop(struct test_pg *pg); /* and removes the directory */
/* Stops (SIGSTOP) or continues the postmaster and every backend. */
void test_pg_signal(const struct test_pg *pg, int sig);
/* Runs SQL over a blocking connection of its own; returns the first value as a long, 0 if none. */
long test_pg_sql(const struct test_pg *pg, const char *sql);

/* From here on the server also takes TLS, with a certificate of its own. */
void test_pg_enable_tls(const struct test_pg *pg);

struct test_redis {
    pid_t pid;
    int port;
    char dir[64];
    char socket[96];
};

/* args: more arguments, NULL-ended; may be NULL. A second start of a stopped one takes the same
 * port and directory. */
void test_redis_start(struct test_redis *r, const char *const *args);
void test_redis_kill(struct test_redis *r); /* SIGKILL; the directory stays */
void test_redis_stop(struct test_redis *r); /* and removes the directory */

/* A stand-in for mongod (tests/lib/mongomockd.py): no replica set, no change streams. */
struct test_mongo {
    pid_t pid;
    int port;
};

void test_mongo_start(struct test_mongo *m); /* again on the same port, with nothing in it */
void test_mongo_kill(struct test_mongo *m);

/* Turns the loop until the flag is set; fails the test when that takes longer. */
void test_run_until(uv_loop_t *loop, const bool *flag, int at_most_ms);
/* Turns the loop for that long. */
void test_run_for(uv_loop_t *loop, int ms);

int test_free_port(void);
void test_sleep_ms(int ms);

#endif
