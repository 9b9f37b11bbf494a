/* SPDX-License-Identifier: MIT */
#include "session/custom_claims.h"

#include "identity/path.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define NESTED_MAX 5 /* within a token that nests SEGUE_DEPTH_MAX at most */

static int
depth_of(const json_t *v, int most)
{
    const char *name;
    const json_t *item;
    size_t i;
    int deepest = 0, d;

    if (!json_is_object(v) && !json_is_array(v))
        return 0;
    if (most == 0)
        return 1;
    json_array_foreach(v, i, item) if ((d = depth_of(item, most - 1)) > deepest) deepest = d;
    json_object_foreach((json_t *)v, name, item) if ((d = depth_of(item, most - 1)) > deepest)
        deepest = d;
    return deepest + 1;
}

/* Keeps the value's text; false where the bound is met. */
static bool
keep(struct custom_claims *c, const char *text, struct segue_slice *out)
{
    size_t n = text != NULL ? strlen(text) : SIZE_MAX;

    if (n > sizeof c->text - c->used)
        return false;
    memcpy(c->text + c->used, text, n);
    *out = (struct segue_slice){c->text + c->used, n};
    c->used += n;
    return true;
}

static bool
take(struct custom_claims *c, enum sg_claim_type type, const json_t *v, struct segue_extra *e)
{
    char *text;
    bool fits;

    switch (type) {
    case SG_CLAIM_STRING:
        e->kind = SEGUE_STRING;
        return json_is_string(v) && keep(c, json_string_value(v), &e->text);
    case SG_CLAIM_INT:
        e->kind = SEGUE_INT;
        e->number = json_integer_value(v);
        return json_is_integer(v);
    case SG_CLAIM_BOOL:
        e->kind = SEGUE_JSON;
        return json_is_boolean(v) && keep(c, json_is_true(v) ? "true" : "false", &e->text);
    case SG_CLAIM_JSON:
        e->kind = SEGUE_JSON;
        if (depth_of(v, NESTED_MAX) > NESTED_MAX)
            return false;
        text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
        fits = keep(c, text, &e->text);
        free(text);
        return fits;
    }
    return false;
}

static int
read_all(const struct sg_realm_config *realm, const json_t *root, struct custom_claims *out,
         int *left_out, struct sg_err *err)
{
    int i;

    for (i = 0; i < realm->identity.n_claims; i++) {
        const struct sg_claim_config *claim = &realm->identity.claims[i];
        const json_t *v = sg_json_at(root, claim->path);
        struct segue_extra e = {.name = {claim->name, strlen(claim->name)}};
        bool absent = v == NULL || json_is_null(v);

        if (!absent && take(out, claim->type, v, &e)) {
            out->extra[out->n++] = e;
            continue;
        }
        if (claim->required)
            return sg_fail(err, SG_E_DENIED, realm->name,
                           "claim '%s' is required: the attribute '%.100s' %s", claim->name,
                           claim->path, absent ? "is not there" : "does not fit");
        if (!absent && left_out != NULL)
            ++*left_out;
    }
    return 0;
}

int
custom_claims_read(const struct sg_realm_config *realm, const char *attributes,
                   struct custom_claims *out, int *left_out, struct sg_err *err)
{
    json_error_t why;
    json_t *root;
    int rc;

    out->n = out->used = 0;
    if (realm->identity.n_claims == 0)
        return 0;
    root = json_loads(attributes != NULL && *attributes != '\0' ? attributes : "{}",
                      JSON_REJECT_DUPLICATES, &why);
    if (root == NULL)
        return sg_fail(err, SG_E_DENIED, realm->name, "the attributes are not JSON");
    rc = read_all(realm, root, out, left_out, err);
    json_decref(root);
    return rc;
}
