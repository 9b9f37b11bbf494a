/* SPDX-License-Identifier: MIT */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

int
sg_fail(struct sg_err *err, enum sg_code code, const char *place, const char *fmt, ...)
{
    va_list ap;

    if (err == NULL)
        return -1;
    err->code = code;
    err->retryable = code == SG_E_UNAVAILABLE || code == SG_E_TIMEOUT || code == SG_E_CONFLICT ||
                     code == SG_E_NOT_OWNER;
    snprintf(err->place, sizeof err->place, "%s", place);
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    return -1;
}

const char *
sg_code_name(enum sg_code code)
{
    switch (code) {
    case SG_OK:
        return "ok";
    case SG_E_INVALID:
        return "invalid";
    case SG_E_NOT_FOUND:
        return "not_found";
    case SG_E_DENIED:
        return "denied";
    case SG_E_CONFLICT:
        return "conflict";
    case SG_E_NOT_OWNER:
        return "not_owner";
    case SG_E_LIMIT:
        return "limit";
    case SG_E_UNAVAILABLE:
        return "unavailable";
    case SG_E_TIMEOUT:
        return "timeout";
    case SG_E_CANCELLED:
        return "cancelled";
    case SG_E_INTERNAL:
        return "internal";
    }
    return "unknown";
}
