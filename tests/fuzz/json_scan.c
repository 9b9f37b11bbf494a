/* SPDX-License-Identifier: MIT */
/* The scanner against jansson: what ours accepts, jansson must (but for numbers beyond its range);
 * and a string's value must be the same. */
#include "jwt/json_scan.h"
#include "fuzz/fuzz.h"

#include <jansson.h>
#include <stdlib.h>

static void
check_string(struct sg_slice text, const json_t *theirs)
{
    struct sg_json_string s;
    struct sg_json j;
    char *out = malloc(text.len);
    size_t n;

    sg_json_init(&j, text);
    if (out == NULL || !sg_json_string(&j, &s))
        abort();
    n = sg_json_unescape(&s, out);
    if (n != json_string_length(theirs) || memcmp(out, json_string_value(theirs), n) != 0)
        abort();
    free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sg_slice text = {(const char *)data, size};
    struct sg_json j;
    json_error_t why;
    json_t *theirs;

    sg_json_init(&j, text);
    (void)sg_json_skip(&j, NULL);
    if (!sg_json_end(&j))
        return 0;
    theirs = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (theirs == NULL && json_error_code(&why) != json_error_numeric_overflow)
        abort();
    if (json_is_string(theirs))
        check_string(text, theirs);
    json_decref(theirs);
    return 0;
}
