/* SPDX-License-Identifier: MIT */
/* An answer of an HTTP identity source: what is taken is within every bound, and what is refused
 * leaves no trace. The input is the paths' variant (one byte), then the body. */
#include "fuzz/fuzz.h"
#include "identity/answer.h"

#include <stdlib.h>
#include <string.h>

static const struct sg_identity_paths variants[] = {
    {"subject", "active", "roles", "permissions", "version", "", "items", "cursor"},
    {"d.u.id", "d.on", "d.roles", "", "d.v", "d", "d.list", "d.next"},
    {"id", "", "r", "p", "v", ".", ".", "."},
};

static void
check_names(const struct sg_names *names)
{
    int i;

    if (names->n < 0 || names->n > SG_ROLES_MAX || names->used > SG_NAMES_BYTES)
        abort();
    for (i = 0; i < names->n; i++)
        if (names->name[i] < names->text || names->name[i] >= names->text + names->used ||
            names->name[i][0] == '\0')
            abort();
}

static void
check(const struct sg_identity *who)
{
    struct sg_identity again;
    size_t n = strlen(who->subject);

    if (n == 0 || n > 200 || who->version < 0 || strlen(who->attributes) > SG_ATTRIBUTES_BYTES)
        abort();
    check_names(&who->roles);
    check_names(&who->permissions);
    if (who->attributes[0] != '\0' &&
        (sg_identity_set_attributes(&again, sg_str(who->attributes), NULL) != 0 ||
         strcmp(again.attributes, who->attributes) != 0))
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sg_identity who;
    struct sg_identity_changes changes = {.cursor = "before"};
    const struct sg_identity_paths *paths;
    struct sg_slice body;
    struct sg_err err;
    int i;

    if (size == 0)
        return 0;
    paths = &variants[data[0] % (sizeof variants / sizeof variants[0])];
    body = sg_slice((const char *)data + 1, size - 1);
    memset(&who, 0x5a, sizeof who);
    if (sg_identity_answer(paths, body, &who, &err) == 0)
        check(&who);
    else if (who.subject[0] != 0x5a || who.attributes[0] != 0x5a)
        abort();
    if (sg_identity_changes_answer(paths, body, &changes, &err) == 0) {
        if (changes.n_items + changes.n_refused > SG_IDENTITY_CHANGES_MAX ||
            strlen(changes.cursor) >= sizeof changes.cursor)
            abort();
        for (i = 0; i < changes.n_items; i++)
            check(&changes.items[i]);
    } else if (strcmp(changes.cursor, "before") != 0 || changes.items != NULL)
        abort();
    sg_identity_changes_clear(&changes);
    return 0;
}
