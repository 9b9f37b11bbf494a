/* SPDX-License-Identifier: MIT */
#include "server/webhook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka.h wants those above first */
#include <cmocka.h>

#define AT INT64_C(1614265330000)
#define WINDOW 300000

/* The example of the Standard Webhooks specification. */
static const char secret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
static const char good[] = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

static struct webhook_message
message(const char *id, const char *timestamp, const char *signature, const char *body)
{
    return (struct webhook_message){sg_str(id), sg_str(timestamp), sg_str(signature), sg_str(body)};
}

static struct webhook_message
example(const char *signature)
{
    return message("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", signature,
                   "{\"test\": 2432232314}");
}

static void
the_specifications_example_is_genuine_within_its_window(void **state)
{
    struct webhook_message m = example(good);

    (void)state;
    assert_true(webhook_is_genuine(secret, &m, AT, WINDOW));
    assert_true(webhook_is_genuine(secret, &m, AT + WINDOW, WINDOW));
    assert_true(webhook_is_genuine(secret, &m, AT - WINDOW, WINDOW));
    assert_false(webhook_is_genuine(secret, &m, AT + WINDOW + 1, WINDOW));
    assert_false(webhook_is_genuine(secret, &m, AT - WINDOW - 1, WINDOW));
}

static void
one_of_several_signatures_is_enough_and_the_ninth_is_not_looked_at(void **state)
{
    char many[1024] = "";
    struct webhook_message m;
    int i;

    (void)state;
    for (i = 0; i < 7; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "v1,x%d ", i);
    snprintf(many + strlen(many), sizeof many - strlen(many), "%s", good);
    m = example(many);
    assert_true(webhook_is_genuine(secret, &m, AT, WINDOW));
    snprintf(many, sizeof many, "        %s", good);
    m = example(many);
    assert_false(webhook_is_genuine(secret, &m, AT, WINDOW));
}

static void
nothing_else_is_genuine(void **state)
{
    static const char *const signatures[] = {"",
                                             " ",
                                             "v1",
                                             "v1,",
                                             "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
                                             "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",
                                             "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
                                             "v1,G0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="};
    const struct webhook_message others[] = {
        message("msg_other", "1614265330", good, "{\"test\": 2432232314}"),
        message("", "1614265330", good, "{\"test\": 2432232314}"),
        message("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265331", good, "{\"test\": 2432232314}"),
        message("msg_p5jXN8AQM9LWM0D4loKWxJek", "", good, "{\"test\": 2432232314}"),
        message("msg_p5jXN8AQM9LWM0D4loKWxJek", "+1614265330", good, "{\"test\": 2432232314}"),
        message("msg_p5jXN8AQM9LWM0D4loKWxJek", "9999999999999999999999", good, "{}"),
        message("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", good, "{\"test\": 2432232315}"),
        message("msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330", "1614265330", good, ""),
    };
    struct webhook_message m = example(good);
    size_t i;

    (void)state;
    for (i = 0; i < sizeof signatures / sizeof signatures[0]; i++) {
        struct webhook_message n = example(signatures[i]);

        assert_false(webhook_is_genuine(secret, &n, AT, WINDOW));
    }
    for (i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(webhook_is_genuine(secret, &others[i], AT, WINDOW));
    assert_false(webhook_is_genuine("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx", &m, AT, WINDOW));
    assert_false(webhook_is_genuine("whsec_", &m, AT, WINDOW));
    assert_false(webhook_is_genuine("whsec_!", &m, AT, WINDOW));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_specifications_example_is_genuine_within_its_window),
        cmocka_unit_test(one_of_several_signatures_is_enough_and_the_ninth_is_not_looked_at),
        cmocka_unit_test(nothing_else_is_genuine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
