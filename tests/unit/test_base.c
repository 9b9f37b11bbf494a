/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/encode.h"
#include "base/hash.h"
#include "base/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
/* cmocka.h wants the four above first */
#include <cmocka.h>

static void
buf_stops_at_its_maximum(void **state)
{
    struct sg_buf b = SG_BUF_INIT(5);

    (void)state;
    sg_buf_puts(&b, "abcde");
    assert_false(b.failed);
    sg_buf_puts(&b, "f");
    assert_true(b.failed);
    assert_int_equal(b.len, 5);
    sg_buf_reset(&b);
    sg_buf_printf(&b, "%d", 12345);
    assert_string_equal(b.ptr, "12345");
    sg_buf_free(&b);
}

static void
base64url_is_strict(void **state)
{
    static const char *const bad[] = {"A", "AB=", "AB==", "A+", "A/", "AB\n", "AQ=", "AR", "AAF"};
    uint8_t out[8];
    size_t i;

    (void)state;
    assert_int_equal(sg_b64url_decode(sg_str("AQID"), out, sizeof out), 3);
    assert_memory_equal(out, "\1\2\3", 3);
    assert_int_equal(sg_b64url_decode(sg_str("AQ"), out, sizeof out), 1);
    assert_int_equal(sg_b64url_decode(sg_str("AQID"), out, 2), -1);
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(sg_b64url_decode(sg_str(bad[i]), out, sizeof out), -1);
}

/* Long ones are decoded in runs, with another code for what is left over. */
static void
base64url_of_any_length_comes_back_and_knows_every_foreign_byte(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t bytes[200], out[200];
    char text[272];
    size_t n, len, i;
    int c;

    (void)state;
    for (n = 0; n <= sizeof bytes; n++) {
        sg_random(bytes, n);
        len = sg_b64url_text(bytes, n, text);
        assert_int_equal(sg_b64url_decode(sg_slice(text, len), out, n), n);
        assert_memory_equal(out, bytes, n);
        if (n > 0)
            assert_int_equal(sg_b64url_decode(sg_slice(text, len), out, n - 1), -1);
    }
    for (i = 0; i < len; i++)
        for (c = 0; c < 256; c++) {
            char was = text[i];
            bool known = c != 0 && strchr(alphabet, c) != NULL;

            text[i] = (char)c;
            /* the last character of 200 bytes has two stray bits */
            known = known && (i + 1 < len || (strchr(alphabet, c) - alphabet) % 4 == 0);
            assert_int_equal(sg_b64url_decode(sg_slice(text, len), out, sizeof out),
                             known ? (ptrdiff_t)sizeof out : -1);
            text[i] = was;
        }
}

static void
base64_without_padding(void **state)
{
    struct sg_buf b = SG_BUF_INIT(64);

    (void)state;
    sg_b64_add(&b, sg_str("any carnal pleas"), false);
    assert_string_equal(b.ptr, "YW55IGNhcm5hbCBwbGVhcw");
    sg_buf_free(&b);
}

static void
field_hash_tells_lists_apart(void **state)
{
    struct sg_slice ab_c[] = {sg_str("ab"), sg_str("c")}, a_bc[] = {sg_str("a"), sg_str("bc")};
    struct sg_hash x = sg_hash_fields("t", ab_c, 2), y = sg_hash_fields("t", a_bc, 2);

    (void)state;
    assert_memory_not_equal(x.b, y.b, sizeof x.b);
}

static int
load(const char *text, struct sg_yaml **doc, struct sg_err *err)
{
    return sg_yaml_parse("t.yaml", text, strlen(text), doc, err);
}

static void
yaml_errors_name_the_place(void **state)
{
    struct sg_yaml *doc;
    struct sg_err err;
    int64_t n;

    (void)state;
    assert_int_equal(load("a: 1\nport: x\nlimts: 3\n", &doc, &err), 0);
    assert_int_equal(sg_yaml_int(sg_yaml_root(doc), "port", 1, 65535, NULL, &n, &err), -1);
    assert_string_equal(err.place, "t.yaml:2:1");
    assert_int_equal(sg_yaml_int(sg_yaml_root(doc), "a", 1, 2, NULL, &n, &err), 0);
    assert_null(sg_yaml_get(sg_yaml_root(doc), "limits"));
    assert_int_equal(sg_yaml_check_unknown(doc, &err), -1);
    assert_string_equal(err.place, "t.yaml:3:1");
    assert_non_null(strstr(err.text, "did you mean 'limits'"));
    sg_yaml_free(doc);

    assert_int_equal(load("a: 1\na: 2\n", &doc, &err), -1);
    assert_string_equal(err.place, "t.yaml:2:1");
    assert_int_equal(load("a: &x 1\nb: *x\n", &doc, &err), -1);
    assert_int_equal(load("a: [1, 2\nb: 3\n", &doc, &err), -1);
    assert_non_null(strstr(err.text, "not valid YAML"));
}

static void
yaml_durations(void **state)
{
    struct sg_yaml *doc;
    struct sg_err err;
    int64_t ms;

    (void)state;
    assert_int_equal(load("a: 15m\nb: 3 weeks\n", &doc, &err), 0);
    assert_int_equal(sg_yaml_duration_ms(sg_yaml_root(doc), "a", 0, 1 << 30, NULL, &ms, &err), 0);
    assert_int_equal(ms, 900000);
    assert_int_equal(sg_yaml_duration_ms(sg_yaml_root(doc), "b", 0, 1 << 30, NULL, &ms, &err), -1);
    sg_yaml_free(doc);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_stops_at_its_maximum),
        cmocka_unit_test(base64url_is_strict),
        cmocka_unit_test(base64url_of_any_length_comes_back_and_knows_every_foreign_byte),
        cmocka_unit_test(base64_without_padding),
        cmocka_unit_test(field_hash_tells_lists_apart),
        cmocka_unit_test(yaml_errors_name_the_place),
        cmocka_unit_test(yaml_durations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
