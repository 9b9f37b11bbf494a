/* SPDX-License-Identifier: MIT */
#include "identity/identity.h"

#include "identity/sources.h"

#include <jansson.h>
#include <stdlib.h>

static const struct sg_identity_source_type *const sources[] = {
    &sg_identity_sql,
    &sg_identity_http,
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
    memcpy(to->attributes, from->attributes, sizeof to->attributes);
    sg_names_copy(&to->roles, &from->roles);
    sg_names_copy(&to->permissions, &from->permissions);
}

int
sg_identity_set_attributes(struct sg_identity *identity, struct sg_slice json, struct sg_err *err)
{
    static const char place[] = "attributes";
    json_error_t why;
    json_t *read =
        json_loadb(json.ptr != NULL ? json.ptr : "", json.len, JSON_REJECT_DUPLICATES, &why);
    char *text = json_is_object(read) ? json_dumps(read, JSON_COMPACT) : NULL;
    size_t len = text != NULL ? strlen(text) : 0;

    json_decref(read);
    if (text == NULL)
        return sg_fail(err, SG_E_INVALID, place, "expected a JSON object");
    if (len > SG_ATTRIBUTES_BYTES) {
        free(text);
        return sg_fail(err, SG_E_LIMIT, place, "more than %d bytes", SG_ATTRIBUTES_BYTES);
    }
    memcpy(identity->attributes, text, len + 1);
    free(text);
    return 0;
}
