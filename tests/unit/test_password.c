/* SPDX-License-Identifier: MIT */
#include "password/password.h"

#include <jansson.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka.h wants the above first */
#include <cmocka.h>

/* Hashes that other implementations made (tests/vectors/password.py). */
static json_t *vectors;

static int
load(void **state)
{
    json_error_t why;

    (void)state;
    vectors = json_load_file(VECTORS "/password.json", 0, &why);
    return vectors != NULL && sodium_init() >= 0 ? 0 : -1;
}

static int
unload(void **state)
{
    (void)state;
    json_decref(vectors);
    return 0;
}

static bool
matches(const char *text, const char *password)
{
    struct sg_password_hash hash;
    struct sg_err err;
    bool match = false;

    if (sg_password_parse(sg_str(text), &hash, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    assert_int_equal(sg_password_check(&hash, sg_str(password), &match, &err), 0);
    return match;
}

static void
the_right_password_matches_and_others_do_not(void **state)
{
    size_t i;
    json_t *v;

    (void)state;
    assert_true(json_array_size(vectors) > 60);
    json_array_foreach(vectors, i, v)
    {
        const char *text = json_string_value(json_object_get(v, "hash"));
        const char *password = json_string_value(json_object_get(v, "password"));
        char *wrong = strdup(password);

        wrong[0] ^= 1;
        if (!matches(text, password) || matches(text, wrong))
            fail_msg("%s", json_string_value(json_object_get(v, "from")));
        free(wrong);
    }
}

static void
a_decoy_keeps_the_cost_and_holds_nothing_of_the_hash(void **state)
{
    size_t i;
    json_t *v;

    (void)state;
    json_array_foreach(vectors, i, v)
    {
        const char *text = json_string_value(json_object_get(v, "hash"));
        const char *last = strrchr(text, '$') + 1;
        struct sg_password_hash hash, decoy;

        assert_int_equal(sg_password_parse(sg_str(text), &hash, NULL), 0);
        assert_int_equal(sg_password_parse(sg_str(hash.decoy), &decoy, NULL), 0);
        assert_string_equal(decoy.decoy, hash.decoy);
        assert_int_equal(strlen(hash.decoy), strlen(text));
        assert_true(decoy.kind == hash.kind && decoy.n == hash.n && decoy.r == hash.r &&
                    decoy.p == hash.p && decoy.sha256_first == hash.sha256_first);
        assert_null(strstr(hash.decoy, last));
        assert_false(matches(hash.decoy, json_string_value(json_object_get(v, "password"))));
    }
}

static void
one_other_digit_of_the_digest_does_not_match(void **state)
{
    size_t i;
    json_t *v;

    (void)state;
    json_array_foreach(vectors, i, v)
    {
        const char *password = json_string_value(json_object_get(v, "password"));
        char *text = strdup(json_string_value(json_object_get(v, "hash")));
        char *digit = text + strlen(text) - 8;

        *digit = *digit == '1' ? '2' : '1';
        assert_false(matches(text, password));
        free(text);
    }
}

static void
refused(const char *text, enum sg_code code)
{
    struct sg_password_hash hash;
    struct sg_err err;

    if (sg_password_parse(sg_str(text), &hash, &err) == 0)
        fail_msg("taken: %s", text);
    if (err.code != code)
        fail_msg("%s: %s", text, err.text);
    if (strlen(text) > 12)
        assert_null(strstr(err.text, text + 8));
}

#define BCRYPT53 "me.HS5akQ7o3C/kkhHJe3.yUWyETZ7pMVJc/IUeifM4Ar.aS0UcZ."
#define D43 "g/MDxIP71FZiWEaQP.JaA6f24uYi7P/G/fcnq70tXg/"
#define D32 "T04bP1QrpZ/OCgJdb7zm5ckvp88vYUilHCmxgWKhRW0"

static void
what_would_cost_too_much_is_refused(void **state)
{
    (void)state;
    refused("$2b$15$" BCRYPT53, SG_E_LIMIT);
    refused("$5$rounds=1000001$salt$" D43, SG_E_LIMIT);
    refused("$argon2id$v=19$m=131073,t=1,p=1$c2FsdHNhbHRzYWx0$CWncCuyg7QEfQNhlUzjfOw", SG_E_LIMIT);
    refused("$argon2id$v=19$m=65536,t=17,p=1$c2FsdHNhbHRzYWx0$CWncCuyg7QEfQNhlUzjfOw", SG_E_LIMIT);
    refused("$argon2id$v=19$m=8,t=2147483647,p=1$c2FsdHNhbHRzYWx0$CWncCuyg7QEfQNhlUzjfOw",
            SG_E_LIMIT);
    refused("$scrypt$ln=18,r=8,p=1$c2FsdHNhbHQ$" D32, SG_E_LIMIT);
    refused("$scrypt$ln=62,r=8,p=1$c2FsdHNhbHQ$" D32, SG_E_LIMIT);
    refused("$scrypt$ln=1,r=2147483647,p=2147483647$c2FsdHNhbHQ$" D32, SG_E_LIMIT);
    refused("$scrypt$ln=17,r=8,p=9$c2FsdHNhbHQ$" D32, SG_E_LIMIT);
    refused("scrypt$262144$salt$8$1$" D32 "=", SG_E_LIMIT);
    refused("scrypt:262144:8:1$salt$00112233445566778899aabbccddeeff", SG_E_LIMIT);
    refused("$7$I6..../....salt$" D43, SG_E_LIMIT);
    refused("$y$jET$salt$" D43, SG_E_LIMIT);
    refused("pbkdf2_sha256$5000001$salt$" D32 "=", SG_E_LIMIT);
}

static void
what_is_of_no_known_form_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "!",
        "*",
        "correct horse",
        "!JZ7UdOYXSPyGFrXm8gMfjKYzgfPMsWD",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/",
        "$2b$10$" BCRYPT53 "x",
        "$2b$1x$" BCRYPT53,
        "$2b$03$" BCRYPT53,
        "$2x$10$" BCRYPT53,
        "$2b$10$me.HS5akQ7o3C!kkhHJe3.yUWyETZ7pMVJc/IUeifM4Ar.aS0UcZ.",
        "bcrypt$$6$saltstring$" D43 D43,
        "bcrypt_sha256$$argon2id$v=19$m=512,t=2,p=1$c2FsdHNhbHRzYWx0$CWncCuyg7QEfQNhlUzjfOw",
        "argon2$2b$10$" BCRYPT53,
        "bcrypt_sha256$pbkdf2_sha256$500$saltsalt$" D32 "=",
        "$5$rounds=999$salt$" D43,
        "$5$rounds=05000$salt$" D43,
        "$5$toolongasaltforsha$" D43,
        "$5$salt$" D43 "x",
        "$argon2d$v=19$m=512,t=2,p=1$c2FsdHNhbHRzYWx0$CWncCuyg7QEfQNhlUzjfOw",
        "$argon2id$v=16$m=512,t=2,p=1$c2FsdHNhbHRzYWx0$CWncCuyg7QEfQNhlUzjfOw",
        "$argon2id$v=19$m=512,t=2$c2FsdHNhbHRzYWx0$CWncCuyg7QEfQNhlUzjfOw",
        "$argon2id$v=19$m=512,t=2,t=2$c2FsdHNhbHRzYWx0$CWncCuyg7QEfQNhlUzjfOw",
        "$argon2id$v=19$m=512,t=2,p=1,keyid=a$c2FsdHNhbHRzYWx0$CWncCuyg7QEfQNhlUzjfOw",
        "$argon2id$v=19$m=512,t=-2,p=1$c2FsdHNhbHRzYWx0$CWncCuyg7QEfQNhlUzjfOw",
        "$argon2id$v=19$m=512,t=2,p=1$c2FsdHNhbHRzYWx0$",
        "$argon2id$v=19$m=512,t=2,p=1$c2FsdA$CWncCuyg7QEfQNhlUzjfOw",
        "$scrypt$ln=0,r=8,p=1$c2FsdHNhbHQ$" D32,
        "scrypt$100$salt$8$1$" D32 "=",
        "pbkdf2_sha256$0$salt$" D32 "=",
        "pbkdf2_sha256$500$salt$",
        "pbkdf2_sha256$500$salt",
        "pbkdf2_sha256$500$salt$AAAA",
        "pbkdf2_md5$500$salt$" D32 "=",
        "pbkdf2:sha256:500$salt$xyz",
        "$y$$salt$" D43,
        "$y$j75$sa:lt$" D43,
        "$7$",
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof texts / sizeof texts[0]; i++)
        refused(texts[i], SG_E_INVALID);
}

static void
a_password_with_a_nul_does_not_match_its_beginning(void **state)
{
    static const char text[] = "$2b$04$DExyShzhRt7SCId2CzT8p.xrmsYlbRozFm2kENlfQrY2uZtjfQTa6";
    struct sg_password_hash hash;
    bool match = true;

    (void)state;
    assert_int_equal(sg_password_parse(sg_str(text), &hash, NULL), 0);
    assert_int_equal(sg_password_check(&hash, sg_slice("correct horse\0x", 15), &match, NULL), 0);
    assert_false(match);
}

static void
a_password_out_of_bounds_is_no_answer(void **state)
{
    char text[SG_PASSWORD_MAX + 1];
    struct sg_password_hash hash;
    bool match = true;

    (void)state;
    memset(text, 'x', sizeof text);
    assert_int_equal(sg_password_parse(sg_str("pbkdf2_sha256$500$salt$" D32 "="), &hash, NULL), 0);
    assert_int_equal(sg_password_check(&hash, sg_slice(text, sizeof text), &match, NULL), -1);
    assert_int_equal(sg_password_check(&hash, sg_slice(text, 0), &match, NULL), -1);
    assert_int_equal(sg_password_check(&hash, sg_slice(text, SG_PASSWORD_MAX), &match, NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_password_matches_and_others_do_not),
        cmocka_unit_test(a_decoy_keeps_the_cost_and_holds_nothing_of_the_hash),
        cmocka_unit_test(one_other_digit_of_the_digest_does_not_match),
        cmocka_unit_test(what_would_cost_too_much_is_refused),
        cmocka_unit_test(what_is_of_no_known_form_is_refused),
        cmocka_unit_test(a_password_with_a_nul_does_not_match_its_beginning),
        cmocka_unit_test(a_password_out_of_bounds_is_no_answer),
    };

    return cmocka_run_group_tests(tests, load, unload);
}
