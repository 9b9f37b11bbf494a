/* SPDX-License-Identifier: MIT */
#include "server/client_auth.h"

#include "base/hash.h"

#include <sodium.h>
#include <strings.h>

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

/* "Basic base64(urlencode(id):urlencode(secret))", decoded (section 2.3.1). */
static bool
read_basic(struct sg_slice authorization, struct sg_buf *id, struct sg_buf *secret)
{
    char plain[1024];
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
    ok = colon != NULL && sg_form_decode(id, sg_slice(plain, (size_t)(colon - plain))) == 0 &&
         sg_form_decode(secret, sg_slice(colon + 1, n - (size_t)(colon - plain) - 1)) == 0;
    sodium_memzero(plain, sizeof plain);
    return ok;
}

const char *
client_conflict(struct sg_slice authorization, const struct sg_form *form)
{
    struct sg_buf id = SG_BUF_INIT(1024), secret = SG_BUF_INIT(1024);
    struct sg_slice named = sg_form_get(form, "client_id");
    const char *why = NULL;

    if (authorization.ptr == NULL)
        return NULL;
    if (sg_form_get(form, "client_secret").len > 0)
        why = "the client authenticates in the header and in the form: one method at a time";
    else if (named.len > 0 && read_basic(authorization, &id, &secret) &&
             !sg_slice_eq(named, sg_buf_slice(&id)))
        why = "client_id is not the client that authenticates";
    sg_buf_wipe(&id);
    sg_buf_wipe(&secret);
    return why;
}

const struct sg_client_config *
client_authenticate(const struct sg_realm_config *realm, struct sg_slice authorization,
                    const struct sg_form *form)
{
    struct sg_buf id = SG_BUF_INIT(1024), secret = SG_BUF_INIT(1024);
    const struct sg_client_config *client = NULL;
    struct sg_slice shown = {0};

    if (authorization.ptr != NULL) {
        if (read_basic(authorization, &id, &secret))
            client = sg_config_client(realm, sg_buf_slice(&id));
        shown = sg_buf_slice(&secret);
    } else if (form != NULL) {
        client = sg_config_client(realm, sg_form_get(form, "client_id"));
        shown = sg_form_get(form, "client_secret");
    }
    if (client != NULL &&
        (client->secret != NULL ? !same_secret(client->secret, shown) : shown.len > 0))
        client = NULL;
    sg_buf_wipe(&id);
    sg_buf_wipe(&secret);
    return client;
}
