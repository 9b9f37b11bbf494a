/* SPDX-License-Identifier: MIT */
#ifndef SG_SOURCE_SOURCES_H
#define SG_SOURCE_SOURCES_H

#include "source/source.h"

/* One a file; source.c has the list. */
extern const struct sg_source_type sg_source_dynamo;
extern const struct sg_source_type sg_source_mongo;
extern const struct sg_source_type sg_source_redis;

#endif
