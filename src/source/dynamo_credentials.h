/* SPDX-License-Identifier: MIT */
#ifndef SG_SOURCE_DYNAMO_CREDENTIALS_H
#define SG_SOURCE_DYNAMO_CREDENTIALS_H

#include "base/err.h"

#define SG_DYNAMO_TOKEN_MAX 4096

struct sg_dynamo_credentials {
    char id[160], secret[160];
    char token[SG_DYNAMO_TOKEN_MAX]; /* "" = none */
};

/* From the environment, else from the credentials file: see sg_dynamo_open. */
SG_MUST_USE int sg_dynamo_credentials_find(struct sg_dynamo_credentials *out, struct sg_err *err);

#endif
