/* SPDX-License-Identifier: MIT */
#ifndef SG_CONFIG_CONFIG_H
#define SG_CONFIG_CONFIG_H

#include "base/err.h"
#include "base/slice.h"
#include "policy/policy.h"

#include <stdint.h>

/* The configuration file, checked whole, into plain structs (docs/api.md, "Configuration"). Every
 * string is owned by the config. Durations that time_scale governs are already scaled here, so
 * nothing else knows of it. */
#define SG_SHARDS_MAX 64
#define SG_REALMS_MAX 32
#define SG_LIST_MAX 16

enum sg_when_stale { SG_STALE_ACCEPT, SG_STALE_INTROSPECT, SG_STALE_REJECT };
enum sg_when_down { SG_DOWN_REFUSE, SG_DOWN_LAST_KNOWN };

/* What a client may ask the token endpoint for. */
enum sg_grants {
    SG_GRANT_EXCHANGE = 1 << 0,
    SG_GRANT_REFRESH = 1 << 1,
    SG_GRANT_CLIENT = 1 << 2, /* client_credentials: confidential clients only */
};

#define SG_CONFIG_WORDS_BYTES 1024 /* a realm's audiences, and a client's scopes, in all */
#define SG_CLIENT_SECRET_LEAST 16  /* bytes */

struct sg_client_config {
    const char *id;
    const char *secret; /* NULL = a public client */
    unsigned grants;    /* enum sg_grants */
    /* NULL-ended. scope: what its tokens may be given. roles, permissions: of tokens for itself
     * (client_credentials). audiences: what it may ask tokens for and, as a resource server, asks
     * about; strings of the realm's own list. */
    const char *scope[SG_LIST_MAX + 1], *roles[SG_LIST_MAX + 1], *permissions[SG_LIST_MAX + 1],
        *audiences[SG_LIST_MAX + 1];
    bool may_subjects; /* read and change subjects over /v1/subjects */
};

enum sg_claim_type { SG_CLAIM_STRING, SG_CLAIM_INT, SG_CLAIM_BOOL, SG_CLAIM_JSON };

/* A custom claim: made of a subject's attributes when a token is minted. */
struct sg_claim_config {
    const char *name;
    const char *path; /* into the attributes: names joined by dots */
    enum sg_claim_type type;
    bool required; /* no token without it; else it is left out where it does not fit */
};

struct sg_realm_config {
    const char *name;
    const char *issuer;
    const char *audiences[SG_LIST_MAX + 1]; /* NULL-ended, at least one */
    const char *origins[SG_LIST_MAX + 1];
    struct {
        const char *store, *url, *codec, *key_prefix, *cookie, *cookie_domain, *subject_path;
        bool cookie_secure;
        bool psync;                           /* followed as a replica, not by notifications */
        const char *secrets[SG_LIST_MAX + 1]; /* NULL-ended, at least one */
        int64_t default_idle_ms;
        int64_t absence_hold_ms;
    } legacy;
    struct {
        const char *source; /* "sql", "http", "subject": what is below depends on it */
        const char *url, *lookup, *changes; /* http: lookup "", changes NULL or a URL */
        enum sg_when_down when_down;
        struct sg_claim_config claims[SG_LIST_MAX];
        int n_claims;
        const char *authorization, *ca_file; /* http; NULL = none */
        struct {
            const char *subject, *active, *roles, *permissions, *version, *attributes, *items,
                *cursor;
        } paths; /* http: into its answers */
        int64_t timeout_ms, poll_ms;
        int connections;
        const char *webhook_secret; /* NULL = only clients may call it */
        int64_t webhook_window_ms;
    } identity;
    struct {
        const char *alg, *cookie;
        int64_t lifetime_ms, leeway_ms;
        int max_bytes; /* a token that would be longer leaves its roles out */
    } token;
    struct {
        const char *source; /* "table" or "sql"; NULL = the realm takes no passwords */
        const char *url, *lookup, *sample;
        const char *address_header; /* the proxy's word for the client's address; "" = the peer's */
        bool lower;                 /* A-Z of a login name become a-z */
        int64_t tries_per_address, tries_per_login, tries_per_pair, tries_window_ms;
    } login;
    struct {
        int64_t rotate_every_ms; /* 0 = not for its age */
        int64_t publish_ahead_ms;
    } keys;
    int64_t refresh_lifetime_ms, refresh_grace_ms, session_absolute_ms;
    struct sg_client_config clients[SG_LIST_MAX];
    int n_clients;
};

struct sg_config {
    const char *path;
    const char *instance, *listen, *control;
    const char *keyring; /* a path, or "${NAME}": the environment variable holds it */
    int loops, connections, login_workers;
    const char *shards[SG_SHARDS_MAX];
    int n_shards;
    double time_scale;
    int64_t feed_stale_after_ms;
    enum sg_when_stale when_stale;
    struct sg_realm_config realms[SG_REALMS_MAX];
    int n_realms;
};

/* Reads and checks the file; on any mistake nothing is returned and err is placed
 * "file:line:column". */
SG_MUST_USE int sg_config_load(const char *path, struct sg_config **out, struct sg_err *err);
void sg_config_free(struct sg_config *config);

/* The client of that id; NULL if there is none. */
const struct sg_client_config *sg_config_client(const struct sg_realm_config *realm,
                                                struct sg_slice id);

/* NULL if there is none of that name; name NULL or "" = the first. */
const struct sg_realm_config *sg_config_realm(const struct sg_config *config, const char *name);

/* A login name as the realm compares them ("login: normalise"), into out, which has room for its
 * length and a NUL. */
void sg_config_login_name(const struct sg_realm_config *realm, struct sg_slice name, char *out);

#endif
