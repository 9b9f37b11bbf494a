/* SPDX-License-Identifier: MIT */
/* What a configuration comes to. Its mistakes are in tests/system/errors.test.mjs, with the whole
 * error text. */
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka.h wants those above first */
#include <cmocka.h>

static char dir[64];

static void
put(const char *name, const char *text, mode_t mode)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    unlink(path);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static int
load(const char *segue, const char *realm, struct sg_config **out, struct sg_err *err)
{
    char text[4096], path[128];

    snprintf(text, sizeof text,
             "segue:\n  control: postgresql://c\n  shards: [postgresql://a, postgresql://b]\n"
             "  keyring: ring\n%s"
             "realms:\n  main:\n    issuer: https://login.example\n    audiences: [https://app]\n"
             "    legacy:\n      url: redis://r\n      codec: express-session\n      cookie: sid\n"
             "      secrets_file: secrets\n"
             "    identity: {url: 'postgresql://u', lookup: L, changes: C}\n"
             "    clients:\n      - id: web\n%s",
             segue, realm);
    put("segue.yaml", text, 0600);
    snprintf(path, sizeof path, "%s/segue.yaml", dir);
    return sg_config_load(path, out, err);
}

static int
make_dir(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    snprintf(dir, sizeof dir, "%s/sg-config-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(dir) == NULL)
        return -1;
    put("secrets", "first\n\nsecond\r\n", 0600);
    return 0;
}

static int
remove_dir(void **state)
{
    static const char *const names[] = {"secrets", "segue.yaml", "open", "empty"};
    char path[128];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static void
what_is_not_said_has_the_documented_default(void **state)
{
    const struct sg_realm_config *r;
    struct sg_config *c;
    char ring[128];

    (void)state;
    assert_int_equal(load("", "", &c, NULL), 0);
    assert_string_equal(c->listen, "127.0.0.1:8080");
    assert_int_equal(c->loops, 1);
    assert_int_equal(c->connections, 2);
    assert_int_equal(c->n_shards, 2);
    assert_int_equal(c->feed_stale_after_ms, 2000);
    assert_int_equal(c->when_stale, SG_STALE_INTROSPECT);
    snprintf(ring, sizeof ring, "%s/ring", dir);
    assert_string_equal(c->keyring, ring);
    r = sg_config_realm(c, "main");
    assert_non_null(r);
    assert_ptr_equal(sg_config_realm(c, NULL), r);
    assert_ptr_equal(sg_config_realm(c, ""), r);
    assert_null(sg_config_realm(c, "other"));
    assert_string_equal(r->legacy.store, "redis");
    assert_string_equal(r->legacy.key_prefix, "sess:");
    assert_string_equal(r->legacy.subject_path, "passport.user");
    assert_true(r->legacy.cookie_secure);
    assert_int_equal(r->legacy.default_idle_ms, 86400000);
    assert_int_equal(r->legacy.absence_hold_ms, 600000);
    assert_int_equal(r->identity.when_down, SG_DOWN_REFUSE);
    assert_string_equal(r->token.alg, "ES256");
    assert_string_equal(r->token.cookie, "segue_jwt");
    assert_int_equal(r->token.lifetime_ms, 300000);
    assert_int_equal(r->token.leeway_ms, 30000);
    assert_int_equal(r->refresh_grace_ms, 30000);
    assert_int_equal(r->refresh_lifetime_ms, INT64_C(30) * 86400000);
    assert_int_equal(r->session_absolute_ms, INT64_C(30) * 86400000);
    assert_null(r->origins[0]);
    assert_null(r->clients[0].secret);
    sg_config_free(c);
}

static void
secrets_are_lines_without_their_ends_and_private(void **state)
{
    const struct sg_realm_config *r;
    struct sg_config *c;
    struct sg_err err;

    (void)state;
    assert_int_equal(load("", "", &c, NULL), 0);
    r = sg_config_realm(c, "main");
    assert_string_equal(r->legacy.secrets[0], "first");
    assert_string_equal(r->legacy.secrets[1], "second");
    assert_null(r->legacy.secrets[2]);
    sg_config_free(c);
    put("open", "hidden\n", 0640);
    assert_int_equal(load("", "      - {id: b, secret_file: open}\n", &c, &err), -1);
    assert_non_null(strstr(err.text, "chmod 600"));
    assert_null(strstr(err.text, "hidden"));
    put("empty", "\n\n", 0600);
    assert_int_equal(load("", "      - {id: b, secret_file: empty}\n", &c, &err), -1);
    put("empty", "one\ntwo\n", 0600);
    assert_int_equal(load("", "      - {id: b, secret_file: empty}\n", &c, &err), -1);
    assert_null(strstr(err.text, "two\n"));
}

static void
the_scale_shortens_lifetimes_and_never_lags_or_timeouts(void **state)
{
    const struct sg_realm_config *r;
    struct sg_config *c;

    (void)state;
    assert_int_equal(load("  time_scale: 0.01\n  feed: {stale_after: 3s}\n",
                          "    token: {lifetime: 10m}\n", &c, NULL),
                     0);
    r = sg_config_realm(c, "main");
    assert_int_equal(r->token.lifetime_ms, 6000);
    assert_int_equal(r->token.leeway_ms, 300);
    assert_int_equal(r->refresh_grace_ms, 300);
    assert_int_equal(r->legacy.absence_hold_ms, 6000);
    assert_int_equal(r->legacy.default_idle_ms, 86400000); /* the app's, not ours */
    assert_int_equal(c->feed_stale_after_ms, 3000);
    sg_config_free(c);
}

static void
a_url_may_come_from_the_environment(void **state)
{
    struct sg_config *c;

    (void)state;
    assert_int_equal(setenv("SEGUE_TEST_URL", "postgresql://from-env", 1), 0);
    assert_int_equal(load("",
                          "  second:\n    issuer: https://x\n    audiences: [a]\n"
                          "    legacy: {url: '${SEGUE_TEST_URL}', codec: e, cookie: c, "
                          "secrets_file: secrets}\n"
                          "    identity: {url: '${SEGUE_TEST_URL}', lookup: L, changes: C}\n"
                          "    clients: [{id: web}]\n",
                          &c, NULL),
                     0);
    assert_string_equal(sg_config_realm(c, "second")->identity.url, "postgresql://from-env");
    sg_config_free(c);
}

static void
keys_are_rotated_as_configured(void **state)
{
    struct sg_config *config;
    struct sg_err err;
    const struct sg_realm_config *r;

    (void)state;
    assert_int_equal(load("", "", &config, &err), 0);
    r = &config->realms[0];
    assert_int_equal(r->keys.rotate_every_ms, 30 * 86400000LL);
    assert_int_equal(r->keys.publish_ahead_ms, 3600000);
    assert_int_equal(r->token.max_bytes, 8192);
    sg_config_free(config);
    assert_int_equal(load("",
                          "    keys: {rotate_every: 0s, publish_ahead: 2m}\n"
                          "    token: {alg: Ed25519, max_bytes: 2048}\n",
                          &config, &err),
                     0);
    r = &config->realms[0];
    assert_int_equal(r->keys.rotate_every_ms, 0);
    assert_int_equal(r->keys.publish_ahead_ms, 120000);
    assert_string_equal(r->token.alg, "EdDSA"); /* RFC 9864 names the same */
    assert_int_equal(r->token.max_bytes, 2048);
    sg_config_free(config);
    assert_int_equal(load("", "    keys: {rotate_every: 1h}\n", &config, &err), -1);
    assert_non_null(strstr(err.text, "at least twice 'publish_ahead'"));
}

/* The realm's identity as a JSON-like mapping, or NULL where the configuration is refused. */
static int
load_identity(const char *identity, struct sg_config **out, struct sg_err *err)
{
    char realm[2048];

    snprintf(realm, sizeof realm,
             "  second:\n    issuer: https://x\n    audiences: [a]\n"
             "    legacy: {url: 'redis://r', codec: e, cookie: c, secrets_file: secrets}\n"
             "    identity: %s\n    clients: [{id: web}]\n",
             identity);
    return load("", realm, out, err);
}

static void
an_http_source_has_defaults_and_credentials_from_a_file(void **state)
{
    const struct sg_realm_config *r;
    struct sg_config *c;

    (void)state;
    put("secrets", "first\n", 0600);
    assert_int_equal(load_identity("{source: http, url: 'https://u.example/p/{subject}', "
                                   "bearer_file: secrets, claims: {tenant: {path: org.id, "
                                   "required: true}, groups: {type: json}}}",
                                   &c, NULL),
                     0);
    r = sg_config_realm(c, "second");
    assert_string_equal(r->identity.authorization, "Bearer first");
    assert_string_equal(r->identity.paths.subject, "subject");
    assert_string_equal(r->identity.paths.attributes, "");
    assert_null(r->identity.changes);
    assert_null(r->identity.ca_file);
    assert_int_equal(r->identity.timeout_ms, 2000);
    assert_int_equal(r->identity.poll_ms, 1000);
    assert_int_equal(r->identity.connections, 4);
    assert_int_equal(r->identity.n_claims, 2);
    assert_string_equal(r->identity.claims[0].path, "org.id");
    assert_int_equal(r->identity.claims[0].type, SG_CLAIM_STRING);
    assert_true(r->identity.claims[0].required);
    assert_string_equal(r->identity.claims[1].path, "groups");
    sg_config_free(c);
    put("secrets", "user:password\n", 0600);
    assert_int_equal(load_identity("{source: http, url: 'http://127.0.0.1:80/{subject}', "
                                   "basic_file: secrets}",
                                   &c, NULL),
                     0);
    assert_string_equal(sg_config_realm(c, "second")->identity.authorization,
                        "Basic dXNlcjpwYXNzd29yZA==");
    sg_config_free(c);
    put("secrets", "first\n\nsecond\r\n", 0600);
}

static void
an_identity_that_is_unsafe_or_makes_no_sense_is_refused(void **state)
{
    static const char *const bad[] = {
        "{source: http, url: 'http://u.example/{subject}'}",
        "{source: http, url: 'http://127.0.0.1.evil.example/{subject}'}",
        "{source: http, url: 'ftp://u.example/{subject}'}",
        "{source: http, url: 'https://u.example/'}",
        "{source: http, url: 'https://{subject}/'}",
        "{source: http, url: 'https://u.example{subject}/'}",
        "{source: http, url: 'https://u.example/{subject}/{subject}'}",
        "{source: http, url: 'https://me:secret@u.example/{subject}'}",
        "{source: http, url: 'https://u.example/{subject}', changes: 'https://u.example/c'}",
        "{source: http, url: 'https://u.example/{subject}', ca_file: nowhere}",
        "{source: http, url: 'https://u.example/{subject}', bearer_file: nowhere}",
        "{source: http, url: 'https://u.example/{subject}', basic_file: secrets}",
        "{source: http, url: 'https://u.example/{subject}', paths: {version: ''}}",
        "{source: http, url: 'https://u.example/{subject}', claims: {iss: {}}}",
        "{source: http, url: 'https://u.example/{subject}', claims: {permissions: {}}}",
        "{source: http, url: 'https://u.example/{subject}', claims: {'a b': {}}}",
        "{source: http, url: 'https://u.example/{subject}', claims: {tenant: org.id}}",
        "{source: subject, webhook: {secret_file: secrets}}",
        "{source: subject, url: 'https://u.example/{subject}'}",
    };
    struct sg_config *c;
    struct sg_err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (load_identity(bad[i], &c, &err) == 0)
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(err.code, SG_E_INVALID);
        assert_non_null(strstr(err.place, "segue.yaml:"));
        assert_null(strstr(err.text, "me:secret"));
    }
    assert_int_equal(load_identity("{source: subject}", &c, &err), 0);
    sg_config_free(c);
}

static void
a_client_has_the_grants_and_audiences_it_is_given(void **state)
{
    const struct sg_client_config *client;
    const struct sg_realm_config *r;
    struct sg_config *c;

    (void)state;
    put("open", "0123456789abcdef\n", 0600);
    assert_int_equal(load("",
                          "      - id: b\n        secret_file: open\n"
                          "        grants: [client_credentials]\n        scope: [r, w]\n"
                          "        roles: [service]\n        permissions: [sync]\n"
                          "      - {id: rs, secret_file: open, grants: []}\n",
                          &c, NULL),
                     0);
    r = sg_config_realm(c, NULL);
    client = sg_config_client(r, sg_str("b"));
    assert_int_equal(client->grants, SG_GRANT_CLIENT);
    assert_string_equal(client->scope[1], "w");
    assert_null(client->scope[2]);
    assert_string_equal(client->roles[0], "service");
    assert_string_equal(client->permissions[0], "sync");
    assert_ptr_equal(client->audiences[0], r->audiences[0]);
    assert_int_equal(sg_config_client(r, sg_str("rs"))->grants, 0);
    client = sg_config_client(r, sg_str("web"));
    assert_int_equal(client->grants, SG_GRANT_EXCHANGE | SG_GRANT_REFRESH);
    assert_null(client->scope[0]);
    assert_null(sg_config_client(r, sg_str("nobody")));
    sg_config_free(c);
}

static void
what_a_client_cannot_have_is_refused_where_it_stands(void **state)
{
    static const struct {
        const char *client, *why;
    } bad[] = {
        {"{id: b, grants: [client_credentials]}", ":17:26: key 'grants': client_credentials is for "
                                                  "confidential clients"},
        {"{id: b, grants: [password]}", ":17:26: key 'grants': expected token_exchange"},
        {"{id: b, scope: ['a b']}", ":17:25: key 'scope': 'a b' is no scope"},
        {"{id: b, audiences: [https://x]}", ":17:29: key 'audiences': the realm has no"},
        {"{id: b, roles: ['']}", "key 'roles': a name is empty"},
        {"{id: 'b c'}", ":17:10: a client id has"},
        {"{id: b, secret_file: empty}", "fewer than 16 bytes can be guessed"},
        {"{id: b, grant: []}", "grant"},
    };
    struct sg_config *c;
    char text[1024];
    struct sg_err err;
    size_t i;

    (void)state;
    put("empty", "123456789012345\n", 0600);
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(text, sizeof text, "      - %s\n", bad[i].client);
        assert_int_equal(load("", text, &c, &err), -1);
        snprintf(text, sizeof text, "%s: %s", err.place, err.text);
        if (strstr(text, bad[i].why) == NULL)
            fail_msg("'%s' does not say '%s'", text, bad[i].why);
    }
}

static void
an_issuer_is_https_or_on_loopback_and_nothing_else(void **state)
{
    static const char *const bad[] = {"http://127.0.0.1.evil.example",
                                      "http://localhost.evil",
                                      "https://",
                                      "https:///x",
                                      "https://a?b",
                                      "https://a#b",
                                      "https://user@a",
                                      "ftp://a",
                                      "http://a",
                                      "https://a b"};
    static const char *const good[] = {"https://a", "https://a/b", "http://127.0.0.1:80/x",
                                       "http://localhost", "http://[::1]:8080"};
    struct sg_config *c;
    char text[512];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof bad[0] + sizeof good / sizeof good[0]; i++) {
        bool is_bad = i < sizeof bad / sizeof bad[0];

        snprintf(text, sizeof text,
                 "  second:\n    issuer: '%s'\n    audiences: [a]\n"
                 "    legacy: {url: r, codec: e, cookie: c, secrets_file: secrets}\n"
                 "    identity: {url: u, lookup: L, changes: C}\n    clients: [{id: web}]\n",
                 is_bad ? bad[i] : good[i - sizeof bad / sizeof bad[0]]);
        assert_int_equal(load("", text, &c, NULL), is_bad ? -1 : 0);
        if (!is_bad)
            sg_config_free(c);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_said_has_the_documented_default),
        cmocka_unit_test(secrets_are_lines_without_their_ends_and_private),
        cmocka_unit_test(the_scale_shortens_lifetimes_and_never_lags_or_timeouts),
        cmocka_unit_test(keys_are_rotated_as_configured),
        cmocka_unit_test(a_url_may_come_from_the_environment),
        cmocka_unit_test(an_http_source_has_defaults_and_credentials_from_a_file),
        cmocka_unit_test(an_identity_that_is_unsafe_or_makes_no_sense_is_refused),
        cmocka_unit_test(a_client_has_the_grants_and_audiences_it_is_given),
        cmocka_unit_test(what_a_client_cannot_have_is_refused_where_it_stands),
        cmocka_unit_test(an_issuer_is_https_or_on_loopback_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
