/* SPDX-License-Identifier: MIT */
#include "server/oauth.h"

/* Revocation (RFC 7009). token_type_hint is a hint: the token tells by itself what it is, so a
 * wrong one costs nothing and unsupported_token_type has no use. */

static void
answered(void *ctx, const struct sg_token_out *out)
{
    struct exchange *x = ctx;

    if (out->status != SG_TOKEN_OK) {
        oauth_answer_failure(x, out);
        return;
    }
    oauth_no_store(x);
    server_answer(x, 200, (struct sg_slice){0});
}

void
route_revoke(struct exchange *x)
{
    struct sg_form form;
    const struct sg_client_config *client = oauth_open(x, &form);
    struct sg_slice token = sg_form_get(&form, "token");

    if (client != NULL && token.len == 0)
        server_answer_error(x, 400, "invalid_request", "token is required");
    else if (client != NULL)
        sg_token_revoke(x->realm, token, client->id, answered, x);
    sg_form_clear(&form);
}
