/* SPDX-License-Identifier: MIT */
#include "server/client_auth.h"

#include "base/encode.h"
#include "base/hash.h"

#include <sodium.h>
#include <strings.h>

static const struct sg_client_config *
find(const struct sg_realm_config *realm, struct sg_slice id)
{
    int i;

    for (i = 0; i < realm->n_clients; i++)
        if (sg_slice_eq(sg_str(realm->clients[i].id), id))
            return &realm->clients[i];
    return NULL;
}

/* Compared by MAC, so that neither length nor content shows in the time it takes. */
static bool
same_secret(const char *expected, struct sg_slice shown)
{
    static const char key[] = "client secret";
    struct sg_hash a = sg_hmac_sha256(sg_str(key), sg_str(expected));
    struct sg_hash b = sg_hmac_sha256(sg_str(key), shown);

    return sg_equal_const_time(sg_slice((char *)a.b, sizeof a.b),
                               sg_slice((char *)b.b, sizeof b.b));
}

/* "Basic base64(urlencode(id):urlencode(secret))" into text, which then is wiped by the caller. */
static bool
read_basic(struct sg_slice authorization, struct sg_buf *id, struct sg_buf *secret)
{
    char plain[512];
    const char *colon;
    size_t n;
    bool ok;

    if (authorization.len < 7 || strncasecmp(authorization.ptr, "Basic ", 6) != 0)
        return false;
    if (sodium_base642bin((unsigned char *)plain, sizeof plain, authorization.ptr + 6,
                          authorization.len - 6, NULL, &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    colon = memchr(plain, ':', n);
    ok = colon != NULL && sg_percent_decode(id, sg_slice(plain, (size_t)(colon - plain))) == 0 &&
         sg_percent_decode(secret, sg_slice(colon + 1, n - (size_t)(colon - plain) - 1)) == 0;
    sodium_memzero(plain, sizeof plain);
    return ok;
}

const struct sg_client_config *
client_authenticate(const struct sg_realm_config *realm, struct sg_slice authorization,
                    const struct sg_form *form)
{
    struct sg_buf id = SG_BUF_INIT(512), secret = SG_BUF_INIT(512);
    const struct sg_client_config *client = NULL;
    struct sg_slice shown = {0};

    if (read_basic(authorization, &id, &secret)) {
        client = find(realm, sg_buf_slice(&id));
        shown = sg_buf_slice(&secret);
    } else if (form != NULL) {
        client = find(realm, sg_form_get(form, "client_id"));
        shown = sg_form_get(form, "client_secret");
    }
    if (client != NULL && client->secret != NULL && !same_secret(client->secret, shown))
        client = NULL;
    sg_buf_wipe(&id);
    sg_buf_wipe(&secret);
    return client;
}
