/* SPDX-License-Identifier: MIT */
#ifndef SG_REDIS_URL_H
#define SG_REDIS_URL_H

#include "base/err.h"

#define SG_REDIS_OWN_KEYS "segue:" /* Segue's own keys begin with it: no records of a store */

/* Where a Redis server is: redis://[user:password@]host[:port][/db], rediss:// for TLS, or
 * unix://[user:password@]/path[?db=N]. User, password and path may be percent-encoded, an IPv6 host
 * stands in brackets. */
struct sg_redis_url {
    char host[256]; /* or the path of a Unix socket */
    int port;
    char user[128], password[512]; /* "" = none */
    int database;
    bool tls;
    char name[280]; /* "redis 127.0.0.1:6379", for errors: never holds user or password */
};

/* SG_E_INVALID otherwise. The text quotes nothing of the URL, since a password may stand anywhere
 * in one that is misspelt. */
SG_MUST_USE int sg_redis_url_parse(const char *url, struct sg_redis_url *out, struct sg_err *err);

#endif
