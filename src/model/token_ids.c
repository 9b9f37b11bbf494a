/* SPDX-License-Identifier: MIT */
#include "model/token_ids.h"

#include "base/buf.h"

#include <math.h>
#include <stdio.h>

void
sg_token_ids_add(struct sg_token_ids *ids, struct sg_slice id)
{
    size_t i;

    if (ids->n == 0 || id.len < ids->shortest)
        ids->shortest = id.len;
    if (id.len > ids->longest)
        ids->longest = id.len;
    ids->n++;
    ids->bytes += id.len;
    for (i = 0; i < id.len; i++)
        ids->chars[(uint8_t)id.ptr[i]]++;
}

double
sg_token_ids_bits(const struct sg_token_ids *ids)
{
    double bits = 0;
    int i;

    if (ids->n == 0 || ids->bytes == 0)
        return 0;
    for (i = 0; i < 256; i++)
        if (ids->chars[i] != 0) {
            double p = (double)ids->chars[i] / (double)ids->bytes;

            bits -= p * log2(p);
        }
    return bits * (double)ids->bytes / (double)ids->n;
}

void
sg_token_ids_alphabet(const struct sg_token_ids *ids, char *out, size_t cap)
{
    static const struct {
        int from, to;
        const char *name;
    } ranges[] = {{'A', 'Z', "A-Z "}, {'a', 'z', "a-z "}, {'0', '9', "0-9 "}};
    struct sg_buf b = SG_BUF_INIT(cap - 1);
    size_t r;
    int i;

    for (r = 0; r < sizeof ranges / sizeof ranges[0]; r++)
        for (i = ranges[r].from; i <= ranges[r].to; i++)
            if (ids->chars[i] != 0) {
                sg_buf_puts(&b, ranges[r].name);
                break;
            }
    for (i = 0; i < 256; i++)
        if (ids->chars[i] != 0 &&
            !((i >= 'A' && i <= 'Z') || (i >= 'a' && i <= 'z') || (i >= '0' && i <= '9')))
            sg_buf_printf(&b, i > 32 && i < 127 ? "%c " : "0x%02x ", i);
    snprintf(out, cap, "%.*s", (int)(b.len > 0 ? b.len - 1 : 0), b.ptr != NULL ? b.ptr : "");
    sg_buf_free(&b);
}
