/* SPDX-License-Identifier: MIT */
#include "config/config_internal.h"

#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define DAY (1440 * MINUTE)
#define TOKEN_BYTES 8192 /* libsegue's longest */
#define OWNED_MAX (SG_SHARDS_MAX + SG_REALMS_MAX * (SG_LIST_MAX * 2 + 16))

/* The public struct first, then what keeps its strings alive. */
struct loaded {
    struct sg_config config;
    struct sg_yaml *doc;
    char *path;
    char *owned[OWNED_MAX];
    int n_owned;
};

static struct loaded *
loaded_of(struct sg_config *c)
{
    return sg_container_of(c, struct loaded, config);
}

const char *
config_own(struct sg_config *c, char *s)
{
    struct loaded *l = loaded_of(c);

    if (s == NULL || l->n_owned == OWNED_MAX) {
        free(s);
        return NULL;
    }
    return l->owned[l->n_owned++] = s;
}

/* "${NAME}" as a whole value is taken from the environment, so that a password need not be in the
 * file. */
static int
substitute(struct sg_config *c, struct sg_yaml_node *at, const char *key, const char *text,
           const char **out, struct sg_err *err)
{
    size_t n = strlen(text);
    char name[128];
    const char *value;

    if (n < 4 || text[0] != '$' || text[1] != '{' || text[n - 1] != '}') {
        *out = text;
        return 0;
    }
    snprintf(name, sizeof name, "%.*s", (int)(n - 3), text + 2);
    value = getenv(name);
    if (value == NULL || *value == '\0')
        return sg_yaml_fail(at, err, "key '%s': the environment variable %s is not set", key, name);
    *out = config_own(c, strdup(value));
    return *out != NULL ? 0 : sg_fail(err, SG_E_INTERNAL, c->path, "out of memory");
}

int
config_url(struct sg_config *c, struct sg_yaml_node *map, const char *key, const char **out,
           struct sg_err *err)
{
    const char *text;

    if (sg_yaml_string(map, key, NULL, &text, err) != 0)
        return -1;
    return substitute(c, sg_yaml_get(map, key), key, text, out, err);
}

/* A path beside the configuration file unless it is absolute. */
char *
config_beside(const struct sg_config *c, const char *path)
{
    const char *slash = strrchr(c->path, '/');
    char *full = NULL;

    if (path[0] == '/' || slash == NULL)
        return strdup(path);
    if (asprintf(&full, "%.*s/%s", (int)(slash - c->path), c->path, path) < 0)
        return NULL;
    return full;
}

int
config_secrets(struct sg_config *c, struct sg_yaml_node *map, const char *key, const char **out,
               int cap, struct sg_err *err)
{
    const char *name;
    char *path, line[4096];
    struct stat st;
    FILE *f;
    int n = 0;

    if (sg_yaml_string(map, key, NULL, &name, err) != 0)
        return -1;
    path = config_beside(c, name);
    f = path != NULL ? fopen(path, "r") : NULL;
    free(path);
    if (f == NULL)
        return sg_yaml_fail(sg_yaml_get(map, key), err, "key '%s': cannot open '%.100s': %s", key,
                            name, strerror(errno));
    if (fstat(fileno(f), &st) != 0 || (st.st_mode & 077) != 0) {
        fclose(f);
        return sg_yaml_fail(sg_yaml_get(map, key), err,
                            "key '%s': '%.100s' may be read by others: chmod 600 it", key, name);
    }
    while (fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] == '\0')
            continue;
        if (n++ == cap || (out[n - 1] = config_own(c, strdup(line))) == NULL)
            break;
    }
    fclose(f);
    explicit_bzero(line, sizeof line);
    if (n == 0 || n > cap || out[n - 1] == NULL)
        return sg_yaml_fail(sg_yaml_get(map, key), err,
                            "key '%s': '%.100s' must hold 1 to %d secrets, one a line", key, name,
                            cap);
    return 0;
}

int
config_list(struct sg_yaml_node *map, const char *key, const char **out, int least,
            struct sg_err *err)
{
    struct sg_yaml_node *list = sg_yaml_get(map, key), *item;
    int n = 0;

    if (list != NULL && !sg_yaml_is_seq(list))
        return sg_yaml_fail(list, err, "key '%s': expected a list", key);
    while (list != NULL && (item = sg_yaml_item(list, n)) != NULL) {
        if (n == SG_LIST_MAX)
            return sg_yaml_fail(item, err, "key '%s': at most %d items", key, SG_LIST_MAX);
        if (sg_yaml_text(item, &out[n++], err) != 0)
            return -1;
    }
    if (n < least)
        return sg_yaml_fail(list != NULL ? list : map, err, "key '%s': expected at least %d item%s",
                            key, least, least == 1 ? "" : "s");
    return 0;
}

static int
scaled(struct sg_config *c, struct sg_yaml_node *map, const char *key, int64_t least, int64_t most,
       int64_t fallback, int64_t *out, struct sg_err *err)
{
    int64_t ms;

    if (sg_yaml_duration_ms(map, key, least, most, &fallback, &ms, err) != 0)
        return -1;
    ms = (int64_t)((double)ms * c->time_scale);
    *out = ms > 0 || least == 0 ? ms : 1;
    return 0;
}

static int
read_legacy(struct sg_config *c, struct sg_realm_config *r, struct sg_yaml_node *realm,
            struct sg_err *err)
{
    struct sg_yaml_node *m = sg_yaml_get(realm, "legacy");
    static const char *const captures[] = {"events", "psync", NULL};
    const int64_t day = DAY;
    const bool yes = true;
    int capture = 0;

    if (!sg_yaml_is_map(m))
        return sg_yaml_fail(realm, err, "realm '%.60s': expected a mapping 'legacy'", r->name);
    if (sg_yaml_string(m, "store", "redis", &r->legacy.store, err) != 0 ||
        config_url(c, m, "url", &r->legacy.url, err) != 0 ||
        sg_yaml_word(m, "capture", captures, 0, &capture, err) != 0 ||
        sg_yaml_string(m, "codec", NULL, &r->legacy.codec, err) != 0 ||
        sg_yaml_string(m, "key_prefix", "sess:", &r->legacy.key_prefix, err) != 0 ||
        sg_yaml_string(m, "cookie", NULL, &r->legacy.cookie, err) != 0 ||
        sg_yaml_string(m, "cookie_domain", "", &r->legacy.cookie_domain, err) != 0 ||
        sg_yaml_bool(m, "cookie_secure", &yes, &r->legacy.cookie_secure, err) != 0 ||
        sg_yaml_string(m, "subject_path", "passport.user", &r->legacy.subject_path, err) != 0 ||
        config_secrets(c, m, "secrets_file", r->legacy.secrets, SG_LIST_MAX, err) != 0 ||
        sg_yaml_duration_ms(m, "default_idle", SECOND, 400 * DAY, &day, &r->legacy.default_idle_ms,
                            err) != 0)
        return -1;
    r->legacy.psync = capture == 1;
    return scaled(c, m, "absence_hold", 0, 30 * DAY, 10 * MINUTE, &r->legacy.absence_hold_ms, err);
}

static int
read_tokens(struct sg_config *c, struct sg_realm_config *r, struct sg_yaml_node *realm,
            struct sg_err *err)
{
    static const char *const algs[] = {"ES256", "EdDSA", "RS256", "HS256", "Ed25519", NULL};
    const int64_t longest = TOKEN_BYTES;
    struct sg_yaml_node *token = sg_yaml_get(realm, "token"),
                        *refresh = sg_yaml_get(realm, "refresh"),
                        *session = sg_yaml_get(realm, "session");
    int64_t max_bytes = longest;
    int alg = 0;

    /* All three have a default for every key, so the whole mapping may be absent. */
    r->token.cookie = "segue_jwt";
    r->token.lifetime_ms = (int64_t)(5 * (double)MINUTE * c->time_scale);
    r->token.leeway_ms = (int64_t)(30 * (double)SECOND * c->time_scale);
    r->refresh_lifetime_ms = (int64_t)(30 * (double)DAY * c->time_scale);
    r->refresh_grace_ms = (int64_t)(30 * (double)SECOND * c->time_scale);
    r->session_absolute_ms = (int64_t)(30 * (double)DAY * c->time_scale);
    if (token != NULL &&
        (sg_yaml_word(token, "alg", algs, 0, &alg, err) != 0 ||
         sg_yaml_string(token, "cookie", "segue_jwt", &r->token.cookie, err) != 0 ||
         sg_yaml_int(token, "max_bytes", 1024, TOKEN_BYTES, &longest, &max_bytes, err) != 0 ||
         scaled(c, token, "lifetime", SECOND, DAY, 5 * MINUTE, &r->token.lifetime_ms, err) != 0 ||
         scaled(c, token, "leeway", 0, MINUTE, 30 * SECOND, &r->token.leeway_ms, err) != 0))
        return -1;
    r->token.alg = strcmp(algs[alg], "Ed25519") == 0 ? "EdDSA" : algs[alg]; /* RFC 9864 */
    r->token.max_bytes = (int)max_bytes;
    if (refresh != NULL &&
        (scaled(c, refresh, "lifetime", MINUTE, 400 * DAY, 30 * DAY, &r->refresh_lifetime_ms,
                err) != 0 ||
         scaled(c, refresh, "grace", 0, 10 * MINUTE, 30 * SECOND, &r->refresh_grace_ms, err) != 0))
        return -1;
    return session == NULL ? 0
                           : scaled(c, session, "absolute", MINUTE, 4000 * DAY, 30 * DAY,
                                    &r->session_absolute_ms, err);
}

static int
read_login(struct sg_config *c, struct sg_realm_config *r, struct sg_yaml_node *realm,
           struct sg_err *err)
{
    static const char *const sources[] = {"table", "sql", NULL};
    static const char *const normals[] = {"none", "lower", NULL};
    const int64_t address = 60, login = 30, pair = 10, window = 15 * MINUTE;
    struct sg_yaml_node *m = sg_yaml_get(realm, "login");
    int source, normal;

    if (m == NULL)
        return 0;
    if (sg_yaml_word(m, "source", sources, 0, &source, err) != 0 ||
        sg_yaml_word(m, "normalise", normals, 0, &normal, err) != 0 ||
        sg_yaml_string(m, "address_header", "", &r->login.address_header, err) != 0 ||
        sg_yaml_int(m, "tries_per_address", 1, 100000, &address, &r->login.tries_per_address,
                    err) != 0 ||
        sg_yaml_int(m, "tries_per_login", 1, 100000, &login, &r->login.tries_per_login, err) != 0 ||
        sg_yaml_int(m, "tries_per_pair", 1, 100000, &pair, &r->login.tries_per_pair, err) != 0 ||
        sg_yaml_duration_ms(m, "tries_window", SECOND, DAY, &window, &r->login.tries_window_ms,
                            err) != 0)
        return -1;
    r->login.source = sources[source];
    r->login.lower = normal == 1;
    if (source == 0)
        return 0;
    return config_url(c, m, "url", &r->login.url, err) != 0 ||
                   sg_yaml_string(m, "lookup", NULL, &r->login.lookup, err) != 0 ||
                   sg_yaml_string(m, "sample", NULL, &r->login.sample, err) != 0
               ? -1
               : 0;
}

static int
read_keys(struct sg_config *c, struct sg_realm_config *r, struct sg_yaml_node *realm,
          struct sg_err *err)
{
    struct sg_yaml_node *keys = sg_yaml_get(realm, "keys");

    r->keys.rotate_every_ms = (int64_t)(30 * (double)DAY * c->time_scale);
    r->keys.publish_ahead_ms = (int64_t)((double)(60 * MINUTE) * c->time_scale);
    if (keys != NULL && (scaled(c, keys, "rotate_every", 0, 4000 * DAY, 30 * DAY,
                                &r->keys.rotate_every_ms, err) != 0 ||
                         scaled(c, keys, "publish_ahead", SECOND, 30 * DAY, 60 * MINUTE,
                                &r->keys.publish_ahead_ms, err) != 0))
        return -1;
    if (r->keys.rotate_every_ms > 0 && r->keys.rotate_every_ms < 2 * r->keys.publish_ahead_ms)
        return sg_yaml_fail(keys != NULL ? keys : realm, err,
                            "key 'rotate_every': expected 0 (never) or at least twice "
                            "'publish_ahead'");
    return 0;
}

static int
check_name(struct sg_yaml_node *at, const char *what, const char *name, struct sg_err *err)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_");

    if (n == 0 || n > 32 || name[n] != '\0')
        return sg_yaml_fail(at, err, "%s '%.60s': expected 1 to 32 of a-z 0-9 - _", what, name);
    return 0;
}

static bool
is_loopback(const char *issuer)
{
    static const char *const hosts[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};
    size_t i, n;

    for (i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        n = strlen(hosts[i]);
        if (strncmp(issuer, hosts[i], n) == 0 && strchr(":/", issuer[n]) != NULL)
            return true;
    }
    return false;
}

static int
check_issuer(struct sg_yaml_node *at, const char *issuer, struct sg_err *err)
{
    /* RFC 8414 section 2 wants https without query or fragment; plain http on loopback is for
     * development. */
    bool https = strncmp(issuer, "https://", 8) == 0 && issuer[8] != '\0' && issuer[8] != '/';
    const char *p;

    for (p = issuer; *p > ' ' && *p < 0x7f && strchr("?#@\"\\", *p) == NULL; p++)
        ;
    if ((!https && !is_loopback(issuer)) || *p != '\0')
        return sg_yaml_fail(at, err,
                            "key 'issuer': expected an https URL without query or fragment, not "
                            "'%.100s'",
                            issuer);
    return 0;
}

/* They are kept as one text with spaces between (a refresh token's row), and compared as they
 * stand. */
static int
check_realm_audiences(struct sg_yaml_node *realm, const struct sg_realm_config *r,
                      struct sg_err *err)
{
    struct sg_yaml_node *list = sg_yaml_get(realm, "audiences");
    size_t total = 0;
    const char *p;
    int i;

    for (i = 0; r->audiences[i] != NULL; i++) {
        for (p = r->audiences[i]; *p > ' ' && *p < 0x7f; p++)
            ;
        if (*p != '\0' || p == r->audiences[i])
            return sg_yaml_fail(sg_yaml_item(list, i), err,
                                "key 'audiences': an audience is printable ASCII without spaces");
        total += strlen(r->audiences[i]) + 1;
    }
    return total <= SG_CONFIG_WORDS_BYTES
               ? 0
               : sg_yaml_fail(list, err, "key 'audiences': more than %d bytes in all",
                              SG_CONFIG_WORDS_BYTES);
}

static int
read_realm(struct sg_config *c, struct sg_yaml_node *m, struct sg_err *err)
{
    struct sg_realm_config *r = &c->realms[c->n_realms++];

    r->name = sg_yaml_key(m);
    if (check_name(m, "realm", r->name, err) != 0 ||
        sg_yaml_string(m, "issuer", NULL, &r->issuer, err) != 0 ||
        check_issuer(sg_yaml_get(m, "issuer"), r->issuer, err) != 0 ||
        config_list(m, "audiences", r->audiences, 1, err) != 0 ||
        check_realm_audiences(m, r, err) != 0 || config_list(m, "origins", r->origins, 0, err) != 0)
        return -1;
    if (read_legacy(c, r, m, err) != 0 || config_read_identity(c, r, m, err) != 0 ||
        read_login(c, r, m, err) != 0 || read_tokens(c, r, m, err) != 0 ||
        read_keys(c, r, m, err) != 0)
        return -1;
    return config_read_clients(c, r, m, err);
}

static int
read_segue(struct sg_config *c, struct sg_yaml_node *root, struct sg_err *err)
{
    static const char *const words[] = {"accept", "introspect", "reject", NULL};
    struct sg_yaml_node *m = sg_yaml_get(root, "segue"), *shards, *item, *feed;
    const int64_t one = 1, two = 2, two_seconds = 2 * SECOND;
    const double unscaled = 1.0;
    int64_t loops, connections, login_workers;
    const char *keyring;
    int when_stale = SG_STALE_INTROSPECT;

    if (!sg_yaml_is_map(m))
        return sg_yaml_fail(root, err, "expected a mapping 'segue'");
    if (sg_yaml_string(m, "instance", "segue", &c->instance, err) != 0 ||
        check_name(m, "instance", c->instance, err) != 0 ||
        sg_yaml_string(m, "listen", "127.0.0.1:8080", &c->listen, err) != 0 ||
        config_url(c, m, "control", &c->control, err) != 0 ||
        sg_yaml_string(m, "keyring", NULL, &keyring, err) != 0 ||
        sg_yaml_int(m, "loops", 0, 64, &one, &loops, err) != 0 ||
        sg_yaml_int(m, "connections", 1, 16, &two, &connections, err) != 0 ||
        sg_yaml_int(m, "login_workers", 1, 32, &two, &login_workers, err) != 0 ||
        sg_yaml_double(m, "time_scale", 0.0001, 1.0, &unscaled, &c->time_scale, err) != 0)
        return -1;
    c->loops = (int)loops;
    c->connections = (int)connections;
    c->login_workers = (int)login_workers;
    c->keyring =
        config_own(c, strncmp(keyring, "${", 2) == 0 ? strdup(keyring) : config_beside(c, keyring));
    if (c->keyring == NULL)
        return sg_fail(err, SG_E_INTERNAL, c->path, "out of memory");
    feed = sg_yaml_get(m, "feed");
    c->feed_stale_after_ms = two_seconds;
    if (feed != NULL &&
        (sg_yaml_duration_ms(feed, "stale_after", 100, DAY, &two_seconds, &c->feed_stale_after_ms,
                             err) != 0 ||
         sg_yaml_word(feed, "when_stale", words, SG_STALE_INTROSPECT, &when_stale, err) != 0))
        return -1;
    c->when_stale = (enum sg_when_stale)when_stale;
    shards = sg_yaml_get(m, "shards");
    if (!sg_yaml_is_seq(shards))
        return sg_yaml_fail(m, err, "key 'shards': expected a list of PostgreSQL URLs");
    while ((item = sg_yaml_item(shards, c->n_shards)) != NULL) {
        const char *text;

        if (c->n_shards == SG_SHARDS_MAX)
            return sg_yaml_fail(item, err, "at most %d shards", SG_SHARDS_MAX);
        if (sg_yaml_text(item, &text, err) != 0 ||
            substitute(c, item, "shards", text, &c->shards[c->n_shards], err) != 0)
            return -1;
        c->n_shards++;
    }
    return c->n_shards > 0 ? 0 : sg_yaml_fail(shards, err, "key 'shards': at least one is needed");
}

static int
read_all(struct sg_config *c, struct sg_yaml *doc, struct sg_err *err)
{
    struct sg_yaml_node *root = sg_yaml_root(doc), *realms, *m;

    if (read_segue(c, root, err) != 0)
        return -1;
    realms = sg_yaml_get(root, "realms");
    if (!sg_yaml_is_map(realms))
        return sg_yaml_fail(root, err, "expected a mapping 'realms'");
    while ((m = sg_yaml_item(realms, c->n_realms)) != NULL) {
        if (c->n_realms == SG_REALMS_MAX)
            return sg_yaml_fail(m, err, "at most %d realms", SG_REALMS_MAX);
        if (read_realm(c, m, err) != 0)
            return -1;
    }
    if (c->n_realms == 0)
        return sg_yaml_fail(realms, err, "at least one realm is needed");
    return sg_yaml_check_unknown(doc, err);
}

int
sg_config_load(const char *path, struct sg_config **out, struct sg_err *err)
{
    struct loaded *l = calloc(1, sizeof *l);

    if (l == NULL || (l->path = strdup(path)) == NULL) {
        free(l);
        return sg_fail(err, SG_E_INTERNAL, path, "out of memory");
    }
    l->config.path = l->path;
    if (sg_yaml_load(path, &l->doc, err) != 0 || read_all(&l->config, l->doc, err) != 0) {
        sg_config_free(&l->config);
        return -1;
    }
    *out = &l->config;
    return 0;
}

void
sg_config_free(struct sg_config *config)
{
    struct loaded *l;
    int i;

    if (config == NULL)
        return;
    l = loaded_of(config);
    for (i = 0; i < l->n_owned; i++) {
        explicit_bzero(l->owned[i], strlen(l->owned[i]));
        free(l->owned[i]);
    }
    sg_yaml_free(l->doc);
    free(l->path);
    free(l);
}

const struct sg_realm_config *
sg_config_realm(const struct sg_config *config, const char *name)
{
    int i;

    if (name == NULL || *name == '\0')
        return &config->realms[0];
    for (i = 0; i < config->n_realms; i++)
        if (strcmp(config->realms[i].name, name) == 0)
            return &config->realms[i];
    return NULL;
}

void
sg_config_login_name(const struct sg_realm_config *realm, struct sg_slice name, char *out)
{
    size_t i;

    for (i = 0; i < name.len; i++)
        out[i] = realm->login.lower && name.ptr[i] >= 'A' && name.ptr[i] <= 'Z'
                     ? (char)(name.ptr[i] + 'a' - 'A')
                     : name.ptr[i];
    out[name.len] = '\0';
}
