/* SPDX-License-Identifier: MIT */
#ifndef SG_IDENTITY_PATH_H
#define SG_IDENTITY_PATH_H

struct json_t;

/* The value at a path of names joined by dots ("org.id"), "." being root itself; NULL where there
 * is none. A name has at most 127 bytes. Borrowed from root. */
const struct json_t *sg_json_at(const struct json_t *root, const char *path);

#endif
