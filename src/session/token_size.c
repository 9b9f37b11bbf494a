/* SPDX-License-Identifier: MIT */
#include "session/token_size.h"

#include "jwt/claims.h"
#include "session/mint.h"

#include <stdio.h>
#include <time.h>

#define CLAIMS_BYTES 65536 /* what two full sets of names can come to, escaped */

size_t
sg_b64url_chars(size_t n)
{
    return (4 * n + 2) / 3;
}

static int
claims_bytes(const struct sg_token_gauge *gauge, const struct mint_request *q, bool by_reference,
             size_t *out, struct segue_claims *claims, struct mint_room *room, struct sg_err *err)
{
    struct sg_buf json = SG_BUF_INIT(CLAIMS_BYTES);
    struct segue_error why = {.text = ""};
    enum segue_status status;

    if (mint_fill(gauge->config, gauge->realm_epoch, time(NULL), q, by_reference, room, claims,
                  err) != 0)
        return -1;
    status = sg_claims_write(claims, &json, &why);
    *out = json.len;
    if (status == SEGUE_OK && json.failed)
        status = SEGUE_TOO_LARGE;
    sg_buf_free(&json);
    return status == SEGUE_OK
               ? 0
               : sg_fail(err, SG_E_INVALID, q->subject, "%s: %s", segue_strerror(status), why.text);
}

static const char *
longest_audience(const struct sg_realm_config *c)
{
    const char *longest = c->audiences[0];
    int i;

    for (i = 1; c->audiences[i] != NULL; i++)
        if (strlen(c->audiences[i]) > strlen(longest))
            longest = c->audiences[i];
    return longest;
}

static struct mint_request
request_of(const struct sg_realm_config *c, const struct sg_identity *identity, int bucket,
           int epoch)
{
    static const uint8_t sid[SG_SID_BYTES];
    static const char binding[] = "0123456789abcdef";

    _Static_assert(sizeof binding == SG_BINDING_CHARS + 1, "as long as one");
    return (struct mint_request){.subject = identity->subject,
                                 .client_id = c->clients[0].id,
                                 .audience = longest_audience(c),
                                 .sid = sid,
                                 .binding = binding,
                                 .bucket = bucket,
                                 .epoch = epoch,
                                 .source_version = identity->version,
                                 .roles = &identity->roles,
                                 .permissions = &identity->permissions,
                                 .attributes = identity->attributes,
                                 .lifetime_ms = c->token.lifetime_ms};
}

int
sg_token_gauge_init(struct sg_token_gauge *gauge, const struct sg_realm_config *config,
                    const char *alg, const char *kid, int realm_epoch, struct sg_err *err)
{
    struct sg_identity nobody = {.subject = "x"};
    struct mint_request q = request_of(config, &nobody, 0, 0);
    char token[SEGUE_TOKEN_BYTES + 1];
    struct segue_claims claims;
    struct mint_room room;
    struct segue_error why = {.text = ""};
    struct segue_key *key;
    enum segue_status status;
    size_t len, json;

    *gauge = (struct sg_token_gauge){.config = config, .realm_epoch = realm_epoch};
    if (claims_bytes(gauge, &q, true, &json, &claims, &room, err) != 0)
        return -1;
    status = segue_key_generate(segue_alg_find(alg), kid, &key, &why);
    if (status != SEGUE_OK)
        return sg_fail(err, SG_E_INTERNAL, config->name, "no key of %s could be made: %s", alg,
                       why.text);
    status = segue_mint(key, &claims, token, sizeof token, &len, &why);
    segue_key_free(key);
    if (status != SEGUE_OK)
        return sg_fail(err, SG_E_LIMIT, config->name, "no token can be minted: %s: %s",
                       segue_strerror(status), why.text);
    gauge->fixed_bytes = len - sg_b64url_chars(json);
    return 0;
}

int
sg_token_sizes(const struct sg_token_gauge *gauge, const struct sg_identity *identity, int bucket,
               int epoch, struct sg_token_sizes *out, struct sg_err *err)
{
    struct mint_request q = request_of(gauge->config, identity, bucket, epoch);
    struct segue_claims claims;
    struct mint_room room;
    size_t with, without;

    if (claims_bytes(gauge, &q, false, &with, &claims, &room, err) != 0 ||
        claims_bytes(gauge, &q, true, &without, &claims, &room, err) != 0)
        return -1;
    out->token = gauge->fixed_bytes + sg_b64url_chars(with);
    out->reference = gauge->fixed_bytes + sg_b64url_chars(without);
    return 0;
}
