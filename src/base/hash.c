/* SPDX-License-Identifier: MIT */
#include "base/hash.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdlib.h>

static void
length_prefix(uint8_t out[8], size_t len)
{
    uint64_t v = len;
    int i;

    for (i = 0; i < 8; i++)
        out[i] = (uint8_t)(v >> (56 - 8 * i));
}

static void
must(int ok)
{
    if (ok != 1)
        abort(); /* no memory inside libcrypto: nothing sensible can follow */
}

/* The field list is flattened once, so that both digests share one path through libcrypto. */
static struct sg_slice
flatten(const char *domain, const struct sg_slice *fields, int n, uint8_t *small, size_t small_cap)
{
    size_t need = 8 + strlen(domain), at = 0;
    uint8_t *p = small;
    int i;

    for (i = 0; i < n; i++)
        need += 8 + fields[i].len;
    if (need > small_cap && (p = malloc(need)) == NULL)
        abort();
    for (i = -1; i < n; i++) {
        struct sg_slice f = i < 0 ? sg_str(domain) : fields[i];

        length_prefix(p + at, f.len);
        if (f.len != 0)
            memcpy(p + at + 8, f.ptr, f.len);
        at += 8 + f.len;
    }
    return sg_slice((char *)p, need);
}

struct sg_hash
sg_hash_fields(const char *domain, const struct sg_slice *fields, int n)
{
    uint8_t small[512];
    struct sg_slice flat = flatten(domain, fields, n, small, sizeof small);
    struct sg_hash h;

    must(EVP_Digest(flat.ptr, flat.len, h.b, NULL, EVP_sha256(), NULL));
    if (flat.ptr != (char *)small)
        free((char *)flat.ptr);
    return h;
}

struct sg_hash
sg_hmac_fields(struct sg_slice key, const char *domain, const struct sg_slice *fields, int n)
{
    uint8_t small[512];
    struct sg_slice flat = flatten(domain, fields, n, small, sizeof small);
    struct sg_hash h = sg_hmac_sha256(key, flat);

    if (flat.ptr != (char *)small)
        free((char *)flat.ptr);
    return h;
}

struct sg_hash
sg_hmac_sha256(struct sg_slice key, struct sg_slice bytes)
{
    struct sg_hash h;

    must(HMAC(EVP_sha256(), key.ptr != NULL ? key.ptr : "", (int)key.len,
              (const unsigned char *)bytes.ptr, bytes.len, h.b, NULL) != NULL);
    return h;
}

bool
sg_equal_const_time(struct sg_slice a, struct sg_slice b)
{
    return a.len == b.len && sodium_memcmp(a.ptr, b.ptr, a.len) == 0;
}

void
sg_random(void *out, size_t n)
{
    randombytes_buf(out, n);
}
