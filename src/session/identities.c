/* SPDX-License-Identifier: MIT */
#include "session/identities.h"

#include "keys/digest.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the source "subject": the migrated table itself ---- */

struct own_source {
    struct sg_identity_source base;
    struct sg_store *store;
    const char *realm;
    uv_timer_t closing; /* so that `closed` comes from a later turn */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct own_lookup {
    struct sg_identity_request *request;
    struct sg_subject_read read;
};

static int
take_subject(struct sg_subject_read *read, struct sg_identity *out, struct sg_err *err)
{
    snprintf(out->subject, sizeof out->subject, "%s", read->subject);
    out->active = !read->banned;
    out->version = read->source_version;
    return sg_names_from_array(&out->roles, sg_buf_slice(&read->roles), err) != 0 ||
                   sg_names_from_array(&out->permissions, sg_buf_slice(&read->permissions), err) !=
                       0 ||
                   sg_identity_set_attributes(out, sg_buf_slice(&read->attributes), err) != 0
               ? -1
               : 0;
}

static void
own_read(void *ctx, int rc, const struct sg_err *err)
{
    struct own_lookup *l = ctx;
    struct sg_identity_request *request = l->request;

    request->rc = rc;
    if (rc != 0)
        request->err = *err;
    else if (l->read.found)
        request->rc = take_subject(&l->read, &request->identity, &request->err);
    request->found = request->rc == 0 && l->read.found;
    sg_subject_read_clear(&l->read);
    free(l);
    request->done(request);
}

static void
own_ask(struct sg_identity_source *source, struct sg_identity_request *request)
{
    struct own_source *s = sg_container_of(source, struct own_source, base);
    struct own_lookup *l = calloc(1, sizeof *l);

    if (l == NULL)
        abort(); /* with no memory for that there is no later turn to report it from either */
    l->request = request;
    l->read = (struct sg_subject_read){
        .realm = s->realm,
        .bucket = (int)sg_bucket(sg_str(s->realm), sg_str(request->subject)),
        .subject = request->subject};
    sg_store_get_subjects(s->store, &l->read, 1, request->deadline_ns, own_read, l);
}

static void
own_closed(uv_handle_t *handle)
{
    struct own_source *s = sg_container_of((uv_timer_t *)handle, struct own_source, closing);

    if (s->closed != NULL)
        s->closed(s->closed_ctx);
    free(s);
}

static void
own_close(struct sg_identity_source *source, void (*closed)(void *ctx), void *ctx)
{
    struct own_source *s = sg_container_of(source, struct own_source, base);

    s->closed = closed;
    s->closed_ctx = ctx;
    uv_close((uv_handle_t *)&s->closing, own_closed);
}

/* Opened by own_open alone, and never asked for changes: the feed tells them. */
static const struct sg_identity_source_type own_type = {
    .name = "subject", .close = own_close, .lookup = own_ask};

static int
own_open(uv_loop_t *loop, const struct sg_realm_config *realm, struct sg_store *store,
         struct sg_identity_source **out, struct sg_err *err)
{
    struct own_source *s = calloc(1, sizeof *s);

    if (s == NULL)
        return sg_fail(err, SG_E_INTERNAL, realm->name, "out of memory");
    s->base.type = &own_type;
    s->store = store;
    s->realm = realm->name;
    uv_timer_init(loop, &s->closing);
    *out = &s->base;
    return 0;
}

/* ---- all of them ---- */

int
identities_open(uv_loop_t *loop, const struct sg_clock *clock, const struct sg_realm_config *realm,
                struct sg_store *store, struct sg_identity_source **out, struct sg_err *err)
{
    const struct sg_identity_source_type *type;
    char name[96];
    struct sg_identity_source_options options = {
        .name = name,
        .timeout_ms = (int)realm->identity.timeout_ms,
        .connections = realm->identity.connections,
        .conninfo = realm->identity.url,
        .lookup_sql = realm->identity.lookup,
        .changes_sql = realm->identity.changes,
        .url = realm->identity.url,
        .changes_url = realm->identity.changes,
        .authorization = realm->identity.authorization,
        .ca_file = realm->identity.ca_file,
        .paths = {.subject = realm->identity.paths.subject,
                  .active = realm->identity.paths.active,
                  .roles = realm->identity.paths.roles,
                  .permissions = realm->identity.paths.permissions,
                  .version = realm->identity.paths.version,
                  .attributes = realm->identity.paths.attributes,
                  .items = realm->identity.paths.items,
                  .cursor = realm->identity.paths.cursor}};

    if (!identities_is_foreign(realm))
        return own_open(loop, realm, store, out, err);
    type = sg_identity_source_find(realm->identity.source);
    if (type == NULL)
        return sg_fail(err, SG_E_INVALID, realm->name, "there is no identity source '%s'",
                       realm->identity.source);
    snprintf(name, sizeof name, "identity source of %s", realm->name);
    return type->open(loop, clock, &options, out, err);
}

bool
identities_has_changes(const struct sg_realm_config *realm)
{
    return identities_is_foreign(realm) && realm->identity.changes != NULL;
}

bool
identities_is_foreign(const struct sg_realm_config *realm)
{
    return strcmp(realm->identity.source, own_type.name) != 0;
}
