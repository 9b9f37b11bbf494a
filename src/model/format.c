/* SPDX-License-Identifier: MIT */
#include "model/format.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

const char *
sg_format_name(enum sg_format format)
{
    static const char *const names[SG_FMT_N] = {
        "empty",   "uuid",   "objectid", "iso-ms",     "iso-s", "iso", "date", "integer", "decimal",
        "boolean", "bcrypt", "argon2",   "hex-digest", "email", "url", "ip",   "base64",  "other"};

    return names[format];
}

static bool
is_lower_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool
all(struct sg_slice s, bool (*is)(char))
{
    size_t i;

    for (i = 0; i < s.len; i++)
        if (!is(s.ptr[i]))
            return false;
    return s.len > 0;
}

static bool
is_hex(char c)
{
    return isxdigit((unsigned char)c) != 0;
}

static bool
is_uuid(struct sg_slice s)
{
    size_t i;

    for (i = 0; i < s.len && s.len == 36; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? s.ptr[i] != '-' : !is_lower_hex(s.ptr[i]))
            return false;
    return s.len == 36;
}

static bool
is_integer(struct sg_slice s)
{
    size_t i = s.len > 0 && s.ptr[0] == '-';
    char text[24];

    if (s.len == i || s.len > 20 || (s.ptr[i] == '0' && s.len > 1))
        return false;
    for (; i < s.len; i++)
        if (!isdigit((unsigned char)s.ptr[i]))
            return false;
    snprintf(text, sizeof text, "%.*s", (int)s.len, s.ptr);
    errno = 0;
    (void)strtoll(text, NULL, 10);
    return errno == 0;
}

/* 1.50: digits on both sides of one point, no leading zero but the one before it. */
static bool
is_decimal(struct sg_slice s)
{
    size_t i = s.len > 0 && s.ptr[0] == '-', start = i, point = 0;

    for (; i < s.len && s.len <= 40; i++)
        if (s.ptr[i] == '.' && point == 0 && i > start)
            point = i;
        else if (!isdigit((unsigned char)s.ptr[i]))
            return false;
    return i == s.len && point != 0 && point + 1 < s.len &&
           (s.ptr[start] != '0' || point == start + 1);
}

static bool
is_email(struct sg_slice s)
{
    const char *at = s.len > 0 ? memchr(s.ptr, '@', s.len) : NULL;
    size_t i;

    if (at == NULL || at == s.ptr || s.len > 254 || s.ptr[s.len - 1] == '.')
        return false;
    for (i = 0; i < s.len; i++)
        if (isspace((unsigned char)s.ptr[i]) || iscntrl((unsigned char)s.ptr[i]) ||
            (s.ptr[i] == '@' && s.ptr + i != at))
            return false;
    return memchr(at, '.', (size_t)(s.ptr + s.len - at)) != NULL && at[1] != '.';
}

static bool
is_ip(struct sg_slice s)
{
    char text[48];
    unsigned a, b, c, d;
    int used = 0;
    size_t i, colons = 0;

    if (s.len < 2 || s.len > 45)
        return false;
    snprintf(text, sizeof text, "%.*s", (int)s.len, s.ptr);
    if (sscanf(text, "%3u.%3u.%3u.%3u%n", &a, &b, &c, &d, &used) == 4)
        return (size_t)used == s.len && a < 256 && b < 256 && c < 256 && d < 256;
    for (i = 0; i < s.len; i++)
        if (s.ptr[i] == ':')
            colons++;
        else if (!is_hex(s.ptr[i]) && s.ptr[i] != '.')
            return false;
    return colons >= 2;
}

/* Random bytes as text, not a word: both cases and a digit. */
static bool
is_base64(struct sg_slice s)
{
    bool upper = false, lower = false, digit = false;
    size_t i, end = s.len;

    while (end > 0 && s.len - end < 2 && s.ptr[end - 1] == '=')
        end--;
    for (i = 0; i < end; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        upper = upper || isupper(c);
        lower = lower || islower(c);
        digit = digit || isdigit(c);
        if (!isalnum(c) && strchr("+/-_", c) == NULL)
            return false;
    }
    return s.len >= 24 && upper && lower && digit;
}

static enum sg_format
time_format(struct sg_slice s)
{
    int64_t us, days;
    char text[32];
    int n;

    if (sg_iso_parse(s, &us) != 0)
        return sg_date_parse(s, &days) == 0 ? SG_FMT_DATE : SG_FMT_OTHER;
    n = sg_iso_write(us, true, text);
    if (sg_slice_eq(s, sg_slice(text, (size_t)n)))
        return SG_FMT_ISO_MS;
    n = sg_iso_write(us, false, text);
    return sg_slice_eq(s, sg_slice(text, (size_t)n)) ? SG_FMT_ISO_S : SG_FMT_ISO;
}

enum sg_format
sg_format_of(struct sg_slice s)
{
    enum sg_format time;

    if (s.len == 0)
        return SG_FMT_EMPTY;
    if (is_uuid(s))
        return SG_FMT_UUID;
    if (is_integer(s))
        return SG_FMT_INTEGER;
    if (s.len == 24 && all(s, is_lower_hex))
        return SG_FMT_OID;
    if ((time = time_format(s)) != SG_FMT_OTHER)
        return time;
    if (is_decimal(s))
        return SG_FMT_DECIMAL;
    if (sg_slice_eq(s, sg_str("true")) || sg_slice_eq(s, sg_str("false")))
        return SG_FMT_BOOL;
    if (s.len == 60 && s.ptr[0] == '$' && s.ptr[1] == '2')
        return SG_FMT_BCRYPT;
    if (sg_slice_starts(s, "$argon2"))
        return SG_FMT_ARGON2;
    if ((s.len == 32 || s.len == 40 || s.len == 64 || s.len == 128) && all(s, is_hex))
        return SG_FMT_DIGEST;
    if (is_email(s))
        return SG_FMT_EMAIL;
    if (sg_slice_starts(s, "http://") || sg_slice_starts(s, "https://"))
        return SG_FMT_URL;
    if (is_ip(s))
        return SG_FMT_IP;
    return is_base64(s) ? SG_FMT_BASE64 : SG_FMT_OTHER;
}

bool
sg_format_is_data(enum sg_format f)
{
    return f == SG_FMT_UUID || f == SG_FMT_OID || f == SG_FMT_INTEGER || f == SG_FMT_EMAIL ||
           f == SG_FMT_DIGEST || f == SG_FMT_BASE64 || f == SG_FMT_DATE || f == SG_FMT_IP ||
           f == SG_FMT_ISO || f == SG_FMT_ISO_MS || f == SG_FMT_ISO_S;
}

/* ---- times ---- */

/* Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant's algorithm). */
static int64_t
days_of(int64_t y, int m, int d)
{
    int64_t era, yoe, doy, doe;

    y -= m <= 2;
    era = (y >= 0 ? y : y - 399) / 400;
    yoe = y - era * 400;
    doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static void
date_of(int64_t days, int64_t *y, int *m, int *d)
{
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

    *d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *y = yoe + era * 400 + (*m <= 2);
}

/* Exactly n digits at *at, which is moved behind them. */
static bool
digits(struct sg_slice s, size_t *at, int n, int *out)
{
    int v = 0;

    for (; n > 0; n--, (*at)++) {
        if (*at >= s.len || !isdigit((unsigned char)s.ptr[*at]))
            return false;
        v = v * 10 + (s.ptr[*at] - '0');
    }
    *out = v;
    return true;
}

static bool
is_char(struct sg_slice s, size_t *at, char c)
{
    if (*at >= s.len || s.ptr[*at] != c)
        return false;
    (*at)++;
    return true;
}

static bool
date_part(struct sg_slice s, size_t *at, int64_t *out_days)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int y, m, d;
    bool leap;

    if (!digits(s, at, 4, &y) || !is_char(s, at, '-') || !digits(s, at, 2, &m) ||
        !is_char(s, at, '-') || !digits(s, at, 2, &d))
        return false;
    leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (y < 1 || m < 1 || m > 12 || d < 1 || d > lengths[m - 1] + (m == 2 && leap))
        return false;
    *out_days = days_of(y, m, d);
    return true;
}

int
sg_date_parse(struct sg_slice s, int64_t *out_days)
{
    size_t at = 0;
    int64_t days;

    if (!date_part(s, &at, &days) || at != s.len)
        return -1;
    *out_days = days;
    return 0;
}

/* "Z" or "+hh:mm"; seconds to take away. */
static bool
offset_part(struct sg_slice s, size_t *at, int *out_sec)
{
    int h, m, sign;

    *out_sec = 0;
    if (is_char(s, at, 'Z'))
        return true;
    sign = *at < s.len && s.ptr[*at] == '-' ? -1 : 1;
    if (!is_char(s, at, '+') && !is_char(s, at, '-'))
        return false;
    if (!digits(s, at, 2, &h))
        return false;
    is_char(s, at, ':');
    if (!digits(s, at, 2, &m) || h > 15 || m > 59)
        return false;
    *out_sec = sign * (h * 3600 + m * 60);
    return true;
}

int
sg_iso_parse(struct sg_slice s, int64_t *out_us)
{
    int h, m, sec, offset, micros = 0, scale = 100000;
    int64_t days;
    size_t at = 0;

    if (!date_part(s, &at, &days) || (!is_char(s, &at, 'T') && !is_char(s, &at, ' ')))
        return -1;
    if (!digits(s, &at, 2, &h) || !is_char(s, &at, ':') || !digits(s, &at, 2, &m) ||
        !is_char(s, &at, ':') || !digits(s, &at, 2, &sec) || h > 23 || m > 59 || sec > 59)
        return -1;
    if (is_char(s, &at, '.')) {
        if (at >= s.len || !isdigit((unsigned char)s.ptr[at]))
            return -1;
        /* past microseconds an instant would be cut */
        for (; at < s.len && isdigit((unsigned char)s.ptr[at]); at++, scale /= 10)
            if (scale == 0 && s.ptr[at] != '0')
                return -1;
            else
                micros += scale * (s.ptr[at] - '0');
    }
    if (!offset_part(s, &at, &offset) || at != s.len)
        return -1;
    *out_us = ((days * 86400) + h * 3600 + m * 60 + sec - offset) * 1000000 + micros;
    return 0;
}

int
sg_date_write(int64_t unix_days, char *out)
{
    int64_t y;
    int m, d;

    date_of(unix_days, &y, &m, &d);
    return snprintf(out, 32, "%04d-%02d-%02d", (int)y, m, d);
}

int
sg_iso_write(int64_t unix_us, bool millis, char *out)
{
    int64_t sec = unix_us / 1000000 - (unix_us % 1000000 < 0),
            days = sec / 86400 - (sec % 86400 < 0);
    int ms = (int)((unix_us - sec * 1000000) / 1000), rest = (int)(sec - days * 86400);
    int n = sg_date_write(days, out);

    n += snprintf(out + n, 32 - (size_t)n, "T%02d:%02d:%02d", rest / 3600, rest / 60 % 60,
                  rest % 60);
    if (millis)
        n += snprintf(out + n, 32 - (size_t)n, ".%03d", ms);
    return n + snprintf(out + n, 32 - (size_t)n, "Z");
}

/* ---- names ---- */

/* Whether a word of the name ("created", "At" of createdAt, "at" of created_at) is in the list. */
static bool
has_word(struct sg_slice name, const char *const *words)
{
    size_t from, to;
    int i;

    for (from = 0; from < name.len; from = to) {
        to = from + 1;
        while (to < name.len && isalnum((unsigned char)name.ptr[to]) &&
               !(isupper((unsigned char)name.ptr[to]) && islower((unsigned char)name.ptr[to - 1])))
            to++;
        for (i = 0; words[i] != NULL; i++)
            if (strlen(words[i]) == to - from &&
                strncasecmp(words[i], name.ptr + from, to - from) == 0)
                return true;
        while (to < name.len && !isalnum((unsigned char)name.ptr[to]))
            to++;
    }
    return false;
}

bool
sg_name_is_time(struct sg_slice name)
{
    static const char *const words[] = {
        "at",       "time",    "date",   "timestamp", "ts",      "created", "updated",
        "modified", "expires", "expiry", "exp",       "iat",     "nbf",     "last",
        "seen",     "since",   "until",  "born",      "expired", "joined",  "login",
        "start",    "end",     "ms",     "on",        NULL};

    return has_word(name, words);
}

bool
sg_name_is_secret(struct sg_slice name)
{
    static const char *const anywhere[] = {
        "password", "passwd", "passphrase", "secret", "token",  "csrf", "xsrf",
        "apikey",   "nonce",  "credential", "totp",   "bearer", NULL};
    static const char *const words[] = {"pass", "pwd",  "key",  "keys",   "hash",    "salt", "otp",
                                        "pin",  "auth", "code", "cookie", "cookies", NULL};
    size_t at;
    int i;

    for (i = 0; anywhere[i] != NULL; i++)
        for (at = 0; at + strlen(anywhere[i]) <= name.len; at++)
            if (strncasecmp(name.ptr + at, anywhere[i], strlen(anywhere[i])) == 0)
                return true;
    return has_word(name, words);
}

bool
sg_name_is_money(struct sg_slice name)
{
    static const char *const words[] = {"price", "amount", "total",   "cost", "fee",      "tax",
                                        "sum",   "value",  "balance", "paid", "discount", NULL};

    return has_word(name, words);
}

bool
sg_utf8_valid(struct sg_slice s)
{
    size_t i = 0;

    while (i < s.len) {
        unsigned char c = (unsigned char)s.ptr[i];
        int more = c < 0x80                 ? 0
                   : c >= 0xc2 && c <= 0xdf ? 1
                   : (c & 0xf0) == 0xe0     ? 2
                   : c >= 0xf0 && c <= 0xf4 ? 3
                                            : -1;
        uint32_t cp = more == 1 ? c & 0x1f : more == 2 ? c & 0x0f : c & 0x07;
        int k;

        if (more < 0 || s.len - i <= (size_t)more)
            return false;
        for (k = 1; k <= more; k++) {
            unsigned char n = (unsigned char)s.ptr[i + (size_t)k];

            if ((n & 0xc0) != 0x80)
                return false;
            cp = cp << 6 | (n & 0x3f);
        }
        if ((more == 2 && (cp < 0x800 || (cp >= 0xd800 && cp <= 0xdfff))) ||
            (more == 3 && (cp < 0x10000 || cp > 0x10ffff)))
            return false;
        i += (size_t)more + 1;
    }
    return true;
}
