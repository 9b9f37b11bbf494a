/* SPDX-License-Identifier: MIT */
#include "session/credentials.h"

#include "base/encode.h"
#include "jwt/json_scan.h"

#include <stdlib.h>
#include <strings.h>

/* Cuts the next cookie-pair off *rest; false at the end. Empty pairs are passed over. */
static bool
next_pair(struct sg_slice *rest, struct sg_slice *pair)
{
    while (rest->len > 0) {
        const char *semicolon = memchr(rest->ptr, ';', rest->len);
        size_t n = semicolon != NULL ? (size_t)(semicolon - rest->ptr) : rest->len;
        size_t skip = semicolon != NULL ? n + 1 : n;

        *pair = sg_slice(rest->ptr, n);
        *rest = sg_slice(rest->ptr + skip, rest->len - skip);
        while (pair->len > 0 && (*pair->ptr == ' ' || *pair->ptr == '\t'))
            *pair = sg_slice(pair->ptr + 1, pair->len - 1);
        while (pair->len > 0 &&
               (pair->ptr[pair->len - 1] == ' ' || pair->ptr[pair->len - 1] == '\t'))
            pair->len--;
        if (pair->len > 0)
            return true;
    }
    return false;
}

static bool
is_named(struct sg_slice pair, const char *name)
{
    size_t n = name != NULL ? strlen(name) : 0;

    if (n == 0 || pair.len <= n || memcmp(pair.ptr, name, n) != 0)
        return false;
    while (n < pair.len && (pair.ptr[n] == ' ' || pair.ptr[n] == '\t'))
        n++; /* apps read "name =value" as well */
    return n < pair.len && pair.ptr[n] == '=';
}

struct sg_slice
sg_cookie_find(struct sg_slice header, const char *name)
{
    struct sg_slice pair;

    while (next_pair(&header, &pair))
        if (is_named(pair, name)) {
            const char *value = (const char *)memchr(pair.ptr, '=', pair.len) + 1;
            struct sg_slice v = sg_slice(value, (size_t)(pair.ptr + pair.len - value));

            while (v.len > 0 && (*v.ptr == ' ' || *v.ptr == '\t'))
                v = sg_slice(v.ptr + 1, v.len - 1);
            if (v.len >= 2 && v.ptr[0] == '"' && v.ptr[v.len - 1] == '"')
                v = sg_slice(v.ptr + 1, v.len - 2);
            return v;
        }
    return (struct sg_slice){0};
}

void
sg_cookie_without(struct sg_buf *out, struct sg_slice header, const char *name1, const char *name2)
{
    struct sg_slice pair;

    while (next_pair(&header, &pair)) {
        if (is_named(pair, name1) || is_named(pair, name2))
            continue;
        if (out->len > 0)
            sg_buf_puts(out, "; ");
        sg_buf_add(out, pair);
    }
}

struct sg_slice
sg_bearer_token(struct sg_slice a)
{
    if (a.len < 8 || strncasecmp(a.ptr, "Bearer ", 7) != 0)
        return (struct sg_slice){0};
    a = sg_slice(a.ptr + 7, a.len - 7);
    while (a.len > 0 && *a.ptr == ' ')
        a = sg_slice(a.ptr + 1, a.len - 1);
    return a.len > 0 ? a : (struct sg_slice){0};
}

bool
sg_looks_like_jwt(struct sg_slice text)
{
    size_t i, dots = 0, run = 0;

    for (i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '.') {
            if (run == 0)
                return false;
            dots++;
            run = 0;
        } else if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                   c == '-' || c == '_')
            run++;
        else
            return false;
    }
    return dots == 2 && run > 0;
}

static bool
read_member(struct sg_slice json, const char *member, struct sg_buf *out)
{
    struct sg_json_level level;
    struct sg_json_string name, value = {0};
    bool found = false, good;
    struct sg_json j;
    char *text;

    sg_json_init(&j, json);
    good = sg_json_enter_object(&j, &level);
    while (good && sg_json_member(&j, &level, &name)) {
        if (sg_json_is(&name, member) && sg_json_peek(&j) == SG_JSON_STRING)
            found = good = sg_json_string(&j, &value);
        else
            good = sg_json_skip(&j, NULL);
    }
    if (!good || !sg_json_end(&j) || !found || (text = malloc(value.raw.len + 1)) == NULL)
        return false;
    sg_buf_add(out, sg_slice(text, sg_json_unescape(&value, text)));
    free(text);
    return !out->failed;
}

bool
sg_jwt_peek(struct sg_slice token, enum sg_jwt_segment segment, const char *member,
            struct sg_buf *out)
{
    const char *dot = token.len > 0 ? memchr(token.ptr, '.', token.len) : NULL;
    struct sg_slice part;
    ptrdiff_t n;
    char *json;
    bool ok;

    if (dot == NULL)
        return false;
    part = sg_slice(token.ptr, (size_t)(dot - token.ptr));
    if (segment == SG_JWT_PAYLOAD) {
        token = sg_slice(dot + 1, token.len - part.len - 1);
        dot = token.len > 0 ? memchr(token.ptr, '.', token.len) : NULL;
        part = sg_slice(token.ptr, dot != NULL ? (size_t)(dot - token.ptr) : token.len);
    }
    if ((json = malloc(part.len + 1)) == NULL)
        return false;
    n = sg_b64url_decode(part, (uint8_t *)json, part.len);
    ok = n > 0 && read_member(sg_slice(json, (size_t)n), member, out);
    free(json);
    return ok;
}
