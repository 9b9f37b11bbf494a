/* SPDX-License-Identifier: MIT */
/* What is read as an item is written as one that reads as the same. */
#include "source/doc_dynamo.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sg_buf text = SG_BUF_INIT(16 * size + 1024);
    struct sg_doc json, doc, again;
    struct sg_arena *arena;
    struct sg_err err;

    if (sg_arena_new(64 << 20, &arena, &err) != 0)
        abort();
    if (sg_doc_from_json(arena, sg_slice((const char *)data, size), &json, &err) == 0 &&
        sg_doc_from_dynamo(arena, &json, &doc, &err) == 0 &&
        sg_doc_to_dynamo(&doc, &text, &err) == 0) {
        if (sg_doc_from_json(arena, sg_buf_slice(&text), &json, &err) != 0 ||
            sg_doc_from_dynamo(arena, &json, &again, &err) != 0 || !sg_doc_equal(&doc, &again))
            abort();
    }
    sg_buf_free(&text);
    sg_arena_free(arena);
    return 0;
}
