/* SPDX-License-Identifier: MIT */
#include "model/framework.h"

#include "model/names.h"

#include <ctype.h>
#include <strings.h>

static const struct sg_framework unknown = {"unknown", "unknown", "unknown"};

static bool
has_text(struct sg_slice s, const char *text)
{
    return s.len > 0 && memmem(s.ptr, s.len, text, strlen(text)) != NULL;
}

static bool
has(const struct sg_doc *doc, const char *name)
{
    return doc != NULL && doc->type == SG_DOC_OBJECT && sg_doc_get(doc, sg_str(name)) != NULL;
}

static bool
begins(struct sg_slice s, const char *bytes, size_t n)
{
    return s.len >= n && memcmp(s.ptr, bytes, n) == 0;
}

static bool
is_java(struct sg_slice s)
{
    return begins(s, "\xac\xed\0\5", 4);
}

/* ---- one function a framework ---- */

static bool
is_express(const struct sg_session_look *l)
{
    const struct sg_doc *cookie =
        l->redis_type != NULL && l->doc != NULL && l->doc->type == SG_DOC_OBJECT
            ? sg_doc_get(l->doc, sg_str("cookie"))
            : NULL;

    return has(cookie, "originalMaxAge") || has(cookie, "path");
}

static bool
is_connect_mongo(const struct sg_session_look *l)
{
    const struct sg_doc *session =
        has(l->doc, "session") && has(l->doc, "expires") && has(l->doc, "_id")
            ? sg_doc_get(l->doc, sg_str("session"))
            : NULL;

    return session != NULL && (has(session, "cookie") || session->type == SG_DOC_STRING);
}

static bool
is_connect_dynamodb(const struct sg_session_look *l)
{
    return has(l->doc, "sess") && has(l->doc, "expires") && has(l->doc, "id");
}

static bool
is_authjs(const struct sg_session_look *l)
{
    return (has(l->doc, "sessionToken") && has(l->doc, "userId") && has(l->doc, "expires")) ||
           (has(l->doc, "GSI1PK") && has(l->doc, "pk") && has(l->doc, "sk"));
}

static bool
is_spring(const struct sg_session_look *l)
{
    return (has(l->doc, "creationTime") && has(l->doc, "lastAccessedTime") &&
            has(l->doc, "maxInactiveInterval")) ||
           sg_slice_starts(l->key, "spring:session:");
}

static bool
is_spring_oauth(const struct sg_session_look *l)
{
    return is_java(l->raw) &&
           (has_text(l->raw, "OAuth2AccessToken") || has_text(l->raw, "OAuth2Authentication"));
}

static bool
is_shiro(const struct sg_session_look *l)
{
    return is_java(l->raw) && has_text(l->raw, "org.apache.shiro.session.mgt.SimpleSession");
}

static bool
is_satoken(const struct sg_session_look *l)
{
    return has_text(l->key, ":login:token:") || has_text(l->key, ":login:session:") ||
           has_text(l->key, ":login:token-session:") || has_text(l->key, ":login:last-active:");
}

static bool
is_django(const struct sg_session_look *l)
{
    return has_text(l->key, "django.contrib.sessions.") || has(l->doc, "_auth_user_id") ||
           has_text(l->raw, "_auth_user_backend");
}

static bool
is_aspnet(const struct sg_session_look *l)
{
    return has(l->doc, "absexp") && has(l->doc, "sldexp");
}

/* PHP's serialize() of a string that itself is serialized. */
static bool
is_laravel(const struct sg_session_look *l)
{
    size_t i = 2;

    if (!begins(l->raw, "s:", 2))
        return false;
    while (i < l->raw.len && isdigit((unsigned char)l->raw.ptr[i]))
        i++;
    return l->raw.len > i + 4 && memcmp(l->raw.ptr + i, ":\"", 2) == 0 &&
           (has_text(l->raw, "_token") || has_text(l->raw, "_flash") ||
            begins(sg_slice(l->raw.ptr + i + 2, l->raw.len - i - 2), "ey", 2));
}

/* name|i:42; or name|s:5:"…" */
static bool
is_php_session(struct sg_slice s)
{
    const char *bar = s.len > 0 ? memchr(s.ptr, '|', s.len < 256 ? s.len : 256) : NULL;
    const char *p;

    if (bar == NULL || bar == s.ptr || s.ptr + s.len - bar < 4)
        return false;
    for (p = s.ptr; p < bar; p++)
        if (!isalnum((unsigned char)*p) && strchr("_-.", *p) == NULL)
            return false;
    return strchr("isabdNO", bar[1]) != NULL && (bar[2] == ':' || bar[2] == ';');
}

static bool
is_php(const struct sg_session_look *l)
{
    return sg_slice_starts(l->key, "PHPREDIS_SESSION:") || is_php_session(l->raw) ||
           (begins(l->raw, "a:", 2) && has_text(l->raw, ":{")) || begins(l->raw, "\0\0\0\2", 4);
}

static bool
is_rails(const struct sg_session_look *l)
{
    return begins(l->raw, "\4\10", 2) || has_text(l->key, ":2::");
}

static bool
is_flask(const struct sg_session_look *l)
{
    return has_text(l->raw, "_permanent") || has(l->doc, "_permanent") ||
           (sg_slice_starts(l->key, "session:") &&
            (has_text(l->raw, "_user_id") || has(l->doc, "_user_id")));
}

static const struct {
    bool (*fits)(const struct sg_session_look *l);
    struct sg_framework framework;
} rules[] = {
    {is_express,
     {"express-session (connect-redis)", "cookie connect.sid: id signed with HMAC-SHA-256",
      "sliding: each request extends the key, the record's own `expires` goes stale"}},
    {is_connect_mongo,
     {"express-session (connect-mongo)", "cookie connect.sid: id signed with HMAC-SHA-256",
      "sliding, at most once per touchAfter; a TTL index on expires"}},
    {is_connect_dynamodb,
     {"express-session (connect-dynamodb)", "cookie connect.sid: id signed with HMAC-SHA-256",
      "sliding: each request; expires in epoch seconds"}},
    {is_authjs,
     {"Auth.js (database sessions)", "cookie authjs.session-token: plain, unsigned",
      "sliding, at most once per updateAge (24 h)"}},
    {is_spring,
     {"Spring Session", "cookie SESSION: base64 of a UUID, unsigned",
      "sliding: lastAccessedTime + maxInactiveInterval"}},
    {is_spring_oauth,
     {"Spring Security OAuth2 (RedisTokenStore)", "bearer token: plain, unsigned",
      "fixed: expiresIn from issue"}},
    {is_shiro,
     {"Apache Shiro (shiro-redis)", "cookie JSESSIONID: plain, unsigned", "sliding: each request"}},
    {is_satoken,
     {"Sa-Token", "cookie, header or parameter satoken: plain, unsigned",
      "fixed (30 d), beside an active-timeout that slides"}},
    {is_django,
     {"Django (cache sessions)", "cookie sessionid: plain, unsigned",
      "fixed from the last change, unless SESSION_SAVE_EVERY_REQUEST"}},
    {is_aspnet,
     {"ASP.NET Core session", "cookie .AspNetCore.Session: encrypted by DataProtection",
      "sliding: each request"}},
    {is_laravel,
     {"Laravel", "cookie: encrypted with APP_KEY (AES-256-CBC)", "sliding: each request"}},
    {is_php,
     {"PHP (phpredis session handler)", "cookie PHPSESSID: plain, unsigned",
      "sliding: each request"}},
    {is_rails,
     {"Rails or Rack (redis-rack)", "cookie: plain; the key is its SHA-256",
      "sliding where expire_after is set, else it does not expire"}},
    {is_flask,
     {"Flask-Session", "cookie session: plain, or signed where a signer is set",
      "sliding: rewritten on each request"}},
};

const struct sg_framework *
sg_framework_of(const struct sg_session_look *look)
{
    size_t i;

    for (i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].fits(look))
            return &rules[i].framework;
    return &unknown;
}

const char *
sg_session_encoding(const struct sg_session_look *l)
{
    struct sg_slice s = l->raw;

    if (l->redis_type != NULL && strcmp(l->redis_type, "string") != 0)
        return "a Redis structure";
    if (s.ptr == NULL)
        return l->doc != NULL ? "a document" : "unknown";
    if (is_java(s))
        return "Java serialization";
    if (s.len > 1 && s.ptr[0] == '\x80' && s.ptr[1] >= 2 && s.ptr[1] <= 5)
        return "Python pickle";
    if (begins(s, "\4\10", 2))
        return "Ruby Marshal";
    if (begins(s, "\0\0\0\2", 4))
        return "igbinary";
    if (s.len > 1 && s.ptr[0] == '\x78' &&
        (s.ptr[1] == '\x9c' || s.ptr[1] == '\xda' || s.ptr[1] == 1))
        return "zlib, compressed";
    if (is_php_session(s) || begins(s, "a:", 2) || begins(s, "s:", 2))
        return "PHP serialize";
    if (l->doc != NULL && (l->doc->type == SG_DOC_OBJECT || l->doc->type == SG_DOC_ARRAY))
        return "JSON";
    if (s.len > 0 && ((uint8_t)s.ptr[0] & 0xf0) == 0x80)
        return "MessagePack";
    return "unknown";
}

/* ---- members ---- */

static const struct {
    const char *kind;
    const char *home;
    const char *words[20]; /* of the name, in snake case */
} members[] = {
    {"csrf",
     "made anew with the page; a signed double-submit cookie needs no store",
     {"csrf", "xsrf", "csrf_secret", "csrf_token", "authenticity", "nonce"}},
    {"flash", "a short-lived cookie, or lost", {"flash", "message", "messages", "notice", "alert"}},
    {"cart",
     "a table of its own, by subject or by an anonymous id",
     {"cart", "basket", "order", "checkout", "wishlist", "items"}},
    {"way back",
     "a short-lived cookie",
     {"return", "returnto", "redirect", "referer", "next", "previous", "back", "oauth", "state",
      "pkce", "verifier", "saml"}},
    {"preference",
     "the user's row, or a cookie",
     {"locale", "lang", "language", "theme", "timezone", "tz", "currency", "view", "views", "sort",
      "filter"}},
    {"identity",
     "claims of the JWT, from the identity source",
     {"passport", "user", "userid", "username", "uid", "role", "roles", "permission", "permissions",
      "scope", "auth", "login", "account", "email", "groups", "principal", "sub", "warden",
      "password"}},
    {"cookie", "an attribute of the session, not a value", {"cookie", "permanent", "fresh"}},
};

const char *
sg_session_member_kind(struct sg_slice name)
{
    char snake[64], *word, *more;
    size_t i;
    int k;

    sg_snake(name, snake);
    for (i = 0; i < sizeof members / sizeof *members; i++) {
        char words[64];

        memcpy(words, snake, sizeof words);
        for (word = strtok_r(words, "_", &more); word != NULL; word = strtok_r(NULL, "_", &more))
            for (k = 0; members[i].words[k] != NULL; k++)
                if (strcmp(word, members[i].words[k]) == 0)
                    return members[i].kind;
    }
    return "other";
}

const char *
sg_session_member_home(const char *kind)
{
    size_t i;

    for (i = 0; i < sizeof members / sizeof *members; i++)
        if (strcmp(members[i].kind, kind) == 0)
            return members[i].home;
    return "look at it: a table of its own, a cookie, or nothing";
}
