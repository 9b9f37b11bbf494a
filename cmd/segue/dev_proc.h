/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_DEV_PROC_H
#define SEGUE_DEV_PROC_H

#include "base/err.h"

#include <sys/types.h>

/* Child processes of `segue dev`, and waiting that a signal can end. */

#define DEV_PATH_BYTES 512

/* Who the servers run as: PostgreSQL refuses root, so root steps down to user postgres. */
struct dev_user {
    bool step_down;
    uid_t uid;
    gid_t gid;
    const char *name;
};

/* Fails where the process is root and there is no user postgres. */
SG_MUST_USE int dev_user_find(struct dev_user *out, struct sg_err *err);

/* A program to start: its own process group, /dev/null as input, output appended to log. It gets
 * death_signal when this process dies, however it dies. */
struct dev_program {
    const struct dev_user *user;
    const char *const *argv; /* NULL-ended; argv[0] is the path */
    const char *cwd;
    const char *log;
    int death_signal;
};

SG_MUST_USE int dev_spawn(const struct dev_program *p, pid_t *out, struct sg_err *err);

/* Starts it and waits for a clean end; otherwise the error carries the log's last lines. */
SG_MUST_USE int dev_run(const struct dev_program *p, struct sg_err *err);

/* The end of a log, at most `bytes` - 1 of it, from the start of a line. */
void dev_log_tail(const char *log, char *out, size_t bytes);

/* From here on SIGINT, SIGTERM and SIGHUP end waiting instead of the process, and come with SIGCHLD
 * to a descriptor for poll(); -1 with errno set on failure. */
int dev_signals_open(void);

/* Waits, at most ms; false once a stop was asked for by a signal. dev_signals_read takes what the
 * descriptor has. */
bool dev_wait(int ms);
bool dev_stop_asked(void);
void dev_signals_read(void);

/* Looks for a program in only_dir; without that in PATH, then where Debian keeps PostgreSQL's
 * (highest version first). package: whose absence the error explains. */
SG_MUST_USE int dev_find_program(const char *name, const char *only_dir, const char *package,
                                 char out[DEV_PATH_BYTES], struct sg_err *err);

/* A port of 127.0.0.1 below those the kernel gives to outgoing connections, so that it is still
 * there when its server is started again; 0 where there is none. */
int dev_free_port(void);
bool dev_port_listens(int port);

#endif
