/* SPDX-License-Identifier: MIT */
#ifndef SG_EVENT_FETCH_H
#define SG_EVENT_FETCH_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

#include <uv.h>

/* GET over HTTP/1.1 and TLS for servers that are asked often: kept connections, a bound on each
 * thing. Redirects, proxies of the environment, cookies and compressed answers are not taken; names
 * are looked up in a thread, so nothing blocks the loop. */
struct sg_fetch;

struct sg_fetch_options {
    const char *name;          /* stands for the server in errors */
    const char *authorization; /* the whole header value; NULL = none */
    const char *ca_file;       /* instead of the system's certificates; NULL = those */
    int connections;           /* at most; what does not fit waits */
    int max_queued;            /* requests under way and waiting; beyond it SG_E_LIMIT */
    int timeout_ms;            /* of connecting, TLS included */
};

struct sg_fetch_request {
    const char *url; /* copied */
    size_t body_max;
    uint64_t deadline_ns;
    void (*done)(struct sg_fetch_request *request);
    /* out; rc 0 = there is an answer, whole and within body_max. body is the caller's to free. */
    int rc;
    struct sg_err err;
    int status;
    struct sg_buf body;
};

/* Never blocks; the certificate file must be readable. */
SG_MUST_USE int sg_fetch_open(uv_loop_t *loop, const struct sg_clock *clock,
                              const struct sg_fetch_options *options, struct sg_fetch **out,
                              struct sg_err *err);

/* done comes once, from a later turn of the loop. The deadline counts from here, waiting included.
 */
void sg_fetch_get(struct sg_fetch *fetch, struct sg_fetch_request *request);

/* Ends what is under way with SG_E_CANCELLED before it returns; later turns of the loop free the
 * rest, then `closed` is called. */
void sg_fetch_close(struct sg_fetch *fetch, void (*closed)(void *ctx), void *ctx);

#endif
