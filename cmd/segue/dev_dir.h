/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_DEV_DIR_H
#define SEGUE_DEV_DIR_H

#include "dev_proc.h"

#define DEV_DIR_BYTES 84 /* leaves room for a Unix socket's name below it (108 in all) */

/* The cluster's private directory, and the promise that nothing of it outlives `segue dev`.
 *
 * A watcher process waits on a pipe whose other end only `segue dev` holds. When that ends, however
 * it ends, the watcher kills every server that works in the directory (a paused one too), frees its
 * shared memory and removes the directory. Should watcher and parent be killed together, the
 * servers still die by their death signal, and the next start sweeps the directory: it finds its
 * lock free. */
struct dev_dir {
    char path[DEV_DIR_BYTES]; /* absolute, links resolved; "" until it exists */
    int lock_fd;
    int pipe_fd;
    pid_t watcher;
};

/* Makes the directory, at `at` (absent or empty), or where that is NULL under $TMPDIR after
 * sweeping that of abandoned ones. With keep the files stay at the end. user must be able to enter.
 */
SG_MUST_USE int dev_dir_open(struct dev_dir *d, const char *at, bool keep,
                             const struct dev_user *user, struct sg_err *err);

/* Lets the watcher do its work and waits for it. */
void dev_dir_close(struct dev_dir *d);

/* Sends a signal to every server process whose working directory is dir or below; returns how many
 * there were. PostgreSQL's backends each have their own session, so no process group holds them. */
int dev_dir_signal(const char *dir, int signal_number);

#endif
