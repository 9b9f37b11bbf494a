/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_GRANT_H
#define SG_SESSION_GRANT_H

#include "session/mint.h"
#include "session/truth.h"

/* From a credential to an access token: the exchange (rule 4) when it starts at a legacy
 * credential, the renewal when it starts at a session, the
 * login when it starts at a subject. docs/flows.md has both as numbered steps;
 * the functions in grant.c, exchange.c and renewal.c carry the numbers. */
enum grant_outcome {
    GRANT_TOKEN,       /* a JWT was minted */
    GRANT_NO_TOKEN,    /* the session is good; policy or request do not hand a JWT over */
    GRANT_ANONYMOUS,   /* a session of nobody */
    GRANT_NOBODY,      /* no such session, or ended: why says which */
    GRANT_BANNED,      /* its subject is */
    GRANT_UNKNOWN,     /* its subject is, to the identity source */
    GRANT_UNAVAILABLE, /* it cannot be known now: err */
};

enum grant_want {
    WANT_JUDGE,  /* only whether the session's row and its legacy record let it live; no identity */
    WANT_CHECK,  /* only whether the session is good */
    WANT_JWT,    /* a JWT if policy allows or the session holds one already */
    WANT_TOKENS, /* a JWT and a refresh token */
};

struct grant {
    /* in */
    struct sg_realm *realm;
    enum grant_want want;
    int64_t legacy_wait_ms; /* for an answer of the legacy store */
    bool light; /* a legacy session whose row was written a moment ago: while the record names the
                   subject given and its identity is in memory, only the record is read, and the sid
                   given stands */
    const char *client_id, *audience, *scope; /* as in a mint_request; must live until done */
    int epoch_shown;          /* claim sv of the token that led here; -1 = there is none */
    struct sg_rotate *rotate; /* a refresh token to be used up right before the mint; likewise */
    void (*done)(struct grant *grant);
    void *owner;
    /* out; good during done */
    enum grant_outcome outcome;
    const char *why; /* static */
    struct sg_err err;
    char subject[SG_SUBJECT_MAX + 1];
    struct sg_identity identity;
    bool identity_known;
    bool claims_fit; /* the required custom claims can be made of it */
    uint8_t sid[SG_SID_BYTES];
    int bucket;
    char key[SG_LEGACY_KEY_MAX + 1]; /* of the legacy store; "" = none */
    struct minted minted;
    char refresh[64]; /* WANT_TOKENS: the first of its chain */
    /* the flow's own */
    uint64_t proof_ns; /* when the credential was about to be read; 0 = its session is known */
    bool from_legacy, has_digest, renewing, put_for_mint, born_here, lapsed;
    bool just_read;   /* the identity is the source's own word */
    bool asked_again; /* the source, after an answer older than what is stored */
    uint8_t digest[SG_DIGEST_BYTES];
    int generation;
    int64_t idle_ms;
    int64_t ttl_ms; /* as the source said it during this flow; -1 = it was not asked */
    struct truth truth;
    struct sg_identity_request lookup;
    struct sg_ref_row ref;
    struct sg_session_row row;
    struct sg_session_read read;
    struct sg_end_row end;
    struct sg_hold_row hold;
    struct sg_buf handle, record;
};

/* Both take ownership of a grant from grant_new, call done once from a later turn of the loop and
 * free it after that. */
struct grant *grant_new(struct sg_realm *realm);
void grant_from_legacy(struct grant *g, const char *key);
void grant_from_session(struct grant *g, const uint8_t sid[SG_SID_BYTES], int bucket);
/* A new session of a subject that a trusted backend has authenticated, without a legacy record
 * (finalized). */
void grant_for_login(struct grant *g, const char *subject);

#endif
