/* SPDX-License-Identifier: MIT */
#include "dev_server.h"

#include "base/clock.h"
#include "dev_dir.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS 30000
#define STOP_MS 30000

static int
spawn_postgres(const struct dev_server *s, const struct dev_programs *p, pid_t *pid,
               struct sg_err *err)
{
    char port[16];
    const char *argv[] = {p->postgres, "-D", s->dir, "-p", port, NULL};
    const struct dev_program program = {&p->user, argv, s->dir, s->log, SIGQUIT};

    snprintf(port, sizeof port, "%d", s->port);
    return dev_spawn(&program, pid, err);
}

static int
spawn_redis(const struct dev_server *s, const struct dev_programs *p, pid_t *pid,
            struct sg_err *err)
{
    char port[16];
    const char *argv[] = {p->redis,
                          "--port",
                          port,
                          "--bind",
                          "127.0.0.1",
                          "--unixsocket",
                          s->socket,
                          "--unixsocketperm",
                          "777",
                          "--dir",
                          s->dir,
                          "--save",
                          "",
                          "--appendonly",
                          p->redis_appendonly ? "yes" : "no",
                          "--repl-diskless-sync-delay",
                          "0",
                          NULL};
    const struct dev_program program = {&p->user, argv, s->dir, s->log, SIGKILL};

    snprintf(port, sizeof port, "%d", s->port);
    return dev_spawn(&program, pid, err);
}

int
dev_server_spawn(struct dev_server *s, const struct dev_programs *p, struct sg_err *err)
{
    pid_t pid;

    if (dev_port_listens(s->port))
        return sg_fail(err, SG_E_UNAVAILABLE, s->name, "port %d is in use by another process",
                       s->port);
    if ((s->kind == DEV_POSTGRES ? spawn_postgres(s, p, &pid, err)
                                 : spawn_redis(s, p, &pid, err)) != 0)
        return -1;
    s->pid = pid;
    s->paused = false;
    return 0;
}

static bool
postgres_answers(const struct dev_server *s)
{
    char conninfo[160];

    snprintf(conninfo, sizeof conninfo,
             "host=127.0.0.1 port=%d user=postgres dbname=postgres connect_timeout=2", s->port);
    return PQping(conninfo) == PQPING_OK;
}

/* INFO is refused while the append-only file is being loaded, so an answer means ready. */
static bool
redis_answers(struct dev_server *s)
{
    redisContext *c = redisConnectWithTimeout("127.0.0.1", s->port, (struct timeval){1, 0});
    redisReply *r = NULL;
    const char *id = NULL;
    bool loading = true;

    if (c != NULL && c->err == 0 && redisSetTimeout(c, (struct timeval){1, 0}) == REDIS_OK)
        r = redisCommand(c, "INFO");
    if (r != NULL && r->type == REDIS_REPLY_STRING) {
        loading = strstr(r->str, "\r\nloading:0\r\n") == NULL;
        id = strstr(r->str, "\r\nrun_id:");
    }
    if (id != NULL && !loading)
        sscanf(id, "\r\nrun_id:%40[0-9a-f]", s->run_id);
    freeReplyObject(r);
    redisFree(c);
    return !loading;
}

bool
dev_server_reap(struct dev_server *s, int *status)
{
    if (s->pid <= 0 || waitpid(s->pid, status, WNOHANG) != s->pid)
        return false;
    s->pid = 0;
    s->paused = false;
    return true;
}

int
dev_server_wait_ready(struct dev_server *s, struct sg_err *err)
{
    const struct sg_clock *clock = sg_clock_system();
    uint64_t end = sg_mono_ns(clock) + READY_MS * SG_NS_PER_MS;
    char tail[260];
    int status;

    while (!(s->kind == DEV_POSTGRES ? postgres_answers(s) : redis_answers(s))) {
        if (!dev_wait(10))
            return sg_fail(err, SG_E_CANCELLED, s->name, "interrupted");
        if (dev_server_reap(s, &status)) {
            dev_log_tail(s->log, tail, sizeof tail);
            return sg_fail(err, SG_E_UNAVAILABLE, s->name, "ended while starting:\n%s", tail);
        }
        if (sg_mono_ns(clock) > end)
            return sg_fail(err, SG_E_TIMEOUT, s->name, "no answer on port %d within %d s", s->port,
                           READY_MS / 1000);
    }
    return 0;
}

static bool
gone_within(struct dev_server *s, int ms)
{
    const struct sg_clock *clock = sg_clock_system();
    uint64_t end = sg_mono_ns(clock) + (uint64_t)ms * SG_NS_PER_MS;
    int status;

    while (s->pid > 0 && !dev_server_reap(s, &status)) {
        if (sg_mono_ns(clock) > end)
            return false;
        usleep(2000);
    }
    return true;
}

void
dev_server_stop(struct dev_server *s)
{
    if (s->pid <= 0)
        return;
    dev_server_pause(s, false);
    kill(s->pid, s->kind == DEV_POSTGRES ? SIGINT : SIGTERM);
    if (!gone_within(s, STOP_MS))
        dev_server_kill(s);
}

void
dev_server_kill(struct dev_server *s)
{
    int tries;

    /* The postmaster first, lest it sees its children die and writes about it. */
    if (s->pid > 0)
        kill(s->pid, SIGKILL);
    for (tries = 0; tries < 500 && dev_dir_signal(s->dir, SIGKILL) > 0; tries++)
        usleep(2000);
    gone_within(s, STOP_MS);
}

void
dev_server_pause(struct dev_server *s, bool on)
{
    /* Twice: a backend may have been forked while the first pass went by. */
    dev_dir_signal(s->dir, on ? SIGSTOP : SIGCONT);
    dev_dir_signal(s->dir, on ? SIGSTOP : SIGCONT);
    s->paused = on;
}
