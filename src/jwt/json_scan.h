/* SPDX-License-Identifier: MIT */
#ifndef SG_JWT_JSON_SCAN_H
#define SG_JWT_JSON_SCAN_H

#include "base/buf.h"
#include "base/slice.h"

#include <stdint.h>

/* A strict reader of JSON (RFC 8259) in one pass over bytes that stay where they are. It refuses
 * what verifiers must not disagree about: a member name that comes twice in an object (compared
 * unescaped), text that is not UTF-8, a NUL in any spelling, a lone surrogate, bytes after the
 * value. Bounds: SG_JSON_DEPTH nested values; SG_JSON_NAMES member names in all objects open at
 * once.
 *
 * Use: init, then one value, then sg_json_end(). The first failure sticks: every later call fails
 * too, and sg_json_failed() tells why. */
#define SG_JSON_DEPTH 8
#define SG_JSON_NAMES 256

enum sg_json_failure { SG_JSON_FINE, SG_JSON_BAD, SG_JSON_TOO_BIG };

enum sg_json_kind {
    SG_JSON_NONE, /* the end of the text, or no JSON value */
    SG_JSON_OBJECT,
    SG_JSON_ARRAY,
    SG_JSON_STRING,
    SG_JSON_NUMBER,
    SG_JSON_WORD, /* true, false, null */
};

/* A string as it stands between its quotes. */
struct sg_json_string {
    struct sg_slice raw;
    bool escaped; /* holds a backslash: raw is not the value */
};

struct sg_json {
    const char *at, *end;
    enum sg_json_failure failure;
    int depth;
    int n_names;
    struct {
        struct sg_json_string s;
        uint32_t hash;
    } names[SG_JSON_NAMES];
};

/* An object or array being read. */
struct sg_json_level {
    int first_name;
    bool begun;
};

void sg_json_init(struct sg_json *j, struct sg_slice text);

/* What comes next, read past white space; consumes no value. */
enum sg_json_kind sg_json_peek(struct sg_json *j);

/* Members: enter, then while sg_json_member() is true read exactly one value. False at the closing
 * brace, and on failure. The same for arrays with sg_json_item(). */
bool sg_json_enter_object(struct sg_json *j, struct sg_json_level *level);
bool sg_json_member(struct sg_json *j, struct sg_json_level *level, struct sg_json_string *name);

/* sg_json_member() in two steps, for a caller who knows most names and sees for itself when one of
 * those comes twice: the name, then for the others whether it is new. */
bool sg_json_name(struct sg_json *j, struct sg_json_level *level, struct sg_json_string *name);
bool sg_json_name_is_new(struct sg_json *j, const struct sg_json_level *level,
                         const struct sg_json_string *name);
bool sg_json_enter_array(struct sg_json *j, struct sg_json_level *level);
bool sg_json_item(struct sg_json *j, struct sg_json_level *level);

bool sg_json_string(struct sg_json *j, struct sg_json_string *out);

/* An integer without fraction or exponent that fits; other numbers fail. */
bool sg_json_int(struct sg_json *j, int64_t *out);

/* Any value, checked throughout; *raw (may be NULL) is its text. */
bool sg_json_skip(struct sg_json *j, struct sg_slice *raw);

/* Whether the whole text was one good value. */
bool sg_json_end(struct sg_json *j);

static inline enum sg_json_failure
sg_json_failed(const struct sg_json *j)
{
    return j->failure;
}

/* Whether a string's value is this ASCII text. */
bool sg_json_is(const struct sg_json_string *s, const char *text);

/* Writes a string's value to out, which may be where it stands, and returns its length: never more
 * than raw.len. */
size_t sg_json_unescape(const struct sg_json_string *s, char *out);

/* Appends text as a JSON string with its quotes; false when it is not UTF-8 or holds a NUL. */
bool sg_json_add_string(struct sg_buf *out, struct sg_slice text);

#endif
