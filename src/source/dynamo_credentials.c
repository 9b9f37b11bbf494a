/* SPDX-License-Identifier: MIT */
#include "source/dynamo_credentials.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACE "dynamodb credentials"

static bool
copy(const char *from, char *to, size_t cap)
{
    size_t n = from != NULL ? strlen(from) : 0;

    if (n == 0 || n >= cap)
        return false;
    memcpy(to, from, n + 1);
    return true;
}

/* Cuts "name = value" out of a line; NULL if it is none. The value loses its blanks. */
static char *
split(char *line, char **name)
{
    char *equals = strchr(line, '='), *value, *end;

    if (equals == NULL)
        return NULL;
    *name = line + strspn(line, " \t");
    (*name)[strcspn(*name, " \t=")] = '\0';
    value = equals + 1 + strspn(equals + 1, " \t");
    for (end = value + strlen(value); end != value && strchr(" \t\r\n", end[-1]) != NULL;)
        *--end = '\0';
    return value;
}

static void
read_profile(FILE *f, const char *profile, struct sg_dynamo_credentials *out)
{
    char line[SG_DYNAMO_TOKEN_MAX + 64], section[96], *name, *value;
    bool here = false;

    snprintf(section, sizeof section, "[%.80s]", profile);
    while (fgets(line, sizeof line, f) != NULL) {
        if (line[0] == '[') {
            here = strncmp(line, section, strlen(section)) == 0;
        } else if (here && (value = split(line, &name)) != NULL) {
            if (strcmp(name, "aws_access_key_id") == 0)
                copy(value, out->id, sizeof out->id);
            else if (strcmp(name, "aws_secret_access_key") == 0)
                copy(value, out->secret, sizeof out->secret);
            else if (strcmp(name, "aws_session_token") == 0)
                copy(value, out->token, sizeof out->token);
        }
    }
    sodium_memzero(line, sizeof line);
}

int
sg_dynamo_credentials_find(struct sg_dynamo_credentials *out, struct sg_err *err)
{
    const char *file = getenv("AWS_SHARED_CREDENTIALS_FILE"), *home = getenv("HOME");
    const char *profile = getenv("AWS_PROFILE");
    char path[512];
    FILE *f;

    memset(out, 0, sizeof *out);
    copy(getenv("AWS_ACCESS_KEY_ID"), out->id, sizeof out->id);
    copy(getenv("AWS_SECRET_ACCESS_KEY"), out->secret, sizeof out->secret);
    copy(getenv("AWS_SESSION_TOKEN"), out->token, sizeof out->token);
    if (out->id[0] != '\0' && out->secret[0] != '\0')
        return 0;
    memset(out, 0, sizeof *out);
    snprintf(path, sizeof path, "%s/.aws/credentials", home != NULL ? home : "");
    f = fopen(file != NULL ? file : path, "re");
    if (f == NULL)
        return sg_fail(err, SG_E_INVALID, PLACE,
                       "neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor a credentials "
                       "file: %s",
                       strerror(errno));
    read_profile(f, profile != NULL ? profile : "default", out);
    fclose(f);
    if (out->id[0] != '\0' && out->secret[0] != '\0')
        return 0;
    return sg_fail(err, SG_E_INVALID, PLACE,
                   "aws_access_key_id or aws_secret_access_key is missing in the credentials "
                   "file's profile \"%.60s\"",
                   profile != NULL ? profile : "default");
}
