/* SPDX-License-Identifier: MIT */
/* What is read is written as BSON that reads as the same; and libbson finds no fault with it. */
#include "source/doc_bson.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sg_doc doc, again;
    struct sg_arena *arena;
    struct sg_err err;
    bson_t bson = BSON_INITIALIZER;

    if (sg_arena_new(64 << 20, &arena, &err) != 0)
        abort();
    if (sg_doc_from_bson(arena, sg_slice((const char *)data, size), &doc, &err) == 0 &&
        sg_doc_to_bson(&doc, &bson, &err) == 0) {
        if (!bson_validate(&bson, BSON_VALIDATE_NONE, NULL) ||
            sg_doc_from_bson(arena, sg_slice((const char *)bson_get_data(&bson), bson.len), &again,
                             &err) != 0 ||
            !sg_doc_equal(&doc, &again))
            abort();
    }
    bson_destroy(&bson);
    sg_arena_free(arena);
    return 0;
}
