/* SPDX-License-Identifier: MIT */
#include "segue/segue.h"

#include "jwt/status.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name, *text;
} texts[] = {
    [SEGUE_OK] = {"ok", "the token is good"},
    [SEGUE_EXPIRED] = {"expired", "the token has expired; all else about it is right"},
    [SEGUE_NOT_YET] = {"not_yet", "the token is valid or was issued only later than now: compare "
                                  "the clocks"},
    [SEGUE_MALFORMED] = {"malformed", "the token is not a strict compact JWT"},
    [SEGUE_TOO_LARGE] = {"too_large", "a size bound was met"},
    [SEGUE_WRONG_TYPE] = {"wrong_type", "the token's typ is not the one expected"},
    [SEGUE_WRONG_ALG] = {"wrong_alg", "the token's alg is not the one its key is pinned to"},
    [SEGUE_UNKNOWN_KEY] = {"unknown_key", "the token's kid names no key of the set"},
    [SEGUE_FORBIDDEN] = {"forbidden", "the token's header has a parameter that is never followed"},
    [SEGUE_BAD_SIGNATURE] = {"bad_signature", "the signature does not match"},
    [SEGUE_MISSING_CLAIM] = {"missing_claim", "a required claim is missing"},
    [SEGUE_WRONG_ISSUER] = {"wrong_issuer", "the token comes from another issuer"},
    [SEGUE_WRONG_AUDIENCE] = {"wrong_audience", "the token is meant for another audience"},
    [SEGUE_INVALID] = {"invalid", "the arguments are wrong"},
    [SEGUE_UNSUPPORTED] = {"unsupported", "the key is of a kind that is not used here"},
    [SEGUE_DUPLICATE] = {"duplicate", "the kid is in the set already"},
    [SEGUE_INTERNAL] = {"internal", "memory ran out or the crypto library failed"},
};

static size_t
at(enum segue_status status)
{
    size_t i = (size_t)status;

    return i < sizeof texts / sizeof texts[0] ? i : SEGUE_INTERNAL;
}

const char *
segue_strerror(enum segue_status status)
{
    return texts[at(status)].text;
}

const char *
segue_status_name(enum segue_status status)
{
    return texts[at(status)].name;
}

enum segue_status
sg_jwt_fail(struct segue_error *err, enum segue_status status, const char *fmt, ...)
{
    va_list ap;

    if (err != NULL) {
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
    }
    return status;
}
