/* SPDX-License-Identifier: MIT */
#include "keys/digest.h"

#include "base/encode.h"

static const char version[1] = {SG_DIGEST_VERSION};

static struct sg_slice
version_byte(void)
{
    return sg_slice(version, sizeof version);
}

static struct sg_slice
hash_slice(const struct sg_hash *h)
{
    return sg_slice((const char *)h->b, sizeof h->b);
}

struct sg_hash
sg_store_key_digest(const struct sg_hash *realm_key, struct sg_slice store_key)
{
    struct sg_slice fields[] = {version_byte(), store_key};

    return sg_hmac_fields(hash_slice(realm_key), "segue.store_key", fields, 2);
}

struct sg_sid
sg_session_id(const struct sg_hash *realm_key, const struct sg_hash *store_key_digest,
              struct sg_slice subject, uint64_t generation)
{
    uint8_t number[8];
    struct sg_slice fields[] = {version_byte(), hash_slice(store_key_digest), subject,
                                sg_slice((const char *)number, sizeof number)};
    struct sg_hash h;
    struct sg_sid sid;
    int i;

    for (i = 0; i < 8; i++)
        number[i] = (uint8_t)(generation >> (56 - 8 * i));
    h = sg_hmac_fields(hash_slice(realm_key), "segue.session_id", fields, 4);
    memcpy(sid.b, h.b, sizeof sid.b);
    return sid;
}

struct sg_binding
sg_legacy_binding(const struct sg_hash *realm_key, const struct sg_hash *store_key_digest)
{
    struct sg_slice fields[] = {version_byte(), hash_slice(store_key_digest)};
    struct sg_hash h = sg_hmac_fields(hash_slice(realm_key), "segue.legacy_binding", fields, 2);
    struct sg_binding binding;

    sg_b64url_text(h.b, SG_BINDING_CHARS / 4 * 3, binding.text);
    return binding;
}

unsigned
sg_bucket(struct sg_slice realm, struct sg_slice key)
{
    struct sg_slice fields[] = {version_byte(), realm, key};
    struct sg_hash h = sg_hash_fields("segue.bucket", fields, 3);

    return (unsigned)h.b[0] << 4 | h.b[1] >> 4;
}

struct sg_hash
sg_refresh_digest(const struct sg_hash *realm_key, struct sg_slice token)
{
    struct sg_slice fields[] = {version_byte(), token};

    return sg_hmac_fields(hash_slice(realm_key), "segue.refresh_digest", fields, 2);
}

struct sg_hash
sg_login_digest(const struct sg_hash *realm_key, struct sg_slice login)
{
    struct sg_slice fields[] = {version_byte(), login};

    return sg_hmac_fields(hash_slice(realm_key), "segue.login", fields, 2);
}
