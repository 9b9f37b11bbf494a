/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/encode.h"
#include "config/config_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define CLAIM_NAME_BYTES 64

/* Claims that say something of their own: RFC 7519, 7800, 8693, 9068 and OpenID Connect, the
 * members of an introspection answer (RFC 7662), and what Segue writes itself. "groups" and
 * "entitlements" are not here: RFC 9068 section 2.2.3.1 wants them filled from such a source as
 * this. */
static const char *const reserved[] = {
    "iss",   "sub",         "aud",       "exp",   "nbf",       "iat",    "jti",        "cnf",
    "act",   "may_act",     "client_id", "scope", "auth_time", "acr",    "amr",        "azp",
    "nonce", "at_hash",     "typ",       "kid",   "alg",       "active", "token_type", "username",
    "roles", "permissions", "sid",       "bkt",   "sv",        "rv",     "re",         "lh",
};

/* ---- claims ---- */

static int
check_claim_name(struct sg_yaml_node *at, const char *name, struct sg_err *err)
{
    size_t i;

    for (i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (strcmp(reserved[i], name) == 0)
            return sg_yaml_fail(at, err, "claim '%s' is reserved: it has a meaning of its own",
                                name);
    for (i = 0; name[i] > ' ' && name[i] < 0x7f && name[i] != '"' && name[i] != '\\'; i++)
        ;
    if (i == 0 || i > CLAIM_NAME_BYTES || name[i] != '\0')
        return sg_yaml_fail(at, err,
                            "claim '%.80s': expected 1 to %d printable ASCII characters without "
                            "'\"' and '\\'",
                            name, CLAIM_NAME_BYTES);
    return 0;
}

static int
read_claim(struct sg_yaml_node *m, struct sg_claim_config *claim, struct sg_err *err)
{
    static const char *const types[] = {"string", "int", "bool", "json", NULL};
    const bool no = false;
    int type;

    claim->name = sg_yaml_key(m);
    if (check_claim_name(m, claim->name, err) != 0)
        return -1;
    if (!sg_yaml_is_map(m))
        return sg_yaml_fail(m, err, "claim '%s': expected a mapping like {path: org.id}",
                            claim->name);
    if (sg_yaml_string(m, "path", claim->name, &claim->path, err) != 0 ||
        sg_yaml_word(m, "type", types, SG_CLAIM_STRING, &type, err) != 0 ||
        sg_yaml_bool(m, "required", &no, &claim->required, err) != 0)
        return -1;
    if (claim->path[0] == '\0')
        return sg_yaml_fail(sg_yaml_get(m, "path"), err, "key 'path': expected a path");
    claim->type = (enum sg_claim_type)type;
    return 0;
}

static int
read_claims(struct sg_realm_config *r, struct sg_yaml_node *identity, struct sg_err *err)
{
    struct sg_yaml_node *map = sg_yaml_get(identity, "claims"), *m;

    if (map != NULL && !sg_yaml_is_map(map))
        return sg_yaml_fail(map, err, "key 'claims': expected a mapping of claims");
    while (map != NULL && (m = sg_yaml_item(map, r->identity.n_claims)) != NULL) {
        if (r->identity.n_claims == SG_LIST_MAX)
            return sg_yaml_fail(m, err, "key 'claims': at most %d", SG_LIST_MAX);
        if (read_claim(m, &r->identity.claims[r->identity.n_claims++], err) != 0)
            return -1;
    }
    return 0;
}

/* ---- source http ---- */

/* Credentials and roles go over it: https, or plain http that does not leave the machine. */
static int
check_url(struct sg_yaml_node *m, const char *key, const char *url, const char *mark,
          struct sg_err *err)
{
    static const char *const starts[] = {"https://",      "http://127.0.0.1:", "http://127.0.0.1/",
                                         "http://[::1]:", "http://localhost:", "http://localhost/"};
    const char *at = strstr(url, mark);
    size_t i;

    for (i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (strncmp(url, starts[i], strlen(starts[i])) == 0)
            break;
    if (i == sizeof starts / sizeof starts[0])
        return sg_yaml_fail(sg_yaml_get(m, key), err,
                            "key '%s': expected an https URL (plain http only to this machine)",
                            key);
    if (strcspn(url + 8, "@") < strcspn(url + 8, "/?#"))
        return sg_yaml_fail(sg_yaml_get(m, key), err,
                            "key '%s': credentials go into bearer_file or basic_file", key);
    if (at == NULL || strstr(at + 1, mark) != NULL || at < url + 8 + strcspn(url + 8, "/?#"))
        return sg_yaml_fail(sg_yaml_get(m, key), err, "key '%s': expected %s once, behind the host",
                            key, mark);
    return 0;
}

static int
read_credentials(struct sg_config *c, struct sg_realm_config *r, struct sg_yaml_node *m,
                 struct sg_err *err)
{
    struct sg_yaml_node *bearer = sg_yaml_get(m, "bearer_file"),
                        *basic = sg_yaml_get(m, "basic_file");
    struct sg_buf value = SG_BUF_INIT(8192);
    const char *secret;

    if (bearer == NULL && basic == NULL)
        return 0;
    if (bearer != NULL && basic != NULL)
        return sg_yaml_fail(basic, err, "bearer_file and basic_file: one of them");
    if (config_secrets(c, m, bearer != NULL ? "bearer_file" : "basic_file", &secret, 1, err) != 0)
        return -1;
    if (bearer != NULL)
        sg_buf_printf(&value, "Bearer %s", secret);
    else if (strchr(secret, ':') == NULL)
        return sg_yaml_fail(basic, err, "key 'basic_file': expected a line user:password");
    else {
        sg_buf_puts(&value, "Basic ");
        sg_b64_add(&value, sg_str(secret), true);
    }
    r->identity.authorization = config_own(c, value.ptr);
    return r->identity.authorization != NULL
               ? 0
               : sg_fail(err, SG_E_INTERNAL, c->path, "out of memory");
}

static int
read_paths(struct sg_realm_config *r, struct sg_yaml_node *identity, struct sg_err *err)
{
    struct sg_yaml_node *m = sg_yaml_get(identity, "paths");
    const struct {
        const char *key, *fallback, **out;
        bool may_be_empty;
    } paths[] = {{"subject", "subject", &r->identity.paths.subject, false},
                 {"active", "active", &r->identity.paths.active, true},
                 {"roles", "roles", &r->identity.paths.roles, true},
                 {"permissions", "permissions", &r->identity.paths.permissions, true},
                 {"version", "version", &r->identity.paths.version, false},
                 {"attributes", "", &r->identity.paths.attributes, true},
                 {"items", "items", &r->identity.paths.items, false},
                 {"cursor", "cursor", &r->identity.paths.cursor, false}};
    size_t i;

    if (m != NULL && !sg_yaml_is_map(m))
        return sg_yaml_fail(m, err, "key 'paths': expected a mapping");
    for (i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        *paths[i].out = paths[i].fallback;
        if (m != NULL && sg_yaml_string(m, paths[i].key, paths[i].fallback, paths[i].out, err) != 0)
            return -1;
        if (**paths[i].out == '\0' && !paths[i].may_be_empty)
            return sg_yaml_fail(sg_yaml_get(m, paths[i].key), err, "key '%s': expected a path",
                                paths[i].key);
    }
    return 0;
}

static int
read_http(struct sg_config *c, struct sg_realm_config *r, struct sg_yaml_node *m,
          struct sg_err *err)
{
    const int64_t second = SECOND, four = 4;
    const char *ca_file;
    int64_t connections;

    if (config_url(c, m, "url", &r->identity.url, err) != 0 ||
        check_url(m, "url", r->identity.url, "{subject}", err) != 0 ||
        (sg_yaml_get(m, "changes") != NULL &&
         (config_url(c, m, "changes", &r->identity.changes, err) != 0 ||
          check_url(m, "changes", r->identity.changes, "{cursor}", err) != 0)) ||
        read_credentials(c, r, m, err) != 0 || read_paths(r, m, err) != 0 ||
        sg_yaml_string(m, "ca_file", "", &ca_file, err) != 0 ||
        sg_yaml_duration_ms(m, "poll", 10, 10 * MINUTE, &second, &r->identity.poll_ms, err) != 0 ||
        sg_yaml_int(m, "connections", 1, 64, &four, &connections, err) != 0)
        return -1;
    r->identity.connections = (int)connections;
    if (*ca_file == '\0')
        return 0;
    if ((r->identity.ca_file = config_own(c, config_beside(c, ca_file))) == NULL)
        return sg_fail(err, SG_E_INTERNAL, c->path, "out of memory");
    return access(r->identity.ca_file, R_OK) == 0
               ? 0
               : sg_yaml_fail(sg_yaml_get(m, "ca_file"), err, "key 'ca_file': cannot read '%.100s'",
                              ca_file);
}

/* ---- the mapping ---- */

static int
read_sql(struct sg_config *c, struct sg_realm_config *r, struct sg_yaml_node *m, struct sg_err *err)
{
    r->identity.connections = 1;
    r->identity.poll_ms = 50;
    return config_url(c, m, "url", &r->identity.url, err) != 0 ||
                   sg_yaml_string(m, "lookup", NULL, &r->identity.lookup, err) != 0 ||
                   sg_yaml_string(m, "changes", NULL, &r->identity.changes, err) != 0
               ? -1
               : 0;
}

static int
read_webhook(struct sg_config *c, struct sg_realm_config *r, struct sg_yaml_node *identity,
             struct sg_err *err)
{
    struct sg_yaml_node *m = sg_yaml_get(identity, "webhook");
    const int64_t window = 5 * MINUTE;

    if (m == NULL)
        return 0;
    return config_secrets(c, m, "secret_file", &r->identity.webhook_secret, 1, err) != 0 ||
                   sg_yaml_duration_ms(m, "window", SECOND, 60 * MINUTE, &window,
                                       &r->identity.webhook_window_ms, err) != 0
               ? -1
               : 0;
}

int
config_read_identity(struct sg_config *c, struct sg_realm_config *r, struct sg_yaml_node *realm,
                     struct sg_err *err)
{
    static const char *const sources[] = {"sql", "http", "subject", NULL};
    static const char *const words[] = {"refuse", "last_known", NULL};
    struct sg_yaml_node *m = sg_yaml_get(realm, "identity");
    const int64_t two_seconds = 2 * SECOND;
    int source, when_down;

    if (!sg_yaml_is_map(m))
        return sg_yaml_fail(realm, err, "realm '%.60s': expected a mapping 'identity'", r->name);
    if (sg_yaml_word(m, "source", sources, 0, &source, err) != 0 ||
        sg_yaml_word(m, "when_down", words, SG_DOWN_REFUSE, &when_down, err) != 0 ||
        read_claims(r, m, err) != 0)
        return -1;
    r->identity.source = sources[source];
    r->identity.when_down = (enum sg_when_down)when_down;
    r->identity.timeout_ms = two_seconds;
    if (source == 2)
        return 0; /* the shards are the source: nothing to say, nobody to call */
    if (sg_yaml_duration_ms(m, "timeout", 10, 10 * SECOND, &two_seconds, &r->identity.timeout_ms,
                            err) != 0)
        return -1;
    return (source == 0 ? read_sql(c, r, m, err) : read_http(c, r, m, err)) != 0
               ? -1
               : read_webhook(c, r, m, err);
}
