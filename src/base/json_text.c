/* SPDX-License-Identifier: MIT */
#include "base/json_text.h"

static int
hex4(const char *p, const char *end)
{
    int v = 0, i;

    if (end - p < 4)
        return -1;
    for (i = 0; i < 4; i++) {
        int c = (unsigned char)p[i];

        if (c >= '0' && c <= '9')
            v = v << 4 | (c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v = v << 4 | ((c | 32) - 'a' + 10);
        else
            return -1;
    }
    return v;
}

int32_t
sg_json_escape(const char **p, const char *end)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *s = *p + 1, *found;
    int32_t high, low;

    if (s == end)
        return -1;
    if (*s != 'u') {
        found = memchr(from, *s, sizeof from - 1);
        *p = s + 1;
        return found != NULL ? to[found - from] : -1;
    }
    high = hex4(s + 1, end);
    if (high < 0 || (high >= 0xdc00 && high <= 0xdfff))
        return -1;
    *p = s + 5;
    if (high < 0xd800 || high > 0xdbff)
        return high;
    if (end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
        return -1;
    low = hex4(*p + 2, end);
    if (low < 0xdc00 || low > 0xdfff)
        return -1;
    *p += 6;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}
