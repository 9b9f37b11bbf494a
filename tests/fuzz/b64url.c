/* SPDX-License-Identifier: MIT */
/* base64url decoded in runs and by a table, against one character after the other; and back. */
#include "base/encode.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>

/* The plain way; -1 if it is not strict. */
static ptrdiff_t
plain(struct sg_slice text, uint8_t *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t acc = 0;
    int bits = 0;
    size_t n = 0, i;

    for (i = 0; i < text.len; i++) {
        const char *at = text.ptr[i] != '\0' ? strchr(alphabet, text.ptr[i]) : NULL;

        if (at == NULL)
            return -1;
        acc = acc << 6 | (uint32_t)(at - alphabet);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (uint8_t)(acc >> bits);
            acc &= (1U << bits) - 1;
        }
    }
    return text.len % 4 != 1 && acc == 0 ? (ptrdiff_t)n : -1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sg_slice text = {(const char *)data, size};
    uint8_t *want = malloc(size + 1), *got = malloc(size + 1), *tight;
    char *back = malloc(size * 4 / 3 + 8);
    ptrdiff_t n;

    if (want == NULL || got == NULL || back == NULL)
        abort();
    n = plain(text, want);
    if (sg_b64url_decode(text, got, size + 1) != n || (n > 0 && memcmp(got, want, (size_t)n) != 0))
        abort();
    if (n >= 0) {
        tight = malloc(n != 0 ? (size_t)n : 1); /* no byte past what is decoded */
        if (tight == NULL || sg_b64url_decode(text, tight, (size_t)n) != n ||
            memcmp(tight, want, (size_t)n) != 0 || sg_b64url_text(want, (size_t)n, back) != size ||
            memcmp(back, data, size) != 0)
            abort();
        free(tight);
    }
    (void)sg_b64url_text(data, size, back);
    if (sg_b64url_decode(sg_str(back), got, size) != (ptrdiff_t)size ||
        (size != 0 && memcmp(got, data, size) != 0))
        abort();
    free(want);
    free(got);
    free(back);
    return 0;
}
