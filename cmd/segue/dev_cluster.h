/* SPDX-License-Identifier: MIT */
#ifndef SEGUE_DEV_CLUSTER_H
#define SEGUE_DEV_CLUSTER_H

#include "dev_dir.h"
#include "dev_server.h"

#include <jansson.h>

#define DEV_MAX_SHARDS 16
#define DEV_MAX_SERVERS (DEV_MAX_SHARDS + 2) /* and the app's database, and a Redis */

struct dev_options {
    int64_t shards;
    bool app_db, no_redis, redis_appendonly, keep, json, exit_on_eof;
    const char *dir, *pg_bin;
};

struct dev_cluster {
    const struct dev_options *options;
    struct dev_programs programs;
    struct dev_dir dir;
    struct dev_server servers[DEV_MAX_SERVERS]; /* shards first, in order */
    int n_servers;
};

/* Brings everything up. After a failure, as after success, dev_cluster_end is to be called. */
SG_MUST_USE int dev_cluster_start(struct dev_cluster *c, const struct dev_options *options,
                                  struct sg_err *err);
void dev_cluster_end(struct dev_cluster *c);

/* NULL where there is no server of that name. */
struct dev_server *dev_cluster_find(struct dev_cluster *c, const char *name);

/* Where everything is, as in cluster.json. The caller owns the reference. */
json_t *dev_cluster_describe(const struct dev_cluster *c);
SG_MUST_USE int dev_cluster_write(const struct dev_cluster *c, struct sg_err *err);

#endif
