/* SPDX-License-Identifier: MIT */
#ifndef SG_CONFIG_CONFIG_INTERNAL_H
#define SG_CONFIG_CONFIG_INTERNAL_H

/* Inside the config layer only. */
#include "base/yaml.h"
#include "config/config.h"

/* Reads a file of secrets, one a line, at most cap. Whoever can read the file could sign sessions:
 * it must be private. */
int config_secrets(struct sg_config *c, struct sg_yaml_node *map, const char *key, const char **out,
                   int cap, struct sg_err *err);

/* A list of at least `least` and at most SG_LIST_MAX texts into out[SG_LIST_MAX + 1], which was
 * zeroed. */
int config_list(struct sg_yaml_node *map, const char *key, const char **out, int least,
                struct sg_err *err);

/* clients.c: the realm's list 'clients'; its audiences were read before. */
int config_read_clients(struct sg_config *c, struct sg_realm_config *r, struct sg_yaml_node *realm,
                        struct sg_err *err);

#endif
