/* SPDX-License-Identifier: MIT */
#include "keys/seal.h"

#include "keys/aead.h"
#include "keys/keyring.h"

#include <sodium.h>

#define VERSION 1
#define AAD_MAX 14
#define FIXED_FIELDS 3 /* version, id, domain */

/* What the blob is bound to. */
static struct sg_hash
bound_to(const char *id, const char *domain, const struct sg_slice *aad, int n_aad)
{
    static const char version[1] = {VERSION};
    struct sg_slice fields[FIXED_FIELDS + AAD_MAX];
    int i;

    fields[0] = sg_slice(version, sizeof version);
    fields[1] = sg_str(id);
    fields[2] = sg_str(domain);
    for (i = 0; i < n_aad; i++)
        fields[FIXED_FIELDS + i] = aad[i];
    return sg_hash_fields("segue.seal", fields, FIXED_FIELDS + n_aad);
}

int
sg_seal(const struct sg_keyring *ring, const char *domain, const struct sg_slice *aad, int n_aad,
        struct sg_slice plain, struct sg_buf *out, struct sg_err *err)
{
    const struct sg_ring_key *key = &ring->keys[0];
    size_t before = out->len, id_len = strlen(key->id);
    struct sg_hash bound;
    char start[2] = {VERSION, (char)id_len};

    if (plain.len > SG_SEAL_PLAIN_MAX || n_aad < 0 || n_aad > AAD_MAX)
        return sg_fail(err, SG_E_LIMIT, ring->place,
                       "at most %d bytes and %d bound fields can be sealed, not %zu and %d",
                       SG_SEAL_PLAIN_MAX, AAD_MAX, plain.len, n_aad);
    bound = bound_to(key->id, domain, aad, n_aad);
    sg_buf_add(out, sg_slice(start, sizeof start));
    sg_buf_add(out, sg_slice(key->id, id_len));
    if (sg_aead_add(out, &key->key, &bound, plain) == 0)
        return 0;
    out->len = before;
    return sg_fail(err, SG_E_LIMIT, ring->place, "no room for what is sealed");
}

int
sg_sealed_id(struct sg_slice sealed, char out[SG_SEAL_ID_MAX + 1], struct sg_err *err)
{
    size_t id_len = sealed.len >= 2 ? (uint8_t)sealed.ptr[1] : 0;

    if (sealed.len < 2 || sealed.ptr[0] != VERSION || id_len == 0 || id_len > SG_SEAL_ID_MAX ||
        sealed.len < 2 + id_len + SG_AEAD_OVERHEAD || !sg_ring_id_ok(sealed.ptr + 2, id_len))
        return sg_fail(err, SG_E_INVALID, "sealed data", "not a sealed blob of version %d",
                       VERSION);
    memcpy(out, sealed.ptr + 2, id_len);
    out[id_len] = '\0';
    return 0;
}

int
sg_open(const struct sg_keyring *ring, const char *domain, const struct sg_slice *aad, int n_aad,
        struct sg_slice sealed, struct sg_buf *out, struct sg_err *err)
{
    const struct sg_ring_key *key;
    char id[SG_SEAL_ID_MAX + 1];
    size_t before = out->len, start;
    struct sg_hash bound;

    if (sg_sealed_id(sealed, id, err) != 0)
        return -1;
    if (n_aad < 0 || n_aad > AAD_MAX)
        return sg_fail(err, SG_E_LIMIT, ring->place, "at most %d bound fields, not %d", AAD_MAX,
                       n_aad);
    if ((key = sg_ring_find(ring, id)) == NULL)
        return sg_fail(err, SG_E_NOT_FOUND, ring->place,
                       "sealed with key '%s', which is not in the keyring: add it back; it cannot "
                       "be recovered from the database",
                       id);
    start = 2 + strlen(id);
    bound = bound_to(id, domain, aad, n_aad);
    if (sealed.len - start - SG_AEAD_OVERHEAD > out->max_bytes - before || out->failed)
        return sg_fail(err, SG_E_LIMIT, ring->place, "no room for what was sealed");
    if (sg_aead_open(out, &key->key, &bound, sg_slice(sealed.ptr + start, sealed.len - start)) == 0)
        return 0;
    return sg_fail(err, SG_E_DENIED, ring->place,
                   "what was sealed with key '%s' was changed, or belongs elsewhere, or the "
                   "keyring has another key under that id",
                   id);
}

struct sg_hash
sg_realm_key(const struct sg_keyring *ring, const char *realm, const char *purpose)
{
    static const char version[1] = {VERSION};
    struct sg_slice fields[] = {sg_slice(version, sizeof version), sg_str(realm), sg_str(purpose)};

    return sg_hmac_fields(sg_slice((const char *)ring->root.b, sizeof ring->root.b),
                          "segue.realm_key", fields, 3);
}
