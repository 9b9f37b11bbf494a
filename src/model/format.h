/* SPDX-License-Identifier: MIT */
#ifndef SG_MODEL_FORMAT_H
#define SG_MODEL_FORMAT_H

#include "base/slice.h"

#include <stdint.h>

/* What a string looks like. A string has the first of these that fits. */
enum sg_format {
    SG_FMT_EMPTY,
    SG_FMT_UUID,    /* lower case with dashes, the one form that PostgreSQL writes again */
    SG_FMT_OID,     /* 24 lower-case hex digits */
    SG_FMT_ISO_MS,  /* 2026-11-22T14:46:59.210Z, as JavaScript writes it */
    SG_FMT_ISO_S,   /* 2026-11-22T14:46:59Z */
    SG_FMT_ISO,     /* another ISO 8601 time with an offset */
    SG_FMT_DATE,    /* 2026-11-22 */
    SG_FMT_INTEGER, /* as an int64 is written: no leading zero, no plus */
    SG_FMT_DECIMAL, /* 1.50, -0.5 */
    SG_FMT_BOOL,    /* true, false */
    SG_FMT_BCRYPT,
    SG_FMT_ARGON2,
    SG_FMT_DIGEST, /* 32, 40, 64 or 128 hex digits */
    SG_FMT_EMAIL,
    SG_FMT_URL,
    SG_FMT_IP,
    SG_FMT_BASE64, /* at least 24 characters, both cases and digits; url-safe too */
    SG_FMT_OTHER,
    SG_FMT_N,
};

enum sg_format sg_format_of(struct sg_slice text);
/* "uuid", "iso-ms", … Static storage. */
const char *sg_format_name(enum sg_format format);

/* Unix microseconds of an ISO 8601 time with an offset ("Z", "+02:00"); -1 where it is none. Years
 * 0001 to 9999. */
int sg_iso_parse(struct sg_slice text, int64_t *out_us);
/* As JavaScript writes it, with milliseconds or whole seconds; returns its length, out[32]. */
int sg_iso_write(int64_t unix_us, bool millis, char *out);
/* Days since 1970-01-01 of YYYY-MM-DD; -1 where it is none. */
int sg_date_parse(struct sg_slice text, int64_t *out_days);
int sg_date_write(int64_t unix_days, char *out);

/* A name that stands for an identifier and not for a word of the schema: a uuid, an object id, a
 * number, a date, an address, a digest. */
bool sg_format_is_data(enum sg_format format);

/* The name of a field says that it holds a time ("createdAt", "last_seen", "expires"). */
bool sg_name_is_time(struct sg_slice name);
/* The name of a field says that it holds a secret ("password", "csrfToken"). */
bool sg_name_is_secret(struct sg_slice name);
/* The name of a field says that it holds an amount of money. */
bool sg_name_is_money(struct sg_slice name);

/* Valid UTF-8, without surrogates and overlong forms. */
bool sg_utf8_valid(struct sg_slice text);

#endif
