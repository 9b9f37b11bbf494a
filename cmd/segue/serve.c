/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "cli.h"
#include "commands.h"
#include "event/work.h"
#include "keys/seal.h"
#include "server/server.h"
#include "session/attempts.h"
#include "session/engine.h"

#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOPS_MAX 64
#define DRAIN_MS 5000
#define LOGINS_WAITING_MAX                                                                         \
    64 /* password checks that wait for a thread; one more is told to retry */
/* What one loop holds open on each shard besides its pool: the feed's LISTEN. */
#define LISTENERS_PER_SHARD 1
#define BUDGET_PER_SHARD 200

/* One event loop in a thread of its own: an engine and an HTTP server over it. */
struct worker {
    const struct sg_config *config;
    const struct sg_keyring *ring;
    const char *listen, *instance;
    struct sg_attempts *attempts; /* shared by the loops, as what follows */
    struct sg_work_pool *workers;
    int index;
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t stop;
    struct sg_engine *engine;
    struct sg_server *server;
};

static void
engine_event(void *ctx, bool bad, const char *what, const struct sg_err *err)
{
    (void)ctx;
    if (err != NULL)
        sg_log_err(bad ? SG_WARN : SG_INFO, what, NULL, err);
    else
        sg_log(bad ? SG_WARN : SG_INFO, what, NULL);
}

static void
server_event(void *ctx, bool bad, const char *what, const char *request_id,
             const struct sg_err *err)
{
    (void)ctx;
    if (err != NULL)
        sg_log_err(bad ? SG_WARN : SG_INFO, what, request_id, err);
    else
        sg_log(bad ? SG_WARN : SG_INFO, what, "request", request_id, NULL);
}

static void
drained(void *ctx)
{
    struct worker *w = ctx;

    w->server = NULL;
    sg_engine_close(w->engine, NULL, NULL);
    w->engine = NULL;
}

static void
on_stop(uv_async_t *async)
{
    struct worker *w = async->data;

    uv_close((uv_handle_t *)async, NULL);
    sg_server_drain(w->server, sg_mono_ns(sg_clock_system()) + DRAIN_MS * SG_NS_PER_MS, drained, w);
}

static int
worker_open(struct worker *w, const struct worker *first, struct sg_err *err)
{
    struct sg_engine_options engine = {.config = w->config,
                                       .ring = w->ring,
                                       .instance = w->instance,
                                       .loop_index = w->index,
                                       .attempts = w->attempts,
                                       .workers = w->workers,
                                       .event = engine_event};
    struct sg_server_options server = {.config = w->config,
                                       .listen = w->listen,
                                       .share = first != NULL ? first->server : NULL,
                                       .event = server_event};

    if (uv_loop_init(&w->loop) != 0)
        return sg_fail(err, SG_E_INTERNAL, "serve", "cannot make an event loop");
    uv_async_init(&w->loop, &w->stop, on_stop);
    w->stop.data = w;
    if (sg_engine_open(&w->loop, sg_clock_system(), &engine, &w->engine, err) != 0)
        return -1;
    return sg_server_open(&w->loop, sg_clock_system(), w->engine, &server, &w->server, err);
}

static void *
worker_run(void *arg)
{
    struct worker *w = arg;

    uv_run(&w->loop, UV_RUN_DEFAULT);
    uv_loop_close(&w->loop);
    return NULL;
}

/* loops x (pool + listener) connections on each shard, from this instance alone; several instances
 * share the server's max_connections. Said before the first is opened. */
static int
check_budget(const struct sg_config *c, int loops, struct sg_err *err)
{
    int per_shard = loops * (c->connections + LISTENERS_PER_SHARD);
    char text[128];

    if (per_shard > BUDGET_PER_SHARD)
        return sg_fail(
            err, SG_E_LIMIT, c->path,
            "%d loops x (%d connections + 1 for the feed) = %d connections on each shard, "
            "more than %d: lower 'loops' or 'connections'",
            loops, c->connections, per_shard, BUDGET_PER_SHARD);
    snprintf(text, sizeof text, "%d loops x (%d connections + 1 feed) = %d on each of %d shards",
             loops, c->connections, per_shard, c->n_shards);
    sg_log(SG_INFO, "connection budget", "budget", text, NULL);
    return 0;
}

static int
wait_for_signal(const sigset_t *set)
{
    int sig = 0;

    while (sigwait(set, &sig) != 0)
        ;
    return sig;
}

/* What checking passwords needs, where a realm takes any. */
static int
open_logins(const struct sg_config *c, struct worker *shared, struct sg_err *err)
{
    int i;

    for (i = 0; i < c->n_realms; i++)
        if (c->realms[i].login.source != NULL)
            return sg_attempts_new(&shared->attempts, err) != 0 ||
                           sg_work_pool_new(c->login_workers, LOGINS_WAITING_MAX, &shared->workers,
                                            err) != 0
                       ? -1
                       : 0;
    return 0;
}

static int
serve(const struct cli_usage *usage, const struct sg_config *config, const struct sg_keyring *ring,
      const char *instance, const char *listen)
{
    static struct worker workers[LOOPS_MAX];
    int n = config->loops > 0 ? config->loops : (int)sysconf(_SC_NPROCESSORS_ONLN), i, rc = 0;
    struct worker shared = {.config = config, .ring = ring, .listen = listen, .instance = instance};
    char where[64];
    struct sg_err err;
    sigset_t set;

    if (n > LOOPS_MAX)
        n = LOOPS_MAX;
    if (check_budget(config, n, &err) != 0)
        return cli_fail(usage, &err);
    /* Blocked before any thread starts, so that all inherit it and sigwait gets them. */
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    rc = open_logins(config, &shared, &err);
    for (i = 0; i < n && rc == 0; i++) {
        workers[i] = shared;
        workers[i].index = i;
        rc = worker_open(&workers[i], i > 0 ? &workers[0] : NULL, &err);
    }
    if (rc != 0)
        return cli_fail(usage, &err); /* nothing was served yet: the kernel closes what is open */
    for (i = 0; i < n; i++) {
        if (pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) != 0) {
            sg_fail(&err, SG_E_INTERNAL, "serve", "cannot start a thread for loop %d", i);
            return cli_fail(usage, &err);
        }
    }
    snprintf(where, sizeof where, "%d", sg_server_port(workers[0].server));
    sg_log(SG_INFO, "serving", "instance", instance, "listen", listen, "port", where, NULL);
    sg_log(SG_INFO, "stopping", "signal", strsignal(wait_for_signal(&set)), NULL);
    for (i = 0; i < n; i++)
        uv_async_send(&workers[i].stop);
    for (i = 0; i < n; i++)
        pthread_join(workers[i].thread, NULL);
    sg_work_pool_free(shared.workers);
    sg_attempts_free(shared.attempts);
    sg_log(SG_INFO, "stopped", "instance", instance, NULL);
    return 0;
}

int
cmd_serve(int argc, char **argv)
{
    const char *path = "segue.yaml", *instance = NULL, *listen = NULL;
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &path},
        {"instance", "NAME", "its name in logs, metrics and the control schema", .text = &instance},
        {"listen", "ADDRESS", "127.0.0.1:8080 or unix:/path, instead of the file's",
         .text = &listen},
    };
    const struct cli_usage usage = {
        .name = "serve",
        .summary = "Answer: verify, exchange, refresh, revoke, keys, metrics.",
        .details = "Runs until SIGTERM or SIGINT, then finishes what is under way. Logs are JSON "
                   "lines on stderr.\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .examples = "segue serve --config segue.yaml\n"
                    "segue serve --instance b --listen 127.0.0.1:8082\n",
    };
    struct sg_config *config;
    struct sg_keyring *ring;
    struct sg_err err;
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    if (sodium_init() < 0)
        return CLI_FAILED;
    if (sg_config_load(path, &config, &err) != 0) {
        cli_fail(&usage, &err);
        return CLI_USAGE;
    }
    if (sg_keyring_load(config->keyring, &ring, &err) != 0) {
        cli_fail(&usage, &err);
        sg_config_free(config);
        return CLI_USAGE;
    }
    code = serve(&usage, config, ring, instance != NULL ? instance : config->instance,
                 listen != NULL ? listen : config->listen);
    sg_keyring_free(ring);
    sg_config_free(config);
    return code;
}
