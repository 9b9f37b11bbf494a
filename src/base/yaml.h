/* SPDX-License-Identifier: MIT */
#ifndef SG_BASE_YAML_H
#define SG_BASE_YAML_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* A YAML document read into a tree that remembers where every value stood, and getters that check.
 * Errors are placed "file:line:column". Bounds: 1 MiB, 16 levels, 10,000 nodes. Anchors and aliases
 * are refused. */
struct sg_yaml;      /* the document: owns every node and string */
struct sg_yaml_node; /* a scalar, sequence or mapping inside it */

SG_MUST_USE int sg_yaml_load(const char *path, struct sg_yaml **out, struct sg_err *err);
/* name stands for the file in errors. */
SG_MUST_USE int sg_yaml_parse(const char *name, const char *text, size_t len, struct sg_yaml **out,
                              struct sg_err *err);
void sg_yaml_free(struct sg_yaml *doc);

struct sg_yaml_node *sg_yaml_root(struct sg_yaml *doc);

/* The member of a mapping, marked as known; NULL where it is absent (or map is NULL). */
struct sg_yaml_node *sg_yaml_get(struct sg_yaml_node *map, const char *key);

/* Items of a sequence, or members of a mapping, in order. Marks a member as known. NULL past the
 * end. */
struct sg_yaml_node *sg_yaml_item(struct sg_yaml_node *node, int i);
/* The key under which a mapping's member stands; NULL for items of a sequence. */
const char *sg_yaml_key(const struct sg_yaml_node *node);
bool sg_yaml_is_map(const struct sg_yaml_node *node);
bool sg_yaml_is_seq(const struct sg_yaml_node *node);

/* Fails at node's place. */
int sg_yaml_fail(const struct sg_yaml_node *node, struct sg_err *err, const char *fmt, ...)
    SG_PRINTF(3, 4);

/* Typed reads of map's member `key`. An absent key takes the fallback; where that is NULL it is an
 * error at the mapping's place. Strings live as long as the document. Durations are "250ms", "2s",
 * "15m", "8h", "30d" and become milliseconds. */
SG_MUST_USE int sg_yaml_string(struct sg_yaml_node *map, const char *key, const char *fallback,
                               const char **out, struct sg_err *err);
SG_MUST_USE int sg_yaml_int(struct sg_yaml_node *map, const char *key, int64_t least, int64_t most,
                            const int64_t *fallback, int64_t *out, struct sg_err *err);
SG_MUST_USE int sg_yaml_bool(struct sg_yaml_node *map, const char *key, const bool *fallback,
                             bool *out, struct sg_err *err);
SG_MUST_USE int sg_yaml_duration_ms(struct sg_yaml_node *map, const char *key, int64_t least,
                                    int64_t most, const int64_t *fallback, int64_t *out,
                                    struct sg_err *err);
SG_MUST_USE int sg_yaml_double(struct sg_yaml_node *map, const char *key, double least, double most,
                               const double *fallback, double *out, struct sg_err *err);
/* One of the NULL-ended words; *out is its index. fallback -1 means required. */
SG_MUST_USE int sg_yaml_word(struct sg_yaml_node *map, const char *key, const char *const *words,
                             int fallback, int *out, struct sg_err *err);

/* The text of a scalar node itself (an item of a sequence). */
SG_MUST_USE int sg_yaml_text(struct sg_yaml_node *node, const char **out, struct sg_err *err);

/* Fails at the first key anywhere that no getter asked for, naming the nearest key that was. Call
 * it last. */
SG_MUST_USE int sg_yaml_check_unknown(struct sg_yaml *doc, struct sg_err *err);

#endif
