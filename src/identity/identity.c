/* SPDX-License-Identifier: MIT */
#include "identity/identity.h"

#include "identity/sources.h"

#include <stdlib.h>

static const struct sg_identity_source_type *const sources[] = {
    &sg_identity_sql,
};

const struct sg_identity_source_type *
sg_identity_source_find(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof sources / sizeof sources[0]; i++)
        if (strcmp(sources[i]->name, name) == 0)
            return sources[i];
    return NULL;
}

void
sg_identity_changes_clear(struct sg_identity_changes *changes)
{
    free(changes->items);
    changes->items = NULL;
    changes->n_items = 0;
}

void
sg_identity_copy(struct sg_identity *to, const struct sg_identity *from)
{
    if (to == from)
        return;
    memcpy(to->subject, from->subject, sizeof to->subject);
    to->active = from->active;
    to->version = from->version;
    sg_names_copy(&to->roles, &from->roles);
    sg_names_copy(&to->permissions, &from->permissions);
}
