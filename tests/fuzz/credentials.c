/* SPDX-License-Identifier: MIT */
/* What a client shows: Cookie, Authorization and the members of a token that is not ours to verify.
 */
#include "session/credentials.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>

static void
check_within(struct sg_slice part, struct sg_slice whole)
{
    if (part.ptr != NULL && (part.ptr < whole.ptr || part.ptr + part.len > whole.ptr + whole.len))
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sg_slice text = {(const char *)data, size};
    struct sg_buf out = SG_BUF_INIT(4096);
    struct sg_slice bearer;

    check_within(sg_cookie_find(text, "a"), text);
    sg_cookie_without(&out, text, "a", NULL);
    if (!out.failed && sg_cookie_find(sg_buf_slice(&out), "a").ptr != NULL)
        abort();
    sg_buf_reset(&out);
    bearer = sg_bearer_token(text);
    check_within(bearer, text);
    if (bearer.ptr != NULL)
        (void)sg_looks_like_jwt(bearer);
    if (!sg_jwt_peek(text, SG_JWT_HEADER, "kid", &out) && out.len != 0 && !out.failed)
        abort();
    (void)sg_jwt_peek(text, SG_JWT_PAYLOAD, "iss", &out);
    sg_buf_free(&out);
    return 0;
}
