/* SPDX-License-Identifier: MIT */
#include "session/subjects.h"

#include "session/engine_internal.h"
#include "session/identities.h"

#include <jansson.h>
#include <stdlib.h>

#define TRIES_MAX 5 /* of a patch for any version, when others change the subject meanwhile */
#define ARRAY_BYTES (2 * SG_NAMES_BYTES + 4 * SG_ROLES_MAX)

/* One request under way. */
struct asked {
    struct sg_realm *realm;
    sg_subject_done done;
    void *ctx;
    char subject[SG_SUBJECT_MAX + 1];
    bool patching;
    struct sg_subject_patch patch;
    char *attributes; /* the patch's, copied */
    int tries;
    struct sg_subject_read read;
    struct sg_subject_row row;
    struct sg_identity identity;
    struct sg_buf roles, permissions;
};

static void
reply(struct asked *a, enum sg_subject_status status, const char *why, bool with_identity)
{
    struct sg_subject_out out = {
        .status = status, .why = why, .identity = with_identity ? &a->identity : NULL};

    a->realm->engine->open_ops--;
    a->done(a->ctx, &out);
    sg_subject_read_clear(&a->read);
    sg_buf_free(&a->roles);
    sg_buf_free(&a->permissions);
    free(a->attributes);
    free(a);
}

static void
unavailable(struct asked *a, const struct sg_err *err)
{
    if (err->code == SG_E_NOT_OWNER) {
        a->realm->counters.not_owner++;
        control_reread_map(a->realm->engine);
    }
    reply(a, SG_SUBJECT_UNAVAILABLE, sg_code_name(err->code), false);
}

static int
take_read(struct asked *a, struct sg_err *err)
{
    struct sg_identity *out = &a->identity;

    if (!a->read.found) {
        *out = (struct sg_identity){.active = true, .version = 0};
        snprintf(out->subject, sizeof out->subject, "%s", a->subject);
        return 0;
    }
    out->active = !a->read.banned;
    out->version = a->read.source_version;
    return sg_names_from_array(&out->roles, sg_buf_slice(&a->read.roles), err) != 0 ||
                   sg_names_from_array(&out->permissions, sg_buf_slice(&a->read.permissions),
                                       err) != 0 ||
                   sg_identity_set_attributes(out, sg_buf_slice(&a->read.attributes), err) != 0
               ? -1
               : 0;
}

/* ---- the change ---- */

/* RFC 7396 section 2. */
static json_t *
merge(json_t *target, const json_t *patch)
{
    const char *name;
    json_t *value;

    if (!json_is_object(patch))
        return json_deep_copy(patch);
    target = json_is_object(target) ? json_deep_copy(target) : json_object();
    json_object_foreach((json_t *)patch, name, value)
    {
        if (json_is_null(value))
            json_object_del(target, name);
        else
            json_object_set_new(target, name, merge(json_object_get(target, name), value));
    }
    return target;
}

static int
merge_attributes(struct asked *a, struct sg_err *err)
{
    const char *old = a->identity.attributes[0] != '\0' ? a->identity.attributes : "{}";
    json_t *target = json_loads(old, 0, NULL);
    json_t *patch = json_loads(a->attributes, JSON_REJECT_DUPLICATES, NULL);
    json_t *merged = merge(target, patch);
    char *text = merged != NULL ? json_dumps(merged, JSON_COMPACT) : NULL;
    int rc = sg_identity_set_attributes(&a->identity, sg_str(text), err);

    free(text);
    json_decref(merged);
    json_decref(patch);
    json_decref(target);
    return rc;
}

static void read_it(struct asked *a);

static void
changed(void *ctx, int rc, const struct sg_err *err)
{
    struct asked *a = ctx;

    if (rc != 0)
        unavailable(a, err);
    else if (a->row.taken) {
        a->realm->counters.subjects_patched++;
        identity_forget(a->realm, a->subject);
        reply(a, SG_SUBJECT_OK, "changed", true);
    } else if (++a->tries < TRIES_MAX)
        read_it(a); /* which says what is there now */
    else
        reply(a, SG_SUBJECT_UNAVAILABLE, "it changes too fast", false);
}

static void
change(struct asked *a)
{
    struct sg_identity *now = &a->identity;
    struct sg_err err;

    if (now->version == INT64_MAX) {
        reply(a, SG_SUBJECT_TOO_LARGE, "its version cannot grow any more", false);
        return;
    }
    if (a->attributes != NULL && merge_attributes(a, &err) != 0) {
        reply(a, SG_SUBJECT_TOO_LARGE, "the attributes would be too large", false);
        return;
    }
    if (a->patch.clear_attributes)
        now->attributes[0] = '\0';
    if (a->patch.has_active)
        now->active = a->patch.active;
    if (a->patch.has_roles)
        sg_names_copy(&now->roles, &a->patch.roles);
    if (a->patch.has_permissions)
        sg_names_copy(&now->permissions, &a->patch.permissions);
    sg_buf_reset(&a->roles);
    sg_buf_reset(&a->permissions);
    sg_names_to_array(&now->roles, &a->roles);
    sg_names_to_array(&now->permissions, &a->permissions);
    a->row =
        (struct sg_subject_row){.realm = a->realm->config->name,
                                .bucket = a->read.bucket,
                                .subject = a->subject,
                                .active = now->active,
                                .roles = a->roles.ptr,
                                .permissions = a->permissions.ptr,
                                .attributes = now->attributes[0] != '\0' ? now->attributes : NULL,
                                .source_version = ++now->version,
                                .guarded = true,
                                .if_version = a->read.found ? a->read.source_version : -1};
    sg_store_put_subjects(a->realm->engine->store, &a->row, 1,
                          engine_deadline(a->realm->engine, OP_TIMEOUT_MS), changed, a);
}

/* ---- reading ---- */

static void
was_read(void *ctx, int rc, const struct sg_err *err)
{
    struct asked *a = ctx;
    struct sg_err why;
    int64_t wanted = a->patch.if_version;

    if (rc != 0)
        unavailable(a, err);
    else if (take_read(a, &why) != 0)
        reply(a, SG_SUBJECT_UNAVAILABLE, "what is stored cannot be read", false);
    else if (a->patching && wanted == SG_VERSION_NONE && !a->read.found)
        change(a);
    else if (!a->read.found)
        reply(a, SG_SUBJECT_NOT_FOUND, "there is no such subject", false);
    else if (!a->patching)
        reply(a, SG_SUBJECT_OK, "read", true);
    else if (wanted == SG_VERSION_ANY || wanted == a->read.source_version)
        change(a);
    else
        reply(a, SG_SUBJECT_CHANGED, "its version is another", true);
}

static void
read_it(struct asked *a)
{
    const char *realm = a->realm->config->name;

    sg_subject_read_clear(&a->read);
    a->read = (struct sg_subject_read){.realm = realm,
                                       .bucket = (int)sg_bucket(sg_str(realm), sg_str(a->subject)),
                                       .subject = a->subject};
    sg_store_get_subjects(a->realm->engine->store, &a->read, 1,
                          engine_deadline(a->realm->engine, OP_TIMEOUT_MS), was_read, a);
}

static struct asked *
asked_new(struct sg_realm *realm, const char *subject, sg_subject_done done, void *ctx)
{
    struct sg_subject_out out = {.status = SG_SUBJECT_UNAVAILABLE};
    struct asked *a = NULL;

    if (!realm_is_known(realm))
        out.why = "starting: no policy was read yet";
    else if ((a = calloc(1, sizeof *a)) == NULL)
        out.why = "out of memory";
    if (a == NULL) {
        done(ctx, &out);
        return NULL;
    }
    a->realm = realm;
    a->done = done;
    a->ctx = ctx;
    snprintf(a->subject, sizeof a->subject, "%s", subject);
    snprintf(a->identity.subject, sizeof a->identity.subject, "%s", subject);
    a->roles = a->permissions = SG_BUF_INIT(ARRAY_BYTES);
    realm->engine->open_ops++;
    return a;
}

void
sg_subject_get(struct sg_realm *realm, const char *subject, sg_subject_done done, void *ctx)
{
    struct asked *a = asked_new(realm, subject, done, ctx);

    if (a != NULL)
        read_it(a);
}

void
sg_subject_patch(struct sg_realm *realm, const char *subject, const struct sg_subject_patch *patch,
                 sg_subject_done done, void *ctx)
{
    struct asked *a = asked_new(realm, subject, done, ctx);

    if (a == NULL)
        return;
    if (identities_is_foreign(realm->config)) {
        reply(a, SG_SUBJECT_ELSEWHERE, "the identity source is the authority", false);
        return;
    }
    a->patching = true;
    a->patch.if_version = patch->if_version;
    a->patch.has_active = patch->has_active;
    a->patch.active = patch->active;
    a->patch.clear_attributes = patch->clear_attributes;
    a->patch.has_roles = patch->has_roles;
    a->patch.has_permissions = patch->has_permissions;
    sg_names_copy(&a->patch.roles, &patch->roles);
    sg_names_copy(&a->patch.permissions, &patch->permissions);
    if (patch->attributes != NULL && (a->attributes = strdup(patch->attributes)) == NULL) {
        reply(a, SG_SUBJECT_UNAVAILABLE, "out of memory", false);
        return;
    }
    read_it(a);
}
