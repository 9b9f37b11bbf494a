/* SPDX-License-Identifier: MIT */
#include "config/config_internal.h"

/* RFC 6749 appendix A.4. */
static bool
is_scope_token(const char *s)
{
    const char *p;

    for (p = s; *p != '\0'; p++)
        if (*p <= ' ' || *p >= 0x7f || *p == '"' || *p == '\\')
            return false;
    return p > s;
}

static int
check_scope(struct sg_yaml_node *m, const struct sg_client_config *client, struct sg_err *err)
{
    struct sg_yaml_node *list = sg_yaml_get(m, "scope");
    size_t total = 0;
    int i;

    for (i = 0; client->scope[i] != NULL; i++) {
        total += strlen(client->scope[i]) + 1;
        if (!is_scope_token(client->scope[i]))
            return sg_yaml_fail(sg_yaml_item(list, i), err,
                                "key 'scope': '%.60s' is no scope (printable ASCII without space, "
                                "'\"' and '\\')",
                                client->scope[i]);
    }
    return total <= SG_CONFIG_WORDS_BYTES ? 0
                                          : sg_yaml_fail(list, err,
                                                         "key 'scope': more than %d "
                                                         "bytes in all",
                                                         SG_CONFIG_WORDS_BYTES);
}

/* As an identity source's names: they become claims and header values. */
static int
check_names(struct sg_yaml_node *m, const char *key, const char *const *names, struct sg_err *err)
{
    const char *p;
    int i;

    for (i = 0; names[i] != NULL; i++) {
        for (p = names[i]; (unsigned char)*p >= ' ' && *p != 0x7f; p++)
            ;
        if (*p != '\0' || p == names[i])
            return sg_yaml_fail(sg_yaml_item(sg_yaml_get(m, key), i), err,
                                "key '%s': a name is empty or holds a control character", key);
    }
    return 0;
}

/* The client's own audiences become the realm's strings; without any it has all of them. */
static int
check_audiences(struct sg_yaml_node *m, const struct sg_realm_config *r,
                struct sg_client_config *client, struct sg_err *err)
{
    int i, k;

    if (client->audiences[0] == NULL)
        memcpy(client->audiences, r->audiences, sizeof client->audiences);
    for (i = 0; client->audiences[i] != NULL; i++) {
        for (k = 0; r->audiences[k] != NULL; k++)
            if (strcmp(r->audiences[k], client->audiences[i]) == 0)
                break;
        if (r->audiences[k] == NULL)
            return sg_yaml_fail(sg_yaml_item(sg_yaml_get(m, "audiences"), i), err,
                                "key 'audiences': the realm has no '%.100s'", client->audiences[i]);
        client->audiences[i] = r->audiences[k];
    }
    return 0;
}

static int
read_grants(struct sg_yaml_node *m, struct sg_client_config *client, struct sg_err *err)
{
    static const struct {
        const char *name;
        unsigned bit;
    } grants[] = {{"token_exchange", SG_GRANT_EXCHANGE},
                  {"refresh_token", SG_GRANT_REFRESH},
                  {"client_credentials", SG_GRANT_CLIENT}};
    struct sg_yaml_node *list = sg_yaml_get(m, "grants"), *item;
    const char *names[SG_LIST_MAX + 1] = {NULL};
    size_t k;
    int i;

    client->grants = SG_GRANT_EXCHANGE | SG_GRANT_REFRESH;
    if (list == NULL)
        return 0;
    if (config_list(m, "grants", names, 0, err) != 0)
        return -1;
    client->grants = 0;
    for (i = 0; names[i] != NULL; i++) {
        item = sg_yaml_item(list, i);
        for (k = 0; k < sizeof grants / sizeof grants[0]; k++)
            if (strcmp(grants[k].name, names[i]) == 0)
                break;
        if (k == sizeof grants / sizeof grants[0])
            return sg_yaml_fail(item, err,
                                "key 'grants': expected token_exchange, refresh_token or "
                                "client_credentials, not '%.60s'",
                                names[i]);
        client->grants |= grants[k].bit;
        if (grants[k].bit == SG_GRANT_CLIENT && client->secret == NULL)
            return sg_yaml_fail(item, err,
                                "key 'grants': client_credentials is for confidential clients: "
                                "give it a 'secret_file'");
    }
    return 0;
}

static int
read_rights(struct sg_yaml_node *m, struct sg_client_config *client, struct sg_err *err)
{
    struct sg_yaml_node *list = sg_yaml_get(m, "rights"), *item;
    const char *right;
    int i;

    if (list != NULL && !sg_yaml_is_seq(list))
        return sg_yaml_fail(list, err, "key 'rights': expected a list");
    for (i = 0; list != NULL && (item = sg_yaml_item(list, i)) != NULL; i++) {
        if (sg_yaml_text(item, &right, err) != 0)
            return -1;
        if (strcmp(right, "subjects") != 0)
            return sg_yaml_fail(item, err, "key 'rights': expected subjects, not '%.60s'", right);
        if (client->secret == NULL)
            return sg_yaml_fail(list, err, "client '%s' has no secret, so it can have no rights",
                                client->id);
        client->may_subjects = true;
    }
    return 0;
}

static int
read_client(struct sg_config *c, struct sg_realm_config *r, struct sg_yaml_node *m,
            struct sg_err *err)
{
    struct sg_client_config *client = &r->clients[r->n_clients++];
    int i;

    if (sg_yaml_string(m, "id", NULL, &client->id, err) != 0)
        return -1;
    if (strlen(client->id) > 64 || !is_scope_token(client->id))
        return sg_yaml_fail(sg_yaml_get(m, "id"), err,
                            "a client id has 1 to 64 printable ASCII characters, no space, '\"' or "
                            "'\\'");
    for (i = 0; i < r->n_clients - 1; i++)
        if (strcmp(r->clients[i].id, client->id) == 0)
            return sg_yaml_fail(m, err, "client '%s' is given twice", client->id);
    if (sg_yaml_get(m, "secret_file") != NULL &&
        config_secrets(c, m, "secret_file", &client->secret, 1, err) != 0)
        return -1;
    if (client->secret != NULL && strlen(client->secret) < SG_CLIENT_SECRET_LEAST)
        return sg_yaml_fail(sg_yaml_get(m, "secret_file"), err,
                            "key 'secret_file': a secret of fewer than %d bytes can be guessed: "
                            "openssl rand -hex 32",
                            SG_CLIENT_SECRET_LEAST);
    if (read_rights(m, client, err) != 0 || read_grants(m, client, err) != 0 ||
        config_list(m, "scope", client->scope, 0, err) != 0 || check_scope(m, client, err) != 0 ||
        config_list(m, "roles", client->roles, 0, err) != 0 ||
        check_names(m, "roles", client->roles, err) != 0 ||
        config_list(m, "permissions", client->permissions, 0, err) != 0 ||
        check_names(m, "permissions", client->permissions, err) != 0 ||
        config_list(m, "audiences", client->audiences, 0, err) != 0)
        return -1;
    return check_audiences(m, r, client, err);
}

int
config_read_clients(struct sg_config *c, struct sg_realm_config *r, struct sg_yaml_node *realm,
                    struct sg_err *err)
{
    struct sg_yaml_node *list = sg_yaml_get(realm, "clients"), *m;

    while (list != NULL && (m = sg_yaml_item(list, r->n_clients)) != NULL) {
        if (r->n_clients == SG_LIST_MAX)
            return sg_yaml_fail(m, err, "at most %d clients", SG_LIST_MAX);
        if (read_client(c, r, m, err) != 0)
            return -1;
    }
    return r->n_clients > 0
               ? 0
               : sg_yaml_fail(realm, err, "realm '%.60s': expected a list 'clients'", r->name);
}

const struct sg_client_config *
sg_config_client(const struct sg_realm_config *realm, struct sg_slice id)
{
    int i;

    for (i = 0; i < realm->n_clients; i++)
        if (sg_slice_eq(sg_str(realm->clients[i].id), id))
            return &realm->clients[i];
    return NULL;
}
