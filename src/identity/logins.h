/* SPDX-License-Identifier: MIT */
#ifndef SG_IDENTITY_LOGINS_H
#define SG_IDENTITY_LOGINS_H

#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>
#include <uv.h>

/* Password hashes read live from where the app keeps them: a PostgreSQL and two statements of the
 * operator's. */
struct sg_logins;

#define SG_LOGINS_SAMPLE_MAX 256

struct sg_logins_options {
    const char *conninfo;
    const char *lookup_sql; /* $1 = login name -> subject text, hash text; at most one row */
    const char *sample_sql; /* -> the same of any users, at most 256 rows */
    int timeout_ms;         /* of connecting */
    int max_queued;
};

/* Never blocks; succeeds while the source is down. */
SG_MUST_USE int sg_logins_open(uv_loop_t *loop, const struct sg_clock *clock,
                               const struct sg_logins_options *options, struct sg_logins **out,
                               struct sg_err *err);
/* What is under way completes with SG_E_CANCELLED before this returns; closed comes later. */
void sg_logins_close(struct sg_logins *logins, void (*closed)(void *ctx), void *ctx);

/* Completes through done, once, from the loop, never from within the call. row is called for each
 * row before that: none, or one, for a lookup. What it is given is wiped after it. */
struct sg_logins_request {
    const char *login; /* NULL: the sample */
    uint64_t deadline_ns;
    void (*row)(struct sg_logins_request *request, struct sg_slice subject, struct sg_slice hash);
    void (*done)(struct sg_logins_request *request, int rc, const struct sg_err *err);
};
void sg_logins_ask(struct sg_logins *logins, struct sg_logins_request *request);

#endif
