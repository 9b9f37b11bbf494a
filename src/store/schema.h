/* SPDX-License-Identifier: MIT */
#ifndef SG_STORE_SCHEMA_H
#define SG_STORE_SCHEMA_H

#include "base/slice.h"

/* The migrations of sql/, built in: `segue init` needs no files. Migration i brings the schema from
 * version i to i + 1; the last one is the version that this binary needs. */
struct sg_schema {
    const char *name;  /* "control" or "shard" */
    const char *table; /* that holds the versions */
    const struct sg_slice *migrations;
    int version; /* their count */
};

extern const struct sg_schema sg_schema_control;
extern const struct sg_schema sg_schema_shard;

#endif
