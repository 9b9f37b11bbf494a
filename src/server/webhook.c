/* SPDX-License-Identifier: MIT */
#include "server/webhook.h"

#include "base/buf.h"
#include "base/encode.h"
#include "base/hash.h"

#include <sodium.h>

#define ID_BYTES_MAX 256
#define SIGNATURES_MAX 8
#define SECRET_BYTES_MAX 4096

static const char secret_prefix[] = "whsec_";

/* Digits only; -1 otherwise. */
static int64_t
read_seconds(struct sg_slice text)
{
    int64_t seconds = 0;
    size_t i;

    if (text.len == 0 || text.len > 12)
        return -1;
    for (i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return -1;
        seconds = 10 * seconds + (text.ptr[i] - '0');
    }
    return seconds;
}

static struct sg_hash
sign(const char *secret, const struct webhook_message *m)
{
    struct sg_buf text = SG_BUF_INIT(m->id.len + m->timestamp.len + m->body.len + 2);
    struct sg_slice key = sg_str(secret);
    unsigned char decoded[SECRET_BYTES_MAX];
    struct sg_hash mac;
    size_t n;

    if (sg_slice_starts(key, secret_prefix) &&
        sodium_base642bin(decoded, sizeof decoded, secret + strlen(secret_prefix),
                          strlen(secret_prefix) < key.len ? key.len - strlen(secret_prefix) : 0,
                          NULL, &n, NULL, sodium_base64_VARIANT_ORIGINAL) == 0)
        key = sg_slice((char *)decoded, n);
    sg_buf_add(&text, m->id);
    sg_buf_puts(&text, ".");
    sg_buf_add(&text, m->timestamp);
    sg_buf_puts(&text, ".");
    sg_buf_add(&text, m->body);
    mac = sg_hmac_sha256(key, sg_buf_slice(&text));
    sodium_memzero(decoded, sizeof decoded);
    sg_buf_free(&text);
    return mac;
}

static bool
is_signed(struct sg_slice signatures, const struct sg_hash *mac)
{
    struct sg_buf expected = SG_BUF_INIT(64);
    size_t i = 0, n;
    int tries;
    bool found = false;

    sg_buf_puts(&expected, "v1,");
    sg_b64_add(&expected, sg_slice((const char *)mac->b, sizeof mac->b), true);
    for (tries = 0; i < signatures.len && tries < SIGNATURES_MAX; tries++, i += n + 1) {
        for (n = 0; i + n < signatures.len && signatures.ptr[i + n] != ' '; n++)
            ;
        found |= sg_equal_const_time(sg_buf_slice(&expected), sg_slice(signatures.ptr + i, n));
    }
    sg_buf_free(&expected);
    return found;
}

bool
webhook_is_genuine(const char *secret, const struct webhook_message *m, int64_t now_ms,
                   int64_t window_ms)
{
    int64_t at = read_seconds(m->timestamp);
    struct sg_hash mac;

    if (m->id.len == 0 || m->id.len > ID_BYTES_MAX || m->signature.len == 0 || at < 0 ||
        at * 1000 < now_ms - window_ms || at * 1000 > now_ms + window_ms)
        return false;
    mac = sign(secret, m);
    return is_signed(m->signature, &mac);
}
