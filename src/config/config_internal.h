/* SPDX-License-Identifier: MIT */
#ifndef SG_CONFIG_CONFIG_INTERNAL_H
#define SG_CONFIG_CONFIG_INTERNAL_H

/* Inside the config layer only. */
#include "base/yaml.h"
#include "config/config.h"

/* Keeps the string (malloc'd; NULL passes through) until the configuration is freed. NULL when
 * there is no room for one more. */
const char *config_own(struct sg_config *c, char *s);

/* A required string; "${NAME}" as a whole value is taken from the environment, so that a password
 * need not be in the file. */
SG_MUST_USE int config_url(struct sg_config *c, struct sg_yaml_node *map, const char *key,
                           const char **out, struct sg_err *err);

/* A path beside the configuration file unless it is absolute; malloc'd. */
char *config_beside(const struct sg_config *c, const char *path);

/* Reads a file of secrets, 1 to cap, one a line. Whoever can read the file could sign sessions: it
 * must be private. */
SG_MUST_USE int config_secrets(struct sg_config *c, struct sg_yaml_node *map, const char *key,
                               const char **out, int cap, struct sg_err *err);

/* identity.c: the realm's mapping 'identity'. */
SG_MUST_USE int config_read_identity(struct sg_config *c, struct sg_realm_config *r,
                                     struct sg_yaml_node *realm, struct sg_err *err);

/* A list of at least `least` and at most SG_LIST_MAX texts into out[SG_LIST_MAX + 1], which was
 * zeroed. */
SG_MUST_USE int config_list(struct sg_yaml_node *map, const char *key, const char **out, int least,
                            struct sg_err *err);

/* clients.c: the realm's list 'clients'; its audiences were read before. */
SG_MUST_USE int config_read_clients(struct sg_config *c, struct sg_realm_config *r,
                                    struct sg_yaml_node *realm, struct sg_err *err);

#endif
