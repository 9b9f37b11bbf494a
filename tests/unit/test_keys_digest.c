/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "keys/digest.h"
#include "keys/keystate.h"
#include "keys/refresh.h"
#include "keys/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>

#define HEX32 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* ---- vectors: the same files as tests/vectors/digest.mjs recomputes ---- */

static struct sg_slice
text_of(json_t *v, const char *name)
{
    json_t *s = json_object_get(v, name);

    if (!json_is_string(s))
        fail_msg("vector without %s", name);
    return sg_slice(json_string_value(s), json_string_length(s));
}

static struct sg_hash
hash_of(json_t *v, const char *name)
{
    struct sg_hash h;

    assert_int_equal(sg_unhex(text_of(v, name), h.b, sizeof h.b), 0);
    return h;
}

/* The digest of a vector by the C functions, as text. */
static void
compute(json_t *v, char out[129])
{
    const char *fn = text_of(v, "fn").ptr;
    struct sg_hash h = {{0}}, key = {{0}}, digest = {{0}};
    size_t n = sizeof h.b, i;

    if (json_object_get(v, "realm_key") != NULL)
        key = hash_of(v, "realm_key");
    if (json_object_get(v, "digest") != NULL)
        digest = hash_of(v, "digest");
    if (strcmp(fn, "realm_key") == 0) {
        struct sg_keyring *ring;
        char text[256];

        snprintf(text, sizeof text, "root:%s,k1:" HEX32, text_of(v, "root").ptr);
        setenv("SEGUE_TEST_RING", text, 1);
        assert_int_equal(sg_keyring_from_env("SEGUE_TEST_RING", &ring, NULL), 0);
        h = sg_realm_key(ring, text_of(v, "realm").ptr, text_of(v, "purpose").ptr);
        sg_keyring_free(ring);
    } else if (strcmp(fn, "store_key_digest") == 0) {
        h = sg_store_key_digest(&key, text_of(v, "store_key"));
    } else if (strcmp(fn, "refresh_digest") == 0) {
        h = sg_refresh_digest(&key, text_of(v, "token"));
    } else if (strcmp(fn, "login_digest") == 0) {
        h = sg_login_digest(&key, text_of(v, "login"));
    } else if (strcmp(fn, "session_id") == 0) {
        struct sg_sid sid =
            sg_session_id(&key, &digest, text_of(v, "subject"),
                          (uint64_t)json_integer_value(json_object_get(v, "generation")));

        n = sizeof sid.b;
        memcpy(h.b, sid.b, n);
    } else if (strcmp(fn, "hash_fields") == 0 || strcmp(fn, "hmac_fields") == 0) {
        json_t *list = json_object_get(v, "fields");
        struct sg_slice fields[8], key_hex;
        uint8_t raw[64];

        assert_in_range(json_array_size(list), 0, 8);
        for (i = 0; i < json_array_size(list); i++)
            fields[i] = sg_slice(json_string_value(json_array_get(list, i)),
                                 json_string_length(json_array_get(list, i)));
        if (fn[1] == 'a') {
            h = sg_hash_fields(text_of(v, "domain").ptr, fields, (int)i);
        } else {
            key_hex = text_of(v, "key");
            assert_int_equal(sg_unhex(key_hex, raw, key_hex.len / 2), 0);
            h = sg_hmac_fields(sg_slice((char *)raw, key_hex.len / 2), text_of(v, "domain").ptr,
                               fields, (int)i);
        }
    } else if (strcmp(fn, "legacy_binding") == 0) {
        snprintf(out, 129, "%s", sg_legacy_binding(&key, &digest).text);
        return;
    } else {
        fail_msg("no such function: %s", fn);
    }
    sg_hex(h.b, n, out);
}

static void
replay(const char *name, size_t least)
{
    char path[512], got[129];
    struct sg_refresh token;
    json_t *doc, *v;
    size_t i;

    snprintf(path, sizeof path, "%s/%s", getenv("SEGUE_VECTORS"), name);
    doc = json_load_file(path, 0, NULL);
    assert_true(json_array_size(doc) >= least);
    json_array_foreach(doc, i, v)
    {
        const char *fn = text_of(v, "fn").ptr;

        if (strcmp(fn, "bucket") == 0) {
            assert_int_equal(sg_bucket(text_of(v, "realm"), text_of(v, "key")),
                             json_integer_value(json_object_get(v, "out")));
        } else if (strcmp(fn, "refresh_text") == 0) {
            assert_int_equal(sg_refresh_parse(text_of(v, "out"), &token, NULL), 0);
            assert_int_equal(token.bucket, json_integer_value(json_object_get(v, "bucket")));
            assert_string_equal(token.text, text_of(v, "out").ptr);
        } else {
            compute(v, got);
            assert_string_equal(got, text_of(v, "out").ptr);
        }
    }
    json_decref(doc);
}

static void
digests_match_the_vectors(void **state)
{
    (void)state;
    replay("hash.json", 6);
    replay("digest.json", 16);
}

static void
buckets_spread_evenly(void **state)
{
    static unsigned count[SG_BUCKETS];
    unsigned most = 0;
    char key[32];
    int i;

    (void)state;
    for (i = 0; i < 100 * SG_BUCKETS; i++) {
        unsigned b = sg_bucket(sg_str("shop"), sg_slice(key, (size_t)sprintf(key, "user-%d", i)));

        assert_in_range(b, 0, SG_BUCKETS - 1);
        count[b]++;
    }
    for (i = 0; i < SG_BUCKETS; i++) {
        assert_true(count[i] > 50); /* five deviations below the mean of 100 */
        most = count[i] > most ? count[i] : most;
    }
    assert_true(most < 160);
}

/* ---- refresh tokens ---- */

static void
refresh_tokens_carry_their_bucket(void **state)
{
    static const unsigned buckets[] = {0, 1, 255, 256, 4095};
    struct sg_refresh a, b, parsed;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof buckets / sizeof buckets[0]; i++) {
        sg_refresh_generate(buckets[i], &a);
        sg_refresh_generate(buckets[i], &b);
        assert_string_not_equal(a.text, b.text);
        assert_int_equal(strlen(a.text), SG_REFRESH_CHARS);
        assert_int_equal(sg_refresh_parse(sg_str(a.text), &parsed, NULL), 0);
        assert_int_equal(parsed.bucket, buckets[i]);
        assert_string_equal(parsed.text, a.text);
    }
}

static void
mistyped_refresh_tokens_are_refused_without_being_shown(void **state)
{
    struct sg_refresh token, parsed = {.bucket = 77};
    struct sg_err err;
    char text[80];
    size_t i;

    (void)state;
    sg_refresh_generate(9, &token);
    for (i = 0; i < SG_REFRESH_CHARS; i++) {
        strcpy(text, token.text);
        text[i] = text[i] == 'A' ? 'B' : 'A';
        assert_int_equal(sg_refresh_parse(sg_str(text), &parsed, &err), -1);
        assert_int_equal(err.code, SG_E_INVALID);
        assert_null(strstr(err.text, token.text + 20));
        assert_int_equal(sg_refresh_parse(sg_slice(token.text, i), &parsed, &err), -1);
    }
    snprintf(text, sizeof text, "%sA", token.text);
    assert_int_equal(sg_refresh_parse(sg_str(text), &parsed, &err), -1);
    assert_int_equal(sg_refresh_parse(sg_slice(NULL, 0), &parsed, &err), -1);
    assert_int_equal(parsed.bucket, 77);
}

static void
refresh_versions_and_buckets_out_of_range_are_refused(void **state)
{
    static const struct {
        uint8_t start[3];
        const char *part;
    } rows[] = {{{2, 0, 0}, "version"}, {{1, 16, 0}, "bucket"}};
    struct sg_refresh parsed;
    struct sg_slice field;
    struct sg_hash h;
    uint8_t bytes[39];
    struct sg_err err;
    char text[60] = "sgr_";
    size_t i;

    (void)state;
    for (i = 0; i < 2; i++) {
        memset(bytes, 7, sizeof bytes);
        memcpy(bytes, rows[i].start, 3);
        field = sg_slice((char *)bytes, 35);
        h = sg_hash_fields("segue.refresh_checksum", &field, 1);
        memcpy(bytes + 35, h.b, 4);
        sg_b64url_text(bytes, sizeof bytes, text + 4);
        assert_int_equal(sg_refresh_parse(sg_str(text), &parsed, &err), -1);
        assert_non_null(strstr(err.text, rows[i].part));
    }
}

static void
only_the_parent_opens_its_successor(void **state)
{
    struct sg_refresh parent, successor, other, out;
    struct sg_buf sealed = SG_BUF_INIT(SG_SUCCESSOR_BYTES);
    struct sg_err err;
    size_t i;

    (void)state;
    sg_refresh_generate(5, &parent);
    sg_refresh_generate(5, &successor);
    sg_refresh_generate(5, &other);
    assert_int_equal(sg_refresh_seal_successor(&parent, &successor, &sealed, &err), 0);
    assert_int_equal(sealed.len, SG_SUCCESSOR_BYTES);
    assert_int_equal(sg_refresh_open_successor(&parent, sg_buf_slice(&sealed), &out, &err), 0);
    assert_string_equal(out.text, successor.text);
    assert_int_equal(sg_refresh_open_successor(&other, sg_buf_slice(&sealed), &out, &err), -1);
    assert_int_equal(err.code, SG_E_DENIED);
    for (i = 0; i < sealed.len; i++) {
        sealed.ptr[i] ^= 0x40;
        assert_int_equal(sg_refresh_open_successor(&parent, sg_buf_slice(&sealed), &out, &err), -1);
        sealed.ptr[i] ^= 0x40;
        assert_int_equal(sg_refresh_open_successor(&parent, sg_slice(sealed.ptr, i), &out, &err),
                         -1);
    }
    assert_int_equal(sg_refresh_seal_successor(&parent, &successor, &sealed, &err), -1);
    assert_int_equal(err.code, SG_E_LIMIT);
    assert_int_equal(sealed.len, SG_SUCCESSOR_BYTES);
    sg_buf_free(&sealed);
}

/* ---- key states ---- */

static void
key_state_names_go_both_ways(void **state)
{
    enum sg_key_state s, out = (enum sg_key_state)9;
    struct sg_err err;
    int signers = 0, verifiers = 0;

    (void)state;
    for (s = SG_KEY_PENDING; s <= SG_KEY_RETIRED; s++) {
        assert_int_equal(sg_key_state_parse(sg_key_state_name(s), &out, &err), 0);
        assert_int_equal(out, s);
        signers += sg_key_state_signs(s);
        verifiers += sg_key_state_verifies(s);
    }
    assert_int_equal(signers, 1);
    assert_int_equal(verifiers, 3);
    assert_false(sg_key_state_verifies(SG_KEY_RETIRED));
    assert_int_equal(sg_key_state_parse("Active", &out, &err), -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_match_the_vectors),
        cmocka_unit_test(buckets_spread_evenly),
        cmocka_unit_test(refresh_tokens_carry_their_bucket),
        cmocka_unit_test(mistyped_refresh_tokens_are_refused_without_being_shown),
        cmocka_unit_test(refresh_versions_and_buckets_out_of_range_are_refused),
        cmocka_unit_test(only_the_parent_opens_its_successor),
        cmocka_unit_test(key_state_names_go_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
