/* SPDX-License-Identifier: MIT */
/* Claims that are read are written and read back as the same bytes. */
#include "jwt/claims.h"
#include "base/buf.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static struct sg_claims_room room;

static enum segue_status
parse(const char *text, size_t len, char **copy, struct segue_claims *out)
{
    *copy = malloc(len != 0 ? len : 1);
    if (*copy == NULL)
        abort();
    memcpy(*copy, text, len);
    return sg_claims_parse(*copy, len, &room, out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sg_buf first = SG_BUF_INIT(1 << 20), second = SG_BUF_INIT(1 << 20);
    struct segue_claims claims;
    char *copy, *again = NULL;

    if (size <= 8192 && parse((const char *)data, size, &copy, &claims) == SEGUE_OK) {
        /* an empty name and exp <= iat are read from others, but not written */
        if (sg_claims_write(&claims, &first, NULL) == SEGUE_OK) {
            if (parse(first.ptr, first.len, &again, &claims) != SEGUE_OK ||
                sg_claims_write(&claims, &second, NULL) != SEGUE_OK || first.len != second.len ||
                memcmp(first.ptr, second.ptr, first.len) != 0)
                abort();
        } else if (claims.exp > claims.iat) {
            size_t i;

            for (i = 0; i < claims.n_extra && claims.extra[i].name.len != 0; i++)
                ;
            if (i == claims.n_extra)
                abort();
        }
    }
    if (size <= 8192)
        free(copy);
    free(again);
    sg_buf_free(&first);
    sg_buf_free(&second);
    return 0;
}
