/* SPDX-License-Identifier: MIT */
#include "legacy/legacy.h"
#include "server/oauth.h"
#include "server/webhook.h"
#include "session/subjects.h"

#include <jansson.h>
#include <stdlib.h>

#define CHANGED_MAX 100 /* subjects in one call */

/* A confidential client with the right to subjects; else it was answered. */
static const struct sg_client_config *
authenticate(struct exchange *x)
{
    const struct sg_client_config *client = client_authenticate(
        sg_realm_config(x->realm), sg_http_header(x->request, "Authorization"), NULL);

    if (client == NULL || client->secret == NULL ||
        sg_policy_client_is_disabled(sg_realm_policy(x->realm), sg_str(client->id))) {
        oauth_refuse_client(x,
                            "HTTP Basic with a confidential client is wanted, not a disabled one");
        return NULL;
    }
    if (!client->may_subjects) {
        server_answer_error(x, 403, "access_denied", "this client has no right 'subjects'");
        return NULL;
    }
    return client;
}

static json_t *
body_object(struct exchange *x)
{
    struct sg_slice body = sg_http_body(x->request);
    json_error_t why;
    json_t *json =
        json_loadb(body.ptr != NULL ? body.ptr : "", body.len, JSON_REJECT_DUPLICATES, &why);

    if (json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

/* ---- answers ---- */

static json_t *
names_json(const struct sg_names *names)
{
    json_t *list = json_array();
    int i;

    for (i = 0; i < names->n; i++)
        json_array_append_new(list, json_string(names->name[i]));
    return list;
}

static void
answer_identity(struct exchange *x, const struct sg_identity *who)
{
    json_t *attributes = json_loads(who->attributes[0] != '\0' ? who->attributes : "{}", 0, NULL);
    char etag[32];

    snprintf(etag, sizeof etag, "\"%lld\"", (long long)who->version);
    if (x->request != NULL) {
        sg_http_add_header(x->request, "ETag", sg_str(etag));
        sg_http_add_header(x->request, "Cache-Control", sg_str("no-store"));
    }
    server_answer_json(x, 200,
                       json_pack("{s:s,s:b,s:o,s:o,s:o,s:I}", "subject", who->subject, "active",
                                 who->active, "roles", names_json(&who->roles), "permissions",
                                 names_json(&who->permissions), "attributes", attributes, "version",
                                 (json_int_t)who->version));
}

static void
subject_answered(void *ctx, const struct sg_subject_out *out)
{
    struct exchange *x = ctx;

    switch (out->status) {
    case SG_SUBJECT_OK:
        answer_identity(x, out->identity);
        break;
    case SG_SUBJECT_NOT_FOUND:
        server_answer_error(x, 404, "not_found", out->why);
        break;
    case SG_SUBJECT_CHANGED:
        server_answer_error(x, 412, "version_conflict",
                            "it has another version than the change was made for: read it again");
        break;
    case SG_SUBJECT_ELSEWHERE:
        server_answer_error(x, 409, "not_the_authority",
                            "this realm's subjects are its identity source's: change them there");
        break;
    case SG_SUBJECT_TOO_LARGE:
        server_answer_error(x, 400, "invalid_request", out->why);
        break;
    case SG_SUBJECT_UNAVAILABLE:
        server_answer_error(x, 503, "temporarily_unavailable", out->why);
        break;
    }
}

/* The log says who changed whom: it is data, not a step of the migration, so not in the journal. */
static void
patch_answered(void *ctx, const struct sg_subject_out *out)
{
    struct exchange *x = ctx;
    struct sg_err who = {.code = SG_OK};

    if (out->status == SG_SUBJECT_OK && x->request != NULL) {
        snprintf(who.place, sizeof who.place, "client %s", x->client);
        snprintf(who.text, sizeof who.text, "subject %s has version %lld now",
                 out->identity->subject, (long long)out->identity->version);
        server_event(x, false, "subject changed", &who);
    }
    subject_answered(x, out);
}

/* ---- GET and PATCH ---- */

static bool
subject_of_path(struct exchange *x)
{
    if (sg_is_subject(sg_str(x->tail)))
        return true;
    server_answer_error(x, 400, "invalid_request",
                        "a subject has 1 to 200 bytes of UTF-8 without control characters");
    return false;
}

void
route_subject_get(struct exchange *x)
{
    if (authenticate(x) != NULL && subject_of_path(x))
        sg_subject_get(x->realm, x->tail, subject_answered, x);
}

static bool
read_names(const json_t *value, struct sg_names *out)
{
    const json_t *item;
    size_t i;

    sg_names_clear(out);
    if (json_is_null(value))
        return true;
    if (!json_is_array(value))
        return false;
    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item) || sg_names_add(out, sg_str(json_string_value(item)), NULL) != 0)
            return false;
    }
    return true;
}

/* \"7\", as ETag says it. */
static bool
read_etag(struct sg_slice text, int64_t *out)
{
    char digits[24], *end;

    if (text.len < 3 || text.len > 21 || text.ptr[0] != '"' || text.ptr[text.len - 1] != '"' ||
        text.ptr[1] < '0' || text.ptr[1] > '9')
        return false;
    snprintf(digits, sizeof digits, "%.*s", (int)text.len - 2, text.ptr + 1);
    *out = strtoll(digits, &end, 10);
    return *end == '\0';
}

/* What the change was made for: If-None-Match: * (nothing), If-Match, or "version". 0, or the
 * status to answer. */
static int
read_version(struct exchange *x, const json_t *version, int64_t *out)
{
    struct sg_slice match = sg_http_header(x->request, "If-Match");
    struct sg_slice none = sg_http_header(x->request, "If-None-Match");
    int said = (match.ptr != NULL) + (none.ptr != NULL) + (version != NULL);

    if (said == 0)
        return 428;
    if (said > 1)
        return 400;
    if (none.ptr != NULL) {
        *out = SG_VERSION_NONE;
        return sg_slice_eq(none, sg_str("*")) ? 0 : 400;
    }
    if (match.ptr != NULL && sg_slice_eq(match, sg_str("*"))) {
        *out = SG_VERSION_ANY;
        return 0;
    }
    if (match.ptr != NULL)
        return read_etag(match, out) ? 0 : 400;
    *out = json_integer_value(version);
    return json_is_integer(version) && *out >= 0 ? 0 : 400;
}

/* NULL, or what is wrong. The patch's attributes point into *attributes, which the caller frees. */
static const char *
read_patch(const json_t *body, struct sg_subject_patch *patch, char **attributes)
{
    const char *name;
    const json_t *value;

    json_object_foreach((json_t *)body, name, value)
    {
        if (strcmp(name, "active") == 0) {
            if (!json_is_boolean(value))
                return "'active' is true or false";
            patch->has_active = true;
            patch->active = json_is_true(value);
        } else if (strcmp(name, "roles") == 0) {
            patch->has_roles = true;
            if (!read_names(value, &patch->roles))
                return "'roles' is an array of at most 64 strings, or null";
        } else if (strcmp(name, "permissions") == 0) {
            patch->has_permissions = true;
            if (!read_names(value, &patch->permissions))
                return "'permissions' is an array of at most 64 strings, or null";
        } else if (strcmp(name, "attributes") == 0) {
            if (!json_is_object(value) && !json_is_null(value))
                return "'attributes' is an object";
            patch->clear_attributes = json_is_null(value);
            if (json_is_object(value) && (*attributes = json_dumps(value, JSON_COMPACT)) == NULL)
                return "'attributes' cannot be read";
        } else if (strcmp(name, "version") != 0)
            return "expected only active, roles, permissions, attributes and version";
    }
    patch->attributes = *attributes;
    return NULL;
}

void
route_subject_patch(struct exchange *x)
{
    const struct sg_client_config *client;
    struct sg_subject_patch *patch = NULL;
    char *attributes = NULL;
    const char *wrong;
    json_t *body = NULL;
    int status;

    if ((client = authenticate(x)) == NULL || !subject_of_path(x))
        return;
    x->client = client->id;
    body = body_object(x);
    patch = calloc(1, sizeof *patch);
    if (patch == NULL)
        server_answer_error(x, 503, "temporarily_unavailable", "out of memory");
    else if (body == NULL)
        server_answer_error(x, 400, "invalid_request", "expected a JSON object");
    else if ((wrong = read_patch(body, patch, &attributes)) != NULL)
        server_answer_error(x, 400, "invalid_request", wrong);
    else if ((status = read_version(x, json_object_get(body, "version"), &patch->if_version)) != 0)
        server_answer_error(
            x, status, status == 428 ? "version_wanted" : "invalid_request",
            "one of If-Match: <version in quotes> (or *), If-None-Match: * and a member "
            "'version' is wanted");
    else
        sg_subject_patch(x->realm, x->tail, patch, patch_answered, x);
    free(patch);
    free(attributes);
    json_decref(body);
}

/* ---- told of changes ---- */

static bool
is_signed(struct exchange *x)
{
    const struct sg_realm_config *c = sg_realm_config(x->realm);
    const struct webhook_message message = {
        .id = sg_http_header(x->request, "Webhook-Id"),
        .timestamp = sg_http_header(x->request, "Webhook-Timestamp"),
        .signature = sg_http_header(x->request, "Webhook-Signature"),
        .body = sg_http_body(x->request)};

    return c->identity.webhook_secret != NULL &&
           webhook_is_genuine(c->identity.webhook_secret, &message, sg_wall_ms(x->server->clock),
                              c->identity.webhook_window_ms);
}

static void
answer_reread(struct exchange *x, enum sg_reread_status status)
{
    switch (status) {
    case SG_REREAD_TAKEN:
        server_answer(x, 202, (struct sg_slice){0});
        break;
    case SG_REREAD_OWN:
        server_answer_error(x, 409, "not_followed",
                            "this realm's subjects are in Segue's own table: there is nothing to "
                            "read again");
        break;
    case SG_REREAD_TOO_FAST:
        sg_http_add_header(x->request, "Retry-After", sg_str("1"));
        server_answer_error(x, 429, "too_many_requests", "at most 50 calls a second");
        break;
    case SG_REREAD_FULL:
        server_answer_error(x, 503, "temporarily_unavailable", "too many subjects wait already");
        break;
    }
}

void
route_subjects_changed(struct exchange *x)
{
    const char *subjects[CHANGED_MAX];
    const json_t *list, *item;
    json_t *body;
    size_t n = 0, i;

    if (sg_http_header(x->request, "Webhook-Signature").ptr == NULL) {
        if (authenticate(x) == NULL)
            return;
    } else if (!is_signed(x)) {
        server_answer_error(x, 401, "invalid_signature",
                            "the signature is not the secret's, or too old");
        return;
    }
    body = body_object(x);
    list = json_object_get(body, "subjects");
    json_array_foreach(list, i, item)
    {
        if (n == CHANGED_MAX || !json_is_string(item) ||
            !sg_is_subject(sg_str(json_string_value(item))))
            break;
        subjects[n++] = json_string_value(item);
    }
    if (n == 0 || n != json_array_size(list))
        server_answer_error(x, 400, "invalid_request",
                            "expected an object with 'subjects': 1 to 100 of them");
    else
        answer_reread(x, sg_subjects_reread(x->realm, subjects, (int)n));
    json_decref(body);
}
