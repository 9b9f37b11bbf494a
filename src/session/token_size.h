/* SPDX-License-Identifier: MIT */
#ifndef SG_SESSION_TOKEN_SIZE_H
#define SG_SESSION_TOKEN_SIZE_H

#include "config/config.h"
#include "identity/identity.h"

/* How long a realm's tokens are, to the byte, without signing one for each. */
struct sg_token_gauge {
    const struct sg_realm_config *config;
    int realm_epoch;
    size_t fixed_bytes; /* header, dots, signature */
};

/* kid: of the key that signs, or will. Makes one key of alg. */
SG_MUST_USE int sg_token_gauge_init(struct sg_token_gauge *gauge,
                                    const struct sg_realm_config *config, const char *alg,
                                    const char *kid, int realm_epoch, struct sg_err *err);

struct sg_token_sizes {
    size_t token;     /* with its roles and permissions */
    size_t reference; /* without */
};

/* Of a session's token for a subject as the shards know it: of the browsers' client, the realm's
 * longest audience, bound to a legacy session. */
SG_MUST_USE int sg_token_sizes(const struct sg_token_gauge *gauge,
                               const struct sg_identity *identity, int bucket, int epoch,
                               struct sg_token_sizes *out, struct sg_err *err);

/* What a base64url segment makes of n bytes. */
size_t sg_b64url_chars(size_t n);

#endif
