/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_TRUTH_H
#define SG_SESSION_TRUTH_H

#include "session/engine_internal.h"

/* What the legacy store says about one key, read on its primary, with the proof that rule 1 asks
 * for. */
enum presence {
    TRUTH_SUBJECT,     /* there, and it names a subject */
    TRUTH_ANONYMOUS,   /* there, and it names nobody */
    TRUTH_UNDECODABLE, /* there, and not of the codec's form */
    TRUTH_GONE,        /* not there, and continuity is proven: it ended or expired */
    TRUTH_UNPROVEN,    /* not there, and that proves nothing */
    TRUTH_DOWN,        /* the store did not answer: err */
};

struct truth {
    struct sg_realm *realm;
    struct sg_legacy_request request;
    int64_t wait_ms;   /* for each of at most two questions */
    uint64_t asked_ns; /* the first of them */
    void (*done)(struct truth *truth);
    /* out; value is owned by the truth until truth_clear */
    enum presence presence;
    struct sg_legacy_record record;
    struct sg_buf value;
    int64_t ttl_ms; /* remaining; a record without TTL counts as its idle time */
    bool proven;    /* nothing is known to have been lost, by what came with the read */
    struct sg_err err;
};

/* key: canonical store key. done is called once, later. The truth must not move until then. */
void truth_read(struct truth *t, struct sg_realm *realm, const char *key, int64_t wait_ms,
                void (*done)(struct truth *truth));
void truth_clear(struct truth *t);

#endif
