/* SPDX-License-Identifier: MIT */
/* Every key, a line of the input, fits the pattern that was found for it. */
#include "source/redis_keys.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>

static const char *
line_end(const char *p, const char *end)
{
    const char *stop = memchr(p, '\n', (size_t)(end - p));

    return stop != NULL ? stop : end;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p, *stop, *start = (const char *)data, *end = start + size;
    char name[SG_SOURCE_NAME_MAX + 1];
    struct sg_redis_patterns *patterns;
    struct sg_err err;

    if (size == 0)
        return 0;
    if (sg_redis_patterns_new(&patterns, &err) != 0)
        abort();
    for (p = start; p < end; p = stop + 1) {
        stop = line_end(p, end);
        sg_redis_patterns_add(patterns, sg_slice(p, (size_t)(stop - p)));
    }
    sg_redis_patterns_settle(patterns);
    for (p = start; p < end; p = stop + 1) {
        struct sg_buf glob = SG_BUF_INIT(2 * SG_SOURCE_NAME_MAX);

        stop = line_end(p, end);
        sg_redis_patterns_of(patterns, sg_slice(p, (size_t)(stop - p)), name);
        sg_redis_keys_glob(name, &glob);
        if (glob.failed || !sg_redis_keys_match(name, sg_slice(p, (size_t)(stop - p))))
            abort();
        sg_buf_free(&glob);
    }
    sg_redis_patterns_free(patterns);
    return 0;
}
