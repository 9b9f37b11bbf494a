/* SPDX-License-Identifier: MIT */
#include "dev_proc.h"

#include "base/hash.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOWEST_PORT 20000

/* Signals are a matter of the whole process, so these are too. */
static int signal_fd = -1;
static bool stop_asked;

int
dev_user_find(struct dev_user *out, struct sg_err *err)
{
    const struct passwd *pw;

    if (geteuid() != 0) {
        *out = (struct dev_user){.uid = geteuid(), .gid = getegid(), .name = ""};
        return 0;
    }
    pw = getpwnam("postgres");
    if (pw == NULL)
        return sg_fail(err, SG_E_NOT_FOUND, "user postgres",
                       "PostgreSQL does not run as root and there is no user postgres to run it "
                       "as: apt-get install postgresql-15");
    *out = (struct dev_user){true, pw->pw_uid, pw->pw_gid, "postgres"};
    return 0;
}

/* Never returns. What goes wrong here ends up in the log, which the parent shows. */
static void
exec_child(const struct dev_program *p, int log_fd, pid_t parent)
{
    int null_fd = open("/dev/null", O_RDONLY);
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGTTIN, SIG_DFL);
    dup2(null_fd, STDIN_FILENO);
    dup2(log_fd, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    if (setpgid(0, 0) != 0 ||
        (p->user->step_down && (initgroups(p->user->name, p->user->gid) != 0 ||
                                setgid(p->user->gid) != 0 || setuid(p->user->uid) != 0)) ||
        chdir(p->cwd) != 0)
        perror("before exec");
    /* Changing the user clears the death signal, so it comes last; the parent may be gone by now.
     */
    else if (prctl(PR_SET_PDEATHSIG, p->death_signal) == 0 && getppid() == parent)
        execv(p->argv[0], (char *const *)p->argv);
    perror(p->argv[0]);
    _exit(127);
}

int
dev_spawn(const struct dev_program *p, pid_t *out, struct sg_err *err)
{
    int log_fd = open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    pid_t pid, parent = getpid();

    if (log_fd < 0)
        return sg_fail(err, SG_E_INTERNAL, p->log, "%s", strerror(errno));
    pid = fork();
    if (pid == 0)
        exec_child(p, log_fd, parent);
    close(log_fd);
    if (pid < 0)
        return sg_fail(err, SG_E_INTERNAL, p->argv[0], "fork: %s", strerror(errno));
    *out = pid;
    return 0;
}

void
dev_log_tail(const char *log, char *out, size_t bytes)
{
    FILE *f = fopen(log, "r");
    size_t n = 0;

    if (f != NULL) {
        if (fseek(f, -(long)(bytes - 1), SEEK_END) == 0) {
            int c;

            do
                c = fgetc(f);
            while (c != '\n' && c != EOF);
        } else {
            rewind(f);
        }
        n = fread(out, 1, bytes - 1, f);
        fclose(f);
    }
    while (n > 0 && out[n - 1] == '\n')
        n--;
    out[n] = '\0';
}

int
dev_run(const struct dev_program *p, struct sg_err *err)
{
    char tail[260];
    int status = 0;
    pid_t pid, done;

    if (dev_spawn(p, &pid, err) != 0)
        return -1;
    while ((done = waitpid(pid, &status, WNOHANG)) == 0) {
        if (!dev_wait(5)) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return sg_fail(err, SG_E_CANCELLED, p->argv[0], "interrupted");
        }
    }
    if (done == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    dev_log_tail(p->log, tail, sizeof tail);
    return sg_fail(err, SG_E_UNAVAILABLE, p->argv[0], "failed:\n%s", tail);
}

int
dev_signals_open(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    /* A reader of our output that went away, or a terminal that is not ours, is no reason to die.
     */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTTIN, SIG_IGN);
    signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return signal_fd;
}

void
dev_signals_read(void)
{
    struct signalfd_siginfo got;

    while (read(signal_fd, &got, sizeof got) == sizeof got)
        if (got.ssi_signo != SIGCHLD)
            stop_asked = true;
}

bool
dev_stop_asked(void)
{
    return stop_asked;
}

bool
dev_wait(int ms)
{
    struct pollfd fd = {.fd = signal_fd, .events = POLLIN};

    if (!stop_asked && poll(&fd, 1, ms) > 0)
        dev_signals_read();
    return !stop_asked;
}

static bool
executable_at(const char *dir, size_t dir_len, const char *name, char out[DEV_PATH_BYTES])
{
    int n = snprintf(out, DEV_PATH_BYTES, "%.*s/%s", (int)dir_len, dir, name);

    return dir_len > 0 && n < DEV_PATH_BYTES && access(out, X_OK) == 0;
}

static bool
in_debian_folder(const char *name, char out[DEV_PATH_BYTES])
{
    long best = -1;
    glob_t found;
    char path[DEV_PATH_BYTES];
    size_t i;

    if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) != 0)
        return false;
    for (i = 0; i < found.gl_pathc; i++) {
        const char *dir = found.gl_pathv[i];
        long version = strtol(dir + strlen("/usr/lib/postgresql/"), NULL, 10);

        if (version > best && executable_at(dir, strlen(dir), name, path)) {
            best = version;
            memcpy(out, path, DEV_PATH_BYTES);
        }
    }
    globfree(&found);
    return best >= 0;
}

int
dev_find_program(const char *name, const char *only_dir, const char *package,
                 char out[DEV_PATH_BYTES], struct sg_err *err)
{
    const char *path = only_dir != NULL ? only_dir : getenv("PATH");

    while (path != NULL && *path != '\0') {
        size_t len = only_dir != NULL ? strlen(path) : strcspn(path, ":");

        if (executable_at(path, len, name, out))
            return 0;
        path += len + (path[len] == ':');
    }
    if (only_dir == NULL && in_debian_folder(name, out))
        return 0;
    return sg_fail(err, SG_E_NOT_FOUND, name, "not found%s%s: apt-get install %s",
                   only_dir != NULL ? " in " : "", only_dir != NULL ? only_dir : "", package);
}

bool
dev_port_listens(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, bound;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* As the servers do it: connections of the past do not count, listeners do. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bound = bind(fd, (const struct sockaddr *)&at, sizeof at);
    close(fd);
    return bound != 0;
}

int
dev_free_port(void)
{
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
    int end = 32768, tries;

    if (f != NULL) {
        if (fscanf(f, "%d", &end) != 1)
            end = 32768;
        fclose(f);
    }
    if (end < LOWEST_PORT + 1000)
        end = 65536;
    for (tries = 0; tries < 1000; tries++) {
        uint32_t r;
        int port;

        sg_random(&r, sizeof r);
        port = LOWEST_PORT + (int)(r % (uint32_t)(end - LOWEST_PORT));
        if (!dev_port_listens(port))
            return port;
    }
    return 0;
}
