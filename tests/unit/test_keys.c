/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "keys/seal.h"
#include "keys/signing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX32 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define B64_32 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define OTHER32 "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* ---- keyring ---- */

static char dir[] = "/tmp/segue-keys-XXXXXX";

static int
make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int
remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

static const char *
write_ring(const char *text, mode_t mode)
{
    static char path[64];
    FILE *f;

    snprintf(path, sizeof path, "%s/ring", dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
    return path;
}

static struct sg_keyring *
ring_of(const char *text)
{
    struct sg_keyring *ring = NULL;
    struct sg_err err;
    const char *path = write_ring(text, 0600);

    if (sg_keyring_load(path, &ring, &err) != 0)
        fail_msg("%s: %s", err.place, err.text);
    unlink(path);
    return ring;
}

static void
keyring_reads_hex_and_base64url(void **state)
{
    struct sg_keyring *ring = ring_of("# ours\n\nroot:" OTHER32 "\r\n  k2:" B64_32 "\nk1 : " HEX32);
    struct sg_buf sealed = SG_BUF_INIT(200), plain = SG_BUF_INIT(200);
    struct sg_keyring *old = ring_of("root:" HEX32 "\nk2:" HEX32 "\n");

    (void)state;
    assert_string_equal(sg_keyring_sealing_id(ring), "k2");
    assert_true(sg_keyring_has(ring, "k1"));
    assert_false(sg_keyring_has(ring, "root"));
    assert_int_equal(sg_seal(old, "d", NULL, 0, sg_str("x"), &sealed, NULL), 0);
    assert_int_equal(sg_open(ring, "d", NULL, 0, sg_buf_slice(&sealed), &plain, NULL), 0);
    assert_string_equal(plain.ptr, "x");
    sg_buf_free(&sealed);
    sg_buf_free(&plain);
    sg_keyring_free(ring);
    sg_keyring_free(old);
    sg_keyring_free(NULL);
}

static void
wrong_keyrings_are_refused_with_their_line(void **state)
{
    static const struct {
        const char *text, *place, *part;
    } rows[] = {
        {"", "ring", "no root:<key> line"},
        {"root:" HEX32 "\n", "ring", "no sealing key"},
        {"k1:" HEX32 "\n", "ring", "no root:<key> line"},
        {"root:" HEX32 "\nk1 " HEX32 "\n", "ring:2", "expected <id>:<key>"},
        {"root:" HEX32 "\nK1:" HEX32 "\n", "ring:2", "id is 1 to 32"},
        {"root:" HEX32 "\n:" HEX32 "\n", "ring:2", "id is 1 to 32"},
        {"root:" HEX32 "\n#\nk1:" HEX32 "0\n", "ring:3", "32 bytes"},
        {"root:" HEX32 "\nk1:\n", "ring:2", "32 bytes"},
        {"root:" HEX32 "\nk1:" B64_32 "=\n", "ring:2", "32 bytes"},
        {"root:" HEX32 "\nk1:" HEX32 "\nk1:" OTHER32 "\n", "ring:3", "twice"},
        {"root:" HEX32 "\nk1:" HEX32 "\nroot:" HEX32 "\n", "ring:3", "twice"},
    };
    struct sg_keyring *ring = NULL;
    struct sg_err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *path = write_ring(rows[i].text, 0600);

        assert_int_equal(sg_keyring_load(path, &ring, &err), -1);
        if (strcmp(err.place + strlen(err.place) - strlen(rows[i].place), rows[i].place) != 0 ||
            strstr(err.text, rows[i].part) == NULL)
            fail_msg("row %zu: %s: %s", i, err.place, err.text);
        assert_null(strstr(err.text, "0102030405"));
        unlink(path);
    }
    assert_null(ring);
}

static void
a_keyring_others_may_read_is_refused(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0660, 0602, 0610, 0777};
    struct sg_keyring *ring = NULL;
    struct sg_err err;
    const char *path;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        path = write_ring("root:" HEX32 "\nk1:" HEX32 "\n", modes[i]);
        assert_int_equal(sg_keyring_load(path, &ring, &err), -1);
        assert_int_equal(err.code, SG_E_DENIED);
        assert_non_null(strstr(err.text, "chmod 600"));
        unlink(path);
    }
    path = write_ring("root:" HEX32 "\nk1:" HEX32 "\n", 0400);
    assert_int_equal(sg_keyring_load(path, &ring, &err), 0);
    sg_keyring_free(ring);
    unlink(path);
    assert_int_equal(sg_keyring_load(path, &ring, &err), -1);
    assert_int_equal(err.code, SG_E_NOT_FOUND);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(sg_keyring_load(path, &ring, &err), -1);
    assert_int_equal(err.code, SG_E_DENIED);
    unlink(path);
    assert_int_equal(sg_keyring_load(dir, &ring, &err), -1);
    assert_int_equal(sg_keyring_from_env("SEGUE_TEST_NOT_SET", &ring, &err), -1);
    assert_int_equal(err.code, SG_E_NOT_FOUND);
}

static void
a_new_keyring_is_private_and_never_replaces_one(void **state)
{
    struct sg_keyring *ring;
    struct sg_err err;
    struct stat st;
    char path[64];

    (void)state;
    snprintf(path, sizeof path, "%s/new", dir);
    umask(0);
    assert_int_equal(sg_keyring_create(path, "root", &err), -1);
    assert_int_equal(sg_keyring_create(path, "k1", &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(sg_keyring_load(path, &ring, &err), 0);
    assert_string_equal(sg_keyring_sealing_id(ring), "k1");
    sg_keyring_free(ring);
    assert_int_equal(sg_keyring_create(path, "k1", &err), -1);
    assert_int_equal(err.code, SG_E_CONFLICT);
    unlink(path);
}

/* ---- sealing ---- */

static const struct sg_slice aad[2] = {{"shop", 4}, {"row-7", 5}};

static void
sealed_data_opens_only_where_it_belongs(void **state)
{
    struct sg_keyring *ring = ring_of("root:" HEX32 "\nk1:" HEX32 "\n");
    static const struct sg_slice shifted[2] = {{"sho", 3}, {"prow-7", 6}};
    struct sg_buf sealed = SG_BUF_INIT(1000), again = SG_BUF_INIT(1000), out = SG_BUF_INIT(1000);
    char id[SG_SEAL_ID_MAX + 1];
    struct sg_err err;

    (void)state;
    assert_int_equal(sg_seal(ring, "handle", aad, 2, sg_str("sess:abc"), &sealed, &err), 0);
    assert_int_equal(sg_seal(ring, "handle", aad, 2, sg_str("sess:abc"), &again, &err), 0);
    assert_int_equal(sealed.len, 2 + 2 + 24 + 8 + 16);
    assert_false(sg_slice_eq(sg_buf_slice(&sealed), sg_buf_slice(&again)));
    assert_int_equal(sg_sealed_id(sg_buf_slice(&sealed), id, &err), 0);
    assert_string_equal(id, "k1");
    assert_int_equal(sg_open(ring, "handle", aad, 2, sg_buf_slice(&sealed), &out, &err), 0);
    assert_string_equal(out.ptr, "sess:abc");
#define DENIED(domain, fields, n)                                                                  \
    do {                                                                                           \
        assert_int_equal(sg_open(ring, domain, fields, n, sg_buf_slice(&sealed), &out, &err), -1); \
        assert_int_equal(err.code, SG_E_DENIED);                                                   \
    } while (0)
    DENIED("handles", aad, 2);
    DENIED("handle", aad, 1);
    DENIED("handle", shifted, 2);
    DENIED("handle", aad + 1, 1);
#undef DENIED
    assert_int_equal(out.len, 8);
    sg_buf_free(&sealed);
    sg_buf_free(&again);
    sg_buf_free(&out);
    sg_keyring_free(ring);
}

static void
every_changed_or_missing_byte_is_noticed(void **state)
{
    struct sg_keyring *ring = ring_of("root:" HEX32 "\nk1:" HEX32 "\nk0:" OTHER32 "\n");
    struct sg_buf sealed = SG_BUF_INIT(1000), out = SG_BUF_INIT(1000);
    struct sg_err err;
    size_t i;

    (void)state;
    assert_int_equal(sg_seal(ring, "handle", aad, 2, sg_str("sess:abc"), &sealed, &err), 0);
    for (i = 0; i < sealed.len; i++) {
        sealed.ptr[i] ^= 1;
        assert_int_equal(sg_open(ring, "handle", aad, 2, sg_buf_slice(&sealed), &out, &err), -1);
        sealed.ptr[i] ^= 1;
        assert_int_equal(sg_open(ring, "handle", aad, 2, sg_slice(sealed.ptr, i), &out, &err), -1);
    }
    assert_int_equal(out.len, 0);
    assert_int_equal(sg_open(ring, "handle", aad, 2, sg_buf_slice(&sealed), &out, &err), 0);
    sg_buf_free(&sealed);
    sg_buf_free(&out);
    sg_keyring_free(ring);
}

static void
a_rotated_ring_opens_the_old_and_a_lost_key_is_named(void **state)
{
    struct sg_keyring *one = ring_of("root:" HEX32 "\n2026-01:" HEX32 "\n");
    struct sg_keyring *two = ring_of("root:" HEX32 "\n2026-02:" OTHER32 "\n2026-01:" HEX32 "\n");
    struct sg_buf sealed = SG_BUF_INIT(1000), out = SG_BUF_INIT(1000);
    struct sg_err err;

    (void)state;
    assert_int_equal(sg_seal(one, "d", aad, 2, sg_str("old"), &sealed, &err), 0);
    assert_int_equal(sg_open(two, "d", aad, 2, sg_buf_slice(&sealed), &out, &err), 0);
    sg_buf_reset(&sealed);
    assert_int_equal(sg_seal(two, "d", aad, 2, sg_str("new"), &sealed, &err), 0);
    assert_int_equal(sg_open(one, "d", aad, 2, sg_buf_slice(&sealed), &out, &err), -1);
    assert_int_equal(err.code, SG_E_NOT_FOUND);
    assert_non_null(strstr(err.text, "'2026-02'"));
    assert_non_null(strstr(err.text, "add it back"));
    assert_non_null(strstr(err.place, "/ring"));
    sg_buf_free(&sealed);
    sg_buf_free(&out);
    sg_keyring_free(one);
    sg_keyring_free(two);
}

static void
sealing_is_bounded(void **state)
{
    struct sg_keyring *ring = ring_of("root:" HEX32 "\nk1:" HEX32 "\n");
    struct sg_slice many[15] = {{NULL, 0}};
    struct sg_buf big = SG_BUF_INIT(SG_SEAL_PLAIN_MAX + SG_SEAL_OVERHEAD);
    struct sg_buf small = SG_BUF_INIT(2 + 2 + 24 + 16 + 2), out = SG_BUF_INIT(1);
    char *plain = calloc(1, SG_SEAL_PLAIN_MAX + 1);
    struct sg_err err;

    (void)state;
    assert_int_equal(sg_seal(ring, "d", many, 15, sg_str("x"), &big, &err), -1);
    assert_int_equal(err.code, SG_E_LIMIT);
    assert_int_equal(sg_seal(ring, "d", many, 14, sg_str("x"), &big, &err), 0);
    sg_buf_reset(&big);
    assert_int_equal(
        sg_seal(ring, "d", NULL, 0, sg_slice(plain, SG_SEAL_PLAIN_MAX + 1), &big, &err), -1);
    assert_int_equal(sg_seal(ring, "d", NULL, 0, sg_slice(plain, SG_SEAL_PLAIN_MAX), &big, &err),
                     0);
    assert_int_equal(sg_seal(ring, "d", NULL, 0, sg_str("abc"), &small, &err), -1);
    assert_int_equal(small.len, 0);
    sg_buf_reset(&small);
    assert_int_equal(sg_seal(ring, "d", NULL, 0, sg_str("ab"), &small, &err), 0);
    assert_int_equal(sg_open(ring, "d", NULL, 0, sg_buf_slice(&small), &out, &err), -1);
    assert_int_equal(err.code, SG_E_LIMIT);
    free(plain);
    sg_buf_free(&big);
    sg_buf_free(&small);
    sg_buf_free(&out);
    sg_keyring_free(ring);
}

/* A blob of an earlier build must open for ever: the layout of version 1 is fixed. */
static void
version_1_blobs_stay_readable(void **state)
{
    static const char blob[] = "01026b31404142434445464748494a4b4c4d4e4f5051525354555657a75c7603ea8"
                               "11b7533155eb6a408141d2743b5059d2f519f";
    struct sg_keyring *ring = ring_of("root:" HEX32 "\nk1:" HEX32 "\n");
    struct sg_buf out = SG_BUF_INIT(100);
    uint8_t bytes[128];
    struct sg_err err;

    (void)state;
    assert_int_equal(sg_unhex(sg_str(blob), bytes, sizeof blob / 2), 0);
    assert_int_equal(
        sg_open(ring, "handle", aad, 2, sg_slice((char *)bytes, sizeof blob / 2), &out, &err), 0);
    assert_string_equal(out.ptr, "sess:abc");
    sg_buf_free(&out);
    sg_keyring_free(ring);
}

static void
signing_keys_come_back_from_their_seal(void **state)
{
    static const enum segue_alg algs[] = {SEGUE_ES256, SEGUE_EDDSA, SEGUE_RS256};
    struct sg_keyring *ring = ring_of("root:" HEX32 "\nk1:" HEX32 "\n");
    struct sg_buf sealed = SG_BUF_INIT(8192);
    struct segue_key *key, *back;
    struct sg_err err;
    size_t i;

    (void)state;
    for (i = 0; i < 3; i++) {
        sg_buf_reset(&sealed);
        assert_int_equal(segue_key_generate(algs[i], "sig-1", &key, NULL), SEGUE_OK);
        assert_int_equal(sg_signing_key_seal(ring, "shop", key, &sealed, &err), 0);
        assert_int_equal(
            sg_signing_key_open(ring, "shop", "sig-1", sg_buf_slice(&sealed), &back, &err), 0);
        assert_true(segue_key_has_private(back));
        assert_int_equal(segue_key_alg(back), algs[i]);
        segue_key_free(back);
        assert_int_equal(
            sg_signing_key_open(ring, "forum", "sig-1", sg_buf_slice(&sealed), &back, &err), -1);
        assert_int_equal(
            sg_signing_key_open(ring, "shop", "sig-2", sg_buf_slice(&sealed), &back, &err), -1);
        segue_key_free(key);
    }
    sg_buf_free(&sealed);
    sg_keyring_free(ring);
}

static void
a_new_key_opens_again_and_a_secret_has_no_public_half(void **state)
{
    static const char *const algs[] = {"ES256", "EdDSA", "HS256"};
    struct sg_keyring *ring = ring_of("root:" HEX32 "\nk1:" HEX32 "\n");
    struct sg_new_key key, other;
    struct segue_key *back;
    struct sg_err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof algs / sizeof algs[0]; i++) {
        assert_int_equal(sg_new_key_make(ring, "shop", algs[i], &key, &err), 0);
        assert_int_equal(sg_new_key_make(ring, "shop", algs[i], &other, &err), 0);
        assert_string_not_equal(key.kid, other.kid);
        assert_int_equal(
            sg_signing_key_open(ring, "shop", key.kid, sg_buf_slice(&key.sealed), &back, &err), 0);
        assert_string_equal(segue_alg_name(segue_key_alg(back)), algs[i]);
        assert_true(segue_key_has_private(back));
        assert_int_equal(key.public_jwk[0] == '\0', strcmp(algs[i], "HS256") == 0);
        assert_null(strstr(key.public_jwk, "\"d\""));
        segue_key_free(back);
        sg_new_key_clear(&key);
        sg_new_key_clear(&other);
    }
    assert_int_equal(sg_new_key_make(ring, "shop", "none", &key, &err), -1);
    sg_new_key_clear(&key);
    sg_keyring_free(ring);
}

static void
a_keyring_is_named_by_a_path_or_an_environment_variable(void **state)
{
    struct sg_keyring *ring;
    struct sg_err err;

    (void)state;
    assert_true(sg_keyring_is_env("${RING}"));
    assert_false(sg_keyring_is_env("${RING"));
    assert_false(sg_keyring_is_env("ring"));
    setenv("SEGUE_TEST_RING2", "root:" HEX32 ",k7:" HEX32, 1);
    assert_int_equal(sg_keyring_load("${SEGUE_TEST_RING2}", &ring, &err), 0);
    assert_string_equal(sg_keyring_sealing_id(ring), "k7");
    sg_keyring_free(ring);
    assert_int_equal(sg_keyring_load("${SEGUE_TEST_NOT_SET}", &ring, &err), -1);
    assert_int_equal(err.code, SG_E_NOT_FOUND);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keyring_reads_hex_and_base64url),
        cmocka_unit_test(wrong_keyrings_are_refused_with_their_line),
        cmocka_unit_test(a_keyring_others_may_read_is_refused),
        cmocka_unit_test(a_new_keyring_is_private_and_never_replaces_one),
        cmocka_unit_test(sealed_data_opens_only_where_it_belongs),
        cmocka_unit_test(every_changed_or_missing_byte_is_noticed),
        cmocka_unit_test(a_rotated_ring_opens_the_old_and_a_lost_key_is_named),
        cmocka_unit_test(sealing_is_bounded),
        cmocka_unit_test(version_1_blobs_stay_readable),
        cmocka_unit_test(signing_keys_come_back_from_their_seal),
        cmocka_unit_test(a_new_key_opens_again_and_a_secret_has_no_public_half),
        cmocka_unit_test(a_keyring_is_named_by_a_path_or_an_environment_variable),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
