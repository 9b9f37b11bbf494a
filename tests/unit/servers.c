/* SPDX-License-Identifier: MIT */
#include "servers.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
/* cmocka.h wants some of the above first */
#include <cmocka.h>

#define PG_BIN "/usr/lib/postgresql/15/bin"

void
test_sleep_ms(int ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&ts, NULL);
}

static void
on_tick(uv_timer_t *tick)
{
    uv_timer_stop(tick);
}

static void
turn(uv_loop_t *loop, const bool *flag, int at_most_ms)
{
    uint64_t end = uv_hrtime() + (uint64_t)at_most_ms * 1000000;
    uv_timer_t tick;

    uv_timer_init(loop, &tick);
    while (!(flag != NULL && *flag) && uv_hrtime() < end) {
        /* else the tick is due before the loop waits, which then has no end */
        uv_update_time(loop);
        uv_timer_start(&tick, on_tick, 1, 0);
        uv_run(loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
}

void
test_run_until(uv_loop_t *loop, const bool *flag, int at_most_ms)
{
    turn(loop, flag, at_most_ms);
    assert_true(*flag);
}

void
test_run_for(uv_loop_t *loop, int ms)
{
    turn(loop, NULL, ms);
}

int
test_free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static pid_t
spawn(const char *const *argv, const char *log)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);

        prctl(PR_SET_PDEATHSIG, SIGQUIT);
        dup2(open("/dev/null", O_RDONLY), 0);
        dup2(fd, 1);
        dup2(fd, 2);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    return pid;
}

/* PostgreSQL refuses to run as root. */
static pid_t
spawn_pg(const char *const *argv, const char *log)
{
    const char *all[48] = {"setpriv",       "--reuid=postgres", "--regid=postgres",
                           "--init-groups", "--pdeathsig=QUIT", NULL};
    int n = geteuid() == 0 ? 5 : 0, i;

    for (i = 0; argv[i] != NULL; i++) {
        assert_true(n < 47);
        all[n++] = argv[i];
    }
    all[n] = NULL;
    return spawn(all, log);
}

static void
run_rm(const char *dir)
{
    const char *const argv[] = {"rm", "-rf", dir, NULL};

    waitpid(spawn(argv, "/dev/null"), NULL, 0);
}

static void
make_dir(char *dir, size_t cap, const char *what)
{
    snprintf(dir, cap, "/tmp/segue-test-%s-XXXXXX", what);
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chmod(dir, 0777), 0); /* the postgres user makes its files in there */
}

void
test_pg_start(struct test_pg *pg)
{
    static const char *const settings[] = {"fsync=off",
                                           "full_page_writes=off",
                                           "shared_buffers=16MB",
                                           "max_connections=40",
                                           "wal_level=logical",
                                           "max_wal_size=64MB",
                                           "min_wal_size=32MB",
                                           "huge_pages=off",
                                           "jit=off",
                                           "autovacuum=off",
                                           "dynamic_shared_memory_type=mmap",
                                           "listen_addresses=127.0.0.1",
                                           NULL};
    char data[96], log[96], sock[96], port[16];
    const char *argv[48] = {PG_BIN "/initdb", "-D", data,       "-A",
                            "trust",          "-E", "UTF8",     "--locale=C.UTF-8",
                            "--no-sync",      "-U", "postgres", NULL};
    int status, i, n;

    make_dir(pg->dir, sizeof pg->dir, "pg");
    snprintf(data, sizeof data, "%s/data", pg->dir);
    snprintf(log, sizeof log, "%s/log", pg->dir);
    snprintf(sock, sizeof sock, "unix_socket_directories=%s", pg->dir);
    waitpid(spawn_pg(argv, log), &status, 0);
    assert_int_equal(status, 0);
    pg->port = test_free_port();
    snprintf(port, sizeof port, "%d", pg->port);
    n = 0;
    argv[n++] = PG_BIN "/postgres";
    argv[n++] = "-D";
    argv[n++] = data;
    argv[n++] = "-p";
    argv[n++] = port;
    argv[n++] = "-c";
    argv[n++] = sock;
    for (i = 0; settings[i] != NULL; i++) {
        argv[n++] = "-c";
        argv[n++] = settings[i];
    }
    argv[n] = NULL;
    pg->pid = spawn_pg(argv, log);
    snprintf(pg->conninfo, sizeof pg->conninfo,
             "host=127.0.0.1 port=%d user=postgres dbname=postgres", pg->port);
    for (i = 0; PQping(pg->conninfo) != PQPING_OK; i++) {
        if (i > 500)
            fail_msg("PostgreSQL did not start: see %s", log);
        test_sleep_ms(20);
    }
}

void
test_pg_signal(const struct test_pg *pg, int sig)
{
    char path[64];
    int child;
    FILE *f;

    if (sig == SIGSTOP)
        kill(pg->pid, sig); /* first, so that it starts no more */
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pg->pid, (int)pg->pid);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fscanf(f, "%d", &child) == 1)
        kill(child, sig);
    fclose(f);
    if (sig != SIGSTOP)
        kill(pg->pid, sig);
}

void
test_pg_stop(struct test_pg *pg)
{
    if (pg->pid > 0) {
        test_pg_signal(pg, SIGCONT); /* a test may have failed while it was stopped */
        kill(pg->pid, SIGQUIT);
        waitpid(pg->pid, NULL, 0);
        run_rm(pg->dir);
    }
    pg->pid = 0;
}

long
test_pg_sql(const struct test_pg *pg, const char *sql)
{
    PGconn *c = PQconnectdb(pg->conninfo);
    PGresult *r = PQexec(c, sql);
    long n = 0;

    if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(c));
    if (PQntuples(r) > 0 && PQnfields(r) > 0)
        n = strtol(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    PQfinish(c);
    return n;
}

void
test_pg_enable_tls(const struct test_pg *pg)
{
    char key[96], crt[96];
    const char *const argv[] = {"openssl", "req",   "-x509", "-newkey", "rsa:2048",
                                "-nodes",  "-subj", "/CN=t", "-keyout", key,
                                "-out",    crt,     NULL};
    int status;

    snprintf(key, sizeof key, "%s/data/server.key", pg->dir);
    snprintf(crt, sizeof crt, "%s/data/server.crt", pg->dir);
    waitpid(spawn_pg(argv, "/dev/null"), &status, 0);
    assert_int_equal(status, 0);
    test_pg_sql(pg, "ALTER SYSTEM SET ssl = on");
    test_pg_sql(pg, "SELECT pg_reload_conf()");
    test_sleep_ms(200);
}

static int
can_connect(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), rc;

    rc = connect(fd, (struct sockaddr *)&a, sizeof a);
    close(fd);
    return rc == 0;
}

void
test_redis_start(struct test_redis *r, const char *const *args)
{
    char port[16], log[96];
    const char *argv[32] = {"redis-server", "--port",  port,     "--bind", "127.0.0.1",
                            "--unixsocket", r->socket, "--save", "",       "--appendonly",
                            "no",           "--dir",   r->dir};
    int n = 13, i;

    if (r->port == 0) {
        make_dir(r->dir, sizeof r->dir, "redis");
        r->port = test_free_port();
        snprintf(r->socket, sizeof r->socket, "%s/redis.sock", r->dir);
    }
    for (i = 0; args != NULL && args[i] != NULL && n < 31; i++)
        argv[n++] = args[i];
    snprintf(port, sizeof port, "%d", r->port);
    snprintf(log, sizeof log, "%s/log", r->dir);
    r->pid = spawn(argv, log);
    for (i = 0; !can_connect(r->port); i++) {
        if (i > 500)
            fail_msg("redis-server did not start: see %s", log);
        test_sleep_ms(10);
    }
}

void
test_redis_kill(struct test_redis *r)
{
    if (r->pid > 0) {
        kill(r->pid, SIGKILL);
        waitpid(r->pid, NULL, 0);
    }
    r->pid = 0;
}

void
test_redis_stop(struct test_redis *r)
{
    test_redis_kill(r);
    run_rm(r->dir);
}

void
test_mongo_start(struct test_mongo *m)
{
    char port[16];
    const char *const argv[] = {"/usr/bin/python3", TESTS_LIB "/mongomockd.py", port, NULL};
    int i;

    if (m->port == 0)
        m->port = test_free_port();
    snprintf(port, sizeof port, "%d", m->port);
    m->pid = spawn(argv, "/dev/null");
    for (i = 0; !can_connect(m->port); i++) {
        if (i > 1000)
            fail_msg("mongomockd.py did not start");
        test_sleep_ms(10);
    }
}

void
test_mongo_kill(struct test_mongo *m)
{
    kill(m->pid, SIGKILL);
    waitpid(m->pid, NULL, 0);
}
