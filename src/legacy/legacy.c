/* SPDX-License-Identifier: MIT */
#include "legacy/legacy.h"

#include "base/utf8.h"

#include "legacy/codecs.h"
#include "legacy/stores.h"

#include <stdlib.h>

bool
sg_is_subject(struct sg_slice s)
{
    size_t i, n;

    for (i = 0; i < s.len; i += n)
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f ||
            (n = sg_utf8_len(s.ptr + i, s.len - i)) == 0)
            return false;
    return s.len > 0 && s.len <= SG_SUBJECT_MAX;
}

static const struct sg_codec *const codecs[] = {
    &sg_codec_express,
    NULL,
};

static const struct sg_legacy_store_type *const stores[] = {
    &sg_legacy_store_redis,
    NULL,
};

const struct sg_codec *
sg_codec_find(const char *name)
{
    size_t i;

    for (i = 0; codecs[i] != NULL; i++)
        if (strcmp(codecs[i]->name, name) == 0)
            return codecs[i];
    return NULL;
}

const struct sg_codec *const *
sg_codec_all(void)
{
    return codecs;
}

const struct sg_legacy_store_type *
sg_legacy_store_find(const char *name)
{
    size_t i;

    for (i = 0; stores[i] != NULL; i++)
        if (strcmp(stores[i]->name, name) == 0)
            return stores[i];
    return NULL;
}

void
sg_legacy_request_clear(struct sg_legacy_request *request)
{
    sg_buf_wipe(&request->read_value);
}

void
sg_legacy_scan_clear(struct sg_legacy_scan *scan)
{
    int i;

    for (i = 0; i < scan->n_items; i++)
        free((char *)scan->items[i].key.ptr);
    free((struct sg_legacy_item *)scan->items);
    scan->items = NULL;
    scan->n_items = 0;
}
