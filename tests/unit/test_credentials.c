/* SPDX-License-Identifier: MIT */
#include "session/credentials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h wants those above first */
#include <cmocka.h>

static void
assert_cookie(const char *header, const char *name, const char *expected)
{
    struct sg_slice v = sg_cookie_find(sg_str(header), name);

    if (expected == NULL)
        assert_null(v.ptr);
    else {
        assert_non_null(v.ptr);
        assert_true(sg_slice_eq(v, sg_str(expected)));
    }
}

static void
the_first_cookie_of_exactly_that_name_is_found(void **state)
{
    (void)state;
    assert_cookie("sid=1", "sid", "1");
    assert_cookie("a=0; sid=1; sid=2", "sid", "1");
    assert_cookie("xsid=0; sidx=0; sid=1", "sid", "1");
    assert_cookie("a=sid=9; sid=1", "sid", "1");
    assert_cookie(" ;; \t sid=1 \t; a=2", "sid", "1");
    assert_cookie("sid=\"1 2\"", "sid", "1 2");
    assert_cookie("sid=\"", "sid", "\"");
    assert_cookie("sid=", "sid", "");
    assert_cookie("sid=a=b", "sid", "a=b");
    assert_cookie("sid =1; sid=2", "sid", "1"); /* as apps read it */
    assert_cookie("sid=\t 1", "sid", "1");
    assert_cookie("sid x=1; sid=2", "sid", "2");
    assert_cookie("SID=1", "sid", NULL);
    assert_cookie("sid", "sid", NULL);
    assert_cookie("sid =1", "sid", "1"); /* as the app's parser reads it */
    assert_cookie("sid\t= 1", "sid", "1");
    assert_cookie("", "sid", NULL);
    assert_cookie("a=1", "", NULL);
}

static void
assert_without(const char *header, const char *one, const char *two, const char *expected)
{
    struct sg_buf out = SG_BUF_INIT(256);

    sg_cookie_without(&out, sg_str(header), one, two);
    assert_true(sg_slice_eq(sg_buf_slice(&out), sg_str(expected)));
    sg_buf_free(&out);
}

static void
all_cookies_of_the_two_names_are_left_out_and_no_other(void **state)
{
    (void)state;
    assert_without("a=1; jwt=2; b=3; jwt=4", "jwt", NULL, "a=1; b=3");
    assert_without("jwt=2;sid=1;c", "jwt", "sid", "c");
    assert_without("jwtx=1; xjwt=2; JWT=3; jwt=4", "jwt", NULL, "jwtx=1; xjwt=2; JWT=3");
    assert_without("jwt=1", "jwt", NULL, "");
    assert_without("jwt =1; a=2", "jwt", NULL, "a=2"); /* what is found is left out */
    assert_without("a=\"q; r\"", "jwt", NULL, "a=\"q; r\"");
    assert_without("", "jwt", "sid", "");
}

static void
assert_bearer(const char *authorization, const char *expected)
{
    struct sg_slice v = sg_bearer_token(sg_str(authorization));

    if (expected == NULL)
        assert_null(v.ptr);
    else
        assert_true(sg_slice_eq(v, sg_str(expected)));
}

static void
a_bearer_token_is_taken_whatever_the_case_of_the_scheme(void **state)
{
    (void)state;
    assert_bearer("Bearer abc", "abc");
    assert_bearer("bEARER   abc", "abc");
    assert_bearer("Bearer ", NULL);
    assert_bearer("Bearer  ", NULL);
    assert_bearer("Bearerabc", NULL);
    assert_bearer("Basic abc", NULL);
    assert_bearer("", NULL);
    assert_bearer("Bearer", NULL);
}

static void
the_outer_form_of_a_jwt_is_three_segments_of_base64url(void **state)
{
    (void)state;
    assert_true(sg_looks_like_jwt(sg_str("a.b.c")));
    assert_true(sg_looks_like_jwt(sg_str("eyJ-_0.eyJ9.Az")));
    assert_false(sg_looks_like_jwt(sg_str("a.b")));
    assert_false(sg_looks_like_jwt(sg_str("a.b.")));
    assert_false(sg_looks_like_jwt(sg_str(".b.c")));
    assert_false(sg_looks_like_jwt(sg_str("a..c")));
    assert_false(sg_looks_like_jwt(sg_str("a.b.c.d")));
    assert_false(sg_looks_like_jwt(sg_str("a.b.c=")));
    assert_false(sg_looks_like_jwt(sg_str("a.b c.d")));
    assert_false(sg_looks_like_jwt(sg_str("s:sid.mac")));
    assert_false(sg_looks_like_jwt(sg_str("")));
}

static bool
peek_is(const char *token, enum sg_jwt_segment segment, const char *member, const char *want)
{
    struct sg_buf out = SG_BUF_INIT(64);
    bool found = sg_jwt_peek(sg_str(token), segment, member, &out);
    bool same = want == NULL ? !found && out.len == 0
                             : found && sg_slice_eq(sg_buf_slice(&out), sg_str(want));

    sg_buf_free(&out);
    return same;
}

static void
a_member_of_a_token_is_read_without_believing_it(void **state)
{
    /* {"kid":"a\u002fb","alg":"x","n":1} . {"iss":"https://i","sub":{"iss":"no"}} */
    static const char token[] = "eyJraWQiOiJhXHUwMDJmYiIsImFsZyI6IngiLCJuIjoxfQ."
                                "eyJpc3MiOiJodHRwczovL2kiLCJzdWIiOnsiaXNzIjoibm8ifX0.c2ln";

    (void)state;
    assert_true(peek_is(token, SG_JWT_HEADER, "kid", "a/b"));
    assert_true(peek_is(token, SG_JWT_HEADER, "n", NULL)); /* no string */
    assert_true(peek_is(token, SG_JWT_HEADER, "iss", NULL));
    assert_true(peek_is(token, SG_JWT_PAYLOAD, "iss", "https://i"));
    assert_true(peek_is(token, SG_JWT_PAYLOAD, "sub", NULL));
    assert_true(peek_is("AAAA.AAAA.AAAA", SG_JWT_PAYLOAD, "iss", NULL));
    assert_true(peek_is("a.b", SG_JWT_PAYLOAD, "iss", NULL));
    assert_true(peek_is("", SG_JWT_HEADER, "iss", NULL));
    /* A member twice is no object that verifiers agree about: {"iss":"a","iss":"b"} */
    assert_true(peek_is("e30.eyJpc3MiOiJhIiwiaXNzIjoiYiJ9.x", SG_JWT_PAYLOAD, "iss", NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_cookie_of_exactly_that_name_is_found),
        cmocka_unit_test(all_cookies_of_the_two_names_are_left_out_and_no_other),
        cmocka_unit_test(a_bearer_token_is_taken_whatever_the_case_of_the_scheme),
        cmocka_unit_test(the_outer_form_of_a_jwt_is_three_segments_of_base64url),
        cmocka_unit_test(a_member_of_a_token_is_read_without_believing_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
