/* SPDX-License-Identifier: MIT */
#include "transfer/analysis.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_SUBJECTS 1024
#define NAME_CHARS ((int)sizeof(((struct sg_analysis_name *)0)->text) - 1)

static const int64_t ttl_limits[] = {60, 600, 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400};
static const int64_t size_limits[] = {128, 256, 512, 1024, 4096, 16384, 65536};

int
sg_analysis_init(struct sg_analysis *a, struct sg_err *err)
{
    memset(a, 0, sizeof *a);
    a->ttl_s = (struct sg_histogram){.limits = ttl_limits,
                                     .n = (int)(sizeof ttl_limits / sizeof *ttl_limits) + 1};
    a->size_bytes = (struct sg_histogram){.limits = size_limits,
                                          .n = (int)(sizeof size_limits / sizeof *size_limits) + 1};
    a->subject_cap = FIRST_SUBJECTS;
    a->subject_hashes = calloc(a->subject_cap, sizeof *a->subject_hashes);
    if (a->subject_hashes == NULL)
        return sg_fail(err, SG_E_INTERNAL, "analyze", "out of memory");
    return 0;
}

void
sg_analysis_free(struct sg_analysis *a)
{
    free(a->subject_hashes);
    a->subject_hashes = NULL;
}

static void
count_in(struct sg_histogram *h, int64_t value)
{
    int i = 0;

    while (i < h->n - 1 && value > h->limits[i])
        i++;
    h->counts[i]++;
}

static void
count_name(struct sg_analysis_list *list, const char *text)
{
    int i;

    for (i = 0; i < list->n; i++)
        if (strncmp(list->items[i].text, text, (size_t)NAME_CHARS) == 0) {
            list->items[i].n++;
            return;
        }
    if (list->n == SG_ANALYSIS_NAMES) {
        list->other++;
        return;
    }
    snprintf(list->items[list->n].text, sizeof list->items[0].text, "%.*s", NAME_CHARS, text);
    list->items[list->n++].n = 1;
}

static uint64_t
hash_of(const char *s)
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (; *s != '\0'; s++)
        h = (h ^ (uint8_t)*s) * UINT64_C(1099511628211);
    return h != 0 ? h : 1;
}

/* Adds to a table of 64-bit hashes (0 = free); whether it was new. */
static bool
insert(uint64_t *table, size_t cap, uint64_t h)
{
    size_t i = (size_t)h & (cap - 1);

    while (table[i] != 0 && table[i] != h)
        i = (i + 1) & (cap - 1);
    if (table[i] == h)
        return false;
    table[i] = h;
    return true;
}

static void
count_subject(struct sg_analysis *a, const char *subject)
{
    size_t i;

    if (a->subjects * 2 >= a->subject_cap) {
        size_t cap = a->subject_cap * 2;
        uint64_t *fresh = a->subjects < SG_ANALYSIS_SUBJECTS ? calloc(cap, sizeof *fresh) : NULL;

        if (fresh == NULL) {
            a->subjects_full = true;
            return;
        }
        for (i = 0; i < a->subject_cap; i++)
            if (a->subject_hashes[i] != 0)
                insert(fresh, cap, a->subject_hashes[i]);
        free(a->subject_hashes);
        a->subject_hashes = fresh;
        a->subject_cap = cap;
    }
    a->subjects += insert(a->subject_hashes, a->subject_cap, hash_of(subject));
}

/* What is not identity needs another home when the store retires: cart, csrf, flash, … */
static void
count_members(struct sg_analysis *a, const struct sg_codec_config *config, struct sg_slice value)
{
    size_t known = strcspn(config->subject_path, ".");
    json_t *json = json_loadb(value.ptr, value.len, 0, NULL), *member;
    const char *name;

    if (!json_is_object(json)) {
        json_decref(json);
        return;
    }
    json_object_foreach(json, name, member)
    {
        if (strcmp(name, "cookie") != 0 &&
            !(strlen(name) == known && strncmp(name, config->subject_path, known) == 0))
            count_name(&a->members, name);
    }
    json_decref(json);
}

static void
count_value(struct sg_analysis *a, const struct sg_codec *codec,
            const struct sg_codec_config *config, struct sg_slice value)
{
    struct sg_legacy_record record;
    struct sg_err err;
    char text[64];

    a->bytes += value.len;
    if (value.len > a->largest_bytes)
        a->largest_bytes = value.len;
    count_in(&a->size_bytes, (int64_t)value.len);
    if (codec->decode(config, value, &record, &err) != 0) {
        a->undecodable++;
        count_name(&a->reasons, err.text); /* cut to the list's width */
        return;
    }
    if (record.subject[0] == '\0')
        a->anonymous++;
    else {
        a->sessions++;
        count_subject(a, record.subject);
    }
    if (record.idle_ms > 0)
        snprintf(text, sizeof text, "%lld s", (long long)(record.idle_ms / 1000));
    else
        snprintf(text, sizeof text, "none given");
    count_name(&a->idle_s, text);
    count_members(a, config, value);
}

void
sg_analysis_add(struct sg_analysis *a, const struct sg_codec *codec,
                const struct sg_codec_config *config, const struct sg_legacy_item *item)
{
    size_t prefix = strlen(config->key_prefix);

    if (item->value.ptr == NULL && !item->wrong_type)
        return;
    a->keys++;
    if (item->ttl_ms < 0)
        a->without_ttl++;
    else
        count_in(&a->ttl_s, item->ttl_ms / 1000);
    if (item->key.len >= prefix)
        sg_token_ids_add(&a->ids, sg_slice(item->key.ptr + prefix, item->key.len - prefix));
    if (item->wrong_type) {
        a->wrong_type++;
        count_name(&a->reasons, "the key holds something that is not a string");
    } else
        count_value(a, codec, config, item->value);
}
