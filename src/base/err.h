/* SPDX-License-Identifier: MIT */
#ifndef SG_BASE_ERR_H
#define SG_BASE_ERR_H

#include <stdbool.h>

/* Every function that can fail returns 0, or -1 with *err filled; outputs are untouched on failure.
 */
#define SG_MUST_USE __attribute__((warn_unused_result))
#define SG_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum sg_code {
    SG_OK = 0,
    SG_E_INVALID,     /* what was given is wrong: text says what was expected */
    SG_E_NOT_FOUND,   /* it is not there, and that was looked up where it would be */
    SG_E_DENIED,      /* it is there and may not be used (ended, banned, wrong secret) */
    SG_E_CONFLICT,    /* somebody else changed it first; read again */
    SG_E_NOT_OWNER,   /* this shard does not own the bucket: reload the map (P7) */
    SG_E_LIMIT,       /* a stated bound was met */
    SG_E_UNAVAILABLE, /* the other side is down or refused the connection */
    SG_E_TIMEOUT,     /* no answer before the deadline; it may or may not have happened */
    SG_E_CANCELLED,   /* the caller gave it up */
    SG_E_INTERNAL,    /* a state that should not exist, or memory ran out */
};

/* The one error type. place: where ("redis 127.0.0.1:6379", "segue.yaml:12:3"); text: what, what
 * was expected, what to do; never a token, cookie, key or password (P9). */
struct sg_err {
    enum sg_code code;
    bool retryable;
    char place[160];
    char text[352];
};

/* Fills *err (which may be NULL) and returns -1, so that `return sg_fail(...)` reads well.
 * UNAVAILABLE, TIMEOUT, CONFLICT and NOT_OWNER are retryable. */
int sg_fail(struct sg_err *err, enum sg_code code, const char *place, const char *fmt, ...)
    SG_PRINTF(4, 5);

/* The name of a code for logs and JSON: "unavailable". Static storage. */
const char *sg_code_name(enum sg_code code);

#endif
