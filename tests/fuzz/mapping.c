/* SPDX-License-Identifier: MIT */
/* A mapping file: whatever it holds, it is refused with a place, or is written and read again as
 * the same. */
#include "model/mapping.h"
#include "base/buf.h"
#include "fuzz/fuzz.h"
#include "model/ddl.h"

#include <stdlib.h>

static void
must(bool ok)
{
    if (!ok)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sg_buf a = SG_BUF_INIT(8 << 20), b = SG_BUF_INIT(8 << 20), ddl = SG_BUF_INIT(32 << 20);
    struct sg_mapping *m, *again;
    struct sg_err err = {.code = SG_OK};

    if (sg_mapping_parse("fuzz", sg_slice((const char *)data, size), &m, &err) != 0) {
        must(err.code != SG_OK && err.text[0] != '\0');
        return 0;
    }
    sg_mapping_write(m, true, &a);
    must(!a.failed && sg_mapping_parse("again", sg_buf_slice(&a), &again, &err) == 0);
    sg_mapping_write(again, true, &b);
    must(sg_slice_eq(sg_buf_slice(&a), sg_buf_slice(&b)));
    sg_mapping_ddl(m, SG_DDL_TABLES | SG_DDL_KEYS | SG_DDL_REFERENCES, &ddl);
    must(!ddl.failed);
    sg_mapping_free(m);
    sg_mapping_free(again);
    sg_buf_free(&a);
    sg_buf_free(&b);
    sg_buf_free(&ddl);
    return 0;
}
