/* SPDX-License-Identifier: MIT */
#include "source/source.h"

#include "source/sources.h"

static const struct {
    const char *scheme;
    const struct sg_source_type *type;
} schemes[] = {
    {"redis:", &sg_source_redis},       {"rediss:", &sg_source_redis},
    {"unix:", &sg_source_redis},        {"mongodb:", &sg_source_mongo},
    {"mongodb+srv:", &sg_source_mongo}, {"dynamodb:", &sg_source_dynamo},
};

int
sg_source_open(const struct sg_source_options *options, struct sg_source **out, struct sg_err *err)
{
    size_t i;

    for (i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strncmp(options->url, schemes[i].scheme, strlen(schemes[i].scheme)) == 0)
            return schemes[i].type->open(options, out, err);
    return sg_fail(err, SG_E_INVALID, "source url",
                   "unknown scheme; expected redis:, rediss:, unix:, mongodb:, mongodb+srv: or "
                   "dynamodb:");
}

void
sg_source_close(struct sg_source *source)
{
    if (source != NULL)
        source->type->close(source);
}
