/* SPDX-License-Identifier: MIT */
#include "dev_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME_START "segue-dev-"

static bool
is_server(const char *pid)
{
    char path[64], comm[32] = "";
    FILE *f;

    snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
    f = fopen(path, "re");
    if (f == NULL)
        return false;
    if (fgets(comm, sizeof comm, f) == NULL)
        comm[0] = '\0';
    fclose(f);
    return strncmp(comm, "postgres", 8) == 0 || strncmp(comm, "redis", 5) == 0 ||
           strncmp(comm, "initdb", 6) == 0;
}

int
dev_dir_signal(const char *dir, int signal_number)
{
    DIR *proc = opendir("/proc");
    size_t len = strlen(dir);
    struct dirent *e;
    int n = 0;

    if (proc == NULL)
        return 0;
    while ((e = readdir(proc)) != NULL) {
        char path[64], cwd[DEV_PATH_BYTES + 64];
        ssize_t got;

        if (e->d_name[0] < '0' || e->d_name[0] > '9')
            continue;
        snprintf(path, sizeof path, "/proc/%.20s/cwd", e->d_name);
        got = readlink(path, cwd, sizeof cwd - 1);
        if (got < (ssize_t)len)
            continue;
        cwd[got] = '\0';
        if (strncmp(cwd, dir, len) == 0 && (cwd[len] == '\0' || cwd[len] == '/') &&
            is_server(e->d_name)) {
            kill((pid_t)strtol(e->d_name, NULL, 10), signal_number);
            n++;
        }
    }
    closedir(proc);
    return n;
}

/* A killed postmaster leaves its small System V segment; its pid file's 7th line has key and id. */
static void
free_shared_memory(const char *dir)
{
    char pattern[DEV_PATH_BYTES + 32];
    glob_t found;
    size_t i;

    snprintf(pattern, sizeof pattern, "%s/*/postmaster.pid", dir);
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    for (i = 0; i < found.gl_pathc; i++) {
        FILE *f = fopen(found.gl_pathv[i], "re");
        char line[128] = "";
        unsigned long key;
        int n, id;

        if (f == NULL)
            continue;
        for (n = 0; n < 7 && fgets(line, sizeof line, f) != NULL; n++)
            ;
        fclose(f);
        if (n == 7 && sscanf(line, "%lu %d", &key, &id) == 2)
            shmctl(id, IPC_RMID, NULL);
    }
    globfree(&found);
}

static int
remove_entry(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    if (at->level > 0)
        remove(path);
    return 0;
}

/* Ends what still works in the directory and removes its content; the directory too where whole. */
static void
clear(const char *path, bool files, bool whole)
{
    int tries;

    for (tries = 0; tries < 500 && dev_dir_signal(path, SIGKILL) > 0; tries++)
        usleep(10000);
    free_shared_memory(path);
    if (!files)
        return;
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (whole)
        rmdir(path);
}

/* Directories of the same user whose lock nobody holds were left by a killed start. */
static void
sweep(const char *parent)
{
    char pattern[DEV_PATH_BYTES + 32];
    glob_t found;
    size_t i;

    snprintf(pattern, sizeof pattern, "%s/" NAME_START "*/lock", parent);
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    for (i = 0; i < found.gl_pathc; i++) {
        int fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct stat st;

        if (fd < 0)
            continue;
        if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0) {
            *strrchr(found.gl_pathv[i], '/') = '\0';
            clear(found.gl_pathv[i], true, true);
        }
        close(fd);
    }
    globfree(&found);
}

/* Root's servers run as another user, who must be able to reach the directory. */
static int
check_reachable(const char *path, const struct dev_user *user, struct sg_err *err)
{
    char up[DEV_PATH_BYTES];
    struct stat st;

    if (!user->step_down)
        return 0;
    snprintf(up, sizeof up, "%s", path);
    do {
        *strrchr(up, '/') = '\0';
        if (stat(up[0] != '\0' ? up : "/", &st) == 0 && (st.st_mode & S_IXOTH) == 0 &&
            st.st_uid != user->uid)
            return sg_fail(err, SG_E_DENIED, up,
                           "user %s cannot enter it: choose another place with --dir or TMPDIR",
                           user->name);
    } while (up[0] != '\0');
    return 0;
}

static bool
is_empty(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    int n = 0;

    if (dir == NULL)
        return false;
    while ((e = readdir(dir)) != NULL)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(dir);
    return n == 0;
}

/* Creates or accepts the directory; name becomes its path, *created whether it is new. */
static int
make_dir(const char *at, char name[DEV_PATH_BYTES], bool *created, struct sg_err *err)
{
    const char *tmp = getenv("TMPDIR");

    *created = true;
    if (at == NULL) {
        tmp = tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp";
        sweep(tmp);
        snprintf(name, DEV_PATH_BYTES, "%s/" NAME_START "XXXXXX", tmp);
        if (mkdtemp(name) == NULL || chmod(name, 0755) != 0)
            return sg_fail(err, SG_E_INVALID, tmp, "cannot create a directory in it: %s",
                           strerror(errno));
        return 0;
    }
    snprintf(name, DEV_PATH_BYTES, "%s", at);
    if (mkdir(name, 0755) == 0)
        return 0;
    if (errno != EEXIST)
        return sg_fail(err, SG_E_INVALID, at, "%s", strerror(errno));
    *created = false;
    return is_empty(name) ? 0 : sg_fail(err, SG_E_INVALID, at, "expected an empty directory");
}

/* Held by this process and its watcher. Taken before it bears its name: no sweep sees it free. */
static int
take_lock(const char *dir)
{
    char early[DEV_PATH_BYTES + 16], name[DEV_PATH_BYTES + 16];
    int fd;

    snprintf(early, sizeof early, "%s/lock.new", dir);
    snprintf(name, sizeof name, "%s/lock", dir);
    fd = open(early, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && rename(early, name) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Never returns. Signals of the terminal stay blocked, as the parent blocked them. */
static void
watch(int pipe_fd, const char *path, bool files, bool whole)
{
    char byte;

    setsid();
    while (read(pipe_fd, &byte, 1) < 0 && errno == EINTR)
        ;
    clear(path, files, whole);
    _exit(0);
}

static int
start_watcher(struct dev_dir *d, bool files, bool whole, struct sg_err *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return sg_fail(err, SG_E_INTERNAL, "watcher", "%s", strerror(errno));
    d->watcher = fork();
    if (d->watcher == 0) {
        close(ends[1]);
        watch(ends[0], d->path, files, whole);
    }
    close(ends[0]);
    d->pipe_fd = ends[1];
    return d->watcher > 0 ? 0 : sg_fail(err, SG_E_INTERNAL, "watcher", "%s", strerror(errno));
}

int
dev_dir_open(struct dev_dir *d, const char *at, bool keep, const struct dev_user *user,
             struct sg_err *err)
{
    char name[DEV_PATH_BYTES], real[PATH_MAX];
    bool created;

    if (make_dir(at, name, &created, err) != 0)
        return -1;
    if (realpath(name, real) == NULL || strlen(real) >= DEV_DIR_BYTES) {
        if (created)
            rmdir(name);
        return sg_fail(err, SG_E_INVALID, name, "expected a path of at most %d bytes",
                       DEV_DIR_BYTES - 1);
    }
    *d = (struct dev_dir){.lock_fd = -1, .pipe_fd = -1};
    memcpy(d->path, real, strlen(real) + 1);
    if (check_reachable(d->path, user, err) != 0 ||
        start_watcher(d, !keep, created && !keep, err) != 0) {
        if (created)
            rmdir(d->path);
        return -1;
    }
    /* What is to be kept is not for a sweep. */
    if (!keep && (d->lock_fd = take_lock(d->path)) < 0) {
        dev_dir_close(d);
        return sg_fail(err, SG_E_INTERNAL, d->path, "cannot lock it: %s", strerror(errno));
    }
    return 0;
}

void
dev_dir_close(struct dev_dir *d)
{
    if (d->watcher <= 0)
        return;
    close(d->pipe_fd);
    while (waitpid(d->watcher, NULL, 0) < 0 && errno == EINTR)
        ;
    d->watcher = 0;
    if (d->lock_fd >= 0)
        close(d->lock_fd);
}
