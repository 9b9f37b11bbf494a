/* SPDX-License-Identifier: MIT */
#include "identity/path.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

const json_t *
sg_json_at(const json_t *root, const char *path)
{
    char name[128];
    size_t n;

    if (strcmp(path, ".") == 0)
        return root;
    for (;;) {
        n = strcspn(path, ".");
        if (n == 0 || n >= sizeof name)
            return NULL;
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        root = json_object_get(root, name);
        if (root == NULL || path[n] == '\0')
            return root;
        path += n + 1;
    }
}
