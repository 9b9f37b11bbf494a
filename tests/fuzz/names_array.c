/* SPDX-License-Identifier: MIT */
/* A PostgreSQL array literal that is read is written and read back as the same names. */
#include "base/buf.h"
#include "fuzz/fuzz.h"
#include "identity/identity.h"

#include <stdlib.h>
#include <string.h>

static void
check(const struct sg_names *names)
{
    const char *c;
    int i, k;

    if (names->n < 0 || names->n > SG_ROLES_MAX || names->used > SG_NAMES_BYTES)
        abort();
    for (i = 0; i < names->n; i++) {
        if (names->name[i][0] == '\0')
            abort();
        for (c = names->name[i]; *c != '\0'; c++)
            if ((unsigned char)*c < ' ' || *c == 0x7f)
                abort();
        for (k = 0; k < i; k++)
            if (strcmp(names->name[i], names->name[k]) == 0)
                abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sg_names names, again;
    struct sg_buf text = SG_BUF_INIT(2 * SG_NAMES_BYTES + 4 * SG_ROLES_MAX);
    struct sg_err err;
    int i;

    sg_names_clear(&names);
    if (sg_names_from_array(&names, sg_slice((const char *)data, size), &err) != 0) {
        if (names.n != 0 || (err.code != SG_E_INVALID && err.code != SG_E_LIMIT))
            abort();
        return 0;
    }
    check(&names);
    sg_names_to_array(&names, &text);
    if (text.failed || sg_names_from_array(&again, sg_buf_slice(&text), &err) != 0 ||
        again.n != names.n)
        abort();
    for (i = 0; i < names.n; i++)
        if (strcmp(names.name[i], again.name[i]) != 0)
            abort();
    sg_buf_free(&text);
    return 0;
}
