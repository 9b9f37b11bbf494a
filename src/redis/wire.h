/* SPDX-License-Identifier: MIT */
#ifndef SG_REDIS_WIRE_H
#define SG_REDIS_WIRE_H

#include "base/err.h"
#include "base/slice.h"

#include <stdatomic.h>
#include <stdint.h>

/* A connection for a thread that may block: TCP or a Unix socket, with TLS if wanted. */
struct sg_wire;

struct sg_wire_options {
    const char *host; /* or a path starting with '/' for a Unix socket */
    int port;
    bool tls;                /* the server's certificate must be good for host */
    const char *ca_file;     /* PEM; NULL = the system's */
    const char *name;        /* stands for the server in errors; must outlive the wire */
    int timeout_ms;          /* of connecting, and of writing on */
    const atomic_bool *stop; /* set by anybody: what blocks ends with SG_E_CANCELLED within 100 ms;
                                NULL = nobody does */
};

SG_MUST_USE int sg_wire_open(const struct sg_wire_options *options, struct sg_wire **out,
                             struct sg_err *err);
void sg_wire_close(struct sg_wire *wire); /* NULL does nothing */

/* What is there, at most cap bytes; 0 where nothing came within timeout_ms; -1 with *err, also when
 * the other side hung up. */
int64_t sg_wire_read(struct sg_wire *wire, char *into, size_t cap, int timeout_ms,
                     struct sg_err *err);
/* All of it. */
SG_MUST_USE int sg_wire_write(struct sg_wire *wire, struct sg_slice bytes, struct sg_err *err);

#endif
