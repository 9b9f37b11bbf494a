/* SPDX-License-Identifier: MIT */
#include "keys/refresh.h"

#include "base/encode.h"
#include "base/hash.h"
#include "keys/aead.h"
#include "keys/digest.h"

#include <sodium.h>
#include <stdlib.h>

#define PREFIX "sgr_"
#define PREFIX_CHARS 4
#define VERSION 1
#define CHECKED_BYTES 35 /* version, bucket, random */
#define TOKEN_BYTES 39   /* and the checksum */

static void
checksum(const uint8_t checked[CHECKED_BYTES], uint8_t out[4])
{
    struct sg_slice field = sg_slice((const char *)checked, CHECKED_BYTES);
    struct sg_hash h = sg_hash_fields("segue.refresh_checksum", &field, 1);

    memcpy(out, h.b, 4);
}

void
sg_refresh_generate(unsigned bucket, struct sg_refresh *out)
{
    uint8_t bytes[TOKEN_BYTES] = {VERSION, (uint8_t)(bucket >> 8), (uint8_t)bucket};

    if (bucket >= SG_BUCKETS)
        abort();
    sg_random(bytes + 3, 32);
    checksum(bytes, bytes + CHECKED_BYTES);
    out->bucket = bucket;
    memcpy(out->text, PREFIX, PREFIX_CHARS);
    sg_b64url_text(bytes, sizeof bytes, out->text + PREFIX_CHARS);
    sodium_memzero(bytes, sizeof bytes);
}

int
sg_refresh_parse(struct sg_slice text, struct sg_refresh *out, struct sg_err *err)
{
    uint8_t bytes[TOKEN_BYTES], want[4];
    unsigned bucket;
    bool good;

    good = text.len == SG_REFRESH_CHARS && sg_slice_starts(text, PREFIX) &&
           sg_b64url_decode(sg_slice(text.ptr + PREFIX_CHARS, text.len - PREFIX_CHARS), bytes,
                            sizeof bytes) == TOKEN_BYTES;
    if (!good)
        return sg_fail(err, SG_E_INVALID, "refresh token",
                       "not of the form sgr_ and 52 characters");
    bucket = (unsigned)bytes[1] << 8 | bytes[2];
    checksum(bytes, want);
    good = memcmp(want, bytes + CHECKED_BYTES, sizeof want) == 0;
    if (!good || bytes[0] != VERSION || bucket >= SG_BUCKETS)
        return sg_fail(err, SG_E_INVALID, "refresh token", "%s",
                       !good                 ? "the checksum is wrong"
                       : bytes[0] != VERSION ? "the version is not known here"
                                             : "the bucket is out of range");
    out->bucket = bucket;
    memcpy(out->text, text.ptr, text.len);
    out->text[SG_REFRESH_CHARS] = '\0';
    sodium_memzero(bytes, sizeof bytes);
    return 0;
}

static void
successor_key(const struct sg_refresh *parent, struct sg_hash *key, struct sg_hash *bound)
{
    static const char version[1] = {VERSION};
    struct sg_slice field = sg_slice(version, sizeof version);

    *key = sg_hmac_fields(sg_slice(parent->text, SG_REFRESH_CHARS), "segue.refresh_successor",
                          &field, 1);
    *bound = sg_hash_fields("segue.refresh_successor", &field, 1);
}

int
sg_refresh_seal_successor(const struct sg_refresh *parent, const struct sg_refresh *successor,
                          struct sg_buf *out, struct sg_err *err)
{
    struct sg_hash key, bound;
    size_t before = out->len;
    int rc;

    successor_key(parent, &key, &bound);
    sg_buf_add(out, sg_slice((const char[]){VERSION}, 1));
    rc = sg_aead_add(out, &key, &bound, sg_slice(successor->text, SG_REFRESH_CHARS));
    sodium_memzero(&key, sizeof key);
    if (rc == 0)
        return 0;
    out->len = before;
    return sg_fail(err, SG_E_LIMIT, "refresh token", "no room for the sealed successor");
}

int
sg_refresh_open_successor(const struct sg_refresh *parent, struct sg_slice sealed,
                          struct sg_refresh *successor, struct sg_err *err)
{
    struct sg_buf text = SG_BUF_INIT(SG_REFRESH_CHARS);
    struct sg_hash key, bound;
    int rc = -1;

    if (sealed.len == SG_SUCCESSOR_BYTES && sealed.ptr[0] == VERSION) {
        successor_key(parent, &key, &bound);
        rc = sg_aead_open(&text, &key, &bound, sg_slice(sealed.ptr + 1, sealed.len - 1));
        sodium_memzero(&key, sizeof key);
    }
    if (rc != 0)
        sg_fail(err, SG_E_DENIED, "refresh token", "the sealed successor is not of this parent");
    else
        rc = sg_refresh_parse(sg_buf_slice(&text), successor, err);
    sg_buf_wipe(&text);
    return rc;
}
