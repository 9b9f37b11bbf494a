/* SPDX-License-Identifier: MIT */
#ifndef SG_STORE_SUBJECT_SESSIONS_H
#define SG_STORE_SUBJECT_SESSIONS_H

#include "store/store.h"

/* A subject's sessions taken together: to show them, and to end them all. Asynchronous, as
 * everything in store.h. */

#define SG_SESSION_PAGE_MAX 200

/* Live sessions of a subject, newest first. */
struct sg_session_seen {
    uint8_t sid[SG_SID_BYTES];
    char client_id[65];
    bool segue_born;
    int64_t created_ms, last_seen_ms; /* database clock, Unix ms */
    int64_t created_us;               /* for the next page */
    int64_t expires_ms;               /* INT64_MAX = no end is known */
};
struct sg_sessions_page {
    const char *realm;
    int bucket; /* of the subject */
    const char *subject;
    int limit;                        /* 1..SG_SESSION_PAGE_MAX */
    int64_t before_us;                /* in: INT64_MAX at first, then the last row's created_us */
    uint8_t before_sid[SG_SID_BYTES]; /* and sid */
    /* out */
    int n_rows;
    bool more;
    struct sg_session_seen rows[SG_SESSION_PAGE_MAX];
};
void sg_store_page_sessions(struct sg_store *store, struct sg_sessions_page *page,
                            uint64_t deadline_ns, sg_store_done done, void *ctx);

/* "Log out everywhere", and locking a subject out whatever its source says. In one transaction that
 * has the subject's bucket to itself: raises the epoch, notes the moment (struct sg_session_row,
 * logout_ago_ms, tells who was on the way), and ends up to SG_SESSION_PAGE_MAX live sessions with
 * their refresh tokens, told to the feed and, with mirror, to the outbox. While more is true, call
 * again with again set: the epoch is raised once. Of what was ended the rows tell what the legacy
 * side needs. */
struct sg_ended_session {
    uint8_t sid[SG_SID_BYTES];
    bool has_digest;
    uint8_t digest[SG_DIGEST_BYTES];
    struct sg_buf handle; /* sealed */
};
enum sg_subject_lock { SG_LOCK_KEEP, SG_LOCK_SET, SG_LOCK_CLEAR };
struct sg_subject_end {
    const char *realm;
    int bucket;
    const char *subject;
    const char *reason; /* "logout-everywhere", "banned" */
    bool mirror, again;
    enum sg_subject_lock lock; /* CLEAR: only that; nothing is raised or ended */
    /* out */
    int epoch, n_rows;
    bool more;
    struct sg_ended_session rows[SG_SESSION_PAGE_MAX]; /* free with sg_subject_end_clear */
};
void sg_store_end_subject(struct sg_store *store, struct sg_subject_end *end, uint64_t deadline_ns,
                          sg_store_done done, void *ctx);
void sg_subject_end_clear(struct sg_subject_end *end);

#endif
