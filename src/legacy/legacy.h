/* SPDX-License-Identifier: MIT */
#ifndef SG_LEGACY_LEGACY_H
#define SG_LEGACY_LEGACY_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>
#include <uv.h>

/* ---- codec: how a framework writes a session; pure, no I/O (src/legacy/codec_*.c) ---- */

#define SG_SUBJECT_MAX 200 /* bytes of a subject id */
/* Whether it can be one: UTF-8 of 1 to SG_SUBJECT_MAX bytes without control characters. It becomes
 * a header's value, JSON, a log line and text of the database's. */
bool sg_is_subject(struct sg_slice text);
#define SG_LEGACY_KEY_MAX 256
#define SG_LEGACY_VALUE_MAX (1 << 20)

/* What a record says. Slices point into buffers the caller gave. */
struct sg_legacy_record {
    char subject[SG_SUBJECT_MAX + 1]; /* "" = anonymous */
    int64_t idle_ms; /* the framework's sliding lifetime (cookie.originalMaxAge); 0 = unknown */
};

struct sg_codec_config {
    const char *const *secrets; /* first signs, all verify; NULL-ended */
    const char *key_prefix;     /* "sess:" */
    const char *cookie_name;    /* "connect.sid" */
    int64_t default_idle_ms;    /* 86,400,000 in connect-redis */
    const char *subject_path; /* where the subject stands: "passport.user" or "passport.user.id" */
    /* What the app sets on its cookie beside HttpOnly and Path=/, for sessions made here; it would
     * lose these on renewal otherwise. NULL = absent. */
    bool cookie_secure;
    const char *cookie_same_site; /* "lax" */
    const char *cookie_domain;
};

struct sg_codec {
    const char *name; /* "express-session" */
    bool reuses_ids;  /* a store key may be used again after its session ended (Flask, PHP
                         non-strict) */

    /* Credential as the client shows it (cookie value, still percent-encoded, or bearer text) ->
     * store key appended to key. SG_E_DENIED: not signed with any of the secrets; SG_E_INVALID: not
     * of this form. */
    int (*credential_to_key)(const struct sg_codec_config *cfg, struct sg_slice credential,
                             struct sg_buf *key, struct sg_err *err);
    /* Store key -> credential, cookie-encoded ("s%3A…"), signed with the first secret. */
    int (*key_to_credential)(const struct sg_codec_config *cfg, struct sg_slice key,
                             struct sg_buf *credential, struct sg_err *err);
    /* Value bytes -> record. SG_E_INVALID with place ("byte 17", "passport.user") and reason when
     * it does not decode. */
    int (*decode)(const struct sg_codec_config *cfg, struct sg_slice value,
                  struct sg_legacy_record *out, struct sg_err *err);
    /* A new session in the framework's own format: key and value, appended. subject "" makes an
     * anonymous one; idle_ms 0 one without a lifetime of its own (the app's cookie ends with the
     * browser, the key lives default_idle_ms). */
    int (*create)(const struct sg_codec_config *cfg, const char *subject, int64_t now_ms,
                  int64_t idle_ms, struct sg_buf *key, struct sg_buf *value, struct sg_err *err);
};

/* Registered codecs by name; NULL if there is none. One line each in legacy.c. */
const struct sg_codec *sg_codec_find(const char *name);
const struct sg_codec *const *sg_codec_all(void); /* NULL-ended */

/* ---- store: where the records live (src/legacy/store_*.c); asynchronous, on one loop ---- */

struct sg_legacy_store;

enum sg_legacy_op {
    SG_LEGACY_READ,   /* value, ttl_ms, sentinel; never changes anything */
    SG_LEGACY_TOUCH,  /* let it live ttl_ms from now, if it is there and that is later than now set:
                         found tells */
    SG_LEGACY_CREATE, /* write key=value with ttl_ms, only if it is not there: found = it was there
                         already */
    SG_LEGACY_END,    /* delete: found tells whether it was there */
    SG_LEGACY_PUT_SENTINEL, /* value -> the sentinel key (no TTL) */
    SG_LEGACY_HEARTBEAT,    /* value -> the heartbeat key; and read the counters */
    SG_LEGACY_PROVE,        /* read the sentinel, the counters and the heartbeat's value (found,
                               read_value); changes nothing */
};

/* What proves that an absence means something (rule 1): compared against the realm's continuity
 * record. */
struct sg_legacy_proof {
    char run_id[48];     /* of the server process that answered */
    char sentinel[64];   /* the sentinel's value as read with the record in one atomic step; "" =
                            missing */
    uint64_t generation; /* of the connection */
};

struct sg_legacy_request {
    enum sg_legacy_op op;
    char key[SG_LEGACY_KEY_MAX + 1];
    struct sg_slice value; /* CREATE, PUT_SENTINEL, HEARTBEAT: copied at submit */
    int64_t ttl_ms;        /* TOUCH, CREATE */
    uint64_t deadline_ns;
    void (*done)(
        struct sg_legacy_request *request); /* once, from the loop, never from within submit */
    /* out */
    int rc;
    struct sg_err err;
    bool found;
    struct sg_buf
        read_value;      /* READ, PROVE; owned by the request: sg_legacy_request_clear frees it */
    int64_t read_ttl_ms; /* READ: remaining; -1 = the key has no TTL */
    struct sg_legacy_proof proof;
    int64_t evicted_keys, flushes; /* HEARTBEAT, PROVE */
    /* private to the store */
    void *priv; /* the implementation's own state, allocated at submit, freed before done */
};

/* One key as a scan or a change brings it. */
struct sg_legacy_item {
    struct sg_slice key, value; /* value.ptr NULL: not a string, or gone by now */
    int64_t ttl_ms;             /* -1 = none */
    bool wrong_type;            /* the key holds another type than the codec's */
};

/* Reads one page of the keyspace: keys with the realm's prefix, their values and TTLs. */
struct sg_legacy_scan {
    char cursor[32]; /* in: "0" to start; out: where to go on; "0" = finished */
    int page_keys;   /* hint, 1..1000 */
    uint64_t deadline_ns;
    void (*done)(struct sg_legacy_scan *scan);
    /* out */
    int rc;
    struct sg_err err;
    const struct sg_legacy_item *items; /* owned by the scan until sg_legacy_scan_clear */
    int n_items;
    struct sg_legacy_proof proof;
    void *priv; /* the implementation's own state, allocated at submit, freed before done */
};

enum sg_legacy_change {
    SG_CHANGE_SET,     /* written or touched: read it */
    SG_CHANGE_DELETED, /* deleted by a command (not expired, not evicted), seen on an unbroken
                          stream */
    SG_CHANGE_EXPIRED,
    SG_CHANGE_EVICTED,
    SG_CHANGE_RENAMED_FROM,
    SG_CHANGE_RENAMED_TO, /* a pair, in this order; one alone: the key left the prefix, or came in
                           */
    SG_CHANGE_HEARTBEAT,  /* our own heartbeat key was written: key is the realm */
};

/* Follows changes of the realm's keys from now on. There is no replay: up means "followed from here
 * on; reconcile by a scan", down means "continuity is broken". Before the first up, down tells why
 * it does not come; a reason is not told twice in a row. A change is told at least once. Every
 * follower is unfollowed, and closed, before its store is closed. */
struct sg_legacy_follow_events {
    void (*up)(void *ctx, const char *run_id);
    void (*change)(void *ctx, enum sg_legacy_change change, struct sg_slice key);
    void (*down)(void *ctx, const struct sg_err *err);
    void *ctx;
};
struct sg_legacy_follower;

struct sg_legacy_store_options {
    const char *url; /* redis://[user:password@]host:port/db or unix:///path?db=N */
    const char *realm;
    const char *key_prefix;
    int timeout_ms; /* connect */
    bool psync;     /* follow as a replica, not by notifications */
};

struct sg_legacy_store_type {
    const char *name; /* "redis" */
    int (*open)(uv_loop_t *loop, const struct sg_clock *clock,
                const struct sg_legacy_store_options *options, struct sg_legacy_store **out,
                struct sg_err *err);
    void (*close)(struct sg_legacy_store *store, void (*closed)(void *ctx), void *ctx);
    bool (*is_up)(const struct sg_legacy_store *store);
    void (*submit)(struct sg_legacy_store *store, struct sg_legacy_request *request);
    void (*cancel)(struct sg_legacy_request *request);
    void (*scan)(struct sg_legacy_store *store, struct sg_legacy_scan *scan);
    int (*follow)(struct sg_legacy_store *store, const struct sg_legacy_follow_events *events,
                  struct sg_legacy_follower **out, struct sg_err *err);
    void (*unfollow)(struct sg_legacy_follower *f, void (*closed)(void *ctx), void *ctx);
};

struct sg_legacy_store {
    const struct sg_legacy_store_type *type; /* implementations embed this first */
};

const struct sg_legacy_store_type *sg_legacy_store_find(const char *name);

void sg_legacy_request_clear(struct sg_legacy_request *request);
void sg_legacy_scan_clear(struct sg_legacy_scan *scan);

#endif
