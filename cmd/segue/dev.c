/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "commands.h"
#include "dev_cluster.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_BYTES 256

/* What is read from stdin: "VERB shard N", "VERB redis", "VERB appdb", "status", "quit". */
struct dev_input {
    char line[LINE_BYTES];
    size_t len;
    bool open;
};

static void
print_json(json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT);

    if (text != NULL)
        puts(text);
    fflush(stdout);
    free(text);
    json_decref(o);
}

static void
print_table(const struct dev_cluster *c)
{
    int i;

    printf("throw-away cluster in %s\n", c->dir.path);
    for (i = 0; i < c->n_servers; i++) {
        const struct dev_server *s = &c->servers[i];

        if (s->kind == DEV_REDIS)
            printf("  %-8s redis://127.0.0.1:%d  pid %d\n", s->name, s->port, (int)s->pid);
        else
            printf("  %-8s postgresql://%s@127.0.0.1:%d/%s  pid %d\n", s->name,
                   i < c->options->shards ? "segue" : "app", s->port,
                   i < c->options->shards ? "segue" : "app", (int)s->pid);
    }
    printf(
        "  control  postgresql://segue@127.0.0.1:%d/control\n"
        "all of it in %s/cluster.json; 'status', 'restart shard 0', … on stdin; Ctrl-C or 'quit' "
        "ends it%s\n",
        c->servers[0].port, c->dir.path,
        c->options->keep ? " and keeps the files" : " and removes everything");
}

static const char *
state_name(const struct dev_server *s)
{
    return s->pid == 0 ? "stopped" : s->paused ? "paused" : "running";
}

static json_t *
status(const struct dev_cluster *c)
{
    json_t *servers = json_array();
    int i;

    for (i = 0; i < c->n_servers; i++) {
        const struct dev_server *s = &c->servers[i];

        json_array_append_new(servers, json_pack("{s:s, s:s, s:i, s:i, s:s}", "name", s->name,
                                                 "state", state_name(s), "port", s->port, "pid",
                                                 (int)s->pid, "run_id", s->run_id));
    }
    return json_pack("{s:b, s:s, s:o}", "ok", 1, "what", "status", "servers", servers);
}

/* Carries out one verb; the state before decides whether it makes sense. */
static int
act(struct dev_cluster *c, const char *verb, struct dev_server *s, struct sg_err *err)
{
    bool start = strcmp(verb, "start") == 0, restart = strcmp(verb, "restart") == 0;

    if (start && s->pid != 0)
        return sg_fail(err, SG_E_CONFLICT, s->name, "it is %s", state_name(s));
    if (!start && !restart && s->pid == 0)
        return sg_fail(err, SG_E_CONFLICT, s->name, "it is not running: 'start' it first");
    if (strcmp(verb, "kill") == 0)
        dev_server_kill(s);
    else if (strcmp(verb, "stop") == 0 || restart)
        dev_server_stop(s);
    else if (strcmp(verb, "pause") == 0 || strcmp(verb, "resume") == 0)
        dev_server_pause(s, verb[0] == 'p');
    else if (!start)
        return sg_fail(err, SG_E_INVALID, verb,
                       "expected start, stop, restart, kill, pause, resume, status or quit");
    if (start || restart)
        if (dev_server_spawn(s, &c->programs, err) != 0 || dev_server_wait_ready(s, err) != 0)
            return -1;
    return dev_cluster_write(c, err);
}

static json_t *
refusal(const char *what, const struct sg_err *err)
{
    return json_pack("{s:b, s:s, s:o}", "ok", 0, "what", what, "error",
                     json_sprintf("%s: %s", err->place, err->text));
}

/* Returns false on "quit". */
static bool
obey(struct dev_cluster *c, const char *line)
{
    char verb[16] = "", what[16] = "", number[16] = "", name[40];
    struct dev_server *s;
    struct sg_err err;
    int old_pid;

    sscanf(line, "%15s %15s %15s", verb, what, number);
    if (verb[0] == '\0')
        return true;
    if (strcmp(verb, "quit") == 0)
        return false;
    if (strcmp(verb, "status") == 0) {
        print_json(status(c));
        return true;
    }
    snprintf(name, sizeof name, "%s%s", what, number);
    s = dev_cluster_find(c, name);
    if (s == NULL) {
        sg_fail(&err, SG_E_INVALID, name, "no such server: expected a verb and 'shard N'%s%s",
                c->options->app_db ? ", 'appdb'" : "", c->options->no_redis ? "" : ", 'redis'");
        print_json(refusal(line, &err));
        return true;
    }
    old_pid = (int)s->pid;
    print_json(act(c, verb, s, &err) != 0
                   ? refusal(line, &err)
                   : json_pack("{s:b, s:s, s:s, s:i, s:i, s:s, s:s}", "ok", 1, "what", line,
                               "state", state_name(s), "old_pid", old_pid, "new_pid", (int)s->pid,
                               "run_id", s->run_id, "name", s->name));
    return true;
}

/* Takes what stdin has; returns false on "quit", or at its end with --exit-on-eof. */
static bool
take_input(struct dev_cluster *c, struct dev_input *in)
{
    ssize_t n = read(STDIN_FILENO, in->line + in->len, sizeof in->line - in->len);
    char *end;

    if (n < 0 && errno == EINTR)
        return true;
    if (n <= 0) {
        in->open = false;
        return !c->options->exit_on_eof;
    }
    in->len += (size_t)n;
    while ((end = memchr(in->line, '\n', in->len)) != NULL) {
        size_t used = (size_t)(end - in->line) + 1;

        *end = '\0';
        if (!obey(c, in->line))
            return false;
        memmove(in->line, in->line + used, in->len - used);
        in->len -= used;
    }
    if (in->len == sizeof in->line) {
        fprintf(stderr, "segue dev: a line of more than %d bytes on stdin is ignored\n",
                LINE_BYTES - 1);
        in->len = 0;
    }
    return true;
}

static void
report_ends(struct dev_cluster *c)
{
    int i, how;

    for (i = 0; i < c->n_servers; i++) {
        struct dev_server *s = &c->servers[i];
        int pid = (int)s->pid;

        if (dev_server_reap(s, &how))
            fprintf(stderr,
                    "segue dev: %s (pid %d) ended by itself (%s %d), see %s; 'start %s' "
                    "starts it again\n",
                    s->name, pid, WIFSIGNALED(how) ? "signal" : "exit code",
                    WIFSIGNALED(how) ? WTERMSIG(how) : WEXITSTATUS(how), s->log, s->name);
    }
}

static void
serve(struct dev_cluster *c, int signal_fd)
{
    struct dev_input in = {.open = true};

    while (!dev_stop_asked()) {
        struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN},
                               {.fd = in.open ? STDIN_FILENO : -1, .events = POLLIN}};

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return;
        if (fds[0].revents != 0)
            dev_signals_read();
        report_ends(c);
        if (fds[1].revents != 0 && !take_input(c, &in))
            return;
    }
}

static int
run(const struct cli_usage *usage, const struct dev_options *options)
{
    struct dev_cluster *c = malloc(sizeof *c);
    int signal_fd = dev_signals_open(), code = 0;
    struct sg_err err;

    if (c == NULL || signal_fd < 0) {
        sg_fail(&err, SG_E_INTERNAL, "start", "%s", strerror(errno));
        code = cli_fail(usage, &err);
    } else if (dev_cluster_start(c, options, &err) != 0) {
        code = cli_fail(usage, &err);
        dev_cluster_end(c);
    } else {
        if (options->json)
            print_json(dev_cluster_describe(c));
        else
            print_table(c);
        puts("ready");
        fflush(stdout);
        serve(c, signal_fd);
        dev_cluster_end(c);
    }
    free(c);
    return code;
}

int
cmd_dev(int argc, char **argv)
{
    struct dev_options o = {.shards = 4};
    const struct cli_option options[] = {
        {"shards", "N",
         "PostgreSQL instances to be shards (default 4); the first one also holds "
         "the control database",
         .number = &o.shards, .least = 1, .most = DEV_MAX_SHARDS},
        {"app-db", NULL, "one more PostgreSQL, for the app's own users", .flag = &o.app_db},
        {"no-redis", NULL, "no Redis", .flag = &o.no_redis},
        {"redis-appendonly", NULL, "Redis keeps its data over restarts",
         .flag = &o.redis_appendonly},
        {"dir", "DIR", "where to put everything: absent or empty (default: a new one in $TMPDIR)",
         .text = &o.dir},
        {"keep", NULL, "leave the files in place at the end", .flag = &o.keep},
        {"json", NULL, "print where everything is as one line of JSON", .flag = &o.json},
        {"exit-on-eof", NULL, "end when stdin ends, so that it dies with its driver",
         .flag = &o.exit_on_eof},
        {"pg-bin", "DIR", "PostgreSQL's programs (default: PATH, then Debian's newest)",
         .text = &o.pg_bin},
    };
    const struct cli_usage usage = {
        .name = "dev",
        .summary =
            "Starts a throw-away cluster from installed binaries on free ports of 127.0.0.1, "
            "and removes it at the end.",
        .details = "Anyone on this machine can connect to it without a password: for development "
                   "only.\n"
                   "On stdin it takes commands, one a line, and answers each with a line of JSON:\n"
                   "  restart|stop|start|kill|pause|resume shard N|appdb|redis, status, quit\n"
                   "  (kill: SIGKILL to all its processes; pause: SIGSTOP to all of them)\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .examples = "  segue dev                       four shards and a Redis until Ctrl-C\n"
                    "  segue dev --shards 2 --app-db --redis-appendonly\n"
                    "  echo 'restart shard 1' | segue dev --json\n",
    };
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    return run(&usage, &o);
}
