/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "legacy/legacy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>

/* Genuine bytes of express-session 1.19, connect-redis 9 and passport 0.7: tests/vectors/express.
 */
#define COOKIE                                                                                     \
    "s%3A4wu4k3hxeuwyB1h8mUjHt7Y9scB1Qf7k.Uwg4A2gX9SCA2jUYkFyn%2F54jsuXW%2Bh0DbAm6RwXHAMo"
#define RAW "s:4wu4k3hxeuwyB1h8mUjHt7Y9scB1Qf7k.Uwg4A2gX9SCA2jUYkFyn/54jsuXW+h0DbAm6RwXHAMo"
#define KEY "sess:4wu4k3hxeuwyB1h8mUjHt7Y9scB1Qf7k"

static const char *const secrets[] = {"keyboard cat", NULL};
static const struct sg_codec_config plain = {
    .secrets = secrets,
    .key_prefix = "sess:",
    .cookie_name = "connect.sid",
    .default_idle_ms = 86400000,
    .subject_path = "passport.user",
};

static const struct sg_codec *
express(void)
{
    const struct sg_codec *codec = sg_codec_find("express-session");

    assert_non_null(codec);
    return codec;
}

static int
to_key(const struct sg_codec_config *cfg, const char *credential, char out[300], struct sg_err *err)
{
    struct sg_buf key = SG_BUF_INIT(299);
    int rc = express()->credential_to_key(cfg, sg_str(credential), &key, err);

    snprintf(out, 300, "%s", key.len != 0 ? key.ptr : "");
    sg_buf_free(&key);
    return rc;
}

static void
registry_names_each_codec_once(void **state)
{
    const struct sg_codec *const *all = sg_codec_all();
    size_t i;

    (void)state;
    assert_null(sg_codec_find("express"));
    for (i = 0; all[i] != NULL; i++)
        assert_ptr_equal(sg_codec_find(all[i]->name), all[i]);
    assert_true(i >= 1);
}

static void
genuine_cookie_gives_its_store_key(void **state)
{
    struct sg_err err;
    char key[300];

    (void)state;
    assert_int_equal(to_key(&plain, COOKIE, key, &err), 0);
    assert_string_equal(key, KEY);
    assert_int_equal(to_key(&plain, RAW, key, &err), 0);
    assert_string_equal(key, KEY);
}

static void
store_key_gives_the_genuine_cookie(void **state)
{
    struct sg_buf credential = SG_BUF_INIT(1024);
    struct sg_err err;

    (void)state;
    assert_int_equal(express()->key_to_credential(&plain, sg_str(KEY), &credential, &err), 0);
    assert_string_equal(credential.ptr, COOKIE);
    sg_buf_reset(&credential);
    assert_int_equal(express()->key_to_credential(&plain, sg_str("other:x"), &credential, &err),
                     -1);
    assert_int_equal(err.code, SG_E_INVALID);
    assert_int_equal(express()->key_to_credential(&plain, sg_str("sess:"), &credential, &err), -1);
    assert_int_equal(credential.len, 0);
    sg_buf_free(&credential);
}

/* Every single changed byte of sid or signature must be refused. */
static void
changed_byte_anywhere_is_refused(void **state)
{
    char text[] = RAW, key[300];
    struct sg_err err;
    size_t i;

    (void)state;
    for (i = 0; text[i] != '\0'; i++) {
        char kept = text[i];

        text[i] = kept == 'x' ? 'y' : 'x';
        assert_int_equal(to_key(&plain, text, key, &err), -1);
        assert_true(err.code == SG_E_DENIED || err.code == SG_E_INVALID);
        assert_string_equal(key, "");
        assert_null(strstr(err.text, "4wu4k3hx"));
        text[i] = kept;
    }
}

static void
malformed_credentials_are_invalid(void **state)
{
    static const char *const bad[] = {
        "",
        "s:",
        "s:.",
        "s:abc",
        "abc",
        "s%3Aabc.def",
        "4wu4k3hxeuwyB1h8mUjHt7Y9scB1Qf7k.Uwg4A2gX9SCA2jUYkFyn/54jsuXW+h0DbAm6RwXHAMo",
        "s:.Uwg4A2gX9SCA2jUYkFyn/54jsuXW+h0DbAm6RwXHAMo",
        RAW "=",
        RAW "%",
        RAW "%4",
        RAW "%zz",
        "j:{\"a\":1}.Uwg4A2gX9SCA2jUYkFyn/54jsuXW+h0DbAm6RwXHAMo",
        "s:a%00b.Uwg4A2gX9SCA2jUYkFyn/54jsuXW+h0DbAm6RwXHAMo",
        "s:a\nb.Uwg4A2gX9SCA2jUYkFyn/54jsuXW+h0DbAm6RwXHAMo",
    };
    char key[300], huge[3000];
    struct sg_err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(to_key(&plain, bad[i], key, &err), -1);
        assert_int_equal(err.code, SG_E_INVALID);
        assert_string_equal(err.place, "connect.sid");
    }
    memset(huge, 'a', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    memcpy(huge, "s:", 2);
    assert_int_equal(to_key(&plain, huge, key, &err), -1);
    assert_int_equal(err.code, SG_E_INVALID);
}

static void
every_secret_verifies_and_the_first_signs(void **state)
{
    static const char *const rotated[] = {"new secret", "keyboard cat", NULL};
    static const char *const dropped[] = {"new secret", NULL};
    struct sg_codec_config cfg = plain;
    struct sg_buf credential = SG_BUF_INIT(1024);
    struct sg_err err;
    char key[300];

    (void)state;
    cfg.secrets = rotated;
    assert_int_equal(to_key(&cfg, COOKIE, key, &err), 0);
    assert_int_equal(express()->key_to_credential(&cfg, sg_str(KEY), &credential, &err), 0);
    assert_string_not_equal(credential.ptr, COOKIE);
    assert_int_equal(to_key(&plain, credential.ptr, key, &err), -1);
    cfg.secrets = dropped;
    assert_int_equal(to_key(&cfg, credential.ptr, key, &err), 0);
    assert_string_equal(key, KEY);
    assert_int_equal(to_key(&cfg, COOKIE, key, &err), -1);
    assert_int_equal(err.code, SG_E_DENIED);
    sg_buf_free(&credential);
}

/* An empty HMAC key would let anybody sign. */
static void
missing_or_empty_secret_verifies_nothing(void **state)
{
    static const char *const none[] = {NULL}, *const empty[] = {"keyboard cat", "", NULL};
    struct sg_codec_config cfg = plain;
    struct sg_err err;
    char key[300];

    (void)state;
    cfg.secrets = none;
    assert_int_equal(to_key(&cfg, COOKIE, key, &err), -1);
    cfg.secrets = NULL;
    assert_int_equal(to_key(&cfg, COOKIE, key, &err), -1);
    cfg.secrets = empty;
    assert_int_equal(to_key(&cfg, COOKIE, key, &err), -1);
    assert_int_equal(err.code, SG_E_INVALID);
}

static void
odd_session_ids_round_trip(void **state)
{
    static const char *const keys[] = {"sess:a.b.c", "sess:a b", "sess:50%25 off", "sess:\xc3\xa9",
                                       "sess:x"};
    struct sg_err err;
    char key[300];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct sg_buf credential = SG_BUF_INIT(1024);

        assert_int_equal(express()->key_to_credential(&plain, sg_str(keys[i]), &credential, &err),
                         0);
        assert_int_equal(to_key(&plain, credential.ptr, key, &err), 0);
        assert_string_equal(key, keys[i]);
        sg_buf_free(&credential);
    }
}

static void
longest_key_round_trips_and_one_more_byte_does_not(void **state)
{
    char text[SG_LEGACY_KEY_MAX + 2], key[300];
    struct sg_buf credential = SG_BUF_INIT(2048);
    struct sg_err err;

    (void)state;
    memset(text, '/', sizeof text);
    memcpy(text, "sess:", 5);
    text[SG_LEGACY_KEY_MAX + 1] = '\0';
    assert_int_equal(express()->key_to_credential(&plain, sg_str(text), &credential, &err), -1);
    assert_int_equal(err.code, SG_E_INVALID);
    text[SG_LEGACY_KEY_MAX] = '\0';
    assert_int_equal(express()->key_to_credential(&plain, sg_str(text), &credential, &err), 0);
    assert_int_equal(to_key(&plain, credential.ptr, key, &err), 0);
    assert_string_equal(key, text);
    sg_buf_free(&credential);
}

/* ---- values ---- */

static int
decode(const char *path, const char *json, struct sg_legacy_record *record, struct sg_err *err)
{
    struct sg_codec_config cfg = plain;

    cfg.subject_path = path;
    return express()->decode(&cfg, sg_str(json), record, err);
}

static void
genuine_value_decodes(void **state)
{
    struct sg_legacy_record record;
    struct sg_err err;
    char text[1024];
    FILE *f = fopen(VECTORS "/express/value.json", "rb");
    size_t n;

    (void)state;
    assert_non_null(f);
    n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    assert_int_equal(decode("passport.user", text, &record, &err), 0);
    assert_string_equal(record.subject, "42");
    assert_int_equal(record.idle_ms, 3600000);
}

#define C "{\"cookie\":{\"originalMaxAge\":1000},"

static void
subjects_are_read_exactly(void **state)
{
    static const struct {
        const char *path, *json, *subject;
    } t[] = {
        {"passport.user", C "\"passport\":{\"user\":42}}", "42"},
        {"passport.user", C "\"passport\":{\"user\":0}}", "0"},
        {"passport.user", C "\"passport\":{\"user\":-7}}", "-7"},
        {"passport.user", C "\"passport\":{\"user\":9007199254740993}}", "9007199254740993"},
        {"passport.user", C "\"passport\":{\"user\":9223372036854775807}}", "9223372036854775807"},
        {"passport.user", C "\"passport\":{\"user\":4.2e1}}", "42"},
        {"passport.user", C "\"passport\":{\"user\":\"042\"}}", "042"},
        {"passport.user", C "\"passport\":{\"user\":\"ann@example.org\"}}", "ann@example.org"},
        {"passport.user", C "\"passport\":{\"user\":\"\\u00e9\"}}", "\xc3\xa9"},
        {"passport.user.id", C "\"passport\":{\"user\":{\"id\":7,\"name\":\"x\"}}}", "7"},
        {"userId", C "\"userId\":\"u-1\"}", "u-1"},
        /* app data that an int64 does not take must not cost the login */
        {"passport.user", C "\"n\":10000000000000000000,\"passport\":{\"user\":42}}", "42"},
        {"passport.user", C "\"nul\":\"\\u0000\",\"passport\":{\"user\":42}}", "42"},
        /* nobody is logged in */
        {"passport.user", "{\"cookie\":{}}", ""},
        {"passport.user", C "\"passport\":{}}", ""},
        {"passport.user", C "\"passport\":null}", ""},
        {"passport.user", C "\"passport\":{\"user\":null}}", ""},
        {"passport.user", C "\"passport\":{\"user\":\"\"}}", ""},
        {"passport.user.id", C "\"passport\":{\"user\":{}}}", ""},
    };
    struct sg_legacy_record record;
    struct sg_err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof t / sizeof t[0]; i++) {
        assert_int_equal(decode(t[i].path, t[i].json, &record, &err), 0);
        assert_string_equal(record.subject, t[i].subject);
    }
}

static void
lifetimes_are_read(void **state)
{
    static const struct {
        const char *json;
        int64_t idle_ms;
    } t[] = {
        {"{\"cookie\":{\"originalMaxAge\":3600000}}", 3600000},
        {"{\"cookie\":{\"originalMaxAge\":3600000.5}}", 3600000},
        {"{\"cookie\":{\"originalMaxAge\":null,\"expires\":null}}", 0},
        {"{\"cookie\":{\"originalMaxAge\":false,\"expires\":false}}", 0},
        {"{\"cookie\":{\"httpOnly\":true}}", 0},
    };
    struct sg_legacy_record record;
    struct sg_err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof t / sizeof t[0]; i++) {
        assert_int_equal(decode("passport.user", t[i].json, &record, &err), 0);
        assert_int_equal(record.idle_ms, t[i].idle_ms);
    }
}

static void
undecodable_values_name_the_place(void **state)
{
    static const struct {
        const char *path, *json, *place;
    } t[] = {
        {"passport.user", "", "byte 0"},
        {"passport.user", "{\"cookie\":{}", "byte 12"},
        {"passport.user", "{\"cookie\":{}} x", "byte 15"},
        {"passport.user", "{\"cookie\":{},\"cookie\":{}}", "byte 21"},
        {"passport.user", "{\"cookie\":{},\"a\":\"\xff\"}", "byte 18"},
        {"passport.user", "\x80\x04\x95", "byte 0"},
        {"passport.user", "[]", "byte 0"},
        {"passport.user", "42", "byte 0"},
        {"passport.user", "null", "byte 0"},
        {"passport.user", "{}", "cookie"},
        {"passport.user", "{\"cookie\":[]}", "cookie"},
        {"passport.user", "{\"cookie\":{\"originalMaxAge\":\"1\"}}", "cookie.originalMaxAge"},
        {"passport.user", "{\"cookie\":{\"originalMaxAge\":true}}", "cookie.originalMaxAge"},
        {"passport.user", "{\"cookie\":{\"originalMaxAge\":-1}}", "cookie.originalMaxAge"},
        {"passport.user", "{\"cookie\":{\"originalMaxAge\":1e300}}", "cookie.originalMaxAge"},
        {"passport.user", C "\"passport\":7}", "passport"},
        {"passport.user", C "\"passport\":{\"user\":true}}", "passport.user"},
        {"passport.user", C "\"passport\":{\"user\":false}}", "passport.user"},
        {"passport.user", C "\"passport\":{\"user\":1.5}}", "passport.user"},
        {"passport.user", C "\"passport\":{\"user\":1e300}}", "passport.user"},
        {"passport.user", C "\"passport\":{\"user\":10000000000000000000}}", "passport.user"},
        {"passport.user", C "\"passport\":{\"user\":[1]}}", "passport.user"},
        {"passport.user", C "\"passport\":{\"user\":{\"id\":1}}}", "passport.user"},
        {"passport.user", C "\"passport\":{\"user\":\"a\\u0000b\"}}", "passport.user"},
        {"passport.user", C "\"passport\":{\"user\":\"a\\nb\"}}", "passport.user"},
        {"passport.user.id", C "\"passport\":{\"user\":42}}", "passport.user"},
        {"", "{\"cookie\":{}}", "subject_path"},
        {"a..b", "{\"cookie\":{}}", "subject_path"},
    };
    struct sg_legacy_record record = {.subject = "kept", .idle_ms = 5};
    struct sg_err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof t / sizeof t[0]; i++) {
        assert_int_equal(decode(t[i].path, t[i].json, &record, &err), -1);
        assert_int_equal(err.code, SG_E_INVALID);
        assert_string_equal(err.place, t[i].place);
        assert_string_equal(record.subject, "kept");
        assert_int_equal(record.idle_ms, 5);
    }
}

static void
error_text_quotes_nothing_of_the_value(void **state)
{
    struct sg_legacy_record record;
    struct sg_err err;

    (void)state;
    assert_int_equal(decode("passport.user", "{\"token\": hunter2}", &record, &err), -1);
    assert_null(strstr(err.text, "hunter2"));
    assert_null(strstr(err.place, "hunter2"));
}

static void
size_and_depth_are_bounded(void **state)
{
    static char text[SG_LEGACY_VALUE_MAX + 2];
    struct sg_legacy_record record;
    struct sg_err err;

    (void)state;
    memset(text, '[', sizeof text - 1);
    memcpy(text, "{\"cookie\":", 10);
    assert_int_equal(decode("passport.user", text, &record, &err), -1);
    assert_string_equal(err.place, "value");
    text[SG_LEGACY_VALUE_MAX] = '\0';
    assert_int_equal(decode("passport.user", text, &record, &err), -1);
    assert_non_null(strstr(err.text, "2,048 levels"));
    memset(text, ' ', SG_LEGACY_VALUE_MAX);
    memcpy(text, "{\"cookie\":{}}", 13);
    assert_int_equal(decode("passport.user", text, &record, &err), 0);
    memset(text, 'x', SG_LEGACY_VALUE_MAX);
    snprintf(text, sizeof text, C "\"passport\":{\"user\":\"%0201d\"}}", 1);
    assert_int_equal(decode("passport.user", text, &record, &err), -1);
    snprintf(text, sizeof text, C "\"passport\":{\"user\":\"%0200d\"}}", 1);
    assert_int_equal(decode("passport.user", text, &record, &err), 0);
    assert_int_equal(strlen(record.subject), 200);
}

/* ---- new sessions ---- */

static void
created_value_is_what_express_writes(void **state)
{
    static const struct {
        const char *path, *subject;
        int64_t idle_ms;
        const char *value;
    } t[] = {
        {"passport.user", "42", 3600000,
         "{\"cookie\":{\"originalMaxAge\":3600000,\"expires\":\"2026-11-22T14:46:59.210Z\","
         "\"httpOnly\":true,\"path\":\"/\"},\"passport\":{\"user\":42}}"},
        {"passport.user.id", "u-42", 3600000,
         "{\"cookie\":{\"originalMaxAge\":3600000,\"expires\":\"2026-11-22T14:46:59.210Z\","
         "\"httpOnly\":true,\"path\":\"/\"},\"passport\":{\"user\":{\"id\":\"u-42\"}}}"},
        {"userId", "", 0,
         "{\"cookie\":{\"originalMaxAge\":null,\"expires\":null,\"httpOnly\":true,\"path\":\"/"
         "\"}}"},
    };
    struct sg_err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct sg_buf key = SG_BUF_INIT(300), value = SG_BUF_INIT(4096);
        struct sg_codec_config cfg = plain;

        cfg.subject_path = t[i].path;
        assert_int_equal(express()->create(&cfg, t[i].subject, INT64_C(1795358819210) - 3600000,
                                           t[i].idle_ms, &key, &value, &err),
                         0);
        assert_string_equal(value.ptr, t[i].value);
        assert_int_equal(key.len, 5 + 32);
        assert_int_equal(strncmp(key.ptr, "sess:", 5), 0);
        assert_int_equal(strspn(key.ptr + 5, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                             "0123456789-_"),
                         32);
        sg_buf_free(&key);
        sg_buf_free(&value);
    }
}

static void
cookie_attributes_are_written(void **state)
{
    struct sg_buf key = SG_BUF_INIT(300), value = SG_BUF_INIT(4096);
    struct sg_codec_config cfg = plain;
    struct sg_err err;

    (void)state;
    cfg.cookie_secure = true;
    cfg.cookie_same_site = "lax";
    cfg.cookie_domain = "example.org";
    assert_int_equal(express()->create(&cfg, "7", 0, 1000, &key, &value, &err), 0);
    assert_string_equal(
        value.ptr, "{\"cookie\":{\"originalMaxAge\":1000,\"expires\":\"1970-01-01T00:00:01.000Z\","
                   "\"secure\":true,\"httpOnly\":true,\"domain\":\"example.org\",\"path\":\"/\","
                   "\"sameSite\":\"lax\"},\"passport\":{\"user\":7}}");
    sg_buf_free(&key);
    sg_buf_free(&value);
}

static void
subject_type_follows_the_rule(void **state)
{
    static const struct {
        const char *subject, *json;
    } t[] = {
        {"0", ":0}}"},
        {"7", ":7}}"},
        {"007", ":\"007\"}}"},
        {"-7", ":\"-7\"}}"},
        {"9007199254740992", ":9007199254740992}}"},
        {"9007199254740993", ":\"9007199254740993\"}}"},
        {"99999999999999999999", ":\"99999999999999999999\"}}"},
        {"a\"b", ":\"a\\\"b\"}}"},
    };
    struct sg_legacy_record record;
    struct sg_err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct sg_buf key = SG_BUF_INIT(300), value = SG_BUF_INIT(4096);
        size_t n = strlen(t[i].json);

        assert_int_equal(express()->create(&plain, t[i].subject, 0, 1000, &key, &value, &err), 0);
        assert_true(value.len > n);
        assert_string_equal(value.ptr + value.len - n, t[i].json);
        assert_int_equal(express()->decode(&plain, sg_buf_slice(&value), &record, &err), 0);
        assert_string_equal(record.subject, t[i].subject);
        sg_buf_free(&key);
        sg_buf_free(&value);
    }
}

static void
create_never_repeats_a_key(void **state)
{
    struct sg_buf a = SG_BUF_INIT(300), b = SG_BUF_INIT(300), value = SG_BUF_INIT(4096);
    struct sg_err err;

    (void)state;
    assert_int_equal(express()->create(&plain, "7", 0, 1000, &a, &value, &err), 0);
    assert_int_equal(express()->create(&plain, "7", 0, 1000, &b, &value, &err), 0);
    assert_string_not_equal(a.ptr, b.ptr);
    sg_buf_free(&a);
    sg_buf_free(&b);
    sg_buf_free(&value);
}

static void
create_refuses_what_express_could_not_read(void **state)
{
    static const struct {
        const char *subject;
        int64_t now_ms, idle_ms;
    } t[] = {
        {"a\nb", 0, 1000}, {"\xff", 0, 1000},          {"a", 0, -1},
        {"a", -1, 1000},   {"a", 0, INT64_C(1) << 60}, {"a", INT64_C(1) << 50, 1000},
    };
    struct sg_err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct sg_buf key = SG_BUF_INIT(300), value = SG_BUF_INIT(4096);

        assert_int_equal(
            express()->create(&plain, t[i].subject, t[i].now_ms, t[i].idle_ms, &key, &value, &err),
            -1);
        assert_int_equal(err.code, SG_E_INVALID);
        assert_int_equal(key.len, 0);
        assert_int_equal(value.len, 0);
        sg_buf_free(&key);
        sg_buf_free(&value);
    }
}

static void
full_buffers_leave_outputs_untouched(void **state)
{
    struct sg_buf key = SG_BUF_INIT(10), value = SG_BUF_INIT(20), room = SG_BUF_INIT(4096);
    struct sg_err err;

    (void)state;
    sg_buf_puts(&key, "k");
    sg_buf_puts(&value, "v");
    assert_int_equal(express()->create(&plain, "7", 0, 1000, &key, &room, &err), -1);
    assert_int_equal(err.code, SG_E_LIMIT);
    assert_int_equal(room.len, 0);
    assert_string_equal(key.ptr, "k");
    sg_buf_reset(&key);
    assert_int_equal(express()->create(&plain, "7", 0, 1000, &key, &value, &err), -1);
    assert_string_equal(value.ptr, "v");
    assert_int_equal(express()->credential_to_key(&plain, sg_str(COOKIE), &key, &err), -1);
    assert_int_equal(err.code, SG_E_LIMIT);
    assert_int_equal(key.len, 0);
    sg_buf_free(&key);
    sg_buf_free(&value);
    sg_buf_free(&room);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registry_names_each_codec_once),
        cmocka_unit_test(genuine_cookie_gives_its_store_key),
        cmocka_unit_test(store_key_gives_the_genuine_cookie),
        cmocka_unit_test(changed_byte_anywhere_is_refused),
        cmocka_unit_test(malformed_credentials_are_invalid),
        cmocka_unit_test(every_secret_verifies_and_the_first_signs),
        cmocka_unit_test(missing_or_empty_secret_verifies_nothing),
        cmocka_unit_test(odd_session_ids_round_trip),
        cmocka_unit_test(longest_key_round_trips_and_one_more_byte_does_not),
        cmocka_unit_test(genuine_value_decodes),
        cmocka_unit_test(subjects_are_read_exactly),
        cmocka_unit_test(lifetimes_are_read),
        cmocka_unit_test(undecodable_values_name_the_place),
        cmocka_unit_test(error_text_quotes_nothing_of_the_value),
        cmocka_unit_test(size_and_depth_are_bounded),
        cmocka_unit_test(created_value_is_what_express_writes),
        cmocka_unit_test(cookie_attributes_are_written),
        cmocka_unit_test(subject_type_follows_the_rule),
        cmocka_unit_test(create_never_repeats_a_key),
        cmocka_unit_test(create_refuses_what_express_could_not_read),
        cmocka_unit_test(full_buffers_leave_outputs_untouched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
