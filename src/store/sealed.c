/* SPDX-License-Identifier: MIT */
#include "store/sealed.h"

#include "keys/digest.h"

#define HANDLE "segue/handle/1"
#define RECORD "segue/record/1"
#define REJECT_KEY "segue/reject-key/1"
#define REJECT_VALUE "segue/reject-value/1"
#define CREDENTIAL "segue/credential/1"

typedef int transform(const struct sg_keyring *ring, const char *domain, const struct sg_slice *aad,
                      int n_aad, struct sg_slice in, struct sg_buf *out, struct sg_err *err);

static int
bound(transform *way, const struct sg_keyring *ring, const char *domain, const char *realm,
      struct sg_slice row, struct sg_slice in, struct sg_buf *out, struct sg_err *err)
{
    const struct sg_slice aad[] = {sg_str(realm), row};

    return way(ring, domain, aad, 2, in, out, err);
}

static struct sg_slice
by_sid(const uint8_t *sid)
{
    return sg_slice((const char *)sid, SG_SID_BYTES);
}

static struct sg_slice
by_digest(const uint8_t *digest)
{
    return sg_slice((const char *)digest, SG_HASH_BYTES);
}

int
sg_seal_handle(const struct sg_keyring *ring, const char *realm, const uint8_t *sid,
               struct sg_slice key, struct sg_buf *out, struct sg_err *err)
{
    return bound(sg_seal, ring, HANDLE, realm, by_sid(sid), key, out, err);
}

int
sg_open_handle(const struct sg_keyring *ring, const char *realm, const uint8_t *sid,
               struct sg_slice sealed, struct sg_buf *out, struct sg_err *err)
{
    return bound(sg_open, ring, HANDLE, realm, by_sid(sid), sealed, out, err);
}

int
sg_seal_record(const struct sg_keyring *ring, const char *realm, const uint8_t *sid,
               struct sg_slice value, struct sg_buf *out, struct sg_err *err)
{
    return bound(sg_seal, ring, RECORD, realm, by_sid(sid), value, out, err);
}

int
sg_open_record(const struct sg_keyring *ring, const char *realm, const uint8_t *sid,
               struct sg_slice sealed, struct sg_buf *out, struct sg_err *err)
{
    return bound(sg_open, ring, RECORD, realm, by_sid(sid), sealed, out, err);
}

int
sg_seal_reject_key(const struct sg_keyring *ring, const char *realm, const uint8_t *key_digest,
                   struct sg_slice key, struct sg_buf *out, struct sg_err *err)
{
    return bound(sg_seal, ring, REJECT_KEY, realm, by_digest(key_digest), key, out, err);
}

int
sg_open_reject_key(const struct sg_keyring *ring, const char *realm, const uint8_t *key_digest,
                   struct sg_slice sealed, struct sg_buf *out, struct sg_err *err)
{
    return bound(sg_open, ring, REJECT_KEY, realm, by_digest(key_digest), sealed, out, err);
}

int
sg_seal_reject_value(const struct sg_keyring *ring, const char *realm, const uint8_t *key_digest,
                     struct sg_slice value, struct sg_buf *out, struct sg_err *err)
{
    return bound(sg_seal, ring, REJECT_VALUE, realm, by_digest(key_digest), value, out, err);
}

int
sg_open_reject_value(const struct sg_keyring *ring, const char *realm, const uint8_t *key_digest,
                     struct sg_slice sealed, struct sg_buf *out, struct sg_err *err)
{
    return bound(sg_open, ring, REJECT_VALUE, realm, by_digest(key_digest), sealed, out, err);
}

int
sg_seal_credential(const struct sg_keyring *ring, const char *realm, const uint8_t *login,
                   const char *subject, struct sg_slice hash, struct sg_buf *out,
                   struct sg_err *err)
{
    const struct sg_slice aad[] = {sg_str(realm), by_digest(login), sg_str(subject)};

    return sg_seal(ring, CREDENTIAL, aad, 3, hash, out, err);
}

int
sg_open_credential(const struct sg_keyring *ring, const char *realm, const uint8_t *login,
                   const char *subject, struct sg_slice sealed, struct sg_buf *out,
                   struct sg_err *err)
{
    const struct sg_slice aad[] = {sg_str(realm), by_digest(login), sg_str(subject)};

    return sg_open(ring, CREDENTIAL, aad, 3, sealed, out, err);
}
