/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_DEV_SERVER_H
#define SEGUE_DEV_SERVER_H

#include "dev_proc.h"

/* One PostgreSQL or Redis of the throw-away cluster, and what a drill does to it. */

enum dev_kind { DEV_POSTGRES, DEV_REDIS };

struct dev_server {
    enum dev_kind kind;
    char name[16];               /* "shard0", "appdb", "redis" */
    char dir[DEV_PATH_BYTES];    /* its data; its working directory */
    char log[DEV_PATH_BYTES];    /* what it printed */
    char socket[DEV_PATH_BYTES]; /* directory (PostgreSQL) or file (Redis) of its Unix socket */
    int port;                    /* on 127.0.0.1; stays over restarts */
    pid_t pid;                   /* 0 while it is not running */
    bool paused;
    char run_id[48]; /* Redis's own proof of a restart; "" for PostgreSQL */
};

/* What all servers of a cluster share. */
struct dev_programs {
    struct dev_user user;
    char postgres[DEV_PATH_BYTES];
    char initdb[DEV_PATH_BYTES];
    char redis[DEV_PATH_BYTES];
    bool redis_appendonly;
};

/* Starts it and, in wait_ready, waits until it answers (30 s). Apart, so that several come up side
 * by side. */
SG_MUST_USE int dev_server_spawn(struct dev_server *s, const struct dev_programs *p,
                                 struct sg_err *err);
SG_MUST_USE int dev_server_wait_ready(struct dev_server *s, struct sg_err *err);

/* Orderly: PostgreSQL's fast shutdown, Redis's SIGTERM; 30 s, then as dev_server_kill. */
void dev_server_stop(struct dev_server *s);

/* SIGKILL to the server and every process of it at once, as a power cut would. */
void dev_server_kill(struct dev_server *s);

/* SIGSTOP or SIGCONT to all its processes: connected, and no answer. */
void dev_server_pause(struct dev_server *s, bool on);

/* Notices an end that nobody asked for; true once per end, with its wait status. */
bool dev_server_reap(struct dev_server *s, int *status);

#endif
