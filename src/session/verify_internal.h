/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_VERIFY_INTERNAL_H
#define SG_SESSION_VERIFY_INTERNAL_H

/* What verify.c finds out and verify_answer.c says. */
#include "session/grant.h"
#include "session/verify.h"

#define HEADER_MAX 16384

enum jwt_state {
    JWT_NONE,
    JWT_GOOD,
    JWT_EXPIRED, /* everything else about it is right */
    JWT_REVOKED,
    JWT_BAD,
};

/* One question under way. */
struct verify {
    struct sg_engine *engine;
    struct sg_verify_in in;
    struct sg_realm *realm;
    sg_verify_done done;
    void *ctx;
    struct sg_buf cookie, authorization, scope; /* copies */
    struct sg_slice jwt, legacy;                /* into the copies */
    bool jwt_in_cookie, legacy_in_cookie, csrf;
    bool foreign; /* a bearer token was shown that is none of ours */
    enum jwt_state state;
    const char *bad;
    struct segue_claims claims;
    struct segue_verify_buf claims_buf;
    uint8_t sid[SG_SID_BYTES];
    struct sg_buf legacy_key;
    uint8_t digest[SG_DIGEST_BYTES];
    bool same_session; /* the legacy credential is the JWT's own */
    bool legacy_wins;  /* ask the legacy side although the JWT is good */
    bool keep_jwt;     /* it was not used, which says nothing against it */
    bool spare;        /* the renewal under way is not needed yet: the JWT is good */
    bool asked_legacy, asked_session;
    bool is_client;      /* the JWT speaks for its client, not for a subject */
    bool other_audience; /* a cookie that is good here, but upstream gets a token of its own */
    bool bad_scope;
    bool only_upstream; /* the token made is not for the client's cookie */
    char client[65], token_scope[SG_WORDS_BYTES]; /* claims client_id and scope */
    char audience[SG_WORDS_BYTES];                /* of what takes the JWT's place */
    struct sg_session_read tombstone;
    /* what the answer is made of */
    struct minted fresh;
    bool has_fresh;
    bool outdated; /* the JWT shown says other roles than the subject has now */
    char inject_key[SG_LEGACY_KEY_MAX + 1];
    struct sg_names roles, permissions;
    char subject[SG_SUBJECT_MAX + 1];
};

/* Each answers and frees the question. */

/* No identity, and that status. bad_token: a bearer token was shown and is no good. */
void verify_refuse(struct verify *v, int status, const char *why, bool bad_token);
/* 200 with an identity, or with empty headers where subject is "". */
void verify_answer(struct verify *v, enum sg_credential credential, const char *why);
/* Nobody is known: 401 where somebody must be, or a bearer token was shown; else 200 and empty
 * headers. */
void verify_nobody(struct verify *v, const char *why);

#endif
