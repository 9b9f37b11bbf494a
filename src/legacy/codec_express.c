/* SPDX-License-Identifier: MIT */
/* Sessions as express-session 1.x writes them through connect-redis 9, with the login by passport.
 * Upstream: express-session/index.js (getcookie, setcookie), express-session/session/cookie.js,
 * cookie-signature/index.js, passport/lib/strategies/session.js.
 *
 *   key     <prefix><sid>
 *   value   {"cookie":{"originalMaxAge":3600000,"expires":"…Z",…},"passport":{"user":42},…}
 *   cookie  encodeURIComponent("s:" + sid + "." + base64(HMAC-SHA256(secret, sid)) without '=')
 *
 * The value's `expires` goes stale, since a touch moves only the key's TTL: it is never read. */
#include "base/encode.h"
#include "base/hash.h"
#include "legacy/codecs.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SIGNATURE_CHARS 43 /* base64 of 32 bytes without padding */
#define SID_RANDOM_BYTES 24
#define CREDENTIAL_MAX 1024          /* "s:", the longest sid, the signature, each byte escaped */
#define MAX_EXACT (INT64_C(1) << 53) /* JavaScript holds every integer up to here */

static int
check_secrets(const struct sg_codec_config *cfg, struct sg_err *err)
{
    size_t i;

    if (cfg->secrets == NULL || cfg->secrets[0] == NULL)
        return sg_fail(err, SG_E_INVALID, cfg->cookie_name, "no cookie secret is configured");
    for (i = 0; cfg->secrets[i] != NULL; i++)
        if (cfg->secrets[i][0] == '\0')
            return sg_fail(err, SG_E_INVALID, cfg->cookie_name, "cookie secret %zu is empty",
                           i + 1);
    return 0;
}

/* Takes back what a failed function had appended. */
static void
cut(struct sg_buf *b, size_t len)
{
    b->len = len;
    if (b->ptr != NULL)
        b->ptr[len] = '\0';
}

/* Control bytes would end a C string early or spoil a header or a log line. */
static bool
has_control_byte(struct sg_slice s)
{
    size_t i;

    for (i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return true;
    return false;
}

static int
check_sid(const struct sg_codec_config *cfg, struct sg_slice sid, struct sg_err *err)
{
    if (sid.len == 0 || strlen(cfg->key_prefix) + sid.len > SG_LEGACY_KEY_MAX)
        return sg_fail(err, SG_E_INVALID, cfg->cookie_name,
                       "the session id has %zu bytes; with its prefix 1 to %d are allowed", sid.len,
                       SG_LEGACY_KEY_MAX);
    if (has_control_byte(sid))
        return sg_fail(err, SG_E_INVALID, cfg->cookie_name,
                       "the session id holds a control character");
    return 0;
}

static void
add_signature(struct sg_buf *out, const char *secret, struct sg_slice sid)
{
    struct sg_hash mac = sg_hmac_sha256(sg_str(secret), sid);

    sg_b64_add(out, sg_slice((const char *)mac.b, sizeof mac.b), false);
}

static bool
signed_by(const char *secret, struct sg_slice sid, struct sg_slice signature)
{
    struct sg_buf want = SG_BUF_INIT(SIGNATURE_CHARS);
    bool same;

    add_signature(&want, secret, sid);
    same = !want.failed && sg_equal_const_time(sg_buf_slice(&want), signature);
    sg_buf_wipe(&want);
    return same;
}

/* plain: "s:<sid>.<signature>". The sid may hold dots; the signature has none. */
static int
verify_plain(const struct sg_codec_config *cfg, struct sg_slice plain, struct sg_slice *sid,
             struct sg_err *err)
{
    struct sg_slice signature;
    size_t i;

    if (!sg_slice_starts(plain, "s:") || plain.len < 2 + 1 + 1 + SIGNATURE_CHARS ||
        plain.ptr[plain.len - SIGNATURE_CHARS - 1] != '.')
        return sg_fail(err, SG_E_INVALID, cfg->cookie_name,
                       "not a signed session id of express-session (\"s:<id>.<signature>\")");
    signature = sg_slice(plain.ptr + plain.len - SIGNATURE_CHARS, SIGNATURE_CHARS);
    *sid = sg_slice(plain.ptr + 2, plain.len - 2 - 1 - SIGNATURE_CHARS);
    if (check_sid(cfg, *sid, err) != 0)
        return -1;
    for (i = 0; cfg->secrets[i] != NULL; i++)
        if (signed_by(cfg->secrets[i], *sid, signature))
            return 0;
    return sg_fail(err, SG_E_DENIED, cfg->cookie_name,
                   "the session id is not signed with any of the configured secrets");
}

static int
express_credential_to_key(const struct sg_codec_config *cfg, struct sg_slice credential,
                          struct sg_buf *key, struct sg_err *err)
{
    struct sg_buf plain = SG_BUF_INIT(CREDENTIAL_MAX);
    struct sg_slice sid;
    int rc = -1;

    if (check_secrets(cfg, err) != 0)
        return -1;
    if (credential.len > CREDENTIAL_MAX)
        return sg_fail(err, SG_E_INVALID, cfg->cookie_name,
                       "the credential has %zu bytes; at most %d are allowed", credential.len,
                       CREDENTIAL_MAX);
    /* A raw credential holds no '%', so decoding leaves it as it is. */
    if (sg_percent_decode(&plain, credential) != 0)
        sg_fail(err, SG_E_INVALID, cfg->cookie_name, "broken percent-encoding");
    else if (verify_plain(cfg, sg_buf_slice(&plain), &sid, err) == 0) {
        size_t before = key->len;

        sg_buf_puts(key, cfg->key_prefix);
        sg_buf_add(key, sid);
        rc = 0;
        if (key->failed) {
            cut(key, before);
            rc = sg_fail(err, SG_E_LIMIT, cfg->cookie_name, "no room for the store key");
        }
    }
    sg_buf_wipe(&plain);
    return rc;
}

static int
express_key_to_credential(const struct sg_codec_config *cfg, struct sg_slice key,
                          struct sg_buf *credential, struct sg_err *err)
{
    struct sg_buf plain = SG_BUF_INIT(CREDENTIAL_MAX);
    struct sg_slice sid;
    size_t prefix = strlen(cfg->key_prefix), before = credential->len;
    int rc = 0;

    if (check_secrets(cfg, err) != 0)
        return -1;
    if (!sg_slice_starts(key, cfg->key_prefix))
        return sg_fail(err, SG_E_INVALID, cfg->cookie_name,
                       "the store key does not start with \"%s\"", cfg->key_prefix);
    sid = sg_slice(key.ptr + prefix, key.len - prefix);
    if (check_sid(cfg, sid, err) != 0)
        return -1;
    sg_buf_puts(&plain, "s:");
    sg_buf_add(&plain, sid);
    sg_buf_puts(&plain, ".");
    add_signature(&plain, cfg->secrets[0], sid);
    sg_percent_encode(credential, sg_buf_slice(&plain));
    if (plain.failed || credential->failed) {
        cut(credential, before);
        rc = sg_fail(err, SG_E_LIMIT, cfg->cookie_name, "no room for the credential");
    }
    sg_buf_wipe(&plain);
    return rc;
}

/* ---- values ---- */

/* jansson's own text quotes the input, which may be anything a session holds (P9). */
static const char *
json_reason(const json_error_t *e)
{
    switch (json_error_code(e)) {
    case json_error_premature_end_of_input:
        return "the JSON ends too early";
    case json_error_end_of_input_expected:
        return "something follows the JSON value";
    case json_error_invalid_utf8:
        return "not UTF-8";
    case json_error_duplicate_key:
        return "a member name appears twice";
    case json_error_numeric_overflow:
        return "a number is out of range";
    case json_error_stack_overflow:
        return "nested deeper than 2,048 levels";
    case json_error_invalid_syntax:
        return "not JSON";
    default:
        return "not a JSON object";
    }
}

static json_t *
parse(struct sg_slice value, struct sg_err *err)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY;
    char place[32];
    json_error_t e;
    json_t *root = NULL;

    if (value.len > SG_LEGACY_VALUE_MAX) {
        sg_fail(err, SG_E_INVALID, "value", "%zu bytes; at most %d are allowed", value.len,
                SG_LEGACY_VALUE_MAX);
        return NULL;
    }
    root = json_loadb(value.ptr != NULL ? value.ptr : "", value.len, flags, &e);
    /* JSON.stringify(1e19) has more digits than an int64 takes; JavaScript reads it as a double. */
    if (root == NULL && json_error_code(&e) == json_error_numeric_overflow)
        root = json_loadb(value.ptr, value.len, flags | JSON_DECODE_INT_AS_REAL, &e);
    if (root == NULL) {
        snprintf(place, sizeof place, "byte %d", e.position);
        sg_fail(err, SG_E_INVALID, place, "%s", json_reason(&e));
    }
    return root;
}

/* The integer that JavaScript would read; false for a fraction or one that it could not hold. */
static bool
exact_integer(const json_t *v, int64_t *out)
{
    double d;

    if (json_is_integer(v)) {
        *out = json_integer_value(v);
        return true;
    }
    d = json_real_value(v);
    if (!json_is_real(v) || d != floor(d) || fabs(d) > (double)MAX_EXACT)
        return false;
    *out = (int64_t)d;
    return true;
}

static const char *
type_name(const json_t *v)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number",  [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };

    return names[json_typeof(v)];
}

static int
read_idle(const json_t *root, int64_t *idle_ms, struct sg_err *err)
{
    const json_t *cookie = json_object_get(root, "cookie"), *v;
    double ms;

    if (!json_is_object(cookie))
        return sg_fail(err, SG_E_INVALID, "cookie", "expected an object, found %s",
                       cookie != NULL ? type_name(cookie) : "nothing");
    v = json_object_get(cookie, "originalMaxAge");
    *idle_ms = 0;
    /* false: the app set cookie.expires = false, as older guides told it to. */
    if (v == NULL || json_is_null(v) || json_is_false(v))
        return 0;
    ms = json_number_value(v);
    if (!json_is_number(v) || ms < 0 || ms > (double)MAX_EXACT)
        return sg_fail(err, SG_E_INVALID, "cookie.originalMaxAge",
                       "expected milliseconds, null or false, found %s",
                       json_is_number(v) ? "a number out of range" : type_name(v));
    *idle_ms = (int64_t)ms;
    return 0;
}

/* Cuts the first name off a dotted path. */
static struct sg_slice
next_name(const char **path)
{
    size_t n = strcspn(*path, ".");
    struct sg_slice name = sg_slice(*path, n);

    *path += n + ((*path)[n] == '.' ? 1 : 0);
    return name;
}

static int
subject_text(const char *path, const json_t *v, char subject[SG_SUBJECT_MAX + 1],
             struct sg_err *err)
{
    int64_t number;
    struct sg_slice text;

    if (exact_integer(v, &number)) {
        snprintf(subject, SG_SUBJECT_MAX + 1, "%lld", (long long)number);
        return 0;
    }
    if (json_is_object(v))
        return sg_fail(err, SG_E_INVALID, path,
                       "expected a string or an integer, found an object: let subject_path name "
                       "the member that holds the id");
    if (!json_is_string(v))
        return sg_fail(err, SG_E_INVALID, path, "expected a string or an integer, found %s",
                       json_is_real(v) ? "a fraction or a number too large" : type_name(v));
    text = sg_slice(json_string_value(v), json_string_length(v));
    if (text.len > SG_SUBJECT_MAX)
        return sg_fail(err, SG_E_INVALID, path, "%zu bytes; a subject has at most %d", text.len,
                       SG_SUBJECT_MAX);
    if (has_control_byte(text))
        return sg_fail(err, SG_E_INVALID, path, "the subject holds a control character");
    memcpy(subject, text.ptr, text.len);
    subject[text.len] = '\0';
    return 0;
}

/* passport takes an absent, null or empty user for "nobody is logged in". */
static int
read_subject(const struct sg_codec_config *cfg, const json_t *root,
             char subject[SG_SUBJECT_MAX + 1], struct sg_err *err)
{
    const char *rest = cfg->subject_path;
    const json_t *at = root;
    char place[SG_SUBJECT_MAX];

    subject[0] = '\0';
    while (*rest != '\0') {
        size_t done = (size_t)(rest - cfg->subject_path);
        struct sg_slice name = next_name(&rest);

        if (!json_is_object(at)) {
            snprintf(place, sizeof place, "%.*s", (int)done - 1, cfg->subject_path);
            return sg_fail(err, SG_E_INVALID, place, "expected an object, found %s", type_name(at));
        }
        at = json_object_getn(at, name.ptr, name.len);
        if (at == NULL || json_is_null(at))
            return 0;
    }
    return subject_text(cfg->subject_path, at, subject, err);
}

static int
check_path(const struct sg_codec_config *cfg, struct sg_err *err)
{
    const char *p = cfg->subject_path;

    if (p == NULL || *p == '\0' || *p == '.' || p[strlen(p) - 1] == '.' || strstr(p, "..") != NULL)
        return sg_fail(err, SG_E_INVALID, "subject_path",
                       "expected names parted by dots, such as \"passport.user\"");
    return 0;
}

static int
express_decode(const struct sg_codec_config *cfg, struct sg_slice value,
               struct sg_legacy_record *out, struct sg_err *err)
{
    struct sg_legacy_record record;
    json_t *root;
    int rc = -1;

    if (check_path(cfg, err) != 0 || (root = parse(value, err)) == NULL)
        return -1;
    if (!json_is_object(root))
        sg_fail(err, SG_E_INVALID, "byte 0", "expected a JSON object, found %s", type_name(root));
    else if (read_idle(root, &record.idle_ms, err) == 0 &&
             read_subject(cfg, root, record.subject, err) == 0) {
        *out = record;
        rc = 0;
    }
    json_decref(root);
    return rc;
}

/* ---- new sessions ---- */

/* "2026-11-22T14:46:59.210Z", as JavaScript's Date.toJSON. */
static int
iso_time(int64_t at_ms, char out[32], struct sg_err *err)
{
    time_t sec = (time_t)(at_ms / 1000);
    struct tm tm;
    size_t n;

    if (at_ms < 0 || gmtime_r(&sec, &tm) == NULL || tm.tm_year > 9999 - 1900)
        return sg_fail(err, SG_E_INVALID, "cookie.expires", "outside the years 1970 to 9999");
    n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03dZ", (int)(at_ms % 1000));
    return 0;
}

/* A subject of digits alone, without leading zero and up to 2^53, is written as a number: that is
 * what an app with integer user ids finds in its own sessions. Everything else is a string. */
static json_t *
subject_json(const char *subject)
{
    size_t digits = strspn(subject, "0123456789"), len = strlen(subject);

    if (digits == len && len <= 16 && (subject[0] != '0' || len == 1)) {
        long long n = strtoll(subject, NULL, 10);

        if (n <= MAX_EXACT)
            return json_integer(n);
    }
    return json_stringn(subject, len); /* NULL where it is not UTF-8 */
}

/* Puts v (taken over, may be NULL) where the dotted path says, making the objects on the way. */
static int
put_at_path(json_t *root, const char *path, json_t *v)
{
    struct sg_slice name = next_name(&path);
    json_t *next;

    while (*path != '\0') {
        next = json_object_getn(root, name.ptr, name.len);
        if (next == NULL &&
            json_object_setn_new(root, name.ptr, name.len, next = json_object()) != 0) {
            json_decref(v);
            return -1;
        }
        root = next;
        name = next_name(&path);
    }
    return json_object_setn_new(root, name.ptr, name.len, v);
}

static json_t *
new_cookie(const struct sg_codec_config *cfg, const char *expires, int64_t idle_ms)
{
    json_t *cookie = expires != NULL ? json_pack("{s:I,s:s}", "originalMaxAge", (json_int_t)idle_ms,
                                                 "expires", expires)
                                     : json_pack("{s:n,s:n}", "originalMaxAge", "expires");
    int bad = cookie == NULL;

    if (cfg->cookie_secure)
        bad |= json_object_set_new(cookie, "secure", json_true());
    bad |= json_object_set_new(cookie, "httpOnly", json_true());
    if (cfg->cookie_domain != NULL)
        bad |= json_object_set_new(cookie, "domain", json_string(cfg->cookie_domain));
    bad |= json_object_set_new(cookie, "path", json_string("/"));
    if (cfg->cookie_same_site != NULL)
        bad |= json_object_set_new(cookie, "sameSite", json_string(cfg->cookie_same_site));
    if (bad == 0)
        return cookie;
    json_decref(cookie);
    return NULL;
}

static int
add_json(const char *text, size_t len, void *out)
{
    struct sg_buf *buf = out;

    sg_buf_add(buf, sg_slice(text, len));
    return buf->failed ? -1 : 0;
}

static int
add_new_value(const struct sg_codec_config *cfg, const char *subject, int64_t now_ms,
              int64_t idle_ms, struct sg_buf *value, struct sg_err *err)
{
    char expires[32];
    json_t *root;
    int rc = -1;

    if (idle_ms != 0 && iso_time(now_ms + idle_ms, expires, err) != 0)
        return -1;
    root = json_object();
    if (json_object_set_new(root, "cookie",
                            new_cookie(cfg, idle_ms != 0 ? expires : NULL, idle_ms)) != 0)
        sg_fail(err, SG_E_INTERNAL, "session value", "no memory");
    else if (subject[0] != '\0' && put_at_path(root, cfg->subject_path, subject_json(subject)) != 0)
        sg_fail(err, SG_E_INVALID, cfg->subject_path, "the subject is not UTF-8");
    else if (json_dump_callback(root, add_json, value, JSON_COMPACT) != 0)
        sg_fail(err, SG_E_LIMIT, "session value", "no room for the value");
    else
        rc = 0;
    json_decref(root);
    return rc;
}

static int
express_create(const struct sg_codec_config *cfg, const char *subject, int64_t now_ms,
               int64_t idle_ms, struct sg_buf *key, struct sg_buf *value, struct sg_err *err)
{
    size_t key_before = key->len, value_before = value->len;
    uint8_t random[SID_RANDOM_BYTES];

    if (check_path(cfg, err) != 0)
        return -1;
    if (strlen(subject) > SG_SUBJECT_MAX || has_control_byte(sg_str(subject)))
        return sg_fail(err, SG_E_INVALID, cfg->subject_path,
                       "a subject has at most %d bytes and no control character", SG_SUBJECT_MAX);
    if (idle_ms < 0 || idle_ms > MAX_EXACT || now_ms < 0 || now_ms > MAX_EXACT)
        return sg_fail(err, SG_E_INVALID, "session value", "a time is out of range");
    if (add_new_value(cfg, subject, now_ms, idle_ms, value, err) != 0) {
        cut(value, value_before);
        return -1;
    }
    sg_random(random, sizeof random);
    sg_buf_puts(key, cfg->key_prefix);
    sg_b64url_add(key, sg_slice((const char *)random, sizeof random));
    if (!key->failed && key->len - key_before <= SG_LEGACY_KEY_MAX)
        return 0;
    cut(key, key_before);
    cut(value, value_before);
    return sg_fail(err, SG_E_LIMIT, "session key", "no room for the key");
}

const struct sg_codec sg_codec_express = {
    .name = "express-session",
    .reuses_ids = false,
    .credential_to_key = express_credential_to_key,
    .key_to_credential = express_key_to_credential,
    .decode = express_decode,
    .create = express_create,
};
