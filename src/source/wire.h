/* SPDX-License-Identifier: MIT */
#ifndef SG_SOURCE_WIRE_H
#define SG_SOURCE_WIRE_H

#include "base/err.h"
#include "base/slice.h"

#include <stdatomic.h>

/* A blocking byte stream to a server: a Unix or TCP socket, with TLS by OpenSSL where asked. Every
 * call ends by its timeout, and within 100 ms of *stop being set (SG_E_CANCELLED). */
struct sg_wire;

struct sg_wire_options {
    const char *host; /* a name, an address, or a path starting with '/' */
    int port;
    bool tls;            /* the certificate is checked, and against host */
    const char *ca_file; /* PEM; NULL = the system's */
    const char *name;    /* stands for the server in errors; must live as long as the wire */
    int timeout_ms;      /* of connecting, and of silence while reading or writing */
    const atomic_bool *stop;
};

/* The program ignores SIGPIPE. */
SG_MUST_USE int sg_wire_open(const struct sg_wire_options *options, struct sg_wire **out,
                             struct sg_err *err);
void sg_wire_close(struct sg_wire *w); /* NULL does nothing */

/* All of it. */
SG_MUST_USE int sg_wire_write(struct sg_wire *w, struct sg_slice bytes, struct sg_err *err);
/* What is there, at least one byte, at most cap: *n. SG_E_TIMEOUT after wait_ms without any, and
 * the wire stays usable; -1 = the wire's own timeout. SG_E_UNAVAILABLE once the server closed. */
SG_MUST_USE int sg_wire_read(struct sg_wire *w, char *out, size_t cap, int wait_ms, size_t *n,
                             struct sg_err *err);

#endif
