/* SPDX-License-Identifier: MIT */
#include "dev_cluster.h"

#include <errno.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT_TRIES 5

/* fsync is off because the data are thrown away: it guards against the machine's crash, not the
 * server's. synchronous_commit stays on: without it logical decoding lags the commit. */
static const char settings[] = "listen_addresses = '127.0.0.1'\n"
                               "unix_socket_permissions = 0777\n"
                               "shared_buffers = 16MB\n"
                               "max_connections = 100\n"
                               "wal_level = logical\n"
                               "fsync = off\n"
                               "full_page_writes = off\n"
                               "synchronous_commit = on\n"
                               "min_wal_size = 32MB\n"
                               "max_wal_size = 64MB\n"
                               "dynamic_shared_memory_type = mmap\n"
                               "huge_pages = off\n"
                               "jit = off\n"
                               "autovacuum_max_workers = 1\n"
                               "log_line_prefix = '%m [%p] %d '\n";

static int
find_programs(struct dev_cluster *c, struct sg_err *err)
{
    struct dev_programs *p = &c->programs;
    const struct dev_options *o = c->options;

    if (dev_find_program("postgres", o->pg_bin, "postgresql-15", p->postgres, err) != 0 ||
        dev_find_program("initdb", o->pg_bin, "postgresql-15", p->initdb, err) != 0)
        return -1;
    if (!o->no_redis && dev_find_program("redis-server", NULL, "redis-server", p->redis, err) != 0)
        return -1;
    p->redis_appendonly = o->redis_appendonly;
    return dev_user_find(&p->user, err);
}

/* A directory of the cluster, owned by whom the servers run as. */
static int
make_folder(const struct dev_cluster *c, const char *path, struct sg_err *err)
{
    if (mkdir(path, 0755) != 0 || (c->programs.user.step_down &&
                                   chown(path, c->programs.user.uid, c->programs.user.gid) != 0))
        return sg_fail(err, SG_E_INTERNAL, path, "%s", strerror(errno));
    return 0;
}

static int
pick_port(const struct dev_cluster *c, struct dev_server *s, struct sg_err *err)
{
    bool taken;
    int i;

    do {
        s->port = dev_free_port();
        for (i = 0, taken = false; i < c->n_servers; i++)
            taken = taken || (&c->servers[i] != s && c->servers[i].port == s->port);
    } while (taken);
    return s->port != 0 ? 0 : sg_fail(err, SG_E_UNAVAILABLE, s->name, "no free port on 127.0.0.1");
}

static int
add_server(struct dev_cluster *c, enum dev_kind kind, const char *name, struct sg_err *err)
{
    struct dev_server *s = &c->servers[c->n_servers];
    const char *dir = c->dir.path;

    *s = (struct dev_server){.kind = kind};
    snprintf(s->name, sizeof s->name, "%s", name);
    snprintf(s->dir, sizeof s->dir, "%s/%s", dir, name);
    snprintf(s->log, sizeof s->log, "%s/%s.log", dir, name);
    snprintf(s->socket, sizeof s->socket, "%s/run%s", dir, kind == DEV_REDIS ? "/redis.sock" : "");
    if (make_folder(c, s->dir, err) != 0 || pick_port(c, s, err) != 0)
        return -1;
    c->n_servers++;
    return 0;
}

static int
lay_out(struct dev_cluster *c, struct sg_err *err)
{
    char path[DEV_PATH_BYTES + 16], name[16];
    int i;

    snprintf(path, sizeof path, "%s/run", c->dir.path);
    if (make_folder(c, path, err) != 0)
        return -1;
    for (i = 0; i < c->options->shards; i++) {
        snprintf(name, sizeof name, "shard%d", i);
        if (add_server(c, DEV_POSTGRES, name, err) != 0)
            return -1;
    }
    if (c->options->app_db && add_server(c, DEV_POSTGRES, "appdb", err) != 0)
        return -1;
    if (!c->options->no_redis && add_server(c, DEV_REDIS, "redis", err) != 0)
        return -1;
    return 0;
}

static int
write_settings(const struct dev_cluster *c, const struct dev_server *s, struct sg_err *err)
{
    char path[DEV_PATH_BYTES + 32];
    FILE *f;
    bool bad;

    snprintf(path, sizeof path, "%s/postgresql.conf", s->dir);
    f = fopen(path, "ae");
    if (f == NULL)
        return sg_fail(err, SG_E_INTERNAL, path, "%s", strerror(errno));
    bad = fprintf(f, "%sunix_socket_directories = '%s'\n", settings, s->socket) < 0;
    bad = fclose(f) != 0 || bad;
    return bad ? sg_fail(err, SG_E_INTERNAL, path, "%s", strerror(errno)) : 0;
}

/* One initdb, then copies of it: a copy takes a fraction of the time. */
static int
make_databases(struct dev_cluster *c, struct sg_err *err)
{
    const struct dev_server *first = &c->servers[0];
    const char *initdb[] = {c->programs.initdb,
                            "-D",
                            first->dir,
                            "-U",
                            "postgres",
                            "-A",
                            "trust",
                            "-E",
                            "UTF8",
                            "--locale=C.UTF-8",
                            "--no-sync",
                            "--no-instructions",
                            NULL};
    struct dev_program program = {&c->programs.user, initdb, first->dir, first->log, SIGKILL};
    int i;

    if (dev_run(&program, err) != 0 || write_settings(c, first, err) != 0)
        return -1;
    for (i = 1; i < c->n_servers && c->servers[i].kind == DEV_POSTGRES; i++) {
        char from[DEV_PATH_BYTES + 8];
        const char *cp[] = {"/bin/cp", "-a", from, c->servers[i].dir, NULL};

        snprintf(from, sizeof from, "%s/.", first->dir);
        program.argv = cp;
        program.log = c->servers[i].log;
        if (dev_run(&program, err) != 0)
            return -1;
    }
    return 0;
}

/* A free port may be taken by another process before its server binds it: then another is picked.
 */
static int
start_server(struct dev_cluster *c, struct dev_server *s, struct sg_err *err)
{
    int tries;

    for (tries = 1; dev_server_wait_ready(s, err) != 0; tries++) {
        if (tries == PORT_TRIES || s->pid != 0 || !dev_port_listens(s->port) ||
            pick_port(c, s, err) != 0 || dev_server_spawn(s, &c->programs, err) != 0)
            return -1;
    }
    return 0;
}

/* Runs statements, each in a transaction of its own, as the superuser. */
static int
run_sql(const struct dev_server *s, const char *const *statements, struct sg_err *err)
{
    char conninfo[160];
    PGconn *conn;
    int rc = 0;

    snprintf(conninfo, sizeof conninfo,
             "host=127.0.0.1 port=%d user=postgres dbname=postgres connect_timeout=10", s->port);
    conn = PQconnectdb(conninfo);
    if (PQstatus(conn) != CONNECTION_OK)
        rc = sg_fail(err, SG_E_UNAVAILABLE, s->name, "%s", PQerrorMessage(conn));
    for (; rc == 0 && *statements != NULL; statements++) {
        PGresult *r = PQexec(conn, *statements);

        if (PQresultStatus(r) != PGRES_COMMAND_OK)
            rc = sg_fail(err, SG_E_INTERNAL, s->name, "%s: %s", *statements, PQerrorMessage(conn));
        PQclear(r);
    }
    PQfinish(conn);
    return rc;
}

/* As in a real installation, neither Segue nor the app is superuser. */
static int
make_roles(const struct dev_cluster *c, struct sg_err *err)
{
    static const char *const shard[] = {"CREATE ROLE segue LOGIN REPLICATION IN ROLE pg_monitor",
                                        "CREATE DATABASE segue OWNER segue", NULL};
    static const char *const control[] = {"CREATE DATABASE control OWNER segue", NULL};
    static const char *const app[] = {"CREATE ROLE app LOGIN", "CREATE DATABASE app OWNER app",
                                      NULL};
    int i;

    for (i = 0; i < c->n_servers; i++) {
        const struct dev_server *s = &c->servers[i];

        if (s->kind == DEV_POSTGRES && run_sql(s, i < c->options->shards ? shard : app, err) != 0)
            return -1;
        if (dev_stop_asked())
            return sg_fail(err, SG_E_CANCELLED, s->name, "interrupted");
    }
    return run_sql(&c->servers[0], control, err);
}

int
dev_cluster_start(struct dev_cluster *c, const struct dev_options *options, struct sg_err *err)
{
    int i;

    *c = (struct dev_cluster){.options = options};
    if (find_programs(c, err) != 0 ||
        dev_dir_open(&c->dir, options->dir, options->keep, &c->programs.user, err) != 0 ||
        lay_out(c, err) != 0 || make_databases(c, err) != 0)
        return -1;
    for (i = 0; i < c->n_servers; i++)
        if (dev_server_spawn(&c->servers[i], &c->programs, err) != 0)
            return -1;
    for (i = 0; i < c->n_servers; i++)
        if (start_server(c, &c->servers[i], err) != 0)
            return -1;
    return make_roles(c, err) != 0 ? -1 : dev_cluster_write(c, err);
}

void
dev_cluster_end(struct dev_cluster *c)
{
    int i, status;

    for (i = 0; i < c->n_servers && c->options->keep; i++)
        dev_server_stop(&c->servers[i]);
    dev_dir_close(&c->dir);
    for (i = 0; i < c->n_servers; i++)
        dev_server_reap(&c->servers[i], &status);
}

struct dev_server *
dev_cluster_find(struct dev_cluster *c, const char *name)
{
    int i;

    for (i = 0; i < c->n_servers; i++)
        if (strcmp(c->servers[i].name, name) == 0)
            return &c->servers[i];
    return NULL;
}

static json_t *
describe_postgres(const struct dev_server *s, const char *user, const char *database)
{
    return json_pack(
        "{s:s, s:s, s:i, s:s, s:i, s:o, s:o, s:s}", "name", s->name, "host", "127.0.0.1", "port",
        s->port, "socket_dir", s->socket, "pid", (int)s->pid, "conninfo",
        json_sprintf("postgresql://%s@127.0.0.1:%d/%s", user, s->port, database), "admin_conninfo",
        json_sprintf("postgresql://postgres@127.0.0.1:%d/%s", s->port, database), "log", s->log);
}

static json_t *
describe_redis(const struct dev_server *s)
{
    return json_pack("{s:s, s:s, s:i, s:s, s:i, s:o, s:s, s:s}", "name", s->name, "host",
                     "127.0.0.1", "port", s->port, "socket", s->socket, "pid", (int)s->pid, "url",
                     json_sprintf("redis://127.0.0.1:%d", s->port), "run_id", s->run_id, "log",
                     s->log);
}

json_t *
dev_cluster_describe(const struct dev_cluster *c)
{
    json_t *shards = json_array(), *all;
    int i;

    all = json_pack(
        "{s:s, s:i, s:o, s:o}", "dir", c->dir.path, "pid", (int)getpid(), "shards", shards,
        "control",
        json_pack("{s:o}", "conninfo",
                  json_sprintf("postgresql://segue@127.0.0.1:%d/control", c->servers[0].port)));
    for (i = 0; i < c->n_servers; i++) {
        const struct dev_server *s = &c->servers[i];

        if (s->kind == DEV_REDIS)
            json_object_set_new(all, "redis", describe_redis(s));
        else if (i < c->options->shards)
            json_array_append_new(shards, describe_postgres(s, "segue", "segue"));
        else
            json_object_set_new(all, "appdb", describe_postgres(s, "app", "app"));
    }
    return all;
}

int
dev_cluster_write(const struct dev_cluster *c, struct sg_err *err)
{
    char path[DEV_PATH_BYTES + 32], early[DEV_PATH_BYTES + 32];
    json_t *all = dev_cluster_describe(c);
    int rc = 0;

    snprintf(path, sizeof path, "%s/cluster.json", c->dir.path);
    snprintf(early, sizeof early, "%s/cluster.json.new", c->dir.path);
    /* Renamed into place: a reader sees the old one or the new one, never a half. */
    if (json_dump_file(all, early, JSON_INDENT(2)) != 0 || rename(early, path) != 0)
        rc = sg_fail(err, SG_E_INTERNAL, path, "%s", strerror(errno));
    json_decref(all);
    return rc;
}
